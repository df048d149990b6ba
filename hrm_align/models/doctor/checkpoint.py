"""A checkpoint as it lies on disk (JSON files and headers of the weights), and the findings of checks on it.

Nothing is loaded through Transformers, so that what `load_config` refuses can be examined too. A finding says what is wrong,
what to do about it, and has a fix where there is one. Where two settings contradict each other and the weights cannot tell
which is right, nothing is guessed: the finding has no fix and says what to look up.
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

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
GENERATION, LEGACY_SPECIALS = "generation_config.json", "special_tokens_map.json"
DOCUMENTS = (CONFIG, TOKENIZER, TOKENIZER_CONFIG, GENERATION, LEGACY_SPECIALS)
TEMPLATE, INDEX = "chat_template.jinja", "model.safetensors.index.json"
SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "head_dim")


@dataclass
class Checkpoint:
    """A checkpoint as it lies on disk: its JSON files parsed, its tensors as headers.

    Fixes edit `documents`, `template` and `fuse`; `fix.save` writes what has changed.
    """

    folder: Path
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)  # file: why
    tensors: dict[str, Stored] = field(default_factory=dict)
    tokenizer: Tokenizer | None = None
    template: str | None = None
    fuse: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """The keys of config.json."""
        return self.documents[CONFIG]

    def size(self, key: str) -> int:
        """A number of the config, or what Transformers takes for it."""
        value: int = self.config.get(key, getattr(HrmTextConfig, key))
        return value

    def saved_layers(self) -> dict[str, set[int]]:
        """The layers of which any tensor is saved, for each of the stacks H and L."""
        found: dict[str, set[int]] = {"H": set(), "L": set()}
        for name in self.tensors:
            if match := re.match(r"model\.([HL])_module\.layers\.(\d+)\.", name):
                found[match[1]].add(int(match[2]))
        return found


def read(folder: Path) -> Checkpoint:
    """Read a checkpoint's documents and headers, damaged ones too.

    Raises:
        UserError: if its config.json cannot be read or is not that of an HRM-Text.
    """
    checkpoint = Checkpoint(folder)
    for name in DOCUMENTS:
        read_document(checkpoint, name)
    if CONFIG not in checkpoint.documents or CONFIG in checkpoint.damaged:
        why = checkpoint.damaged.get(CONFIG, "is missing")
        raise UserError(f"{folder / CONFIG} {why}: without it this is no checkpoint. Copy it again.")
    if checkpoint.config.get("model_type") != "hrm_text":
        kind = checkpoint.config.get("model_type")
        raise UserError(f"{folder} is a {kind!r} model, no HRM-Text: the doctor knows hrm_text checkpoints only.")
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
    """Put a JSON file among the checkpoint's documents, or among what is damaged; leave it out if there is none."""
    path = checkpoint.folder / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        checkpoint.damaged[name], content = f"is damaged ({error})", {}
    if name not in checkpoint.damaged or name != TOKENIZER:
        checkpoint.documents[name] = content


GONE = object()  # the value of a key that is to be removed


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Args:
        check: which check found it, a word for programs.
        problem: what, and in which file.
        remedy: what to do about it.
        mend: does it, in memory; None where nobody but the user can.
    """

    check: str
    problem: str
    remedy: str
    mend: Callable[[Checkpoint], None] | None = None


Findings = Iterator[Finding]


def mendable(check: str, document: str, problem: str, **values: Any) -> Finding:
    """A finding that setting keys of a document mends."""
    return Finding(check, f"{document}: {problem}", f"{_shown(values)}.", set_keys(document, **values))


def set_keys(document: str, **values: Any) -> Callable[[Checkpoint], None]:
    """A mend that sets keys of a document, or removes those that are `GONE`."""

    def apply(checkpoint: Checkpoint) -> None:
        content = checkpoint.documents.setdefault(document, {})
        for key, value in values.items():
            content.pop(key, None)
            if value is not GONE:
                content[key] = value

    return apply


def _shown(values: dict[str, Any]) -> str:
    gone = [f"remove {key}" for key, value in values.items() if value is GONE]
    return ", ".join([*gone, *(f"set {key} to {value}" for key, value in values.items() if value is not GONE)])
