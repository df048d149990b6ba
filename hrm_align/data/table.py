"""Rows on disk: the examples of a data set as an Arrow table that is mapped into memory, and sequences of examples over it.

    table = RowTable.open(folder)          one record a row: messages as JSON text, turns that are trained on, source, hashes
    examples = table.take(rows)            examples of these rows; nothing is read before an example is used
    examples[0]                            -> Example(messages, answer, ...)

A sequence of examples holds 8 bytes an example. Fractions, replay and the held-out split choose indices.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa

from hrm_align.data.cache import touch
from hrm_align.data.examples import Example
from hrm_align.rendering import Message

ROWS = "rows.arrow"
CHUNK, CHUNK_CHARACTERS = 512, 16_000_000  # rows of a record batch, and about so many characters
_SCHEMA = pa.schema([
    ("text", pa.string()),  # JSON: messages, group, the data for graders by turn, and the fields of preference rows
    ("source", pa.string()),
    ("condition", pa.string()),
    ("row", pa.int32()),  # records of one row have the same number; most rows are one record
    ("turns", pa.list_(pa.int32())),  # for each example the number of messages of its prompt
    ("split", pa.uint64()),  # hash of the first message that is not a system message
    ("content", pa.list_(pa.uint64())),  # for each example a hash of its prompt and reference
])  # fmt: skip


class NotStorable(Exception):
    """Rows that a table cannot hold: their values cannot be written as JSON, or they come from the Hub."""


class RowWriter:
    """Writer of a row table.

    Args:
        path: the file.

    Raises:
        NotStorable: from `add`, if the data for a grader cannot be written as JSON.
    """

    def __init__(self, path: Path):
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, _SCHEMA)
        self._columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
        self._characters = 0
        self.rows = 0

    def add(self, examples: Sequence[Example]) -> None:
        """Add the examples of one row."""
        for part in _with_one_history(examples):
            try:
                record = _record(part, self.rows)
            except (TypeError, ValueError, RecursionError) as error:
                raise NotStorable(part[0].source) from error
            for column, value in zip(self._columns.values(), record, strict=True):
                column.append(value)
            self._characters += len(record[0])
        self.rows += 1
        if len(self._columns["row"]) >= CHUNK or self._characters > CHUNK_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        arrays = [pa.array(values, field.type) for values, field in zip(self._columns.values(), _SCHEMA, strict=True)]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA))
        for values in self._columns.values():
            values.clear()
        self._characters = 0
        touch()

    def close(self) -> None:
        """Write what is left, and close the file."""
        try:
            self._flush()
            self._writer.close()
        finally:
            self._file.close()


def _with_one_history(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    """Split the examples of a row into runs that one list of messages holds, which is all of them unless a row is unusual."""
    last = examples[-1]
    messages = (*last.messages, last.answer)
    alike = last.rejected is None and last.desirable is None
    alike = alike and all(
        example.messages == messages[: len(example.messages)]
        and example.answer == messages[len(example.messages)]
        and (example.condition, example.group, example.source) == (last.condition, last.group, last.source)
        and first_text(example) is first_text(last)
        for example in examples[:-1]
    )
    if alike or len(examples) == 1:
        yield examples
    else:
        for example in examples:
            yield [example]


def _record(examples: Sequence[Example], row: int) -> tuple[Any, ...]:
    last = examples[-1]
    messages = [_to_list(message) for message in (*last.messages, last.answer)]
    text: dict[str, Any] = {"messages": messages}
    if last.group is not None:
        text["group"] = last.group
    if last.rejected is not None:
        text["rejected"] = _to_list(last.rejected)
    text |= {name: value for name in ("desirable", "margin") if (value := getattr(last, name)) is not None}
    if any(example.grading for example in examples):
        text["grading"] = [dict(example.grading) for example in examples]
    return (
        _utf8(json.dumps(text, ensure_ascii=False)),
        _utf8(last.source),
        last.condition,
        row,
        [len(example.messages) for example in examples],
        split_hash(last),
        content_hashes(examples),
    )


def _utf8(text: str) -> str:
    text.encode("utf-8")  # raises for half a character
    return text


def _to_list(message: Message) -> list[Any]:
    calls = [list(message.tool_calls)] if message.tool_calls else []
    return [message.role, message.content, *calls]


def _of_list(role: str, content: str, calls: Sequence[Any] = ()) -> Message:
    return Message(role, content, tuple(calls))


def first_text(example: Example) -> str:
    """Return the text by which an example is held out: that of the first message that is not a system message."""
    return next((m for m in example.messages if m.role != "system"), example.messages[0]).content


def split_hash(example: Example) -> int:
    """Return the first 64 bits of the hash by which an example is held out."""
    return int.from_bytes(sha256(first_text(example).encode("utf-8", "surrogatepass")).digest()[:8], "big")


def content_hashes(examples: Sequence[Example]) -> list[int]:
    """Return for each example of one conversation a hash of its messages (roles and texts) and its reference, 64 bits."""
    last, hashes = examples[-1], []
    turns = {len(example.messages): example for example in examples}
    digest = blake2b(digest_size=8)
    for place, message in enumerate((*last.messages, last.answer)):
        if place in turns:
            whole = digest.copy()
            whole.update(turns[place].reference.encode("utf-8", "surrogatepass"))
            hashes.append(int.from_bytes(whole.digest(), "little"))
        text = message.content.encode("utf-8", "surrogatepass")
        digest.update(f"{message.role}: {len(text)} ".encode())
        digest.update(text)
    return hashes


class RowTable:
    """The rows of a data set.

    Args:
        table: records as `RowWriter` writes them.
        key: name of the table in the cache.
        what: path of the data set.

    Attributes:
        rows: number of rows.
        examples: number of examples.
    """

    def __init__(self, table: pa.Table, key: str, what: str):
        self.key, self.what = key, what
        self._texts, self._sources = table.column("text"), table.column("source")
        counts = _flat(table, "turns", lengths=True)
        self._turns = _flat(table, "turns")  # (examples,)
        self.content = _flat(table, "content")  # (examples,)
        self._starts = np.concatenate(
            ([0], np.cumsum(counts, dtype=np.int64))
        )  # (records + 1,): the first example of each
        self.record = np.repeat(np.arange(len(counts), dtype=np.int32), counts)  # (examples,)
        self.split = table.column("split").to_numpy()  # (records,)
        encoded = table.column("condition").combine_chunks().dictionary_encode()
        encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
        self.conditions: list[str] = encoded.dictionary.to_pylist()
        self.condition = encoded.indices.to_numpy()  # (records,): index in `conditions`
        row = table.column("row").to_numpy()
        self.rows, self.examples = int(row[-1]) + 1 if len(row) else 0, len(self._turns)
        first = np.searchsorted(row, np.arange(self.rows + 1))  # the first record of each row
        self._row_starts = self._starts[first]  # (rows + 1,): the first example of each row

    @classmethod
    def open(cls, folder: Path, what: str) -> RowTable:
        """Map the table of a cache entry."""
        return cls(pa.ipc.open_file(pa.memory_map(str(folder / ROWS))).read_all(), folder.name, what)

    def sources(self) -> list[str]:
        """Return the place of each row."""
        records = self.record[self._row_starts[:-1]] if self.rows else np.zeros(0, np.int64)
        return self._sources.take(pa.array(records)).to_pylist()

    def take(self, rows: np.ndarray) -> Examples:
        """Return the examples of rows, in the order of the rows given, (n,)."""
        starts, counts = self._row_starts[rows], np.diff(self._row_starts)[rows]
        before = np.concatenate(([0], np.cumsum(counts)))[:-1]
        return Examples([self], np.repeat(starts - before, counts) + np.arange(counts.sum()))

    def read(self, indices: np.ndarray) -> Iterator[Example]:
        """Yield examples by their index in the table."""
        previous, parsed, source, condition = -1, {}, "", ""
        for index in indices.tolist():
            record = int(self.record[index])
            if record != previous:
                previous, parsed = record, json.loads(self._texts[record].as_py())
                source, condition = self._sources[record].as_py(), self.conditions[self.condition[record]]
                messages = tuple([_of_list(*message) for message in parsed["messages"]])
            turn = int(self._turns[index])
            grading = parsed["grading"][index - int(self._starts[record])] if "grading" in parsed else {}
            rejected = _of_list(*parsed["rejected"]) if "rejected" in parsed else None
            yield Example(
                messages[:turn], messages[turn], condition, source, parsed.get("group"), grading,
                rejected, parsed.get("desirable"), parsed.get("margin"),
            )  # fmt: skip


def _flat(table: pa.Table, name: str, lengths: bool = False) -> np.ndarray:
    """Return the values of a list column, or the length of each list, without a Python object a value."""
    chunks = table.column(name).chunks
    parts = [np.diff(chunk.offsets.to_numpy()) if lengths else chunk.flatten().to_numpy() for chunk in chunks]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


class Examples(Sequence[Example]):
    """A sequence of examples that stand in tables on disk.

    Args:
        tables: the tables.
        indices: the examples, counted through all tables one after the other; (n,).
    """

    def __init__(self, tables: Sequence[RowTable], indices: np.ndarray):
        self.tables, self.indices = list(tables), np.asarray(indices, np.int64)
        self._offsets = np.concatenate(([0], np.cumsum([table.examples for table in self.tables], dtype=np.int64)))

    @property
    def owners(self) -> np.ndarray:
        """The number of the table in which each example stands, (n,)."""
        return np.searchsorted(self._offsets, self.indices, side="right") - 1

    @property
    def places(self) -> np.ndarray:
        """The index of each example in its table, (n,)."""
        return self.indices - self._offsets[self.owners]

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, at: int) -> Example: ...
    @overload
    def __getitem__(self, at: slice) -> Examples: ...
    def __getitem__(self, at: int | slice) -> Example | Examples:
        if isinstance(at, slice):
            return self.select(self.indices[at])
        return next(iter(self.select(self.indices[[at]])))

    def __iter__(self) -> Iterator[Example]:
        owners, places = self.owners, self.places
        changes = np.flatnonzero(np.diff(owners)) + 1
        for part in np.split(np.arange(len(self.indices)), changes):
            if len(part):
                yield from self.tables[owners[part[0]]].read(places[part])

    def __add__(self, others: Examples) -> Examples:
        return Examples(
            [*self.tables, *others.tables], np.concatenate((self.indices, others.indices + self._offsets[-1]))
        )

    def select(self, indices: np.ndarray) -> Examples:
        """Return the examples of these indices, counted as `indices` counts them."""
        return Examples(self.tables, indices)

    def by_table(self) -> list[np.ndarray]:
        """Return for each table the indices in it of the examples that stand there."""
        owners, places = self.owners, self.places
        return [places[owners == number] for number in range(len(self.tables))]

    def column(self, name: str) -> np.ndarray:
        """Return `split` (the hash for the held-out split) or `content` (a hash of prompt and reference) of each example."""
        columns = [table.content if name == "content" else table.split[table.record] for table in self.tables]
        return np.concatenate(columns)[self.indices] if columns else np.zeros(0, np.uint64)

    def count_conditions(self) -> dict[str, int]:
        """Return the number of examples by condition, the most frequent first, and of equally many the first to occur."""
        names = np.concatenate(
            [np.array(table.conditions, object)[table.condition[table.record]] for table in self.tables]
        )
        ranks: dict[str, tuple[int, int]] = {}
        for name in set(names.tolist()):
            of_name = np.flatnonzero((names == name)[self.indices])
            if len(of_name):
                ranks[name] = (-len(of_name), int(of_name[0]))
        return {name: -ranks[name][0] for name in sorted(ranks, key=ranks.__getitem__)}


def concatenated(parts: Iterable[Examples]) -> Examples:
    """Return several sequences one after the other."""
    total = Examples([], np.zeros(0, np.int64))
    for part in parts:
        total = total + part
    return total
