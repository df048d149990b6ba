"""Scores, their intervals, and what is asked."""

import pytest

from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import few_shot, last_turns
from hrm_align.evaluation.scores import Score, percent
from hrm_align.rendering import Message


def example(prompt, answer, source, group="g", history=()):
    return Example((*history, Message("user", prompt)), Message("assistant", answer), "direct", source, group)


@pytest.mark.numeric
@pytest.mark.parametrize(
    "correct, n, low, high",
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_intervals_of_published_examples(correct, n, low, high):
    # The last is Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662.
    assert Score(correct, n).interval == pytest.approx((low, high), abs=1e-4)


def test_records_of_earlier_versions_are_still_shown():
    """They had no `score`; an export reads the guard of the run that it publishes."""
    assert percent({"exact_match": 0.5, "interval": [0.25, 0.75]}) == percent(
        {"score": 0.5, "sql_match": 0.5, "interval": [0.25, 0.75]}
    )


def test_a_conversation_is_graded_by_its_last_answer():
    first = example("a", "1", "f:1")
    second = example("b", "2", "f:1", history=(Message("user", "a"), Message("assistant", "1")))
    assert last_turns([first, second, example("c", "3", "f:2")]) == [second, example("c", "3", "f:2")]


def test_few_shot_puts_solved_rows_of_the_same_group_first():
    pool = [example(f"q{i}", f"a{i}", f"f:{i}", "ab"[i % 2]) for i in range(8)]
    asked = few_shot(pool, pool, 2)
    for row, original in zip(asked, pool, strict=True):
        *shots, question = row.messages[0].content.split("\n\n")
        assert question == original.messages[0].content and len(shots) == 2
        for shot in shots:
            number = int(shot.split("\n")[0][1:])
            assert shot == f"q{number}\na{number}" and number % 2 == int(question[1:]) % 2
            assert shot.split("\n")[0] != question, "the question's own answer is never shown"
    assert few_shot(pool, pool, 2) == asked and few_shot(pool, pool, 0) == pool


def test_few_shot_refuses_conversations():
    row = example("b", "2", "f:1", history=(Message("user", "a"), Message("assistant", "1")))
    with pytest.raises(UserError, match=r"f:1.*single-turn"):
        few_shot([row], [row] * 9, 2)
