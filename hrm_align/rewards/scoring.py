"""Scores of completions: values, failures and reasons of every reward; and scoring of any number of rows in batches.

score_all(suite, completions, examples).values["math"]  ->  [1.0, 0.0, ...]

`score_all` gives each batch a deadline, and rescores the rows that a deadline cut off.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hrm_align.rewards.base import add_usage

if TYPE_CHECKING:
    from hrm_align.data.examples import Example
    from hrm_align.rewards.suite import RewardSuite

BATCH_ROWS = 64  # rows that are graded together, within one deadline

KINDS = {
    "raised": "the reward raised an exception or called sys.exit",
    "timeout": "no reply within the time limit; the worker was killed, or the judge's server had not answered",
    "died": "the worker ended: os._exit, a crash, or out of memory",
    "garbled": "the worker wrote something other than a valid reply",
    "wrong_length": "the number of values differs from the number of completions",
    "not_a_number": "a value is neither a finite number nor None",
    "unreachable": "the judge's server could not be reached, or answered with errors, also when it was asked again",
    "refused": "the judge's server refused the request: key, model, address, or a prompt that is too long",
    "no_verdict": "the judge's reply was not a score in its scale",
    "over_budget": "the budget of the judge is spent, so it is not asked any more",
    "too_long": "prompt and answer are longer than the positions of the reward model",
    "skipped": "not started, or stopped, because the deadline of all rewards had passed",
}


@dataclass(frozen=True)
class Fault:
    """A failure of a reward.

    Args:
        reward: name of the reward.
        kind: one of `KINDS`.
        source: `file:line` of the row that the reward failed on; None for a failure of the whole batch or worker.
        detail: description of the failure for users.
        row: index of the row in the call; None with `source` None.
    """

    reward: str
    kind: str
    source: str | None
    detail: str
    row: int | None = None


@dataclass
class Scores:
    """The values of every reward for a batch of completions.

    Args:
        values: name of the reward -> one value for each completion; None for a row that cannot be graded.
        faults: failures; each affects at most the value of one row.
        why: name of the reward -> index of a row -> reason why the row cannot be graded, or got its value, where the reward
            states one.
        doubts: if requested, name of the reward -> index of a row -> kind and sentence of a doubt about its reference.
        extracted: if requested, name of each built-in reward -> the text that was graded in each completion, for
            display; None where nothing was extracted or the extraction failed.
        unanswered: name of each judge and reward model -> indices of the rows without a verdict, if other rows have one.
        usage: name of each judge -> what the call used, by name: requests, tokens, cost.
        seconds: wall-clock time of the call.
        loading_seconds: part of `seconds` in which a new worker loaded its rewards; the deadline does not include this part.
    """

    values: dict[str, list[float | None]]
    faults: list[Fault] = field(default_factory=list)
    why: dict[str, dict[int, str]] = field(default_factory=dict)
    doubts: dict[str, dict[int, tuple[str, str]]] = field(default_factory=dict)
    extracted: dict[str, list[str | None]] = field(default_factory=dict)
    unanswered: dict[str, set[int]] = field(default_factory=dict)
    usage: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    loading_seconds: float = 0.0

    def totals(self, weights: Sequence[float]) -> list[float | None]:
        """Return the weighted sum of the rewards for each completion.

        Rewards that gave None are left out of the sum, and rewards with weight 0 are ignored. A row in `unanswered` has no
        total.

        Args:
            weights: one for each reward, in the order of `values`.

        Returns:
            One total for each completion; None if no reward with a weight gave a number.
        """
        weighted = [(weight, values) for weight, values in zip(weights, self.values.values(), strict=True) if weight]
        names = [name for weight, name in zip(weights, self.values, strict=True) if weight]
        without = set[int]().union(*(self.unanswered.get(name, ()) for name in names))
        totals: list[float | None] = []
        for row in range(max(map(len, self.values.values()), default=0)):
            terms = [weight * value for weight, values in weighted if (value := values[row]) is not None]
            totals.append(sum(terms) if terms and row not in without else None)
        return totals


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
