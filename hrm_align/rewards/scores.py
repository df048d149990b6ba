"""What a suite of rewards gives: numbers, and what went wrong on the way to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

KINDS = {
    "raised": "an exception, or sys.exit",
    "timeout": "no reply within its limit; the worker was killed",
    "died": "the worker ended: os._exit, a crash, no memory",
    "garbled": "something else came where the reply should be",
    "wrong_length": "not one value for each completion",
    "not_a_number": "a value that is neither a finite number nor None",
    "skipped": "not reached, or cut short, because the deadline of all rewards had passed",
}


@dataclass(frozen=True)
class Fault:
    """A failure of a reward.

    Args:
        reward: its name.
        kind: one of `KINDS`.
        source: of the row that it failed on (`file:line`); None for a failure that no row by itself shows.
        detail: for people.
    """

    reward: str
    kind: str
    source: str | None
    detail: str


@dataclass
class Scores:
    """The values of every reward for a batch of completions.

    Args:
        values: by the name of the reward, one for each completion; None where it cannot be graded.
        faults: failures; each has cost at most the value of its row.
        why: by the name of the reward and the place of a row, why it cannot be graded, where the reward knows.
        seconds: it took, by the clock.
    """

    values: dict[str, list[float | None]]
    faults: list[Fault] = field(default_factory=list)
    why: dict[str, dict[int, str]] = field(default_factory=dict)
    seconds: float = 0.0

    def totals(self, weights: Sequence[float]) -> list[float | None]:
        """The weighted sum for each completion, over the rewards that gave it a number; None if none did.

        A reward of weight 0 is only looked at: its number makes no total.

        Args:
            weights: one for each reward, in their order.
        """
        weighted = [(weight, values) for weight, values in zip(weights, self.values.values(), strict=True) if weight]
        totals: list[float | None] = []
        for row in range(max(map(len, self.values.values()), default=0)):
            given = [weight * value for weight, values in weighted if (value := values[row]) is not None]
            totals.append(sum(given) if given else None)
        return totals

    def fault_counts(self) -> dict[str, dict[str, int]]:
        """How often each reward failed, by kind."""
        counts: dict[str, Any] = {}
        for fault in self.faults:
            counts.setdefault(fault.reward, Counter())[fault.kind] += 1
        return {reward: dict(kinds) for reward, kinds in counts.items()}
