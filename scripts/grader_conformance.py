"""Measure the graders on public data: references, the same in chat forms, and wrong answers, with other graders beside them.

    python scripts/grader_conformance.py FOLDER                      # a table, and the first disagreements
    python scripts/grader_conformance.py FOLDER --only MBPP --limit 50 --save conformance --json

FOLDER holds the data sets, which you download; docs/results/graders.md lists their addresses, licences and file names, and so
does the output for each data set that is not there. Each row is graded through `RewardSuite`: its reference, the reference in a
code fence with a sentence before and after, other spellings, and wrong answers made of the reference. A disagreement is a text
whose value differs from the known verdict or from that of another grader; `--save DIR` writes all of them as JSONL, one file
for each data set and grader. Programs run only in the sandbox.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from conformance.cases import Case, Source, expected_value
from conformance.peers import PEERS
from conformance.sources import SOURCES
from rich.console import Console
from study.tables import table

from hrm_align.cli import run_with_exit_code
from hrm_align.commands.common import at_least
from hrm_align.errors import UserError
from hrm_align.rewards.base import GRADERS, RewardSpec
from hrm_align.rewards.scoring import score_all
from hrm_align.rewards.suite import RewardSuite

SHOWN = 2  # disagreements of each form that are printed; 1 if only another grader's verdict differs
TEXT_CHARACTERS = 60


@dataclass
class FormCounts:
    """Counts of one form of answers.

    Args:
        form: the form (`conformance.cases.Case`).
        n: number of texts.
        rewarded: number of texts with the value 1.
        unreadable: number of texts without a value, since their row cannot be graded.
        failed: number of texts on which the grader failed, or which it did not grade in time.
        peers: name of another grader -> number of texts that it rewards; a text without a verdict does not count.
        should: number of texts that must be rewarded; None if that is not known.
    """

    form: str
    n: int = 0
    rewarded: int = 0
    unreadable: int = 0
    failed: int = 0
    peers: dict[str, int] = field(default_factory=dict)
    should: int | None = 0


@dataclass
class Disagreement:
    """A text whose value differs from the known verdict, or from the verdict of a peer."""

    where: str
    form: str
    text: str
    read: str | None
    value: float | None
    should: float | None
    peers: dict[str, float | None]
    why: str = ""


@dataclass
class Measurement:
    """Result of one grader on one data set; `reason` states why there is none."""

    data: str
    grader: str
    file: str = ""
    reason: str = ""
    forms: list[FormCounts] = field(default_factory=list)
    disagreements: list[Disagreement] = field(default_factory=list)


def measure(source: Source, grader: str, path: Path, limit: int | None, with_peers: bool) -> Measurement:
    """Grade all texts of a data set by one grader and by the peers."""
    result = Measurement(source.name, grader, str(path))
    if grader not in GRADERS:
        result.reason = f"there is no grader {grader}"
        return result
    cases = source.read(path)[:limit]
    texts = [(case, form, text) for case in cases for form, text in case.texts.items()]
    examples, completions = [case.example for case, _, _ in texts], [text for _, _, text in texts]
    with RewardSuite([RewardSpec(grader)]) as suite:
        scores = score_all(suite, completions, examples, extract=True)
    values, read = scores.values[grader], scores.extracted.get(grader) or [None] * len(texts)
    failed = {fault.row: fault.kind for fault in scores.faults if fault.row is not None}
    verdicts = _ask_peers(source, texts) if with_peers else {}
    counts: dict[str, FormCounts] = {}
    for row, (case, form, text) in enumerate(texts):
        should = expected_value(form)
        own = counts.setdefault(form, FormCounts(form))
        own.n += 1
        own.rewarded += values[row] == 1
        own.unreadable += values[row] is None and row not in failed
        own.failed += row in failed
        own.should = None if should is None or own.should is None else own.should + int(should)
        peers = {name: given[row] for name, given in verdicts.items()}
        for name, verdict in peers.items():
            own.peers[name] = own.peers.get(name, 0) + (verdict == 1)
        expected = [value for value in (should, *peers.values()) if value is not None]
        if any(value != values[row] for value in expected):
            why = scores.why.get(grader, {}).get(row, "") or failed.get(row, "")
            place = case.example.source
            result.disagreements.append(Disagreement(place, form, text, read[row], values[row], should, peers, why))
    result.forms = list(counts.values())
    return result


def _ask_peers(source: Source, texts: Sequence[tuple[Case, str, str]]) -> dict[str, list[float | None]]:
    """Return the verdicts of the peers that can be run: name -> one for each text."""
    cases, completions = [case for case, _, _ in texts], [text for _, _, text in texts]
    return {name: grade(cases, completions) for name in source.peers if (grade := PEERS[name].grade) is not None}


def measure_folder(arguments: argparse.Namespace) -> list[Measurement]:
    """Measure every data set of the folder. Returns a measurement also for data that are not there."""
    measurements = []
    for source in SOURCES:
        if arguments.only and source.name not in arguments.only:
            continue
        path = source.find(arguments.folder)
        for grader in source.graders:
            if path is None:
                reason = f"not there: {' or '.join(source.files)}. Download: {source.address} ({source.licence})"
                measurements.append(Measurement(source.name, grader, reason=reason))
            else:
                measurements.append(measure(source, grader, path, arguments.limit, not arguments.no_peers))
    return measurements


def show(measurements: Sequence[Measurement]) -> None:
    """Print the table, what was not measured, and the first disagreements of each form."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    peers = list(dict.fromkeys(name for one in measurements for form in one.forms for name in form.peers))
    head = ["data", "grader", "form", "n", "rewarded", "should be", "unreadable", "failed", *peers]
    lines = [
        [one.data, one.grader, form.form, str(form.n), str(form.rewarded), "" if form.should is None else str(form.should),
         str(form.unreadable), str(form.failed), *(str(form.peers.get(name, "")) for name in peers)]
        for one in measurements for form in one.forms
    ]  # fmt: skip
    for line in table(head, lines) if lines else ():
        console.print(line)
    for one in measurements:
        if one.reason:
            console.print(f"{one.data}, {one.grader}: not measured; {one.reason}.")
    measured = {one.data for one in measurements if one.forms}
    for source in SOURCES:
        for name in source.peers if source.name in measured else ():
            if PEERS[name].grade is None:
                console.print(f"{source.name}: not compared with {name}, since {PEERS[name].reason}.")
    for one in measurements:
        _show_disagreements(console, one)


