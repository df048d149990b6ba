"""One registry of graders: each grades a row, tells a wrong answer from the reference, and shows what it read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hrm_align.errors import UserError
from hrm_align.rewards.base import (
    GRADERS,
    Verifiable,
    check_match,
    create_grader,
    match_names,
    metric_name,
    reward_class,
)
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from hrm_align.rewards.worker_main import Loaded, serve
from tests.rewards.rows import row, skip_without_sandbox

PROGRAM = "def f(x): return x + 1"
OPTIONS = {
    "format": {"tags": ["answer"]},
    "length": {"most": 9},
    "reward_model": {"model": "owner/reward-model"},
    "judge": {"url": "http://localhost:8000/v1", "model": "judge", "rubric": "Polite is good."},
}

# Of each grader a reference, what `grading` holds, a completion that is right, and what is read of it.
GRADED = {
    "math": (r"\boxed{\frac{1}{2}}", {}, "<think>1 or 2</think> so 0.5", "0.5"),
    "exact": ("a b", {}, " a b\n", "a b"),
    "numeric": ("the answer is 5", {}, "2 + 3 = 5 cm", "5"),
    "answer": ("the answer is yes", {}, r"It is \boxed{yes}.", "yes"),
    "json": ('{"a": 1}', {}, '<think>{}</think> { "a": 1 }', '{ "a": 1 }'),
    "json_fields": ('{"a": 1}', {}, ' {"a":1}', '{"a":1}'),
    "json_schema": ('{"a": 1}', {"schema": {"properties": {"a": {"type": "integer"}}}}, '```\n{"a":2}\n```', '{"a":2}'),
    "sql": ("SELECT 1", {"database": "t.sql"}, "<think>?</think>\nSELECT 2 - 1", "SELECT 2 - 1"),
    "choice": ("C", {"choices": ["a", "b", "c"]}, "<think>B</think>It is (C).", "C"),
    "tool_calls": ('{"name": "f", "arguments": {}}', {}, "<think>g()</think>f()", '[{"arguments": {}, "name": "f"}]'),
    "code": (PROGRAM, {"call": "f", "tests": [[[1], 2], [[5], 6]]}, f"<think>?</think>{PROGRAM}", PROGRAM),
}
READS_NOTHING = {
    "math": "3 or 4, so",
    "numeric": "3 or 4",
    "answer": r"\boxed{3} \boxed{4}",
    "json": "{",
    "json_fields": "",
    "json_schema": "{a: 1}",
    "choice": r"\boxed{A} \boxed{B}",
    "tool_calls": "<tool_call>{",
}


def test_every_grader_of_the_registry_has_the_one_protocol():
    assert set(GRADED) == set(match_names()) == set(GRADERS) - set(OPTIONS)
    for name in GRADERS:
        grader = create_grader(name, OPTIONS.get(name, {}))
        assert callable(grader.grade) and not callable(grader) and isinstance(grader, Verifiable) == (name in GRADED)
        assert grader.extract_answer("") is None or name in GRADED
        assert metric_name(name) == f"{name}_match"


@pytest.mark.parametrize("name", GRADED)
def test_a_grader_accepts_the_reference_rejects_a_corrupted_one_and_shows_what_it_read(name: str, tmp_path: Path):
    if name == "code":
        skip_without_sandbox()
    reference, grading, completion, read = GRADED[name]
    (tmp_path / "t.sql").write_text("CREATE TABLE t (a);")
    graded = row(reference, f"{tmp_path}/rows.jsonl:1", **grading)
    wrong = create_grader(name, {}).corrupt_reference(graded)  # type: ignore[attr-defined]
    completions = [reference, completion, wrong, READS_NOTHING.get(name, wrong)]
    with RewardSuite([RewardSpec(name)], workers=1) as suite:
        scores = suite.score(completions, [graded] * 4, extract=True)
        plain = suite.score(completions, [graded] * 4)
    assert scores.values[name] == plain.values[name] == [1.0, 1.0, 0.0, 0.0] and not scores.faults
    assert scores.extracted[name][1] == read
    assert scores.extracted[name][3] is None or name not in READS_NOTHING
    assert plain.extracted == {}, "training does not request it"


def test_what_was_read_may_be_as_long_as_a_completion():
    """A reply is limited in size; 100,000 emoji, twelve bytes each in the reply, are no flood."""
    text = "\U0001f600" * 100_000
    with RewardSuite([RewardSpec("exact")], workers=1) as suite:
        scores = suite.score([text, text], [row("4"), row(text)], extract=True)
    assert scores.values["exact"] == [0.0, 1.0] and scores.extracted["exact"] == [text, text] and not scores.faults


def test_a_row_whose_extraction_fails_keeps_its_value():
    def fails(completion: str) -> str:
        raise RecursionError

    reply = serve(Loaded(lambda rows: ([1.0] * len(rows), {}), fails), [{"completion": "a"}], extract=True)
    assert (reply["values"], reply["extracted"]) == ([1.0], [None])


@pytest.mark.parametrize(
    "name, sentence",
    [
        (
            "sqll",
            r"--match is 'sqll', which is not a grader: did you mean 'sql'\? use one of math, exact, .*sql, code\.",
        ),
        ("format", r"--match is 'format', which checks the form of an answer .*: use one of math"),
        ("length", r"--match is 'length', which checks the form"),
        ("", r"--match is '', which is not a grader: use one of"),
    ],
)
def test_what_cannot_evaluate_answers_is_refused_in_one_sentence(name: str, sentence: str):
    with pytest.raises(UserError, match=sentence):
        check_match(name, "--match")


def test_each_grader_that_may_give_none_says_what_a_reference_must_be():
    """Sql and Code raise an error of their own, and `exact` takes any text."""
    assert {name for name in match_names() if not hasattr(reward_class(name), "needs")} == {"exact", "sql", "code"}
