"""Several references a row: each grader accepts all of them, and a corrupted reference is wrong for all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.evaluation.grading import grade_answers
from tests.command_line import run
from tests.rewards.rows import row

# Grader -> references, correct answers beside them, and wrong answers.
ROWS: dict[str, tuple[list[str], list[str], list[str]]] = {
    "math": (["5", "x = 7"], ["so 7", r"\boxed{5.0}"], ["6", "5 or 7"]),
    "exact": (["1912", "the year 1912"], [" the year 1912\n"], ["the year 1913", "1912 the year 1912"]),
    "numeric": (["5 cm", "6"], ["it is 6", "5"], ["7", "5 or 6"]),
    "answer": (["yes", "The answer is of course"], ["The answer is yes.", r"\boxed{of course}"], ["no"]),
    "json": (['{"a": 1}', '{"a": 2}'], ['{ "a": 2 }'], ['{"a": 3}', '{"a": 1}{"a": 2}']),
    "json_fields": (['{"a": 1}', '{"a": 2}'], ['{"a": 2}'], ['{"a": 3}']),
    "choice": (["A", "C"], ["(C)", "The answer is A"], ["B", "A or C"]),
    "tool_calls": (
        ['{"name": "f", "arguments": {}}', '{"name": "g", "arguments": {}}'],
        ["[g()]"],
        ["f()\ng()", "h()"],
    ),
}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(data) + "\n" for data in rows))
    return path


@pytest.mark.parametrize("name", ROWS)
def test_each_reference_is_correct_in_evaluation_and_nothing_else_is(name: str):
    references, correct, wrong = ROWS[name]
    graded = row(references[0], references=references[1:])
    assert [
        grade.value
        for grade in grade_answers(name, [*references, *correct], [graded] * (len(references) + len(correct)))
    ] == [1.0] * (len(references) + len(correct))
    assert [grade.value for grade in grade_answers(name, wrong, [graded] * len(wrong))] == [0.0] * len(wrong)


@pytest.mark.parametrize("name", ["math", "numeric", "json", "json_fields", "choice", "tool_calls"])
def test_the_preflight_corrupts_a_reference_until_it_is_wrong_for_all(capsys, tmp_path: Path, name: str):
    """A corrupted 5 is 6, a corrupted A is B: both are other references of their rows."""
    references = {"choice": ["A", "B", "C"], "tool_calls": ROWS["tool_calls"][0]}.get(name, ["5", "6", "7"])
    references = ['{"a": 1}', '{"a": 2}', '{"a": 3}'] if name == "json_fields" else references
    data = write(tmp_path / "rows.jsonl", [{"prompt": "?", "response": references}] * 3)
    code, out, err = run(capsys, "rewards", name, "--data", data, "--preflight", "--json")
    assert (code, json.loads(out)["rewards"][name]["counts"]) == (0, {}), err


@pytest.mark.parametrize(
    "response",
    [
        ["1912", "the year 1912"],
        {"value": "1912", "aliases": ["the year 1912", "1912"], "normalized_value": "1912"},
        {"text": ["1912", "1912", "the year 1912"], "answer_start": [3, 3, 9]},
    ],
)
def test_a_list_of_answers_in_a_data_file_is_one_reference_and_others_that_are_correct(
    capsys, tmp_path: Path, response: Any
):
    """Forms of NQ, TriviaQA and SQuAD, under a column name of their own."""
    rows = [{"question": "When?", "answers": response}] * 3
    data = write(tmp_path / "rows.jsonl", rows)
    answers = write(tmp_path / "answers.jsonl", [{"completion": text} for text in ("1912", "the year 1912", "1913")])
    columns = ("--columns", "{prompt: question, response: answers}")
    code, out, err = run(capsys, "rewards", "exact", "--data", data, *columns, "--completions", answers, "--json")
    assert (code, json.loads(out)["values"]) == (0, {"0": 1, "1": 2}), err
    spec = DatasetSpec(str(data), columns={"prompt": "question", "response": "answers"})
    examples, _ = load_examples([spec])
    assert [example.reference for example in examples] == ["1912"] * 3
    assert examples[0].grading == {"references": ["1912", "the year 1912"]}


def test_listed_answers_and_grading_references_are_joined_and_one_answer_is_no_list(tmp_path: Path):
    grading = {"references": ["c"], "choices": ["x", "y"]}
    rows = [
        {"prompt": "?", "response": ["a", "b"], "grading": grading},
        {"prompt": "?", "response": ["a"]},
        {"prompt": "?", "response": 1, "grading": grading},
    ]
    examples, _ = load_examples([DatasetSpec(str(write(tmp_path / "rows.jsonl", rows)))])
    assert examples[0].grading == {**grading, "references": ["a", "b", "c"]}
    assert (examples[1].reference, examples[1].grading, examples[2].reference) == ("a", {}, "B")


@pytest.mark.parametrize(
    "response, grading, reason",
    [
        ([], {}, "no answer: the list `response` is empty"),
        (["", " "], {}, "no answer: the list `response` is empty"),
        (["a", 1], {}, "`response[1]` must be text: got int"),
        ({"a": "b"}, {}, "`response` must be text: got dict"),
        (1, {}, "`response` must be text: got int"),
        (2, {"choices": ["x", "y"]}, "2 is not the index of one of 2 choices"),
        (0, {"choices": "xy"}, "neither a list nor an object"),
        (["a", "b"], {"references": "c"}, "`references` in `grading` must be a list of texts"),
        ("a", {"references": ["b", 3]}, "rows.jsonl:1: invalid value for grading.references"),
        ("a", {"references": "b"}, "rows.jsonl:1: invalid value for grading.references"),
    ],
)
def test_an_answer_that_is_no_list_of_texts_is_refused_with_its_place(
    capsys, tmp_path: Path, response: Any, grading: Any, reason: str
):
    data = write(tmp_path / "rows.jsonl", [{"prompt": "?", "response": response, "grading": grading}])
    code, _, err = run(capsys, "rewards", "exact", "--data", data, "--preflight")
    assert code == 2 and reason in err and f"{data}:1" in err and "Traceback" not in err


def test_a_reference_that_cannot_be_graded_is_passed_over_unless_none_can(capsys, tmp_path: Path):
    rows = [{"prompt": "?", "response": "5", "grading": {"references": ["many"]}}] * 2
    rows += [{"prompt": "?", "response": "few", "grading": {"references": ["many"]}}]
    data = write(tmp_path / "rows.jsonl", rows)
    answers = write(tmp_path / "answers.jsonl", [{"completion": text} for text in ("5", "many", "5")])
    code, out, err = run(capsys, "rewards", "numeric", "--data", data, "--completions", answers, "--json")
    result = json.loads(out)
    assert (code, result["values"], result["graded"]) == (0, {"0": 1, "1": 1}, 2), err
