"""Process of a program whose tests run in another process: run the program, and answer the calls of the tests.

The program shares this process and can forge every answer; the process of the tests (`checking`) trusts none.
"""

from __future__ import annotations

import ast
import builtins
import functools
import json
import operator
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

from .channel import Channel, Peer
from .proxies import ARITHMETIC, COMPARISONS, OPERATORS, UNARY
from .values import decode

_MAX_BYTES = 1 << 30  # of a message of the tests, which are trusted
_FUNCTIONS = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    functools.partial,
    type(functools.lru_cache(lambda: None)),
)
_OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(builtins, name) for name in (*UNARY, "isinstance", "format")},
    **{name: getattr(operator, name, None) or getattr(operator, f"{name}_") for name in ARITHMETIC},
    **{name: getattr(operator, name) for name in (*OPERATORS, *COMPARISONS, "contains", "and_", "or_")},
    "get": getattr,
    "set": setattr,
    "call": lambda function, /, *arguments, **named: function(*arguments, **named),
    "enter": lambda manager: manager.__enter__(),
    "exit": lambda manager: bool(manager.__exit__(None, None, None)),
}


def find_function(namespace: dict[str, Any], name: str) -> Any:
    """Return the function of a program, or else the method of its class `Solution`.

    Raises:
        KeyError: if the program has neither.
    """
    if name not in namespace and hasattr(namespace.get("Solution"), name):
        return getattr(namespace["Solution"](), name)
    return namespace[name]


def serve(request: bytes, source: int, sink: int) -> None:
    """Run a program and answer calls until the tests end.

    Args:
        request: JSON `{"source", "setup", "shared"}`.
        source: descriptor with the calls of the tests.
        sink: descriptor for the answers.
    """
    job = json.loads(request)
    channel = Channel(source, sink, _MAX_BYTES)
    module = types.ModuleType("program")
    sys.modules["program"] = module  # dataclasses, enum and typing look modules up by name
    program = _Program(channel, module.__dict__, job["shared"], -1)
    try:
        _execute(job["setup"], job["source"], module.__dict__)
    except BaseException as error:
        channel.send({"id": 0, "raises": program.describe(error)})
        return
    channel.send({"id": 0, "value": None})
    while True:
        program.answer(channel.receive())


def _execute(setup: str, source: str, namespace: dict[str, Any]) -> None:
    """Execute the set-up code and then the program.

    A statement of the set-up code that uses a name of the program cannot run yet. It belongs to the tests, and is
    skipped here.
    """
    warnings.simplefilter("ignore")
    for statement in ast.parse(setup).body:
        try:
            exec(compile(ast.Module([statement], []), "<setup>", "exec", dont_inherit=True), namespace)
        except NameError:
            continue
    exec(compile(source, "<program>", "exec", dont_inherit=True), namespace)


class _Program(Peer):
    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self._values: list[Any] = []  # values that the tests use by their index
        self._indices: dict[int, int] = {}  # identity of such a value -> index

    def perform(self, do: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        if do == "name":
            return find_function(self._namespace, arguments[0])  # type: ignore[arg-type]
        if do == "path":
            return eval(arguments[0], self._namespace)  # type: ignore[arg-type]
        return _OPERATIONS[do](*arguments, **named)

    def encode_other(self, value: Any) -> Any:
        kind, is_class = type(value), isinstance(value, type)
        name: str = value.__name__ if is_class else kind.__name__
        if is_class:
            if vars(builtins).get(name) is value:
                return {"builtin": name}
            if issubclass(value, BaseException):
                return {"exception": self.describe_class(value)}
        index = self._indices.get(id(value))
        if index is None:
            index = self._indices[id(value)] = len(self._values)
            self._values.append(value)
        if is_class:
            return {"class": [index, name]}
        if isinstance(value, _FUNCTIONS):
            return {"function": index}
        return {"iterator": index} if hasattr(kind, "__next__") else {"instance": [index, name]}

    def decode(self, value: Any) -> Any:
        return decode(value, self._decode_other)

    def _decode_other(self, name: str, content: Any) -> Any:
        if name == "object":
            return self.decode_object(content)
        if name == "builtin":
            return getattr(builtins, content)
        if name == "value":
            return self._values[content]
        return functools.partial(self._call_back, content)  # the key is "callback"

    def _call_back(self, index: int, /, *arguments: Any, **named: Any) -> Any:
        _, reply = self.call("callback", [index, *arguments], named)
        if "raises" in reply:
            _, base, text = reply["raises"]
            raise getattr(builtins, base)(text)
        return self.decode(reply["value"])
