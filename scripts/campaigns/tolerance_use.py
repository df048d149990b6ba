"""Pytest plugin that records how much of its tolerance each comparison of floats used.

The plugin parses pytest's explanation of a passing assertion, such as `3e-07 < 1e-05` or `0.71 == 0.7 ± 0.05`, so the tests need
no change. It appends `[share, test, line, comparison]` to the file in the environment variable TOLERANCE_USE.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

NUMBER = r"-?\d+(?:\.\d*)?(?:e[+-]?\d+)?"
VALUE = rf"(?:\((?:{NUMBER}) [*/] (?:{NUMBER})\)|{NUMBER})"
LARGEST = 0.1  # a larger upper limit is a share or a count and not a tolerance


def comparisons(explanation: str) -> Iterator[tuple[float, str]]:
    """Yield (share of the tolerance, text) of each comparison in the explanation of an assertion."""
    text = re.sub(rf"(?:tensor|np\.float64)\(({NUMBER})[^)]*\)", r"\1", explanation.split("\n")[0])
    for match in re.finditer(rf"({NUMBER}) <=? ({VALUE})(?![\w.])", text):
        small, limit = float(match[1]), parse_value(match[2])
        if 0 < limit < LARGEST and small >= 0:
            yield small / limit, match[0]
    # In a chain of approximations, the number before `==` can be the tolerance of the one before.
    for match in re.finditer(rf"(?<!± )(?<![\w.-])({NUMBER}) == ({NUMBER}) ± ({NUMBER})", text):
        difference, limit = abs(float(match[1]) - float(match[2])), float(match[3])
        if limit > 0:
            yield difference / limit, match[0]


def parse_value(text: str) -> float:
    """Parse a number, or a product or quotient of two numbers in parentheses."""
    if not text.startswith("("):
        return float(text)
    left, operator, right = text.strip("()").split(" ")
    return float(left) * float(right) if operator == "*" else float(left) / float(right)


def pytest_assertion_pass(item: Any, lineno: int, orig: str, expl: str) -> None:
    """Record the comparisons of a passing assertion in a test with the marker `numeric`."""
    if item.get_closest_marker("numeric") and "TOLERANCE_USE" in os.environ:
        lines = [json.dumps([share, item.nodeid, lineno, text]) + "\n" for share, text in comparisons(expl)]
        with open(os.environ["TOLERANCE_USE"], "a", encoding="utf-8") as file:
            file.write("".join(lines))
