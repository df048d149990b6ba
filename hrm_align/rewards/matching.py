"""Whether an answer is the one that was asked for: plain functions, text in, verdict out."""

from __future__ import annotations

import json
from collections.abc import Callable

from hrm_align.data.example import Example
from hrm_align.errors import UserError
from hrm_align.rewards.code import match_code
from hrm_align.rewards.sql import match_sql


def exact_match(completion: str, reference: str) -> bool:
    """The same text, but for space around it."""
    return completion.strip() == reference.strip()


def json_match(completion: str, reference: str) -> bool | None:
    """The same JSON value, however it is spaced or ordered; None if the reference itself is no JSON."""
    try:
        expected = json.loads(reference)
    except ValueError:
        return None
    try:
        return _typed(json.loads(completion)) == _typed(expected)
    except (ValueError, RecursionError):
        return False


def _typed(value: object) -> object:
    """JSON's types are told apart, unlike Python's `True == 1 == 1.0`."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return (type(value), value)


# Answer and row in, verdict out. Raises UserError for a row that cannot be graded in this way.
Matcher = Callable[[str, Example], bool]


def _match_text(completion: str, example: Example) -> bool:
    return exact_match(completion, example.reference)


def _match_json(completion: str, example: Example) -> bool:
    verdict = json_match(completion, example.reference)
    if verdict is None:
        raise UserError(f"{example.source}: the expected answer is no JSON, so --match json cannot grade it.")
    return verdict


MATCHERS: dict[str, Matcher] = {"exact": _match_text, "json": _match_json, "sql": match_sql, "code": match_code}
