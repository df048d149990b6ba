"""Rows as readers yield them: a `Row` with its values, or a `BadRow` with the reason why it has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MAX_LINE_BYTES = 16 * 2**20
TEXT_CHARACTERS, REASON_CHARACTERS = 200, 300


@dataclass(frozen=True, slots=True)
class Row:
    """A row as its file holds it.

    Args:
        data: values by column name.
        source: unique place of the row: `file:line`; `file:line[n]` for row n (from 0) if one line holds several rows;
            `file.parquet[row]` (from 0); or `owner/name[split][row]`. In a zip archive, file is `archive.zip/member`.
        rows: number of rows of the file that it holds; several of scored answers to one prompt.
    """

    data: dict[str, Any]
    source: str
    rows: int = 1


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used.

    Args:
        source: place of the row, as in `Row`.
        reason: `kind: detail`, or the kind alone.
        text: the first 200 characters of the row.
    """

    source: str
    reason: str
    text: str


def make_bad_row(source: str, reason: object, text: bytes | str) -> BadRow:
    """Make a `BadRow`: reason and text are cut to their limits, and bytes that are no UTF-8 are replaced."""
    if isinstance(text, str):
        text = text[:TEXT_CHARACTERS].encode("utf-8", "replace")
    return BadRow(
        source,
        str(reason)[:REASON_CHARACTERS],
        text[: 4 * TEXT_CHARACTERS].decode("utf-8", "replace")[:TEXT_CHARACTERS],
    )
