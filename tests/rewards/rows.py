"""Rows for tests of rewards, and what a test of code needs."""

from functools import lru_cache
from typing import Any

import pytest

from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.rendering import Message
from hrm_align.sandbox import Sandbox


def row(reference: str, source: str = "rows.jsonl:1", **grading: Any) -> Example:
    """Return a row with a reference."""
    return Example((Message("user", "?"),), Message("assistant", reference), "direct", str(source), None, grading)


def skip_without_sandbox() -> None:
    """Skip a test of code on a machine that has no wall for programs."""
    if missing := _what_is_missing():
        pytest.skip(missing)


@lru_cache(maxsize=1)
def _what_is_missing() -> str | None:
    try:
        Sandbox(workers=1).close()
    except UserError as error:
        return str(error)
    return None
