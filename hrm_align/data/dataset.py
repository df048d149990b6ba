"""Data sets: read rows, check them against a schema, and mix data sets in the requested fractions."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from hrm_align.data.cache import can_be_used, file_hash, hash_key, prepared
from hrm_align.data.columns import ColumnCheck, drop_ignored
from hrm_align.data.damage import DamageReport
from hrm_align.data.examples import ANSWERS, DataCounts, DatasetCounts, Example
from hrm_align.data.fingerprints import FORMAT_DEPENDENT, parse_cell, same_in_all_formats
from hrm_align.data.kinds import check_gap, check_kind, detect_schema, kind_of_columns, of_kind
from hrm_align.data.named_readers import FORMATS, NAMED_READERS, files_beside, suggest_reader
from hrm_align.data.preference_readers import PREFERENCE_FORMATS, PREFERENCE_READERS, merge_scored
from hrm_align.data.preferences import LeftOut
from hrm_align.data.readers import BadRow, Row, make_bad_row
from hrm_align.data.schemas import OPTIONAL, RowError, detect_format
from hrm_align.data.sources import local_files, read_rows
from hrm_align.data.specs import DatasetSpec, rename_columns
from hrm_align.data.table import ROWS, Examples, NotStorable, RowTable, RowWriter, concatenated
from hrm_align.errors import UserError
from hrm_align.progress import say, stage
from hrm_align.rendering import DEFAULT_CONDITION, parse_condition

VOTING_ROWS = 100  # readable rows at the start of a data set; the schema that most of them fit is chosen
ALL_FORMATS = FORMATS | PREFERENCE_FORMATS
NAMED_ROWS = 5  # bad rows that an error lists; the quarantine file has all of them


@dataclass
class _Loaded:
    """Rows of one data set: the examples of each good row, in a list or in a table on disk, the bad rows, and the error about columns
    that carry meaning and are not read ("" if there is none)."""

    spec: DatasetSpec
    counts: DatasetCounts
    good: list[list[Example]] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    table: RowTable | None = None
    unread: str = ""


def load_examples(
    specs: Sequence[DatasetSpec],
    *,
    default_condition: str = DEFAULT_CONDITION,
    seed: int = 0,
    max_bad_fraction: float | None = None,
    quarantine: str | os.PathLike[str] | None = None,
    on_disk: bool = False,
    kind: str = ANSWERS,
) -> tuple[Sequence[Example], DataCounts]:
    """Read and mix data sets.

    Args:
        specs: the data sets.
        default_condition: condition for rows and data sets without one.
        seed: seed for the choice of rows if a `fraction` is no whole number; independent for each data set.
        max_bad_fraction: largest allowed share of bad rows among all rows. None means 0, for callers without such a
            setting: the error then does not suggest it.
        quarantine: JSONL file for all bad rows: `{"source", "reason", "text"}`. The file is written before an error is
            raised; an existing file is emptied if no row is bad.
        on_disk: keep the examples in tables of the cache (`hrm_align.data.cache`), which are read again instead of the files as
            long as the files and these settings are the same. Data sets of the Hub are kept in memory all the same.
        kind: `answers`; `pairs` for pairs of a chosen and a rejected answer; `labels` for answers with a label (KTO), which pairs are
            read as, too: a desirable answer and an undesirable one; or `references` for answers to grade against: those of rows with
            answers, and the chosen ones of preference rows.

    Returns:
        The examples, data set after data set, in the order of their rows, as a list or as `Examples`; and the counts.

    Raises:
        UserError: for too many bad rows; columns that carry meaning and are not read; a missing, unreadable or empty data set; rows
            of another kind; or an unknown condition.
    """
    parse_condition(default_condition)
    if not specs:
        raise UserError("no data set given. Name at least one in `datasets`.")
    for spec in specs:
        check_kind(spec, kind)
    try:
        loaded = [(_load_table if on_disk else _load)(spec, default_condition, kind) for spec in specs]
    except NotStorable:
        loaded = [_load(spec, default_condition, kind) for spec in specs]
    counts = DataCounts([data.counts for data in loaded])
    bad = [row for data in loaded for row in data.bad]
    if quarantine is not None:
        _write_quarantine(Path(quarantine), bad)
    if unread := [data.unread for data in loaded if data.unread]:
        raise UserError("\n".join(unread) + (f"\n{describe_bad(bad, counts.rows_read)}" if bad else ""))
    check_bad_rows(bad, counts.rows_read, max_bad_fraction, quarantine)
    chosen = [_choose(data, seed) for data in loaded]
    for data, examples in zip(loaded, chosen, strict=True):
        data.counts.examples, data.counts.conditions = len(examples), _count_conditions(examples)
    parts = [examples for examples in chosen if isinstance(examples, Examples)]
    return (concatenated(parts) if len(parts) == len(chosen) else [*chain.from_iterable(chosen)]), counts


def _load_table(spec: DatasetSpec, default_condition: str, kind: str) -> _Loaded:
    """Load a data set into a table of the cache, or map the table. Raises NotStorable if a table cannot hold its rows."""
    files = local_files(os.path.expanduser(spec.path), spec.split, spec.data_files)
    if files is None or not can_be_used():
        raise NotStorable(spec.path)
    read = [*files, *files_beside(spec.format, files)]
    key = hash_key(
        "rows", asdict(spec) | {"fraction": 1}, default_condition, kind, [(file, file_hash(file)) for file in read]
    )
    is_new = False

    def write(folder: Path) -> dict[str, Any]:
        nonlocal is_new
        is_new, writer = True, RowWriter(folder / ROWS)
        with closing(writer):
            data = _load(spec, default_condition, kind, writer.add)
        return {"counts": asdict(data.counts), "bad": [asdict(row) for row in data.bad], "unread": data.unread}

    folder, meta = prepared(key, spec.path, 2 * sum(map(os.path.getsize, files)), write)
    counts, table = DatasetCounts(**meta["counts"]), RowTable.open(folder, spec.path)
    if not is_new:
        say(f"{spec.path}: {counts.rows_read:,} rows that were prepared before")
    return _Loaded(spec, counts, bad=[BadRow(**row) for row in meta["bad"]], table=table, unread=meta["unread"])


def _load(
    spec: DatasetSpec, default_condition: str, kind: str, keep: Callable[[list[Example]], None] | None = None
) -> _Loaded:
    """Read a data set. The examples of each good row are passed to `keep`, by default into the list `good`."""
    rows = read_rows(spec.path, name=spec.name, split=spec.split, data_files=spec.data_files, revision=spec.revision)
    condition = default_condition if spec.condition is None else spec.condition
    head = _head(rows)
    schema = spec.format or _vote_schema(head, spec, kind)
    if schema is not None:
        check_gap(spec, ALL_FORMATS[schema].kind)
    local = local_files(os.path.expanduser(spec.path), spec.split, spec.data_files) is not None
    ignored = spec.ignore_columns or []
    columns = _column_check(spec, schema)
    data = _Loaded(spec, DatasetCounts(spec.path, schema, ignored_columns=ignored, local=local))
    rows = chain(head, rows)
    if kind != ANSWERS:
        rows = merge_scored(rows, schema, spec.columns or {})
    content, damage, used = blake2b(digest_size=8), DamageReport(), _used_columns(spec, schema)
    left_out: Counter[str] = Counter()
    keep = keep or data.good.append
    with stage(f"reading {spec.path}") as reading:
        for row in reading.track(rows):
            data.counts.rows_read += row.rows if isinstance(row, Row) else 1
            try:
                outcome = _to_examples(row, spec, schema, condition, kind)
            except LeftOut as reason:
                assert isinstance(row, Row)
                left_out[str(reason)] += 1
                content.update(_content(row.data, used))
                continue
            if isinstance(outcome, BadRow):
                data.bad.append(outcome)
                continue
            assert isinstance(row, Row)
            if not row.data.keys() <= columns.known:
                columns.add(row.data, row.source, outcome)
            if not outcome:
                data.counts.rows_weight_0 += 1
            else:
                content.update(_content(row.data, used))
                keep(outcome)
                damage.add(outcome)
    data.unread = columns.describe(spec.path, schema)
    data.counts.damage, data.counts.rows_damaged = damage.to_dict(), damage.damaged
    data.counts.fingerprint = content.hexdigest()
    data.counts.unused_columns = columns.unused_columns
    data.counts.left_out = dict(left_out)
    data.counts.rows_bad = len(data.bad)
    data.counts.first_bad = [f"{row.source}: {row.reason}" for row in data.bad[:NAMED_ROWS]]
    data.counts.bad_by_reason = dict(Counter(row.reason.split(":")[0] for row in data.bad).most_common())
    return data


def _head(rows: Iterator[Row | BadRow]) -> list[Row | BadRow]:
    head: list[Row | BadRow] = []
    votes = 0
    while votes < VOTING_ROWS and (row := next(rows, None)) is not None:
        head.append(row)
        votes += isinstance(row, Row)
    return head


def _vote_schema(head: list[Row | BadRow], spec: DatasetSpec, kind: str = ANSWERS) -> str | None:
    """Return the schema that most of the first rows fit; None if none of the rows is readable."""
    votes: Counter[str] = Counter()
    faults: list[tuple[Exception, Row]] = []
    for row in head:
        if isinstance(row, Row):
            try:
                columns = set(_schema_columns(row.data, spec))
                votes[detect_format(columns) if kind == ANSWERS else detect_schema(columns, kind)] += 1
            except (UserError, RowError) as error:
                faults.append((error, row))
    if faults and not votes:
        fault, row = faults[0]
        readers = NAMED_READERS if kind == ANSWERS else PREFERENCE_READERS
        raise UserError(f"{spec.path}: {fault}{suggest_reader(row.data, row.source, readers)}")
    return votes.most_common(1)[0][0] if votes else None


def detect_kind(spec: DatasetSpec) -> str:
    """Return the kind of examples that the rows of a data set hold, by its `format` or the columns of most of its first rows."""
    if spec.format is not None:
        return ALL_FORMATS[spec.format].kind
    rows = read_rows(spec.path, name=spec.name, split=spec.split, data_files=spec.data_files, revision=spec.revision)
    votes: Counter[str] = Counter({ANSWERS: 0})
    for row in _head(rows):
        if isinstance(row, Row):
            with suppress(RowError):
                votes[kind_of_columns(set(_schema_columns(row.data, spec)))] += 1
    return votes.most_common(1)[0][0]


def _column_check(spec: DatasetSpec, schema: str | None) -> ColumnCheck:
    mapping, ignored = spec.columns or {}, spec.ignore_columns or []
    if schema is None:
        return ColumnCheck(set())
    reader = NAMED_READERS.get(schema) or PREFERENCE_READERS.get(schema)
    labels = reader.labels if reader is not None else ()
    read = {*OPTIONAL, *ALL_FORMATS[schema].columns} - {*labels}
    return ColumnCheck((read - mapping.keys()) | {*mapping.values(), *ignored}, labels)


def _schema_columns(row: Mapping[str, Any], spec: DatasetSpec) -> Mapping[str, Any]:
    """Return a row under the schema's column names, without the ignored ones. Raises RowError as `rename_columns`."""
    if spec.ignore_columns:
        row = drop_ignored(row, spec.ignore_columns, spec.columns or {})
    return rename_columns(row, spec.columns) if spec.columns else row


