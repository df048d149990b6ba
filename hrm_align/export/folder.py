"""The files of an exported folder, and nothing else: weights, configs, and a tokenizer that marks the prompt as prefix.

`ALLOWED` lists what may leave. `require_clean` is a net of last resort behind it: it looks in what is left for keys, passwords,
and paths of the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from huggingface_hub import get_token
from safetensors.torch import load_file, save_file
from transformers import HrmTextForCausalLM, PreTrainedTokenizerFast

from hrm_align.errors import UserError
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

# With beginnings that nothing else has, so that they are sought in vocabularies too.
_KEYS = {
    "a token of the Hub": r"\bhf_[A-Za-z0-9]{16,}",
    "a key of OpenAI, Anthropic or the like": r"\bsk-[A-Za-z0-9_-]{16,}",
    "a key of AWS": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})",
    "a token of GitLab": r"\bglpat-[A-Za-z0-9_-]{16,}",
    "a key of Google": r"\bAIza[A-Za-z0-9_-]{30,}",
    "a token of Slack": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a web token": r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
}
_PLACES = {
    "a password in an address": r"(?i:\b[a-z][a-z0-9+.-]*://[^/\s@\"']+@)",
    # Two parts and more, after nothing that makes it a share of an address or of a relative path.
    "a path of a machine": r"file://|(?<![\w./<])/(?!/)(?:[\w.-]+/)+[\w.-]+|\b[A-Za-z]:(?:\\+|/)[\w.-]+[\\/]",
}
_SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASS|PWD|CREDENTIAL|WEBHOOK|DSN|_PAT$", re.IGNORECASE)
_SHORTEST, _SHORTEST_IN_WORDS = 8, 20  # characters of a value that is sought; in a vocabulary a short one may be a word
_HEADER = 1 << 24  # bytes at the start of a weight file, which hold its header


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


@dataclass(frozen=True)
class Finding:
    """Something that must not leave; the secret itself is never repeated."""

    file: str
    line: int
    kind: str


def require_clean(folder: Path) -> None:
    """Raises UserError, naming file, line and kind, if something is found that must not leave."""
    found = [*findings(folder)]
    if found:
        told = "".join(f"\n  {finding.file}:{finding.line}: {finding.kind}" for finding in found[:5])
        raise UserError(
            f"what must not be published was found:{told}\nTake it out (of the run's chat template, settings, or the names of "
            "its data sets), and export again."
        )


def findings(folder: Path, environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Look through every file: texts whole, of weights the header.

    Args:
        folder: about to be published.
        environment: whose values under names such as `..._TOKEN` and `..._KEY` must not occur, nor the Hub's token.
    """
    known = {f"the value of ${name}": value for name, value in environment.items() if _SECRET_NAME.search(name)}
    known["your token of the Hub"] = get_token() or ""
    homes = {f"{home}/" for home in (Path.home(), Path.cwd()) if home != Path("/")}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, text = str(path.relative_to(folder)), _text(path)
        words = path.name == TOKENIZER
        shortest = _SHORTEST_IN_WORDS if words else _SHORTEST
        sought = [(kind, value) for kind, value in known.items() if len(value) >= shortest]
        sought += [] if words else [("a path of this machine", home) for home in homes]
        for kind, value in sought:
            for form in {value, json.dumps(value)[1:-1]}:  # as it is, and as JSON writes it
                if form in f"{name}\n{text}":
                    yield Finding(name, text[: text.find(form)].count("\n") + 1 if form in text else 0, kind)
        patterns = _KEYS if words else _KEYS | _PLACES
        for kind, pattern in patterns.items():
            if match := re.search(pattern, text):
                yield Finding(name, text[: match.start()].count("\n") + 1, kind)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_HEADER) if path.suffix == ".safetensors" else file.read()
    if path.suffix == ".safetensors":
        content = content[8 : 8 + int.from_bytes(content[:8], "little")]
    return content.decode("utf-8", "replace")
