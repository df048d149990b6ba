"""Rewards for answers that are JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from hrm_align.data.strict_json import parse_value
from hrm_align.errors import UserError
from hrm_align.rewards.corruption import changed_json
from hrm_align.rewards.extraction import visible
from hrm_align.rewards.json_fields import read_schema
from hrm_align.rewards.matching import json_match
from hrm_align.rewards.base import Row, option


@dataclass(frozen=True)
class Json:
    """1 for the same JSON value as the right answer, however it is spaced or ordered. 1 and 1.0 are not the same."""

    def __call__(self, completion: str, row: Row) -> float | None:
        """0 or 1; None if the right answer is no JSON."""
        right = json_match(visible(completion), row.reference)
        return None if right is None else float(right)

    def corrupted(self, row: Row) -> str:
        """The same structure with other values."""
        return _changed(row.reference)


@dataclass(frozen=True)
class JsonFields:
    """The share of right fields among those of the right object and of the answer, so that a field too many costs, too."""

    schema: str | None = option(None, "file of a JSON schema; an answer that it does not allow gets 0")

    def __post_init__(self) -> None:
        if self.schema is not None:
            if not isinstance(self.schema, str):
                raise UserError(f"`schema` is {self.schema!r}: give the path of a JSON schema.")
            _validator(self.schema)

    def __call__(self, completion: str, row: Row) -> float | None:
        """0 to 1; None if the right answer is no JSON object with fields."""
        expected = _object(row.reference)
        if not expected:
            return None
        given = _object(visible(completion))
        if given is None or (self.schema is not None and not _validator(self.schema).is_valid(given)):
            return 0.0
        right = sum(_same(given[name], expected[name]) for name in expected.keys() & given.keys())
        return right / len(expected.keys() | given.keys())

    def corrupted(self, row: Row) -> str:
        """The same fields with other values."""
        return _changed(row.reference)


@lru_cache(maxsize=8)
def _validator(path: str) -> Draft202012Validator:
    return read_schema(Path(path))


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = parse_value(text.encode("utf-8"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _changed(text: str) -> str:
    return json.dumps(changed_json(parse_value(text.encode("utf-8"))), ensure_ascii=False)


def _same(given: Any, expected: Any) -> bool:
    return bool(json_match(json.dumps(given), json.dumps(expected)))
