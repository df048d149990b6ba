"""Strict readers of data files: yield each row unchanged as a `Row`, or as a `BadRow` with its place and the reason.

    rows.jsonl, line 3: {"prompt": "copy sun", "response": "sun"}  ->  Row({"prompt": ..., "response": ...}, "rows.jsonl:3")
    rows.jsonl, line 4: {"prompt": "copy                           ->  BadRow("rows.jsonl:4", "invalid JSON: ...", ...)

A fault inside one row costs only that row. A fault that makes the rest of a file unreadable raises `UserError`, because
the number of lost rows cannot be known.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from hrm_align.data.data_file import COMPRESSIONS, REFUSED, DataFile, pass_bytes, split_suffix
from hrm_align.data.rows import MAX_LINE_BYTES, TEXT_CHARACTERS, BadRow, Row, make_bad_row
from hrm_align.data.strict_json import JsonFault, JsonSyntaxFault, elements, parse_object, parse_value
from hrm_align.errors import UserError

JUDGED_LINES = 10  # first lines of a file whose suffix and first character disagree


def data_suffix(path: str) -> str:
    """Return the suffix that names a file's format: `.jsonl` for data.JSONL and for data.jsonl.gz."""
    return split_suffix(path)[0]


def read_file(file: DataFile) -> Iterator[Row | BadRow]:
    """Read one file; `hrm_align.data.sources.read_rows` lists the formats.

    Raises:
        UserError: at once for an unknown suffix; while reading, if the file is empty or unreadable.
    """
    try:
        reader = _READERS[file.suffix]
    except KeyError:
        known = f"Use {', '.join(SUFFIXES)}, or {', '.join(COMPRESSIONS)} after one of them"
        if file.suffix in REFUSED:
            raise UserError(f"{file.name} cannot be read. {REFUSED[file.suffix].replace('PATH', file.path)}") from None
        raise UserError(f"unknown file suffix: {file.name}. {known}.") from None
    return _require_rows(reader(file), file.name)


def read_from(file: DataFile, first: int = 0) -> Iterator[Row | BadRow]:
    """Read a Parquet or Arrow file from row `first` on, without the row groups before it."""
    from hrm_align.data.arrow_files import read_arrow, read_parquet

    return (read_parquet if file.suffix == ".parquet" else read_arrow)(file, first)


def _require_rows(rows: Iterator[Row | BadRow], name: str) -> Iterator[Row | BadRow]:
    row = next(rows, None)
    if row is None:
        raise UserError(f"{name} has no rows. Add rows, or leave the file out.")
    yield row
    yield from rows


def _json(file: DataFile) -> Iterator[Row | BadRow]:
    return _json_list(file) if holds_list(file) else _json_lines(file)


def holds_list(file: DataFile) -> bool:
    """Return whether a file holds one JSON list, or an object around it, rather than one JSON value a line.

    The first character decides where it agrees with the suffix; otherwise the first lines: lists that are written over
    several lines have no line that is a JSON value of its own, but for single elements.
    """
    is_json = file.suffix == ".json"
    with file.open_text() as stream:
        lines: list[bytes] = []
        for _, line, _ in _lines(stream):
            line = line.strip()
            lines += [line] if line else []
            if lines and lines[0].startswith(b"[") == is_json:
                return is_json
            if len(lines) == JUDGED_LINES:
                break
    whole = sum(_is_whole(line) for line in lines)
    return 2 * whole < len(lines) or len(lines) < 2


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(parse_value(line), dict | list)
    except JsonFault as fault:
        return not isinstance(fault, JsonSyntaxFault)


def _json_lines(file: DataFile) -> Iterator[Row | BadRow]:
    path = file.name
    with file.open_text() as stream:
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
        file: the file.
        offset: byte of its text at which to begin, unpacked and in UTF-8; 0 or a value of `offset`.
        number: number of lines before it.

    Attributes:
        offset: byte after the last line that was read.
        number: number of that line.
    """

    def __init__(self, file: DataFile, offset: int = 0, number: int = 0):
        self._path, self._closing = file.name, ExitStack()
        stream = self._closing.enter_context(file.open_text())
        pass_bytes(stream, offset)
        self.offset, self.number = offset, number
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

    def place(self) -> dict[str, int]:
        """Return `offset` and `number`."""
        return {"offset": self.offset, "number": self.number}

    def close(self) -> None:
        """Close the file."""
        self._closing.close()

    def _pass(self, size: int) -> None:
        self.number += 1
        self.offset += size


def _hint_for_line(line: bytes) -> str:
    """Return the likely cause for a line that is no JSON object, or an empty text."""
    if line.lstrip().startswith(b"["):
        return ": write each object of the list on its own line"
    return "" if line.endswith(b"\n") else " (the file ends inside this row)"


def _lines(stream: io.BufferedReader) -> Iterator[tuple[int, bytes, int]]:
    """Yield the number, text and size in bytes of every line. A line above the size limit is cut to its beginning."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number, size, end = number + 1, len(line), line[-1:]
        if size > MAX_LINE_BYTES:
            line = line[: 4 * TEXT_CHARACTERS]
            while end != b"\n" and (rest := stream.readline(2**20)):
                size, end = size + len(rest), rest[-1:]
        yield number, line, size


def _json_list(file: DataFile) -> Iterator[Row | BadRow]:
    path = file.name
    with file.open_text() as stream:
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


def _table(file: DataFile) -> Iterator[Row | BadRow]:
    from hrm_align.data.tables import read_table

    return read_table(file)


_READERS: dict[str, Callable[[DataFile], Iterator[Row | BadRow]]] = {
    ".jsonl": _json,
    ".ndjson": _json,
    ".json": _json,
    ".csv": _table,
    ".tsv": _table,
    ".parquet": read_from,
    ".arrow": read_from,
    ".feather": read_from,
}
SUFFIXES = (*_READERS, ".zip")
