r"""Values of each grader: 1 for correct answers in any notation, 0 for wrong answers, None without a usable reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.errors import UserError
from hrm_align.rewards.base import GRADERS, Verifiable, create_grader, list_options, reward_class
from hrm_align.rewards.json_rewards import json_match
from hrm_align.rewards.text_rewards import overlong_punishment
from tests.rewards.rows import row, skip_without_sandbox

DATA = Path(__file__).parents[2] / "data"


def value(name: str, completion: str, reference: str, **options: Any) -> float | None:
    return create_grader(name, options).grade(completion, row(reference))


# --- Numbers


@pytest.mark.parametrize(
    "completion",
    [
        "5",
        "5.0",
        " +5 ",
        "It is 5.",
        "2 + 3 = 5",
        "10 - 5 = 5",
        "so 5 cm",
        r"3, no: \boxed{5}",
        "3\n5",
        "5!",
        "5e0",
        "$5",
        "5%",
    ],
)
def test_a_number_is_right_however_it_is_put(completion: str):
    assert value("numeric", completion, "the answer is 5") == 1.0


@pytest.mark.parametrize(
    "completion",
    [
        "3 or 5",
        "3, 5",
        "3 5",
        "3/5",
        "5/3",
        "10-5",
        "2*5",
        "1^5",
        "5 or six",
        "３５",
        "v1.5",
        "1.2.5",
        "5 7",
        "-5",
        "five",
        "",
        "3 or maybe 5",
    ],
)
def test_a_list_of_guesses_or_an_expression_is_no_number(completion: str):
    assert value("numeric", completion, "5") == 0.0


def test_numbers_are_exact_and_written_in_groups_of_three_or_not():
    assert value("numeric", "1,234,567", "1234567") == 1.0
    assert value("numeric", "12,34", "1234") == 0.0
    assert value("numeric", "12345678901234567890.1", "12345678901234567890.2") == 0.0
    assert value("numeric", "9" * 10_000, "5") == 0.0
    assert value("numeric", "1e999", "5") == 0.0


def test_the_tolerance_is_the_largest_difference_that_is_right():
    assert value("numeric", "5.1", "5", tolerance=0.1) == 1.0  # exactly: 5.1 - 5 is 0.0999... in floats
    assert value("numeric", "5.2", "5.1", tolerance=0.1) == 1.0  # and 0.1000...5
    assert value("numeric", "5.11", "5", tolerance=0.1) == 0.0


def test_a_right_answer_without_a_number_grades_nothing():
    assert [value("numeric", "5", reference) for reference in ("five", "3 or 5", "3, 5", "")] == [None] * 4


# --- Text, JSON and form


def test_text_is_right_if_it_is_the_same():
    assert (
        value("exact", " a b\n", "a b") == 1.0
        and value("exact", "a  b", "a b") == 0.0
        and value("exact", "", " ") is None
    )
    assert value("answer", "6, so yes it is", "5, so yes it is") == 1.0
    assert value("answer", "so yes it is not", "5, so yes it is") == 0.0
    assert value("answer", "x=1;", "x=1; y=2", pattern=r"x=(\d)") == 1.0
    assert value("answer", "x=1", "y=2", pattern=r"x=(\d)") is None


@pytest.mark.parametrize(
    "completion",
    [
        '{"a": 9, "a": 1}',
        '{"a": 1} ',
        '{"a": 1.0}',
        '{"a": true}',
        '{"a": 1, "b": NaN}',
        '{"a": 1}{}',
        "[" * 10_000,
        '"\ud800"',
        "",
    ],
)
def test_json_must_be_the_same_value_and_json_at_all(completion: str):
    assert value("json", completion, '{"a": 1}') == float(completion == '{"a": 1} ')


def test_what_python_alone_takes_for_json_is_none():
    assert json_match("NaN", "NaN") is None and json_match("1", '{"a": 1, "a": 1}') is None
    assert value("json", "<think>{}</think> {}", "{}") == 1.0


@pytest.mark.parametrize(
    "completion, share",
    [
        ('{"a": 1, "b": 2}', 1.0),
        ('{"a": 1}', 0.5),
        ('{"a": 1, "b": 2, "c": 3, "d": 4}', 0.5),  # 2 right ones of 4
        ('{"a": true, "b": 2.0}', 0.0),
        ('{"a": 1, "b": 3, "b": 2}', 0.0),
        ("[]", 0.0),
        ("", 0.0),
    ],
)
def test_fields_are_paid_by_their_share_of_all_that_were_asked_for_or_given(completion: str, share: float):
    assert value("json_fields", completion, '{"a": 1, "b": 2}') == share


def test_a_schema_pays_nothing_for_what_it_does_not_allow(tmp_path: Path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"properties": {"a": {"type": "integer"}}, "required": ["b"]}))
    assert value("json_fields", '{"a": 1}', '{"a": 1, "b": 2}', schema=str(path)) == 0.0
    assert value("json_fields", '{"b": 2}', '{"a": 1, "b": 2}', schema=str(path)) == 0.5
    assert [value("json_fields", "{}", reference) for reference in ("{}", "1", "no")] == [None] * 3


@pytest.mark.parametrize(
    "completion, right",
    [
        ("<think>a</think><answer>b</answer>", 1.0),
        (" <think>\na\n</think>\n\n<answer>b</answer>\n", 1.0),
        ("<answer>b</answer><think>a</think>", 0.0),
        ("<think>a<answer>b</answer></think>", 0.0),
        ("<think>a</think><answer>b", 0.0),
        ("<think> </think><answer>b</answer>", 0.0),
        ("<think>a</think><think>a</think><answer>b</answer>", 0.0),
    ],
)
def test_tags_stand_once_in_order_and_hold_something(completion: str, right: float):
    assert value("format", completion, "?", tags=["think", "answer"]) == right


def test_a_pattern_must_match_the_whole_answer():
    assert value("format", "a\nb ", "?", pattern="a.b") == 1.0
    assert value("format", "a\nbc", "?", pattern="a.b") == 0.0


def test_length_is_paid_within_bounds_and_punished_beyond_soft_ones():
    assert [value("length", text, "?", least=2, most=3) for text in ("a", "ab", "abc", "abcd")] == [0.0, 1.0, 1.0, 0.0]
    assert value("length", "one two three", "?", most=3, unit="words") == 1.0
    # Equation 13 of DAPO with L_max = 20 and L_cache = 10: (10 - 15) / 10 = -0.5
    assert [overlong_punishment(length, 10, 20) for length in (0, 10, 15, 20, 90)] == [0.0, 0.0, -0.5, -1.0, -1.0]


# --- All of them


def test_every_reward_describes_itself_and_its_options():
    for name in GRADERS:
        assert reward_class(name).__doc__.strip().endswith(".") or name == "length"
        assert all(text and not text.endswith(".") for _, _, text in list_options(reward_class(name)))


SHIPPED = {
    "sql": "sql",
    "code": "code",
    "json": "json_extraction",
    "json_fields": "json_extraction",
    "exact": "chat",
    "answer": "lookup",
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_answers_get_1_and_corrupted_ones_0(name: str):
    if name == "code":
        skip_without_sandbox()
    reward = create_grader(name, {})
    assert isinstance(reward, Verifiable)
    for example in load_examples([DatasetSpec(str(DATA / SHIPPED[name] / "test.jsonl"))])[0][:100]:
        assert reward.grade(example.reference, example) == 1.0
        assert reward.grade(reward.corrupt_reference(example), example) == 0.0


@pytest.mark.parametrize("reference", ["so \x08oxed{5}", "so oxed{5}", "so boxed{5}"])
def test_a_box_that_json_has_ruined_is_named(reference: str):
    for name in ("math", "numeric", "answer"):
        with pytest.raises(UserError, match=r"rows.jsonl:1: .*backslash of \\boxed was not escaped"):
            value(name, "5", reference)
    assert value("math", r"\boxed{5}", r"as unboxed{4} it is \boxed{5}") == 1.0
