"""Statistics of the documents of `hrm-align inspect`: lengths, conditions, turns, packing fill, tokens and steps of an epoch.

Lengths are those of all rendered documents, also of those that `max_length` drops; nothing but two integers a document is kept.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset

from hrm_align.data.encode import TOO_LONG
from hrm_align.data.packing import best_fit

BARS = 12  # bars of a histogram, at most
EXTREMES = 3  # longest and shortest documents that are named


def bars_of(lengths: Sequence[int]) -> list[list[int]]:
    """Count lengths in bars of equal width: lists of first length, last length and count; every length is in one bar."""
    if not lengths:
        return []
    low, high = min(lengths), max(lengths)
    width = math.ceil((high - low + 1) / BARS)
    counts = Counter((length - low) // width for length in lengths)
    return [
        [low + bar * width, min(low + (bar + 1) * width - 1, high), counts[bar]]
        for bar in range((high - low) // width + 1)
    ]


def spread_of(lengths: Sequence[int]) -> dict[str, Any]:
    """Return `min`, `median`, `mean`, `p95`, `max` and the histogram `bars` of lengths, in tokens (nearest-rank quantiles)."""
    ranked = sorted(lengths)
    if not ranked:
        return {"min": 0, "median": 0, "mean": 0, "p95": 0, "max": 0, "bars": []}
    quantiles = {name: ranked[math.ceil(q * len(ranked)) - 1] for name, q in (("median", 0.5), ("p95", 0.95))}
    mean = round(sum(ranked) / len(ranked), 1)
    return {"min": ranked[0], **quantiles, "mean": mean, "max": ranked[-1], "bars": bars_of(ranked)}


@dataclass
class Statistics:
    """Statistics of all documents.

    Args:
        documents: number of documents that are trained on.
        tokens: their tokens, and so the tokens of an epoch.
        loss_tokens: tokens of them with loss.
        lengths: `prompt`, `answer` and `total`, each as from `spread_of`; documents above `max_length` are counted,
            but not those that are so long that their tokens were not counted.
        conditions: documents by condition.
        turns: rows by their number of documents (answers that are trained on).
        packed_rows: rows of `max_length` tokens after packing.
        fill: share of their tokens that is not padding.
        steps: optimizer steps of an epoch without packing.
        packed_steps: the same with packing.
        longest: places of the longest documents in the data set, the longest first.
        shortest: the same for the shortest.
    """

    documents: int
    tokens: int
    loss_tokens: int
    lengths: dict[str, dict[str, Any]]
    conditions: dict[str, int]
    turns: dict[int, int]
    packed_rows: int
    fill: float
    steps: int
    packed_steps: int
    longest: list[int] = field(default_factory=list)
    shortest: list[int] = field(default_factory=list)


def measure(documents: Dataset, encoded: Dataset, max_length: int, batch: int) -> Statistics:
    """Compute the statistics.

    Args:
        documents: the documents that are trained on, as from `usable`.
        encoded: all documents, as from `encode_documents`, of which the lengths are counted too.
        max_length: tokens of a packed row.
        batch: rows of an optimizer step.
    """
    lengths, prefixes = documents["length"][:], documents["prefix_length"][:]
    totals, prompts = (encoded.data.column(name).to_numpy() for name in ("length", "prefix_length"))
    is_counted = (totals > 0) & (totals < TOO_LONG)
    totals, prompts = totals[is_counted], prompts[is_counted]
    tokens, rows = sum(lengths), len(best_fit(lengths, max_length))
    ranked = sorted(range(len(lengths)), key=lambda index: lengths[index])
    return Statistics(
        documents=len(lengths),
        tokens=tokens,
        loss_tokens=tokens - sum(prefixes),
        lengths={
            "prompt": spread_of(prompts.tolist()),
            "answer": spread_of((totals - prompts).tolist()),
            "total": spread_of(totals.tolist()),
        },
        conditions=dict(Counter(name or "none" for name in documents["condition"][:]).most_common()),
        turns=dict(sorted(Counter(Counter(documents["source"][:]).values()).items())),
        packed_rows=rows,
        fill=tokens / (rows * max_length),
        steps=math.ceil(len(lengths) / batch),
        packed_steps=math.ceil(rows / batch),
        longest=ranked[: -EXTREMES - 1 : -1],
        shortest=ranked[:EXTREMES],
    )


def sample_rows(count: int, size: int, seed: int) -> list[int]:
    """Draw at most `size` of `count` places, in their order; the same for the same seed."""
    return sorted(random.Random(seed).sample(range(count), min(size, count)))
