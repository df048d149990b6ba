"""Data sets: read rows, check them against a schema, mix data sets in the requested fractions, hold out examples.

Examples are held out by a hash of their content, so that copies of a row are either all trained on or all held out.
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

from hrm_align.data.damage import DamageReport
from hrm_align.data.examples import DataCounts, DatasetCounts, Example
from hrm_align.data.readers import BadRow, Row, make_bad_row
from hrm_align.data.schemas import COLUMNS, OPTIONAL, SCHEMAS, RowError, detect_format, nearest_column
from hrm_align.data.sources import DataFiles, local_files, read_rows
from hrm_align.errors import UserError
from hrm_align.progress import stage
from hrm_align.rendering import DEFAULT_CONDITION, parse_condition

VOTING_ROWS = 100  # readable rows at the start of a data set; the schema that most of them fit is chosen
NAMED_ROWS = 5  # bad rows that an error lists; the quarantine file has all of them


@dataclass
class DatasetSpec:
    """One data set of a mixture. Keys of TRL's `DatasetConfig` have its meaning, except `fraction` and `columns`.

    Args:
        path: file, directory, pattern of files, or Hub id, as in `read_rows`.
        name: configuration of a Hub data set.
        split: split of a Hub data set or of a directory.
        data_files: files or patterns inside the directory or Hub data set.
        revision: branch, tag or commit of a Hub data set.
        fraction: share of the rows to use: 0.25 is a seeded quarter, 2.0 every row twice, 1.5 all and a seeded half.
        format: name of the schema; None detects it from the column names.
        condition: condition for rows without one; `""` is no condition, None the run's default.
        columns: mapping from the schema's column names to the data's: `{"prompt": "question", "response": "answer"}`.
        weight: streaming only: how often rows are drawn from this data set, relative to the weights of the others.

    Raises:
        UserError: for an invalid value.
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
    weight: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | os.PathLike) or not str(self.path):
            raise UserError(
                f"invalid value for `path` of a data set: {self.path!r}. Use a file, a directory or a Hub id."
            )
        self.path = str(self.path)
        for key in ("fraction", "weight"):
            value = getattr(self, key)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if (key, value) != ("weight", None) and (not number or not 0 < value < math.inf):
                raise UserError(
                    f"invalid value for `{key}` of {self.path}: {value!r}. Use a number above 0, such as 0.5 or 2."
                )
        if self.format is not None and self.format not in SCHEMAS:
            raise UserError(
                f"invalid value for `format` of {self.path}: {self.format!r}. Use one of {', '.join(SCHEMAS)}."
            )
        if self.condition is not None:
            parse_condition(self.condition)
        if self.columns is not None:
            check_columns(self.columns)

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> DatasetSpec:
        """Make a spec from an entry of a recipe's `datasets`. Raises UserError for an unknown key or a missing `path`."""
        known = [item.name for item in fields(cls)]
        for key in entry:
            if key not in known:
                near = get_close_matches(str(key), known, n=1)
                hint = f": did you mean `{near[0]}`?" if near else "."
                raise UserError(f"unknown key `{key}` of a data set{hint} The keys are {', '.join(known)}.")
        if "path" not in entry:
            raise UserError(
                f"a data set has no `path` (its keys: {', '.join(entry) or 'none'}). Set `path` to its file, directory or "
                "Hub id."
            )
        return cls(**entry)