def _show_disagreements(console: Console, one: Measurement) -> None:
    if one.forms and all(form.unreadable == form.n for form in one.forms):
        why = one.disagreements[0].why or "the reason is not known"
        return console.print(f"{one.data}: {one.grader} cannot grade these rows: {why}")
    shown: Counter[str] = Counter()
    for item in one.disagreements:
        shown[item.form] += 1
        if shown[item.form] <= (SHOWN if item.value != item.should else 1):
            peers = "".join(f", {name} {_verdict(value)}" for name, value in item.peers.items())
            should = "" if item.should is None else f", should be {item.should:g}"
            console.print(f"{item.where}: {one.grader} {_verdict(item.value)}{should}{peers}")
            text = f"{' '.join(item.text.split())!r:.{TEXT_CHARACTERS}}"
            console.print(f"  {item.form}: {text}{f' ({item.why:.200})' if item.why else ''}")
    for form, count in shown.items():
        wrong = sum(item.form == form and item.should not in (None, item.value) for item in one.disagreements)
        if count > 1:
            line = f"{one.data}, {one.grader}, {form}: {wrong:,} differ from the known verdict, {count - wrong:,} only from"
            console.print(f"{line} another grader; --save writes all of them.")


def _verdict(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def save(measurements: Sequence[Measurement], folder: Path) -> None:
    """Write the disagreements of each measurement as JSONL."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in measurements:
        if one.forms:
            lines = "".join(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in one.disagreements)
            (folder / f"{one.data}-{one.grader}.jsonl").write_text(lines, encoding="utf-8")


def main(argv: Sequence[str]) -> None:
    """Run the measurement. Raises UserError if the folder has none of the data sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with the downloaded data sets")
    parser.add_argument("--only", nargs="+", choices=[source.name for source in SOURCES], help="data sets to measure")
    parser.add_argument("--limit", type=int, help="use at most this many rows of each data set")
    parser.add_argument("--no-peers", action="store_true", help="run no other graders")
    parser.add_argument("--json", action="store_true", help="print the measurements as JSON, without the disagreements")
    parser.add_argument("--save", type=Path, metavar="DIR", help="write all disagreements into this folder")
    arguments = parser.parse_args(argv)
    if arguments.limit is not None:
        at_least(arguments.limit, 1, "--limit")
    measurements = measure_folder(arguments)
    if not any(one.file for one in measurements):
        lines = "".join(f"\n  {one.data}: {one.reason}" for one in measurements)
        raise UserError(f"{arguments.folder} has none of the data sets:{lines}\nDownload one of them into the folder.")
    if arguments.save is not None:
        save(measurements, arguments.save)
    if arguments.json:
        print(json.dumps([_without_texts(one) for one in measurements], indent=1))
    else:
        show(measurements)


def _without_texts(measurement: Measurement) -> dict[str, Any]:
    counts = Counter(item.form for item in measurement.disagreements)
    return {**asdict(measurement), "disagreements": dict(counts)}


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
