"""Choose the rows of an export: held-out rows that the starting model, the run and the exported folder all answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from hrm_align.data.dataset import load_examples
from hrm_align.data.examples import REFERENCES, Example
from hrm_align.data.specs import DatasetSpec
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import last_turns
from hrm_align.export.merging import PROMPTS
from hrm_align.export.parity import templated
from hrm_align.rendering import DEFAULT_CONDITION, Message, get_renderer
from hrm_align.run_folder import Source

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Questions:
    """Rows to answer in an export.

    Args:
        examples: the rows.
        paths: their data sets; empty for the built-in prompts, which have no references.
        left_out: number of rows skipped, because they have no reference, leave no room for an answer, or contain text that the
            chat template refuses.
        limit: largest number of rows taken from each data set.
    """

    examples: list[Example]
    paths: list[str]
    left_out: int
    limit: int

    @property
    def graded(self) -> bool:
        """Whether the rows have references to grade against."""
        return bool(self.paths)


def load_questions(
    source: Source, paths: Sequence[str], limit: int, tokenizer: PreTrainedTokenizerFast, room: int
) -> Questions:
    """Return the rows of `paths`; without paths the held-out rows of the run; without either a few built-in prompts.

    Args:
        source: the run.
        paths: files, directories or Hub ids; directories and Hub ids are read with the split `test`.
        limit: largest number of rows taken from each.
        tokenizer: of the model.
        room: longest prompt allowed, in tokens.

    Raises:
        UserError: for rows of `paths` that cannot be read or answered, or that the run was trained on.
    """
    condition = source.settings.get("condition", DEFAULT_CONDITION)
    entries: list[dict[str, Any]] = [
        {"path": path, **({} if Path(path).is_file() else {"split": "test"})} for path in paths
    ]
    specs = [DatasetSpec.from_dict(entry) for entry in entries or source.held_out]
    try:
        files = [_held_out(spec, condition, source)[:limit] for spec in specs]
    except UserError as error:
        if paths:
            raise
        logger.warning(
            "the export is not scored, because the run's held-out rows cannot be read: %s Name held-out rows with --data.",
            error,
        )
        files = []
    candidates = [example for file in files for example in file]
    render = get_renderer(tokenizer)
    answered = [example for example in templated(candidates, tokenizer) if example.reference.strip()]
    examples = [example for example in answered if len(render.prompt(example.messages, example.condition)) <= room]
    if paths and not examples:
        raise UserError(
            "no row of --data can be scored. Give rows with a reference, whose prompts leave room for --max_new_tokens."
        )
    if examples:
        return Questions(examples, [spec.path for spec in specs], len(candidates) - len(examples), limit)
    no_reference = Message("assistant", "")
    built_in = [
        Example((Message("user", text),), no_reference, source.condition or condition, "built in") for text in PROMPTS
    ]
    return Questions(built_in, [], 0, limit)


def _held_out(spec: DatasetSpec, condition: str, source: Source) -> list[Example]:
    """Load a data set's rows. Raises UserError if the run was trained on the same rows, by their fingerprint."""
    examples, counts = load_examples(
        [spec],
        default_condition=condition,
        max_bad_fraction=source.settings.get("max_bad_fraction") or None,
        kind=REFERENCES,
    )
    fingerprint = counts.datasets[0].fingerprint
    for part in ("train", "replay"):
        datasets = source.data.get(part, {}).get("datasets", [])
        if any(fingerprint == dataset.get("fingerprint") for dataset in datasets):
            raise UserError(
                f"{spec.path} contains the rows that the run was trained on. Name held-out rows that the run has not seen."
            )
    return last_turns(examples)