@dataclass
class _Loaded:
    """Rows of one data set: the examples of each good row, and the bad rows."""

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
        default_condition: condition for rows and data sets without one.
        seed: seed for the choice of rows if a `fraction` is no whole number; independent for each data set.
        max_bad_fraction: largest allowed share of bad rows among all rows. None means 0, for callers without such a
            setting: the error then does not suggest it.
        quarantine: JSONL file for all bad rows: `{"source", "reason", "text"}`. The file is written before an error is
            raised; an existing file is emptied if no row is bad.

    Returns:
        The examples, data set after data set, in the order of their rows; and the counts.

    Raises:
        UserError: for too many bad rows; a missing, unreadable or empty data set; or an unknown condition.
    """
    parse_condition(default_condition)
    if not specs:
        raise UserError("no data set given. Name at least one in `datasets`.")
    loaded = [_load(spec, default_condition) for spec in specs]
    counts = DataCounts([data.counts for data in loaded])
    bad = [row for data in loaded for row in data.bad]
    if quarantine is not None:
        _write_quarantine(Path(quarantine), bad)
    check_bad_rows(bad, counts.rows_read, max_bad_fraction, quarantine)
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
    schema = spec.format or _vote_schema(head, spec)
    local = local_files(os.path.expanduser(spec.path), spec.split, spec.data_files) is not None
    unused = _unused_columns(head, spec, schema)
    data = _Loaded(spec, DatasetCounts(spec.path, schema, unused_columns=unused, local=local))
    content, damage = blake2b(digest_size=8), DamageReport()
    with stage(f"reading {spec.path}") as reading:
        for row in reading.track(chain(head, rows)):
            outcome = _to_examples(row, spec, schema, condition)
            if isinstance(outcome, BadRow):
                data.bad.append(outcome)
            else:
                assert isinstance(row, Row)
                content.update(json.dumps(row.data, sort_keys=True, default=str).encode())
                data.good.append(outcome)
                damage.add(outcome)
    data.counts.damage, data.counts.rows_damaged = damage.to_dict(), damage.damaged
    data.counts.fingerprint = content.hexdigest()
    data.counts.rows_read, data.counts.rows_bad = len(data.good) + len(data.bad), len(data.bad)
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


def _vote_schema(head: list[Row | BadRow], spec: DatasetSpec) -> str | None:
    """Return the schema that most of the first rows fit; None if none of the rows is readable."""
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


def _unused_columns(head: list[Row | BadRow], spec: DatasetSpec, schema: str | None) -> list[str]:
    columns = {name for row in head if isinstance(row, Row) for name in row.data}
    mapping = spec.columns or {}
    used = {*OPTIONAL, *(SCHEMAS[schema].columns if schema else ())}
    return sorted(columns - (used - mapping.keys()) - {*mapping.values()})


def _to_examples(row: Row | BadRow, spec: DatasetSpec, schema: str | None, condition: str) -> list[Example] | BadRow:
    if isinstance(row, BadRow):
        return row
    assert schema is not None, "every readable row has voted for a schema"
    try:
        data = rename_columns(row.data, spec.columns) if spec.columns else row.data
        return SCHEMAS[schema].read(data, row.source, condition)
    except RowError as error:
        return make_bad_row(row.source, error, json.dumps(row.data, ensure_ascii=False, default=str))


def choose_schema(spec: DatasetSpec, rows: Iterator[Row | BadRow]) -> tuple[str | None, list[str]]:
    """Return the schema of a data set and the columns that the schema does not read, from its first rows.

    Raises:
        UserError: if no schema fits the columns.
    """
    head = _head(rows)
    schema = spec.format or _vote_schema(head, spec)
    return schema, _unused_columns(head, spec, schema)


def read_examples(row: Row | BadRow, spec: DatasetSpec, schema: str | None, condition: str) -> list[Example] | BadRow:
    """Return the examples of one row; a `BadRow` with the reason for a row that cannot be used."""
    return _to_examples(row, spec, schema, condition)


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
    first_rows = "".join(f"\n  {row.source}: {row.reason}" for row in bad[:NAMED_ROWS])
    more = f"\n  and {len(bad) - NAMED_ROWS:,} more" if len(bad) > NAMED_ROWS else ""
    listed = f"All of them are in {os.fspath(quarantine)}. " if quarantine is not None else ""
    share = math.ceil(1000 * len(bad) / rows_read) / 1000
    allow = (
        f", or allow a share with `--max_bad_fraction {share:g}`" if max_bad_fraction is not None and share < 1 else ""
    )
    raise UserError(
        f"{len(bad):,} of {rows_read:,} rows cannot be used:{first_rows}{more}\n{listed}Fix the rows{allow}."
    )


def _choose(data: _Loaded, seed: int) -> list[Example]:
    """Choose rows by `fraction`: whole copies of the data set, then a seeded part of it.

    The part has the rows with the smallest hashes. A row's hash does not depend on other rows, other data sets or the
    folder, and a larger fraction chooses a superset of the rows.
    """
    copies = int(data.spec.fraction)
    rest = round(data.spec.fraction * len(data.good)) - copies * len(data.good)
    ranked = sorted(range(len(data.good)), key=lambda index: _rank(data.good[index][0].source, seed)) if rest else []
    rows = data.good * copies + [data.good[index] for index in sorted(ranked[:rest])]
    if not rows:
        share = f" at `fraction` {data.spec.fraction:g}" if data.good else ""
        raise UserError(f"no example from {data.spec.path}{share}. Fix its rows, raise `fraction`, or leave it out.")
    return [example for row in rows for example in row]


def _rank(source: str, seed: int) -> bytes:
    return blake2b(f"{seed} {source.rsplit('/', 1)[-1]}".encode(), digest_size=16).digest()


def drawn(replay: Sequence[Example], share: float, others: int, seed: int) -> list[Example]:
    """Draw replay examples up to a share of the whole mixture. Every example is drawn once before any is drawn again.

    Args:
        replay: examples to draw from.
        share: fraction of all examples, replay included, that are replay; 0 to below 1.
        others: number of examples that are not replay.
        seed: seed of the draw.
    """
    wanted = round(others * share / (1 - share))
    copies, rest = divmod(wanted, len(replay))
    return [*replay] * copies + random.Random(seed).sample(replay, rest)


def split_by_content(examples: Sequence[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """Split examples into training and held-out ones.

    The split depends only on a hash of the first message that is not a system message. All turns of a conversation and
    all repetitions of a prompt are therefore on the same side, in every run.

    Args:
        examples: examples to split.
        fraction: share to hold out, 0 to 1; met to within sampling error.

    Returns:
        The training examples and the held-out examples, both in the given order.
    """
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        first = next((m for m in example.messages if m.role != "system"), example.messages[0])
        digest = sha256(first.content.encode("utf-8", "surrogatepass")).digest()
        sides[int.from_bytes(digest[:8], "big") < fraction * 2**64].append(example)
    return sides


def check_columns(columns: Mapping[str, str]) -> None:
    """Check the mapping `columns` of a data set. Raises UserError for a key that is a column of no schema."""
    example = "{'prompt': 'question', 'response': 'answer'}"
    if not isinstance(columns, Mapping) or not all(isinstance(theirs, str) for theirs in columns.values()):
        raise UserError(
            f"invalid value for `columns`: {columns!r}. Use a mapping from schema columns to your columns, as in {example}."
        )
    for name in columns:
        if name not in COLUMNS:
            hint = nearest_column(str(name), COLUMNS)
            raise UserError(
                f"invalid key {name!r} in `columns`: no schema has this column ({hint}). Write the mapping as {example}."
            )


def rename_columns(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """Rename a row's columns to those of its schema.

    Args:
        row: values by the file's column names.
        columns: mapping from the schema's names to the file's: `{"prompt": "question", "response": "answer"}`.

    Raises:
        RowError: if a required column is missing.
    """
    renamed = {name: value for name, value in row.items() if name not in columns and name not in columns.values()}
    for name, theirs in columns.items():
        if theirs in row:
            renamed[name] = row[theirs]
        elif name not in OPTIONAL and name != "input":
            raise RowError(f"column `{theirs}` is missing: {nearest_column(theirs, row)}")
    return renamed
