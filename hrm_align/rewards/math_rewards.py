r"""Grader for mathematical answers: the final answer of a text must equal that of the reference, as a person would grade.

Rules, in the order in which they apply:

- Numbers. A plain number (integer, decimal, fraction, mixed or scaled number) equals a number of exactly the same value:
  0.5 is 1/2 and 2/4; a rounded value is wrong. An expression such as `23 + 41` does not answer a question whose
  reference is a plain number, since otherwise a question would be rewarded as its own answer.
- Units may be left out on either side, but not differ: `10 inches` is 10, and not 10 feet. Units are units of
  measurement, currencies, and nouns from the prompt or the reference (`5 apples`). All other words count: `5 million`
  is 5,000,000, and `5 squared`, `5xy` and `5 wrong` are not 5.
- Percent. `50%` is 1/2 and 0.5. It is also 50, where the sign is left out: if the reference has the sign, or is a number
  above 1.
- Degrees. `90°` is 90, and not pi/2.
- Rounding. `\sqrt{2}` is not 1.41421356; a value after `\approx` is ignored if an exact one stands before it.
- Names. `x = 5` and `x \in [2, 5)` are 5 and [2, 5); `x = 5` is not `y = 5`.
- Parts. Lists, sets and unions have no order, tuples, intervals, matrices and ratios have one. A tuple is written as a
  tuple or as `x = 3, y = 4`: `3, 4` is a list, in which the order is not stated. `(1, 2)` and `\{1, 2\}` differ.
- A base belongs to the number (`101_2` is neither 101 nor 5), a prime to the function.
- Text equals text without regard to capitals, a first `a`, `an` or `the`, and a period. Single letters keep their case.
- Formulas are equal if math-verify proves it (`hrm_align.rewards.math_formulas`); equations and inequalities also up to
  a constant factor. What the parser does not read in full is compared as text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from hrm_align.rewards import math_formulas
from hrm_align.rewards.base import Row, state_answer
from hrm_align.rewards.math_formulas import equal_formulas, equal_relations
from hrm_align.rewards.math_notation import normalize, singular, split_unit
from hrm_align.rewards.math_structure import Node, parse_answer, same_structure
from hrm_align.rewards.reading import final_answer
from hrm_align.rewards.text_rewards import FinalAnswerGrader, check_reference

SHORT_CHARACTERS = 200  # a reference with a longer final answer cannot be graded
MAX_LENGTH_FACTOR = 3  # a formula may be this many times as long as the reference, plus `SHORT_CHARACTERS`
PROMPT_CHARACTERS = 20_000  # of a prompt, in which nouns are looked up

_COMMAND = re.compile(r"\\[A-Za-z]+")
_LETTERS = re.compile(r"[A-Za-z]+")
_ARTICLE = re.compile(r"^(?:an?|the) (?=\w{2})", re.IGNORECASE)
_SPACE = re.compile(r"(?<![0-9]) | (?![0-9])")  # but not the space of 1 2
_BRACED_SCRIPT = re.compile(r"([\^_])\{(\w)\}")


@dataclass(frozen=True)
class Math(FinalAnswerGrader):
    r"""1 if the final answer equals that of the reference: the same number, or a formula that math-verify proves equal.
    The final answer is the last \boxed{}, else the text after the last `the answer is`, `answer:`, `A:`, heading
    `Answer` or `####`, else what the last line states (`so 5`, `the total is 5`), else the whole text; or the match of a
    pattern. A unit may be left out, but not differ; `50%` is 1/2; rounded values and reordered tuples are
    wrong; lists and sets have no order."""

    def prepare(self) -> None:
        """Import math-verify, which takes a second."""
        math_formulas.load()

    def grade(self, completion: str, row: Row) -> float | None:
        """Return 0 or 1; None if the reference states no final answer, one longer than `SHORT_CHARACTERS`, or prose of
        several lines."""
        check_reference(row)
        expected = final_answer(row.reference, self.pattern)
        if expected is None or len(expected) > SHORT_CHARACTERS or ("\n" in expected and is_text(expected)):
            return None
        given = final_answer(completion, self.pattern)
        return float(given is not None and same_answer(given, expected, prompt_words(row)))

    def corrupt_otherwise(self, row: Row) -> str:
        r"""Return a text that states the answer and a word more: `\log_3 1` is still 0, and `0 wrong` is not."""
        answer = final_answer(row.reference, self.pattern) or ""
        return state_answer(answer, rf"{answer} \text{{ wrong}}", row.reference, self.pattern)


def prompt_words(row: Row) -> frozenset[str]:
    """Return the words of the row's messages, lower-case and in the singular: the nouns that may follow a number."""
    messages: Any = getattr(row, "messages", ())
    texts = [message["content"] if isinstance(message, Mapping) else message.content for message in messages]
    return _words(" ".join(texts)[:PROMPT_CHARACTERS])


