"""Standard output for results only: text or JSON that other programs can read. Everything else goes to standard error."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

_RESULTS: list[TextIO] = []  # the real standard output while `results_only` redirects it

# What may move the cursor, rename the window, or ring; and what turns the order of the characters shown on the rest of a line.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@contextmanager
def results_only() -> Iterator[None]:
    """Redirect to standard error what is printed, by libraries too; only `emit` still writes to standard output."""
    if _RESULTS:  # an enclosing `results_only` redirects already
        yield
        return
    _RESULTS.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _RESULTS.pop()


def results() -> TextIO:
    """Return the stream for a command's results."""
    return _RESULTS[-1] if _RESULTS else sys.stdout


def emit(text: str) -> None:
    """Print the result of a command to standard output."""
    print(text, file=results())


def escape(text: str) -> str:
    """Write control characters as `\\x1b` or `\\u202e`, except for line breaks and tabs, so that a text cannot control the terminal."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
