"""The values that there are: None and what the tuples below list."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .limits import Budget

NUMBERS = (int, float, bool)
CONSTANTS = (*NUMBERS, str, type(None))
VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
ORDERED = (str, list, tuple, range, dict, *VIEWS)


@dataclass
class Scope:
    """The names of a function or comprehension: `own` are those that it assigns, bound or not yet."""

    own: set[str] = field(default_factory=set)
    outer: Scope | None = None
    values: dict[str, Any] = field(default_factory=dict)


# Faults show these three names, underscores included: "the text of a _Function".


@dataclass(frozen=True, eq=False)
class _Function:
    name: str
    node: ast.FunctionDef | ast.Lambda
    defaults: list[Any]
    scope: Scope


@dataclass(frozen=True)
class _Builtin:
    name: str


class _Stream:
    """An iterator: of `map`, `zip`, a generator expression. Its items come one at a time, once."""

    def __init__(self, budget: Budget, items: Iterator[Any]):
        self._budget, self._items = budget, items

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> Any:
        self._budget.enter(2)  # Python's stack holds twice as much of it
        try:
            return next(self._items)
        finally:
            self._budget.leave(2)


KINDS = (*CONSTANTS, *ORDERED, set, _Function, _Builtin, _Stream)
