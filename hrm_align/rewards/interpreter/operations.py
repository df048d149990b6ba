"""Operations on values, paid for before they are carried out."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from .limits import Budget, Fault
from .syntax import OPERATORS
from .values import CONSTANTS, NUMBERS


def binary(budget: Budget, kind: type[ast.operator], left: Any, right: Any, change: bool = False) -> Any:
    """`left + right` and its like, or, with `change`, `left += right`."""
    budget.weigh(left, right)
    kinds = {type(left), type(right)}
    times = next((value for value in (left, right) if type(value) in (int, bool)), None)
    sequence = next((value for value in (left, right) if type(value) in (str, list, tuple)), None)
    if kinds <= {int, bool} and kind is ast.Pow:
        budget.bits(left.bit_length() * right)
    elif kinds <= {int, bool} and kind is ast.LShift:
        budget.bits(left.bit_length() + right)
    elif sequence is not None and kind is ast.Mult and times is not None:
        budget.room(len(sequence) * times)
    elif not (
        kinds <= set(NUMBERS)
        or (sequence is not None and kind is ast.Add and len(kinds) == 1)
        or (kinds == {set} and kind in (ast.BitAnd, ast.BitOr, ast.BitXor, ast.Sub))
        or (kinds == {dict} and kind is ast.BitOr)
    ):
        raise Fault(f"{kind.__name__} of {type(left).__name__} and {type(right).__name__}")
    return budget.fit(getattr(operator, f"__{'i' if change else ''}{OPERATORS[kind]}__")(left, right))


def text(budget: Budget, value: Any, write: Callable[[Any], str] = str) -> str:
    """`str(value)` or `repr(value)`, of what is written the same way in every run."""
    budget.weigh(value)
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if type(inner) in (list, tuple):
            waiting += inner
        elif type(inner) is dict:
            waiting += [*inner.keys(), *inner.values()]
        elif type(inner) not in (*CONSTANTS, range):
            raise Fault(f"the text of a {type(inner).__name__}")
    return budget.fit(write(value))
