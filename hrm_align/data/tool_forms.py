r"""Tool calls and tool answers that are written into the text of messages, and calls in the forms that are published.

`expand_message` turns one message of a row into messages whose calls and answers rendering writes with control tokens:

    assistant: Let me look.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>      (Hermes, Qwen)
        ->  content "Let me look.", one call
    assistant: <functioncall> {"name": "f", "arguments": '{"a": 1}'} <|endoftext|>                (Glaive)
        ->  content "", one call
    tool: <tool_response>\n{"ok": true}\n</tool_response>                                         (Hermes)
        ->  content '{"ok": true}'; a message with several answers becomes several messages

A tag holds a call, a list of calls, or one call a line: as strict JSON, or as a literal of Python that has the same value.
A tag in Markdown code (between backticks) or in `<think>...</think>` is text. Everything else that looks like a call must be one, or the row is refused.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hrm_align.data.strict_json import JsonFault, JsonSyntaxFault, parse_value

CALL, CALL_END = "<tool_call>", "</tool_call>"
RESPONSE, RESPONSE_END = "<tool_response>", "</tool_response>"
GLAIVE_CALL = "<functioncall>"
ABSENT = ""  # among the right values of an argument, in the form of BFCL: the argument may be left out

_TAG = re.compile(r"<think>.*?</think>|```.*?(?:```|\Z)|`[^`\n]*`|</?tool_call>|</?functioncall>", re.DOTALL)
_GLAIVE_END = re.compile(r"</functioncall>|<\|endoftext\|>|\Z")
_RESPONSES = re.compile(rf"\s*(?:{RESPONSE}(?P<body>(?:(?!</?tool_response>).)*){RESPONSE_END}\s*)+", re.DOTALL)
_RESPONSE = re.compile(rf"{RESPONSE}(.*?){RESPONSE_END}", re.DOTALL)
_TOOLS = re.compile(r"<tools>(.*?)</tools>", re.DOTALL)
# Glaive writes the arguments as JSON in single quotes, with line breaks, which neither JSON nor Python allows.
_GLAIVE_BODY = re.compile(
    r"""\{\s*"name"\s*:\s*(?P<name>"(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*'(?P<arguments>.*)'\s*\}""", re.DOTALL
)
_PYTHON_START = re.compile(r"[\[\s]*\{\s*'")  # JSON with a mistake is not read as Python, which would repair it
_ESCAPED_QUOTE = re.compile(r"(?<!\\)((?:\\\\)*)\\'")
_ARGUMENTS = ("arguments", "parameters")
_CALL_KEYS = {"name", *_ARGUMENTS, "id", "type", "index"}  # the last three label a call and say nothing about it


class ToolFault(ValueError):
    """A tool call or tool answer that cannot be read. The message is `kind: detail`."""


def expand_message(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Turn a message in OpenAI's form whose text has tags into messages without them.

    Args:
        message: `{"role", "content", "tool_calls"?}`, where the content is a text; other keys are passed on.

    Raises:
        ToolFault: for a call that cannot be read, a tag without its other half, text behind a call, or calls in the text that
            are not those of `tool_calls`.
    """
    content = message["content"]
    if message["role"] == "assistant":
        text, calls = split_calls(content)
        listed = [read_call(call) for call in message.get("tool_calls") or ()]
        if calls and listed and calls != listed:
            raise ToolFault("two kinds of tool calls: those in the content differ from `tool_calls`; leave one out")
        return [{**message, "content": text, "tool_calls": calls or listed}] if calls else [message]
    answers = _split_answers(content)
    if answers is None and message["role"] == "tool":
        raise ToolFault(f"broken tool answer: `{RESPONSE}` and `{RESPONSE_END}` do not enclose the whole content")
    if answers is None:  # a user who writes about the tag
        return [message]
    return [{**message, "role": "tool", "content": answer} for answer in answers]


def split_calls(text: str) -> tuple[str, list[dict[str, Any]]]:
    """Split an answer into the text before its first call, and its calls.

    Returns:
        The text, without the white space between it and the first call; and calls as `{"name", "arguments"}`. A text
        without calls is returned as it is.

    Raises:
        ToolFault: as `expand_message`.
    """
    before, calls, end = None, [], 0
    for start, stop, body in _tagged(text):
        if before is None:
            before = text[:start].rstrip()
        elif text[end:start].strip():
            raise ToolFault(f"text behind a tool call: {text[end:start].strip()[:40]!r}; an answer ends with its calls")
        calls += parse_calls(body)
        end = stop
    if before is None:
        return text, []
    if text[end:].strip():
        raise ToolFault(f"text behind a tool call: {text[end:].strip()[:40]!r}; an answer ends with its calls")
    return before, calls


def _tagged(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and body of each call in tags; skip Markdown code and thoughts."""
    position = 0
    while match := _TAG.search(text, position):
        position, tag = match.end(), match.group()
        if tag == CALL:
            end = text.find(CALL_END, position)
            if end < 0:
                raise ToolFault(f"broken tool call: `{CALL}` has no `{CALL_END}`")
            yield match.start(), end + len(CALL_END), text[position:end]
            position = end + len(CALL_END)
        elif tag == GLAIVE_CALL:
            close = _GLAIVE_END.search(text, position)
            assert close is not None, "the pattern matches the end of the text"
            yield match.start(), close.end(), text[position : close.start()]
            position = close.end()
        elif tag == CALL_END:
            raise ToolFault(f"broken tool call: `{CALL_END}` has no `{CALL}`")


def parse_calls(text: str) -> list[dict[str, Any]]:
    """Parse the JSON of one call, of a list of calls, or of one call a line. Raises ToolFault if it is broken."""
    text = text.strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    try:
        value = _parse(text)
    except JsonFault as fault:
        if len(lines) < 2 or not all(line.startswith("{") and line.endswith("}") for line in lines):
            raise ToolFault(f"broken tool call: {fault} in {text[:60]!r}") from None
        try:
            value = [_parse(line) for line in lines]
        except JsonFault as fault:
            raise ToolFault(f"broken tool call: {fault} in {text[:60]!r}") from None
    calls = value if isinstance(value, list) else [value]
    if not calls:
        raise ToolFault("broken tool call: the list of calls is empty")
    return [read_call(call) for call in calls]


def read_call(call: Any) -> dict[str, Any]:
    """Return a call as `{"name", "arguments"}`.

    Args:
        call: a call in OpenAI's form, `{"type": "function", "function": {"name", "arguments"}}`, or the function alone. The
            arguments are an object or its JSON as text, and may be called `parameters`.

    Raises:
        ToolFault: if the call has no name, another key, two kinds of arguments, or arguments that are no object.
    """
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ToolFault(f"broken tool call: a call needs a `name` and `arguments`, got {_shown(call)}")
    unknown = [key for key in function if key not in _CALL_KEYS and function[key] is not None]
    if unknown:
        raise ToolFault(f"broken tool call: unknown key `{unknown[0]}` in a call of {function['name']!r}")
    given = [key for key in _ARGUMENTS if function.get(key) is not None] or [
        key for key in _ARGUMENTS if key in function
    ]
    if len(given) > 1:
        raise ToolFault(f"broken tool call: both `arguments` and `parameters` in a call of {function['name']!r}")
    arguments = function[given[0]] if given else {}
    if isinstance(arguments, str):  # OpenAI sends the arguments as a JSON text
        arguments = _parse_arguments(arguments, function["name"])
    if not isinstance(arguments, Mapping):
        raise ToolFault(
            f"the arguments of a tool call must be an object: got {arguments!r:.60} for {function['name']!r}"
        )
    return {"name": function["name"], "arguments": arguments}


def _parse_arguments(text: str, name: str) -> Any:
    try:
        return parse_value(text.encode("utf-8", "surrogatepass"))
    except JsonFault as fault:
        raise ToolFault(f"broken tool call: the arguments of {name!r} are not valid JSON ({fault})") from None


def _shown(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)[:80]


def first_arguments(possible: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first right value of each argument in the form of BFCL: `{"city": ["Paris", "Lyon"], "unit": ["C", ""]}`.

    An argument that may be left out, because `""` is among its values, is left out, and so is one without values.
    """
    return {key: _first_value(values[0]) for key, values in possible.items() if values and ABSENT not in values}


def _first_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        filled = {key: values for key, values in value.items() if isinstance(values, list)}
        return {key: item for key, item in value.items() if not filled.get(key)} | first_arguments(filled)
    return [_first_value(item) for item in value] if isinstance(value, list) else value


def _split_answers(content: str) -> list[str] | None:
    """Return the answers of a text that is nothing but answers in tags; None for any other text."""
    if _RESPONSES.fullmatch(content) is None:
        return None
    return [answer.strip() for answer in _RESPONSE.findall(content)]


# --- Tools


def parse_tools(text: str) -> list[Any]:
    """Parse a list of tools: a JSON list, or JSON objects one after the other. Raises JsonFault for anything else."""
    text = text.strip()
    if not text.startswith("{"):
        tools = _parse(text)
        if not isinstance(tools, list):
            raise JsonSyntaxFault("invalid JSON: not a list of tools")
        return tools
    tools, position = [], 0
    while position < len(text):
        try:
            _, end = _DECODER.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise JsonSyntaxFault(f"invalid JSON: {error.msg} at column {error.colno}") from None
        tools.append(_parse(text[position:end]))
        position = end + len(text[end:]) - len(text[end:].lstrip(" \n\t\r,"))
    return tools


def find_tools_place(messages: Sequence[Any], tools: Sequence[Any]) -> int | None:
    """Return the index at which a system message with the tools is inserted: behind the first system texts.

    Args:
        messages: `Message`s of a conversation.
        tools: the tools.

    Returns:
        The index; None if one of the first two messages states the same tools already.
    """
    if any("<tools>" in message.content and states_tools(message.content, tools) for message in messages[:2]):
        return None
    return next((index for index, message in enumerate(messages) if message.role != "system"), len(messages))


def states_tools(content: str, tools: Sequence[Any]) -> bool:
    """Return whether a system text lists the same tools in `<tools>` tags, so that a column with them repeats it."""
    for body in _TOOLS.findall(content):
        try:
            if body.strip() and _functions(parse_tools(body)) == _functions(tools):
                return True
        except JsonFault:
            continue
    return False


def _functions(tools: Sequence[Any]) -> list[Any]:
    return [tool.get("function", tool) if isinstance(tool, Mapping) else tool for tool in tools]


# --- Values


def _parse(text: str) -> Any:
    """Parse strict JSON, Glaive's form of a call, or a literal of Python with the value of JSON.

    Raises:
        JsonFault: for all other texts, with the reason for which the text is not JSON.
    """
    try:
        return parse_value(text.encode("utf-8", "surrogatepass"))
    except JsonSyntaxFault:
        if (call := _GLAIVE_BODY.fullmatch(text)) is not None:
            return {
                "name": parse_value(call["name"].encode("utf-8", "surrogatepass")),
                "arguments": _ESCAPED_QUOTE.sub(r"\1'", call["arguments"]),
            }
        literal = _python_literal(text)
        if literal is None:
            raise
        return literal


def _python_literal(text: str) -> Any:
    """Return the object or list of a Python literal; None if the text is none, or has a value that JSON has not."""
    if _PYTHON_START.match(text) is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of escapes that Python does not know
            tree = ast.parse(text, mode="eval")
        if any(_has_equal_keys(node) or isinstance(node, ast.Tuple | ast.Set) for node in ast.walk(tree)):
            return None
        value = ast.literal_eval(tree)
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    # JSON would write a key such as 1 as a text, and two keys could then be equal.
    return value if isinstance(value, dict | list) and _has_text_keys(value) else None


def _has_equal_keys(node: ast.AST) -> bool:
    keys = [key.value for key in node.keys if isinstance(key, ast.Constant)] if isinstance(node, ast.Dict) else []
    return len(set(keys)) < len(keys)


def _has_text_keys(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _has_text_keys(item) for key, item in value.items())
    return all(map(_has_text_keys, value)) if isinstance(value, list) else True


_DECODER = json.JSONDecoder()
