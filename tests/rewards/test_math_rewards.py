r"""Mathematical answers: equal answers get 1, and wrong answers that math-verify alone would accept get 0."""

from __future__ import annotations

import time

import pytest

from hrm_align.rewards.base import create_grader
from hrm_align.rewards.math_rewards import _math_verify, _parse_formula, same_answer
from tests.rewards.rows import row

EQUAL = [
    # plain numbers
    ("5", "5.0"), ("5", "05"), ("5", "$5$"), ("5", "x = 5"), ("x=5", "5"), ("1,234", "1234"), ("12\\,000", "12000"),
    ("1/2", "0.5"), (r"\frac12", "0.5"), (r"\dfrac{1}{2}", "1/2"), ("3/4", "6/8"), (r"-\frac{1}{2}", r"\frac{-1}{2}"),
    (r"1 \frac{1}{2}", "1.5"), ("1 1/2", "3/2"), (r"5 \times 10^3", "5000"), (r"2 \cdot 10^{-2}", "0.02"), ("−5", "-5"),
    # with units
    ("5", r"5\text{ cm}"), ("5 cm", "5"), ("12 cm^2", r"12\text{ cm}^2"), ("12", "12 square units"), (r"90^\circ", "90"),
    ("50", r"50\%"), ("0.5", "50%"), (r"\$5", "5 dollars"),
    # text
    ("A", r"\text{A}"), ("(A)", "A"), ("Wednesday", "wednesday"), ("30 wolf", "30 wolf"),
    # formulas
    ("x+1", "1 + x"), ("x^2", r"x \cdot x"), (r"\frac{x}{2}", "x/2"), (r"2\sqrt{3}", r"\sqrt{12}"), (r"\frac{\pi}{2}", r"\pi/2"),
    ("3,4", "4, 3"), (r"\{3,4\}", r"\{4, 3\}"), ("(3,4)", r"\left(3, 4\right)"), ("[0,1)", "[0, 1)"), ("y=2x+1", "y = 1 + 2x"),
    (r"x \le 3", r"x \leq 3"), (r"\sqrt{16}", "4"),
]  # fmt: skip

# Those marked + are the same to math-verify 0.9.
DIFFERENT = [
    ("5", "x"), ("5", "3=5"), ("5", "x=4=5"), ("x=5", "y=5"), ("5", "x>4"), ("5", ""), ("5", "-5"), ("5", "5x"), ("5", "5 or less"),  # +
    ("4", "3 or 4"), ("4", "3, 4"), ("4", r"\{3,4\}"), ("4", "3; 4"), ("4", "3/4"), ("25", "12 13"), ("3", "1 2"), ("8", r"\phantom{3}5"),  # +
    ("64", "23 + 41"), ("5", "2+3"), ("5", r"\sqrt{25}"), ("24", "4!"), ("10", "10^1"), ("1", r"\sin^2 x + \cos^2 x"),  # +
    ("5 cm", "5 m"), ("895 cents", "895 euros"), ("30 wolf", "wolf 30"), ("5", "５"), ("5", "٥"), ("0.1", "0.10000001"),  # +
    ("1/3", "0.333333"), (r"\pi", "3.141592653"), (r"2\sqrt3", "3.4641016151"), ("0", "0.0000001"), ("50 cm", "50%"),  # +
    ("A", "B"), ("A", "a"), ("A", "text"), ("X^2", "x^2"), ("yes", "no"), ("no", "on"), ("yes", "y e s"), ("A", "A, B"),  # +
    ("(3,4)", "(4,3)"), ("(3,4)", "3,4"), ("(3,4)", r"\{3,4\}"), ("(3,4)", "[3,4]"), ("3,4", "3,4,5"), ("[0,1)", "[0,1]"),  # +
    ("x>4", "x>5"), (r"1\le x\le 2", r"1\le y\le 2"), ("x+1", "x+2"), ("1,234", "1, 234"), ("1/0", r"\infty"), ("7", r"7 \text{ and } 8"),
]  # fmt: skip

HUGE = ["9^{9999999}", "9^9^9^9", "99999!", "3!!!", "(" * 5_000, r"\frac{" * 5_000, "1+" * 5_000 + "1"]
HUGE += [r"x^{10^{10^{10}}}", "x^{9999999}", "x + 99999!", "x" * 10_000, "x+" * 5_000 + "x"]


@pytest.mark.parametrize("expected, given", EQUAL)
def test_equal_answers_are_paid_however_they_are_put(expected: str, given: str):
    assert same_answer(given, expected)


@pytest.mark.parametrize("expected, given", DIFFERENT)
def test_an_answer_that_is_not_the_right_one_is_not_paid(expected: str, given: str):
    assert not same_answer(given, expected)


def test_math_verify_alone_would_pay():
    """Why its verdict is not enough. If this fails, it has become stricter, and `same_symbols` may do less."""
    verify = _math_verify()[1]
    for expected, given in (("5", "3=5"), ("64", "23 + 41"), ("A", "a"), ("5 cm", "5 m"), ("25", "12 13")):
        assert verify(_parse_formula(expected), _parse_formula(given))


@pytest.mark.parametrize("given", HUGE)
@pytest.mark.parametrize("expected", ["5", "x^2"])
def test_what_cannot_be_computed_is_wrong_at_once(expected: str, given: str):
    _math_verify()  # its import takes a second
    start = time.monotonic()
    assert not same_answer(given, expected)
    assert time.monotonic() - start < 0.8  # math-verify alone takes its limit, 1 second or more


def test_a_row_whose_answer_states_none_cannot_be_graded():
    reward = create_grader("math", {}).grade
    assert [reward("5", row(text)) for text in ("", r"\boxed{3} or \boxed{4}", r"\boxed{}", "word " * 100)] == [
        None
    ] * 4
    assert reward(r"I think \boxed{\frac{1}{2}}", row("It is 1/2 in all.\n#### 0.5")) == 1.0


def test_a_plain_number_is_not_paid_by_its_question():
    reward = create_grader("math", {}).grade
    assert (
        reward("23 + 41", row("64")) == 0.0
        and reward("23 + 41 = 64", row("64")) == 0.0
        and reward("64", row("64")) == 1.0
    )
