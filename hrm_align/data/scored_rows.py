"""Scored answers in rows of their own: consecutive rows with the same prompt become one row of ranked answers.

{"prompt": "2+2?", "response": "5", "score": 1}
{"prompt": "2+2?", "response": "4", "score": 9}   ->  {"prompt": "2+2?", "response": ["5", "4"], "score": [1, 9]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hrm_align.data.preference_readers import PREFERENCE_READERS
from hrm_align.data.preferences import SCORED, check_scored
from hrm_align.data.rows import BadRow, Row, make_bad_row
from hrm_align.data.schemas import RowError

LISTED = ("response", "score")


def merge_scored(
    rows: Iterable[Row | BadRow], schema: str | None, columns: Mapping[str, str]
) -> Iterator[Row | BadRow]:
    """Merge consecutive rows with the same prompt; rows of other schemas pass through.

    A row whose own answer, score or prompt cannot be used is returned as a bad row, and does not cost the others of its prompt.

    Args:
        rows: the rows of a data set.
        schema: its schema.
        columns: its mapping from the schema's column names to the data's.
    """
    reader = PREFERENCE_READERS.get(schema or "")
    if schema != SCORED and (reader is None or reader.schema != SCORED):
        yield from rows
        return
    names = {name: columns.get(name, name) for name in ("prompt", *LISTED)} if reader is None else dict(reader.columns)
    group: list[Row] = []
    for row in rows:
        if isinstance(row, Row):
            try:
                check_scored({name: row.data[theirs] for name, theirs in names.items() if theirs in row.data})
            except RowError as error:
                yield make_bad_row(row.source, error, json.dumps(row.data, ensure_ascii=False, default=str))
                continue
        else:
            yield row
            continue
        if group and group[0].data[names["prompt"]] != row.data[names["prompt"]]:
            yield _merged(group, names)
            group = []
        group.append(row)
    if group:
        yield _merged(group, names)


def _merged(group: list[Row], names: Mapping[str, str]) -> Row:
    first = group[0]
    lists: dict[str, Any] = {names[name]: [row.data[names[name]] for row in group] for name in LISTED}
    return Row(first.data | lists, first.source, len(group))
