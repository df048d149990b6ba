"""Answers are graded by any verifiable grader, under its own name, and none is left out silently."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from hrm_align.errors import RunError, UserError
from hrm_align.evaluation import grading
from hrm_align.evaluation.evaluate import graded
from hrm_align.evaluation.grading import grade_answers
from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.rewards.scoring import Fault, Scores, score_all
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from tests.command_line import run
from tests.rewards.rows import row, skip_without_sandbox

COUNT = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {}) SELECT COUNT(*) FROM r"
ENDLESS = COUNT.format(10**12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "t.sql").write_text("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2);")
    return tmp_path


def sql_row(folder: Path, reference: str, line: int = 1) -> Any:
    return row(reference, f"{folder}/rows.jsonl:{line}", database="t.sql")


def written(answers: list[str]) -> tuple[Any, list[list[int]]]:
    """A tokenizer, and answers as a model would write them, each with its end."""
    tokenizer = load_tokenizer("tiny")
    end = get_renderer(tokenizer).response_end_id
    return tokenizer, [[*tokenizer(text, add_special_tokens=False)["input_ids"], end] for text in answers]


# --- Through the command line


@pytest.mark.parametrize("name", ["math", "sql", "json", "exact", "json_fields"])
def test_evaluate_names_the_score_for_its_grader(capsys, folder: Path, name: str):
    grading_of = {"grading": {"database": "t.sql"}} if name == "sql" else {}
    references = {"sql": "SELECT a FROM t", "json_fields": '{"a": 1}'}
    rows = [
        {"prompt": f"Add {a} and 2.", "response": references.get(name, str(a + 2)), "group": "ab"[a % 2], **grading_of}
        for a in range(1, 7)
    ]
    data, saved = folder / "rows.jsonl", folder / "answers.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ("--model", "tiny", "--data", data, "--match", name, "--max_new_tokens", 6)
    code, out, err = run(capsys, "evaluate", *flags, "--json", "--save", saved)
    assert code == 0, err
    report = json.loads(out)
    known = name in ("math", "json", "exact")  # the base adds small numbers
    assert report["grader"] == name and report["score"] == report[f"{name}_match"] == report["correct"] / 6
    assert (
        (report["score"] > 0.5) == known
        and report["n"] == 6
        and len(report["interval"]) == 2
        and "unfinished" in report
    )
    for part in (report, *report["groups"].values()):
        metrics = {key for key in part if key.endswith("_match")}
        assert metrics == {f"{name}_match"} and {"score", "n", "correct", "interval"} <= part.keys()
    lines = [json.loads(line) for line in saved.read_text().splitlines()]
    assert sum(line["value"] for line in lines) == report["correct"] == sum(line["correct"] for line in lines)
    if known:
        assert all(line["extracted"] == line["expected"] for line in lines if line["correct"])
    code, out, err = run(capsys, "rewards", name, "--data", saved, "--json")
    assert code == 0 and json.loads(out)["graded"] == 6, "saved rows hold what their grader needs: " + err + out
    code, out, _ = run(capsys, "evaluate", *flags)
    assert code == 0 and f"{name} match".replace("_", " ") in out.replace("\n", " ")


def test_a_misspelt_match_is_named_before_anything_is_read(capsys):
    for words in (["evaluate", "--model", "no", "--data", "no.jsonl"], ["export", "no", "--to", "there"]):
        for name, sentence in (("sqll", "did you mean 'sql'?"), ("format", "checks the form of an answer")):
            code, _, err = run(capsys, *words, "--match", name)
            assert code == 2 and f"--match is '{name}'" in err and sentence in err and "no.jsonl" not in err


@pytest.mark.numeric
def test_a_share_counts_as_such_and_full_marks_as_correct():
    """Of 1, 0.5, 0.5 and 0 the mean is 0.5, the standard deviation sqrt(0.5 / 3), so 0.5 +- 1.96 * 0.2041 by hand."""
    tokenizer, answers = written(['{"a": 1, "b": 2}', '{"a": 1}', '{"b": 2}', "no"])
    rows = [row('{"a": 1, "b": 2}', f"rows.jsonl:{line}") for line in range(1, 5)]
    report = graded(rows, answers, tokenizer, "json_fields", extract=True)
    result = report.to_dict()
    assert (result["score"], result["json_fields_match"], result["correct"], result["n"]) == (0.5, 0.5, 1, 4)
    assert result["interval"] == pytest.approx([0.0999, 0.9001], abs=1e-4)
    assert [sample["value"] for sample in report.samples] == [1.0, 0.5, 0.5, 0.0]
    assert [sample["correct"] for sample in report.samples] == [True, False, False, False]
    assert [sample["extracted"] for sample in report.samples] == ['{"a": 1, "b": 2}', '{"a": 1}', '{"b": 2}', None]
    unfinished = graded(rows[1:2], [answers[1][:-1]], tokenizer, "json_fields")
    assert (unfinished.score.rate, unfinished.unfinished) == (0.0, 1) and "extracted" not in unfinished.samples[0]


# --- What it gives


@pytest.mark.parametrize("name, reference", [("json", "[1]"), ("sql", "SELECT 1"), ("code", "def f(): return 1")])
def test_thinking_is_no_part_of_an_answer(folder: Path, name: str, reference: str):
    if name == "code":
        skip_without_sandbox()
    graded_row = row(reference, f"{folder}/rows.jsonl:1", database="t.sql", call="f", tests=[[[], 1]])
    texts = [f"<think>\nhm</think>\n{reference}", f"{reference} <think>", "<think>"]
    values = [grade.value for grade in grade_answers(name, texts, [graded_row] * 3)]
    assert values == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "name, reference, sentence",
    [
        (
            "json",
            "no",
            r"^rows.jsonl:2: the reference 'no' is not JSON, so json cannot grade the row\. Correct the reference",
        ),
        (
            "json_fields",
            "[]",
            r"^rows.jsonl:2: the reference '\[\]' is not a JSON object or array with fields, so json_fields",
        ),
        ("numeric", "3 or 4", r"^rows.jsonl:2: the reference '3 or 4' is not a text with a last number"),
        ("math", r"\boxed{}", r"^rows.jsonl:2: the reference .* is not one final answer, so math"),
        ("math", "oxed{5}", r"^rows.jsonl:2: .*backslash of .* was not escaped"),
        ("sql", "SELECT 1", r"^rows.jsonl:2: no database is named, so sql cannot grade the row"),
        ("code", "SELECT 1", r"^rows.jsonl:2: grading code needs tests"),
    ],
)
def test_a_row_that_cannot_be_graded_is_named_with_the_reason(name: str, reference: str, sentence: str):
    if name == "code":
        skip_without_sandbox()
    good = row('{"a": 5}', database=os.devnull) if name.startswith("json") else row("5")
    rows = [good, row(reference, "rows.jsonl:2")] if name not in ("sql", "code") else [row(reference, "rows.jsonl:2")]
    with pytest.raises(UserError, match=sentence):
        grade_answers(name, ["5"] * len(rows), rows)


def test_an_answer_that_takes_too_long_gets_0_if_its_reference_does_not(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grading, "_SUITES", {})
    monkeypatch.setattr(grading, "ROW_SECONDS", 1.5)
    rows = [sql_row(folder, "SELECT 1", line) for line in (1, 2, 3)]
    try:
        grades = grade_answers("sql", ["SELECT 1", ENDLESS, "SELECT 1"], rows)
        assert [grade.value for grade in grades] == [1.0, 0.0, 1.0]
        slow = sql_row(folder, ENDLESS, 7)
        with pytest.raises(UserError, match=r"rows.jsonl:7: sql cannot grade the row's own reference \(timeout"):
            grade_answers("sql", ["SELECT 1", "SELECT 1"], [rows[0], slow])
    finally:
        grading.get_suite("sql").close()


def test_no_row_is_lost_to_a_deadline_however_many_there_are():
    """4 of 80 rows hang for 0.6 s; a deadline of 1 s reaches one or two of the 3 among the first 64."""
    texts = [("a" * 60 if line % 22 == 0 else "aab") for line in range(80)]
    rows = [row("?", f"rows.jsonl:{line}") for line in range(80)]
    with RewardSuite([RewardSpec.of({"name": "format", "pattern": "(a+)+b"})], workers=1, deadline=1.0) as suite:
        assert any(fault.kind == "skipped" for fault in suite.score(texts[:64], rows[:64]).faults)
        scores = score_all(suite, texts, rows)
    assert scores.values["format"] == [float(text == "aab") for text in texts]
    assert {(fault.kind, fault.row) for fault in scores.faults} == {("timeout", row) for row in range(0, 80, 22)}


class DeadSuite:
    """A suite whose workers cannot be started: everything is skipped."""

    names = ("exact",)

    def score(self, completions: list[str], examples: list, **_: Any) -> Scores:
        faults = [Fault("exact", "skipped", e.source, "no memory", place) for place, e in enumerate(examples)]
        return Scores({"exact": [None] * len(completions)}, faults)


def test_answers_that_stay_ungraded_end_the_evaluation(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grading, "get_suite", lambda match: DeadSuite())
    with pytest.raises(RunError, match=r"70 of 70 answers were not graded by exact \(first rows.jsonl:1: no memory\)"):
        grade_answers("exact", ["4"] * 70, [row("4")] * 70)


# --- The processes


def test_a_grader_keeps_its_workers_until_the_folder_changes(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grading, "_SUITES", {})
    before = {process.pid for process in psutil.Process().children()}

    def workers() -> set[int]:
        return {process.pid for process in psutil.Process().children()} - before

    example = row("SELECT a FROM t", "rows.jsonl:1", database="t.sql")
    with pytest.raises(UserError, match=r"the database t\.sql does not exist"):
        grade_answers("sql", ["SELECT a FROM t"], [example])
    first = workers()
    assert len(first) == 1
    for _ in range(3):
        assert grade_answers("sql", ["SELECT 1"], [sql_row(folder, "SELECT 1")])[0].value == 1
    assert workers() == first, "20 evaluations of a run start one worker"
    monkeypatch.chdir(folder)
    assert grade_answers("sql", ["SELECT a FROM t"], [example])[0].value == 1, "paths count from the current folder"
    assert len(workers()) == 1 and not workers() & first
    grading.get_suite("sql").close()
    assert not workers()


HOLDER = """
import sys, time
from hrm_align.evaluation.grading import grade_answers
from tests.rewards.rows import row
print(grade_answers("exact", ["4"], [row("4")])[0].value, flush=True)
time.sleep(1000)
"""


def test_the_workers_end_with_their_process():
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert holder.stdout and holder.stdout.readline() == "1.0\n"
    below = psutil.Process(holder.pid).children(recursive=True)
    assert len(below) == 2  # a guardian and its worker
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not psutil.wait_procs(below, timeout=5)[1]
