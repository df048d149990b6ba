"""A data set row before tokenization; the examples of a run, and the counts of the rows that they came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hrm_align.rendering import Message, tool_call_text


@dataclass(frozen=True, slots=True)
class Example:
    """One answer to learn, with everything that is read before it.

    Args:
        messages: the prompt: system, user, tool and earlier assistant messages, in order.
        answer: the assistant message to learn; blank where the row has only a prompt.
        condition: condition tag or composite (`"direct"`, `"synth,cot"`).
        source: where the row stands: `file:line`, or `dataset[index]`.
        group: the row's own label for tables of results (its `group` or `task` column), if it has one.
        grading: what a grader needs beside the right answer (its `grading` column): a database, tests.
    """

    messages: tuple[Message, ...]
    answer: Message
    condition: str
    source: str
    group: str | None = None
    grading: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def reference(self) -> str:
        """The right answer as the decoder would print it, tool calls included."""
        calls = "".join(f"<tool_call>{tool_call_text(call)}</tool_call>" for call in self.answer.tool_calls)
        return self.answer.content + calls


@dataclass
class DatasetCounts:
    """What became of the rows of one data set.

    Args:
        path: as in its `DatasetSpec`.
        format: the schema of its rows; None if no row could be read.
        rows_read: all rows, bad ones included.
        rows_bad: those that cannot be used.
        examples: what its rows gave, after `fraction`.
        bad_by_reason: bad rows by the kind of their fault.
        unused_columns: columns that no schema reads.
        fingerprint: 16 hexadecimal digits of the usable rows in their order, whatever file format they came in.
        local: whether it is on this machine; else its path is an id of the Hub.
        conditions: the examples, after `fraction`, by condition.
    """

    path: str
    format: str | None = None
    rows_read: int = 0
    rows_bad: int = 0
    examples: int = 0
    bad_by_reason: dict[str, int] = field(default_factory=dict)
    unused_columns: list[str] = field(default_factory=list)
    fingerprint: str | None = None
    local: bool = True
    conditions: dict[str, int] = field(default_factory=dict)


@dataclass
class DataCounts:
    """What became of the rows of a mixture, data set by data set."""

    datasets: list[DatasetCounts]

    @property
    def rows_read(self) -> int:
        """All rows, bad ones included."""
        return sum(counts.rows_read for counts in self.datasets)

    @property
    def rows_bad(self) -> int:
        """Rows that cannot be used."""
        return sum(counts.rows_bad for counts in self.datasets)

    @property
    def examples(self) -> int:
        """Examples of the mixture."""
        return sum(counts.examples for counts in self.datasets)

    @property
    def bad_by_reason(self) -> dict[str, int]:
        """Bad rows by the kind of their fault, the most frequent first."""
        return dict(sum((Counter(counts.bad_by_reason) for counts in self.datasets), Counter()).most_common())

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain JSON, for run/data.json."""
        totals = {name: getattr(self, name) for name in ("rows_read", "rows_bad", "examples", "bad_by_reason")}
        return {**totals, "datasets": [asdict(counts) for counts in self.datasets]}


@dataclass
class RunData:
    """What a run learns from and is measured on.

    Args:
        train: examples to learn, replay among them.
        held_out: examples to evaluate.
        guard: examples that must not be forgotten, by the path of their data set.
        account: what became of the rows, for run/data.json.
    """

    train: list[Example]
    held_out: list[Example]
    guard: dict[str, list[Example]] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)
