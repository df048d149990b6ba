r"""Whether a mathematical answer is the right one: plain numbers exactly, everything else by math-verify, which needs guarding.

math-verify (0.9) raises in threads, takes seconds or all memory for 10^{10^{10}}, and is permissive: it finds `5` in `3 = 5`
and `x = 4 = 5`, 25 in `12 13`, the set {3, 4} in the point `(3, 4)`, `a` in `A`, 5 m in 5 cm, and 64 in `23 + 41`, so that a
question is its own answer. So both sides must be made of the same material (`math_text.same_material`) before it is asked,
and it is asked in a worker process only (`hrm_align.rewards.workers`).
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hrm_align.rewards.corruption import changed_text, restated
from hrm_align.rewards.extraction import check_reference, final_answer
from hrm_align.rewards.math_text import assignment, literal, normal, same_material, same_number, words
from hrm_align.rewards.base import Row, compiled, option

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

    pattern: str | None = option(None, "regular expression with one group, around the answer")

    def __post_init__(self) -> None:
        if self.pattern is not None:
            compiled(self.pattern, groups=1)

    def prepare(self) -> None:
        """Import what takes a second."""
        _math_verify()

    def __call__(self, completion: str, row: Row) -> float | None:
        """0 or 1; None if the right answer states none."""
        check_reference(row)
        expected = final_answer(row.reference, self.pattern)
        if expected is None or len(expected) > SHORT_CHARACTERS:
            return None
        given = final_answer(completion, self.pattern)
        return float(given is not None and same_answer(given, expected))

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
