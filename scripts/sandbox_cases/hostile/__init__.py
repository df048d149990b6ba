"""What a hostile program may try. Each function of these files is one: its text is the program, `tools.py` before it.

They are given the targets of `watch.Watch`, and do no harm where they succeed: they read canaries, signal a sentinel, and
are bounded in what they take. What a program has managed is seen from outside (`watch`), but where only the kernel's
answer shows it: then it returns "done".
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
        theme: the file that it stands in.
        function: itself.
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
