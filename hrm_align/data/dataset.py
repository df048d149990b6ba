"""Data sets to the examples of a run: read, checked against their schemas, mixed in the requested shares, and held out.

Rows are held out by their content, so that a row and its copy never end on both sides.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from hashlib import blake2b, sha256
from itertools import chain
from pathlib import Path
from typing import Any

from hrm_align.data.examples import DataCounts, DatasetCounts, Example
from hrm_align.data.readers import BadRow, Row, bad_row
from hrm_align.data.schemas import COLUMNS, OPTIONAL, SCHEMAS, RowError, detect_format, nearest_column
from hrm_align.data.sources import DataFiles, local_files, read_rows
from hrm_align.errors import UserError
from hrm_align.rendering import DEFAULT_CONDITION, parse_condition

VOTING_ROWS = 100  # the first of a data set; together they choose its schema, so that no single bad row does
NAMED_ROWS = 5  # bad rows that the error shows; the quarantine file has them all


@dataclass
class DatasetSpec:
    """One data set of a mixture. Keys of TRL's `DatasetConfig` mean the same, but for `fraction` and `columns`.

    Args:
        path: file, directory, pattern of files, or Hub id, as `read_rows` takes it.
        name: configuration of a Hub data set.
        split: split of a Hub data set or of a directory.
        data_files: files or patterns inside the directory or Hub data set.
        revision: branch, tag or commit of a Hub data set.
        fraction: share of the rows to use: 0.25 is a seeded quarter, 2.0 every row twice, 1.5 all and a seeded half.
        format: a schema's name; found from the column names if None.
        condition: for rows that name none; `""` is no condition, None the default of the run.
        columns: from a schema's column names to those of the data: `{"prompt": "question", "response": "answer"}`.

    Raises:
        UserError: for a value that cannot be.
    """

    path: str
    name: str | None = None
    split: str = "train"
    data_files: DataFiles | None = None
    revision: str | None = None
    fraction: float = 1.0
    format: str | None = None
    condition: str | None = None
    columns: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | os.PathLike) or not str(self.path):
            raise UserError(f"a data set has the path {self.path!r}: give a file, a directory or a Hub id.")
        self.path = str(self.path)
        number = isinstance(self.fraction, int | float) and not isinstance(self.fraction, bool)
        if not number or not 0 < self.fraction < math.inf:
            raise UserError(f"{self.path} has the fraction {self.fraction!r}: give a number above 0, such as 0.5 or 2.")
        if self.format is not None and self.format not in SCHEMAS:
            raise UserError(f"{self.path} has the format {self.format!r}: the schemas are {', '.join(SCHEMAS)}.")
        if self.condition is not None:
            parse_condition(self.condition)
        if self.columns is not None:
            check_columns(self.columns)

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> DatasetSpec:
        """Read an entry of a recipe's `datasets`. Raises UserError for a key that does not exist, or without `path`."""
        known = [item.name for item in fields(cls)]
        for key in entry:
            if key not in known:
                near = get_close_matches(str(key), known, n=1)
                hint = f"did you mean `{near[0]}`?" if near else "it does not exist."
                raise UserError(f"a data set has the key `{key}`: {hint} The keys are {', '.join(known)}.")
        if "path" not in entry:
            raise UserError(f"a data set has no `path`, only {', '.join(entry) or 'nothing'}: say where its rows are.")
        return cls(**entry)


@dataclass
class _Loaded:
    """The rows of one data set: the examples of each good one, and the bad ones."""

    spec: DatasetSpec
    counts: DatasetCounts
    good: list[list[Example]] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


