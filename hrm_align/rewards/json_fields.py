"""What exact match of JSON does not show: whether an answer keeps to a schema, and which of its fields are right."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from hrm_align.errors import UserError
from hrm_align.rewards.matching import json_match

_ABSENT = object()


@dataclass
class JsonReport:
    """How a set of answers keeps to a schema, and its fields to the right ones.

    Args:
        n: answers.
        parsed: those that are JSON.
        valid: those that the schema allows.
        fields: for each field of the right answers how often it was right, and how often asked for.
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
    """Grade answers against a schema, and field by field against the right answers.

    Args:
        pairs: answer and right answer, both text; a right answer that is no object counts no field.
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