def _used_columns(spec: DatasetSpec, schema: str | None) -> dict[str, str]:
    """Return the columns that the schema reads, by their names in the data."""
    mapping = spec.columns or {}
    return {mapping.get(name, name): name for name in (*OPTIONAL, *(ALL_FORMATS[schema].columns if schema else ()))}


def _content(row: Mapping[str, Any], used: Mapping[str, str]) -> bytes:
    """Return what a row's fingerprint is made of: its values in the columns that are read, alike in every file format."""
    values = {theirs: row[theirs] for theirs in used if row.get(theirs) not in (None, "")}
    for theirs in values:
        if used[theirs] in ("tools", "functions", "grading"):
            values[theirs] = parse_cell(values[theirs])
    text = json.dumps(values, sort_keys=True, default=str)
    if any(pattern.search(text) for pattern in FORMAT_DEPENDENT):
        text = json.dumps(same_in_all_formats(values), sort_keys=True, default=str)
    return text.encode()


def _to_examples(
    row: Row | BadRow, spec: DatasetSpec, schema: str | None, condition: str, kind: str = ANSWERS
) -> list[Example] | BadRow:
    if isinstance(row, BadRow):
        return row
    assert schema is not None, "every readable row has voted for a schema"
    options = {} if spec.min_score_gap is None else {"min_score_gap": spec.min_score_gap}
    try:
        examples = ALL_FORMATS[schema].read(_schema_columns(row.data, spec), row.source, condition, **options)
        return examples if kind == ANSWERS else of_kind(examples, kind)
    except RowError as error:
        return make_bad_row(row.source, error, json.dumps(row.data, ensure_ascii=False, default=str))


