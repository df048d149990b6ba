"""Data sets as recipes and commands name them: where the rows are, and how they are read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from hrm_align.data.columns import check_ignored
from hrm_align.data.named_readers import FORMATS
from hrm_align.data.preference_readers import PREFERENCE_FORMATS
from hrm_align.data.preferences import PREFERENCE_COLUMNS, PREFERENCE_OPTIONAL
from hrm_align.data.schemas import COLUMNS, OPTIONAL, SCHEMAS, RowError, nearest_column
from hrm_align.data.sources import DataFiles
from hrm_align.errors import UserError
from hrm_align.rendering import parse_condition

_MAY_LACK = {*OPTIONAL, *PREFERENCE_OPTIONAL, *(name for schema in SCHEMAS.values() for name in schema.optional)}


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
        format: name of a schema, or of a published data set (`named_readers`); None detects the schema from the column names.
        condition: condition for rows without one; `""` is no condition, None the run's default.
        columns: mapping from the schema's column names to the data's: `{"prompt": "question", "response": "answer"}`.
        ignore_columns: columns to leave out, and keys of messages as `messages.KEY`, which would otherwise be read or refused.
        weight: streaming only: how often rows are drawn from this data set, relative to the weights of the others.
        min_score_gap: preference rows with scores only: use all pairs of answers whose scores differ by more than this, instead of the
            best answer against the worst; rows without such a pair are left out and counted.

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
    ignore_columns: list[str] | None = None
    weight: float | None = None
    min_score_gap: float | None = None

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
        gap = self.min_score_gap
        if gap is not None and (isinstance(gap, bool) or not isinstance(gap, int | float) or not 0 <= gap < math.inf):
            raise UserError(
                f"invalid value for `min_score_gap` of {self.path}: {gap!r}. Use a number of 0 or more, such as 0.5."
            )
        formats = FORMATS | PREFERENCE_FORMATS
        if self.format is not None and self.format not in formats:
            raise UserError(
                f"invalid value for `format` of {self.path}: {self.format!r}. Use one of {', '.join(formats)}."
            )
        if self.condition is not None:
            parse_condition(self.condition)
        if self.columns is not None:
            check_columns(self.columns)
        if self.ignore_columns is not None:
            self.ignore_columns = check_ignored(self.ignore_columns, self.path)

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


def check_columns(columns: Mapping[str, str]) -> None:
    """Check the mapping `columns` of a data set. Raises UserError for a key that is a column of no schema."""
    example = "{'prompt': 'question', 'response': 'answer'}"
    if not isinstance(columns, Mapping) or not all(isinstance(theirs, str) for theirs in columns.values()):
        raise UserError(
            f"invalid value for `columns`: {columns!r}. Use a mapping from schema columns to your columns, as in {example}."
        )
    known = dict.fromkeys((*COLUMNS, *PREFERENCE_COLUMNS))
    for name in columns:
        if name not in known:
            hint = nearest_column(str(name), known)
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
        elif name not in _MAY_LACK:
            raise RowError(f"column `{theirs}` is missing: {nearest_column(theirs, row)}")
    return renamed
