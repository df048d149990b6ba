"""Files of a checkpoint (JSON files, headers of the weights), read without Transformers, and the findings of checks on them.

Checkpoints that `load_config` refuses can be checked too. A finding has a problem, a remedy and, if possible, a fix. If
two settings contradict each other and the weights do not decide between them, the finding has no fix, and its remedy
names the value to look up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import HrmTextConfig

from hrm_align.errors import UserError
from hrm_align.models.checkpoint_format import Stored, stored_tensors
from hrm_align.models.reward_model import SCORE

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
GENERATION, LEGACY_SPECIALS = "generation_config.json", "special_tokens_map.json"
DOCUMENTS = (CONFIG, TOKENIZER, TOKENIZER_CONFIG, GENERATION, LEGACY_SPECIALS)
TEMPLATE, INDEX = "chat_template.jinja", "model.safetensors.index.json"
SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "head_dim")


@dataclass
class Checkpoint:
    """Files of a checkpoint: parsed JSON files, and headers of its tensors.

    Fixes change `documents`, `template` and `fuse`; `fix.save` writes the changed files.
    """

    folder: Path
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)  # reason by file name
    tensors: dict[str, Stored] = field(default_factory=dict)
    tokenizer: Tokenizer | None = None
    template: str | None = None
    fuse: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """The keys of config.json."""
        return self.documents[CONFIG]

    @property
    def is_reward_model(self) -> bool:
        """Whether the weights have a score head, and no head of a language model."""
        return f"{SCORE}.weight" in self.tensors and "lm_head.weight" not in self.tensors

    def size(self, key: str) -> int:
        """Return a number of the config, or Transformers' default if the config does not have the key."""
        value: int = self.config.get(key, getattr(HrmTextConfig, key))
        return value

    def token_id(self, token: str) -> int | None:
        """Return the id of a token; None if the tokenizer is missing or lacks it."""
        return self.tokenizer.token_to_id(token) if self.tokenizer is not None else None

    def saved_layers(self) -> dict[str, set[int]]:
        """Return the numbers of the layers that have a saved tensor, for each of the stacks H and L."""
        numbers: dict[str, set[int]] = {"H": set(), "L": set()}
        for name in self.tensors:
            if match := re.match(r"model\.([HL])_module\.layers\.(\d+)\.", name):
                numbers[match[1]].add(int(match[2]))
        return numbers


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint's JSON files, tensor headers, tokenizer and template; damaged files are listed in `damaged`.

    Raises:
        UserError: if config.json cannot be read, or the model is no HRM-Text.
    """
    checkpoint = Checkpoint(folder)
    for name in DOCUMENTS:
        read_document(checkpoint, name)
    if CONFIG not in checkpoint.documents or CONFIG in checkpoint.damaged:
        reason = checkpoint.damaged.get(CONFIG, "is missing")
        raise UserError(f"{folder / CONFIG} {reason}. Copy config.json again.")
    if checkpoint.config.get("model_type") != "hrm_text":
        kind = checkpoint.config.get("model_type")
        raise UserError(
            f"{folder} is a {kind!r} model, no HRM-Text. Name an hrm_text checkpoint; no other can be checked."
        )
    try:
        checkpoint.tensors = stored_tensors(folder)
    except UserError as error:
        checkpoint.damaged["model.safetensors"] = str(error)
    if TOKENIZER in checkpoint.documents:
        try:
            checkpoint.tokenizer = Tokenizer.from_str(json.dumps(checkpoint.documents[TOKENIZER]))
        except Exception as error:  # the Rust library raises bare Exceptions
            checkpoint.damaged[TOKENIZER] = f"is damaged ({str(error)[:100]})"
    if (folder / TEMPLATE).exists():
        checkpoint.template = (folder / TEMPLATE).read_text(encoding="utf-8", errors="replace")
    return checkpoint


def read_document(checkpoint: Checkpoint, name: str) -> None:
    """Read a JSON file into `checkpoint.documents`, or its fault into `checkpoint.damaged`; a missing file is skipped."""
    path = checkpoint.folder / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        checkpoint.damaged[name], content = f"is damaged ({error})", {}
    if name not in checkpoint.damaged or name != TOKENIZER:
        checkpoint.documents[name] = content


GONE = object()  # the value for `set_keys` that removes a key


@dataclass(frozen=True)
class Finding:
    """One fault of a checkpoint.

    Args:
        check: identifier of the check, for programs.
        problem: description of the fault, with the file.
        remedy: what to do about the fault.
        fix: function that applies the remedy in memory; None if only the user can apply the remedy.
    """

    check: str
    problem: str
    remedy: str
    fix: Callable[[Checkpoint], None] | None = None


Findings = Iterator[Finding]


def fixable_finding(check: str, document: str, problem: str, **values: Any) -> Finding:
    """Make a finding whose fix sets keys of a JSON file (removes those that are `GONE`)."""
    return Finding(check, f"{document}: {problem}", f"{_describe_changes(values)}.", set_keys(document, **values))


def set_keys(document: str, **values: Any) -> Callable[[Checkpoint], None]:
    """Return a fix that sets keys of a JSON file, or removes those that are `GONE`."""

    def apply(checkpoint: Checkpoint) -> None:
        content = checkpoint.documents.setdefault(document, {})
        for key, value in values.items():
            content.pop(key, None)
            if value is not GONE:
                content[key] = value

    return apply


def _describe_changes(values: dict[str, Any]) -> str:
    removals = [f"remove {key}" for key, value in values.items() if value is GONE]
    settings = [f"set {key} to {value}" for key, value in values.items() if value is not GONE]
    return ", ".join([*removals, *settings])
