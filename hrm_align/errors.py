"""The one error a user is meant to read: a sentence that names the value, the setting and the remedy."""

from __future__ import annotations


class UserError(Exception):
    """A mistake in a command, a setting or a data file. The command line prints it and exits with code 2.

    The message must name what was wrong, where (file:line for data), and what to do about it.
    """