def load_examples(
    specs: Sequence[DatasetSpec],
    *,
    default_condition: str = DEFAULT_CONDITION,
    seed: int = 0,
    max_bad_fraction: float | None = None,
    quarantine: str | os.PathLike[str] | None = None,
) -> tuple[list[Example], DataCounts]:
    """Read and mix data sets.

    Args:
        specs: the data sets.
        default_condition: for rows and data sets that name none.
        seed: chooses the rows where a `fraction` is no whole number, in each data set independently of the others.
        max_bad_fraction: share of bad rows, of all rows read, above which nothing is returned. None is 0, for a caller whose
            user cannot allow a share: the error does not advise it.
        quarantine: JSONL file that gets every bad row: `{"source", "reason", "text"}`. It is written before an error is
            raised, and emptied if no row is bad.

    Returns:
        The examples, data set after data set, in the order of their rows; and the counts.

    Raises:
        UserError: for too many bad rows, a data set that is missing, unreadable or empty, or an unknown condition.
    """
    parse_condition(default_condition)
    if not specs:
        raise UserError("there is no data set: name at least one in `datasets`.")
    loaded = [_load(spec, default_condition) for spec in specs]
    counts = DataCounts([data.counts for data in loaded])
    bad = [row for data in loaded for row in data.bad]
    if quarantine is not None:
        _write_quarantine(Path(quarantine), bad)
    if len(bad) > (max_bad_fraction or 0) * counts.rows_read:
        raise UserError(_too_many_bad(bad, counts.rows_read, quarantine, max_bad_fraction is not None))
    examples: list[Example] = []
    for data in loaded:
        chosen = _choose(data, seed)
        data.counts.examples = len(chosen)
        data.counts.conditions = dict(Counter(example.condition for example in chosen).most_common())
        examples += chosen
    return examples, counts


def _load(spec: DatasetSpec, default_condition: str) -> _Loaded:
    rows = read_rows(spec.path, name=spec.name, split=spec.split, data_files=spec.data_files, revision=spec.revision)
    condition = default_condition if spec.condition is None else spec.condition
    head = _head(rows)
    schema = spec.format or _schema_of(head, spec)
    local = local_files(os.path.expanduser(spec.path), spec.split, spec.data_files) is not None
    data = _Loaded(spec, DatasetCounts(spec.path, schema, unused_columns=_unused(head, spec, schema), local=local))
    content = blake2b(digest_size=8)
    for row in chain(head, rows):
        outcome = _format(row, spec, schema, condition)
        if isinstance(outcome, BadRow):
            data.bad.append(outcome)
        else:
            assert isinstance(row, Row)
            content.update(json.dumps(row.data, sort_keys=True, default=str).encode())
            data.good.append(outcome)
    data.counts.fingerprint = content.hexdigest()
    data.counts.rows_read, data.counts.rows_bad = len(data.good) + len(data.bad), len(data.bad)
    data.counts.bad_by_reason = dict(Counter(row.reason.split(":")[0] for row in data.bad).most_common())
    return data


def _head(rows: Iterator[Row | BadRow]) -> list[Row | BadRow]:
    head: list[Row | BadRow] = []
    votes = 0
    while votes < VOTING_ROWS and (row := next(rows, None)) is not None:
        head.append(row)
        votes += isinstance(row, Row)
    return head


def _schema_of(head: list[Row | BadRow], spec: DatasetSpec) -> str | None:
    """The schema that most of the first rows fit; None if none of them could be read."""
    votes: Counter[str] = Counter()
    fault: Exception | None = None
    for row in head:
        if isinstance(row, Row):
            try:
                votes[detect_format(set(rename_columns(row.data, spec.columns or {})))] += 1
            except (UserError, RowError) as error:
                fault = fault or error
    if fault and not votes:
        raise UserError(f"{spec.path}: {fault}")
    return votes.most_common(1)[0][0] if votes else None


def _unused(head: list[Row | BadRow], spec: DatasetSpec, schema: str | None) -> list[str]:
    columns = {name for row in head if isinstance(row, Row) for name in row.data}
    mapping = spec.columns or {}
    read = {*OPTIONAL, *(SCHEMAS[schema].columns if schema else ())}
    return sorted(columns - (read - mapping.keys()) - {*mapping.values()})


def _format(row: Row | BadRow, spec: DatasetSpec, schema: str | None, condition: str) -> list[Example] | BadRow:
    if isinstance(row, BadRow):
        return row
    assert schema is not None, "a row that can be read has voted for one"
    try:
        data = rename_columns(row.data, spec.columns) if spec.columns else row.data
        return SCHEMAS[schema].read(data, row.source, condition)
    except RowError as error:
        return bad_row(row.source, error, json.dumps(row.data, ensure_ascii=False, default=str))


def _write_quarantine(path: Path, bad: list[BadRow]) -> None:
    if not bad and not path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in bad)
    except OSError as error:
        raise UserError(f"{len(bad)} bad rows cannot be written to {path}: {error.strerror}.") from None


