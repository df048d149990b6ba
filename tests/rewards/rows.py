"""Rows for tests of rewards."""

from typing import Any

from hrm_align.data.examples import Example
from hrm_align.rendering import Message


def row(reference: str, source: str = "rows.jsonl:1", **grading: Any) -> Example:
    """A row with that right answer."""
    return Example((Message("user", "?"),), Message("assistant", reference), "direct", str(source), None, grading)
