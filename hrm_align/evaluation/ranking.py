"""How well a reward model ranks held-out pairs: accuracy with its interval, and calibration.

Ranking.of([2.0, -1.0, 0.5]).to_dict()
    -> {"n": 3, "accuracy": 0.667, "interval": [0.21, 0.94], "calibration_error": ..., "bins": [...]}

By the Bradley-Terry model, the answer with the higher score is better with the probability sigmoid(margin), where the margin is the
difference of the scores. A reward model is calibrated if of the pairs with the probability 0.8 it ranks 80 % right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hrm_align.rewards.pairs import wilson_interval

BINS = 10  # of equal width, over the probabilities from 0.5 to 1


@dataclass(frozen=True)
class Bin:
    """Pairs, or answers, whose confidence is from `low` to `high`; of a pair, the probability that its better answer, by the model, is better.

    Args:
        low, high: bounds of the confidence.
        n: number of pairs or answers.
        confidence: mean confidence.
        accuracy: share of the pairs that are ranked right, or of the answers that are correct.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Ranking:
    """Result on held-out pairs.

    Args:
        n: number of pairs.
        right: number of pairs whose chosen answer has the higher score; equal scores count as wrong.
        bins: the pairs by probability, without empty bins.
    """

    n: int
    right: int
    bins: tuple[Bin, ...]

    @classmethod
    def of(cls, margins: Sequence[float]) -> Ranking:
        """Build the result from the margins: score of the chosen answer minus score of the rejected one, one a pair."""
        members: dict[int, list[tuple[float, bool]]] = {}
        for margin in margins:
            probability = 1 / (1 + math.exp(-abs(margin)))
            place = min(BINS - 1, int((probability - 0.5) * 2 * BINS))
            members.setdefault(place, []).append((probability, margin > 0))
        width = 0.5 / BINS
        bins = []
        for place, pairs in sorted(members.items()):
            confidence, accuracy = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
            low = 0.5 + place * width
            bins.append(Bin(round(low, 4), round(low + width, 4), len(pairs), confidence, accuracy))
        return cls(len(margins), sum(margin > 0 for margin in margins), tuple(bins))

    @property
    def accuracy(self) -> float:
        """Share of the pairs that are ranked right; NaN without pairs."""
        return self.right / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(self.right, self.n) if self.n else (math.nan, math.nan)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Naeini et al. 2015): mean distance of accuracy and confidence of the bins, by their pairs."""
        return sum(part.n * abs(part.accuracy - part.confidence) for part in self.bins) / self.n if self.n else math.nan

    def metrics(self) -> dict[str, float]:
        """Return the values to log."""
        low, high = self.interval
        values = {"accuracy": self.accuracy, "accuracy_low": low, "accuracy_high": high}
        return {**values, "calibration_error": self.calibration_error, "n": self.n}

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-serializable objects."""
        values = {"n": self.n, "accuracy": self.accuracy, "interval": list(self.interval)}
        return {**values, "calibration_error": self.calibration_error, "bins": [asdict(part) for part in self.bins]}
