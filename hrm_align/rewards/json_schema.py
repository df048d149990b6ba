"""JSON schemas: every draft from 3 to 2020-12, checked before the first answer, and never read from the network.

    JsonSchema({"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer"}).allows(1.0)   ->  False
    JsonSchema({"type": "integer"}).allows(1.0)                                                         ->  True

`$schema` names the draft; without it, the draft is 2020-12. References must lead into the schema itself or to a
metaschema. A schema with any other reference is refused as a whole, whether or not an answer would need it, so that no
answer decides whether it is graded. `format` is an annotation and is not checked, as drafts 2019-09 and 2020-12 have it
by default. Patterns are Python's regular expressions, with `$` and `\\d` as in JavaScript.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend, validator_for
from referencing import Registry, Resource
from referencing.jsonschema import specification_with

from hrm_align.data.strict_json import parse_value
from hrm_align.errors import UserError

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
PROBES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1.5,
    "",
    "corrupted",
    [],
    [None],
    {},
    {"corrupted": None},
)  # one or two values of each type
# Frames of an answer with strict_json's 200 levels under a schema that refers to itself; 1,000 would not do.
RECURSION_LIMIT = 20_000
REASON_CHARACTERS = 160
_DOLLAR = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


class JsonSchema:
    """A valid schema whose references can all be resolved.

    Args:
        schema: the schema: an object, or true or false.
        name: the place of the schema, for errors.

    Raises:
        UserError: if `schema` is not a JSON schema, names an unknown draft, or has a reference that leads elsewhere.
    """

    def __init__(self, schema: Any, name: str = "the schema"):
        if not isinstance(schema, Mapping | bool):
            raise UserError(f"{name} is not a JSON schema ({schema!r:.60}). Use an object, or true or false.")
        draft = _find_draft(schema, name)
        try:
            with _DeepRecursion():
                draft.check_schema(schema)
                _check_references(schema, draft)
                if isinstance(
                    schema, Mapping
                ):  # a subschema with `$schema` would return to a class without _EXTENSIONS
                    schema = {key: value for key, value in schema.items() if key != "$schema"}
                self._validator = extend(draft, _EXTENSIONS)(schema, registry=Registry())
                for probe in PROBES:
                    self._validator.is_valid(probe)
        except _BadReference as error:
            raise UserError(f"{name}: {error}") from None
        except RecursionError:
            raise UserError(
                f"{name} is not a JSON schema (a subschema refers to itself without end). Correct the schema."
            ) from None
        except Exception as error:  # a SchemaError, or what a part that no metaschema describes makes of a validator
            reason = (error.message if isinstance(error, SchemaError) else str(error))[:REASON_CHARACTERS]
            raise UserError(f"{name} is not a JSON schema ({reason}). Correct the schema.") from None

    def allows(self, value: Any) -> bool:
        """Return whether a JSON value is valid. A value whose check raises an error is not."""
        try:
            with _DeepRecursion():
                return self._validator.is_valid(value)
        except (ArithmeticError, RecursionError, ValueError):
            return False

    def allows_text(self, text: str) -> bool:
        """Return whether a text is JSON and valid."""
        try:
            return self.allows(parse_value(text.encode("utf-8")))
        except ValueError:
            return False

    def allows_every_probe(self) -> bool:
        """Return whether the schema allows values of all types, so that it says nothing about an answer."""
        return all(map(self.allows, PROBES))


@lru_cache(maxsize=8)
def read_schema(path: str) -> JsonSchema:
    """Load the JSON schema of a file.

    Raises:
        UserError: if the file cannot be read, or `JsonSchema` refuses the schema.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the schema {path} ({error.strerror}). Use the path of a JSON schema.") from None
    try:
        schema = parse_value(raw.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise UserError(f"{path} is not a JSON schema ({error}). Correct the file.") from None
    return JsonSchema(schema, path)


def schema_of_row(schema: Any) -> JsonSchema:
    """Return the schema in the `grading` column of a row: a schema, or the JSON text of one.

    Raises:
        UserError: if `JsonSchema` refuses the schema.
    """
    if not isinstance(schema, str):
        try:
            schema = json.dumps(schema)
        except (TypeError, ValueError, RecursionError):
            raise UserError("`grading.schema` is not JSON. Use a JSON schema, or the JSON text of one.") from None
    return _parse_schema(schema)


@lru_cache(maxsize=64)
def _parse_schema(text: str) -> JsonSchema:
    try:
        schema = parse_value(text.encode("utf-8"))
    except ValueError as error:
        raise UserError(f"`grading.schema` is not a JSON schema ({error}). Correct the schema.") from None
    return JsonSchema(schema, "`grading.schema`")


def _find_draft(schema: Any, name: str) -> Any:
    """Return the validator class of a schema. Raises UserError for an unknown `$schema`."""
    if not isinstance(schema, Mapping) or "$schema" not in schema:
        return Draft202012Validator
    uri = schema["$schema"]
    draft = validator_for(schema, default=None) if isinstance(uri, str) else None
    if draft is None:
        raise UserError(
            f"{name} has an unknown `$schema`: {uri!r:.80}. Use that of a draft from 3 to 2020-12, such as "
            "http://json-schema.org/draft-07/schema# or https://json-schema.org/draft/2020-12/schema, or leave "
            "`$schema` out for draft 2020-12."
        )
    return draft


class _BadReference(Exception):
    """A reference of the schema cannot be followed without the network."""


def _check_references(schema: Any, draft: Any) -> None:
    """Follow every reference of a schema, and compile every pattern.

    Raises:
        _BadReference: for a reference that leads neither into the schema nor to a metaschema.
        re.error: for a pattern that is not a regular expression.
    """
    specification = specification_with(draft.ID_OF(draft.META_SCHEMA))
    siblings_count = "$recursiveRef" in draft.VALIDATORS or "$dynamicRef" in draft.VALIDATORS
    keywords = [keyword for keyword in REFERENCES if keyword in draft.VALIDATORS]
    root = specification.create_resource(schema)
    pending = [(root, _known_schemas().resolver_with_root(root))]
    seen = set()
    while pending:
        resource, resolver = pending.pop()
        contents = resource.contents
        if not isinstance(contents, Mapping) or id(contents) in seen:
            continue
        seen.add(id(contents))
        for keyword in keywords:
            if keyword not in contents:
                continue
            reference = contents[keyword]
            try:
                target = resolver.lookup(reference)
            except Exception:  # Unresolvable, and ValueError and others for what is not the text of a reference
                raise _BadReference(
                    f"{keyword} refers to {reference!r:.120}, which is not in the schema, and nothing is loaded from the "
                    "network. Copy what it refers to into `$defs` (`definitions` up to draft 7), or correct it."
                ) from None
            pending.append((Resource.from_contents(target.contents, specification), target.resolver))
        if "$ref" in contents and not siblings_count:
            continue  # up to draft 7, all other keywords beside `$ref` are ignored
        for pattern in [contents.get("pattern"), *_keys(contents.get("patternProperties"))]:
            if isinstance(pattern, str):
                re.compile(pattern)
        pending += [(part, resolver.in_subresource(part)) for part in resource.subresources()]


def _keys(value: Any) -> Iterable[Any]:
    return value if isinstance(value, Mapping) else ()


def _known_schemas() -> Registry[Any]:
    from jsonschema_specifications import REGISTRY

    return REGISTRY


def _is_multiple(validator: Any, divisor: float, instance: Any, _schema: Any) -> Iterable[ValidationError]:
    """Check `multipleOf` for decimal numbers as written: 4.35 is a multiple of 0.01, though not in binary."""
    if validator.is_type(instance, "number") and (Fraction(str(instance)) / Fraction(str(divisor))).denominator != 1:
        yield ValidationError(f"{instance!r} is not a multiple of {divisor}")


def _matches_pattern(validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterable[ValidationError]:
    r"""Check `pattern` as JavaScript does: `$` does not match before a last newline, and `\d` is 0 to 9."""
    if validator.is_type(instance, "string") and not re.search(_end_at_dollar(pattern), instance, re.ASCII):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


@lru_cache(maxsize=256)
def _end_at_dollar(pattern: str) -> str:
    return _DOLLAR.sub(lambda match: r"\Z" if match[0] == "$" else match[0], pattern)


_EXTENSIONS = {"multipleOf": _is_multiple, "pattern": _matches_pattern}


class _DeepRecursion:
    """Raise the recursion limit while a value is validated: jsonschema uses several frames for each level."""

    def __enter__(self) -> None:
        self._limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(self._limit, RECURSION_LIMIT))

    def __exit__(self, *_: object) -> None:
        sys.setrecursionlimit(self._limit)
