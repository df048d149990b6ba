"""Rewards for answers that are compared as text or as a number."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from hrm_align.rewards.corruption import changed_text, restated
from hrm_align.rewards.extraction import check_reference, final_answer, last_number, number_text
from hrm_align.rewards.base import Row, checked_number, compiled, option


@dataclass(frozen=True)
class Exact:
    """1 for the same text as the right answer, but for space around it."""

    def __call__(self, completion: str, row: Row) -> float | None:
        """0 or 1; None without a right answer."""
        return float(completion.strip() == row.reference.strip()) if row.reference.strip() else None

    def corrupted(self, row: Row) -> str:
        """Another text."""
        return changed_text(row.reference)


@dataclass(frozen=True)
class Numeric:
    r"""1 if the last number of the answer is that of the right answer. Looks into \boxed{} or after `the answer is` first."""

    pattern: str | None = option(None, "regular expression with one group, in which the number stands")
    tolerance: float = option(0.0, "largest difference that is still right")

    def __post_init__(self) -> None:
        if self.pattern is not None:
            compiled(self.pattern, groups=1)
        checked_number(self.tolerance, "tolerance")

    def __call__(self, completion: str, row: Row) -> float | None:
        """0 or 1; None if the right answer has no number that stands alone."""
        check_reference(row)
        expected = last_number(row.reference, self.pattern)
        if expected is None:
            return None
        given = last_number(completion, self.pattern)
        return float(given is not None and abs(given - expected) <= Decimal(str(self.tolerance)))

    def corrupted(self, row: Row) -> str:
        """Another number, beyond the tolerance, stated as the right one is."""
        digits = number_text(row.reference, self.pattern) or "0"
        wrong = Decimal(digits.replace(",", "")) + 1 + 2 * Decimal(str(self.tolerance))
        return restated(digits, f"{wrong:f}", row.reference, self.pattern)


@dataclass(frozen=True)
class Answer:
    r"""1 if the final answer is the text of the right one. Finds it in \boxed{}, after `the answer is`, `####` or `so`,
    or by a pattern."""

    pattern: str | None = option(None, "regular expression with one group, around the answer")

    def __post_init__(self) -> None:
        if self.pattern is not None:
            compiled(self.pattern, groups=1)

    def __call__(self, completion: str, row: Row) -> float | None:
        """0 or 1; None if the right answer states none."""
        check_reference(row)
        expected = final_answer(row.reference, self.pattern)
        return float(final_answer(completion, self.pattern) == expected) if expected is not None else None

    def corrupted(self, row: Row) -> str:
        """Another answer, stated as the right one is."""
        answer = final_answer(row.reference, self.pattern) or ""
        return restated(answer, changed_text(answer), row.reference, self.pattern)
