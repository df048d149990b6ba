"""Functions that a program may call by name: each takes the machine, then what the program gives."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .limits import Fault
from .operations import binary, text
from .values import NUMBERS, _Stream

if TYPE_CHECKING:
    from .walker import Walker


def _native(function: Callable[..., Any]) -> Callable[..., Any]:
    """Python's own, where its work grows with what it is given and no further."""

    def call(machine: Walker, /, *arguments: Any, **named: Any) -> Any:
        machine.budget.weigh(*([] if function is len else arguments))
        return function(*arguments, **named)

    return call


def _round(machine: Walker, value: Any, digits: Any = None, /) -> Any:
    if digits is not None and abs(digits) > 100:
        raise Fault("round to more than 100 digits")  # round(1, -10 ** 9) makes that power
    return round(value, digits)


def _pow(machine: Walker, left: Any, right: Any, /) -> Any:
    return binary(machine.budget, ast.Pow, left, right)


def _str(machine: Walker, value: Any = "", /) -> str:
    return text(machine.budget, value)


def _repr(machine: Walker, value: Any, /) -> str:
    return text(machine.budget, value, repr)


def _list(machine: Walker, values: Any = (), /) -> list[Any]:
    return machine.items(values)


def _tuple(machine: Walker, values: Any = (), /) -> tuple[Any, ...]:
    return tuple(machine.items(values))


def _set(machine: Walker, values: Any = (), /) -> set[Any]:
    items = machine.items(values, ordered=False)
    machine.budget.keys(len(items))
    machine.budget.weigh(items)
    return set(items)


def _dict(machine: Walker, pairs: Any = (), /, **named: Any) -> dict[Any, Any]:
    items = list(pairs.items()) if type(pairs) is dict else machine.items(pairs)
    machine.budget.keys(len(items))
    machine.budget.weigh(items)
    return dict(items, **named)


def _range(machine: Walker, /, *bounds: Any) -> range:
    return range(*bounds)


def _sum(machine: Walker, values: Any, /, start: Any = 0) -> Any:
    items = machine.items(values, ordered=False)
    if all(type(item) in NUMBERS for item in (start, *items)):
        return sum(items, start)  # Python 3.12 and later round floats better than a loop of additions
    if type(start) is str:
        raise Fault("sum of texts")
    for item in items:
        start = binary(machine.budget, ast.Add, start, item)
    return start


def _keys(machine: Walker, items: list[Any], key: Any) -> list[Any]:
    """What items are ordered by, all comparisons paid for."""
    keys = items if key is None else [machine.call(key, [item], {}) for item in items]
    for _ in range(len(keys).bit_length()):
        machine.budget.weigh(keys)
    return keys


def _sorted(machine: Walker, values: Any, /, *, key: Any = None, reverse: Any = False) -> list[Any]:
    items = machine.items(values, ordered=key is not None)
    keys = _keys(machine, items, key)
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)]


def _extreme(choose: Callable[..., int]) -> Callable[..., Any]:
    def extreme(machine: Walker, /, *values: Any, key: Any = None, **default: Any) -> Any:
        if default.keys() - {"default"} or (default and len(values) > 1):
            raise Fault("unknown arguments of max or min")
        items = machine.items(values[0], ordered=key is not None) if len(values) == 1 else list(values)
        if not items and default:
            return default["default"]
        keys = _keys(machine, items, key)
        return items[choose(range(len(items)), key=keys.__getitem__)]

    return extreme


def _any(machine: Walker, values: Any, /) -> bool:
    return any(machine.iterate(values, ordered=False))


def _all(machine: Walker, values: Any, /) -> bool:
    return all(machine.iterate(values, ordered=False))


def _map(machine: Walker, function: Any, /, *values: Any) -> _Stream:
    sources = [machine.iterate(value) for value in values]
    if not sources:
        raise Fault("map without values")
    return _Stream(machine.budget, (machine.call(function, list(items), {}) for items in zip(*sources, strict=False)))


def _filter(machine: Walker, function: Any, values: Any, /) -> _Stream:
    source = machine.iterate(values)
    kept = (item for item in source if (item if function is None else machine.call(function, [item], {})))
    return _Stream(machine.budget, kept)


def _zip(machine: Walker, /, *values: Any) -> _Stream:
    return _Stream(machine.budget, zip(*(machine.iterate(value) for value in values), strict=False))


def _enumerate(machine: Walker, values: Any, /, start: Any = 0) -> _Stream:
    return _Stream(machine.budget, enumerate(machine.iterate(values), start))


def _reversed(machine: Walker, values: Any, /) -> _Stream:
    return _Stream(machine.budget, reversed(values))


def _next(machine: Walker, stream: Any, /, *default: Any) -> Any:
    if type(stream) is not _Stream or len(default) > 1:
        raise Fault("next takes an iterator, and what to give at its end")
    for item in stream:
        return item
    if not default:
        raise Fault("next has come to the end")
    return default[0]


BUILTINS: dict[str, Callable[..., Any]] = {
    **{native.__name__: _native(native) for native in (abs, bool, chr, divmod, float, int, len, ord)},
    **{
        function.__name__[1:]: function
        for function in (
            *(_round, _pow, _str, _repr, _list, _tuple, _set, _dict, _range, _sum, _sorted, _any, _all),
            *(_map, _filter, _zip, _enumerate, _reversed, _next),
        )
    },
    "max": _extreme(max),
    "min": _extreme(min),
}
