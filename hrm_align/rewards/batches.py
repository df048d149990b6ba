"""Score any number of rows with a `RewardSuite`: in batches with a deadline each, rescoring the rows that a deadline cut off.

score_all(suite, completions, examples).values["math"]  ->  [1.0, 0.0, ...]
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hrm_align.rewards.base import add_usage
from hrm_align.rewards.suite import Fault, RewardSuite, Scores

if TYPE_CHECKING:
    from hrm_align.data.examples import Example

BATCH_ROWS = 64  # rows that are graded together, within one deadline


def score_all(
    suite: RewardSuite,
    completions: Sequence[str],
    examples: Sequence[Example],
    *,
    only: Collection[str] | None = None,
    extract: bool = False,
    most_rescores: int | None = None,
) -> Scores:
    """Score any number of rows with `RewardSuite.score`, in batches with a deadline each, and rescore skipped rows.

    Faults of the kind `skipped` remain only if the workers cannot be started any more, or after `most_rescores`.

    Args:
        suite: the rewards.
        completions: the texts.
        examples: the example of each text, in the same order.
        only: names of the rewards to compute.
        extract: also return the graded texts.
        most_rescores: largest number of calls that rescore rows of one batch; None for no limit.
    """
    whole = Scores({name: [] for name in suite.names})
    for start in range(0, len(completions), BATCH_ROWS):
        part = slice(start, start + BATCH_ROWS)
        scores = _score_batch(suite, completions[part], examples[part], only, extract, most_rescores)
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


def _score_batch(
    suite: RewardSuite,
    completions: Sequence[str],
    examples: Sequence[Example],
    only: Collection[str] | None,
    extract: bool,
    most_rescores: int | None,
) -> Scores:
    """Score rows, and rescore those that the deadline skipped, until none is skipped or a call makes no progress."""
    scores = suite.score(completions, examples, only=only, extract=extract)
    calls = 0
    while skipped := [fault for fault in scores.faults if fault.kind == "skipped" and fault.row is not None]:
        if calls == most_rescores:
            break
        calls += 1
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
