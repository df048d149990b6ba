"""Reader of CSV and TSV files: cells are texts; separator and encoding are detected, and said once where they differ.

    rows.csv, line 3: copy sun;sun  ->  Row({"prompt": "copy sun", "response": "sun"}, "rows.csv:3")

A cell that holds a conversation as JSON (a list of objects with `role` or `from`) becomes that list.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Any

from hrm_align.data.data_file import HEAD_BYTES, DataFile, detect_encoding, pass_bytes, say_once
from hrm_align.data.rows import MAX_LINE_BYTES, BadRow, Row, make_bad_row
from hrm_align.data.strict_json import JsonFault, parse_value
from hrm_align.errors import UserError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
JUDGED_RECORDS, JUDGED_CHARACTERS = 20, 200_000  # at the start of a table, from which its separator is detected
_EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?\s*')  # the first line of tables for Excel
_CONVERSATION = re.compile(r"\s*\[\s*\{")
_PYTHON_LIST = re.compile(r"\s*\[\s*\{\s*'(role|content|from|value)'")


def read_table(file: DataFile) -> Iterator[Row | BadRow]:
    """Read a CSV or TSV file with a header. Raises UserError, while reading, if the header is not valid."""
    yield from TableRows(file)


class TableRows:
    """Rows of a CSV or TSV file with a header, from any row on.

    Args:
        file: the file.
        offset: byte of its text at which to begin, unpacked and in UTF-8 where it is UTF-16 or UTF-32; 0 or a value of `offset`.
        number: number of lines before it.
        encoding: encoding of the text, from `encoding`; None to detect it, for which the whole file is read.

    Attributes:
        offset: byte after the last row that was read.
        number: number of that row's last line.
        encoding: `utf-8` or `cp1252`.
    """

    def __init__(self, file: DataFile, offset: int = 0, number: int = 0, encoding: str | None = None):
        self._file, self.offset, self.number, self.encoding = file, offset, number, encoding
        self._rows = self._read()

    def __iter__(self) -> Iterator[Row | BadRow]:
        return self._rows

    def close(self) -> None:
        """Close the file."""
        self._rows.close()

    def _read(self) -> Generator[Row | BadRow]:
        file = self._file
        self.encoding = encoding = self.encoding or ("cp1252" if _is_cp1252(file) else "utf-8")
        with file.open_text() as stream:
            separator, skipped = _find_separator(file, list(_beginning(_lines(stream, encoding))))
        with file.open_text() as stream:
            lines = _Lines(_lines(stream, encoding))
            for _ in islice(lines, skipped):
                pass
            header = next((_read_header(file, *record) for record in _records(lines, separator)), [])
        number, offset = (self.number, self.offset) if self.offset else (lines.number, lines.offset)
        with file.open_text() as stream:
            pass_bytes(stream, offset)
            lines = _Lines(_lines(stream, encoding), number, offset)
            for number, first_line, cells in _records(lines, separator):
                self.offset, self.number = lines.offset, lines.number
                source = f"{file.name}:{number}"
                fault = cells if isinstance(cells, str) else _cells_fault(cells, header)
                if fault:
                    yield make_bad_row(source, fault, first_line)
                else:
                    yield Row({name: conversation(cell) for name, cell in zip(header, cells, strict=True)}, source)


def _read_header(file: DataFile, number: int, first_line: str, cells: list[str] | str) -> list[str]:
    fault = cells if isinstance(cells, str) else _cells_fault(cells, [])
    if fault or not all(cells) or len(set(cells)) != len(cells):
        reason = fault or "a column name is empty or repeated"
        index = "" if fault or cells[0] else " (pandas writes its index so: use to_csv(..., index=False))"
        raise UserError(
            f"{file.name}:{number} is no valid header: {reason}{index}. Write a different name for every column."
        )
    return list(cells)


def _lines(stream: io.BufferedReader, encoding: str) -> Iterator[tuple[str, int]]:
    """Yield each line with its size in bytes. Lines end with LF, CR or both."""
    # Undecodable bytes become surrogates, which valid text never contains, so that each row can be checked for them.
    errors = "surrogateescape" if encoding == "utf-8" else "strict"
    rest = b""
    while chunk := stream.read(max(2**16, len(rest))):
        *lines, rest = (rest + chunk).splitlines(keepends=True)
        for line in lines:
            yield line.decode(encoding, errors), len(line)
    if rest:
        yield rest.decode(encoding, errors), len(rest)


def _beginning(lines: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    characters = 0
    for line, size in lines:
        yield line, size
        characters += len(line)
        if characters > JUDGED_CHARACTERS:
            return


def _find_separator(file: DataFile, lines: list[tuple[str, int]]) -> tuple[str, int]:
    """Return the separator of a table's cells, and the number of lines before its header.

    It is the separator with which most of the first records have as many cells as the header, which has at least two.
    """
    usual = "\t" if file.suffix == ".tsv" else ","
    named = _EXCEL_SEPARATOR.fullmatch(lines[0][0]) if lines else None
    if named:
        return named[1], 1
    chosen, best = usual, 0
    for separator in sorted(SEPARATORS, key=usual.__ne__):  # the usual one first: it wins if several fit alike
        records = [cells for _, _, cells in islice(_records(_Lines(lines), separator), JUDGED_RECORDS)]
        width = len(records[0]) if records and isinstance(records[0], list) else 0
        fitting = sum(isinstance(cells, list) and len(cells) == width for cells in records)
        if width > 1 and 2 * fitting >= len(records) and fitting > best:
            chosen, best = separator, fitting
    if chosen != usual:
        say_once(f"{file.name} is read with {SEPARATORS[chosen]} between its cells, not {SEPARATORS[usual]}.")
    return chosen, 0


def _is_cp1252(file: DataFile) -> bool:
    """Return whether a table is not UTF-8 and can be taken for cp1252, the encoding of Windows in Western Europe.

    So it is if no line with other letters than ASCII is UTF-8, if all bytes are characters of cp1252 (0xFF, which that
    rarely has, is a broken byte), and if such letters stand in words as in Western languages: Greek, Cyrillic, Chinese
    and their like have whole words of them, and Polish would have signs inside of words.
    """
    with file.open() as stream:
        if detect_encoding(stream.read(HEAD_BYTES)) != ("utf-8", 0):
            return False
    with file.open() as stream:
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := stream.read(2**20):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
            return False
        except UnicodeDecodeError:
            pass
    letters = runs = signs = 0
    with file.open() as stream:
        for line in stream:
            if line.isascii():
                continue
            if _NOT_IN_CP1252.search(line) or _is_utf8(line):
                return False
            letters += sum(map(len, _HIGH.findall(line)))
            runs += sum(map(len, _HIGH_RUN.findall(line)))
            signs += len(_SIGN_IN_WORD.findall(line))
    if 5 * runs > letters or 20 * signs > letters:
        return False
    say_once(
        f"{file.name} is not UTF-8 and is read as cp1252 (Windows, Western Europe). If its letters look wrong in "
        "hrm-align inspect, convert it: iconv -f ENCODING -t UTF-8."
    )
    return True


_NOT_IN_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d\xff]")
_HIGH, _HIGH_RUN = re.compile(rb"[\x80-\xff]+"), re.compile(rb"[\x80-\xff]{3,}")
_SIGN_IN_WORD = re.compile(rb"[a-z][\xa1-\xa9\xab-\xb1\xb3\xb4\xb6\xb8\xb9\xbb-\xbf][a-z]")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def conversation(text: str) -> Any:
    """Return the conversation that a text holds as JSON, a list of objects that each have `role` or `from`; else the text."""
    if not _CONVERSATION.match(text):
        return text
    try:
        turns = parse_value(text.encode("utf-8", "surrogatepass"))
    except JsonFault:
        return text
    return turns if all(isinstance(turn, dict) and ("role" in turn or "from" in turn) for turn in turns) else text


def _cells_fault(cells: list[str], header: list[str]) -> str | None:
    text = "".join(cells)
    if "\0" in text:
        return "NUL byte"
    if not text.isascii() and re.search("[\ud800-\udfff]", text):
        return "invalid UTF-8"
    if any(map(_PYTHON_LIST.match, cells)):
        return "a list of Python, not JSON: write such cells with json.dumps"
    if header and len(cells) != len(header):
        return f"wrong number of cells: {len(cells)}, the header has {len(header)}"
    return None


def _records(lines: _Lines, delimiter: str) -> Iterator[tuple[int, str, list[str] | str]]:
    """Yield the line number, first line and cells of every record; instead of cells, the fault of a record that has one.

    A stray quote makes a record swallow the lines after it. A fault therefore costs only the first line of its record,
    and reading continues on the next line.
    """
    csv.field_size_limit(MAX_LINE_BYTES)  # the default, 128 KiB, is less than a long document
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
            yield number, first_line, f"invalid quoting: {error}, in a record that starts here"
        else:
            if cells:
                yield number, lines.first, cells


class _Lines:
    """Lines with the number and the end in bytes of the last one: `rewind` returns the first since `mark` and puts the others back."""

    def __init__(self, lines: Iterable[tuple[str, int]], number: int = 0, offset: int = 0):
        self._lines = iter(lines)
        self._again: list[tuple[str, int]] = []  # lines to read again, in reverse order
        self._taken: list[tuple[str, int]] = []
        self.number, self.offset = number, offset

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines)
        self._taken.append(line)
        self.number += 1
        self.offset += line[1]
        return line[0]

    def mark(self) -> None:
        self._taken = []

    @property
    def first(self) -> str:
        return self._taken[0][0]

    def rewind(self) -> str:
        first, *rest = self._taken
        self._again += reversed(rest)
        self.number -= len(rest)
        self.offset -= sum(size for _, size in rest)
        return first[0]
