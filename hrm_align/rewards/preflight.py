"""Check rewards and data before a run: the reference of every row must get 1, and a corrupted reference must get 0.

A run on references that cannot be graded trains on noise and looks like a run that does not learn. In one data set,
17,592 of 20,000 rows had lost the backslash of `\\boxed` because it was not escaped in JSON, and the loss went
unnoticed.

Which rows fail (`preflight_report.FAULTS`): a reference that gets no value or less than 1, also because it was not
graded in time, since the same answer would get the same value during the run; and a wrong answer that is rewarded. A
wrong answer that is not graded in time, or on which the reward fails, does not fail the row: it gets 0 during the run.
Rows that a deadline cut off are graded again, so that slow rows do not count against their neighbours.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hrm_align.data.damage import check_rows
from hrm_align.progress import counting
from hrm_align.rewards.answer_forms import FormCheck, FormText
from hrm_align.rewards.base import RewardSpec, Verifiable, create_grader
from hrm_align.rewards.pairs import check_pairs
from hrm_align.rewards.preflight_report import FAULTS, PreflightReport, Reading, RewardReport
from hrm_align.rewards.references import list_references, with_reference
from hrm_align.rewards.scoring import BATCH_ROWS, score_all
from hrm_align.rewards.suite import RewardSuite

if TYPE_CHECKING:
    from hrm_align.data.examples import Example

NAMED_ROWS = 3  # rows that an error lists
SHOWN_ROWS = 3  # rows of which the report shows what was read
RESCORES = 3  # calls that grade rows again which a deadline cut off; then the rows count as not graded in time
LATE = ("timeout", "skipped")  # kinds of failures that count as not graded in time


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
    judges = {suite.names[index]: suite.specs[index] for index in suite.checked_on_pairs}
    if len(judges) == len(suite.names):
        return _with_pairs(check.finish(), suite, judges, selected)
    with counting("checking rewards", len(selected), "rows") as checking:
        for start in range(0, len(selected), BATCH_ROWS):
            batch = selected[start : start + BATCH_ROWS]
            check.check_rows(batch)
            checking.advance(len(batch))
    report = _with_pairs(check.finish(), suite, judges, selected)
    report.damage = check_rows(selected)
    return report


def _with_pairs(
    report: PreflightReport, suite: RewardSuite, judges: dict[str, RewardSpec], examples: Sequence[Example]
) -> PreflightReport:
    """Add to a report what the judges and reward models make of the pairs of the rows."""
    for name, spec in judges.items():
        min_right = getattr(create_grader(spec.name, spec.options), "min_right", 0.0)
        report.pairs[name] = check_pairs(suite, name, min_right, examples, spec.name)
    return report


class _Failure(NamedTuple):
    """Failure of a reward on a row: one of `scoring.KINDS`, and a description."""

    kind: str
    description: str


class _Scored(NamedTuple):
    """Values of one reward for a batch of rows.

    Args:
        values: one for each row.
        why: index of a row -> reason why the row cannot be graded.
        failed: index of a row -> the reward's failure on the row.
        extracted: the graded text of each row; empty if not requested.
    """

    values: list[float | None]
    why: dict[int, str]
    failed: dict[int, _Failure]
    extracted: list[str | None]


class _Corrupted(NamedTuple):
    """A corrupted reference, its value, the reward's failure on it, and the text that was graded in it."""

    text: str
    value: float | None
    failure: _Failure | None
    read: str | None


