"""Columns that no schema reads: metadata are counted as unused, and columns that carry meaning are refused by name.

    {"prompt", "response", "id", "label"}  ->  `id` is unused; `label` ends the reading with an error, unless it is ignored

A name is metadata by its last word: `id`, `prompt_id`, `num_tokens`, `sourceUrl`. A text that repeats a text of the row, such as `prompt`
beside `messages`, is a copy, and unused too. Everything else must be mapped with `columns` or left out with `ignore_columns`, so that
nothing a row says about its answer is lost silently.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.messages import is_absent

_METADATA = """
id uid uuid guid idx index key hash md5 sha sha1 sha256 fingerprint unnamed number name title url urls uri link href path file filename
page section chapter line row source sources origin dataset subset split license licence copyright author authors annotator annotators
worker user date time timestamp created updated year version revision lang language locale country category categories subcategory tag
tags topic topics subject subjects domain genre type kind level difficulty model generator engine temperature score scores rating ratings
rank quality likes upvotes downvotes downloads views tokens length len chars characters words count counts metadata meta info extra
comment comments note notes toxic toxicity redacted moderation status
"""
METADATA = frozenset(_METADATA.split())  # last words of the names of metadata
_COUNTS = frozenset(("num", "n", "nb"))  # first words of the names of counts
_SETTINGS = ("parallel_tool_calls",)  # of a request in OpenAI's form
_PICTURES = "image images img picture pictures photo pixel pixels audio audios sound speech video videos frame frames"
_MEDIA = frozenset(_PICTURES.split())
PREFERENCE = "preference rows are for `hrm-align dpo`, `hrm-align kto` and `hrm-align reward`, which learn from a chosen and a rejected answer"
_MEDIUM = "only text can be rendered, so the answer would be learnt without what it is about"
# What the columns that other trainers read would have meant.
MEANINGS: Mapping[str, str] = {
    **dict.fromkeys(("chosen", "rejected"), PREFERENCE),
    "label": "in KTO's rows it says whether the answer is good, and a bad answer would be learnt as a good one; `hrm-align kto` "
    "reads them, or keep the rows with true",
    "labels": "labels or token ids of a tokenized data set are not read",
    **dict.fromkeys(("input_ids", "token_ids", "attention_mask"), "tokenized rows are not read; give the texts"),
    "context": "it stands before a question in a column of its own, and not beside messages; write it into a message",
    "history": "it holds the turns before a question in a column of its own; write them into the messages",
}
MESSAGES = "messages"  # in `ignore_columns`, the messages of a row in whatever column they stand
TURN_COLUMNS = (MESSAGES, "conversations", "prompt", "completion", "history", "chosen", "rejected")


@lru_cache(maxsize=4096)
def is_metadata(name: str) -> bool:
    """Return whether a name is that of metadata: it ends in a word of `METADATA` and names no picture or sound."""
    words = re.split(r"[\W_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
    words = [word for word in words if word and not word.isdigit()]
    if not words or _MEDIA.intersection(words):
        return False
    return name in _SETTINGS or words[-1] in METADATA or words[0] in _COUNTS


@dataclass
class Unread:
    """A column that is refused.

    Args:
        first: place of the first row that has it.
        rows: number of rows that have it.
    """

    first: str
    rows: int = 0


@dataclass
class ColumnCheck:
    """Columns of the rows of one data set that its schema does not read.

    Args:
        known: columns that need no look: those that the schema reads or that are ignored; metadata are added when they are met.
        labels: columns that the reader of a published data set leaves out, which count as metadata.
    """

    known: set[str]
    labels: Collection[str] = ()
    unused: set[str] = field(default_factory=set)
    refused: dict[str, Unread] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any], source: str, examples: Sequence[Example]) -> None:
        """Check the columns of a row that are not known.

        Args:
            row: values by the file's column names.
            source: place of the row.
            examples: the examples of the row, whose texts a column may repeat.
        """
        for name in row.keys() - self.known:
            if name in self.labels or (name not in MEANINGS and is_metadata(name)):
                self.known.add(name)
                self.unused.add(name)
            elif is_absent(row[name]) or (name not in MEANINGS and _is_copy(row[name], examples)):
                self.unused.add(name)
            else:
                self.refused.setdefault(name, Unread(source)).rows += 1

    def merge(self, later: ColumnCheck) -> None:
        """Add what another check has found in later rows of the same data set."""
        self.known |= later.known
        self.unused |= later.unused
        for name, unread in later.refused.items():
            self.refused.setdefault(name, Unread(unread.first)).rows += unread.rows

    @property
    def unused_columns(self) -> list[str]:
        """Names of the columns that are not read and carry no meaning, sorted."""
        return sorted(self.unused - self.refused.keys())

    def describe(self, path: str, schema: str | None) -> str:
        """Return an error about all refused columns, with the option that leaves them out; "" without any.

        Args:
            path: path of the data set.
            schema: name of its schema.
        """
        if not self.refused:
            return ""
        several = len(self.refused) > 1
        lines = [f"{path} has {'columns' if several else 'a column'} that its schema {schema} does not read:"]
        for name, unread in sorted(self.refused.items()):
            medium = _MEDIUM if _MEDIA.intersection(re.split(r"[\W_]+", name.lower())) else ""
            meaning = MEANINGS.get(name) or medium
            rows = f"{unread.rows:,} row{'s' if unread.rows > 1 else ''}"
            lines.append(f"  `{name}` ({unread.first}, {rows}){f': {meaning}' if meaning else ''}")
        lines.append(
            f"Map {'each' if several else 'it'} to a column of the schema with `columns`, or leave {'them' if several else 'it'} out "
            f"with --ignore_columns {shlex.join(sorted(self.refused))}"
        )
        return "\n".join(lines)


def _is_copy(value: Any, examples: Sequence[Example]) -> bool:
    """Return whether a value is a text of the row, or a list of messages with texts of the row."""
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        contents = [item.get("content", item.get("value")) for item in value]
    else:
        contents = [value]
    texts = {text.strip() for example in examples for text in _texts(example)}
    return all(isinstance(text, str) and text.strip() in texts for text in contents)


def _texts(example: Example) -> Iterable[str]:
    yield from (message.content for message in (*example.messages, example.answer))
    if example.rejected is not None:
        yield example.rejected.content
    references = example.grading.get("references")
    yield from (text for text in (references if isinstance(references, list) else ()) if isinstance(text, str))


def check_ignored(ignored: Any, path: str) -> list[str]:
    """Return the value of `ignore_columns` as a list of names; a text holds one name, or several with commas.

    Raises:
        UserError: for another value.
    """
    names = [ignored] if isinstance(ignored, str) else ignored
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError(
            f"invalid value for `ignore_columns` of {path}: {ignored!r:.60}. Use a list of columns, or of keys of messages, as in "
            "[label, messages.name]."
        )
    parts = [part.strip() for name in names for part in (name, *(name.split(",") if "," in name else ()))]
    return [*dict.fromkeys(part for part in parts if part)]


def drop_ignored(row: Mapping[str, Any], ignored: Collection[str], columns: Mapping[str, str]) -> dict[str, Any]:
    """Return a row without the ignored columns and without the ignored keys of its messages.

    Args:
        row: values by the file's column names.
        ignored: names of columns, and `COLUMN.KEY` for a key of each message in a column; `messages.KEY` is a key of all messages.
        columns: mapping from the schema's column names to the file's.
    """
    remaining = {name: value for name, value in row.items() if name not in ignored}
    for entry in ignored:
        name, dot, key = entry.partition(".")
        for turns in (TURN_COLUMNS if name == MESSAGES else (name,)) if dot else ():
            theirs = columns.get(turns, turns)
            if isinstance(remaining.get(theirs), list):
                remaining[theirs] = [_without(item, key) for item in remaining[theirs]]
    return remaining


def _without(item: Any, key: str) -> Any:
    return {name: value for name, value in item.items() if name != key} if isinstance(item, Mapping) else item
