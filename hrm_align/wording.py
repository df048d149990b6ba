"""How messages put things."""

from __future__ import annotations

from collections.abc import Iterable


def some(names: Iterable[str], most: int = 4) -> str:
    """The first names and how many more there are: `a, b, c, d and 7 more`."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
