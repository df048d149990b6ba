"""Held-out rows are chosen by what they say."""

from hrm_align.data.examples import Example, split_by_content
from hrm_align.rendering import Message


def example(prompt, answer="a", system=None):
    messages = [Message("user", prompt)] if system is None else [Message("system", system), Message("user", prompt)]
    return Example(tuple(messages), Message("assistant", answer), "direct", f"f:{prompt}")


def test_the_share_is_met_and_the_choice_is_the_same_in_any_order():
    rows = [example(f"question {i}") for i in range(4000)]
    train, held_out = split_by_content(rows, 0.1)
    assert 340 < len(held_out) < 460 and len(train) + len(held_out) == 4000
    assert {e.source for e in split_by_content(rows[::-1], 0.1)[1]} == {e.source for e in held_out}


def test_copies_and_later_turns_stay_on_one_side():
    rows = [example(f"question {i}", answer=f"{j}", system=f"be {j}") for i in range(200) for j in range(3)]
    train, held_out = split_by_content(rows, 0.3)
    assert not {e.source for e in train} & {e.source for e in held_out}


def test_nothing_is_held_out_unless_asked():
    assert split_by_content([example("a")], 0.0)[1] == []
