"""What the run, what it began with and the exported folder are asked: held-out rows, none of which was learnt."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import last_turns
from hrm_align.export.merging import PROMPTS
from hrm_align.export.parity import templated
from hrm_align.rendering import DEFAULT_CONDITION, Message, renderer_of
from hrm_align.run_folder import Source

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Questions:
    """Rows to be asked.

    Args:
        examples: the rows.
        paths: their data sets; empty for built-in prompts, which have no answers.
        left_out: rows that cannot be asked: without an answer or room for one, or with text that the chat template refuses.
        limit: of the rows of each data set.
    """

    examples: list[Example]
    paths: list[str]
    left_out: int
    limit: int

    @property
    def graded(self) -> bool:
        """Whether they have answers."""
        return bool(self.paths)


def questions_of(
    source: Source, paths: Sequence[str], limit: int, tokenizer: PreTrainedTokenizerFast, room: int
) -> Questions:
    """The rows named, else the held-out ones of the run; else a few prompts that ask for nothing in particular.

    Args:
        source: the run.
        paths: files, directories or Hub ids; of the latter two the split `test`.
        limit: only the first so many rows of each.
        tokenizer: of the model.
        room: longest prompt, in tokens.

    Raises:
        UserError: for rows that cannot be read or asked, or that the run has learnt.
    """
    condition = source.settings.get("condition", DEFAULT_CONDITION)
    entries: list[dict[str, Any]] = [
        {"path": path, **({} if Path(path).is_file() else {"split": "test"})} for path in paths
    ]
    specs = [DatasetSpec.from_dict(entry) for entry in entries or source.settings.get("eval_datasets") or []]
    try:
        files = [_held_out(spec, condition, source)[:limit] for spec in specs]
    except UserError as error:
        if paths:
            raise
        logger.warning("the run's held-out rows cannot be read, so nothing is scored: %s", error)
        files = []
    read = [example for file in files for example in file]
    render = renderer_of(tokenizer)
    answered = [example for example in templated(read, tokenizer) if example.reference.strip()]
    examples = [example for example in answered if len(render.prompt(example.messages, example.condition)) <= room]
    if paths and not examples:
        raise UserError("no row of --data can be asked: it needs an answer, and room for --max_new_tokens.")
    if examples:
        return Questions(examples, [spec.path for spec in specs], len(read) - len(examples), limit)
    nothing = Message("assistant", "")
    asked = [Example((Message("user", text),), nothing, source.condition or condition, "built in") for text in PROMPTS]
    return Questions(asked, [], 0, limit)


def _held_out(spec: DatasetSpec, condition: str, source: Source) -> list[Example]:
    examples, counts = load_examples([spec], default_condition=condition)
    ours = counts.datasets[0].fingerprint
    for part in ("train", "replay"):
        if any(ours == learnt.get("fingerprint") for learnt in source.data.get(part, {}).get("datasets", [])):
            raise UserError(
                f"{spec.path} holds the very rows that the run has learnt: name others, that it has not seen."
            )
    return last_turns(examples)