class _Preflight:
    """Running state of a preflight: the report, and sums and failures that `finish` adds to the report."""

    def __init__(self, suite: RewardSuite):
        self._suite = suite
        self._verifiable = {
            spec.label: grader for spec in suite.specs if (grader := _verifiable_grader(spec)) is not None
        }
        # Judges and reward models are checked on pairs instead (`hrm_align.rewards.pairs`).
        self._names = [name for index, name in enumerate(suite.names) if index not in suite.checked_on_pairs]
        self._report = PreflightReport(rewards={name: RewardReport(name in self._verifiable) for name in self._names})
        self._forms = FormCheck()
        self._totals: dict[str, float] = defaultdict(float)
        self._faults: dict[str, Counter[str]] = {}
        self._first_fault: dict[str, dict[str, str]] = {}

    def check_rows(self, examples: Sequence[Example]) -> None:
        """Grade references and corrupted references of a batch of rows, and add the results to the report."""
        show = any(len(self._report.rewards[name].readings) < SHOWN_ROWS for name in self._verifiable)
        references = self._score([example.reference for example in examples], examples, extract=show)
        self._add_doubts(examples)
        corrupted = {name: self._score_corrupted(name, references[name], examples, show) for name in self._verifiable}
        for row, example in enumerate(examples):
            self._report.rows += 1
            faults = [*self._check_row(row, example, references, corrupted)]
            # A reference without a value by one reward fails the row only if no other reward gives a value.
            graded = any(references[name].values[row] is not None for name in self._verifiable or self._names)
            failures = [
                line
                for name, fault, line in faults
                if FAULTS[fault].fails and (references[name].values[row] is not None or not graded)
            ]
            self._report.failing += bool(failures)
            if not graded:
                self._report.ungraded += 1
                reason = next((line for _, _, line in faults), f"{example.source}: no value")
                self._report.first_ungraded = self._report.first_ungraded or reason
            if failures and len(self._report.named) < NAMED_ROWS:
                self._report.named.append(failures[0])
        self._check_forms(examples, references)

    def _add_doubts(self, examples: Sequence[Example]) -> None:
        """Add the doubts of the verifiable rewards about the references of a batch. A failed check is no doubt."""
        names = [name for name, grader in self._verifiable.items() if hasattr(grader, "doubt_reference")]
        if not names:
            return
        scores = self._suite.score([example.reference for example in examples], examples, only=names, doubt=True)
        for name in names:
            for row, (kind, sentence) in sorted(scores.doubts.get(name, {}).items()):
                line = f"{examples[row].source}: {sentence}"
                self._report.rewards[name].doubts.setdefault(kind, []).append(line)

    def finish(self) -> PreflightReport:
        """Add means, failures of the rewards and warnings to the report, and return the report."""
        for name, report in self._report.rewards.items():
            report.mean = self._totals[name] / report.gradable if report.gradable else None
        self._report.faults = {name: dict(kinds) for name, kinds in self._faults.items()}
        self._report.first_fault = self._first_fault
        self._report.forms = {name: form for name, form in self._forms.reports.items() if form.requested or form.has}
        self._report.warnings = self._report.find_warnings()
        return self._report

    def _check_row(
        self,
        row: int,
        example: Example,
        references: Mapping[str, _Scored],
        corrupted: Mapping[str, Mapping[int, _Corrupted]],
    ) -> Iterator[tuple[str, str, str]]:
        """Add a row to the report of each reward, and yield the faults of the row.

        Args:
            row: index of the row in its batch.
            example: the row.
            references: name of the reward -> values of the references.
            corrupted: name of the reward -> index of a row -> corrupted reference and its value.

        Yields:
            Name of the reward, a key of `FAULTS`, and a line that describes the fault.
        """
        for name, report in self._report.rewards.items():
            scored = references[name]
            value, failure = scored.values[row], scored.failed.get(row)
            wrong = corrupted.get(name, {}).get(row)
            report.rows += 1
            report.failed += failure is not None
            if example.reference.strip():
                report.gradable += value is not None
                self._totals[name] += value or 0
                if name in self._verifiable:
                    self._note_reading(name, row, example, scored, wrong)
            fault = _find_fault(example, value, failure, scored.why.get(row), wrong)
            if fault is not None:
                kind, why = fault
                line = why if why.startswith(example.source) else f"{example.source}: {why}"
                report.add_fault(kind, line)
                yield name, kind, f"{name}: {line}"

    def _note_reading(self, name: str, row: int, example: Example, scored: _Scored, wrong: _Corrupted | None) -> None:
        """Count the rule that found the answer of a reference, and show what was read in the first rows."""
        report, value = self._report.rewards[name], scored.values[row]
        rule = getattr(self._verifiable[name], "reading_rule", None)
        if rule is not None and value is not None and row not in scored.failed:
            read_by = rule(example.reference)
            report.read_by[read_by] = report.read_by.get(read_by, 0) + 1
            report.first_read_by.setdefault(read_by, example.source)
        if len(report.readings) < SHOWN_ROWS:
            read = scored.extracted[row] if scored.extracted else None
            corrupted = (wrong.text, wrong.read, wrong.value) if wrong is not None else ()
            report.readings.append(Reading(example.source, example.reference, read, value, *corrupted))

    def _score_corrupted(
        self, name: str, references: _Scored, examples: Sequence[Example], extract: bool
    ) -> dict[int, _Corrupted]:
        """Grade a corrupted reference of each gradable row. Return index of the row -> its corrupted reference.

        A reference on which the reward failed is left out: reading it here, outside the workers, might hang as well. If
        a corrupted reference is rewarded, another one is graded: it may be equal to the reference, or to another
        reference of the row.
        """
        grader = self._verifiable[name]
        rows = [
            row for row, value in enumerate(references.values) if value is not None and row not in references.failed
        ]
        texts = [grader.corrupt_reference(examples[row]) for row in rows]
        scored = self._score(texts, [examples[row] for row in rows], only=name, extract=extract)[name]
        read = scored.extracted or [None] * len(rows)
        corrupted = {
            row: _Corrupted(texts[place], scored.values[place], scored.failed.get(place), read[place])
            for place, row in enumerate(rows)
        }
        others = {row: _other_corruptions(grader, examples[row], texts[place]) for place, row in enumerate(rows)}
        passing = [row for row in rows if corrupted[row].value == references.values[row] == 1]
        while tried := {row: text for row in passing if (text := next(others[row], None)) is not None}:
            scored = self._score([*tried.values()], [examples[row] for row in tried], only=name, extract=extract)[name]
            read = scored.extracted or [None] * len(tried)
            for place, (row, text) in enumerate(tried.items()):
                if scored.values[place] == 0 and place not in scored.failed:
                    corrupted[row] = _Corrupted(text, 0.0, None, read[place])
                    self._report.rewards[name].corrupted_again += 1
            passing = [row for row in tried if corrupted[row].value == 1]
        return corrupted

    def _check_forms(self, examples: Sequence[Example], references: Mapping[str, _Scored]) -> None:
        """Grade answers in the forms that the prompts request, by the rewards that give 1 to the reference."""
        graded: list[tuple[FormText, Example, list[str]]] = []
        for row, example in enumerate(examples):
            names = [name for name in self._verifiable if references[name].values[row] == 1]
            graded += [(text, example, names) for text in self._forms.add_row(example) if names]
        if graded:
            scored = self._score([text.text for text, _, _ in graded], [example for _, example, _ in graded])
            for place, (text, example, names) in enumerate(graded):
                # A failure, such as a timeout, says nothing about the form.
                values = {name: scored[name].values[place] for name in names if place not in scored[name].failed}
                self._forms.add_values(text, example, values)

    def _score(
        self, completions: list[str], examples: Sequence[Example], only: str | None = None, extract: bool = False
    ) -> dict[str, _Scored]:
        """Grade completions and count the failures of the rewards. Return name of the reward -> its values."""
        names = self._names if only is None else [only]
        scores = score_all(self._suite, completions, examples, only=names, extract=extract, most_rescores=RESCORES)
        failed: dict[str, dict[int, _Failure]] = {}  # name of the reward -> index of a row -> failure
        for fault in scores.faults:
            blank = fault.row is not None and not completions[fault.row].strip()
            empty = " (on an empty completion, since the row has no reference)" if blank else ""
            description = f"the reward failed ({fault.kind}): {fault.detail}{empty}"
            where = fault.source or "all rows"
            self._faults.setdefault(fault.reward, Counter())[fault.kind] += 1
            self._first_fault.setdefault(fault.reward, {}).setdefault(fault.kind, f"{where}: {description}")
            if fault.row is not None:
                failed.setdefault(fault.reward, {})[fault.row] = _Failure(fault.kind, description)
        return {
            name: _Scored(values, scores.why.get(name, {}), failed.get(name, {}), scores.extracted.get(name, []))
            for name, values in scores.values.items()
        }


