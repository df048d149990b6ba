"""Strict JSON parser (RFC 8259): return a value unchanged, or raise `JsonFault` with a reason and a place.

`json.loads` keeps the last of two equal keys, reads NaN and 1e999, builds strings that no tokenizer can encode, and
raises RecursionError on deep nesting. This parser raises `JsonFault` in each of these cases.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

# Python 3.11 and later cannot convert integers of more digits back to text; Python 3.10 needs quadratic time.
MAX_DIGITS = 4300
# Far more levels than a row of text needs, and far fewer than the interpreter's recursion limit at any call depth.
MAX_NESTING = 200

_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_BRACKET = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_BRACKET_OR_COMMA = re.compile(_STRING + rb"|[\[\]{},]", re.DOTALL)
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


class JsonFault(ValueError):
    """Text that is not strict JSON, or a file without a list of objects. The message is `kind: detail`."""


class JsonSyntaxFault(JsonFault):
    """Text that is not JSON at all, so that the end of the element may be wrong too."""


class RowError(ValueError):
    """A row that its schema does not allow. The message is `kind: detail`, or the kind alone."""


def parse_object(raw: bytes) -> dict[str, Any]:
    """Parse one JSON object. Arguments and errors are those of `parse_value`; any other JSON value raises JsonFault."""
    value = parse_value(raw)
    if not isinstance(value, dict):
        raise JsonFault(f"not an object: the row is {_JSON_NAMES[type(value)]}")
    return value


def parse_value(raw: bytes) -> Any:
    """Parse one JSON value.

    Args:
        raw: the value's UTF-8 text, without a byte order mark.

    Raises:
        JsonFault: with the reason, and the byte or column if the fault has one.
    """
    if b"\0" in raw:
        raise JsonFault(f"NUL byte: at byte {raw.index(0) + 1}")
    _refuse_deep_nesting(raw)
    try:
        value = _DECODE(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise JsonFault(f"invalid UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        line = f"line {error.lineno} of the row, " if error.lineno > 1 else ""
        raise JsonSyntaxFault(f"invalid JSON: {error.msg.removesuffix(' at')} at {line}column {error.colno}") from None
    if _SURROGATE_ESCAPE.search(raw):  # escapes that form a pair are valid: the parser has joined them to one character
        _refuse_lone_surrogates(value)
    return value


def elements(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Split a JSON file into the elements of its list, and yield the line on which each starts, and its bytes.

    The list is the file itself, or the only list among the values of one object. Only brackets and strings are parsed
    here, so that a bad element leaves the others readable, unless its own brackets or quotes are wrong.

    Raises:
        JsonFault: if the file has no such list, or if its brackets do not match.
    """
    start = _list_start(raw)
    depth, line, counted, begin, number = 0, 1, 0, start + 1, 0
    for token in _BRACKET_OR_COMMA.finditer(raw, start + 1):
        kind = token.group()[:1]
        closes_list = depth == 0 and kind == b"]"
        if closes_list or (depth == 0 and kind == b","):
            element = raw[begin : token.start()]
            at = begin + len(element) - len(element.lstrip())
            line, counted = line + raw.count(b"\n", counted, at), at
            if element.strip() or number or not closes_list:
                yield line, element.strip()
            begin, number = token.end(), number + 1
        if closes_list:
            return _check_outside(raw[:start] + b"[]" + raw[token.end() :])
        depth += (kind in b"[{") - (kind in b"]}")
    raise JsonFault(f"invalid JSON: the brackets do not match from the element at line {line} on")


def _list_start(raw: bytes) -> int:
    body = raw.lstrip()
    if body.startswith(b"["):
        return len(raw) - len(body)
    depth, list_starts = 0, []
    for token in _BRACKET.finditer(raw) if body.startswith(b"{") else ():
        kind = token.group()[:1]
        if kind == b"[" and depth == 1:
            list_starts.append(token.start())
        depth += (kind in b"[{") - (kind in b"]}")
        if depth == 0 and kind == b"}":
            if raw[token.end() :].lstrip().startswith(b"{"):
                raise JsonFault("several objects over several lines: write one object a line, as jq -c . does")
            break
    if len(list_starts) != 1:
        raise JsonFault("no list of rows: a .json file must be a list of objects, or one object with a single list")
    return list_starts[0]


def _check_outside(raw: bytes) -> None:
    try:
        json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise JsonFault(f"invalid JSON: outside the list of rows ({error})") from None


def _refuse_deep_nesting(raw: bytes) -> None:
    if raw.count(b"[") + raw.count(b"{") <= MAX_NESTING:
        return
    depth = 0
    for token in _BRACKET.finditer(raw):
        kind = token.group()[:1]
        depth += (kind in b"[{") - (kind in b"]}")
        if depth > MAX_NESTING:
            raise JsonFault(f"nested too deep: more than {MAX_NESTING} levels, at byte {token.start() + 1}")


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        raise JsonFault(f"lone surrogate: \\u{code:04x} is half a character, which UTF-8 cannot encode") from None


def require_text(value: Any, name: str) -> str:
    """Return the value if it is text that UTF-8 can encode; raise RowError otherwise."""
    if not isinstance(value, str):
        raise RowError(f"`{name}` must be text: got {'null' if value is None else type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(f"lone surrogate: `{name}` has half a character at position {error.start}") from None
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonFault(f"duplicate key: {twice[:40]!a} occurs twice in one object")
    return value


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise JsonFault(f"number too long: {len(digits):,} digits; write the number as text")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise JsonFault(f"not a finite number: {digits[:40]}")
    return value


def _constant(name: str) -> Any:
    raise JsonFault(f"not a finite number: {name}")


_DECODE = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_integer, parse_float=_float, parse_constant=_constant
).decode
_JSON_NAMES = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "a boolean", type(None): "null"}
