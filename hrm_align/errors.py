"""The errors that people are meant to read: a sentence that names the value, the setting and the remedy."""

from __future__ import annotations

from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a command, a setting or a data file. The command line prints it and exits with code 2.

    The message must name what was wrong, where (file:line for data), and what to do about it.
    """


class RunError(Exception):
    """A run that had to stop: a loss that is no number, a full disk. The command line prints it and exits with code 1."""


class Preempted(Exception):
    """A run that was asked to stop (SIGTERM) and has saved. The command line prints it and exits with `PREEMPTED_CODE`."""


PREEMPTED_CODE = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong, start it again


class Interrupted(Exception):
    """Ends work that a preempted run does not finish before it saves: an evaluation, a rollout. Never reaches a user."""


def some(names: Iterable[str], most: int = 4) -> str:
    """The first names and how many more there are: `a, b, c, d and 7 more`."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
