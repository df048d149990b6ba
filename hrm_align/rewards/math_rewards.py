r"""Whether a mathematical answer is the right one: plain numbers exactly, everything else by math-verify, which needs guarding.

math-verify (0.9) raises in threads, takes seconds or all memory for 10^{10^{10}}, and is permissive: it finds `5` in `3 = 5`
and `x = 4 = 5`, 25 in `12 13`, the set {3, 4} in the point `(3, 4)`, `a` in `A`, 5 m in 5 cm, and 64 in `23 + 41`, so that a
question is its own answer. So both sides must be made of the same material (`same_material`) before it is called, and it is
called in a worker process only (`hrm_align.rewards.workers`). The normal form of a text gives plain numbers with their units:

>>> literal(normal(r"$\frac{3}{4}$ kg."))
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

from hrm_align.rewards.base import Row, changed_text, compiled, option, restated
from hrm_align.rewards.text_rewards import check_reference, final_answer

SECONDS = 1  # for reading an answer, and for comparing it; math-verify counts in whole seconds
DIGITS = 12  # that decimals within a formula must agree in
SHORT_CHARACTERS = 200  # of an answer that nothing marks as one
MOST_LONGER = 3  # times as long as the right one may a formula be, and `SHORT_CHARACTERS` more

# Towers, long exponents and factorials cannot be computed; two numbers side by side would be added.
_UNSAFE = re.compile(r"\^\s*\{?[^{}^]{0,20}\^|\^\s*\{?\s*-?\s*[0-9]{4}|[0-9]{3}\s*!|!\s*!|[0-9]\s+[0-9]")


@dataclass(frozen=True)
class Math:
    r"""1 if the final answer equals the right one: the same number, or a formula that math-verify proves equal. Finds it in
    \boxed{}, after `the answer is`, `####` or `so`, or by a pattern."""

    needs: ClassVar[str] = "one final answer"
    pattern: str | None = option(None, "regular expression with one group, around the answer")

    def __post_init__(self) -> None:
        if self.pattern is not None:
            compiled(self.pattern, groups=1)

    def prepare(self) -> None:
        """Import what takes a second."""
        _math_verify()

    def grade(self, completion: str, row: Row) -> float | None:
        """0 or 1; None if the reference states no final answer, or a long one."""
        check_reference(row)
        expected = final_answer(row.reference, self.pattern)
        if expected is None or len(expected) > SHORT_CHARACTERS:
            return None
        given = final_answer(completion, self.pattern)
        return float(given is not None and same_answer(given, expected))

    def extracted(self, completion: str) -> str | None:
        """The final answer."""
        return final_answer(completion, self.pattern)

    def corrupted(self, row: Row) -> str:
        """Another answer, stated as the right one is."""
        answer = final_answer(row.reference, self.pattern) or ""
        return restated(answer, changed_text(answer), row.reference, self.pattern)


def same_answer(given: str, expected: str) -> bool:
    """Whether two final answers are equal. Must run in the main thread of a process that may be killed."""
    (variable, given), (asked, expected) = assignment(normal(given)), assignment(normal(expected))
    if not given or not expected or (variable and asked and variable != asked):
        return False
    number, right = literal(given), literal(expected)
    if right is not None:
        return number is not None and same_number(number, right)
    if given == expected or words(expected):
        return given.casefold() == expected.casefold()
    if number is not None and "." in given:
        return False  # a decimal is not what an exact formula was asked for
    too_long = len(given) > MOST_LONGER * len(expected) + SHORT_CHARACTERS
    if too_long or words(given) or _UNSAFE.search(given) or _UNSAFE.search(expected):
        return False
    return same_material(given, expected) and _proved_equal(given, expected)


@lru_cache(maxsize=4096)  # the completions of a group repeat each other
def _proved_equal(given: str, expected: str) -> bool:
    verify = _math_verify()[1]
    left, right = _parsed(expected), _parsed(given)
    if not left or not right:
        return False
    return bool(verify(left, right, float_rounding=DIGITS, timeout_seconds=SECONDS))


@lru_cache(maxsize=1024)  # a right answer is asked for once for each completion
def _parsed(formula: str) -> list[Any]:
    """What math-verify reads of a formula: the expression and its text; nothing if it cannot."""
    parse, _, extraction = _math_verify()
    found = parse(
        f"\\boxed{{{formula}}}",
        extraction_config=[extraction(boxed_match_priority=0)],
        fallback_mode="no_fallback",
        extraction_mode="first_match",
        parsing_timeout=SECONDS,
    )
    return found[:1]  # without its text, which `verify` would compare, too


@lru_cache(maxsize=1)
def _math_verify() -> tuple[Any, Any, Any]:
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it logs what it cannot read
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
_WORD = r"(?:[mgshNJWVKLl]|[^\W\d_]{2,20})(?:\^\{?-?[1-4]\}?|[²³])?"  # not x or n: 5x is no 5
_UNIT = re.compile(rf"(?:[%°€£¥]|{_WORD}(?:[\s/*]{{1,2}}{_WORD})*)?\s?")
_NO_UNIT = re.compile(r"\b(?:or|and|to|not|but|than|if|plus|minus|times|maybe|of|is)\b", re.IGNORECASE)
MOST_UNIT_WORDS = 3

_COMMAND = re.compile(r"\\[A-Za-z]+")
_LETTERS = re.compile(r"[A-Za-z]+")
_RELATION = re.compile(r"[=<>]|\\(?:le|ge|ne|in|approx|equiv|to)(?![a-z])")
_BRACKETS = re.compile(r"\\[{}]|[()\[\]]")


@dataclass(frozen=True)
class Literal:
    """A plain number, and the unit that follows it; `""` if none does."""

    value: Fraction
    unit: str


def normal(text: str) -> str:
    """The text without mathematical typesetting that means nothing."""
    text = _SAME_PATTERN.sub(lambda match: _SAME[match[0]], _THIN.sub("", text.strip()))
    text = _DROPPED.sub(" ", text.replace("\\,", " "))
    text = " ".join(_WRAPPED.sub(r" \1 ", text).split()).replace(" ^", "^")
    return text.rstrip(".").strip()


def assignment(text: str) -> tuple[str, str]:
    """The variable that a normal text gives a value to, or `""`; and the value. `x = 5` is `("x", "5")`."""
    match = re.fullmatch(r"([A-Za-z](?:_\{?\w\}?)?)\s*=\s*([^=<>]+)", text)
    return (match[1], match[2]) if match else ("", text)


def literal(text: str) -> Literal | None:
    """The number that a normal text is, if it is nothing else: an integer, decimal, fraction or power of ten, and a unit.

    An expression such as `2 + 3` or `\\sqrt{25}` is none: a question must not be paid for as its own answer.
    """
    match = _LITERAL.fullmatch(text)
    if match is None or not _UNIT.fullmatch(match["unit"]) or _NO_UNIT.search(match["unit"]):
        return None
    unit = " ".join(match["unit"].split()).casefold()
    if len(unit.split()) > MOST_UNIT_WORDS:
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
    """The same value to the last digit, in the same unit or with one of the two left out. 50 % is 0.5, and 50 for `50 %`."""
    if "%" in (given.unit, expected.unit) and given.unit != expected.unit:
        hundredth = Fraction(1, 100)
        shares = [number.value * (hundredth if number.unit == "%" else 1) for number in (given, expected)]
        bare = "" in (given.unit, expected.unit)
        return bare and (given.value == expected.value or shares[0] == shares[1])
    return given.value == expected.value and (given.unit == expected.unit or not given.unit or not expected.unit)


def words(text: str) -> list[str]:
    """Runs of three letters and more that are no LaTeX command: a text that has them is prose, not a formula."""
    return [run for run in _LETTERS.findall(_COMMAND.sub(" ", text)) if len(run) >= 3]


def same_material(given: str, expected: str) -> bool:
    """Whether two normal formulas have the same letters, relations, brackets and number of parts.

    math-verify reads `(3, 4)` and `3, 4`, `A` and `a`, or `5` and `3 = 5` as the same.
    """
    pairs = (
        Counter(run for run in _runs(given) if len(run) > 1),
        Counter(run for run in _runs(expected) if len(run) > 1),
    )
    return (
        set("".join(_runs(given))) == set("".join(_runs(expected)))
        and (not pairs[0] or not pairs[1] or pairs[0].keys() == pairs[1].keys())
        and Counter(_RELATION.findall(given)) == Counter(_RELATION.findall(expected))
        and _outer(given) == _outer(expected)
        and given.count(",") == expected.count(",")
        and given.count(";") == expected.count(";")
    )


def _runs(text: str) -> list[str]:
    return _LETTERS.findall(_COMMAND.sub(" ", text))


def _outer(text: str) -> tuple[str, ...]:
    """The brackets of a text, if there are parts between them that a comma separates."""
    return tuple(_BRACKETS.findall(text)) if "," in text else ()
