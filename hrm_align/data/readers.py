"""Strict readers of data files: yield each row unchanged as a `Row`, or as a `BadRow` with its place and the reason.

    rows.jsonl, line 3: {"prompt": "copy sun", "response": "sun"}  ->  Row({"prompt": ..., "response": ...}, "rows.jsonl:3")
    rows.jsonl, line 4: {"prompt": "copy                           ->  BadRow("rows.jsonl:4", "invalid JSON: ...", ...)

A fault inside one row costs only that row. A fault that makes the rest of a file unreadable raises `UserError`, because
the number of lost rows cannot be known.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from hrm_align.data.strict_json import JsonFault, JsonSyntaxFault, elements, parse_object
from hrm_align.errors import UserError

MAX_LINE_BYTES = 16 * 2**20
TEXT_CHARACTERS, REASON_CHARACTERS = 200, 300


@dataclass(frozen=True, slots=True)
class Row:
    """A row as its file holds it.

    Args:
        data: values by column name.
        source: unique place of the row: `file:line`; `file:line[n]` for row n (from 0) if one line holds several rows;
            `file.parquet[row]` (from 0); or `owner/name[split][row]`.
    """

    data: dict[str, Any]
    source: str


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


def data_suffix(path: str) -> str:
    """Return the suffix that names a file's format: `.jsonl` for data.JSONL and for data.jsonl.gz."""
    stem, suffix = os.path.splitext(path.lower())
    inner = os.path.splitext(stem)[1]
    return inner if suffix == ".gz" and inner != ".parquet" else suffix


def read_file(path: str) -> Iterator[Row | BadRow]:
    """Read one file; `hrm_align.data.sources.read_rows` lists the formats.

    Raises:
        UserError: at once for an unknown suffix; while reading, if the file is empty or unreadable.
    """
    try:
        reader = _READERS[data_suffix(path)]
    except KeyError:
        raise UserError(
            f"unknown file suffix: {path}. Use {', '.join(SUFFIXES)}, or .gz after one of the text formats."
        ) from None
    return _require_rows(reader(path), path)


def _require_rows(rows: Iterator[Row | BadRow], path: str) -> Iterator[Row | BadRow]:
    row = next(rows, None)
    if row is None:
        raise UserError(f"{path} has no rows. Add rows, or leave the file out.")
    yield row
    yield from rows


@contextmanager
def _open_bytes(path: str) -> Iterator[io.BufferedReader | gzip.GzipFile]:
    """Open a file's bytes, unzipped and without the byte order mark. Raises UserError if the file cannot be read."""
    try:
        with gzip.open(path) if path.lower().endswith(".gz") else open(path, "rb") as stream:
            head = stream.peek(3)
            if head.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise UserError(f"{path} is encoded in UTF-16. Save the file as UTF-8.")
            if head.startswith(b"\xef\xbb\xbf"):
                stream.read(3)
            yield stream
    except (OSError, EOFError, zlib.error) as error:
        detail = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read: {detail}. Check its permissions, or copy the file again.") from None


def make_bad_row(source: str, reason: object, text: bytes | str) -> BadRow:
    """Make a `BadRow`: reason and text are cut to their limits, and bytes that are no UTF-8 are replaced."""
    if isinstance(text, str):
        text = text[:TEXT_CHARACTERS].encode("utf-8", "replace")
    return BadRow(
        source,
        str(reason)[:REASON_CHARACTERS],
        text[: 4 * TEXT_CHARACTERS].decode("utf-8", "replace")[:TEXT_CHARACTERS],
    )


def _json_lines(path: str) -> Iterator[Row | BadRow]:
    with _open_bytes(path) as stream:
        for number, line, size in _lines(stream):
            if (row := _json_line(path, number, line, size)) is not None:
                yield row


def _json_line(path: str, number: int, line: bytes, size: int) -> Row | BadRow | None:
    """Return the row of a line as `_lines` yields it; None for a blank line."""
    source, row = f"{path}:{number}", line.strip()
    if size > MAX_LINE_BYTES:
        return make_bad_row(source, f"line too long: {size:,} bytes, at most {MAX_LINE_BYTES:,} are read", line)
    if not row:
        return None
    try:
        return Row(parse_object(row), source)
    except JsonFault as fault:
        return make_bad_row(source, f"{fault}{_hint_for_line(line)}", line)


class JsonLines:
    """Rows of a JSON Lines file from any line on, for readers that skip and return to a place.

    Args:
        path: the file; it may end in .gz.
        offset: byte at which to begin, unzipped; 0 or a value of `offset`.
        number: number of lines before it.

    Attributes:
        offset: byte after the last line that was read.
        number: number of that line.
    """

    def __init__(self, path: str, offset: int = 0, number: int = 0):
        self._path, self._closing = path, ExitStack()
        stream = self._closing.enter_context(_open_bytes(path))
        if offset:
            stream.seek(offset)  # in a file that is zipped the bytes before are read
        self.offset, self.number = stream.tell(), number
        self._lines = _lines(stream)

    def take(self, count: int) -> list[Row | BadRow]:
        """Read the next rows; fewer at the end of the file."""
        rows: list[Row | BadRow] = []
        while len(rows) < count and (line := next(self._lines, None)) is not None:
            self._pass(line[2])
            if (row := _json_line(self._path, self.number, *line[1:])) is not None:
                rows.append(row)
        return rows

    def skip(self, count: int) -> int:
        """Pass over the next rows without parsing them. Returns their number, smaller at the end of the file."""
        skipped = 0
        while skipped < count and (line := next(self._lines, None)) is not None:
            self._pass(line[2])
            skipped += line[2] > MAX_LINE_BYTES or not line[1].isspace()
        return skipped

    def close(self) -> None:
        """Close the file."""
        self._closing.close()

    def _pass(self, size: int) -> None:
        self.number += 1
        self.offset += size


