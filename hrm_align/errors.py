"""Exceptions whose messages are shown to users. A message names the value, the setting and the remedy."""

from __future__ import annotations

import signal
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a command, a setting or a data file. The command line prints the message and exits with code 2.

    The message must name the wrong value, its setting or place (file:line for data), and what to do about it.
    """


class RunError(Exception):
    """A failure during a run, such as a NaN loss or a full disk. The command line prints the message and exits with code 1."""


class Preempted(Exception):
    """A run that was stopped by a signal (SIGTERM) and has saved. The command line exits with `PREEMPTED_CODE`."""


PREEMPTED_CODE = 75  # EX_TEMPFAIL of sysexits.h: a temporary failure, start the same command again


class Interrupted(BaseException):
    """Internal: ends an evaluation or a rollout that a preempted run does not finish before it saves. Never shown to users.

    Like KeyboardInterrupt it is no Exception, because it may be raised anywhere, and libraries must not catch it.
    """


class Terminated(BaseException):
    """Internal: SIGTERM or SIGHUP ends a command. Notes of the exception say what remains to be done.

    Args:
        number: number of the signal.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def join_names(names: Iterable[str], most: int = 4) -> str:
    """Join the first names and count the rest: `a, b, c, d and 7 more`."""
    items = list(names)
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")
