"""Grading in worker processes: grade many answers with one grader of the registry, for evaluations, guards and exports.

    grade_answers("numeric", ["so 5", "6"], examples, extract=True)  ->  [Grade(1.0, "5"), Grade(0.0, "6")]

A grader's workers keep running for later calls, so that a run with 20 evaluations starts them once. They end with this
process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from hrm_align.data.examples import Example
from hrm_align.errors import RunError, UserError
from hrm_align.rewards.base import RewardSpec, add_usage, check_match, reward_class
from hrm_align.rewards.preflight import BATCH_ROWS
from hrm_align.rewards.suite import Fault, RewardSuite, Scores

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
    suite = _get_suite(check_match(match))
    scores = score_all(suite, completions, examples, extract=extract)
    _require_graded(match, scores, examples)
    failed = [fault.row for fault in scores.faults if fault.kind in ("timeout", "died") and fault.row is not None]
    _require_references(match, suite, [examples[row] for row in failed])
    extracted = scores.extracted.get(match) or [None] * len(completions)
    return [Grade(value or 0.0, text) for value, text in zip(scores.values[match], extracted, strict=True)]


def score_all(
    suite: RewardSuite, completions: Sequence[str], examples: Sequence[Example], *, extract: bool = False
) -> Scores:
    """Score any number of rows with `RewardSuite.score`, in batches with a deadline each, and rescore skipped rows.

    Faults of the kind `skipped` remain only if the workers cannot be started any more.
    """
    whole = Scores({name: [] for name in suite.names})
    for start in range(0, len(completions), BATCH_ROWS):
        part = slice(start, start + BATCH_ROWS)
        scores = _score_batch(suite, completions[part], examples[part], extract)
        for name, values in scores.values.items():
            whole.values[name] += values
            whole.why.setdefault(name, {}).update({start + row: why for row, why in scores.why.get(name, {}).items()})
        for name, missing in scores.unanswered.items():
            whole.unanswered.setdefault(name, set()).update(start + row for row in missing)
        whole.usage = add_usage(whole.usage, scores.usage)
        for name, texts in scores.extracted.items():
            whole.extracted.setdefault(name, []).extend(texts)
        whole.faults += [
            fault if fault.row is None else replace(fault, row=start + fault.row) for fault in scores.faults
        ]
        whole.seconds += scores.seconds
    return whole


def _score_batch(suite: RewardSuite, completions: Sequence[str], examples: Sequence[Example], extract: bool) -> Scores:
    """Score rows, and rescore those that the deadline skipped, until none is skipped or a call makes no progress."""
    scores = suite.score(completions, examples, extract=extract)
    while skipped := [fault for fault in scores.faults if fault.kind == "skipped" and fault.row is not None]:
        rows = sorted({fault.row for fault in skipped if fault.row is not None})
        again = suite.score(
            [completions[row] for row in rows],
            [examples[row] for row in rows],
            only={fault.reward for fault in skipped},
            extract=extract,
        )
        _merge_rescored(scores, skipped, rows, again)
        if len(again.faults) >= len(skipped) and all(fault.kind == "skipped" for fault in again.faults):
            break
    return scores


def _merge_rescored(scores: Scores, skipped: Sequence[Fault], rows: Sequence[int], again: Scores) -> None:
    """Replace the results of skipped rows by those of a second call.

    Args:
        scores: results of the first call, changed in place.
        skipped: faults of the rows that the first call skipped.
        rows: rows that the second call scored, as numbers of the first call.
        again: results of the second call.
    """
    pairs = {(fault.reward, fault.row) for fault in skipped}
    scores.faults = [fault for fault in scores.faults if fault not in skipped]
    for fault in again.faults:
        row = None if fault.row is None else rows[fault.row]
        if row is None or (fault.reward, row) in pairs:
            scores.faults.append(replace(fault, row=row))
    for place, row in enumerate(rows):
        for name in again.values:
            if (name, row) not in pairs:
                continue
            scores.values[name][row] = again.values[name][place]
            if name in again.extracted:
                scores.extracted[name][row] = again.extracted[name][place]
            if place in again.why.get(name, {}):
                scores.why.setdefault(name, {})[row] = again.why[name][place]
    scores.seconds += again.seconds


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


def _require_references(match: str, suite: RewardSuite, examples: Sequence[Example]) -> None:
    """Grade the references of rows on which the grader crashed or timed out. Raises UserError if one of them fails too."""
    scores = score_all(suite, [example.reference for example in examples], examples)
    for fault in scores.faults:
        if fault.row is not None:
            raise UserError(
                f"{fault.source}: {match} cannot grade the row's own reference ({fault.kind}: {fault.detail}). "
                "Make the check cheaper, or leave the row out."
            )


_SUITES: dict[
    str, tuple[str, RewardSuite]
] = {}  # by grader: the current folder at the start of its workers, and its suite


def _get_suite(match: str) -> RewardSuite:
    """Return the workers of a grader; new ones if the current folder changed, from which rows' relative paths count."""
    folder = os.getcwd()
    if match in _SUITES and _SUITES[match][0] != folder:
        _SUITES.pop(match)[1].close()
    if match not in _SUITES:
        suite = RewardSuite([RewardSpec(match)], workers=1, deadline=DEADLINE_SECONDS, row_seconds=ROW_SECONDS)
        _SUITES[match] = (folder, suite)
    return _SUITES[match][1]
