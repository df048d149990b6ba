r"""Compare mathematical answers: plain numbers exactly, all other formulas with math-verify behind additional checks.

math-verify (0.9) raises in threads, takes seconds or all memory for 10^{10^{10}}, and accepts too much: `3 = 5` as 5,
`x = 4 = 5` as 5, `12 13` as 25, the point `(3, 4)` as the set {3, 4}, `A` as `a`, 5 cm as 5 m, and `23 + 41` as 64, so
that a question would be graded as its own answer. Therefore both formulas must consist of the same symbols
(`same_symbols`) before math-verify is called, and grading happens only in a worker process
(`hrm_align.rewards.workers`). Plain numbers and their units are parsed from the normalized text:

>>> parse_literal(normalize(r"$\frac{3}{4}$ kg."))
Literal(value=Fraction(3, 4), unit='kg')
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, ClassVar

from hrm_align.rewards.base import Row, compile_pattern, corrupt_text, option, state_answer
from hrm_align.rewards.text_rewards import check_reference, final_answer

SECONDS = 1  # limit for parsing a formula, and for comparing two; math-verify takes whole seconds
DIGITS = 12  # decimals within a formula must agree to this many digits
SHORT_CHARACTERS = 200  # a reference with a longer final answer cannot be graded
MAX_LENGTH_FACTOR = 3  # a formula may be this many times as long as the reference, plus `SHORT_CHARACTERS`

# Not passed to math-verify: towers of exponents, long exponents and factorials cannot be computed; two adjacent numbers
# would be added.
_UNSAFE = re.compile(r"\^\s*\{?[^{}^]{0,20}\^|\^\s*\{?\s*-?\s*[0-9]{4}|[0-9]{3}\s*!|!\s*!|[0-9]\s+[0-9]")


@dataclass(frozen=True)
class Math:
    r"""1 if the final answer equals that of the reference: the same number, or a formula that math-verify proves equal.
    Searches \boxed{} first, then the text after `the answer is`, `answer:`, `####` or `so`; or uses a
    pattern."""

    needs: ClassVar[str] = "one final answer"
    pattern: str | None = option(None, "regular expression with one group, which contains the answer")

    def __post_init__(self) -> None:
        if self.pattern is not None:
            compile_pattern(self.pattern, groups=1)

    def prepare(self) -> None:
        """Import math-verify, which takes a second."""
        _math_verify()

    def grade(self, completion: str, row: Row) -> float | None:
        """Return 0 or 1; None if the reference states no final answer, or one longer than `SHORT_CHARACTERS`."""
        check_reference(row)
        expected = final_answer(row.reference, self.pattern)
        if expected is None or len(expected) > SHORT_CHARACTERS:
            return None
        given = final_answer(completion, self.pattern)
        return float(given is not None and same_answer(given, expected))

    def extract_answer(self, completion: str) -> str | None:
        """Return the final answer."""
        return final_answer(completion, self.pattern)

    def corrupt_reference(self, row: Row) -> str:
        """Return a text that states another final answer."""
        answer = final_answer(row.reference, self.pattern) or ""
        return state_answer(answer, corrupt_text(answer), row.reference, self.pattern)


def same_answer(given: str, expected: str) -> bool:
    """Return whether two final answers are equal. Must run in the main thread of a process that may be killed.

    Args:
        given: final answer of the completion.
        expected: final answer of the reference.
    """
    given_variable, given = split_assignment(normalize(given))
    expected_variable, expected = split_assignment(normalize(expected))
    if not given or not expected or (given_variable and expected_variable and given_variable != expected_variable):
        return False
    # A reference that is a plain number is compared exactly.
    given_number, expected_number = parse_literal(given), parse_literal(expected)
    if expected_number is not None:
        return given_number is not None and same_number(given_number, expected_number)
    # A reference in prose is compared as text.
    if given == expected or prose_words(expected):
        return given.casefold() == expected.casefold()
    # Only formulas remain; a decimal does not answer a question about an exact formula.
    if given_number is not None and "." in given:
        return False
    too_long = len(given) > MAX_LENGTH_FACTOR * len(expected) + SHORT_CHARACTERS
    if too_long or prose_words(given) or _UNSAFE.search(given) or _UNSAFE.search(expected):
        return False
    return same_symbols(given, expected) and _proved_equal(given, expected)


@lru_cache(maxsize=4096)  # completions of one group often state the same answer
def _proved_equal(given: str, expected: str) -> bool:
    verify = _math_verify()[1]
    left, right = _parse_formula(expected), _parse_formula(given)
    if not left or not right:
        return False
    return bool(verify(left, right, float_rounding=DIGITS, timeout_seconds=SECONDS))


@lru_cache(maxsize=1024)  # a reference is parsed once, not once for each completion
def _parse_formula(formula: str) -> list[Any]:
    """Return the expression that math-verify parses from a formula, in a list of one; an empty list on failure."""
    parse, _, extraction = _math_verify()
    parsed = parse(
        f"\\boxed{{{formula}}}",
        extraction_config=[extraction(boxed_match_priority=0)],
        fallback_mode="no_fallback",
        extraction_mode="first_match",
        parsing_timeout=SECONDS,
    )
    return parsed[:1]  # without the text of the formula, which `verify` would compare as well


@lru_cache(maxsize=1)
def _math_verify() -> tuple[Any, Any, Any]:
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # hides one log line for each unparsable formula
    from math_verify import parse, verify
    from math_verify.parser import LatexExtractionConfig

    return parse, verify, LatexExtractionConfig


_DROPPED = re.compile(r"\\left(?![a-z])|\\right(?![a-z])|\\displaystyle|\\[()\[\]!;:]|\$|\\\$|\\ |~")
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|operatorname|mbox)\s*\{([^{}]*)\}")
_SAME = {
    "\\dfrac": "\\frac",
    "\\tfrac": "\\frac",
    "\\leq": "\\le",
    "\\geq": "\\ge",
    "\\neq": "\\ne",
    "≤": "\\le ",
    "≥": "\\ge ",
    "−": "-",
    "\\%": "%",
    "^\\circ": "°",
    "^{\\circ}": "°",
    "\\cdot": "\\times",
}
_SAME_PATTERN = re.compile("|".join(f"{re.escape(old)}(?![a-z])" for old in sorted(_SAME, key=len, reverse=True)))
_THIN = re.compile(r"(?<=[0-9])\\,(?=[0-9]{3}(?![0-9]))")  # 12\,000

_DECIMAL = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,300})(?:\.[0-9]{1,300})?|\.[0-9]{1,300}"
_WHOLE = r"[0-9]{1,300}"
_LITERAL = re.compile(
    rf"(?P<sign>[-+]?)\s*(?:(?P<mixed>{_WHOLE}(?=\s*\\frac|\s+[0-9]+/))?\s*"
    rf"(?:\\frac\s*(?:\{{\s*(?P<n1>-?{_WHOLE})\s*\}}|(?P<n2>[0-9]))\s*(?:\{{\s*(?P<d1>{_WHOLE})\s*\}}|(?P<d2>[0-9]))"
    rf"|(?P<n3>{_WHOLE})\s*/\s*(?P<d3>{_WHOLE}))"
    rf"|(?P<decimal>{_DECIMAL})(?:\s*\\times\s*10\s*\^\s*(?P<power>\{{-?[0-9]{{1,3}}\}}|[0-9]))?)"
    r"\s*(?P<unit>.*)",
    re.DOTALL,
)
_WORD = r"(?:[mgshNJWVKLl]|[^\W\d_]{2,20})(?:\^\{?-?[1-4]\}?|[²³])?"  # without x and n, since 5x does not equal 5
_UNIT = re.compile(rf"(?:[%°€£¥]|{_WORD}(?:[\s/*]{{1,2}}{_WORD})*)?\s?")
_NO_UNIT = re.compile(r"\b(?:or|and|to|not|but|than|if|plus|minus|times|maybe|of|is)\b", re.IGNORECASE)
MAX_UNIT_WORDS = 3

_COMMAND = re.compile(r"\\[A-Za-z]+")
_LETTERS = re.compile(r"[A-Za-z]+")
_RELATION = re.compile(r"[=<>]|\\(?:le|ge|ne|in|approx|equiv|to)(?![a-z])")
_BRACKETS = re.compile(r"\\[{}]|[()\[\]]")


@dataclass(frozen=True)
class Literal:
    """A plain number and the unit after it; the unit is `""` if there is none."""

    value: Fraction
    unit: str


def normalize(text: str) -> str:
    """Return the text without typesetting that does not change its meaning, and with one spelling for each symbol."""
    text = _SAME_PATTERN.sub(lambda match: _SAME[match[0]], _THIN.sub("", text.strip()))
    text = _DROPPED.sub(" ", text.replace("\\,", " "))
    text = " ".join(_WRAPPED.sub(r" \1 ", text).split()).replace(" ^", "^")
    return text.rstrip(".").strip()


def split_assignment(text: str) -> tuple[str, str]:
    """Split a normalized text into variable and value: `x = 5` is `("x", "5")`; without a variable, `("", text)`."""
    match = re.fullmatch(r"([A-Za-z](?:_\{?\w\}?)?)\s*=\s*([^=<>]+)", text)
    return (match[1], match[2]) if match else ("", text)


def parse_literal(text: str) -> Literal | None:
    """Parse a normalized text that is one plain number: an integer, decimal, fraction or multiple of a power of ten.

    A unit may follow the number. An expression such as `2 + 3` or `\\sqrt{25}` is not a plain number; otherwise a
    question would be rewarded as its own answer.

    Returns:
        The number and its unit, or None if the text is anything else.
    """
    match = _LITERAL.fullmatch(text)
    if match is None or not _UNIT.fullmatch(match["unit"]) or _NO_UNIT.search(match["unit"]):
        return None
    unit = " ".join(match["unit"].split()).casefold()
    if len(unit.split()) > MAX_UNIT_WORDS:
        return None
    if match["decimal"] is not None:
        value = Fraction(match["decimal"].replace(",", ""))
        value *= Fraction(10) ** int((match["power"] or "0").strip("{}"))
    else:
        numerator = int(match["n1"] or match["n2"] or match["n3"])
        denominator = int(match["d1"] or match["d2"] or match["d3"])
        if denominator == 0:
            return None
        value = int(match["mixed"] or 0) + Fraction(numerator, denominator)
    return Literal(-value if match["sign"] == "-" else value, unit)


def same_number(given: Literal, expected: Literal) -> bool:
    """Return whether the values are exactly equal and the units are equal; a missing unit equals any unit.

    `50 %` equals both 0.5 and 50.
    """
    if "%" in (given.unit, expected.unit) and given.unit != expected.unit:
        hundredth = Fraction(1, 100)
        shares = [number.value * (hundredth if number.unit == "%" else 1) for number in (given, expected)]
        bare = "" in (given.unit, expected.unit)
        return bare and (given.value == expected.value or shares[0] == shares[1])
    return given.value == expected.value and (given.unit == expected.unit or not given.unit or not expected.unit)


def prose_words(text: str) -> list[str]:
    """Return the words of three letters or more outside LaTeX commands; a formula has no such words."""
    return [run for run in _LETTERS.findall(_COMMAND.sub(" ", text)) if len(run) >= 3]


def same_symbols(given: str, expected: str) -> bool:
    """Return whether two normalized formulas have the same letters, relations, brackets and number of parts.

    math-verify treats `(3, 4)` and `3, 4`, `A` and `a`, or `5` and `3 = 5` as equal.
    """
    given_runs, expected_runs = _letter_runs(given), _letter_runs(expected)
    given_words = {run for run in given_runs if len(run) > 1}
    expected_words = {run for run in expected_runs if len(run) > 1}
    return (
        set("".join(given_runs)) == set("".join(expected_runs))
        and (not given_words or not expected_words or given_words == expected_words)
        and Counter(_RELATION.findall(given)) == Counter(_RELATION.findall(expected))
        and _tuple_brackets(given) == _tuple_brackets(expected)
        and given.count(",") == expected.count(",")
        and given.count(";") == expected.count(";")
    )


def _letter_runs(text: str) -> list[str]:
    return _LETTERS.findall(_COMMAND.sub(" ", text))


def _tuple_brackets(text: str) -> tuple[str, ...]:
    """Return the brackets of a text with comma-separated parts; an empty tuple for a text without a comma."""
    return tuple(_BRACKETS.findall(text)) if "," in text else ()
