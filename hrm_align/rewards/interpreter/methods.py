"""Methods that a program may call, by the type of their value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .limits import Fault
from .natives import _sorted

if TYPE_CHECKING:
    from .walker import Walker

_METHODS: dict[type, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in (
        (
            str,
            "capitalize center count endswith find index isalnum isalpha isdigit islower isspace istitle isupper join ljust "
            "lower lstrip partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split "
            "splitlines startswith strip swapcase title upper zfill",
        ),
        (list, "append clear copy count extend index insert pop remove reverse sort"),
        (tuple, "count index"),
        (dict, "clear copy get items keys pop setdefault update values"),
        (
            set,
            "add clear copy difference discard intersection isdisjoint issubset issuperset remove symmetric_difference "
            "union update",
        ),
    )
}
_CHEAP = {"append", "extend", "insert", "pop", "get", "setdefault", "keys", "values", "items", "add", "discard"}
_OF_ITEMS = {"join", "extend", "update", "union", "difference", "intersection", "symmetric_difference"}
_OF_ITEMS |= {"issubset", "issuperset", "isdisjoint"}


def call_method(machine: Walker, value: Any, name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    if name not in _METHODS.get(type(value), ()):
        raise Fault(f"the method .{name} of a {type(value).__name__}")
    machine.budget.weigh(*arguments, *named.values(), *([] if name in _CHEAP else [value]))
    if type(value) is list and name == "sort":
        value[:] = _sorted(machine, value, *arguments, **named)
        return None
    if name in _OF_ITEMS:
        arguments = [_given(machine, value, argument) for argument in arguments]
    if type(value) is str:
        _text_room(machine, value, name, arguments)
    result = getattr(value, name)(*arguments, **named)
    machine.budget.fit(value)
    return machine.budget.fit(result)


def _given(machine: Walker, value: Any, argument: Any) -> list[Any]:
    """What a method takes from its argument: items, or the pairs of a dictionary that updates another."""
    pairs = type(value) is dict and type(argument) is dict
    return machine.items(argument.items() if pairs else argument, ordered=type(value) is not set)


def _text_room(machine: Walker, value: str, name: str, arguments: list[Any]) -> None:
    """Refuse a method whose text would be too long, before it makes it."""
    if name == "join":
        (parts,) = arguments
        machine.budget.room(sum(len(part) for part in parts) + len(value) * len(parts))
    elif name == "replace":
        old, new = arguments[:2]
        machine.budget.room(len(value) + value.count(old) * max(0, len(new) - len(old)))
    elif name in ("center", "ljust", "rjust", "zfill"):
        machine.budget.room(arguments[0])
