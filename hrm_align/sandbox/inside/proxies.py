"""Proxies of a program's functions, classes and instances, for the process of the tests (`checking`).

An operator whose other operand is a value of the tests runs in the program only for an instance that the tests created
themselves. Otherwise an instance of the program's own class could claim to equal what the tests expect.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

UNARY = ("len", "iter", "next", "str", "repr", "bool", "abs", "int", "float", "round", "reversed")
OPERATORS = ("getitem", "setitem", "delitem", "neg", "pos", "invert", "index")
ARITHMETIC = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow"),
    *("and", "or", "xor", "lshift", "rshift"),
)
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


class Requests(Protocol):
    """What proxies need of `checking.Tests`."""

    def request(self, do: str, arguments: Sequence[Any], named: Mapping[str, Any] = {}, live: bool = False) -> Any:
        """Perform an operation in the program, and return a copy or a proxy of the result."""


class Opaque:
    """A result of the program that the tests cannot use. It is equal to nothing but itself."""

    def __repr__(self) -> str:
        return "<an instance of a class of the program>"


class Remote:
    """Proxy of a value in the process of the program.

    Args:
        tests: sends the requests.
        index: index of the value in the program.
    """

    _tests: Requests
    _index: int
    _live: bool  # the tests can use the instances that a function returns, of whatever class
    _created: bool  # the tests created the instance

    def __init__(self, tests: Requests, index: int):
        self.__dict__.update(_tests=tests, _index=index, _live=False, _created=False)

    def _request(self, do: str, *arguments: Any, live: bool = False) -> Any:
        return self._tests.request(do, [self, *arguments], live=live)


class RemoteFunction(Remote):
    """Proxy of a function. `_live` marks a method of a usable instance, whose results are usable, too."""

    def __call__(self, /, *arguments: Any, **named: Any) -> Any:
        return self._tests.request("call", [self, *arguments], named, live=self._live)


class RemoteIterator(Remote):
    """Proxy of an iterator or generator."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._request("next")


class _WithAttributes(Remote):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self._request("get", name, live=True)

    def __setattr__(self, name: str, value: Any) -> None:
        self._request("set", name, value)


class RemoteClass(_WithAttributes):
    """Proxy of a class that the tests name."""

    def __call__(self, /, *arguments: Any, **named: Any) -> Any:
        made = self._tests.request("call", [self, *arguments], named, live=True)
        if isinstance(made, RemoteObject):
            made.__dict__["_created"] = True
        return made

    def __instancecheck__(self, value: Any) -> bool:
        return isinstance(value, Remote) and self._tests.request("isinstance", [value, self]) is True


class RemoteObject(_WithAttributes):
    """Proxy of an instance, with the operators that its class in the program defines."""

    __hash__ = object.__hash__

    def __call__(self, /, *arguments: Any, **named: Any) -> Any:
        return self._tests.request("call", [self, *arguments], named)

    def __contains__(self, item: Any) -> bool:
        if not self._may_operate(item):
            raise TypeError("the tests did not create the instance, so its `in` is not used")
        return self._request("contains", item)

    def __enter__(self) -> Any:
        return self._request("enter", live=True)

    def __exit__(self, *_: object) -> bool:
        return self._request("exit") is True

    def __format__(self, form: str) -> str:
        return self._request("format", form)

    def _may_operate(self, other: Any) -> bool:
        return self._created or isinstance(other, RemoteObject)


def _add_operators() -> None:
    """Define the special methods of `RemoteObject` that pass an operation on."""

    def unary(name: str) -> Callable[..., Any]:
        return lambda self, *arguments: self._request(name, *arguments, live=True)

    def arithmetic(name: str, reflected: bool) -> Callable[..., Any]:
        def operate(self: RemoteObject, other: Any) -> Any:
            if not self._may_operate(other):
                return NotImplemented
            pair = [other, self] if reflected else [self, other]
            return self._tests.request(name, pair, live=True)

        return operate

    def comparison(name: str) -> Callable[..., Any]:
        def compare(self: RemoteObject, other: Any) -> Any:
            return self._request(name, other) if self._may_operate(other) else NotImplemented

        return compare

    for name in (*UNARY, *OPERATORS):
        setattr(RemoteObject, f"__{name}__", unary(name))
    for name in ARITHMETIC:
        function = name if hasattr(operator, name) else f"{name}_"
        setattr(RemoteObject, f"__{name}__", arithmetic(function, reflected=False))
        setattr(RemoteObject, f"__r{name}__", arithmetic(function, reflected=True))
    for name in COMPARISONS:
        setattr(RemoteObject, f"__{name}__", comparison(name))


_add_operators()
