"""An interpreter of a small part of Python: short programs can be graded, and none of their text is ever run.

    >>> Program("def double(a): return a * 2").call("double", [21])
    42

The text is parsed by `ast`, and the tree is walked here, without `eval`, `exec` or `compile`. What is not named here
does not exist for a program: there is no import, class, attribute, exception, global, generator function, file or clock.
Methods are called by names listed for each type. Formats (`%`, `.format`, those of f-strings) are left out, and so is
whatever would show the order of a set, which differs from run to run.

All work is counted and every size is known before the value is made. Nothing is measured by a clock, so a verdict is the
same on every machine, and an endless loop, `10 ** 10 ** 10` or `'a' * 10 ** 9` is a `Fault` within milliseconds.
That keeps a trainer safe from the programs of its own model. It is no sandbox for other people's code.

    values                          what a program can hold, and where its names are kept
    limits                          what it may use, and what is left of that
    syntax                          what its text may contain
    operations                      `+` and its like, and the text of a value
    natives, methods                what it may call: functions by name, methods by the type of their value
    walker, expressions, machine    evaluation: what all nodes share, expressions, statements

Each imports from those above it, and nothing but the standard library: the package can be loaded without the rest.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from .limits import Budget, Fault, Limits
from .machine import _Machine
from .syntax import check
from .values import Scope

__all__ = ["Fault", "Limits", "Program"]


class Program:
    """A text that defines functions.

    Args:
        text: all of it.
        limits: what it may use; each call has them anew.

    Raises:
        Fault: if it is no Python, too long, or has what is not supported.
    """

    def __init__(self, text: str, limits: Limits | None = None):
        self._limits = limits or Limits()
        if len(text) > self._limits.characters:
            raise Fault(f"the program has more than {self._limits.characters} characters")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about an escape such as "\d"
                tree = ast.parse(text)
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:  # the last two: nested too deeply
            raise Fault(f"no Python: {type(error).__name__}: {error}") from error
        check(tree, self._limits)
        self._body = tree.body

    def call(self, name: str, arguments: Sequence[Any]) -> Any:
        """Run the program from its start, then a function of it, with copies of the arguments.

        Raises:
            Fault: for whatever goes wrong.
        """
        machine, scope = _Machine(Budget(self._limits)), Scope()
        try:
            machine.run(self._body, scope)
            if name not in scope.values:
                raise Fault(f"the program does not define {name}")
            return machine.call(scope.values[name], [deepcopy(argument) for argument in arguments], {})
        except Fault:
            raise
        except Exception as error:  # the program's own, such as a TypeError; a bug here shows when right answers fail
            raise Fault(f"{type(error).__name__}: {error}"[:200]) from error
