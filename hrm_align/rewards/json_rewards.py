"""Rewards for JSON: the same value, keeping to a schema, and the share of fields that are right."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from hrm_align.data.strict_json import parse_value
from hrm_align.errors import UserError
from hrm_align.rewards.base import Row, changed_json, option
from hrm_align.rewards.text_rewards import visible


@dataclass(frozen=True)
class Json:
    """1 for the same JSON value as the reference, however it is spaced or ordered. 1 and 1.0 are not the same."""

    needs: ClassVar[str] = "JSON"

    def grade(self, completion: str, row: Row) -> float | None:
        """0 or 1; None if the reference is no JSON."""
        right = json_match(visible(completion), row.reference)
        return None if right is None else float(right)

    def extracted(self, completion: str) -> str | None:
        """The text after all thinking; None if it is no JSON."""
        return _json_text(completion)

    def corrupted(self, row: Row) -> str:
        """The same structure with other values."""
        return _changed(row.reference)


@dataclass(frozen=True)
class JsonFields:
    """The share of right fields among those of the reference and of the answer, so that a field too many costs, too."""

    needs: ClassVar[str] = "a JSON object with fields"
    schema: str | None = option(None, "file of a JSON schema; an answer that it does not allow gets 0")

    def __post_init__(self) -> None:
        if self.schema is not None:
            if not isinstance(self.schema, str):
                raise UserError(f"`schema` is {self.schema!r}: give the path of a JSON schema.")
            _validator(self.schema)

    def grade(self, completion: str, row: Row) -> float | None:
        """0 to 1; None if the reference is no JSON object with fields."""
        expected = _object(row.reference)
        if not expected:
            return None
        given = _object(visible(completion))
        if given is None or (self.schema is not None and not _validator(self.schema).is_valid(given)):
            return 0.0
        right = sum(_same(given[name], expected[name]) for name in expected.keys() & given.keys())
        return right / len(expected.keys() | given.keys())

    def extracted(self, completion: str) -> str | None:
        """The text after all thinking; None if it is no JSON."""
        return _json_text(completion)

    def corrupted(self, row: Row) -> str:
        """The same fields with other values."""
        return _changed(row.reference)


def json_match(completion: str, reference: str) -> bool | None:
    """The same JSON value, however it is spaced or ordered; None if the reference itself is no JSON.

    What RFC 8259 does not allow is no JSON: two equal keys of which one is right, NaN, a number without end.
    """
    try:
        expected = parse_value(reference.encode("utf-8"))
    except ValueError:
        return None
    try:
        return _typed(parse_value(completion.encode("utf-8"))) == _typed(expected)
    except ValueError:
        return False


def _typed(value: object) -> object:
    """JSON's types are told apart, unlike Python's `True == 1 == 1.0`."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return (type(value), value)


def _json_text(completion: str) -> str | None:
    text = visible(completion)
    try:
        parse_value(text.encode("utf-8"))
    except ValueError:
        return None
    return text


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


_ABSENT = object()


@dataclass
class JsonReport:
    """How a set of answers keeps to a schema, and its fields to those of the references.

    Args:
        n: answers.
        parsed: those that are JSON.
        valid: those that the schema allows.
        fields: for each field of the references how often it was right, and how often it was requested.
    """

    n: int = 0
    parsed: int = 0
    valid: int = 0
    fields: dict[str, tuple[int, int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As the command line prints it."""
        fields = {name: {"correct": right, "n": n} for name, (right, n) in sorted(self.fields.items())}
        return {"n": self.n, "parsed": self.parsed, "schema_valid": self.valid, "fields": fields}


def read_schema(path: Path) -> Draft202012Validator:
    """A JSON schema, draft 2020-12.

    Raises:
        UserError: if there is none, or it is no schema.
    """
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schema)
    except OSError as error:
        raise UserError(f"cannot read the schema {path} ({error.strerror}).") from None
    except (ValueError, SchemaError) as error:
        reason = str(error).splitlines()[0][:160]
        raise UserError(f"{path} is no JSON schema ({reason}).") from None
    return Draft202012Validator(schema)


def grade_fields(pairs: Iterable[tuple[str, str]], schema: Draft202012Validator) -> JsonReport:
    """Grade answers against a schema, and field by field against the references.

    Args:
        pairs: answer and reference, both text; a reference that is no object counts no field.
        schema: of the answers.
    """
    report = JsonReport()
    for completion, reference in pairs:
        report.n += 1
        answer, expected = _value(completion), _value(reference)
        report.parsed += answer is not _ABSENT
        report.valid += answer is not _ABSENT and schema.is_valid(answer)
        for name, value in expected.items() if isinstance(expected, dict) else ():
            given = answer.get(name, _ABSENT) if isinstance(answer, dict) else _ABSENT
            right = given is not _ABSENT and bool(json_match(json.dumps(given), json.dumps(value)))
            known = report.fields.get(name, (0, 0))
            report.fields[name] = (known[0] + right, known[1] + 1)
    return report


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _ABSENT
