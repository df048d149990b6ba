"""Counts of streamed rows, and the shares of rows that may be unusable, checked while the rows are read.

Counts are plain JSON values, so that a checkpoint holds them. Rows are counted in the first pass over a data set only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hrm_align.data.damage import DamageReport, describe_damage
from hrm_align.data.examples import Example
from hrm_align.data.readers import BadRow
from hrm_align.data.tokenize import NAMED_ROWS, REMEDIES, Dropped
from hrm_align.errors import UserError

Counts = dict[str, Any]

EARLY_ROWS = (
    1000  # a share is taken of at least so many rows, because a few bad rows at the beginning are a large share of few
)


def count_rows(outcome: list[Example] | BadRow, damage: DamageReport, dropped: Dropped, trained: int) -> Counts:
    """Return the counts of one row.

    Args:
        outcome: the examples of the row, or why it cannot be used.
        damage: damaged text in the row.
        dropped: its examples that are not trained on.
        trained: number of its examples that are trained on.
    """
    if isinstance(outcome, BadRow):
        named = [f"{outcome.source}: {outcome.reason}"]
        return {"rows_read": 1, "rows_bad": 1, "bad_by_reason": {outcome.reason.split(":")[0]: 1}, "first_bad": named}
    if not outcome:
        return {"rows_read": 1, "rows_weight_0": 1}
    conditions: dict[str, int] = {}
    for example in outcome:
        conditions[example.condition] = conditions.get(example.condition, 0) + 1
    counts: Counts = {"rows_read": 1, "examples": len(outcome), "conditions": conditions, "kept": trained}
    if damage.damaged:
        counts |= {"rows_damaged": 1, "damage": damage.to_dict()}
    if dropped:
        counts["dropped"] = {"by_reason": dict(dropped.counts), "first_rows": dropped.sources}
    return counts


def merge(total: Counts, part: Counts) -> None:
    """Add counts: numbers are added, and lists of the first rows are joined up to `NAMED_ROWS`."""
    for key, value in part.items():
        if isinstance(value, dict):
            merge(total.setdefault(key, {}), value)
        elif isinstance(value, list):
            total[key] = (total.get(key, []) + value)[:NAMED_ROWS]
        else:
            total[key] = total.get(key, 0) + value


@dataclass(frozen=True)
class Limits:
    """Shares of rows that may be unusable, from 0 to 1, named as their settings.

    Each is checked on all rows read so far, `EARLY_ROWS` or more, and exactly at the end of the first pass.
    """

    max_bad_fraction: float = 0.0
    max_damaged_fraction: float = 1.0
    max_dropped_fraction: float = 0.1

    def check(self, counts: Sequence[Counts], is_all: bool, max_length: int) -> None:
        """Raise UserError if more rows are unusable than allowed.

        Args:
            counts: counts of each data set.
            is_all: whether these are all rows of the data sets.
            max_length: longest document in tokens, for the message.
        """
        total: Counts = {}
        for part in counts:
            merge(total, part)
        rows, examples = total.get("rows_read", 0), total.get("examples", 0)
        bad, damaged = total.get("rows_bad", 0), total.get("rows_damaged", 0)
        dropped = total.get("dropped", {"by_reason": {}, "first_rows": {}})
        n_dropped = sum(dropped["by_reason"].values())
        if _is_above(bad, self.max_bad_fraction, rows, is_all):
            named = "".join(f"\n  {row}" for row in total["first_bad"])
            more = f"\n  and {bad - NAMED_ROWS:,} more" if bad > NAMED_ROWS else ""
            allow = _allow("max_bad_fraction", bad, rows)
            raise UserError(
                f"{bad:,} of the {rows:,} rows read so far cannot be used:{named}{more}\nFix the rows{allow}."
            )
        if _is_above(damaged, self.max_damaged_fraction, rows, is_all):
            lines = "\n".join(describe_damage(total["damage"], rows, whole=False))
            raise UserError(
                f"{damaged:,} of the {rows:,} rows read so far have damaged text; at most {self.max_damaged_fraction:.1%} are "
                f"allowed:\n{lines}\nFix the rows, or raise --max_damaged_fraction."
            )
        if _is_above(n_dropped, self.max_dropped_fraction, examples, is_all):
            listed = "; ".join(
                f"{count} {reason} ({', '.join(dropped['first_rows'][reason])}{', ...' if count > NAMED_ROWS else ''})"
                for reason, count in dropped["by_reason"].items()
            )
            remedies = "; ".join(REMEDIES[reason].format(max_length=max_length) for reason in dropped["by_reason"])
            allow = _allow("max_dropped_fraction", n_dropped, examples)
            raise UserError(
                f"{n_dropped} of the {examples} examples read so far cannot be used: {listed}. Remedy: {remedies}{allow}."
            )


def _is_above(count: int, limit: float, rows: int, is_all: bool) -> bool:
    return count > limit * (rows if is_all else max(rows, EARLY_ROWS))


def _allow(key: str, count: int, rows: int) -> str:
    share = math.ceil(1000 * count / rows) / 1000
    return f", or allow a share with `--{key} {share:g}`" if share < 1 else ""


def to_record(counts: Sequence[Counts], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the counts of a stream for run/data.json.

    Args:
        counts: counts of each data set.
        records: what is known of each data set without reading it, as `StreamPlan.counts`.
    """
    total: Counts = {"rows_read": 0, "rows_bad": 0, "examples": 0, "bad_by_reason": {}}
    total |= {"kept": 0, "dropped": {"by_reason": {}, "first_rows": {}}}
    datasets = []
    for part, record in zip(counts, records, strict=True):
        own = {key: value for key, value in part.items() if key not in ("kept", "dropped")}
        datasets.append({**record, **own})
        merge(total, {key: value for key, value in part.items() if key in total})
    return {**total, "streamed": True, "datasets": datasets}
