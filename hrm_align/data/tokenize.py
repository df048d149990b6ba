"""Examples to token ids, for training and for prompts that are to be answered.

What cannot be used (too long, no room for an answer) is dropped by name and counted, never silently changed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from hrm_align.data.examples import Example, RunData
from hrm_align.errors import UserError
from hrm_align.rendering import Renderer, renderer_of

if TYPE_CHECKING:
    from hrm_align.config.arguments import DataArguments

NAMED_ROWS = 5  # how many dropped rows an error or a report names
REMEDIES = {  # by the reason for which an example is dropped
    "too_long": "for those too long, raise --max_length (now {max_length}) or shorten the rows",
    "empty_response": "fine-tuning needs an answer in every row, so add those that are missing (prompts alone are for "
    "`hrm-align grpo`)",
}


@dataclass
class Dropped:
    """Examples that were not used: how many by reason, and where the first few of each stand."""

    counts: Counter[str] = field(default_factory=Counter)
    sources: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, source: str) -> None:
        """Count one example."""
        self.counts[reason] += 1
        named = self.sources.setdefault(reason, [])
        if len(named) < NAMED_ROWS:
            named.append(source)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        return "; ".join(
            f"{count} {reason} ({', '.join(self.sources[reason])}{', ...' if count > NAMED_ROWS else ''})"
            for reason, count in self.counts.items()
        )


def tokenize(
    examples: Iterable[Example], renderer: Renderer, max_length: int, max_dropped_fraction: float = 1.0
) -> tuple[Dataset, Dropped]:
    """Render examples into a data set of token ids.

    Args:
        examples: what to render.
        renderer: of the model's tokenizer.
        max_length: the longest document kept, in tokens. A longer one is dropped whole: cut, it would lose its end
            token or its question.
        max_dropped_fraction: the share of examples that may be dropped before it is an error.

    Returns:
        A data set with the columns `input_ids` (list of int), `prefix_length` and `length` (tokens), `condition` and
        `source`; and what was dropped: `empty_response` or `too_long`.

    Raises:
        UserError: if more than `max_dropped_fraction` was dropped, or nothing is left.
    """
    rows: dict[str, list] = {"input_ids": [], "prefix_length": [], "length": [], "condition": [], "source": []}
    dropped = Dropped()
    for example in examples:
        if not example.answer.content.strip() and not example.answer.tool_calls:
            dropped.add("empty_response", example.source)
            continue
        document = renderer.document(example.messages, example.answer, example.condition)
        if len(document.input_ids) > max_length:
            dropped.add("too_long", example.source)
            continue
        ids = document.input_ids
        values = (ids, document.prefix_length, len(ids), example.condition, example.source)
        for column, value in zip(rows, values, strict=True):
            rows[column].append(value)
    _check_dropped(len(rows["source"]), dropped, max_length, max_dropped_fraction)
    return Dataset.from_dict(rows), dropped


def _check_dropped(kept: int, dropped: Dropped, max_length: int, limit: float) -> None:
    lost = dropped.counts.total()
    if kept and lost <= limit * (kept + lost):
        return
    if not lost:
        raise UserError("no example is left to train on: the data set is empty. Add rows, or hold out fewer.")
    remedies = [REMEDIES[reason].format(max_length=max_length) for reason in dropped.counts]
    if kept:  # with nothing left, there is no share to allow
        share = math.ceil(1000 * lost / (kept + lost)) / 1000
        remedies.append(f"or allow a share with --max_dropped_fraction {share:g}")
    told = f"{lost} of {kept + lost} examples cannot be used" if kept else "no example is left to train on"
    raise UserError(f"{told}: {dropped}. Remedy: {'; '.join(remedies)}.")


def answerable_prompts(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, longest: int, max_dropped_fraction: float
) -> tuple[list[Example], dict[str, Any]]:
    """The examples whose prompt has at most `longest` tokens; a longer one is dropped whole, because cut it would lose
    its question.

    Args:
        examples: as read.
        tokenizer: of the model.
        longest: positions of the model, less those of the answer.
        max_dropped_fraction: share above which it is an error.

    Returns:
        The prompts, and counts of the dropped ones by reason, for run/data.json.

    Raises:
        UserError: if more was dropped, or nothing is left.
    """
    kept, dropped, render = [], Dropped(), renderer_of(tokenizer)
    for example in examples:
        if len(render.prompt(example.messages, example.condition)) <= longest:
            kept.append(example)
        else:
            dropped.add("too_long", example.source)
    if not kept or len(examples) - len(kept) > max_dropped_fraction * len(examples):
        raise UserError(
            f"{len(examples) - len(kept)} of {len(examples)} prompts are longer than {longest} tokens, which is what the "
            f"answer (max_completion_length) leaves of the model's positions: {dropped}. Shorten one of them, or allow "
            "more to be dropped with max_dropped_fraction."
        )
    return kept, {"kept": len(kept), "dropped": {"by_reason": dict(dropped.counts), "first_rows": dropped.sources}}


def tokenized(
    run: RunData, data: DataArguments, tokenizer: PreTrainedTokenizerFast, max_length: int
) -> tuple[Dataset, Dataset | None]:
    """Token ids of both sets; what is dropped, and why, goes into the account.

    Raises:
        UserError: as `tokenize`.
    """
    datasets: dict[str, Dataset] = {}
    for name, examples in (("train", run.train), ("eval", run.held_out)):
        if not examples and name == "eval":
            continue
        datasets[name], dropped = tokenize(examples, renderer_of(tokenizer), max_length, data.max_dropped_fraction)
        run.account.setdefault(name, {})["kept"] = len(datasets[name])
        run.account[name]["dropped"] = {"by_reason": dict(dropped.counts), "first_rows": dropped.sources}
    return datasets["train"], datasets.get("eval")
