"""Grading in worker processes: grade many answers with one grader of the registry, for evaluations, guards and exports.

    grade_answers("numeric", ["so 5", "6"], examples, extract=True)  ->  [Grade(1.0, "5"), Grade(0.0, "6")]

A grader's workers keep running for later calls, so that a run with 20 evaluations starts them once. They end with this
process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from hrm_align.data.examples import Example
from hrm_align.errors import RunError, UserError
from hrm_align.rewards.base import RewardSpec, check_match, reward_class
from hrm_align.rewards.scoring import Scores, score_all
from hrm_align.rewards.suite import RewardSuite

DEADLINE_SECONDS = 60.0  # for BATCH_ROWS rows; rows that are not graded by then are sent again
ROW_SECONDS = 10.0  # for one row


class Grade(NamedTuple):
    """Grade of one answer, from 0 to 1, and if requested the part of the answer that the grader compared."""

    value: float
    extracted: str | None = None


def grade_answers(
    match: str, completions: Sequence[str], examples: Sequence[Example], *, extract: bool = False
) -> list[Grade]:
    """Grade answers. An answer on which the grader crashes or exceeds its time limit gets 0, as in training.

    Args:
        match: name of the grader, one of `hrm_align.rewards.base.match_names`.
        completions: texts of the answers.
        examples: the example of each answer.
        extract: whether to return the part of each answer that the grader compared.

    Returns:
        One grade per answer, in order.

    Raises:
        UserError: for an unknown grader, or a row that cannot be graded (the message has its place).
        RunError: if answers remain ungraded because the workers cannot be started.
    """
    suite = get_suite(check_match(match))
    scores = score_all(suite, completions, examples, extract=extract)
    _require_graded(match, scores, examples)
    failed = [fault.row for fault in scores.faults if fault.kind in ("timeout", "died") and fault.row is not None]
    check_references(match, suite, [examples[row] for row in failed])
    extracted = scores.extracted.get(match) or [None] * len(completions)
    return [Grade(value or 0.0, text) for value, text in zip(scores.values[match], extracted, strict=True)]


def grade_with(spec: RewardSpec, completions: Sequence[str], examples: Sequence[Example]) -> list[float]:
    """Grade answers once with a reward that has options, in a worker process that ends with the call.

    Returns:
        One value per answer; 0 for an answer on which the grader crashes or exceeds its time limit.

    Raises:
        UserError: for a row that cannot be graded.
        RunError: if answers remain ungraded because the workers cannot be started.
    """
    with RewardSuite([spec], workers=1, deadline=DEADLINE_SECONDS, row_seconds=ROW_SECONDS) as suite:
        scores = score_all(suite, completions, examples)
    _require_graded(spec.label, scores, examples)
    return [value or 0.0 for value in scores.values[spec.label]]


def _require_graded(match: str, scores: Scores, examples: Sequence[Example]) -> None:
    """Raise RunError if rows were never scored, or UserError for the first row that cannot be graded."""
    skipped = [fault for fault in scores.faults if fault.kind == "skipped"]
    if skipped:
        raise RunError(
            f"{len(skipped)} of {len(examples)} answers were not graded by {match} (first {skipped[0].source}: "
            f"{skipped[0].detail}), so there is no score. Run the evaluation again with more free memory and processors."
        )
    for row, value in enumerate(scores.values[match]):
        if value is None:
            raise UserError(scores.why.get(match, {}).get(row) or _describe_ungradable(match, examples[row]))


def _describe_ungradable(match: str, example: Example) -> str:
    needs = getattr(reward_class(match), "needs", "a text")
    return (
        f"{example.source}: the reference {example.reference!r:.80} is not {needs}, so {match} cannot grade the row. "
        "Correct the reference, leave the row out, or use another --match."
    )


def check_references(match: str, suite: RewardSuite, examples: Sequence[Example]) -> None:
    """Grade the references of rows, so that a row that cannot be graded is named before answers are drawn for it.

    Args:
        match: label of the grader in the suite.
        suite: the grader's workers.
        examples: the rows.

    Raises:
        UserError: for the first row without a gradable reference, or on whose reference the grader crashes or times out.
        RunError: as in `grade_answers`.
    """
    scores = score_all(suite, [example.reference for example in examples], examples)
    for fault in scores.faults:
        if fault.row is not None and fault.kind != "skipped":
            raise UserError(
                f"{fault.source}: {match} cannot grade the row's own reference ({fault.kind}: {fault.detail}). "
                "Make the check cheaper, or leave the row out."
            )
    _require_graded(match, scores, examples)


# By grader and number of workers: the current folder at the start of the workers, and their suite.
_SUITES: dict[tuple[str, int], tuple[str, RewardSuite]] = {}


def get_suite(match: str, workers: int = 1) -> RewardSuite:
    """Return the workers of a grader; new ones if the current folder changed, from which rows' relative paths count."""
    folder, key = os.getcwd(), (match, workers)
    if key in _SUITES and _SUITES[key][0] != folder:
        _SUITES.pop(key)[1].close()
    if key not in _SUITES:
        suite = RewardSuite([RewardSpec(match)], workers=workers, deadline=DEADLINE_SECONDS, row_seconds=ROW_SECONDS)
        _SUITES[key] = (folder, suite)
    return _SUITES[key][1]
