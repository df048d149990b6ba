"""Rewards for answers that are run: queries on the row's database, programs by the row's tests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hrm_align.rewards.code_rewards import match_code, tests_of
from hrm_align.rewards.extraction import visible
from hrm_align.rewards.base import Row, checked_flag, option
from hrm_align.rewards.sql_rewards import match_sql


@dataclass(frozen=True)
class Sql:
    """1 for a query that gives the rows of the right one, on the database that `grading.database` names."""

    def __call__(self, completion: str, row: Row) -> float:
        """0 or 1. Raises UserError for a row without a database, or whose own query fails on it."""
        return float(match_sql(visible(completion), row))

    def corrupted(self, row: Row) -> str:
        """A query that finds nothing. It passes where the right one finds nothing either, as any such query would."""
        return "SELECT NULL WHERE 0"


@dataclass(frozen=True)
class Code:
    """1 for a program whose function passes the tests of `grading`: `{"call": "f", "tests": [[[1, 2], 3], ...]}`."""

    sandbox: bool = option(
        False, "run real Python in a sandbox, where the system can wall one off; else interpret a part"
    )

    def __post_init__(self) -> None:
        checked_flag(self.sandbox, "sandbox")

    def prepare(self) -> None:
        """Start the sandbox. Raises UserError if no wall holds on this system."""
        if self.sandbox:
            _sandbox()

    def __call__(self, completion: str, row: Row) -> float | None:
        """0 or 1; None if the sandbox was lost. Raises UserError for a row without tests, or whose own program fails."""
        if not self.sandbox:
            return float(match_code(visible(completion), row))
        from hrm_align.sandbox import Job, passed

        call, tests = tests_of(row)
        (outcome,) = _sandbox().run([Job(visible(completion), call, [arguments for arguments, _ in tests])])
        right = passed(
            outcome, [expected for _, expected in tests]
        )  # compared here: the program never meets the results
        return None if right is None else float(right)

    def corrupted(self, row: Row) -> str:
        """A program that always gives the result of the first test. It passes where the tests expect nothing else."""
        call, ((arguments, expected), *_) = tests_of(row)
        names = ", ".join(f"argument{number}" for number in range(len(arguments)))
        return f"def {call}({names}): return {expected!r}"


@lru_cache(maxsize=1)
def _sandbox() -> Any:
    """The sandbox of this worker, which asks for one program at a time."""
    from hrm_align.sandbox import Sandbox

    return Sandbox(workers=1)
