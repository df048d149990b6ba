"""Result of a preflight: what `hrm_align.rewards.preflight` counts, shows and warns about, and which rows fail."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hrm_align.data.damage import describe_damage
from hrm_align.errors import UserError
from hrm_align.rewards.answer_forms import FormReport
from hrm_align.rewards.pairs import PairReport
from hrm_align.rewards.reading import FALLBACKS
from hrm_align.rewards.suite import OWN_ROW_SECONDS

UNGRADABLE_SHARE = 0.01  # a larger share of ungradable references is a warning, also where the settings allow the share
TEXT_CHARACTERS, READ_CHARACTERS = 28, 19  # of a text and of what was read from the text, in a line of 80 characters


class FaultKind(NamedTuple):
    """A kind of fault of a row.

    Args:
        sentence: what is wrong, with the row as its subject.
        fails: whether a row with this fault fails the preflight. A row whose reference has no value by one reward fails
            only if no other reward gives a value.
        remedy: what to do.
    """

    sentence: str
    fails: bool
    remedy: str


MORE_TIME = (
    "Give more time with `reward_deadline` (`--deadline` of `hrm-align rewards`), of which a row of a built-in reward "
    f"gets {OWN_ROW_SECONDS:g} seconds at most, or leave the row out"
)
FAULTS = {
    "ungradable": FaultKind(
        "the reference cannot be graded", True, "Correct the reference, or choose a reward that can grade it"
    ),
    "gold_fails": FaultKind("the reference does not get 1", True, "Correct the reference or the options of the reward"),
    "corrupted_passes": FaultKind(
        "a wrong answer does not get 0", True, "Make the row distinguish answers (more tests, more data), or leave it out"
    ),
    "late": FaultKind("the reference is not graded in time", True, MORE_TIME),
    "reward_fails": FaultKind("the reward fails on the reference", True, "Correct the reward or the row"),
    # A completion on which a built-in reward fails or is late gets 0, as a wrong answer should. So these do not fail.
    "corrupted_late": FaultKind("a wrong answer is not graded in time, which says nothing about the row", False, MORE_TIME),
    "corrupted_fails": FaultKind(
        "a wrong answer is not graded, which says nothing about the row", False, "Look at the failure of the reward"
    ),
}  # fmt: skip

DOUBTS = {  # about references that can be graded; they do not fail a row
    "undetermined": "the reference has several correct results",
    "empty": "the reference has an empty result",
    "any_value": "the schema of the row allows everything",
}
NAMED_DOUBTS = 100  # rows with a doubt that the report lists, for each kind


@dataclass
class Reading:
    """What a reward reads from the reference of a row and from the corrupted reference.

    Args:
        source: place of the row, `file:line`.
        reference: the reference.
        read: the text that the reward graded in the reference; None if it read no text, or the whole text.
        value: value of the reference; None if it cannot be graded.
        corrupted: the corrupted reference; None if the reference has no value.
        corrupted_read: the text that the reward graded in the corrupted reference.
        corrupted_value: value of the corrupted reference.
    """

    source: str
    reference: str
    read: str | None
    value: float | None
    corrupted: str | None = None
    corrupted_read: str | None = None
    corrupted_value: float | None = None

    def lines(self) -> Iterator[str]:
        """Yield one line for each of the two texts, of less than 80 characters."""
        yield _describe_reading("reference", self.reference, self.read, self.value)
        if self.corrupted is not None:
            yield _describe_reading("corrupted", self.corrupted, self.corrupted_read, self.corrupted_value)


def _describe_reading(name: str, text: str, read: str | None, value: float | None) -> str:
    gets = "no value" if value is None else f"{value:g}"
    whole = read is not None and read.strip() == text.strip()
    shown = "a whole" if whole else "nothing" if read is None else _shorten(read, READ_CHARACTERS)
    return f"  {name} gets {gets}: {_shorten(text, TEXT_CHARACTERS)} read as {shown}"


def _shorten(text: str, characters: int) -> str:
    """Return a text in quotes, in one line, at most `characters` long: the start and the end of a longer text."""
    shown = " ".join(text.split())
    if len(shown) > characters - 2:
        half = (characters - 5) // 2
        shown = f"{shown[:half]}...{shown[-half:]}"
    return f"'{shown}'"


@dataclass
class RewardReport:
    """Result of a preflight for one reward.

    Args:
        verifiable: whether the reward distinguishes correct answers from wrong ones; for other rewards, only the mean
            is reported.
        rows: number of rows checked.
        failed: number of rows on which the reward raised an exception, hung, died or returned no number.
        gradable: number of references that got a number.
        mean: mean of those numbers; None without any.
        counts: fault (a key of `FAULTS`) -> number of rows.
        first: fault -> the first row with the fault, as `file:line: reason`.
        read_by: rule that found the answer (`hrm_align.rewards.reading`) -> number of graded references; empty for a
            reward that reads the whole text.
        first_read_by: rule -> `file:line` of the first reference that it found the answer of.
        readings: what was read in the first rows with a reference.
        corrupted_again: number of rows whose first corrupted reference got 1 and the second one 0: the first is taken
            to be equal to the reference, as `\\log_4 1` is to `\\log_3 1`.
        doubts: kind of a doubt about references (a key of `DOUBTS`) -> all rows with it, as `file:line: sentence`.
    """

    verifiable: bool
    rows: int = 0
    failed: int = 0
    gradable: int = 0
    mean: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    read_by: dict[str, int] = field(default_factory=dict)
    first_read_by: dict[str, str] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    corrupted_again: int = 0
    doubts: dict[str, list[str]] = field(default_factory=dict)

    def add_fault(self, fault: str, line: str) -> None:
        """Count a fault of a row, and remember the first row with the fault."""
        self.counts[fault] = self.counts.get(fault, 0) + 1
        self.first.setdefault(fault, line)

    def describe_fallbacks(self) -> str:
        """Return a sentence about references whose answers are not marked; empty if there are none beside marked ones.

        References that are all read as a whole are bare answers.
        """
        unmarked = {rule: self.read_by[rule] for rule in FALLBACKS if self.read_by.get(rule)}
        if not unmarked or self.read_by == {"whole text": self.gradable}:
            return ""
        counts = ", ".join(f"{count:,} {FALLBACKS[rule]}" for rule, count in unmarked.items())
        place = next((self.first_read_by[rule] for rule in unmarked if rule in self.first_read_by), "")
        return (
            f"{sum(unmarked.values()):,} of {self.gradable:,} references mark no answer, and are read by a fallback "
            f"({counts}{f'; first {place}' if place else ''}). Check these references, or mark their answers: with "
            "\\boxed{} or ####, or in a code fence."
        )


@dataclass
class PreflightReport:
    """Result of a preflight.

    Args:
        rows: number of rows checked.
        failing: number of rows with a fault that fails (`FAULTS`): rows that no verifiable reward can grade, or whose
            reference does not get 1 from a verifiable reward, or not in time, or whose corrupted reference does not
            get 0.
        ungraded: number of rows whose reference gets no value by any verifiable reward; without verifiable rewards, by
            any reward.
        first_ungraded: the first such row, as `reward: file:line: reason`; empty if there is none.
        rewards: name of the reward -> its report.
        named: the first failing rows, as `reward: file:line: reason`.
        faults: name of the reward -> kind of failure -> number of failures of the reward itself.
        first_fault: name of the reward -> kind of failure -> the first such failure, as `file:line: description`; for
            an exception in a user's function, the description has the line of the function.
        pairs: name of the judge -> what it made of pairs of answers whose order is known.
        forms: form of answers (`answer_forms.FORMS`) -> prompts that request it, and references that have it.
        damage: rows with damaged text by kind, as from `hrm_align.data.damage.check_rows`; such a row fails nothing by
            itself.
        warnings: sentences that do not fail the preflight, each with what to do.
    """

    rows: int = 0
    failing: int = 0
    ungraded: int = 0
    first_ungraded: str = ""
    rewards: dict[str, RewardReport] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    faults: dict[str, dict[str, int]] = field(default_factory=dict)
    first_fault: dict[str, dict[str, str]] = field(default_factory=dict)
    pairs: dict[str, PairReport] = field(default_factory=dict)
    forms: dict[str, FormReport] = field(default_factory=dict)
    damage: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-serializable objects."""
        return asdict(self)

    def find_warnings(self) -> list[str]:
        """Return sentences about fallbacks, ungradable references, and forms that prompts and references do not share."""
        fallbacks = ((name, report.describe_fallbacks()) for name, report in self.rewards.items())
        return [
            *filter(None, [self._describe_ungraded()]),
            *(f"{name}: {sentence}" for name, sentence in fallbacks if sentence),
            *(sentence for form in self.forms.values() for sentence in form.describe_warnings()),
        ]

    def _describe_ungraded(self) -> str:
        """Return a sentence about rows without a gradable reference, if their share is above `UNGRADABLE_SHARE`."""
        if self.ungraded <= UNGRADABLE_SHARE * self.rows:
            return ""
        return (
            f"{self.ungraded:,} of {self.rows:,} references ({self.ungraded / self.rows:.1%}) cannot be graded, so their "
            f"rows carry no signal (first {self.first_ungraded.rstrip('.')}). Correct these references, leave their rows "
            "out, or choose a reward that can grade them."
        )

    def require(self, max_fraction: float | None) -> None:
        """Check that few enough rows fail, and that no reward failed on every row.

        Args:
            max_fraction: largest share of failing rows. None means 0 for a caller without such a setting; the error
                then does not suggest the setting.

        Raises:
            UserError: if a reward failed on every row, or a larger share of the rows fails.
        """
        self._require_working_rewards()
        for name, pairs in self.pairs.items():
            pairs.require(name)
        if self.failing <= (max_fraction or 0) * self.rows:
            return
        named = "".join(f"\n  {line}" for line in self.named)
        more = f"\n  and {self.failing - len(self.named):,} more" if self.failing > len(self.named) else ""
        share = math.ceil(1000 * self.failing / self.rows) / 1000
        allow = f", or allow a share with `--max_ungraded_fraction {share:g}`"
        late = sum(report.counts.get("late", 0) for report in self.rewards.values())
        raise UserError(
            f"{self.failing:,} of {self.rows:,} rows fail the preflight of the rewards; at most "
            f"{max_fraction or 0:.1%} are allowed:{named}{more}\n"
            + (f"{late:,} references were not graded in time. {MORE_TIME}.\n" if late else "")
            + f"Correct the rows{' or the reward that failed' if self.faults else ''}, or choose a reward that can grade "
            f"them{allow if max_fraction is not None and share < 1 else ''}."
        )

    def _require_working_rewards(self) -> None:
        """Check that no reward failed on every row, which the values of the other rewards would hide during the run."""
        broken = {name: report.rows for name, report in self.rewards.items() if 0 < report.rows == report.failed}
        if not broken:
            return
        lines = "".join(f"\n  {name}: {line}" for name in broken for line in self.first_fault[name].values())
        rows = max(broken.values())
        names = f"reward{'s' * (len(broken) > 1)} {' and '.join(broken)}"
        raise UserError(
            f"the {names} failed on all {rows:,} rows of the preflight:{lines}\n"
            "Correct the reward, or leave the reward out. After a timeout, a longer `reward_deadline` in the recipe (or "
            "`--deadline` of `hrm-align rewards`) may also help."
        )

    def render(self) -> RenderableType:
        """Return what a command prints: a table with one line for each reward, and below it faults, readings, warnings."""
        lines = [*self._describe_faults(), *self._describe_doubts(), *self._describe_readings()]
        lines += [note for form in self.forms.values() for note in form.describe_notes()]
        lines += [f"{name}: {pairs.describe()}" for name, pairs in self.pairs.items()]
        lines += describe_damage(self.damage, self.rows)
        lines += [f"warning: {warning}" for warning in self.warnings]
        table = [self._table()] if self.rewards else []
        return Group(*table, *(Text(line) for line in lines))

    def _table(self) -> Table:
        """Return the counts of each reward; fits 80 columns."""
        head = ("reward", "rows", "graded", "reference fails", "wrong one passes", "not in time", "mean")
        table = Table(*head, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
        for name, report in self.rewards.items():
            columns = (("gold_fails", "reward_fails"), ("corrupted_passes",), ("late", "corrupted_late"))
            counts = [sum(report.counts.get(fault, 0) for fault in faults) for faults in columns]
            mean = "" if report.mean is None else f"{report.mean:.3f}"
            shown = [str(count) if report.verifiable else "" for count in counts]
            table.add_row(escape(name), str(report.rows), str(report.gradable), *shown, mean)
        return table

    def _describe_faults(self) -> Iterator[str]:
        for name, report in self.rewards.items():
            for fault, count in report.counts.items():
                if fault == "ungradable" and count == self.ungraded and self._describe_ungraded():
                    continue  # a warning says the same
                kind = FAULTS[fault]
                rows = f"{count:,} row{'s' * (count > 1)}"
                yield f"{name}, {rows}: {kind.sentence}. First: {report.first[fault].rstrip('.')}. {kind.remedy}."
            named = " ".join(report.first.values())
            for failure, line in self.first_fault.get(name, {}).items():
                if line.partition(": ")[2] not in named:
                    yield f"{name}: {self.faults[name][failure]} x {failure}. First: {line}"

    def _describe_doubts(self) -> Iterator[str]:
        for name, report in self.rewards.items():
            for kind, rows in report.doubts.items():
                yield f"{name}: warning: {DOUBTS[kind]} in {len(rows):,} of {report.rows:,} rows:"
                yield from (f"  {row}" for row in rows[:NAMED_DOUBTS])
                if len(rows) > NAMED_DOUBTS:
                    yield f"  and {len(rows) - NAMED_DOUBTS:,} more"

    def _describe_readings(self) -> Iterator[str]:
        for name, report in self.rewards.items():
            for reading in report.readings:
                yield f"{name}, {reading.source}"
                yield from reading.lines()
