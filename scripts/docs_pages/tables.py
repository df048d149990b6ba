"""Markdown tables, and texts that fit into a cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LONGEST_HELP = 300  # characters of a help text of TRL or Transformers; their longest has 2,700


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table. A `|` inside of a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("\n", " ").replace("|", "\\|") for cell in line) + " |" for line in lines]


def code(text: object) -> str:
    """The text in backticks; empty for an empty one."""
    return f"`{text}`" if str(text) else ""


def plain(text: str) -> str:
    """Help as it may stand in a cell: one line, without markup that would be read as HTML or as a link."""
    one_line = " ".join(text.replace("%%", "%").split())
    unlinked = re.sub(r"\[`?([^\]`]+)`?\]\([^)]*\)", r"\1", one_line)
    unlinked = re.sub(r"\[`~?([^\]`]+)`\]", r"`\1`", unlinked)
    return unlinked.replace("<", "&lt;") if "`" not in unlinked else _escaped_outside_of_code(unlinked)


def _escaped_outside_of_code(text: str) -> str:
    parts = text.split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def shortened(text: str, most: int = LONGEST_HELP) -> str:
    """The first sentences of a text, up to so many characters; at least one sentence."""
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z`])", text)
    shortened_text = sentences[0]
    for sentence in sentences[1:]:
        if len(shortened_text) + 1 + len(sentence) > most:
            break
        shortened_text += " " + sentence
    return shortened_text if shortened_text.count("`") % 2 == 0 else shortened_text.replace("`", "")
