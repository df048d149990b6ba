"""Grade many answers with one grader of the registry, in worker processes: for evaluations, guards and exports.

    grade_answers("numeric", ["so 5", "6"], examples, extract=True)  ->  [Grade(1.0, "5"), Grade(0.0, "6")]

The workers of a grader stay for the next call, so that a run with 20 evaluations starts them once. They end with this process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from hrm_align.data.examples import Example
from hrm_align.errors import RunError, UserError
from hrm_align.rewards.base import RewardSpec, check_match, reward_class
from hrm_align.rewards.preflight import BATCH_ROWS
from hrm_align.rewards.suite import Fault, RewardSuite, Scores

DEADLINE_SECONDS, ROW_SECONDS = 60.0, 10.0  # for BATCH_ROWS rows before the rest is requested again; for one row


class Grade(NamedTuple):
    """What a grader gives for an answer, from 0 to 1, and what it read of the answer, if requested."""

    value: float
    extracted: str | None = None


def grade_answers(
    match: str, completions: Sequence[str], examples: Sequence[Example], *, extract: bool = False
) -> list[Grade]:
    """Grade answers. An answer on which the grader crashes or passes its time limit gets 0, as in training.

    Args:
        match: one of `hrm_align.rewards.base.match_names`.
        completions: the answers.
        examples: the row of each.
        extract: tell what the grader read of each answer, too.

    Raises:
        UserError: for an unknown grader, or a row that cannot be graded, which it names.
        RunError: if answers stay ungraded because the workers cannot be started.
    """
    suite = _suite_of(check_match(match))
    scores = score_all(suite, completions, examples, extract=extract)
    _require_graded(match, scores, examples)
    lost = [fault.row for fault in scores.faults if fault.kind in ("timeout", "died") and fault.row is not None]
    _require_references(match, suite, [examples[row] for row in lost])
    read = scores.extracted.get(match) or [None] * len(completions)
    return [Grade(value or 0.0, text) for value, text in zip(scores.values[match], read, strict=True)]


def score_all(
    suite: RewardSuite, completions: Sequence[str], examples: Sequence[Example], *, extract: bool = False
) -> Scores:
    """`RewardSuite.score` for any number of rows, in batches with a deadline each; rows skipped by it are scored again.

    Only where the workers cannot be started any more do faults of the kind `skipped` stay.
    """
    whole = Scores({name: [] for name in suite.names})
    for start in range(0, len(completions), BATCH_ROWS):
        part = slice(start, start + BATCH_ROWS)
        scores = _score_batch(suite, completions[part], examples[part], extract)
        for name, values in scores.values.items():
            whole.values[name] += values
            whole.why.setdefault(name, {}).update({start + row: why for row, why in scores.why.get(name, {}).items()})
        for name, texts in scores.extracted.items():
            whole.extracted.setdefault(name, []).extend(texts)
        whole.faults += [
            fault if fault.row is None else replace(fault, row=start + fault.row) for fault in scores.faults
        ]
        whole.seconds += scores.seconds
    return whole


def _score_batch(suite: RewardSuite, completions: Sequence[str], examples: Sequence[Example], extract: bool) -> Scores:
    """Score rows until the deadline skips none of them, or a call scores none of those that were left."""
    scores = suite.score(completions, examples, extract=extract)
    while skipped := [fault for fault in scores.faults if fault.kind == "skipped" and fault.row is not None]:
        rows = sorted({fault.row for fault in skipped if fault.row is not None})
        again = suite.score(
            [completions[row] for row in rows],
            [examples[row] for row in rows],
            only={fault.reward for fault in skipped},
            extract=extract,
        )
        _take(scores, skipped, rows, again)
        if len(again.faults) >= len(skipped) and all(fault.kind == "skipped" for fault in again.faults):
            break
    return scores


def _take(scores: Scores, skipped: Sequence[Fault], rows: Sequence[int], again: Scores) -> None:
    """Put the results of a second call in the place of what its first call skipped."""
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
    """Raises RunError for rows that were skipped for good, UserError for the first row that cannot be graded."""
    skipped = [fault for fault in scores.faults if fault.kind == "skipped"]
    if skipped:
        raise RunError(
            f"{len(skipped)} of {len(examples)} answers were not graded by {match} (first {skipped[0].source}: "
            f"{skipped[0].detail}). Nothing is scored without them: run it again with more free memory and processors."
        )
    for row, value in enumerate(scores.values[match]):
        if value is None:
            raise UserError(scores.why.get(match, {}).get(row) or _ungradable(match, examples[row]))


def _ungradable(match: str, example: Example) -> str:
    needs = getattr(reward_class(match), "needs", "a text")
    return (
        f"{example.source}: the reference {example.reference!r:.80} is not {needs}, so {match} cannot grade the row: "
        "correct the reference, leave the row out, or grade with another --match."
    )


def _require_references(match: str, suite: RewardSuite, examples: Sequence[Example]) -> None:
    """Of rows on which the grader was lost: it must grade at least their references. Raises UserError if it does not."""
    scores = score_all(suite, [example.reference for example in examples], examples)
    for fault in scores.faults:
        if fault.row is not None:
            raise UserError(
                f"{fault.source}: {match} cannot grade even the reference of the row ({fault.kind}: {fault.detail}): "
                "make it cheaper to check, or leave the row out."
            )


_SUITES: dict[str, tuple[str, RewardSuite]] = {}  # by grader: the folder that its workers started in, and the suite


def _suite_of(match: str) -> RewardSuite:
    """The workers of a grader. Relative paths of rows count from the current folder, so another folder needs other workers."""
    folder = os.getcwd()
    if match in _SUITES and _SUITES[match][0] != folder:
        _SUITES.pop(match)[1].close()
    if match not in _SUITES:
        suite = RewardSuite([RewardSpec(match)], workers=1, deadline=DEADLINE_SECONDS, row_seconds=ROW_SECONDS)
        _SUITES[match] = (folder, suite)
    return _SUITES[match][1]
