"""Examples before tokenization, the examples of a run, and the row counts of its data sets."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from hrm_align.rendering import Message, tool_call_text

if TYPE_CHECKING:
    from hrm_align.data.stream_chunks import StreamPlan


# Kinds of examples that a run reads: answers to imitate or to grade against (SFT, GRPO), pairs (DPO, reward models), labelled answers (KTO).
ANSWERS, PAIRS, LABELS = KINDS = ("answers", "pairs", "labels")
REFERENCES = "references"  # answers to grade against, which the chosen answers of pairs are, too


@dataclass(frozen=True, slots=True)
class Example:
    """One answer to train on or to grade against, with its prompt; of preference rows a pair of answers, or an answer with a label.

    Args:
        messages: the prompt: system, user, tool and earlier assistant messages, in order.
        answer: the assistant message to learn; blank if the row has only a prompt. Of a pair, the chosen answer.
        condition: condition tag or composite (`"direct"`, `"synth,cot"`).
        source: place of the row: `file:line`, or `dataset[index]`.
        group: label of the row for tables of results (its `group` or `task` column), or None.
        grading: data for a grader in addition to the reference (the row's `grading` column), such as a database or
            tests.
        rejected: the worse answer to the same prompt, of a pair; None otherwise.
        desirable: whether the answer is a good one, of a labelled answer; None otherwise.
        margin: of a pair, by how much the chosen answer is better (the row's `margin`), or None.
    """

    messages: tuple[Message, ...]
    answer: Message
    condition: str
    source: str
    group: str | None = None
    grading: Mapping[str, Any] = field(default_factory=dict, hash=False)
    rejected: Message | None = None
    desirable: bool | None = None
    margin: float | None = None

    @property
    def reference(self) -> str:
        """The reference answer as decoded text, tool calls included."""
        calls = "".join(f"<tool_call>{tool_call_text(call)}</tool_call>" for call in self.answer.tool_calls)
        return self.answer.content + calls


NO_CONDITION = 'A row without a condition gets the default of its reader: read this file with --condition "".'


def to_rows(examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Return rows of the schema `messages` that read back as these examples, one for each row that they were read from.

    Of a pair the row has the chosen answer, as a reference for graders; undesirable answers are left out.

    The column `source` has the place of the original row, which no schema reads. A database beside the original file is named by
    its absolute path. Examples without a condition have no such column: see NO_CONDITION.
    """
    by_source: dict[str, list[Example]] = {}
    for example in examples:
        if example.desirable is False:
            continue
        by_source.setdefault(example.source, []).append(example)
    return [_to_row(turns) for turns in by_source.values()]


def _to_row(turns: Sequence[Example]) -> dict[str, Any]:
    last = max(turns, key=lambda example: len(example.messages))
    trained = {len(example.messages) for example in turns}
    messages = [
        _to_dict(message, message.role == "assistant" and index not in trained)
        for index, message in enumerate((*last.messages, last.answer))
    ]
    optional = {"condition": last.condition, "group": last.group, "grading": _with_absolute_database(last)}
    return {"messages": messages, **{k: v for k, v in optional.items() if v}, "source": last.source}


def _to_dict(message: Message, is_history: bool) -> dict[str, Any]:
    calls = {"tool_calls": list(message.tool_calls)} if message.tool_calls else {}
    return {"role": message.role, "content": message.content, **calls, **({"weight": 0} if is_history else {})}


def _with_absolute_database(example: Example) -> dict[str, Any]:
    grading = dict(example.grading)
    if isinstance(grading.get("database"), str):
        beside = os.path.join(os.path.dirname(example.source), os.path.expanduser(grading["database"]))
        grading["database"] = os.path.abspath(beside) if os.path.exists(beside) else grading["database"]
    return grading


@dataclass
class DatasetCounts:
    """Row counts of one data set.

    Args:
        path: path of the data set, as in its `DatasetSpec`.
        format: name of the rows' schema; None if no row could be read.
        rows_read: number of rows, bad ones included.
        rows_bad: number of unusable rows.
        examples: number of examples after `fraction`.
        bad_by_reason: number of bad rows by kind of fault.
        first_bad: the first bad rows, as `file:line: reason`.
        unused_columns: columns that the schema does not read: metadata, and copies of other columns.
        ignored_columns: the data set's `ignore_columns`.
        fingerprint: hash of the usable rows in order, 16 hexadecimal digits, independent of the file format.
        local: whether the data set is on this machine; otherwise `path` is a Hub id.
        conditions: number of examples by condition, after `fraction`.
        rows_weight_0: number of rows whose `weight` is 0, which are not used.
        left_out: number of sound preference rows that are not used, by the reason.
        rows_damaged: number of rows with damaged text, before `fraction`.
        damage: rows with damaged text by kind, with the first of them, as from `DamageReport.to_dict`; before `fraction`.
    """

    path: str
    format: str | None = None
    rows_read: int = 0
    rows_bad: int = 0
    examples: int = 0
    bad_by_reason: dict[str, int] = field(default_factory=dict)
    first_bad: list[str] = field(default_factory=list)
    unused_columns: list[str] = field(default_factory=list)
    ignored_columns: list[str] = field(default_factory=list)
    fingerprint: str | None = None
    local: bool = True
    conditions: dict[str, int] = field(default_factory=dict)
    rows_weight_0: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    rows_damaged: int = 0
    damage: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class DataCounts:
    """Row counts of a mixture, one entry per data set."""

    datasets: list[DatasetCounts]

    @property
    def rows_read(self) -> int:
        """Number of rows, bad ones included."""
        return sum(counts.rows_read for counts in self.datasets)

    @property
    def rows_bad(self) -> int:
        """Number of unusable rows."""
        return sum(counts.rows_bad for counts in self.datasets)

    @property
    def rows_damaged(self) -> int:
        """Number of rows with damaged text."""
        return sum(counts.rows_damaged for counts in self.datasets)

    @property
    def examples(self) -> int:
        """Number of examples of the mixture."""
        return sum(counts.examples for counts in self.datasets)

    @property
    def bad_by_reason(self) -> dict[str, int]:
        """Number of bad rows by kind of fault, the most frequent first."""
        return dict(sum((Counter(counts.bad_by_reason) for counts in self.datasets), Counter()).most_common())

    def describe_unused(self) -> list[str]:
        """Return a line for each data set with columns, or rows of weight 0, that are not used."""
        lines = []
        for part in self.datasets:
            if part.unused_columns:
                lines.append(f"Unused columns of {part.path}: {', '.join(part.unused_columns)}.")
            if part.ignored_columns:
                lines.append(f"Ignored columns of {part.path}: {', '.join(part.ignored_columns)}.")
            if part.rows_weight_0:
                lines.append(
                    f"{part.rows_weight_0:,} of {part.rows_read:,} rows of {part.path} have weight 0 and are not used."
                )
            for reason, rows in part.left_out.items():
                lines.append(f"{rows:,} of {part.rows_read:,} rows of {part.path} have {reason}, and are not used.")
        return lines

    @property
    def damage(self) -> dict[str, dict[str, Any]]:
        """Rows with damaged text by kind, as `DatasetCounts.damage`, over all data sets."""
        total: dict[str, dict[str, Any]] = {}
        for counts in self.datasets:
            for kind, part in counts.damage.items():
                known = total.setdefault(kind, {"rows": 0, "first": []})
                known["rows"] += part["rows"]
                known["first"] = (known["first"] + part["first"])[: max(len(known["first"]), len(part["first"]))]
        return total

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain JSON values, for run/data.json."""
        totals = {name: getattr(self, name) for name in ("rows_read", "rows_bad", "examples", "bad_by_reason")}
        return {**totals, "datasets": [asdict(counts) for counts in self.datasets]}


@dataclass
class RunData:
    """Examples of a run, and the counts of its rows.

    Args:
        train: training examples, replay included.
        held_out: examples for evaluation.
        guard: guard examples (capabilities that must not degrade), by the path of their data set.
        account: row counts and dropped rows, for run/data.json.
        stream: what is streamed in place of `train`, which is then empty; None otherwise.
    """

    train: Sequence[Example]
    held_out: Sequence[Example]
    guard: dict[str, Sequence[Example]] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    stream: StreamPlan | None = None
