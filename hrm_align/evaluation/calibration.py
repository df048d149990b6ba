"""Calibration of answers: how well a confidence between 0 and 1 predicts that an answer is correct.

Calibration.of([0.9, 0.8, 0.6], [True, True, False]).to_dict()
    -> {"n": 3, "accuracy": 0.667, "confidence": 0.767, "ece": {"value": ..., "interval": [...]}, "brier": ..., "auroc": ..., ...}

A confidence is calibrated if of the answers with the confidence 0.8 the model gets 80 % right (ECE, Brier score), and it separates
if correct answers have a higher one than wrong answers (AUROC, risk-coverage curve), so that the least confident ones can be left
to a person. One does not imply the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_align.evaluation.ranking import Bin

BINS = 10  # of equal mass
RESAMPLES = 1000  # of the bootstrap
COVERAGES = tuple(percent / 100 for percent in range(5, 101, 5))  # points of the risk-coverage curve in reports

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value and the bounds of its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """Return `value` and `interval`, with null for NaN, which is not JSON."""
        return {"value": _or_null(self.value), "interval": [_or_null(self.low), _or_null(self.high)]}


@dataclass(frozen=True)
class Point:
    """A point of the risk-coverage curve: of the `coverage` most confident answers, the share `risk` is wrong.

    Args:
        coverage: share of the answers, above 0 and at most 1.
        risk: share of these answers that are wrong.
        threshold: lowest confidence of these answers.
    """

    coverage: float
    risk: float
    threshold: float


@dataclass(frozen=True)
class Calibration:
    """Calibration of one kind of confidence.

    Args:
        n: number of answers.
        accuracy: share of correct answers.
        confidence: mean confidence.
        ece: expected calibration error, see `calibration_error`.
        ece_by_chance: mean and 95th percentile of the same estimate for answers that are correct with exactly the probability of
            their confidence. An `ece` below the second does not differ from that of a calibrated model.
        brier: Brier score (Brier 1950): mean squared difference of the confidence and 0 or 1.
        auroc: probability that a correct answer has a higher confidence than a wrong one; ties count as half.
        aurc: area under the risk-coverage curve, see `risk_coverage`. Confidences without information give the error rate.
        bins: the bins of `ece`.
        curve: the risk-coverage curve at `COVERAGES`.
    """

    n: int
    accuracy: float
    confidence: float
    ece: Estimate
    ece_by_chance: tuple[float, float]
    brier: Estimate
    auroc: Estimate
    aurc: Estimate
    bins: tuple[Bin, ...]
    curve: tuple[Point, ...]

    @classmethod
    def of(cls, confidences: Sequence[float], correct: Sequence[bool], seed: int = 0) -> Calibration:
        """Compute the calibration of at least one answer.

        The intervals are from a bootstrap over the answers (`RESAMPLES` resamples): percentiles, except for the lower end of that of
        the ECE. Chance makes the estimate too high (`ece_by_chance`), and that of a resample too high twice, so its lower end is the
        upper percentile, mirrored at the estimate (the basic bootstrap of Davison and Hinkley 1997, section 5.2); 0 if the estimate
        is not above what chance gives. docs/results/calibration.md has the coverage of this interval.

        Args:
            confidences: one per answer, from 0 to 1.
            correct: whether each answer is correct.
            seed: seed of the bootstrap.
        """
        given, right = np.asarray(confidences, dtype=float), np.asarray(correct, dtype=float)
        rng = np.random.default_rng(seed)
        measures = (calibration_error, brier_score, auroc, area_under_risk_coverage)
        values = [measure(given, right) for measure in measures]
        drawn = rng.integers(len(given), size=(RESAMPLES, len(given)))
        resampled = np.array([[measure(given[rows], right[rows]) for measure in measures] for rows in drawn])
        intervals = [_percentiles(column) for column in resampled.T]
        by_chance = [calibration_error(given, (rng.random(len(given)) < given).astype(float)) for _ in range(RESAMPLES)]
        chance = float(np.mean(by_chance)), float(np.percentile(by_chance, 95))
        high = intervals[0][1]
        intervals[0] = (0.0 if values[0] <= chance[1] else max(0.0, 2 * values[0] - high)), high
        ece, brier, area, aurc = (Estimate(v, *interval) for v, interval in zip(values, intervals, strict=True))
        bins, curve = tuple(list_bins(given, right)), tuple(_points(given, right))
        return cls(len(given), float(right.mean()), float(given.mean()), ece, chance, brier, area, aurc, bins, curve)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-serializable objects, with null for values that are not defined."""
        estimates = {name: getattr(self, name).to_dict() for name in ("ece", "brier", "auroc", "aurc")}
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "confidence": self.confidence,
            **estimates,
            "ece_by_chance": {"mean": self.ece_by_chance[0], "percentile_95": self.ece_by_chance[1]},
            "ece_bins": BINS,
            "bins": [asdict(part) for part in self.bins],
            "risk_coverage": [asdict(point) for point in self.curve],
        }