def _too_many_bad(bad: list[BadRow], rows_read: int, quarantine: str | os.PathLike[str] | None, can_allow: bool) -> str:
    named = "".join(f"\n  {row.source}: {row.reason}" for row in bad[:NAMED_ROWS])
    more = f"\n  and {len(bad) - NAMED_ROWS:,} more" if len(bad) > NAMED_ROWS else ""
    listed = f"All of them are in {os.fspath(quarantine)}. " if quarantine is not None else ""
    share = math.ceil(1000 * len(bad) / rows_read) / 1000
    allow = f", or allow a share with `--max_bad_fraction {share:g}`" if can_allow and share < 1 else ""
    return f"{len(bad):,} of {rows_read:,} rows cannot be used:{named}{more}\n{listed}Mend the rows{allow}."


def _choose(data: _Loaded, seed: int) -> list[Example]:
    """Whole copies of the data set, then the seeded rest.

    The rest are the rows whose hash is smallest: a choice that depends neither on other data sets nor on the folder,
    keeps a row when its neighbours go bad, and grows with the fraction.
    """
    copies = int(data.spec.fraction)
    rest = round(data.spec.fraction * len(data.good)) - copies * len(data.good)
    ranked = sorted(range(len(data.good)), key=lambda index: _rank(data.good[index][0].source, seed)) if rest else []
    rows = data.good * copies + [data.good[index] for index in sorted(ranked[:rest])]
    if not rows:
        share = f" at the fraction {data.spec.fraction:g}" if data.good else ""
        raise UserError(f"{data.spec.path} gives no example{share}: mend its rows, take more, or leave it out.")
    return [example for row in rows for example in row]


def _rank(source: str, seed: int) -> bytes:
    return blake2b(f"{seed} {source.rsplit('/', 1)[-1]}".encode(), digest_size=16).digest()


def drawn(replay: Sequence[Example], share: float, others: int, seed: int) -> list[Example]:
    """As many replay examples as make up a share of the whole: each once before one comes twice.

    Args:
        replay: to draw from.
        share: of all examples, replay included; 0 to below 1.
        others: examples that are no replay.
        seed: of the draw.
    """
    wanted = round(others * share / (1 - share))
    copies, rest = divmod(wanted, len(replay))
    return [*replay] * copies + random.Random(seed).sample(replay, rest)


def split_by_content(examples: Sequence[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """Split examples into training and held-out ones.

    The choice hangs on the first message that is read, so all turns of a conversation, and every repetition of a
    prompt, fall on the same side, in this run and in every other.

    Args:
        examples: to be split.
        fraction: the share to hold out, 0 to 1; met to within sampling error.

    Returns:
        What to train on, and what is held out, both in the order given.
    """
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        first = next((m for m in example.messages if m.role != "system"), example.messages[0])
        digest = sha256(first.content.encode("utf-8", "surrogatepass")).digest()
        sides[int.from_bytes(digest[:8], "big") < fraction * 2**64].append(example)
    return sides


def check_columns(columns: Mapping[str, str]) -> None:
    """Check the keys of a mapping of columns. Raises UserError for a name that no schema has."""
    example = "{'prompt': 'question', 'response': 'answer'}"
    if not isinstance(columns, Mapping) or not all(isinstance(theirs, str) for theirs in columns.values()):
        raise UserError(f"`columns` is {columns!r}: give the names in your data by those of a schema, as in {example}.")
    for name in columns:
        if name not in COLUMNS:
            hint = nearest_column(str(name), COLUMNS)
            raise UserError(f"`columns` has the key {name!r}, which no schema knows ({hint}): write it as {example}.")


def rename_columns(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """A row under the names of its schema.

    Args:
        row: as in the file.
        columns: from the names of the schema to those of the file: `{"prompt": "question", "response": "answer"}`.

    Raises:
        RowError: if a column is missing that is not optional.
    """
    renamed = {name: value for name, value in row.items() if name not in columns and name not in columns.values()}
    for name, theirs in columns.items():
        if theirs in row:
            renamed[name] = row[theirs]
        elif name not in OPTIONAL and name != "input":
            raise RowError(f"column `{theirs}` is missing: {nearest_column(theirs, row)}")
    return renamed
