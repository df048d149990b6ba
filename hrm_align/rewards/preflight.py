"""Check rewards and data before a run: the reference of every row must get 1, and a corrupted reference must get 0.

A run on references that cannot be graded trains on noise and looks like a run that does not learn. In one data set,
17,592 of 20,000 rows had lost the backslash of `\\boxed` because it was not escaped in JSON, and the loss went
unnoticed.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.markup import escape
from rich.table import Table

from hrm_align.data.damage import check_rows, describe_damage
from hrm_align.errors import UserError
from hrm_align.progress import counting
from hrm_align.rewards.base import RewardSpec, Verifiable, create_grader
from hrm_align.rewards.reading import FALLBACKS
from hrm_align.rewards.suite import RewardSuite

if TYPE_CHECKING:
    from hrm_align.data.examples import Example

BATCH_ROWS = 64  # rows that are graded together, within one deadline
NAMED_ROWS = 3  # rows that an error lists
FAULTS = {
    "ungradable": "the reference cannot be graded",
    "gold_fails": "the reference does not get 1",
    "corrupted_passes": "a wrong answer does not get 0",
}


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
    """

    verifiable: bool
    rows: int = 0
    failed: int = 0
    gradable: int = 0
    mean: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    read_by: dict[str, int] = field(default_factory=dict)

    def describe_fallbacks(self) -> str:
        """Return a sentence about references whose answers are not marked; empty if there are none beside marked ones.

        References that are all read as a whole are bare answers.
        """
        unmarked = {rule: self.read_by[rule] for rule in FALLBACKS if self.read_by.get(rule)}
        if not unmarked or self.read_by == {"whole text": self.gradable}:
            return ""
        rules = {"last line": "from the last line, such as `so 5`", "whole text": "as a whole"}
        counts = ", ".join(f"{count:,} {rules[rule]}" for rule, count in unmarked.items())
        return (
            f"{sum(unmarked.values()):,} of {self.gradable:,} references mark no answer, and are read by a fallback "
            f"({counts}). Check these references, or mark their answers with \\boxed{{}} or ####."
        )


