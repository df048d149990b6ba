r"""Mathematical answers: equal answers get 1, and wrong answers that math-verify alone would accept get 0."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from math_verify import parse, verify

from hrm_align.data.examples import Example
from hrm_align.rendering import Message
from hrm_align.rewards.base import corrupt_text, create_grader
from hrm_align.rewards.math_formulas import load
from hrm_align.rewards.math_rewards import same_answer
from tests.command_line import run
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

# By kind: numbers, units, lists and signs, tuples and intervals, matrices, text, relations, formulas, bases and ratios.
KINDS_EQUAL = [
    ("0.75", r"\frac{3}{4}"), (r"\frac{1}{6}", r"0.1\overline{6}"), ("5000000", "5 million"), ("1.5e3", "1500"), (r"3\frac{1}{4}", "13/4"),
    ("7{,}500", "7500"), (r"40\%", r"\frac{2}{5}"), (r"40\%", "40"), (r"\$7.50", "7.5"), ("7.50", r"\$7.50"), ("12", r"12\text{ square feet}"),
    (r"12\text{ m}^2", "12 square meters"), (r"60^\circ", "60 degrees"), (r"4\pi\text{ in}^2", r"4 \pi"), (r"30\text{ mph}", "30 miles per hour"),
    (r"\pm 2", "-2, 2"), (r"1 \pm \sqrt{5}", r"1-\sqrt{5} \text{ or } 1+\sqrt{5}"), ("4, 7", r"\{7, 4\}"), ("4, 7", "x = 4 or x = 7"),
    ("4, 7", "x_1 = 4, x_2 = 7"), (r"\emptyset", r"\{\}"), ("(2,5)", "x = 2, y = 5"), ("(2,5)", "(x, y) = (2, 5)"), ("(2,5)", "2 < x < 5"),
    (r"(-\infty, 0)\cup(4, \infty)", r"x < 0 \text{ or } x > 4"), (r"[3,\infty)", r"x \ge 3"), (r"[3,\infty)", r"x \in [3, \infty)"),
    (r"(-\infty,\infty)", r"\mathbb{R}"), (r"\begin{pmatrix}2\\5\end{pmatrix}", r"\begin{bmatrix} 2 \\[3pt] \frac{10}{2} \end{bmatrix}"),
    (r"\begin{pmatrix}2\\5\end{pmatrix}", "(2, 5)"), (r"\text{(B)}", "B"), (r"\text{Maybe}", "maybe."), (r"\text{square}", "a square"),
    ("y = 3x - 1", "3x - y = 1"), ("y = 3x - 1", "3x - 1"), ("x + 2y = 3", "-2x - 4y = -6"), ("x > 2y", "2y < x"), (r"x \ne 1", r"1 \ne x"),
    ("a^3+b^3", "b^3+a^3"), ("(x+2)^2", "x^2+4x+4"), ("3i+1", "1+3i"), (r"\frac{x}{2}", "1/2 x"), (r"2(\frac{1}{2})x", "x"), (r"e^x", r"\exp(x)"),
    (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt2}{2}"), (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}"), ("f'(x)", r"f^{\prime}(x)"), ("73_8", "73_{8}"),
    ("2:4:6", "1:2:3"), (r"\sin 30^\circ", r"\frac12"), ("AB = 7", "7"), ("2xyz", "2zyx"), (r"\frac{1}{3} \approx 0.33", r"\frac13"),
    (r"\{2\}", "2"), (r"\{2, 3\}", "{3, 2}"), ("7", "= 7"), ("7", "{7}"), ("0.3x", "0.1x + 0.2x"), ("3:4", r"\frac{3}{4}"), ("i^2", "-1"), (r"(-\infty, 2)", r"\{x \mid x < 2\}"), ("(101)_2", "101_{2}"), ("y = x/2", "x = 2y"),
    (r"(-\infty, \infty)", r"\text{all real numbers}"),
]  # fmt: skip
KINDS_DIFFERENT = [
    ("0.5", "0.5%"), (r"\frac{1}{3}", "0.333"), ("5", "5 million"), ("5", "5 hundred"), ("5", "5x"), ("5", "5m"), ("5", r"5 \text{ wrong}"), ("5", "5'"),
    ("5", "5 half"), ("5", "5_8"), (r"7\text{ feet}", r"7\text{ inches}"), (r"60^\circ", r"\frac{\pi}{3}"), (r"60^\circ", "60%"), ("7 cents", r"\$7"),
    (r"\pm 2", "2"), (r"\pm 2", "2, 2"), ("4, 4, 7", "4, 7, 7"), ("4, 7", "4"), ("4", "4, 4"), ("(2,5)", "x = 5, y = 2"), ("(2,5)", "[2,5]"),
    ("(2,5)", "2.5"), ("[3, 4)", "3 < x < 4"), (r"[3,\infty)", "x > 3"), (r"(-\infty, 3)", "x > 3"), (r"\{1,2\}", "(1,2)"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}"), (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{vmatrix}1&2\\3&4\end{vmatrix}"),
    ("B", "b"), ("square", "not a square"), ("y = 3x", "x = 3y"), ("x > 2", "-x > -2"), ("x^2+1=0", "x^2+3=0"), ("x^2=4", "x=2"), ("x=2", "2x"),
    (r"\log_2(8)=3", r"\log_3(8)=3"), ("10^{-30}", "10^{-31}"), (r"\frac{1}{7^{50}}", r"\frac{1}{7^{51}}"), (r"\pi", "3.14159265358979323846264338327950288"),
    (r"\sqrt{x^2}", "x"), ("f'(x)", "f''(x)"), ("x_1", "x_2"), (r"\gamma", r"\Gamma"), ("a:b", "b:a"), ("1:2", "1.2"), ("2(1/2)", "5/2"),
    ("x^{12}", "x^1 2"), (r"\sin x", r"\sin y"), (r"\vec{v}", "v"), ("5!", "5"), ("12 apples", "13 apples"), (r"\lfloor x\rfloor", r"\lceil x\rceil"),
    ("i^2", "1"), ("7", "7 or"), ("7", "7 = 7"), ("7", "not = 7"), ("{7, 8}", "(7, 8)"), ("i", "-i"), (r"\{2\}", "3"), ("3:4", r"\frac{4}{3}"), (r"(-\infty, 2)", r"\{x \mid x > 2\}"), (r"(-\infty, 2)\cup(3,\infty)", "x < 2 or y > 3"),
    ("x = 1, 2", "y = 1, 2"), ("x = 5", "y = 5"),
]  # fmt: skip

HUGE = ["9^{9999999}", "9^9^9^9", "99999!", "3!!!", "(" * 5_000, r"\frac{" * 5_000, "1+" * 5_000 + "1"]
HUGE += [r"x^{10^{10^{10}}}", "x^{9999999}", "x + 99999!", "x" * 10_000, "x+" * 5_000 + "x"]


@pytest.mark.parametrize("expected, given", EQUAL)
def test_equal_answers_are_paid_however_they_are_put(expected: str, given: str):
    assert same_answer(given, expected)


@pytest.mark.parametrize("expected, given", DIFFERENT)
def test_an_answer_that_is_not_the_right_one_is_not_paid(expected: str, given: str):
    assert not same_answer(given, expected)


@pytest.mark.parametrize("expected, given", KINDS_EQUAL)
def test_an_answer_in_another_notation_is_equal(expected: str, given: str):
    assert same_answer(given, expected)


@pytest.mark.parametrize("expected, given", KINDS_DIFFERENT)
def test_what_the_parser_drops_or_the_notation_decides_is_different(expected: str, given: str):
    assert not same_answer(given, expected)


def test_math_verify_alone_would_accept_wrong_answers():
    """Why its verdict is not enough. If this fails, it has become stricter, and a rule here may be superfluous."""
    wrong = [("5", "3=5"), ("64", "23+41"), ("A", "a"), ("5\\text{ cm}", "5\\text{ m}"), ("1,1,2,3", "2,1,2,3"), ("101_2", "101"),
             ("f'(x)", "f(x)"), ("10^{-20}", "10^{-21}"), ("4x^2+8x+19=0", "5x^2+8x+19=0"), ("\\{1,2\\}", "(1,2)")]  # fmt: skip
    for expected, given in wrong:
        parsed = [parse(f"${side}$", fallback_mode="no_fallback") for side in (expected, given)]
        assert verify(*parsed), (expected, given)
        assert not same_answer(given, expected)


@pytest.mark.parametrize("given", HUGE)
@pytest.mark.parametrize("expected", ["5", "x^2"])
def test_what_cannot_be_computed_is_wrong_at_once(expected: str, given: str):
    load()  # its import takes a second
    start = time.process_time()
    assert not same_answer(given, expected)
    assert time.process_time() - start < 0.8  # math-verify alone takes its limit, 1 second or more


def test_nouns_of_the_prompt_may_follow_a_number_and_other_words_may_not():
    apples = Example(
        (Message("user", "How many apples are left of half of 5 million?"),), Message("assistant", "5"), "direct", "r:1"
    )
    grade = create_grader("math", {}).grade
    answers = {
        "5 apples": 1.0,
        "5 apple": 1.0,
        "5 pears": 0.0,
        "5 million": 0.0,
        "5 million apples": 0.0,
        "5 apples left": 1.0,
        "5 half": 0.0,
    }
    assert {answer: grade(answer, apples) for answer in answers} == answers
    assert grade("5 wolves", row("5 wolf")) == 0.0 and grade("5", row("5 wolf")) == 1.0


WRONG_BY_COMMAND = [
    ("5", "5 thousand"), ("7", "7xyz"), ("3", "3 cubed"), ("4", "4 maybe"), (r"\boxed{110_{2}}", r"\boxed{110}"), (r"\boxed{g''(x)}", r"\boxed{g'(x)}"),
    (r"\boxed{2:3:5}", r"\boxed{2:5:3}"), (r"\boxed{x^2+x+1=0}", r"\boxed{x^2+x+2=0}"), ("12", "1 2"), (r"\boxed{x_1}", r"\boxed{x}"),
]  # fmt: skip


def test_the_command_gives_0_to_answers_of_which_only_a_part_is_right(capsys, tmp_path: Path):
    data = tmp_path / "rows.jsonl"
    lines = [{"prompt": "q", "response": right, "completion": wrong} for right, wrong in WRONG_BY_COMMAND]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, out, err = run(capsys, "rewards", "math", "--data", data, "--format", "prompt_response", "--json")
    assert code == 0 and json.loads(out)["values"] == {"0": len(lines)}, err


# --- Respellings, generated by rules


def _without_spaces(text: str) -> str:
    return re.sub(r"(?<!\\) (?![A-Za-z])|(?<![A-Za-z\\]) ", "", text)


def _other_matrix(text: str) -> str:
    for name, other in (("pmatrix", "bmatrix"), ("bmatrix", "pmatrix")):
        if name in text:
            return text.replace(name, other)
    return text


# Each rule changes the notation and not the meaning; a rule that changes nothing is not counted.
RESPELLINGS: dict[str, Callable[[str], str]] = {
    "no spaces": _without_spaces,
    "spaces": lambda text: re.sub(r"(?<=[0-9}])([-+=,:)])", r" \1 ", text.replace(" ", "  ")),
    "matrix": _other_matrix,
    "array": lambda text: re.sub(r"\\begin\{.matrix\}(.*)\\end\{.matrix\}", r"\\left[\\begin{array}{cc}\1\\end{array}\\right]", text),
    "braces": lambda text: re.sub(r"([_^])(\w)", r"\1{\2}", text),
    "no braces": lambda text: re.sub(r"([_^])\{(\w)\}", r"\1\2", text),
    "dfrac": lambda text: text.replace("\\frac", "\\dfrac"),
    "tfrac": lambda text: text.replace("\\frac", "\\tfrac"),
    "slash": lambda text: re.sub(r"^\\frac\{(\d+)\}\{(\d+)\}$", r"\1/\2", text),
    "left right": lambda text: re.sub(r"([)\]])", r"\\right\1", re.sub(r"([(\[])", r"\\left\1", text)),
    "thousands": lambda text: re.sub(r"(?<![\d.])(\d{1,3})(\d{3})(?!\d)", r"\1{,}\2", text) if "," not in text else text,
    "thin": lambda text: re.sub(r"(?<![\d.])(\d{1,3})(\d{3})(?!\d)", r"\1\\,\2", text),
    "and": lambda text: re.sub(r"^(?!.*[(\[{])(.*), ", r"\1 \\text{ and } ", text),
    "or": lambda text: re.sub(r"^(?!.*[(\[{])(.*), ", r"\1 or ", text),
    "degree": lambda text: text.replace("^\\circ", "^{\\circ}"),
    "degrees": lambda text: text.replace("^\\circ", " degrees"),
    "dollars": lambda text: f"${text}$",
    "display": lambda text: f"\\[ \\displaystyle {text} \\]",
    "period": lambda text: f"{text}.",
    "name": lambda text: text if "=" in text or "\\text" in text else f"x = {text}",
    "comma": lambda text: text.replace(", ", ",\\ ") if re.search(r", (?!\d{3})", text) else text,
    "plus minus": lambda text: re.sub(r"^(.*)\\pm (.*)$", r"\1+\2, \1-\2", text).replace("$+", "$"),
}  # fmt: skip


def _bases(rng: random.Random) -> list[str]:
    a, b, c, d = rng.sample(range(2, 98), 4)
    return [
        f"{a}{b:02}{c % 10}", rf"\frac{{{a}}}{{{b}}}", rf"{a}\frac{{1}}{{{b}}}", f"{a}.{b}", rf"{a}\sqrt{{{b}}} + {c}", rf"{a}^\circ",
        f"{a}x^2 + {b}y^2", f"x^{{{a}}} - {b}y_1", rf"\frac{{{a}x}}{{y + {b}}}", f"e^{{{a}x}}", f"y = {a}x^2 + {b}", f"x^2 + y^2 = {a}",
        f"({a}, {b})", f"[{a}, {a + b})", f"{a}, {b}, {c}", rf"\{{{a}, {b}, {c}\}}", rf"{a} \pm {b}\sqrt{{{c}}}", f"{a}{c % 10}_{{{8}}}",
        rf"\begin{{pmatrix}} {a} & {b} \\ {c} & {d} \end{{pmatrix}}", rf"(-\infty, {a}] \cup [{a + b}, \infty)", rf"{a} \text{{ cm}}^2",
        rf"\sin {a}x", f"f'({a}x)", f"{a}:{b}:{c}", rf"\log_{b % 7 + 2} {a}", rf"{a}\%", rf"\$ {a}.50",
    ]  # fmt: skip


# Each changes the meaning in one place.
NEAR_MISSES: dict[str, Callable[[str], str]] = {
    "digit": lambda text: corrupt_text(text),
    "last digit": lambda text: re.sub(r"(\d)(\D*)$", lambda m: f"{(int(m[1]) + 1) % 10}{m[2]}", text) if not text.endswith("}") else text,
    "sign": lambda text: text.replace(" + ", " - ", 1),
    "swapped": lambda text: re.sub(r"^\((\d+), (\d+)\)$", r"(\2, \1)", text),
    "ratio": lambda text: re.sub(r"^(\d+):(\d+)", r"\2:\1", text),
    "bracket": lambda text: text.replace(")", "]") if text.startswith(("[", "(-")) else text,
    "fewer": lambda text: re.sub(r", \d+$", "", text),
    "twice": lambda text: re.sub(r"^(\d+), \d+, ", r"\1, \1, ", text),
    "transposed": lambda text: re.sub(r"(\d+) (\\\\) (\d+)", r"\3 \2 \1", text),
    "unit": lambda text: text.replace("cm", "mm"),
    "area": lambda text: text.replace("cm}^2", "cm}"),
    "no base": lambda text: re.sub(r"^(\d+)_.*", r"\1", text),
    "no prime": lambda text: text.replace("'", ""),
    "exponent": lambda text: re.sub(r"(?<=x)\^(2|\{\d+\})", "", text),
    "root": lambda text: re.sub(r"\\sqrt\{(\d+)\}", r"\1", text) if "pm" not in text else text,
    "one of two": lambda text: text.replace("\\pm", "+") if "pm" in text and "matrix" not in text else text,
    "function": lambda text: text.replace("\\sin", "\\cos"),
    "variable": lambda text: text.replace("x", "z") if "x" in text and "ma" not in text and "e^" not in text else text,
    "scale": lambda text: f"{text} million" if text.isdigit() else text,
    "word": lambda text: rf"{text} \text{{ wrong}}",
    "not": lambda text: f"not {text}",
    "factor": lambda text: f"2{text}" if text.startswith(("e", "\\sin", "\\log")) else text,
    "inverse": lambda text: re.sub(r"^\\frac\{(.*)\}\{(.*)\}$", r"\\frac{\2}{\1}", text),
}  # fmt: skip


def _variants(rules: dict[str, Callable[[str], str]]) -> list[tuple[str, str, str]]:
    """Return rule, formula and changed formula, for three sets of numbers."""
    bases = [base for seed in range(3) for base in _bases(random.Random(seed))]
    return [(name, base, new) for name, change in rules.items() for base in bases if (new := change(base)) != base]


def test_respellings_are_equal_and_near_misses_are_not():
    load()
    respelt, missed = _variants(RESPELLINGS), _variants(NEAR_MISSES)
    assert len(respelt) > 400 and not RESPELLINGS.keys() - {name for name, _, _ in respelt}
    assert len(missed) > 200 and not NEAR_MISSES.keys() - {name for name, _, _ in missed}
    refused = [case for case in respelt if not same_answer(case[2], case[1])]
    assert len(refused) <= 0.02 * len(respelt), refused
    assert [case for case in missed if same_answer(case[2], case[1])] == []


def test_many_boxes_never_earn_more_than_the_last_one_would():
    rng, grade = random.Random(1), create_grader("math", {}).grade
    gaps = [" ", ", ", " or ", " and ", ". No: ", ", I mean ", "\n\nWait, let me check. "]
    earned = 0.0
    for _ in range(300):
        numbers = [str(rng.randint(1, 4)) for _ in range(rng.randint(1, 6))]
        boxes = [rf"\boxed{{{number}}}" for number in numbers]
        text = boxes[0] + "".join(rng.choice(gaps) + box for box in boxes[1:])
        reward = grade(text, row("3"))
        assert reward <= grade(boxes[-1], row("3"))
        earned += reward
    assert earned > 20  # corrected boxes count


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
