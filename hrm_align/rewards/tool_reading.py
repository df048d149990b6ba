r"""Find the tool calls in the text of a model; completions and references are read by the same rules.

`read_tool_calls` returns every call of a text, in order. The first rule that finds something decides:

    1. `<tool_call>...</tool_call>`, the control tokens of HRM-Text or the same as text: each holds a call or a list of calls,
       and text outside the tags is ignored. A last tag may be left open.
    2. calls in Python's form, `[f(a=1), g(b="x")]` or `f(a=1)`: the whole text, or else what stands in fences (`tool_code`,
       `python` or without a language), or else lists of calls on lines of their own
    3. every JSON value in the text that is a call or a list of calls, with or without a code fence and prose around it:
       `{"name": "f", "arguments": {"a": 1}}`; `parameters` in place of `arguments`; OpenAI's
       `{"type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}`, and `{"tool_calls": [...]}` around them

Text in `<think>...</think>` never counts. Arguments are an object, or the JSON text of one; in Python's form, keyword
arguments with literal values. An object with a `description` is the definition of a tool. Broken JSON that begins like a
call, a tag without a call, and a call with two names or two kinds of arguments cannot be read, and make the whole text
unreadable. Everything here takes time linear in the length of the text.
"""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hrm_align.data.strict_json import JsonFault, parse_value
from hrm_align.rewards.reading import fenced_blocks, visible

OPEN_TAG, CLOSE_TAG = "<tool_call>", "</tool_call>"
PYTHON_CHARACTERS = 20_000  # longest text that is read as calls in Python's form
MOST_BLOCKS = 100  # fences that may hold calls in Python's form
MOST_BROKEN = 1_000  # places where JSON breaks; each of them costs time in proportion to the text

_JSON_START = re.compile(r"\{|\[(?=\s{0,20}[\[{])")
_CALL_START = re.compile(
    r"""[\[\s]{0,20}\{\s{0,20}["'](?:name|arguments|parameters|function|tool_calls|type["']\s*:\s*["']function)["']"""
)
_PYTHON_START = re.compile(r"\[?\s*[A-Za-z_][\w.]*\s*\(")
_PYTHON_LIST = re.compile(r"\[\s*[A-Za-z_][\w.]*\s*\(")
_NAMES = {"true": True, "false": False, "null": None}  # of JSON, which occur in calls in Python's form
_DECODER = json.JSONDecoder()


class Call(NamedTuple):
    """A call of a tool: its name, and its arguments as JSON values."""

    name: str
    arguments: Mapping[str, Any]


class Unreadable(ValueError):
    """A text that calls a tool in a way that cannot be read."""


def read_tool_calls(text: str) -> list[Call]:
    """Return the tool calls of a text by the rules of this module; an empty list for a text without one.

    Raises:
        Unreadable: for a broken call.
    """
    text = visible(text)
    bodies = [part.partition(CLOSE_TAG)[0] for part in text.split(OPEN_TAG)[1:]]
    if not bodies:
        return _read_untagged(text)
    calls = []
    for body in bodies:
        tagged = _read_untagged(body.strip(), tagged=True)
        if not tagged:
            raise Unreadable("a tag without a call")
        calls += tagged
    return calls


def calls_text(calls: list[Call], tagged: bool = False) -> str:
    """Return calls as JSON with sorted keys: one list, or each call in tags."""
    values = [{"name": call.name, "arguments": call.arguments} for call in calls]
    if tagged:
        return "".join(f"{OPEN_TAG}{json.dumps(value, ensure_ascii=False)}{CLOSE_TAG}" for value in values)
    return json.dumps(values, ensure_ascii=False, sort_keys=True)


def _read_untagged(text: str, tagged: bool = False) -> list[Call]:
    blocks = [block.strip() for block in fenced_blocks(text, ("tool_code", "tool_call", "python", "py"))]
    lines = [line.strip() for line in text.split("\n")]
    lists = [line for line in lines if _PYTHON_LIST.match(line) and line.endswith("]")]
    if len(blocks) > MOST_BLOCKS:
        raise Unreadable("too many fences")
    for parts in ([text], blocks, ["\n".join(lists)]):
        calls = [call for part in parts for call in _python_calls(part) or ()]
        if calls:
            return calls
    calls = [call for value in _json_values(text) for call in _calls_of(value, tagged)]
    if not calls and (lists or _PYTHON_LIST.match(text)):
        raise Unreadable("a list that begins like calls in Python's form")
    return calls


