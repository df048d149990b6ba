"""A table that is printed line by line: right-aligned columns that fit the width of the terminal, at most 80 columns.

Where the columns do not fit, long titles are shortened, with a line that explains them, and the least important columns left out.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hrm_align.progress import WIDTH, fold, is_terminal

HEADER_EVERY = 20  # lines between two headers
LONGEST_TITLE, READABLE = 24, 8  # characters of a title that may be shortened


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Args:
        title: shown in the header.
        width: width of its values, in characters.
        spare: the column with the highest number is left out first; 0 for a column that always stays.
        name: name of its values; default the title.
        elastic: whether the title may be shortened.
    """

    title: str
    width: int
    spare: int = 0
    name: str = ""
    elastic: bool = False

    @property
    def key(self) -> str:
        """Name of the column's values."""
        return self.name or self.title

    def width_within(self, longest_title: int) -> int:
        """Return the column's width if elastic titles have at most so many characters."""
        return max(self.width, min(len(self.title), longest_title) if self.elastic else len(self.title))


class Table:
    """Prints lines of aligned values to standard error, and a header every `HEADER_EVERY` lines or when the columns change."""

    def __init__(self) -> None:
        self._lines, self._header, self._notes = 0, "", ""

    def print(self, columns: Sequence[Column], cells: Mapping[str, str]) -> None:
        """Print one line.

        Args:
            columns: the columns, most of them those of the line before.
            cells: texts by the names of the columns; a missing one is blank.
        """
        width = min(WIDTH, shutil.get_terminal_size().columns) if is_terminal() else WIDTH
        shown, widths, gap = fit(columns, width)
        titles = shorten([column.title for column in shown], widths)
        header = gap.join(title.rjust(size) for title, size in zip(titles, widths, strict=True))
        if header != self._header or self._lines % HEADER_EVERY == 0:
            self._explain(columns, shown, titles)
            print_line(header)
            self._header, self._lines = header, 0
        line, end = "", -len(gap)
        for column, size in zip(shown, widths, strict=True):
            end += len(gap) + size
            if text := cells.get(column.key, ""):
                start = max(end - len(text), len(line) + 1 if line else 0)  # a text that is too wide moves to the right
                line = line.ljust(start) + text
        print_line(line)
        self._lines += 1

    def _explain(self, columns: Sequence[Column], shown: Sequence[Column], titles: Sequence[str]) -> None:
        """Print what shortened titles stand for, and which columns are left out, when this changes."""
        pairs = zip(titles, shown, strict=True)
        notes = [f"{title} is {column.title}" for title, column in pairs if title != column.title]
        if hidden := [column.title for column in columns if column not in shown and column.elastic]:
            notes.append(f"in metrics.jsonl only: {', '.join(hidden)}")
        if notes and self._notes != (text := f"columns: {'; '.join(notes)}"):
            self._notes = text
            print_line(fold(text))


def fit(columns: Sequence[Column], width: int) -> tuple[list[Column], list[int], str]:
    """Return the columns that fit, their widths, and the gap between them.

    First the gap becomes narrower and titles shorter, down to `READABLE`; then columns are left out; then titles are cut further.
    """
    shown = list(columns)
    while True:
        spare = [column for column in shown if column.spare]
        shortest = READABLE if any(not column.elastic for column in spare) else 1
        for gap in ("  ", " "):
            for longest in range(LONGEST_TITLE, shortest - 1, -1):
                widths = [column.width_within(longest) for column in shown]
                if sum(widths) + len(gap) * (len(widths) - 1) <= width:
                    return shown, widths, gap
        if not spare:
            return shown, widths, gap
        shown.remove(max(reversed(spare), key=lambda column: column.spare))


def shorten(titles: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Cut titles to their widths; titles that would be cut to the same text get numbers."""
    cut = [title[:width] for title, width in zip(titles, widths, strict=True)]
    seen = Counter[str]()
    for place, title in enumerate(cut.copy()):
        if cut.count(title) + seen[title] > 1:
            seen[title] += 1
            cut[place] = title[: widths[place] - len(str(seen[title]))] + str(seen[title])
    return cut


def print_line(text: str) -> None:
    """Print a line to standard error."""
    print(text, file=sys.stderr, flush=True)


def significant(value: float | None, digits: int = 4) -> str:
    """Format a number with so many significant digits, without an exponent from 0.01 to 99,999; blank for None."""
    if value is None:
        return ""
    size = abs(value)
    if not math.isfinite(size) or size == 0:
        return f"{value:g}"
    if not 0.01 <= size < 99_999.5:
        return f"{value:.{max(1, digits - 2)}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    return f"{value:.{decimals}f}"


def compact(value: float | None, decimals: int = 3, width: int = 6) -> str:
    """Format a number with so many decimals, or with fewer where it is longer than `width`; blank for None."""
    if value is None:
        return ""
    texts = [f"{value:.{places}f}" for places in range(decimals, -1, -1)]
    return next((text for text in texts if len(text) <= width), f"{value:.0e}")


def whole(value: float | None) -> str:
    """Format a number without decimals, with commas; blank for None."""
    return "" if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """Format seconds as `4:31` or `1:04:31`; blank for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
