"""Write the files of an exported folder (weights, configs, a tokenizer that marks the prompt as prefix), and scan them for secrets.

`ALLOWED` lists the files that may be published. `require_clean` is a second safeguard: it searches these files for keys, passwords
and paths of this machine.
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
# Files that may be published: no optimizer state, no pickled arguments, no logs, no data.
ALLOWED = (
    "config.json", "generation_config.json", "model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json",
    CONFIG, WEIGHTS, RECORD, TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    CARD, PUBLICATION, "*.gguf",
)  # fmt: skip

_NOT_PORTABLE = ("is_local", "local_files_only", "name_or_path", "auto_map", "backend", "extra_special_tokens")
_SPECIAL = ("bos_token", "eos_token", "pad_token")
# A post-processor that gives every encoded token the type 1, prefix: the tokenizer encodes prompts, never answers.
_ALL_PREFIX = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 1}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {},
}

# Patterns with prefixes that occur in keys only, so that a tokenizer's vocabulary can be searched for them too.
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
    # Two path components or more, not preceded by a character that makes them part of a URL or of a relative path.
    "a path of a machine": r"file://|(?<![\w./<])/(?!/)(?:[\w.-]+/)+[\w.-]+|\b[A-Za-z]:(?:\\+|/)[\w.-]+[\\/]",
}
_SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASS|PWD|CREDENTIAL|WEBHOOK|DSN|_PAT$", re.IGNORECASE)
# Least length, in characters, of a secret value that is searched for; a shorter value may be an ordinary word of a vocabulary.
_MIN_LENGTH, _MIN_LENGTH_IN_VOCABULARY = 8, 20
_HEADER = 1 << 24  # bytes read from the start of a weight file, which contain its header


def is_allowed(name: str) -> bool:
    """Return whether a file of this name, relative to the folder, may be published."""
    return any(fnmatchcase(name, pattern) for pattern in ALLOWED) and "/" not in name


def write_model(
    model: HrmTextForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path, dtype: str, shard: str = SHARD
) -> None:
    """Write a whole checkpoint in the fused layout that Transformers, vLLM and SGLang read.

    Args:
        model: the model to write; its weights are not changed.
        tokenizer: of the model.
        folder: an existing, empty folder.
        dtype: name of the dtype to write in.
        shard: largest size of one file, in the notation of `save_pretrained` ("5GB").
    """
    model.config.use_cache = True  # without a KV cache, stock `generate` extends the prefix mask over the answer
    save_whole(model, folder, DTYPES[dtype], shard)
    _edit_json(folder / "generation_config.json", _enable_cache)
    write_tokenizer(tokenizer, folder, model.config.max_position_embeddings)


def write_adapter(
    adapter: Adapter, tokenizer: PreTrainedTokenizerFast, folder: Path, base: str | None, positions: int
) -> None:
    """Write an adapter in PEFT's format.

    Args:
        adapter: the adapter to write, unchanged.
        tokenizer: of its base.
        folder: an existing, empty folder.
        base: published name of its base: a Hub id, `tiny`, or None if the base is not published.
        positions: positions of the base.
    """
    save_file(load_file(adapter.folder / WEIGHTS), folder / WEIGHTS, metadata={"format": "pt"})
    shutil.copyfile(adapter.folder / CONFIG, folder / CONFIG)
    _edit_json(folder / CONFIG, lambda config: config | {"base_model_name_or_path": base})
    if adapter.record:
        text = json.dumps(adapter.record | {"base": base}, indent=2)
        (folder / RECORD).write_text(text + "\n", encoding="utf-8")
    write_tokenizer(tokenizer, folder, positions)


def write_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path, positions: int) -> None:
    """Write the tokenizer so that it marks every token as prefix, which gives prompts the prefix mask in stock Transformers.

    `model.generate(**tokenizer.apply_chat_template(...))` then passes `token_type_ids` of 1 for the prompt. Transformers'
    pipelines drop `token_type_ids`. hrm_align ignores those of this tokenizer, because a training text that ends in an answer
    would be marked as prefix as a whole.

    Args:
        tokenizer: of the model.
        folder: an existing folder.
        positions: positions of the model, which are the longest text of the tokenizer.
    """
    tokenizer.save_pretrained(folder)
    _edit_json(folder / TOKENIZER, _mark_as_prefix)
    _edit_json(folder / "tokenizer_config.json", lambda config: _make_portable(config, positions))
    special = {name: str(getattr(tokenizer, name)) for name in _SPECIAL if getattr(tokenizer, name)}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 digest of each weight file, by file name."""
    by_name = {}
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.gguf")]):
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        by_name[path.name] = digest.hexdigest()
    return by_name


