"""Preflight of a judge or a reward model: pairs of answers whose order is known, and the share in the right order.

A row gives a pair by `grading`: {"better": "Berlin.", "worse": "Bonn, I guess."}. Any other row with a reference gives the pair of
its reference and the reference of another row; if all rows have the same reference, the worse one is its corrupted copy. A
changed letter would be no clear difference for a judge of free text, an answer to another question is.

A reward model prefers what its own pairs preferred, which need not be what a corrupted reference lacks. So it must order the pairs
that rows state; if no row states one, the share of references that it ranks above their corrupted copies is reported, and no more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from hrm_align.errors import UserError
from hrm_align.rewards.base import add_usage, corrupt_text

if TYPE_CHECKING:
    from hrm_align.data.examples import Example
    from hrm_align.rewards.suite import RewardSuite

Z = 1.959964  # standard deviations on each side of a 95 % interval
BATCH_PAIRS = 32  # pairs that are graded together, within one deadline of the judge
LEAST_GRADED = 0.5  # share of the pairs that must be graded, or the judge is not usable


class PairKind(NamedTuple):
    """How a kind of reward is checked on pairs.

    Args:
        noun: what the reward is, in errors.
        corrupts: whether the worse answer of a row without a pair is its corrupted reference.
        if_wrong: what to do about too many pairs in the wrong order.
        if_ungraded: what to do about too many pairs without a score.
    """

    noun: str
    corrupts: bool
    if_wrong: str
    if_ungraded: str


KINDS = {  # by name of the reward
    "judge": PairKind(
        "judge",
        False,
        "Make the rubric more definite, set `explain`, use a stronger model, correct the pairs, or lower min_right.",
        "Correct the judge's settings or its server.",
    ),
    "reward_model": PairKind(
        "reward model",
        True,
        "Use a reward model that was trained on pairs like these, correct the pairs, or lower min_right.",
        "Shorten the prompts, or set dtype: float32.",
    ),
}


class Pair(NamedTuple):
    """Two answers to the prompt of a row, the first of which is better."""

    example: Example
    better: str
    worse: str


@dataclass
class PairReport:
    """What a judge or a reward model made of the pairs.

    Args:
        kind: name of the reward, a key of `KINDS`.
        min_right: share of the graded pairs that must be in the right order.
        pairs: number of pairs.
        from_rows: number of these pairs that rows state in `grading`; the others are made of references.
        right, ties, wrong: number of pairs by the order of their scores; equal scores are a tie.
        ungraded: number of pairs of which an answer got no score.
        share: `right` over the graded pairs; None without any.
        interval: 95 % Wilson interval of `share`.
        first_wrong: the first pair in the wrong order or tied.
        first_fault: the first failure of the reward.
        usage: what a judge used, by name.
    """

    kind: str
    min_right: float
    pairs: int = 0
    from_rows: int = 0
    right: int = 0
    ties: int = 0
    wrong: int = 0
    ungraded: int = 0
    share: float | None = None
    interval: tuple[float, float] | None = None
    first_wrong: str = ""
    first_fault: str = ""
    usage: dict[str, float] = field(default_factory=dict)

    @property
    def _kind(self) -> PairKind:
        return KINDS[self.kind]

    def describe(self) -> str:
        """Return the report as a sentence."""
        if not self.pairs:
            return f"no row has a reference, or grading.better and grading.worse, so the {self._kind.noun} was not checked on pairs"
        share = ""
        if self.share is not None and self.interval is not None:
            low, high = self.interval
            share = f" ({self.share:.1%}, 95 % interval {low:.1%} to {high:.1%})"
        made = self.pairs - self.from_rows
        worse = "the corrupted reference" if self._kind.corrupts else "the reference of another row"
        note = f"; in {made:,} pairs the worse answer is {worse}" if made else ""
        return (
            f"{self.right:,} of {self.pairs - self.ungraded:,} pairs in the right order{share}, {self.ties:,} ties, "
            f"{self.ungraded:,} pairs not graded{note}"
        )

    def require(self, name: str) -> None:
        """Check that the reward grades pairs, and puts enough of them in the right order.

        Raises:
            UserError: if it does not.
        """
        if self.pairs and self.pairs - self.ungraded < LEAST_GRADED * self.pairs:
            raise UserError(
                f"the {self._kind.noun} {name} graded both answers in only {self.pairs - self.ungraded:,} of {self.pairs:,} pairs "
                f"of the preflight; the first failure: {self.first_fault}. {self._kind.if_ungraded}"
            )
        is_required = not self._kind.corrupts or self.from_rows > 0
        if is_required and self.share is not None and self.share < self.min_right:
            raise UserError(
                f"the {self._kind.noun} {name} put {self.right:,} of {self.right + self.ties + self.wrong:,} pairs in the right order "
                f"({self.share:.1%}), and min_right is {self.min_right:.1%}; the first that is not: {self.first_wrong}. "
                f"{self._kind.if_wrong}"
            )


def check_pairs(
    suite: RewardSuite, name: str, min_right: float, examples: Sequence[Example], kind: str = "judge"
) -> PairReport:
    """Let a judge or a reward model score the pairs of the rows.

    Args:
        suite: the rewards.
        name: name of the reward in the suite.
        min_right: share of the graded pairs that must be in the right order.
        examples: the rows.
        kind: name of the reward, a key of `KINDS`.

    Raises:
        UserError: if the pair of a row is not valid.
    """
    report, pairs = PairReport(kind, min_right), [*build_pairs(examples, KINDS[kind].corrupts)]
    report.pairs, report.from_rows = len(pairs), sum("better" in pair.example.grading for pair in pairs)
    for start in range(0, len(pairs), BATCH_PAIRS):
        batch = pairs[start : start + BATCH_PAIRS]
        texts = [text for pair in batch for text in (pair.better, pair.worse)]
        scores = suite.score(texts, [pair.example for pair in batch for _ in range(2)], only=[name])
        values = scores.values[name]
        for pair, better, worse in zip(batch, values[::2], values[1::2], strict=True):
            _count(report, pair, better, worse)
        if scores.faults and not report.first_fault:
            fault = scores.faults[0]
            report.first_fault = f"{fault.source or 'all rows'}: {fault.detail} ({fault.kind})"
        report.usage = add_usage({name: report.usage}, scores.usage)[name]
    if graded := report.pairs - report.ungraded:
        report.share, report.interval = report.right / graded, wilson_interval(report.right, graded)
    return report


def build_pairs(examples: Sequence[Example], corrupts: bool = False) -> Iterator[Pair]:
    """Yield a pair for each row that has one.

    Args:
        examples: the rows.
        corrupts: whether pairs are made of references and their corrupted copies, and only if no row states a pair.

    Raises:
        UserError: for a row whose `better` or `worse` is not valid.
    """
    references = [
        *{_plain(example.reference): example.reference for example in examples if example.reference.strip()}.values()
    ]
    place = {_plain(text): index for index, text in enumerate(references)}
    makes = not corrupts or not any("better" in example.grading for example in examples)
    for example in examples:
        better, worse = example.grading.get("better"), example.grading.get("worse")
        if better is not None or worse is not None:
            if not isinstance(better, str) or not isinstance(worse, str) or better.strip() == worse.strip():
                raise UserError(
                    f"{example.source}: grading.better and grading.worse are not two different texts. Give both answers, "
                    "or leave both out."
                )
            yield Pair(example, better, worse)
        elif not makes or not example.reference.strip():
            continue
        elif corrupts:
            yield Pair(example, example.reference, corrupt_text(example.reference))
        else:
            other = references[(place[_plain(example.reference)] + 1) % len(references)]
            yield Pair(example, example.reference, other if len(references) > 1 else corrupt_text(other))


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927), which stays between 0 and 1; `n` is 1 or more."""
    centre = (correct + Z * Z / 2) / (n + Z * Z)
    spread = Z / (n + Z * Z) * math.sqrt(correct / n * (n - correct) + Z * Z / 4)
    return max(0.0, centre - spread), min(1.0, centre + spread)


def _count(report: PairReport, pair: Pair, better: float | None, worse: float | None) -> None:
    if better is None or worse is None:
        report.ungraded += 1
        return
    report.right += better > worse
    report.ties += better == worse
    report.wrong += better < worse
    if better <= worse and not report.first_wrong:
        report.first_wrong = f"{pair.example.source}: {pair.better!r:.60} gets {better:g}, and the worse answer {pair.worse!r:.60} {worse:g}"


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
