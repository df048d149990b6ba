"""What a program may use, and what is left of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .values import KINDS, ORDERED, VIEWS


class Fault(Exception):
    """The program is refused, has failed, or has passed a limit."""


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Args:
        characters: length of its text.
        nodes: of its tree.
        steps: one for every node that is evaluated, and one for every item that an operation reads.
        depth: expressions, statements and calls within each other. Python's own stack holds more.
        bits: of an integer.
        items: characters of a text; items of a list, tuple or range.
        keys: of a dictionary or a set. Few: a program can choose keys that collide.
        nesting: lists within lists, for an operation that looks into them.
    """

    characters: int = 2_000
    nodes: int = 500
    steps: int = 20_000
    depth: int = 200
    bits: int = 4_096
    items: int = 10_000
    keys: int = 1_000
    nesting: int = 20


class Budget:
    """What is left of the limits. Only a program that ends passes one: it has no way to go on after a Fault."""

    def __init__(self, limits: Limits):
        self.limits, self._steps, self._depth = limits, limits.steps, 0

    def spend(self, steps: int = 1) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise Fault(f"it takes more than {self.limits.steps} steps")

    def enter(self, levels: int = 1) -> None:
        self._depth += levels
        if self._depth > self.limits.depth:
            raise Fault(f"it goes deeper than {self.limits.depth} levels")

    def leave(self, levels: int = 1) -> None:
        self._depth -= levels

    def weigh(self, *values: Any) -> None:
        """Spend a step for every item that an operation may look at, shared ones as often as it meets them."""
        level: list[Any] = list(values)
        self.spend(len(level))
        for _ in range(self.limits.nesting):
            inner: list[Any] = []
            for value in level:
                if type(value) is str:
                    self.spend(len(value) // 8)
                elif type(value) in (list, tuple, set, dict, *VIEWS):
                    self.spend(len(value))
                    inner += value.items() if type(value) is dict else value
            if not inner:
                return
            level = inner
        raise Fault(f"lists are nested more than {self.limits.nesting} deep")

    def room(self, size: int) -> None:
        """Refuse a text or list before it is made, or pay for it."""
        self.items(size)
        self.spend(max(0, size) // 8)

    def items(self, size: int) -> None:
        """Refuse a text or list of this size."""
        if size > self.limits.items:
            raise Fault(f"a value has more than {self.limits.items} items")

    def bits(self, size: int) -> None:
        """Refuse an integer before it is made."""
        if size > self.limits.bits:
            raise Fault(f"an integer has more than {self.limits.bits} bits")

    def keys(self, size: int) -> None:
        """Refuse a dictionary or set before it is made."""
        if size > self.limits.keys:
            raise Fault(f"a dictionary or set has more than {self.limits.keys} keys")

    def fit(self, value: Any) -> Any:
        """The value, if it is of a kind and size that may exist."""
        if type(value) not in KINDS:
            raise Fault(f"a value of type {type(value).__name__}")
        if type(value) is int:
            self.bits(value.bit_length())
        elif type(value) in (dict, set):
            self.keys(len(value))
        elif type(value) in ORDERED:
            self.items(len(value))
        return value