def choose_schema(spec: DatasetSpec, rows: Iterator[Row | BadRow]) -> tuple[str | None, list[str]]:
    """Return the schema of a data set and the columns that it does not read and that carry no meaning, from the first rows.

    Raises:
        UserError: if no schema fits the columns, or if columns that carry meaning are not read.
    """
    check_kind(spec, ANSWERS)
    head = _head(rows)
    schema = spec.format or _vote_schema(head, spec)
    columns = _column_check(spec, schema)
    for row in head:
        outcome = _to_examples(row, spec, schema, "")
        if isinstance(row, Row) and isinstance(outcome, list):
            columns.add(row.data, row.source, outcome)
    if unread := columns.describe(spec.path, schema):
        raise UserError(unread)
    return schema, columns.unused_columns


def read_examples(row: Row | BadRow, spec: DatasetSpec, schema: str | None, condition: str) -> list[Example] | BadRow:
    """Return the examples of one row; a `BadRow` with the reason for a row that cannot be used or has an unread column."""
    outcome = _to_examples(row, spec, schema, condition)
    if isinstance(outcome, BadRow):
        return outcome
    assert isinstance(row, Row)
    columns = _column_check(spec, schema)
    if not row.data.keys() <= columns.known:
        columns.add(row.data, row.source, outcome)
        if columns.refused:
            names = " ".join(sorted(columns.refused))
            reason = f"unread column: {names}; map it with `columns`, or leave it out with --ignore_columns {names}"
            return make_bad_row(row.source, reason, json.dumps(row.data, ensure_ascii=False, default=str))
    return outcome