def _hint_for_line(line: bytes) -> str:
    """Return the likely cause for a line that is no JSON object, or an empty text."""
    if line.lstrip().startswith(b"["):
        return ": a JSON list is read from a file named .json"
    return "" if line.endswith(b"\n") else " (the file ends inside this row)"


def _lines(stream: io.BufferedReader | gzip.GzipFile) -> Iterator[tuple[int, bytes, int]]:
    """Yield the number, text and size in bytes of every line. A line above the size limit is cut to its beginning."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number, size, end = number + 1, len(line), line[-1:]
        if size > MAX_LINE_BYTES:
            line = line[: 4 * TEXT_CHARACTERS]
            while end != b"\n" and (rest := stream.readline(2**20)):
                size, end = size + len(rest), rest[-1:]
        yield number, line, size


def _json_list(path: str) -> Iterator[Row | BadRow]:
    with _open_bytes(path) as stream:
        raw = stream.read()
    try:
        last_line, index_in_line = 0, 0
        for line, element in elements(raw) if raw.strip() else ():
            index_in_line = index_in_line + 1 if line == last_line else 0
            last_line = line
            source = f"{path}:{line}[{index_in_line}]" if index_in_line else f"{path}:{line}"
            try:
                yield Row(parse_object(element), source)
            except JsonSyntaxFault as fault:  # a stray quote may have swallowed the elements after it
                raise JsonFault(f"{fault} of the row at line {line}") from None
            except JsonFault as fault:
                yield make_bad_row(source, fault, element)
    except JsonFault as fault:
        raise UserError(
            f"{path} cannot be read ({fault}). Fix the JSON, or save it as .jsonl, one object a line."
        ) from None


def _comma_separated(path: str) -> Iterator[Row | BadRow]:
    return _separated(path, ",")


def _tab_separated(path: str) -> Iterator[Row | BadRow]:
    return _separated(path, "\t")


def _separated(path: str, delimiter: str) -> Iterator[Row | BadRow]:
    # Undecodable bytes become surrogates, which valid UTF-8 never contains, so that each row can be checked for them.
    with _open_bytes(path) as stream, io.TextIOWrapper(stream, "utf-8", "surrogateescape", newline="") as text:
        header: list[str] = []
        for number, first_line, cells in _records(text, delimiter):
            source = f"{path}:{number}"
            fault = cells if isinstance(cells, str) else _cells_fault(cells, header)
            if not header:
                if fault or not all(cells) or len(set(cells)) != len(cells):
                    reason = fault or "a column name is empty or repeated"
                    raise UserError(f"{source} is no valid header: {reason}. Write a different name for every column.")
                header = list(cells)
            elif fault:
                yield make_bad_row(source, fault, first_line)
            else:
                yield Row(dict(zip(header, cells, strict=True)), source)


def _cells_fault(cells: list[str], header: list[str]) -> str | None:
    text = "".join(cells)
    if "\0" in text:
        return "NUL byte"
    if not text.isascii() and re.search("[\ud800-\udfff]", text):
        return "invalid UTF-8"
    if header and len(cells) != len(header):
        return f"wrong number of cells: {len(cells)}, the header has {len(header)}"
    return None


def _records(text: Iterable[str], delimiter: str) -> Iterator[tuple[int, str, list[str] | str]]:
    """Yield the line number, first line and cells of every record; instead of cells, the fault of a record that has one.

    A stray quote makes a record swallow the lines after it. A fault therefore costs only the first line of its record,
    and reading continues on the next line.
    """
    csv.field_size_limit(MAX_LINE_BYTES)  # the default, 128 KiB, is less than a long document
    lines = _Rewindable(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.mark()
        number = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            first_line = lines.rewind()
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            quoting = f"invalid quoting: {error}, in a record that starts here"
            yield (
                number,
                first_line,
                "NUL byte" if "\0" in first_line else quoting,
            )  # up to Python 3.10 csv raises on NUL
        else:
            if cells:
                yield number, lines.taken[0], cells


class _Rewindable:
    """Numbered lines: `rewind` returns the first line since `mark` and puts the lines after it back."""

    def __init__(self, lines: Iterable[str]):
        self._lines = iter(lines)
        self._again: list[str] = []  # lines to read again, in reverse order
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> _Rewindable:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines)
        self.taken.append(line)
        self.number += 1
        return line

    def mark(self) -> None:
        self.taken = []

    def rewind(self) -> str:
        first, *rest = self.taken
        self._again += reversed(rest)
        self.number -= len(rest)
        return first


def _parquet(path: str) -> Iterator[Row | BadRow]:
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if len(set(names)) != len(names):
                raise UserError(f"{path} has two columns of one name ({', '.join(names)}). Rename one of them.")
            for batch in file.iter_batches(batch_size=256):
                for index in range(batch.num_rows):
                    yield _parquet_row(batch, index, f"{path}[{number}]")
                    number += 1
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read from row {number} on: {error}. Write or copy the file again.") from None


def _parquet_row(batch: Any, index: int, source: str) -> Row | BadRow:
    try:
        return Row({name: batch.column(name)[index].as_py() for name in batch.schema.names}, source)
    except UnicodeDecodeError as error:
        return make_bad_row(source, f"invalid UTF-8: byte 0x{error.object[error.start]:02x}", error.object)


_READERS: dict[str, Callable[[str], Iterator[Row | BadRow]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_list,
    ".csv": _comma_separated,
    ".tsv": _tab_separated,
    ".parquet": _parquet,
}
SUFFIXES = tuple(_READERS)
