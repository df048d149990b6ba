"""`hrm-align rewards`, as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hrm_align.rewards.base import GRADERS
from tests.command_line import run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": "2+2?", "response": "4", "comment": "so 4"},
        {"prompt": "2+3?", "response": "5", "comment": "4 or 5"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_reward_is_listed_with_its_options(capsys):
    code, out, _ = run(capsys, "rewards", "--json")
    listed = {reward["name"]: [option["name"] for option in reward["options"]] for reward in json.loads(out)}
    assert code == 0 and listed.keys() == GRADERS.keys() and listed["numeric"] == ["pattern", "tolerance"]
    assert run(capsys, "rewards")[0] == 0


def test_answers_are_graded_from_a_field_or_a_file_or_what_evaluation_saved(capsys, data: Path, tmp_path: Path):
    answers, saved = tmp_path / "answers.jsonl", tmp_path / "saved.jsonl"
    answers.write_text('{"completion": "so 4"}\n{"completion": "4 or 5"}\n')
    keys = {"prompt": "?", "correct": True}
    lines = [
        {**keys, "source": "rows.jsonl:1", "expected": "4", "generated": "so 4"},
        {**keys, "source": "rows.jsonl:2", "expected": "5", "generated": "4 or 5"},
    ]
    saved.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for words in (
        ["--data", data, "--completions", "comment"],
        ["--data", data, "--completions", answers],
        ["--data", saved],
    ):
        code, out, err = run(capsys, "rewards", "numeric", *words, "--json")
        assert code == 0, err
        grades = json.loads(out)
        assert (grades["n"], grades["graded"], grades["mean"], grades["values"]) == (2, 2, 0.5, {"0": 1, "1": 1})
        assert not grades["faults"]
    code, out, _ = run(capsys, "rewards", "numeric", "--data", saved, "--option", "tolerance=1")
    assert code == 0 and "2 of 2 answers graded, mean 0.5000" in out


def test_a_reward_of_ones_own_is_graded_with_its_faults(capsys, data: Path, tmp_path: Path):
    own = tmp_path / "own.py"
    own.write_text("def mine(completions, reference): return [1 / completions[0].count('r') for _ in completions]")
    words = ["--file", own, "--function", "mine", "--data", data, "--completions", "comment"]
    code, out, _ = run(capsys, "rewards", *words, "--json")
    grades = json.loads(out)
    assert (code, grades["reward"], grades["faults"], grades["graded"]) == (0, "mine", {"raised": 1}, 1)
    assert "own.py:1: ZeroDivisionError" in grades["first_fault"]["raised"]
    assert "fault: raised" in run(capsys, "rewards", *words)[1]


def test_a_preflight_tells_and_fails(capsys, data: Path):
    code, out, _ = run(capsys, "rewards", "math", "--data", data, "--preflight", "--json")
    assert code == 0 and json.loads(out)["failing"] == 0
    data.write_text('{"prompt": "?", "response": "\\boxed{5}"}\n')
    code, out, err = run(capsys, "rewards", "math", "--data", data, "--preflight")
    assert code == 2 and "backspace" in err and "Traceback" not in err + out


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["mth"], "unknown reward 'mth': did you mean 'math'?"),
        (["math"], "has no rows to grade. Name rows with --data"),
        (["--data", "rows.jsonl"], "no reward is named to grade"),
        (["math", "--file", "own.py"], "Use one of them"),
        (["math", "--function", "f"], "Add --file"),
        (["numeric", "--option", "tolerance"], "Write an option of the reward as KEY=VALUE"),
        (["numeric", "--option", "weight=1"], "Write an option of the reward as KEY=VALUE"),
        (["numeric", "--option", "tolerance=-1"], "invalid value for tolerance: -1"),
        (["math", "--data", "DATA"], "no text field generated or completion"),
        (["math", "--data", "DATA", "--completions", "answer"], "rows.jsonl:1: the row has no text field answer"),
        (["math", "--data", "DATA", "--completions", "FEW"], "few.jsonl has 1 answers, and "),
        (["math", "--data", "DATA", "--completions", "none.jsonl"], "file not found: none.jsonl"),
        (["math", "--data", "DATA", "--preflight", "--completions", "comment"], "Leave out one of them"),
        (["math", "--data", "DATA", "--limit", "0"], "--limit: 0"),
        (["--file", "none.py", "--data", "DATA"], "'none.py' is not an existing Python file"),
    ],
)
def test_a_mistake_is_one_sentence(capsys, data: Path, tmp_path: Path, words: list[str], sentence: str):
    (tmp_path / "few.jsonl").write_text('{"completion": "4"}\n')
    paths = {"DATA": str(data), "FEW": str(tmp_path / "few.jsonl")}
    code, out, err = run(capsys, "rewards", *[paths.get(word, word) for word in words])
    assert code == 2 and not out
    error = err[err.index("error: ") :]  # behind the names of unused columns
    assert sentence in error and error.count("\n") == 1
