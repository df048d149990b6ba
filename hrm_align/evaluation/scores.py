"""Scores of graded answers: means with 95 % intervals, and the names under which tables and JSON show them.

Score(correct=87, n=100).to_dict()
    -> {"score": 0.87, "exact_match": 0.87, "n": 100, "correct": 87, "interval": [0.79, 0.92]}

Imports neither torch nor Transformers, so that commands which only read records start at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hrm_align.rewards.base import metric_name
from hrm_align.rewards.pairs import Z, wilson_interval

TOTAL = "all"  # label of the row of a table that counts all rows
NO_GROUP = "(no group)"  # label of the rows without a group, where other rows have one


def label_group(group: str | None) -> str:
    """Return the name of a group in JSON: a blank or missing group is `NO_GROUP`, and a group of that name is quoted."""
    if group is None or not group.strip():
        return NO_GROUP
    return _quoted_if(NO_GROUP, group)


def group_cell(label: str) -> str:
    """Return the name of a group in a table whose total is in the row `TOTAL`: a group of that name is quoted."""
    return _quoted_if(TOTAL, label)


def _quoted_if(reserved: str, name: str) -> str:
    return f"'{name}'" if name.strip("'") == reserved else name


@dataclass
class Score:
    """Score of `n` answers under one grader.

    Args:
        correct: number of answers with the value 1.
        n: number of answers.
        grader: name of the grader, from which the metric has its name (`sql_match`).
        partial: the values between 0 and 1, exclusive.
    """

    correct: int = 0
    n: int = 0
    grader: str = "exact"
    partial: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        """Add the value of one answer, from 0 to 1."""
        self.n += 1
        self.correct += value == 1
        if 0 < value < 1:
            self.partial.append(value)

    @property
    def rate(self) -> float:
        """Mean value, from 0 to 1; for a grader with the values 0 and 1 the share of correct answers. NaN without answers."""
        return (self.correct + sum(self.partial)) / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the mean.

        If all values are 0 or 1: the Wilson score interval (Wilson 1927), which stays between 0 and 1. Otherwise: the
        normal interval, clipped to 0 to 1; for a single value 0 to 1, because its variance cannot be estimated.
        """
        if not self.n:
            return math.nan, math.nan
        if not self.partial:
            return wilson_interval(self.correct, self.n)
        if self.n == 1:
            return 0.0, 1.0
        squares = self.correct + sum(value * value for value in self.partial)
        variance = max(0.0, squares - self.n * self.rate**2) / (self.n - 1)
        spread = Z * math.sqrt(variance / self.n)
        return max(0.0, self.rate - spread), min(1.0, self.rate + spread)

    def to_dict(self) -> dict[str, Any]:
        """Return `score`, the same value under the grader's metric name, `n`, `correct` and `interval`."""
        values = {"score": self.rate, metric_name(self.grader): self.rate}
        return {**values, "n": self.n, "correct": self.correct, "interval": list(self.interval)}


def percent(result: Mapping[str, Any]) -> str:
    """`87.3 %  (83.1 to 90.6)` of a score as `Score.to_dict` gives it."""
    low, high = result["interval"]
    return f"{100 * get_score(result):.1f} %  ({100 * low:.1f} to {100 * high:.1f})"


def get_score(result: Mapping[str, Any]) -> float:
    """The score of a result as `Score.to_dict` gives it, or of a record of an earlier version, which had no `score`."""
    return float(result["score"] if "score" in result else result["exact_match"])
