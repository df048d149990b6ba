"""Tokenization of examples: training documents, and prompts for generation.

Unusable examples (too long, no answer, no room for an answer) are dropped whole and counted with their places, never
silently truncated.
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
from hrm_align.progress import stage, track
from hrm_align.rendering import Document, Renderer, get_renderer

if TYPE_CHECKING:
    from hrm_align.config.arguments import DataArguments
    from hrm_align.data.stream_chunks import StreamPlan

NAMED_ROWS = 5  # dropped rows that an error or a report lists
REMEDIES = {  # by the reason for which an example is dropped
    "too_long": "for rows that are too long, raise --max_length (now {max_length}) or shorten the rows",
    "empty_response": "for rows without an answer, add the answer (rows with only a prompt are for `hrm-align grpo`)",
}


@dataclass
class Dropped:
    """Dropped examples: counts by reason, and the places of the first few of each reason."""

    counts: Counter[str] = field(default_factory=Counter)
    sources: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, source: str) -> None:
        """Count one dropped example."""
        self.counts[reason] += 1
        listed = self.sources.setdefault(reason, [])
        if len(listed) < NAMED_ROWS:
            listed.append(source)

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
        examples: examples to render.
        renderer: renderer of the model's tokenizer.
        max_length: longest document in tokens. A longer document is dropped whole, because truncation would remove its
            end token or its question.
        max_dropped_fraction: largest share of examples that may be dropped without an error.

    Returns:
        A data set with the columns `input_ids` (list of int), `prefix_length` and `length` (tokens), `condition` and
        `source`; and the dropped examples, whose reasons are `empty_response` and `too_long`.

    Raises:
        UserError: if more than `max_dropped_fraction` was dropped, or no example is left.
    """
    rows: dict[str, list] = {"input_ids": [], "prefix_length": [], "length": [], "condition": [], "source": []}
    dropped = Dropped()
    for example in examples:
        document = usable_document(example, renderer, max_length, dropped)
        if document is None:
            continue
        ids = document.input_ids
        values = (ids, document.prefix_length, len(ids), example.condition, example.source)
        for column, value in zip(rows, values, strict=True):
            rows[column].append(value)
    _check_dropped(len(rows["source"]), dropped, max_length, max_dropped_fraction)
    return Dataset.from_dict(rows), dropped


def usable_document(example: Example, renderer: Renderer, max_length: int, dropped: Dropped) -> Document | None:
    """Render an example; None, counted in `dropped`, if it has no answer or more than `max_length` tokens."""
    if not example.answer.content.strip() and not example.answer.tool_calls:
        dropped.add("empty_response", example.source)
        return None
    document = renderer.document(example.messages, example.answer, example.condition)
    if len(document.input_ids) > max_length:
        dropped.add("too_long", example.source)
        return None
    return document


def _check_dropped(n_used: int, dropped: Dropped, max_length: int, limit: float) -> None:
    n_dropped = dropped.counts.total()
    total = n_used + n_dropped
    if n_used and n_dropped <= limit * total:
        return
    if not n_dropped:
        raise UserError("no example is left to train on: the data set is empty. Add rows, or hold out fewer.")
    remedies = [REMEDIES[reason].format(max_length=max_length) for reason in dropped.counts]
    if n_used:  # if no example is left, allowing a larger share does not help
        share = math.ceil(1000 * n_dropped / total) / 1000
        remedies.append(f"or allow a share with --max_dropped_fraction {share:g}")
    problem = f"{n_dropped} of {total} examples cannot be used" if n_used else "no example is left to train on"
    raise UserError(f"{problem}: {dropped}. Remedy: {'; '.join(remedies)}.")


def select_answerable_prompts(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, longest: int, max_dropped_fraction: float
) -> tuple[list[Example], dict[str, Any]]:
    """Select the examples whose prompt has at most `longest` tokens; longer ones are dropped whole.

    Args:
        examples: examples to select from.
        tokenizer: tokenizer of the model.
        longest: number of the model's positions minus `max_completion_length`, in tokens.
        max_dropped_fraction: largest share of examples that may be dropped without an error.

    Returns:
        The selected examples, and counts of the dropped ones by reason, for run/data.json.

    Raises:
        UserError: if more than `max_dropped_fraction` was dropped, or no example is left.
    """
    answerable, dropped, renderer = [], Dropped(), get_renderer(tokenizer)
    for example in track(examples, "tokenizing prompts", total=len(examples)):
        if len(renderer.prompt(example.messages, example.condition)) <= longest:
            answerable.append(example)
        else:
            dropped.add("too_long", example.source)
    n_dropped = len(examples) - len(answerable)
    if not answerable or n_dropped > max_dropped_fraction * len(examples):
        raise UserError(
            f"{n_dropped} of {len(examples)} prompts are longer than {longest} tokens, the model's positions minus "
            f"max_completion_length: {dropped}. Shorten the prompts, lower max_completion_length, or allow more dropped rows "
            "with max_dropped_fraction."
        )
    counts = {"by_reason": dict(dropped.counts), "first_rows": dropped.sources}
    return answerable, {"kept": len(answerable), "dropped": counts}


def tokenized(
    run: RunData, data: DataArguments, tokenizer: PreTrainedTokenizerFast, max_length: int
) -> tuple[Dataset | StreamPlan, Dataset | None]:
    """Tokenize the training and the held-out examples, and record the dropped ones in `run.counts`.

    Args:
        run: examples of the run.
        data: the recipe's data settings (`max_dropped_fraction`).
        tokenizer: tokenizer of the model.
        max_length: longest document, in tokens.

    Returns:
        The training data set and the held-out one, each as from `tokenize`; None if no example is held out. Of streamed rows
        the `StreamPlan`, which tokenizes them while training runs.

    Raises:
        UserError: as in `tokenize`.
    """
    datasets: dict[str, Any] = {}
    if run.stream is not None:
        run.stream.tokenizer, run.stream.max_length = tokenizer, max_length
        datasets["train"] = run.stream
    for name, examples in (("train", run.train), ("eval", run.held_out)):
        if name in datasets or (not examples and name == "eval"):
            continue
        rows = "held-out rows" if name == "eval" else "rows"
        with stage(f"tokenizing {len(examples):,} {rows}") as tokenizing:
            counted, renderer = tokenizing.track(examples), get_renderer(tokenizer)
            datasets[name], dropped = tokenize(counted, renderer, max_length, data.max_dropped_fraction)
        run.counts.setdefault(name, {})["kept"] = len(datasets[name])
        run.counts[name]["dropped"] = {"by_reason": dict(dropped.counts), "first_rows": dropped.sources}
    return datasets["train"], datasets.get("eval")