# --- JSON


def _json_values(text: str) -> Iterator[Any]:
    """Yield the objects of a text, and its lists of objects. Where JSON breaks, reading continues at the break."""
    position = broken = 0
    while start := _JSON_START.search(text, position):
        begins_call = _CALL_START.match(text, start.start()) is not None
        try:
            _, position = _DECODER.raw_decode(text, start.start())
            yield parse_value(text[start.start() : position].encode("utf-8", "surrogatepass"))
        except json.JSONDecodeError as error:
            position, broken = max(error.pos, start.end()), broken + 1
            if begins_call or broken > MOST_BROKEN:
                raise Unreadable("broken JSON") from None
        except (ValueError, RecursionError):  # nested too deep, a number too long, a key twice
            raise Unreadable("JSON that is not strict") from None


def _calls_of(value: Any, tagged: bool) -> list[Call]:
    """Return the calls in a JSON value: none, one, or those of a list that has nothing but calls."""
    if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        value, tagged = value["tool_calls"], True
    if not isinstance(value, list):
        call = _call_of(value, tagged)
        return [] if call is None else [call]
    calls = [_call_of(item, tagged) for item in value]
    if any(call is None for call in calls) and (tagged or any(calls)):
        raise Unreadable("a list with a call and something else")
    return [call for call in calls if call is not None]


def _call_of(value: Any, tagged: bool) -> Call | None:
    """Return the call of a JSON object; None for another value. Only in tags, a call may have no arguments."""
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    function = inner if isinstance(inner, dict) else value
    if function is not value and value.keys() & {"name", "arguments", "parameters"}:
        raise Unreadable("a call with two names")
    names = [function[key] for key in ("name", "function") if isinstance(function.get(key), str)]
    arguments = [function[key] for key in ("arguments", "parameters") if key in function]
    if not names or "description" in function or not (arguments or tagged):
        return None
    if len(names) > 1 or len(arguments) > 1:
        raise Unreadable("a call with two names or two kinds of arguments")
    return Call(names[0], _arguments(arguments[0] if arguments else {}))


def _arguments(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = parse_value(value.encode("utf-8", "surrogatepass")) if value.strip() else {}
        except JsonFault:
            raise Unreadable("arguments that are not JSON") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unreadable("arguments that are not an object")
    return value


# --- Python's form


def _python_calls(text: str) -> list[Call] | None:
    """Return the calls of a text that consists of nothing but calls in Python's form; None for any other text."""
    if len(text) > PYTHON_CHARACTERS or not _PYTHON_START.match(text):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            statements = ast.parse(text).body
        calls = []
        for statement in statements:
            value = statement.value if isinstance(statement, ast.Expr) else None
            nodes = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
            calls += [_python_call(node) for node in nodes]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    return calls or None


def _python_call(node: ast.AST | None) -> Call:
    """Return the call of a syntax tree. Raises ValueError for anything but keyword arguments with literal values."""
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("not a call with keyword arguments")
    path = []
    function: ast.expr = node.func
    while isinstance(function, ast.Attribute):
        path.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        raise ValueError("not a dotted name")
    arguments: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise ValueError("an argument without a name, or given twice")
        arguments[keyword.arg] = _literal(keyword.value)
    return Call(".".join([function.id, *reversed(path)]), arguments)


def _literal(node: ast.expr) -> Any:
    """Return the JSON value of a literal. Raises ValueError for any other expression."""
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else _literal(key) for key in node.keys]
        if not all(isinstance(key, str) for key in keys) or len({*keys}) < len(keys):
            raise ValueError("keys that are not different texts")
        return dict(zip(keys, map(_literal, node.values), strict=True))
    if isinstance(node, ast.Name) and node.id in _NAMES:
        return _NAMES[node.id]
    value = ast.literal_eval(node)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if value is None or isinstance(value, str | int):  # bool is an int
        return value
    raise ValueError("not a JSON value")