def calibration_error(confidences: Array, correct: Array) -> float:
    """Return the expected calibration error (Naeini et al. 2015) over `BINS` bins of equal mass.

    The plug-in estimate: mean distance of accuracy and mean confidence of the bins, weighted by their answers.
    """
    places = _bin_places(confidences)
    gaps = np.bincount(places, weights=correct - confidences)  # sum of the bin: its answers times its gap
    return float(np.abs(gaps).sum() / len(confidences))


def _bin_places(confidences: Array) -> NDArray[np.intp]:
    """Return the bin of each answer. Equal confidences share a bin, so that fewer than `BINS` may be left."""
    starts = np.arange(1, BINS) * len(confidences) // BINS
    edges = np.unique(np.sort(confidences)[starts])  # lowest confidence of each bin but the first
    return np.searchsorted(edges, confidences, side="right")


def list_bins(confidences: Array, correct: Array) -> list[Bin]:
    """Return the bins of `calibration_error` that have answers, with the lowest and the highest confidence in each."""
    places = _bin_places(confidences)
    bins = []
    for place in np.unique(places):
        inside = places == place
        own, right = confidences[inside], correct[inside]
        bins.append(Bin(float(own.min()), float(own.max()), len(own), float(own.mean()), float(right.mean())))
    return bins


def brier_score(confidences: Array, correct: Array) -> float:
    """Return the mean squared difference of confidence and correctness."""
    return float(np.mean((confidences - correct) ** 2))


def auroc(confidences: Array, correct: Array) -> float:
    """Return the area under the ROC curve, from the rank sum (Mann and Whitney 1947); NaN if all or no answers are correct."""
    positives = correct.sum()
    negatives = len(correct) - positives
    if not positives or not negatives:
        return math.nan
    _, level, counts = np.unique(confidences, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[level]  # mean rank of equal confidences, from 1
    return float((ranks[correct == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def risk_coverage(confidences: Array, correct: Array) -> Array:
    """Return the risks (n,) of the 1, 2, ... n most confident answers (Geifman and El-Yaniv 2017).

    Answers of equal confidence have no order, so their errors are spread evenly over their places: the mean over all orders.
    """
    order = np.argsort(-confidences, kind="stable")
    is_last = np.append(np.diff(confidences[order]) != 0, True)
    ends = np.append(0, np.flatnonzero(is_last) + 1)  # number of answers down to each level of confidence
    errors = np.append(0, np.cumsum(1 - correct[order]))[ends]
    counts = np.arange(1, len(confidences) + 1)
    return np.interp(counts, ends, errors) / counts


def area_under_risk_coverage(confidences: Array, correct: Array) -> float:
    """Return the mean risk over all coverages."""
    return float(risk_coverage(confidences, correct).mean())


def _points(confidences: Array, correct: Array) -> list[Point]:
    risks, falling = risk_coverage(confidences, correct), np.sort(confidences)[::-1]
    counts = [max(1, round(coverage * len(risks))) for coverage in COVERAGES]
    return [Point(count / len(risks), float(risks[count - 1]), float(falling[count - 1])) for count in counts]


def _percentiles(values: Array) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile of the values that are defined."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return math.nan, math.nan
    low, high = np.percentile(defined, (2.5, 97.5))
    return float(low), float(high)


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value
