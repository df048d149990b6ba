"""Places in data sets: read the rows of files or of a Hub data set from any place on, without the rows before it.

    source = open_source(DatasetSpec("rows.jsonl"))
    source.seek({"file": 0, "offset": 81, "number": 2})      # byte 81, behind line 2
    source.take(2)    ->  [Row({"prompt": ...}, "rows.jsonl:3"), Row(..., "rows.jsonl:4")]
    source.place()    ->  {"file": 0, "offset": 161, "number": 4}

A place is plain JSON, and a checkpoint holds it. Rows of JSON Lines and of tables are found again by their byte, rows of Parquet and
Arrow files by their number: row groups before them are not read, and no row before them is converted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import Any, Protocol, TypeVar

from hrm_align.data.data_file import DataFile
from hrm_align.data.readers import BadRow, JsonLines, Row, holds_list, read_file, read_from
from hrm_align.data.sources import data_files_in, local_files
from hrm_align.data.specs import DatasetSpec
from hrm_align.data.tables import TableRows
from hrm_align.errors import UserError

Place = dict[str, Any]
Result = TypeVar("Result")

LINES, TABLES = (".jsonl", ".ndjson", ".json"), (".csv", ".tsv")
_BEGINNING: Place = {"offset": 0, "number": 0}
PROBED_BYTES = 2**20  # bytes at the beginning and at the end of a file that its fingerprint covers
RETRIES, FIRST_DELAY = (
    5,
    1.0,
)  # further attempts to reach the Hub, and seconds before the first of them; doubled each time
# Errors that another attempt does not change, by class or by a part of the class's name.
_FINAL = (TypeError, ValueError, LookupError)
_FINAL_NAMES = ("NotFound", "Offline")


class Source(Protocol):
    """Rows of a data set, with a place that reading continues from."""

    def take(self, count: int) -> list[Row | BadRow]:
        """Read the next rows; fewer at the end of the data set."""

    def skip(self, count: int) -> int:
        """Pass over the next rows. Returns their number, smaller at the end."""

    def place(self) -> Place:
        """Return the place of the next row."""

    def seek(self, place: Place) -> None:
        """Continue reading at a place."""

    def fingerprint(self) -> str:
        """Return a hash of the data set, 16 hexadecimal digits, that does not need all of its rows."""


def open_source(spec: DatasetSpec, revision: str | None = None) -> Source:
    """Open the rows of a data set.

    Args:
        spec: the data set.
        revision: commit of a Hub data set, from `pin_revision`.

    Raises:
        UserError: if the data set does not exist, or is one JSON list.
    """
    path = os.path.expanduser(spec.path)
    files = local_files(path, spec.split, spec.data_files)
    if files is None:
        return HubSource(spec, revision)
    if spec.name or spec.revision:
        raise UserError(f"`name` and `revision` apply to Hub data sets, and {spec.path} is local. Leave them out.")
    opened = data_files_in(files, spec.split)
    for file in opened:
        if file.suffix in LINES and holds_list(file):
            raise UserError(
                f"{file.name} is one JSON list, which has to be read whole, so it cannot be streamed. Save it as .jsonl, one object "
                "a line, or leave streaming out."
            )
    return FileSource(opened)


def is_remote(spec: DatasetSpec) -> bool:
    """Return whether a data set is on the Hub."""
    return local_files(os.path.expanduser(spec.path), spec.split, spec.data_files) is None


class FileSource:
    """Rows of files, one file after another."""

    def __init__(self, files: list[DataFile]):
        self._files, self._at = files, 0
        self._open: JsonLines | _Rows | None = None

    def take(self, count: int) -> list[Row | BadRow]:
        """Read the next rows; fewer behind the last file. Raises UserError for an empty or unreadable file."""
        rows: list[Row | BadRow] = []
        while len(rows) < count and (reader := self._reader()) is not None:
            taken = reader.take(count - len(rows))
            rows += taken
            if len(rows) < count:
                self._close(bool(taken))
        return rows

    def skip(self, count: int) -> int:
        """Pass over the next rows. Returns their number, smaller behind the last file."""
        skipped = 0
        while skipped < count and (reader := self._reader()) is not None:
            passed = reader.skip(count - skipped)
            skipped += passed
            if skipped < count:
                self._close(bool(passed))
        return skipped

    def place(self) -> Place:
        """Return file, byte and line of the next row; in files without lines its number. Tables have both, and their encoding."""
        return {"file": self._at, **(_BEGINNING if self._open is None else self._open.place())}

    def seek(self, place: Place) -> None:
        """Continue at a place."""
        self._shut()
        self._at = place["file"]
        if place["number"]:
            self._open = _open_file(self._files[self._at], place)

    def fingerprint(self) -> str:
        """Return a hash of the files' names and sizes, and of their first and last bytes."""
        digest = blake2b(digest_size=8)
        for path in dict.fromkeys(file.path for file in self._files):
            size = os.path.getsize(path)
            digest.update(f"{os.path.basename(path)} {size} ".encode())
            with open(path, "rb") as opened:
                digest.update(opened.read(PROBED_BYTES))
                opened.seek(max(0, size - PROBED_BYTES))
                digest.update(opened.read(PROBED_BYTES))
        return digest.hexdigest()

    def _reader(self) -> JsonLines | _Rows | None:
        if self._open is None and self._at < len(self._files):
            self._open = _open_file(self._files[self._at], _BEGINNING)
        return self._open

    def _close(self, has_rows: bool) -> None:
        """Go to the next file. Raises UserError if the file that ends here has no rows."""
        if not has_rows and self._open is not None and not self._open.place()["number"]:
            raise UserError(f"{self._files[self._at].name} has no rows. Add rows, or leave the file out.")
        self._shut()
        self._at += 1

    def _shut(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


class _Rows:
    """Rows of a table, or of a Parquet or Arrow file, from a place on.

    Args:
        file: the file.
        place: the place of its next row.
    """

    def __init__(self, file: DataFile, place: Place):
        self._table: TableRows | None = None
        self._rows: Iterator[Row | BadRow]
        self._number = place["number"]
        if file.suffix in TABLES:
            self._table = TableRows(file, place["offset"], place.get("line", 0), place.get("encoding"))
            behind = 0 if place["offset"] else self._number  # checkpoints of earlier versions hold no byte
            self._rows = islice(self._table, behind, None)
        else:
            self._rows = read_from(file, self._number) if self._number else read_file(file)

    def take(self, count: int) -> list[Row | BadRow]:
        rows = list(islice(self._rows, count))
        self._number += len(rows)
        return rows

    def skip(self, count: int) -> int:
        return len(self.take(count))

    def place(self) -> Place:
        if self._table is None or not self._number:
            return {"offset": 0, "number": self._number}
        own = {"line": self._table.number, "encoding": self._table.encoding}
        return {"offset": self._table.offset, "number": self._number, **own}

    def close(self) -> None:
        self._rows = iter(())
        if self._table is not None:
            self._table.close()


def _open_file(file: DataFile, place: Place) -> JsonLines | _Rows:
    return JsonLines(file, place["offset"], place["number"]) if file.suffix in LINES else _Rows(file, place)


# The Hub --------------------------------------------------------------------------------------------------------------


class HubSource:
    """Rows of a Hub data set, downloaded while they are read; `datasets` finds a place again by file and row.

    Args:
        spec: the data set.
        revision: the commit to read.
    """

    def __init__(self, spec: DatasetSpec, revision: str | None):
        self._spec, self._revision = spec, revision
        self._number, self._state = 0, None  # the next row, and the state that the data set is opened with
        self._data: Any = None
        self._rows: Iterator[dict[str, Any]] = iter(())

    def take(self, count: int) -> list[Row | BadRow]:
        """Read the next rows; fewer at the end. Raises UserError if the Hub stays out of reach."""
        rows: list[Row | BadRow] = []
        while len(rows) < count and (row := call_hub(self._spec, self._next)) is not None:
            rows.append(Row(row, f"{self._spec.path}[{self._spec.split}][{self._number}]"))
            self._number += 1
        return rows

    def skip(self, count: int) -> int:
        """Pass over the next rows. Returns their number, smaller at the end."""
        return len(self.take(count))

    def place(self) -> Place:
        """Return the state of the data set, and the number of the next row."""
        state = self._state if self._data is None else self._data.state_dict()
        return {"number": self._number, "state": state if self._number else None}

    def seek(self, place: Place) -> None:
        """Continue at a place."""
        self._number, self._state, self._data = place["number"], place["state"], None

    def fingerprint(self) -> str:
        """Return a hash of the data set's name and commit."""
        named = (self._spec.path, self._spec.name, self._spec.split, self._spec.data_files, self._revision)
        return blake2b(repr(named).encode(), digest_size=8).hexdigest()

    def _next(self) -> dict[str, Any] | None:
        """Return the next row, None at the end. After an error the next call opens the data set again at the same row."""
        if self._data is None:
            self._data = self._load()
            if self._state is not None:
                self._data.load_state_dict(self._state)
            self._rows = iter(self._data)
        try:
            return next(self._rows, None)
        except Exception:
            self._state, self._data = self.place()["state"], None
            raise

    def _load(self) -> Any:
        import datasets

        spec = self._spec
        options = {"split": spec.split, "data_files": spec.data_files, "revision": self._revision}
        return datasets.load_dataset(spec.path, spec.name, streaming=True, **options)


def call_hub(spec: DatasetSpec, function: Callable[[], Result]) -> Result:
    """Call a function that reads from the Hub, again after an error that may pass.

    Raises:
        UserError: if the data set is gated or missing, or the Hub stays out of reach.
    """
    for attempt in range(RETRIES + 1):
        try:
            return function()
        except UserError:
            raise
        except Exception as error:  # network, Hub and builders raise many unrelated types
            kind, detail = type(error).__name__, str(error).strip().split("\n")[0].rstrip(".")
            if "Gated" in kind or "gated" in detail:
                raise UserError(
                    f"{spec.path} is gated: accept its terms on https://huggingface.co/datasets/{spec.path}, and log in with "
                    "`hf auth login` or set HF_TOKEN."
                ) from error
            is_final = isinstance(error, _FINAL) or any(word in kind for word in _FINAL_NAMES)
            if attempt == RETRIES or is_final:
                raise UserError(
                    f"no local path {spec.path}, and the Hub data set of that name cannot be streamed ({detail or kind}). Check "
                    "the name and the network, or give the path of a copy on disk."
                ) from error
            time.sleep(FIRST_DELAY * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def pin_revision(spec: DatasetSpec) -> str:
    """Return the commit that a Hub data set's revision names now, so that all processes and a resumed run read the same rows."""
    from huggingface_hub import HfApi

    sha = call_hub(spec, lambda: HfApi().dataset_info(spec.path, revision=spec.revision).sha)
    assert sha is not None
    return sha
