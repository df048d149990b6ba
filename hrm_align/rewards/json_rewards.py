"""Graders for JSON: equal values, the share of correct fields, and validity against a JSON schema."""

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
from hrm_align.rewards.base import Row, corrupt_json, option
from hrm_align.rewards.reading import block_rule, read_json


@dataclass(frozen=True)
class Json:
    """1 if the JSON value equals the reference; whitespace and key order are ignored. 1 and 1.0 are different. The value
    is the whole text if that is JSON, else the last fenced JSON block, else the text from the first bracket or brace to
    the last."""

    needs: ClassVar[str] = "JSON"

    def grade(self, completion: str, row: Row) -> float | None:
        """Return 0 or 1; None if the reference is not JSON."""
        equal = json_match(read_json(completion), read_json(row.reference))
        return None if equal is None else float(equal)

    def extract_answer(self, completion: str) -> str | None:
        """Return the JSON text (`reading.read_json`); None if that text is not JSON."""
        return _json_text(completion)

    def reading_rule(self, text: str) -> str:
        """Return the rule that finds the JSON text, as in `reading.block_rule`."""
        return block_rule(text, read_json(text))

    def corrupt_reference(self, row: Row) -> str:
        """Return JSON with the same structure and other values."""
        return _corrupt_json_text(read_json(row.reference))


@dataclass(frozen=True)
class JsonFields:
    """The share of correct fields among all fields of the reference and the answer; missing and additional fields lower
    it. The object is found as by `json`."""

    needs: ClassVar[str] = "a JSON object with fields"
    schema: str | None = option(None, "file of a JSON schema; an answer that violates the schema gets 0")

    def __post_init__(self) -> None:
        if self.schema is not None:
            if not isinstance(self.schema, str):
                raise UserError(f"invalid value for schema: {self.schema!r}. Use the path of a JSON schema.")
            _load_validator(self.schema)

    def grade(self, completion: str, row: Row) -> float | None:
        """Return a value from 0 to 1; None if the reference is not a JSON object with fields."""
        expected = _parse_object(read_json(row.reference))
        if not expected:
            return None
        given = _parse_object(read_json(completion))
        if given is None or (self.schema is not None and not _load_validator(self.schema).is_valid(given)):
            return 0.0
        correct = sum(_equal_values(given[name], expected[name]) for name in expected.keys() & given.keys())
        return correct / len(expected.keys() | given.keys())

    def extract_answer(self, completion: str) -> str | None:
        """Return the JSON text (`reading.read_json`); None if that text is not JSON."""
        return _json_text(completion)

    def reading_rule(self, text: str) -> str:
        """Return the rule that finds the JSON text, as in `reading.block_rule`."""
        return block_rule(text, read_json(text))

    def corrupt_reference(self, row: Row) -> str:
        """Return JSON with the same fields and other values."""
        return _corrupt_json_text(read_json(row.reference))


def json_match(completion: str, reference: str) -> bool | None:
    """Return whether two texts are the same JSON value; whitespace and the order of keys are ignored.

    Only JSON by RFC 8259 counts: duplicate keys, NaN and infinite numbers are errors, unlike in Python's `json`.

    Returns:
        True or False; None if the reference is not JSON.
    """
    try:
        expected = parse_value(reference.encode("utf-8"))
    except ValueError:
        return None
    try:
        return _add_types(parse_value(completion.encode("utf-8"))) == _add_types(expected)
    except ValueError:
        return False


def _add_types(value: object) -> object:
    """Pair each scalar with its type, since `True == 1 == 1.0` in Python and these are different values in JSON."""
    if isinstance(value, dict):
        return {key: _add_types(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_add_types(item) for item in value]
    return (type(value), value)


def _json_text(completion: str) -> str | None:
    text = read_json(completion)
    try:
        parse_value(text.encode("utf-8"))
    except ValueError:
        return None
    return text


@lru_cache(maxsize=8)
def _load_validator(path: str) -> Draft202012Validator:
    return read_schema(Path(path))


def _parse_object(text: str) -> dict[str, Any] | None:
    try:
        value = parse_value(text.encode("utf-8"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _corrupt_json_text(text: str) -> str:
    return json.dumps(corrupt_json(parse_value(text.encode("utf-8"))), ensure_ascii=False)


def _equal_values(given: Any, expected: Any) -> bool:
    return bool(json_match(json.dumps(given), json.dumps(expected)))


_ABSENT = object()


@dataclass
class JsonReport:
    """Counts of answers that are JSON, that follow a schema, and whose fields equal those of the references.

    Args:
        n: number of answers.
        parsed: number of answers that are JSON.
        valid: number of answers that the schema allows.
        fields: for each field of the references: number of correct values, number of references with the field.
    """

    n: int = 0
    parsed: int = 0
    valid: int = 0
    fields: dict[str, tuple[int, int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as the command line prints it."""
        fields = {name: {"correct": correct, "n": n} for name, (correct, n) in sorted(self.fields.items())}
        return {"n": self.n, "parsed": self.parsed, "schema_valid": self.valid, "fields": fields}


def read_schema(path: Path) -> Draft202012Validator:
    """Load a JSON schema, draft 2020-12.

    Raises:
        UserError: if the file cannot be read or is not a JSON schema.
    """
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schema)
    except OSError as error:
        raise UserError(f"cannot read the schema {path} ({error.strerror}). Use the path of a JSON schema.") from None
    except (ValueError, SchemaError) as error:
        reason = str(error).splitlines()[0][:160]
        raise UserError(f"{path} is not a JSON schema ({reason}). Correct the file.") from None
    return Draft202012Validator(schema)


def grade_fields(pairs: Iterable[tuple[str, str]], schema: Draft202012Validator) -> JsonReport:
    """Grade answers against a schema, and field by field against the references.

    Args:
        pairs: texts of answer and reference; a reference that is not an object adds no field.
        schema: schema of the answers.
    """
    report = JsonReport()
    for completion, reference in pairs:
        report.n += 1
        answer, expected = _parse_or_absent(completion), _parse_or_absent(reference)
        report.parsed += answer is not _ABSENT
        report.valid += answer is not _ABSENT and schema.is_valid(answer)
        for name, value in expected.items() if isinstance(expected, dict) else ():
            given = answer.get(name, _ABSENT) if isinstance(answer, dict) else _ABSENT
            correct = given is not _ABSENT and bool(json_match(json.dumps(given), json.dumps(value)))
            correct_before, n_before = report.fields.get(name, (0, 0))
            report.fields[name] = (correct_before + correct, n_before + 1)
    return report


def _parse_or_absent(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _ABSENT