def _mark_as_prefix(state: dict[str, Any]) -> dict[str, Any]:
    """Append `_ALL_PREFIX` to the post-processor in tokenizer.json, or replace a post-processor without special tokens."""
    own = _keep_spaces(state.get("post_processor"))
    is_replaceable = own is None or (own["type"] == "TemplateProcessing" and not own["special_tokens"])
    both = {"type": "Sequence", "processors": [own, _ALL_PREFIX]}
    return state | {"post_processor": _ALL_PREFIX if is_replaceable else both, "truncation": None, "padding": None}


def _keep_spaces(processor: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a post-processor whose offsets include spaces: Transformers marks no token of an answer whose first space has none."""
    if processor is None:
        return None
    if "processors" in processor:
        processor = processor | {"processors": [_keep_spaces(inner) for inner in processor["processors"]]}
    return processor | {"trim_offsets": False} if "trim_offsets" in processor else processor


def _make_portable(config: dict[str, Any], positions: int) -> dict[str, Any]:
    """Return a tokenizer config that returns `token_type_ids`, pads on the left, and loads in old releases of Transformers too.

    The class takes tokenizer.json as it is in every release, extra special tokens are listed under the name that every
    release reads, and keys that name this machine's files or code beside the tokenizer are left out.
    """
    public = {key: value for key, value in config.items() if key not in _NOT_PORTABLE}
    longest = config.get("model_max_length")
    extra = config.get("extra_special_tokens")
    return public | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": min(longest, positions) if isinstance(longest, int | float) else positions,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "padding_side": "left",
        **({"additional_special_tokens": extra} if isinstance(extra, list) and extra else {}),
    }


def _enable_cache(config: dict[str, Any]) -> dict[str, Any]:
    """Turn the KV cache on in generation_config.json, and leave out private keys."""
    return {key: value for key, value in config.items() if not key.startswith("_")} | {"use_cache": True}


def _edit_json(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Replace a JSON file by what `change` returns for its content."""
    document = change(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Finding:
    """A place with a possible secret: file, line (from 1; 0 for the file name) and kind. The secret itself is not stored."""

    file: str
    line: int
    kind: str


def require_clean(folder: Path) -> None:
    """Raise UserError if a file of the folder seems to contain a secret; the message names file, line and kind."""
    secrets = [*findings(folder)]
    if secrets:
        places = "".join(f"\n  {secret.file}:{secret.line}: {secret.kind}" for secret in secrets[:5])
        raise UserError(
            f"the folder contains what must not be published:{places}\nRemove each from its source (the run's chat template or "
            "settings, or the name of a data set), and export again."
        )


def findings(folder: Path, environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Search every file of a folder for secrets: text files as a whole, of weight files the header.

    Args:
        folder: folder to publish.
        environment: environment variables; the values of those named like `..._TOKEN` or `..._KEY` are searched for, and so is
            the user's Hub token.
    """
    # What to search for: values of environment variables, the Hub token, and paths of this machine.
    known = {f"the value of ${name}": value for name, value in environment.items() if _SECRET_NAME.search(name)}
    known["your token of the Hub"] = get_token() or ""
    homes = {f"{home}/" for home in (Path.home(), Path.cwd()) if home != Path("/")}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, text = str(path.relative_to(folder)), _read_text(path)
        is_vocabulary = path.name == TOKENIZER
        min_length = _MIN_LENGTH_IN_VOCABULARY if is_vocabulary else _MIN_LENGTH
        values = [(kind, value) for kind, value in known.items() if len(value) >= min_length]
        values += [] if is_vocabulary else [("a path of this machine", home) for home in homes]
        for kind, value in values:
            for form in {value, json.dumps(value)[1:-1]}:  # literally, and with JSON's escapes
                if form in f"{name}\n{text}":
                    yield Finding(name, text[: text.find(form)].count("\n") + 1 if form in text else 0, kind)
        patterns = _KEYS if is_vocabulary else _KEYS | _PLACES
        for kind, pattern in patterns.items():
            if match := re.search(pattern, text):
                yield Finding(name, text[: match.start()].count("\n") + 1, kind)


def _read_text(path: Path) -> str:
    """Read a file as text; of a weight file only the JSON header, of a GGUF file the metadata before the vocabulary."""
    with path.open("rb") as file:
        content = file.read(_HEADER) if path.suffix in (".safetensors", ".gguf") else file.read()
    if path.suffix == ".gguf":
        content = content.partition(b"tokenizer.ggml.tokens")[0]
    if path.suffix == ".safetensors":
        content = content[8 : 8 + int.from_bytes(content[:8], "little")]
    return content.decode("utf-8", "replace")
