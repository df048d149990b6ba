"""The rows of a data set as a grader receives them, with texts that must be rewarded and texts that must not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hrm_align.data.examples import Example
from hrm_align.data.readers import BadRow
from hrm_align.data.sources import read_rows
from hrm_align.errors import UserError
from hrm_align.rendering import Message

AROUND = "Here is my answer:\n\n```{language}\n{text}\n```\n\nI hope that helps."


@dataclass
class Case:
    """A row with the texts to grade.

    Args:
        example: the row.
        texts: form -> text. A form that starts with `wrong: ` must not be rewarded, `open: ` has no known verdict, and
            any other form must be rewarded.
        facts: what a peer needs, such as the tests of the row.
    """

    example: Example
    texts: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)


def expected_value(form: str) -> float | None:
    """Return the value that a text of a form must get; None if no verdict is known."""
    return None if form.startswith("open: ") else 0.0 if form.startswith("wrong: ") else 1.0


def build_case(
    source: str,
    prompt: str,
    reference: str,
    texts: Mapping[str, str | None],
    facts: Mapping[str, Any] = {},
    grading: Mapping[str, Any] = {},
) -> Case:
    """Build a case of a prompt and a reference; texts that are None are left out."""
    example = Example((Message("user", prompt),), Message("assistant", reference), "direct", source, None, grading)
    return Case(example, {form: text for form, text in texts.items() if text is not None}, dict(facts))


def fenced(text: str, language: str = "") -> str:
    """Return a text in a code fence, with a sentence before and after it."""
    return AROUND.format(language=language, text=text)


def read_file_rows(path: Path) -> list[tuple[dict[str, Any], str]]:
    """Read the rows of a JSON or JSONL file with their places. Raises UserError for a malformed row.

    A `.json` file that does not start with `[` has a row on each line, as those of BFCL.
    """
    if path.suffix == ".json" and not (text := path.read_text(encoding="utf-8")).lstrip().startswith("["):
        lines = enumerate(text.splitlines(), start=1)
        return [(json.loads(line), f"{path}:{number}") for number, line in lines if line.strip()]
    rows = []
    for row in read_rows(path):
        if isinstance(row, BadRow):
            raise UserError(f"{row.source}: {row.reason}. Download {path.name} again.")
        rows.append((row.data, row.source))
    return rows


@dataclass(frozen=True)
class Source:
    """A public data set.

    Args:
        name: as in the table.
        files: names of files or folders, of which one must be in the data folder; each may also end with `.gz`.
        graders: names of the graders to measure.
        read: builds the cases from the path of the file or folder.
        address: where to download the data.
        licence: licence of the data.
        peers: names of other graders (`conformance.peers.PEERS`).
    """

    name: str
    files: tuple[str, ...]
    graders: tuple[str, ...]
    read: Callable[[Path], list[Case]]
    address: str
    licence: str
    peers: tuple[str, ...] = ()

    def find(self, folder: Path) -> Path | None:
        """Return the path of the data in a folder; None if they are not there."""
        names = [name + suffix for name in self.files for suffix in ("", ".gz")]
        return next((folder / name for name in names if (folder / name).exists()), None)
