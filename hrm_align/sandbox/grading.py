"""Right or wrong, outside of the sandbox: a program never meets the answers that are expected of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hrm_align.rewards.code_rewards import same

from hrm_align.sandbox.jobs import RETURNED, Outcome


def passed(outcome: Outcome, expected: Sequence[Any]) -> bool | None:
    """Whether every call returned what is expected of it, by `hrm_align.rewards.code_rewards.same`: `True` is not 1.

    A tuple is no JSON value, so a program that returns one has failed, as it has for `match: code`. Nothing to expect is
    nothing passed. None if the job was lost: it cannot be graded.
    """
    share = share_passed(outcome, expected)
    return None if share is None else share == 1.0


def share_passed(outcome: Outcome, expected: Sequence[Any]) -> float | None:
    """The share of the calls that returned what is expected; 0.0 for a failure of any kind, None if the job was lost."""
    if outcome.kind == "lost":
        return None
    if outcome.kind != RETURNED or not expected or len(outcome.values) != len(expected):
        return 0.0
    return sum(map(same, outcome.values, expected)) / len(expected)
