"""Graders for JSON: equal values, the share of correct fields, and validity under a JSON schema.

    {"prompt": "...", "response": "{\"a\": 1}", "grading": {"schema": {"properties": {"a": {"type": "integer"}}}}}

A schema is an option of the grader, or stands in the row as `grading.schema` (a schema, or the JSON text of one); the
row's schema takes precedence. An answer that violates the schema gets 0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from hrm_align.data.strict_json import parse_value
from hrm_align.errors import UserError
from hrm_align.rewards.base import Row, corrupt_json, option
from hrm_align.rewards.reading import block_rule, read_json

if TYPE_CHECKING:
    from hrm_align.rewards.json_schema import JsonSchema


class _JsonGrader:
    """What the graders for JSON share: the schema, the displayed text, and the doubt about a schema."""

    schema: str | None = None

    def __post_init__(self) -> None:
        if self.schema is not None:
            if not isinstance(self.schema, str):
                raise UserError(f"invalid value for schema: {self.schema!r}. Use the path of a JSON schema.")
            _read_schema(self.schema)

    def _schema_of(self, row: Row) -> JsonSchema | None:
        """Return the schema of a row: its own, or else that of the option. Raises UserError for an invalid schema."""
        if row.grading.get("schema") is None:
            return None if self.schema is None else _read_schema(self.schema)
        from hrm_align.rewards.json_schema import schema_of_row  # jsonschema takes 0.2 s to load

        try:
            return schema_of_row(row.grading["schema"])
        except UserError as error:
            raise UserError(f"{row.source}: {error}") from None

    def extract_answer(self, completion: str) -> str | None:
        """Return the JSON text (`reading.read_json`); None if that text is not JSON."""
        text = read_json(completion)
        return None if _parse_or_absent(text) is _ABSENT else text

    def doubt_reference(self, row: Row) -> tuple[str, str] | None:
        """Return `any_value` and a sentence if the schema of a row allows values of every type."""
        schema = self._schema_of(row)
        if schema is None or not schema.allows_every_probe():
            return None
        return "any_value", "the schema allows every value that was tried, so it refuses no JSON. Correct the schema."


@dataclass(frozen=True)
class _JsonComparer(_JsonGrader):
    """What the graders share that compare a value with a reference."""

    schema: str | None = option(None, "file of a JSON schema, for rows without `grading.schema`; invalid answers get 0")

    def reading_rule(self, text: str) -> str:
        """Return the rule that finds the JSON text, as in `reading.block_rule`."""
        return block_rule(text, read_json(text))

    def corrupt_reference(self, row: Row) -> str:
        """Return JSON with the same fields and other values."""
        return _corrupt_json_text(read_json(row.reference))


@dataclass(frozen=True)
class Json(_JsonComparer):
    """1 if the JSON value equals the reference; whitespace and key order are ignored. 1 and 1.0 are different. The value
    is the whole text if that is JSON, else the last fenced JSON block, else the text from the first bracket or brace to
    the last. With a schema (option or `grading.schema`), the value must also be valid, and in a row without a reference
    every valid value gets 1."""

    needs: ClassVar[str] = "JSON"

    def grade(self, completion: str, row: Row) -> float | None:
        """Return 0 or 1; None if the reference is not JSON.

        Raises:
            UserError: for a row with an invalid schema.
        """
        schema, answer = self._schema_of(row), read_json(completion)
        if schema is not None and not row.reference.strip():
            return float(schema.allows_text(answer))
        equal = json_match(answer, read_json(row.reference))
        return None if equal is None else float(equal and (schema is None or schema.allows_text(answer)))


@dataclass(frozen=True)
class JsonFields(_JsonComparer):
    """The share of correct fields among all fields of the reference and the answer; missing and additional fields lower
    it. The fields of an array are its positions. The value is found as by `json`. Schemas are used as by `json`."""

    needs: ClassVar[str] = "a JSON object or array with fields"

    def grade(self, completion: str, row: Row) -> float | None:
        """Return a value from 0 to 1; None if the reference is not a JSON object or array with fields.

        Raises:
            UserError: for a row with an invalid schema.
        """
        schema, answer = self._schema_of(row), read_json(completion)
        if schema is not None and not row.reference.strip():
            return float(schema.allows_text(answer))
        expected = _parse_or_absent(read_json(row.reference))
        if not expected or not isinstance(expected, dict | list):
            return None
        given = _parse_or_absent(answer)
        if type(given) is not type(expected) or (schema is not None and not schema.allows(given)):
            return 0.0
        expected_fields, given_fields = _fields(expected), _fields(given)
        names = expected_fields.keys() & given_fields.keys()
        correct = sum(_equal_values(given_fields[name], expected_fields[name]) for name in names)
        return correct / len(expected_fields.keys() | given_fields.keys())


@dataclass(frozen=True)
class JsonSchemaValid(_JsonGrader):
    """1 if the JSON value is valid under the schema in `grading.schema`, or else of the option; a reference is only an
    example. Drafts 3 to 2020-12; `format` is not checked; a `$ref` must lead into the schema. The value is found as by
    `json`."""

    needs: ClassVar[str] = "valid under the schema"
    schema: str | None = option(None, "file of a JSON schema, for rows without `grading.schema`")

    def grade(self, completion: str, row: Row) -> float:
        """Return 0 or 1.

        Raises:
            UserError: for a row without a schema, or with an invalid one.
        """
        schema = self._schema_of(row)
        if schema is None:
            raise UserError(
                f"{row.source}: no schema is given, so json_schema cannot grade the row. "
                'Add "grading": {"schema": {...}}, or set the option `schema` to the file of a JSON schema.'
            )
        return float(schema.allows_text(read_json(completion)))

    def corrupt_reference(self, row: Row) -> str:
        """Return the reference with an opening bracket too many, which is not JSON.

        Which values are invalid only the schema can decide, and its patterns may take any time: `doubt_reference`, which
        runs in a worker process, reports a schema that allows everything.
        """
        return "[" + read_json(row.reference)


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


def _read_schema(path: str) -> JsonSchema:
    from hrm_align.rewards.json_schema import read_schema  # jsonschema takes 0.2 s to load

    return read_schema(path)


def _fields(value: dict[str, Any] | list[Any]) -> dict[Any, Any]:
    return value if isinstance(value, dict) else dict(enumerate(value))


def _corrupt_json_text(text: str) -> str:
    """Return the JSON text with other values; for a text that is not JSON, as in a row without a reference, `[`."""
    value = _parse_or_absent(text)
    return "[" if value is _ABSENT else json.dumps(corrupt_json(value), ensure_ascii=False)


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


def grade_fields(pairs: Sequence[tuple[str, str]], valid: Sequence[bool]) -> JsonReport:
    """Grade answers field by field against the references.

    Args:
        pairs: texts of answer and reference; a reference that is not an object adds no field.
        valid: whether the schema allows each answer.
    """
    report = JsonReport(valid=sum(valid))
    for completion, reference in pairs:
        report.n += 1
        answer, expected = _parse_or_absent(completion), _parse_or_absent(reference)
        report.parsed += answer is not _ABSENT
        for name, value in expected.items() if isinstance(expected, dict) else ():
            given = answer.get(name, _ABSENT) if isinstance(answer, dict) else _ABSENT
            correct = given is not _ABSENT and _equal_values(given, value)
            correct_before, n_before = report.fields.get(name, (0, 0))
            report.fields[name] = (correct_before + correct, n_before + 1)
    return report


def _parse_or_absent(text: str) -> Any:
    try:
        return parse_value(text.encode("utf-8"))
    except ValueError:
        return _ABSENT