def _other_corruptions(grader: Verifiable, example: Example, text: str) -> Iterator[str]:
    """Yield further corrupted references of a row: of the first one once for each further reference, then another way."""
    for _ in list_references(example)[1:]:
        text = grader.corrupt_reference(with_reference(example, text))
        yield text
    if hasattr(grader, "corrupt_otherwise"):
        yield grader.corrupt_otherwise(example)


def _find_fault(
    example: Example, value: float | None, failure: _Failure | None, why: str | None, wrong: _Corrupted | None
) -> tuple[str, str] | None:
    """Return the fault of a row by one reward, a key of `FAULTS`, with its reason; None for a row without a fault.

    Args:
        example: the row.
        value: value of the reference.
        failure: the reward's failure on the reference.
        why: reason for the value of the reference, if the reward stated one.
        wrong: the corrupted reference; None for a reward that cannot corrupt references, or without a value.
    """
    if failure is not None:
        return ("late" if failure.kind in LATE else "reward_fails"), failure.description
    if value is None:
        return "ungradable", why or FAULTS["ungradable"].sentence
    if wrong is None or not example.reference.strip():
        return None  # the value has no known correct result
    if value != 1:
        reason = f": {why}" if why else ""
        return "gold_fails", f"the reference {example.reference!r:.80} gets {value:g} instead of 1{reason}"
    described = f"the wrong answer {wrong.text!r:.80}"
    if wrong.failure is not None:
        late = wrong.failure.kind in LATE
        return ("corrupted_late" if late else "corrupted_fails"), f"{described}: {wrong.failure.description}"
    if wrong.value is None:
        return "corrupted_fails", f"{described} cannot be graded"
    if wrong.value == 0:
        return None
    return "corrupted_passes", f"{described} gets {wrong.value} instead of 0"


def _verifiable_grader(spec: RewardSpec) -> Verifiable | None:
    """Return the grader of a reward that can corrupt references; None for a reward without one."""
    if spec.file is not None:
        return None
    grader = create_grader(spec.name, spec.options)
    return grader if isinstance(grader, Verifiable) else None
