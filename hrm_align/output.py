"""Standard output carries results only: a command's answer, which may be JSON that a program reads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

_RESULTS: list[TextIO] = []  # what standard output was before `results_only`


@contextmanager
def results_only() -> Iterator[None]:
    """Keep standard output for `emit`: what libraries print at their import, or while they work, goes to standard error."""
    if _RESULTS:  # within a command that keeps to it already
        yield
        return
    _RESULTS.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _RESULTS.pop()


def results() -> TextIO:
    """The stream of a command's results."""
    return _RESULTS[-1] if _RESULTS else sys.stdout


def emit(text: str) -> None:
    """Print a command's result."""
    print(text, file=results())
