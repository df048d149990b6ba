"""A plugin of pytest that writes down how much of its tolerance each comparison used.

Reads the explanation that pytest makes of an assertion that holds, `3e-07 < 1e-05` or `0.71 == 0.7 ± 0.05`: the tests need
not know of it. Appends `[share, test, line, comparison]` to the file that the environment variable TOLERANCE_USE names.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

NUMBER = r"-?\d+(?:\.\d*)?(?:e[+-]?\d+)?"
VALUE = rf"(?:\((?:{NUMBER}) [*/] (?:{NUMBER})\)|{NUMBER})"
LARGEST = 0.1  # an upper limit above this is a share or a count, no tolerance


def comparisons(explanation: str) -> Iterator[tuple[float, str]]:
    """(share of the tolerance, what was compared) of each comparison in the explanation of an assertion."""
    text = re.sub(rf"(?:tensor|np\.float64)\(({NUMBER})[^)]*\)", r"\1", explanation.split("\n")[0])
    for found in re.finditer(rf"({NUMBER}) <=? ({VALUE})(?![\w.])", text):
        small, limit = float(found[1]), value_of(found[2])
        if 0 < limit < LARGEST and small >= 0:
            yield small / limit, found[0]
    for found in re.finditer(rf"({NUMBER}) == ({NUMBER}) ± ({NUMBER})", text):
        difference, limit = abs(float(found[1]) - float(found[2])), float(found[3])
        if limit > 0:
            yield difference / limit, found[0]


def value_of(text: str) -> float:
    """Of a number, or of a product or quotient of two in parentheses."""
    if not text.startswith("("):
        return float(text)
    left, operator, right = text.strip("()").split(" ")
    return float(left) * float(right) if operator == "*" else float(left) / float(right)


def pytest_assertion_pass(item: Any, lineno: int, orig: str, expl: str) -> None:
    if item.get_closest_marker("numeric") and "TOLERANCE_USE" in os.environ:
        lines = [json.dumps([share, item.nodeid, lineno, text]) + "\n" for share, text in comparisons(expl)]
        with open(os.environ["TOLERANCE_USE"], "a", encoding="utf-8") as file:
            file.write("".join(lines))