@dataclass
class PreflightReport:
    """Result of a preflight.

    Args:
        rows: number of rows checked.
        failing: number of rows that no verifiable reward can grade, or whose reference does not get 1 from a verifiable
            reward, or whose corrupted reference does not get 0.
        rewards: name of the reward -> its report.
        named: the first failing rows, as `reward: file:line: reason`.
        faults: name of the reward -> kind of failure -> number of failures of the reward itself.
        first_fault: name of the reward -> kind of failure -> the first such failure, as `file:line: description`; for
            an exception in a user's function, the description has the line of the function.
        damage: rows with damaged text by kind, as from `hrm_align.data.damage.check_rows`; such a row fails nothing by
            itself.
    """

    rows: int = 0
    failing: int = 0
    rewards: dict[str, RewardReport] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    faults: dict[str, dict[str, int]] = field(default_factory=dict)
    first_fault: dict[str, dict[str, str]] = field(default_factory=dict)
    damage: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-serializable objects."""
        return asdict(self)

    def require(self, max_fraction: float | None) -> None:
        """Check that few enough rows fail, and that no reward failed on every row.

        Args:
            max_fraction: largest share of failing rows. None means 0 for a caller without such a setting; the error
                then does not suggest the setting.

        Raises:
            UserError: if a reward failed on every row, or a larger share of the rows fails.
        """
        self._require_working_rewards()
        if self.failing <= (max_fraction or 0) * self.rows:
            return
        named = "".join(f"\n  {line}" for line in self.named)
        more = f"\n  and {self.failing - len(self.named):,} more" if self.failing > len(self.named) else ""
        share = math.ceil(1000 * self.failing / self.rows) / 1000
        allow = f", or allow a share with `--max_ungraded_fraction {share:g}`"
        raise UserError(
            f"{self.failing:,} of {self.rows:,} rows fail the preflight of the rewards; at most "
            f"{max_fraction or 0:.1%} are allowed:{named}{more}\n"
            f"Correct the rows{' or the reward that failed' if self.faults else ''}, or choose a reward that can grade "
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

    def table(self) -> Table:
        """Return a table with one line for each reward; the caption lists the first row of each fault."""
        table = Table("reward", "rows", "graded", "reference fails", "wrong answer passes", "mean")
        caption = []
        for name, report in self.rewards.items():
            counts = [str(report.counts.get(fault, 0)) if report.verifiable else "" for fault in FAULTS]
            mean = "" if report.mean is None else f"{report.mean:.3f}"
            table.add_row(escape(name), str(report.rows), str(report.gradable), *counts[1:], mean)
            caption += [f"{name}: {line}" for line in report.first.values()]
            caption += [f"{name}: {line}" for line in [report.describe_fallbacks()] if line]
            first = self.first_fault.get(name, {})
            caption += [f"{name}: {n} x {kind}, first {first[kind]}" for kind, n in self.faults.get(name, {}).items()]
        caption += describe_damage(self.damage, self.rows)
        table.caption, table.caption_justify = escape("\n".join(caption)) or None, "left"
        return table


def preflight(
    suite: RewardSuite, examples: Sequence[Example], *, limit: int | None = None, seed: int = 0
) -> PreflightReport:
    """Grade the reference of each row and, with each verifiable reward, a corrupted reference.

    Each verifiable reward corrupts references in its own way (`corrupt_reference`): a changed digit, other JSON values,
    another query or another program. A row without a reference only has to be gradable by some reward.

    Args:
        suite: the rewards.
        examples: the rows of the run.
        limit: number of rows to check, drawn at random; None checks all rows.
        seed: seed of the random draw.
    """
    selected = list(examples)
    if limit is not None and limit < len(selected):
        indices = sorted(random.Random(seed).sample(range(len(selected)), limit))
        selected = [selected[index] for index in indices]
    check = _Preflight(suite)
    with counting("checking rewards", len(selected), "rows") as checking:
        for start in range(0, len(selected), BATCH_ROWS):
            batch = selected[start : start + BATCH_ROWS]
            check.check_rows(batch)
            checking.advance(len(batch))
    report = check.finish()
    report.damage = check_rows(selected)
    return report


class _Scored(NamedTuple):
    """Values of one reward for a batch of rows.

    Args:
        values: one for each row.
        why: index of a row -> reason why the row cannot be graded.
        failed: index of a row -> description of the reward's failure on the row.
    """

    values: list[float | None]
    why: dict[int, str]
    failed: dict[int, str]


class _Preflight:
    """Running state of a preflight: the report, and sums and failures that `finish` adds to the report."""

    def __init__(self, suite: RewardSuite):
        self._suite = suite
        self._verifiable = {
            spec.label: grader for spec in suite.specs if (grader := _verifiable_grader(spec)) is not None
        }
        self._report = PreflightReport(rewards={name: RewardReport(name in self._verifiable) for name in suite.names})
        self._totals: dict[str, float] = defaultdict(float)
        self._faults: dict[str, Counter[str]] = {}
        self._first_fault: dict[str, dict[str, str]] = {}

    def check_rows(self, examples: Sequence[Example]) -> None:
        """Grade references and corrupted references of a batch of rows, and add the results to the report."""
        references = self._score([example.reference for example in examples], examples)
        corrupted = {name: self._score_corrupted(name, references[name].values, examples) for name in self._verifiable}
        for row, example in enumerate(examples):
            self._report.rows += 1
            faults = [*self._check_row(row, example, references, corrupted)]
            # An ungradable reference is a failure of the row only if no reward can grade the reference.
            graded = any(references[name].values[row] is not None for name in self._verifiable or self._suite.names)
            failures = [line for fault, line in faults if fault != "ungradable" or not graded]
            self._report.failing += bool(failures)
            if failures and len(self._report.named) < NAMED_ROWS:
                self._report.named.append(failures[0])

    def finish(self) -> PreflightReport:
        """Add means and failures of the rewards to the report, and return the report."""
        for name, report in self._report.rewards.items():
            report.mean = self._totals[name] / report.gradable if report.gradable else None
        self._report.faults = {name: dict(kinds) for name, kinds in self._faults.items()}
        self._report.first_fault = self._first_fault
        return self._report

    def _check_row(
        self,
        row: int,
        example: Example,
        references: dict[str, _Scored],
        corrupted: dict[str, dict[int, tuple[str, float | None]]],
    ) -> Iterator[tuple[str, str]]:
        """Add a row to the report of each reward, and yield the faults of the row.

        Args:
            row: index of the row in its batch.
            example: the row.
            references: name of the reward -> values of the references.
            corrupted: name of the reward -> index of a row -> corrupted reference and its value.

        Yields:
            A key of `FAULTS`, and a line that describes the fault.
        """
        for name, report in self._report.rewards.items():
            value, failure = references[name].values[row], references[name].failed.get(row)
            report.rows += 1
            report.failed += failure is not None
            if example.reference.strip():
                report.gradable += value is not None
                rule = getattr(self._verifiable.get(name), "reading_rule", None)
                if rule is not None and value is not None:
                    read_by = rule(example.reference)
                    report.read_by[read_by] = report.read_by.get(read_by, 0) + 1
                self._totals[name] += value or 0
            if value is None:
                fault, why = "ungradable", failure or references[name].why.get(row, FAULTS["ungradable"])
            elif name not in self._verifiable or not example.reference.strip():
                continue  # the value has no known correct result
            elif value != 1:
                fault, why = "gold_fails", f"the reference {example.reference!r:.80} gets {value:g} instead of 1"
                why += f": {failure}" if failure else ""
            elif corrupted[name][row][1] != 0:
                text, corrupted_value = corrupted[name][row]
                fault, why = "corrupted_passes", f"the wrong answer {text!r:.80} gets {corrupted_value} instead of 0"
            else:
                continue
            line = why if why.startswith(example.source) else f"{example.source}: {why}"
            report.counts[fault] = report.counts.get(fault, 0) + 1
            report.first.setdefault(fault, line)
            yield fault, f"{name}: {line}"

    def _score_corrupted(
        self, name: str, reference_values: list[float | None], examples: Sequence[Example]
    ) -> dict[int, tuple[str, float | None]]:
        """Grade a corrupted reference of each gradable row. Return index of the row -> (corrupted text, value)."""
        rows = [row for row, value in enumerate(reference_values) if value is not None]
        texts = [self._verifiable[name].corrupt_reference(examples[row]) for row in rows]
        values = self._score(texts, [examples[row] for row in rows], only=[name])[name].values
        return dict(zip(rows, zip(texts, values, strict=True), strict=True))

    def _score(
        self, completions: list[str], examples: Sequence[Example], only: list[str] | None = None
    ) -> dict[str, _Scored]:
        """Grade completions and count the failures of the rewards. Return name of the reward -> its values."""
        scores = self._suite.score(completions, examples, only=only)
        failed: dict[str, dict[str, str]] = {}  # name of the reward -> source of a row -> description of the failure
        blank = {example.source for text, example in zip(completions, examples, strict=True) if not text.strip()}
        for fault in scores.faults:
            empty = " (on an empty completion, since the row has no reference)" if fault.source in blank else ""
            description = f"the reward failed ({fault.kind}): {fault.detail}{empty}"
            where = fault.source or "all rows"
            self._faults.setdefault(fault.reward, Counter())[fault.kind] += 1
            self._first_fault.setdefault(fault.reward, {}).setdefault(fault.kind, f"{where}: {description}")
            if fault.source is not None:
                failed.setdefault(fault.reward, {}).setdefault(fault.source, description)
        return {
            name: _Scored(values, scores.why.get(name, {}), _index_by_row(failed.get(name, {}), examples))
            for name, values in scores.values.items()
        }


def _index_by_row(by_source: dict[str, str], examples: Sequence[Example]) -> dict[int, str]:
    return {row: by_source[example.source] for row, example in enumerate(examples) if example.source in by_source}


def _verifiable_grader(spec: RewardSpec) -> Verifiable | None:
    """Return the grader of a reward that can corrupt references; None for a reward without one."""
    if spec.file is not None:
        return None
    grader = create_grader(spec.name, spec.options)
    return grader if isinstance(grader, Verifiable) else None
