r"""The answer that is read from the message of a chat model: one rule for completions and references, for every grader."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hrm_align.rewards.base import create_grader
from hrm_align.rewards.preflight import preflight
from hrm_align.rewards.reading import (
    boxed_answers,
    final_answer,
    read_answer,
    read_json,
    read_program,
    read_query,
    visible,
)
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from tests.command_line import run
from tests.rewards.rows import row, skip_without_sandbox


@pytest.mark.parametrize(
    "text, answer",
    [
        (r"so it is \boxed{ 5 }.", "5"),
        (r"\boxed{\frac{1}{2}} and \boxed{ \frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\fbox{7}", "7"),
        ("First 3.\nThe answer is: 5. Thanks.", "5"),
        ("The final answer is 0.5\nso", "0.5"),
        ("3 + 4 = 7\n#### 7", "7"),
        ("5-7=12, 3+1+1=5, so 52", "52"),
        ("64", "64"),
        (r"<think>\boxed{4}, or 3?</think> \boxed{5}", "5"),
        (r"4 it seems</think>5", "5"),
        (r"the answer is 4, in a box \boxed{5}", "5"),
        # none, or several
        (r"\boxed{3} or \boxed{4}", None),
        ("the answer is 3. the answer is 4", None),
        (r"<think>\boxed{5}", None),
        (r"\boxed{5}<think>", "5"),
        (r"\boxed{}", None),
        ("", None),
    ],
)
def test_a_final_answer_is_found_where_it_is_stated_once(text: str, answer: str | None):
    assert final_answer(text) == answer


def test_a_pattern_finds_the_answer_and_nothing_else_does():
    assert final_answer("price: 5, price: 5", r"price: (\d+)") == "5"
    assert final_answer("price: 5, price: 6", r"price: (\d+)") is None
    assert final_answer(r"\boxed{5}", r"price: (\d+)") is None


def test_braces_that_do_not_balance_make_no_box():
    assert (
        boxed_answers(r"\boxed{5") == []
        and boxed_answers(r"} \boxed{5}") == ["5"]
        and boxed_answers(r"\boxed{\boxed{5}}") == [r"\boxed{5}"]
    )


@pytest.mark.parametrize(
    "piece", [r"\boxed{", "{", "}", "<think>", "####", "so ", "1 or ", "the answer is ", r"\boxed{}", "1,"]
)
def test_extraction_takes_time_in_proportion_to_the_text(piece: str):
    start = time.monotonic()
    for function in (boxed_answers, visible, final_answer):
        function(piece * 20_000)
    create_grader("numeric", {}).grade(piece * 20_000, row("5"))
    assert time.monotonic() - start < 1.5  # some 0.1 s; anything quadratic takes minutes


# Chat forms of the answer 41, none of which the cases of the issue hold in these words.
HABITS = [
    "__41__", "**Final answer: 41**", "**The answer is 41.**", "The final answer is: $41$.", "## Final Answer\n\n$$41$$", "Final Answer\n41", "Hence, 41.",
    "Therefore 41", "It is 40 + 1.\nA: 41", "The correct answer is **41** since 40 + 1 = 41.", "The answer to the question is 41.", "<answer>41</answer>",
    "<answer>\n41\n</answer>", "The answer is\n\\[\n41\n\\]\nas shown.", "#### Step 1\n40 + 1\n#### Answer\n41", "Answer: 41\n\n#### Explanation\n40 + 1 is 41.",
    "The answer is 40. Wait, I forgot one. The answer is 41.", "\\boxed{40}? I check again: \\boxed{41}. I hope that helps!", "\\boxed{41} and an open \\boxed{4",
    "Answer: 41 apples\nFinal answer: 41", "```\n41\n```", "Here it is.\n\n```\n41\n```\n\nI hope that helps.", "Thus, 41.\n\nI hope that helps!", "We add.\n```python\n40 + 1\n```\nThe sum is 41.","> **Answer:** 41", "The answer is 41, which is prime.", "\\fbox{41}", "So, the total is **41**.", "Thus, we get 41.", "40 + 1\nThe total is 41.", "I count them. She has 41.", "Hence x = 41.", "ANSWER: `41`",
]  # fmt: skip
NO_HABITS = [
    "The answer is 40, because 41 is odd.", "\\boxed{41}, no: \\boxed{40}", "**40** or **41**", "\\boxed{40}, \\boxed{41}", "Answer: 40\nAnswer: 41", "2**41",
    "The answer is 41. Wait. The answer is 40.", "3 of 41 is 41 or 3", "<think>The answer is 41.</think> I do not know.", "so 41\nor 40", "The answer is 40 or 41.",
]  # fmt: skip


# `numeric` reads the last number of a text that marks no answer.
NO_HABITS_OF_MATH = [
    "The total is not 41.",
    "It was 41 but is 40 now.",
    "It is 40. I was wrong about 41",
    "So it is 41 pears.",
]


@pytest.mark.parametrize("reward", ["math", "numeric"])
def test_forms_that_chat_models_write_are_read(reward: str):
    with RewardSuite([RewardSpec(reward)], workers=1) as suite:
        texts = [*HABITS, *NO_HABITS, *(NO_HABITS_OF_MATH if reward == "math" else [])]
        scores = suite.score(texts, [row("41")] * len(texts), extract=True)
    graded = list(zip(texts, scores.values[reward], scores.extracted[reward], strict=True))
    assert [case for case in graded[: len(HABITS)] if case[1] != 1.0] == []
    assert [case for case in graded[len(HABITS) :] if case[1] != 0.0] == []


def test_a_reference_is_read_by_the_same_rule_and_a_fallback_is_reported(capsys, tmp_path: Path):
    """In public model answers, `so` stands in the reasoning, and the answer after `A:` in the last line."""
    text = "She has 9, so she buys 9 more.\nThat makes 18.\nA: 18"
    assert read_answer(text) == ("18", "marker") and create_grader("math", {}).grade("18", row(text)) == 1.0
    assert create_grader("math", {}).grade("18", row("She has 9, so she buys more.\nIn total 18 eggs.")) is None
    references = [text, r"\boxed{18}", "9 + 9 = 18, so 18", "eighteen", "9 + 9 = 18, thus 18"]
    with RewardSuite([RewardSpec("math")], workers=1) as suite:
        report = preflight(suite, [row(reference, f"r:{line}") for line, reference in enumerate(references)])
        bare = preflight(suite, [row("18")]).rewards["math"]
    assert report.rewards["math"].read_by == {"marker": 1, "box": 1, "last line": 2, "whole text": 1}
    assert report.rewards["math"].describe_fallbacks().startswith("3 of 5 references mark no answer, and are read by")
    assert bare.read_by == {"whole text": 1} and bare.describe_fallbacks() == ""
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"prompt": "q", "response": text}) + "\n" for text in references))
    code, out, _ = run(capsys, "rewards", "math", "--data", data, "--preflight")
    assert code == 0 and "3 of 5 references mark no answer" in " ".join(out.split())


PROGRAM = "import math\n\n\ndef f(x):\n    return math.floor(x) + 1"
QUERY = "SELECT a\nFROM t"
OBJECT = '{"a": [1, "```"]}'
AROUND = [
    "{}",
    "Here it is:\n\n```{}\n{}\n```\n\nI hope that helps.",
    "```\n{}\n```",
    "Sure: see `f`.\n```{}\n{}\n",
    "```{}\r\n{}\n```\r\nDone.",
]


def fences(content: str, language: str) -> list[str]:
    """Return a text in and around code fences."""
    return [text.replace("{}", language, text.count("{}") - 1).replace("{}", content) for text in AROUND]


@pytest.mark.parametrize("text", [*fences(PROGRAM, "python"), f"This is the function:\n{PROGRAM}\n\nIt adds one."])
def test_a_program_is_read_in_a_fence_or_between_sentences(text: str):
    assert read_program(f"<think>```python\nx\n```</think>{text}") == PROGRAM


def test_blocks_of_a_program_are_joined_and_other_blocks_are_left_out():
    text = f"First:\n```python\nx = 1\n```\nRun\n```bash\nls\n```\nthen\n```py\n{PROGRAM}\n```"
    assert read_program(text) == f"x = 1\n\n{PROGRAM}"
    documented = 'def f():\n    """Example:\n\n```\nf()\n```\n    """'
    assert read_program(documented) == documented  # a program as a whole
    assert read_program("no program") == "no program"


@pytest.mark.parametrize("text", [*fences(OBJECT, "json"), f"The object is {OBJECT} as requested."])
def test_json_is_read_in_a_fence_or_between_sentences(text: str):
    assert read_json(text) == OBJECT


@pytest.mark.parametrize(
    "text", [*fences(QUERY, "sql"), f"The query is:\n{QUERY}", f"I join.\n\n{QUERY};\n\nIt finds a."]
)
def test_a_query_is_read_in_a_fence_or_between_sentences(text: str):
    assert read_query(text).rstrip(";") == QUERY


def test_of_several_candidates_the_last_or_none_is_read():
    two = "```{}\n{}\n```\nor\n```{}\n{}\n```"
    assert read_json(two.format("json", "[1]", "json", "[2]")) == "[2]"
    assert read_query(two.format("sql", "SELECT 1", "sql", "SELECT 2")) == "SELECT 2"
    grade = create_grader("json", {}).grade
    assert [
        grade(text, row("[1]")) for text in ("[1] [2]", "[1]\n[1]", "[1] or {}", "1 [1", "```json\n[1]\n[2]\n```")
    ] == [0.0] * 5
    for text in (
        f"EXPLAIN {QUERY}",
        f"-- note\n{QUERY}",
        "WITH c AS (SELECT 1)\n\nSELECT * FROM c",
        f"{QUERY}; DROP TABLE t",
    ):
        assert read_query(text) == text


def test_every_grader_gives_1_to_a_fenced_answer_and_shows_it(tmp_path: Path):
    skip_without_sandbox()
    (tmp_path / "t.sql").write_text("CREATE TABLE t (a); INSERT INTO t VALUES (1);")
    grading = {"code": {"call": "f", "tests": [[[1], 2], [[5], 6]]}, "sql": {"database": "t.sql"}}
    for name, content, language in (
        ("code", PROGRAM, "python"),
        ("sql", QUERY, "sql"),
        ("json", OBJECT, "json"),
        ("json_fields", OBJECT, "json"),
    ):
        graded = row(content, f"{tmp_path}/rows.jsonl:1", **grading.get(name, {}))
        fenced = fences(content, language)[1]
        in_reference = row(fenced, f"{tmp_path}/rows.jsonl:1", **grading.get(name, {}))
        with RewardSuite([RewardSpec(name)], workers=1) as suite:
            scores = suite.score([fenced, content, fenced], [graded, in_reference, in_reference], extract=True)
        assert scores.values[name] == [1.0] * 3 and scores.extracted[name] == [content] * 3
