"""Several references a row: an answer is compared with each of them, and the best value counts.

    {"prompt": "Who wrote Hamlet?", "response": ["Shakespeare", "William Shakespeare"]}
    {"prompt": "Who wrote Hamlet?", "response": "Shakespeare", "grading": {"references": ["William Shakespeare"]}}

The first is the reference that is trained on. Graders see one reference at a time, so that each of them accepts several.
"""

from __future__ import annotations

from typing import Any

from hrm_align.errors import UserError
from hrm_align.rewards.base import Grader, Row, Verifiable


class _WithReference:
    """A row with another reference; all other attributes are those of the row."""

    def __init__(self, row: Row, reference: str):
        self._row, self.reference = row, reference

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)


def with_reference(row: Row, reference: str) -> Row:
    """Return the row with another reference."""
    return _WithReference(row, reference)


def list_references(row: Row) -> list[str]:
    """Return the references of a row that are not blank: `row.reference`, and the texts in `grading.references`.

    Raises:
        UserError: if `grading.references` is not a list of texts.
    """
    others = row.grading.get("references") or []
    if not isinstance(others, list) or not all(isinstance(other, str) and other.strip() for other in others):
        raise UserError(
            f"{row.source}: invalid value for grading.references: {others!r:.80}. Use a list of texts that are not "
            'empty, such as ["1912", "the year 1912"].'
        )
    return [text for text in dict.fromkeys([row.reference, *others]) if text.strip()]


def grade_row(grader: Grader, completion: str, row: Row) -> tuple[float | None, str | None]:
    """Grade a completion against every reference of a row, and return the best value, with its reason or None.

    References that cannot be graded are passed over, unless none can. Every grading of rows goes through this function.

    Raises:
        UserError: as `Grader.grade`, for a row without a gradable reference.
    """
    if not row.grading.get("references") or not isinstance(grader, Verifiable):
        return _grade(grader, completion, row)
    best: tuple[float | None, str | None] = (None, None)
    fault = None
    for reference in list_references(row):
        try:
            value, reason = _grade(grader, completion, with_reference(row, reference))
        except UserError as error:
            fault = fault or error
            continue
        if value is not None and (best[0] is None or value > best[0]):
            best = value, reason
        if value == 1:
            break
    if best[0] is None and fault is not None:
        raise fault
    return best


def _grade(grader: Grader, completion: str, row: Row) -> tuple[float | None, str | None]:
    """Grade with a reason, for a grader that gives reasons."""
    grade_with_reason = getattr(grader, "grade_with_reason", None)
    return (grader.grade(completion, row), None) if grade_with_reason is None else grade_with_reason(completion, row)
