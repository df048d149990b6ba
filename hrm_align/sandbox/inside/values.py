"""Python values as JSON, for the channel between the process of a program and the process of its tests.

None, booleans, numbers, texts and lists are themselves. Every other value is an object with one key, its type:

    [1, (2, {3})]  ->  [1, {"tuple": [2, {"set": [3]}]}]

A decoded value consists of built-in and standard-library types only, so that no method of a program runs where values
are compared. Values of other types are left to the `encode_other` and `decode_other` of each side.
"""

from __future__ import annotations

import collections
import datetime
import fractions
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

MAX_LEVELS = 250  # nesting levels of a value; below the recursion limit of the JSON parser
_PLAIN_INT_BITS = 14_000  # ints below 4,300 digits, the limit of Python's conversion from decimal digits

Pairs = Iterable[tuple[Any, Any]]
DICTIONARIES: dict[str, Callable[[Any], Any]] = {
    "dict": dict,
    "defaultdict": lambda content: collections.defaultdict(None, content),
    "Counter": collections.Counter,
    "OrderedDict": collections.OrderedDict,
}
SEQUENCES: dict[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
    "dict_keys": lambda items: dict.fromkeys(items).keys(),
    "dict_values": lambda items: dict(enumerate(items)).values(),
    "dict_items": lambda items: dict(items).items(),
}
_SCALARS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {  # type -> (to JSON, from JSON)
    "int": (hex, lambda text: int(text, 16)),
    "complex": (lambda value: [value.real, value.imag], lambda parts: complex(*parts)),
    "bytes": (lambda value: value.decode("latin-1"), lambda text: text.encode("latin-1")),
    "bytearray": (lambda value: value.decode("latin-1"), lambda text: bytearray(text.encode("latin-1"))),
    "range": (lambda value: [value.start, value.stop, value.step], lambda parts: range(*parts)),
    "Decimal": (str, Decimal),
    "Fraction": (lambda value: [value.numerator, value.denominator], lambda parts: fractions.Fraction(*parts)),
    "date": (datetime.date.isoformat, datetime.date.fromisoformat),
    "time": (datetime.time.isoformat, datetime.time.fromisoformat),
    "datetime": (datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    "timedelta": (
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda parts: datetime.timedelta(*parts),
    ),
}
_KINDS: tuple[type, ...] = (
    *(tuple, set, frozenset, collections.deque, type({}.keys()), type({}.values()), type({}.items())),
    *(dict, collections.defaultdict, collections.Counter, collections.OrderedDict),
    *(complex, bytes, bytearray, range, Decimal, fractions.Fraction),
    *(datetime.date, datetime.time, datetime.datetime, datetime.timedelta),
)
_TYPES: dict[type, str] = {kind: kind.__name__ for kind in _KINDS}
MUTABLE = (list, dict, set, bytearray, collections.deque)


class NotRepresentable(TypeError):
    """The value cannot cross the channel."""


def encode(value: Any, encode_other: Callable[[Any, int], Any], level: int = 0) -> Any:
    """Return the JSON value for a value.

    Args:
        value: the value.
        encode_other: encodes a value of another type at a level; may call `encode` with the next level.
        level: number of enclosing values.

    Raises:
        NotRepresentable: for a value that is nested too deeply; and whatever `encode_other` raises.
    """
    kind = type(value)
    if value is None or kind is bool or kind is float or kind is str:
        return value
    if kind is int:
        return value if value.bit_length() < _PLAIN_INT_BITS else {"int": hex(value)}
    if level > MAX_LEVELS:
        raise NotRepresentable(f"a value with more than {MAX_LEVELS} lists within lists")
    if kind is list:
        return [encode(item, encode_other, level + 1) for item in value]
    name = _TYPES.get(kind)
    if name in DICTIONARIES:
        pairs = [[encode(part, encode_other, level + 1) for part in pair] for pair in kind.items(value)]
        return {name: pairs}
    if name in SEQUENCES:
        return {name: [encode(item, encode_other, level + 1) for item in value]}
    if name is not None:
        return {name: _SCALARS[name][0](value)}
    fields = getattr(kind, "_fields", None)
    if issubclass(kind, tuple) and isinstance(fields, tuple):
        items = [encode(item, encode_other, level + 1) for item in tuple.__iter__(value)]
        return {"namedtuple": [kind.__name__, list(fields), items]}
    return encode_other(value, level)


def decode(value: Any, decode_other: Callable[[str, Any], Any]) -> Any:
    """Return the value for a JSON value that `encode` returned, or that a program forged.

    Args:
        value: the JSON value.
        decode_other: decodes the content of a key that is not a type of this module.

    Raises:
        Exception: of any class, if the JSON value is not valid.
    """
    if type(value) is list:
        return [decode(item, decode_other) for item in value]
    if type(value) is not dict:
        return value
    ((name, content),) = value.items()
    if name in DICTIONARIES:
        pairs = [(decode(key, decode_other), decode(item, decode_other)) for key, item in content]
        return DICTIONARIES[name](dict(pairs))
    if name in SEQUENCES:
        return SEQUENCES[name](decode(content, decode_other))
    if name in _SCALARS:
        return _SCALARS[name][1](content)
    if name == "namedtuple":
        kind, fields, items = content
        return collections.namedtuple(kind, fields)(*decode(items, decode_other))
    return decode_other(name, content)


def update(old: Any, new: Any) -> None:
    """Give a mutable value the content of another value of the same type; inner values keep their identity.

    Raises:
        NotRepresentable: if the types differ.
    """
    if type(old) is not type(new):
        raise NotRepresentable("an argument changes its type")
    if isinstance(old, list):
        old[:] = [_updated(*pair) for pair in zip(old, new, strict=False)] + new[len(old) :]
    elif isinstance(old, dict):
        content = {key: _updated(old[key], item) if key in old else item for key, item in new.items()}
        old.clear()
        old.update(content)
    elif isinstance(old, set):
        old.clear()
        old.update(new)
    elif isinstance(old, collections.deque):
        old.clear()
        old.extend(new)
    elif isinstance(old, bytearray):
        old[:] = new
    elif isinstance(old, tuple):
        for pair in zip(old, new, strict=True):
            _updated(*pair)


def _updated(old: Any, new: Any) -> Any:
    if (
        type(old) is type(new)
        and isinstance(old, (*MUTABLE, tuple))
        and (not isinstance(old, tuple) or len(old) == len(new))
    ):
        update(old, new)
        return new if isinstance(old, tuple) and old != new else old
    return new
