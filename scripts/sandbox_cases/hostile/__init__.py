"""Hostile programs. Each function of these modules is one program: the text of `tools.py` followed by the function's source.

A program gets the targets of `watch.Watch` as its argument. A program that succeeds does no harm: it reads canaries, signals a
sentinel, and uses bounded resources. `watch` detects success from outside. Where only the kernel's answer shows success, the
program returns "done".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hrm_align.sandbox import Job

from . import files, forgery, kernel, network, processes, resources, system, tools


@dataclass(frozen=True)
class Case:
    """A hostile program.

    Args:
        theme: name of its module.
        function: the function whose source is the program.
    """

    theme: str
    function: Callable[..., Any]

    @property
    def name(self) -> str:
        return f"{self.theme}.{self.function.__name__}"

    def job(self, targets: dict[str, Any]) -> Job:
        source = inspect.getsource(tools) + "\n\n" + inspect.getsource(self.function)
        return Job(source, self.function.__name__, [[targets]])


CASES = [
    Case(module.__name__.rpartition(".")[2], function)
    for module in (files, network, processes, system, kernel, resources, forgery)
    for name, function in vars(module).items()
    if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
]