@lru_cache(maxsize=64)  # the completions of a group share their prompt
def _words(text: str) -> frozenset[str]:
    return frozenset(singular(word) for word in _LETTERS.findall(text.lower()) if len(word) > 2)


@lru_cache(maxsize=4096)  # completions of one group often state the same answer
def same_answer(given: str, expected: str, nouns: frozenset[str] = frozenset()) -> bool:
    """Return whether two final answers are equal. Must run in the main thread of a process that may be killed.

    Args:
        given: final answer of the completion.
        expected: final answer of the reference.
        nouns: words that may follow a number as the unit of what is counted.
    """
    if len(given) > MAX_LENGTH_FACTOR * len(expected) + SHORT_CHARACTERS:
        return False
    given, expected = normalize(given), normalize(expected)
    if not given or not expected:
        return False
    if given == expected:
        return True
    nouns = nouns | _words(_COMMAND.sub(" ", expected))

    def same_leaf(given: Node, expected: Node) -> bool:
        return same_part(given.text, expected.text, nouns)

    return same_structure(parse_answer(given), parse_answer(expected), same_leaf, _same_relation)


def same_part(given: str, expected: str, nouns: Collection[str]) -> bool:
    """Return whether two normalized numbers, texts or formulas are equal."""
    if not given or not expected:
        return False
    if _plain_spelling(given) == _plain_spelling(expected):
        return True
    given_quantity, expected_quantity = split_unit(given, nouns), split_unit(expected, nouns)
    given_number, expected_number = given_quantity.number, expected_quantity.number
    if given_number is not None and expected_number is not None:
        percent = [quantity.unit == "%" for quantity in (given_quantity, expected_quantity)]
        if any(percent) and not all(percent) and "" in (given_quantity.unit, expected_quantity.unit):
            return _same_percentage(given_number, expected_number, percent[1])
        return given_number == expected_number and _same_unit(given_quantity.unit, expected_quantity.unit)
    if expected_number is not None or is_text(given) or is_text(expected):
        return _plain_text(given) == _plain_text(expected)
    if (
        not _same_unit(given_quantity.unit, expected_quantity.unit)
        or "%" in given_quantity.unit + expected_quantity.unit
    ):
        return False
    return equal_formulas(given_quantity.body, expected_quantity.body)


def _same_percentage(given: Fraction, expected: Fraction, sign_expected: bool) -> bool:
    """Compare a number with `%` and one without; `sign_expected` is whether the reference has the sign."""
    share, bare = (expected, given) if sign_expected else (given, expected)
    return share == 100 * bare or (share == bare and (sign_expected or abs(bare) > 1))


def _same_unit(given: str, expected: str) -> bool:
    return given == expected or not given or not expected


def _same_relation(given: Node, expected: Node) -> bool:
    given_sides, expected_sides = [(side.parts[0].text, side.parts[1].text) for side in (given, expected)]
    if any(map(is_text, (*given_sides, *expected_sides))):
        return False
    return equal_relations(given_sides, expected_sides, sign=expected.text)


def is_text(text: str) -> bool:
    """Return whether a normalized text is prose or a name: it has a word of four letters, or only letters."""
    bare = _COMMAND.sub(" ", text)
    if any(len(run) > 3 for run in _LETTERS.findall(bare)):
        return True
    return bool(re.fullmatch(r"[A-Za-z ]{2,}", text))


def _plain_text(text: str) -> str:
    """Return a text in the form in which two texts are compared."""
    text = _ARTICLE.sub("", text.strip('". '))
    return text.casefold() if len(text) > 1 else text


def _plain_spelling(text: str) -> str:
    r"""Return a formula without spaces, and with `x^2` for `x^{2}`; a text with words as it is."""
    return text if is_text(text) else _SPACE.sub("", _BRACED_SCRIPT.sub(r"\1\2", text))
