"""Readers of published preference data sets by name: `format: hh_rlhf` in a data set of a recipe; `PREFERENCE_FORMATS` has all names.

Where scored answers have rows of their own, consecutive rows with the same prompt become one row of ranked answers:

{"prompt": "2+2?", "response": "5", "score": 1}
{"prompt": "2+2?", "response": "4", "score": 9}   ->  {"prompt": "2+2?", "response": ["5", "4"], "score": [1, 9]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hrm_align.data.named_readers import NamedReader
from hrm_align.data.preferences import PREFERENCE_SCHEMAS, SCORED, check_scored
from hrm_align.data.rows import BadRow, Row, make_bad_row
from hrm_align.data.schemas import RowError, Schema, column
from hrm_align.data.strict_json import require_text


class PreferenceReader(NamedReader):
    """Reader of the preference rows of one published data set."""

    @property
    def base(self) -> Schema:
        """The schema of the rows, once their columns are renamed."""
        return PREFERENCE_SCHEMAS[self.schema]

    @property
    def required(self) -> tuple[str, ...]:
        """Published columns that every row must have."""
        return tuple(theirs for name, theirs in self.columns.items() if name in ("prompt", *self.base.required))


_STEERED = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")  # between the turns of a prompt of HelpSteer


def _helpsteer(row: Mapping[str, Any], renamed: dict[str, Any], source: str) -> dict[str, Any]:
    """Split a prompt of several turns into messages."""
    parts = ["User", *_STEERED.split(require_text(row["prompt"], "prompt"))]
    if len(parts) == 2:
        return renamed
    turns = [{"role": speaker.lower(), "content": text} for speaker, text in zip(parts[::2], parts[1::2], strict=True)]
    if turns[-1]["role"] == "assistant" and not turns[-1]["content"].strip():  # the turn to write
        turns.pop()
    return {**renamed, "prompt": turns}


def _compared(
    first: str, second: str, strength: str
) -> Callable[[Mapping[str, Any], dict[str, Any], str], dict[str, Any]]:
    """Return a function that ranks two answers by a number that is below 0 where the first is better, as in HelpSteer."""

    def convert(row: Mapping[str, Any], renamed: dict[str, Any], source: str) -> dict[str, Any]:
        responses = [column(row, name) for name in (first, second)]
        renamed = _helpsteer(row, renamed, source) if isinstance(row.get("prompt"), str) else renamed
        return {**renamed, "responses": responses, "scores": [0, column(row, strength)]}

    return convert


_PAIR = {"chosen": "chosen", "rejected": "rejected"}
_SCORES = {"score_chosen": "score_chosen", "score_rejected": "score_rejected"}

PREFERENCE_READERS: dict[str, PreferenceReader] = {
    "ultrafeedback_binarized": PreferenceReader(
        "path: HuggingFaceH4/ultrafeedback_binarized, split: train_prefs",
        "preference",
        {"prompt": "prompt", **_PAIR, **_SCORES},
        ("prompt_id", "messages"),
        about="the prompt is the messages before the last",
    ),
    "hh_rlhf": PreferenceReader(
        "path: Anthropic/hh-rlhf", "preference", _PAIR, about="the prompt is the dialogue before the last answer"
    ),
    "orca_dpo_pairs": PreferenceReader(
        "path: Intel/orca_dpo_pairs", "preference", {"system": "system", "prompt": "question", **_PAIR}
    ),
    "helpsteer2": PreferenceReader(
        "path: nvidia/HelpSteer2",
        SCORED,
        {"prompt": "prompt", "response": "response", "score": "helpfulness"},
        ("correctness", "coherence", "complexity", "verbosity"),
        _helpsteer,
        about="answers to one prompt in consecutive rows are ranked by their helpfulness; also reads HelpSteer",
    ),
    "helpsteer2_preference": PreferenceReader(
        "path: nvidia/HelpSteer2, data_files: preference/preference.jsonl.gz",
        "ranked",
        {"prompt": "prompt"},
        (
            "split",
            "preference_statement",
            "preference_elaboration",
            "three_most_similar_preferences",
            "all_preferences_unprocessed",
        ),
        _compared("response_1", "response_2", "preference_strength"),
        ("response_1", "response_2", "preference_strength"),
        "the strength of the preference is the difference of the scores",
    ),
    "helpsteer3": PreferenceReader(
        "path: nvidia/HelpSteer3, name: preference",
        "ranked",
        {"prompt": "context", "group": "domain"},
        ("language", "individual_preference"),
        _compared("response1", "response2", "overall_preference"),
        ("response1", "response2", "overall_preference"),
        "the strength of the preference is the difference of the scores",
    ),
}

PREFERENCE_FORMATS: dict[str, Schema] = PREFERENCE_SCHEMAS | {
    name: Schema(reader.required, reader.read, reader.optional, reader.base.kind)
    for name, reader in PREFERENCE_READERS.items()
}

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
