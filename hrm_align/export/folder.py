"""The files of an exported folder, and nothing else: weights, configs, and a tokenizer that marks the prompt as prefix."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from transformers import HrmTextForCausalLM, PreTrainedTokenizerFast

from hrm_align.models.adapter_record import RECORD
from hrm_align.models.adapters import CONFIG, WEIGHTS, Adapter
from hrm_align.models.loading import DTYPES
from hrm_align.models.weight_files import SHARD, save_whole

CARD, PUBLICATION, TOKENIZER = "README.md", "export.json", "tokenizer.json"
# What may leave: no optimizer state, no pickled arguments, no logs, no data.
ALLOWED = (
    "config.json", "generation_config.json", "model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json",
    CONFIG, WEIGHTS, RECORD, TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    CARD, PUBLICATION,
)  # fmt: skip

_SPECIAL = ("bos_token", "eos_token", "pad_token")
# Every token that the tokenizer encodes is of type 1, prefix: a prompt is what it is given, and an answer is never encoded.
_ALL_PREFIX = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 1}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {},
}


def is_allowed(name: str) -> bool:
    """Whether a file of this name, relative to the folder, may be published."""
    return any(fnmatchcase(name, pattern) for pattern in ALLOWED) and "/" not in name


def write_model(
    model: HrmTextForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path, dtype: str, shard: str = SHARD
) -> None:
    """Write a whole checkpoint in the fused layout that Transformers, vLLM and SGLang read.

    Args:
        model: to be published; it stays as it is.
        tokenizer: of the model.
        folder: that is there and empty.
        dtype: name of the type to publish in.
        shard: largest size of one file, as `save_pretrained` takes it.
    """
    model.config.use_cache = True  # without a cache, stock `generate` would extend the prefix over the answer
    save_whole(model, folder, DTYPES[dtype], shard)
    _edit(folder / "generation_config.json", _cached)
    write_tokenizer(tokenizer, folder)


def write_adapter(adapter: Adapter, tokenizer: PreTrainedTokenizerFast, folder: Path, base: str | None) -> None:
    """Write an adapter as PEFT reads it.

    Args:
        adapter: to be published as it is.
        tokenizer: of its base.
        folder: that is there and empty.
        base: what others find its base under: a Hub id, `tiny`, or None for one that is nowhere to be found.
    """
    save_file(load_file(adapter.folder / WEIGHTS), folder / WEIGHTS, metadata={"format": "pt"})
    shutil.copyfile(adapter.folder / CONFIG, folder / CONFIG)
    _edit(folder / CONFIG, lambda config: config | {"base_model_name_or_path": base})
    if adapter.record:
        text = json.dumps(adapter.record | {"base": base}, indent=2)
        (folder / RECORD).write_text(text + "\n", encoding="utf-8")
    write_tokenizer(tokenizer, folder)


def write_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the tokenizer so that what it encodes is read in both directions, by Transformers alone.

    `model.generate(**tokenizer.apply_chat_template(...))` then carries `token_type_ids`. Transformers' pipelines drop them,
    and a training text that ends in an answer would be marked as a whole: hrm_align ignores them for that reason.
    """
    tokenizer.save_pretrained(folder)
    _edit(folder / TOKENIZER, _marked)
    _edit(folder / "tokenizer_config.json", _emitting)
    special = {name: str(getattr(tokenizer, name)) for name in _SPECIAL if getattr(tokenizer, name)}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each weight file, by name."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        found[path.name] = digest.hexdigest()
    return found


def _marked(state: dict[str, Any]) -> dict[str, Any]:
    own = state.get("post_processor")
    plain = own is None or (own["type"] == "TemplateProcessing" and not own["special_tokens"])
    both = {"type": "Sequence", "processors": [own, _ALL_PREFIX]}
    return state | {"post_processor": _ALL_PREFIX if plain else both, "truncation": None, "padding": None}


def _emitting(config: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in ("is_local", "local_files_only", "name_or_path")}
    emitted = ["input_ids", "token_type_ids", "attention_mask"]
    return kept | {"model_input_names": emitted, "padding_side": "left"}


def _cached(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not key.startswith("_")} | {"use_cache": True}


def _edit(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    document = change(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
