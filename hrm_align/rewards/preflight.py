"""Before a run: does every row's own answer get 1, and a wrong one 0?

A data set whose right answers cannot be graded trains on noise, and looks like a run that does not learn. In one case JSON
had eaten the backslash of `\\boxed` in 17,592 of 20,000 rows, and nobody saw it.
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

from hrm_align.errors import UserError
from hrm_align.rewards.base import RewardSpec, Verifiable, create
from hrm_align.rewards.suite import RewardSuite

if TYPE_CHECKING:
    from hrm_align.data.examples import Example

BATCH_ROWS = 64  # that share one deadline
NAMED_ROWS = 3  # of each fault, in an error
FAULTS = {
    "ungradable": "the right answer cannot be graded",
    "gold_fails": "the right answer does not get 1",
    "corrupted_passes": "a wrong answer does not get 0",
}


@dataclass
class RewardReport:
    """What a preflight has found of one reward.

    Args:
        verifiable: whether it can tell right from wrong; of the others only the mean is told.
        rows: looked at.
        failed: of those, on which it raised, hung, died or returned no number.
        gradable: right answers that it gave a number.
        mean: of those numbers; None if there are none.
        counts: rows by fault, one of `FAULTS`.
        first: the first row of each fault, `file:line: why`.
    """

    verifiable: bool
    rows: int = 0
    failed: int = 0
    gradable: int = 0
    mean: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)


@dataclass
class PreflightReport:
    """What a preflight has found.

    Args:
        rows: looked at.
        failing: those that no verifiable reward can grade, or of which one takes right for wrong or wrong for right.
        rewards: by name.
        named: the first failing rows, `file:line: reward: why`.
        faults: failures of the rewards themselves, by reward and kind.
        first_fault: the first of each, `file:line: what happened`, with the line of a user's function where it raised.
    """

    rows: int = 0
    failing: int = 0
    rewards: dict[str, RewardReport] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    faults: dict[str, dict[str, int]] = field(default_factory=dict)
    first_fault: dict[str, dict[str, str]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def require(self, max_fraction: float | None) -> None:
        """Raises UserError for a reward that failed on every row, or if a larger share of the rows fails.

        Args:
            max_fraction: None is 0, for a caller whose user cannot allow a share: the error does not advise it.
        """
        self._require_alive()
        if self.failing <= (max_fraction or 0) * self.rows:
            return
        named = "".join(f"\n  {line}" for line in self.named)
        more = f"\n  and {self.failing - len(self.named):,} more" if self.failing > len(self.named) else ""
        share = math.ceil(1000 * self.failing / self.rows) / 1000
        allow = f", or allow a share with `--max_ungraded_fraction {share:g}`"
        raise UserError(
            f"{self.failing:,} of {self.rows:,} rows fail the preflight of the rewards, and {max_fraction or 0:.1%} may:"
            f"{named}{more}\nMend the rows{' or the reward that failed' if self.faults else ''}, or choose a reward that can "
            f"grade them{allow if max_fraction is not None and share < 1 else ''}."
        )

    def _require_alive(self) -> None:
        """One that never gives a number would be dead in the run, and the other rewards would hide it."""
        dead = {name: report.rows for name, report in self.rewards.items() if 0 < report.rows == report.failed}
        if not dead:
            return
        told = "".join(f"\n  {name}: {line}" for name in dead for line in self.first_fault[name].values())
        rows = max(dead.values())
        raise UserError(
            f"the reward{'s' * (len(dead) > 1)} {' and '.join(dead)} failed on all {rows:,} rows of the preflight:{told}\n"
            "Mend it, or leave it out; a timeout may also mean that the deadline of the rewards is too short."
        )

    def table(self) -> Table:
        """For people: one line a reward; beneath them the first row of each fault."""
        table = Table("reward", "rows", "graded", "right answer fails", "wrong one passes", "mean")
        told = []
        for name, report in self.rewards.items():
            counts = [str(report.counts.get(fault, 0)) if report.verifiable else "" for fault in FAULTS]
            mean = "" if report.mean is None else f"{report.mean:.3f}"
            table.add_row(escape(name), str(report.rows), str(report.gradable), *counts[1:], mean)
            told += [f"{name}: {line}" for line in report.first.values()]
            first = self.first_fault.get(name, {})
            told += [f"{name}: {n} x {kind}, first {first[kind]}" for kind, n in self.faults.get(name, {}).items()]
        table.caption, table.caption_justify = escape("\n".join(told)) or None, "left"
        return table


def preflight(
    suite: RewardSuite, examples: Sequence[Example], *, limit: int | None = None, seed: int = 0
) -> PreflightReport:
    """Grade each row's own answer and, with each verifiable reward, a corrupted one.

    What corrupts an answer depends on the reward: a digit is changed, every value of a JSON answer, a query or a program is
    replaced by another (`corrupted` of each).

    Of a row that has only a prompt, it is seen whether any reward can grade an answer to it.

    Args:
        suite: the rewards.
        examples: the rows of the run.
        limit: look at so many of them, drawn at random; None for all.
        seed: of the draw.
    """
    chosen = list(examples)
    if limit is not None and limit < len(chosen):
        chosen = [chosen[index] for index in sorted(random.Random(seed).sample(range(len(chosen)), limit))]
    check = _Preflight(suite)
    for start in range(0, len(chosen), BATCH_ROWS):
        check.look_at(chosen[start : start + BATCH_ROWS])
    return check.finished()


class _Scored(NamedTuple):
    """What a reward gave for some rows; by the place of a row, why it cannot be graded, and how the reward failed on it."""

    values: list[float | None]
    why: dict[int, str]
    failed: dict[int, str]


class _Preflight:
    def __init__(self, suite: RewardSuite):
        self._suite = suite
        self._makers = {spec.label: maker for spec in suite.specs if (maker := _maker(spec)) is not None}
        self._report = PreflightReport(rewards={name: RewardReport(name in self._makers) for name in suite.names})
        self._totals: dict[str, float] = defaultdict(float)
        self._faults: dict[str, Counter[str]] = {}
        self._first_fault: dict[str, dict[str, str]] = {}

    def look_at(self, examples: Sequence[Example]) -> None:
        """Grade some rows."""
        golds = self._score([example.reference for example in examples], examples)
        wrong = {name: self._corrupted(name, golds[name].values, examples) for name in self._makers}
        for row, example in enumerate(examples):
            self._report.rows += 1
            found = [*self._of_row(row, example, golds, wrong)]
            graded = any(golds[name].values[row] is not None for name in self._makers or self._suite.names)
            failures = [line for fault, line in found if fault != "ungradable" or not graded]
            self._report.failing += bool(failures)
            if failures and len(self._report.named) < NAMED_ROWS:
                self._report.named.append(failures[0])

    def finished(self) -> PreflightReport:
        """The report, with its means."""
        for name, report in self._report.rewards.items():
            report.mean = self._totals[name] / report.gradable if report.gradable else None
        self._report.faults = {name: dict(kinds) for name, kinds in self._faults.items()}
        self._report.first_fault = self._first_fault
        return self._report

    def _of_row(
        self,
        row: int,
        example: Example,
        golds: dict[str, _Scored],
        wrong: dict[str, dict[int, tuple[str, float | None]]],
    ) -> Iterator[tuple[str, str]]:
        """Count a row; its faults, each with a line that tells of it."""
        for name, report in self._report.rewards.items():
            value, failure = golds[name].values[row], golds[name].failed.get(row)
            report.rows += 1
            report.failed += failure is not None
            if example.reference.strip():
                report.gradable += value is not None
                self._totals[name] += value or 0
            if value is None:
                fault, why = "ungradable", failure or golds[name].why.get(row, FAULTS["ungradable"])
            elif name not in self._makers or not example.reference.strip():
                continue  # nothing to compare it with
            elif value != 1:
                fault, why = "gold_fails", f"the right answer {example.reference!r:.80} gets {value:g} and not 1"
                why += f": {failure}" if failure else ""
            elif wrong[name][row][1] != 0:
                text, given = wrong[name][row]
                fault, why = "corrupted_passes", f"the wrong answer {text!r:.80} gets {given} and not 0"
            else:
                continue
            where = why if why.startswith(example.source) else f"{example.source}: {why}"
            report.counts[fault] = report.counts.get(fault, 0) + 1
            report.first.setdefault(fault, where)
            yield fault, f"{name}: {where}"

    def _corrupted(
        self, name: str, golds: list[float | None], examples: Sequence[Example]
    ) -> dict[int, tuple[str, float | None]]:
        """For each row that the reward can grade, by its place, a corrupted answer and what the reward gives for it."""
        rows = [row for row, value in enumerate(golds) if value is not None]
        texts = [self._makers[name].corrupted(examples[row]) for row in rows]
        values = self._score(texts, [examples[row] for row in rows], only=[name])[name].values
        return dict(zip(rows, zip(texts, values, strict=True), strict=True))

    def _score(
        self, completions: list[str], examples: Sequence[Example], only: list[str] | None = None
    ) -> dict[str, _Scored]:
        """What each reward gives; its failures are counted."""
        scores = self._suite.score(completions, examples, only=only)
        failed: dict[str, dict[str, str]] = {}  # by reward and source
        blank = {example.source for text, example in zip(completions, examples, strict=True) if not text.strip()}
        for fault in scores.faults:
            empty = " (given an empty answer, as the row has none)" if fault.source in blank else ""
            told = f"the reward failed ({fault.kind}): {fault.detail}{empty}"
            where = fault.source or "all rows"
            self._faults.setdefault(fault.reward, Counter())[fault.kind] += 1
            self._first_fault.setdefault(fault.reward, {}).setdefault(fault.kind, f"{where}: {told}")
            if fault.source is not None:
                failed.setdefault(fault.reward, {}).setdefault(fault.source, told)
        return {
            name: _Scored(values, scores.why.get(name, {}), _places(failed.get(name, {}), examples))
            for name, values in scores.values.items()
        }


def _places(by_source: dict[str, str], examples: Sequence[Example]) -> dict[int, str]:
    return {place: by_source[example.source] for place, example in enumerate(examples) if example.source in by_source}


def _maker(spec: RewardSpec) -> Verifiable | None:
    """What can corrupt answers for a reward, if it can tell right from wrong."""
    if spec.file is not None:
        return None
    reward = create(spec.name, spec.options)
    return reward if isinstance(reward, Verifiable) else None