def _write_quarantine(path: Path, bad: list[BadRow]) -> None:
    if not bad and not path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in bad)
    except OSError as error:
        raise UserError(
            f"the quarantine file {path} cannot be written ({error.strerror}). Check its directory and the free space."
        ) from None


def check_bad_rows(
    bad: Sequence[BadRow],
    rows_read: int,
    max_bad_fraction: float | None,
    quarantine: str | os.PathLike[str] | None = None,
) -> None:
    """Raise UserError, which names the first bad rows, if there are more of them than `max_bad_fraction` allows.

    Args:
        bad: all bad rows.
        rows_read: number of rows, bad ones included.
        max_bad_fraction: as in `load_examples`.
        quarantine: file that has all bad rows.
    """
    if len(bad) <= (max_bad_fraction or 0) * rows_read:
        return
    listed = f"All of them are in {os.fspath(quarantine)}. " if quarantine is not None else ""
    share = math.ceil(1000 * len(bad) / rows_read) / 1000
    allow = (
        f", or allow a share with `--max_bad_fraction {share:g}`" if max_bad_fraction is not None and share < 1 else ""
    )
    raise UserError(f"{describe_bad(bad, rows_read)}\n{listed}Fix the rows{allow}.")


def describe_bad(bad: Sequence[BadRow], rows_read: int) -> str:
    """Return how many rows are bad, and the first of them with their reasons."""
    first_rows = "".join(f"\n  {row.source}: {row.reason}" for row in bad[:NAMED_ROWS])
    more = f"\n  and {len(bad) - NAMED_ROWS:,} more" if len(bad) > NAMED_ROWS else ""
    return f"{len(bad):,} of {rows_read:,} rows cannot be used:{first_rows}{more}"


def _choose(data: _Loaded, seed: int) -> Sequence[Example]:
    """Choose rows by `fraction`: whole copies of the data set, then a seeded part of it.

    The part has the rows with the smallest hashes. A row's hash does not depend on other rows, other data sets or the
    folder, and a larger fraction chooses a superset of the rows.
    """
    table, good = data.table, len(data.good) if data.table is None else data.table.rows
    copies = int(data.spec.fraction)
    rest = round(data.spec.fraction * good) - copies * good
    ranked: list[int] = []
    if rest:
        sources = [row[0].source for row in data.good] if table is None else table.sources()
        ranked = sorted(range(good), key=lambda index: _rank(sources[index], seed))
    rows = np.concatenate((np.tile(np.arange(good), copies), np.array(sorted(ranked[:rest]), np.int64))).astype(
        np.int64
    )
    if not len(rows):
        share = f" at `fraction` {data.spec.fraction:g}" if good else ""
        skipped = {"weight 0": data.counts.rows_weight_0} | data.counts.left_out
        reasons = [
            f"{rows:,} of its {data.counts.rows_read:,} rows have {why}" for why, rows in skipped.items() if rows
        ]
        share += f": {'; '.join(reasons)}" if reasons else ""
        raise UserError(f"no example from {data.spec.path}{share}. Fix its rows, raise `fraction`, or leave it out.")
    return [example for row in rows for example in data.good[row]] if table is None else table.take(rows)


def _count_conditions(examples: Sequence[Example]) -> dict[str, int]:
    if isinstance(examples, Examples):
        return examples.count_conditions()
    return dict(Counter(example.condition for example in examples).most_common())


def _rank(source: str, seed: int) -> bytes:
    return blake2b(f"{seed} {source.rsplit('/', 1)[-1]}".encode(), digest_size=16).digest()
