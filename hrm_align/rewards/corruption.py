"""Wrong answers made of right ones, to see that a reward tells them apart."""

from __future__ import annotations

import re
from typing import Any

_DIGIT = re.compile(r"[0-9]")
_LETTER = re.compile(r"\\[A-Za-z]+|(?P<letter>[A-Za-z])")  # not of a LaTeX command


def changed_text(text: str) -> str:
    """The text with its first digit changed, else its first letter, else with more text.

    One place alone: 1/1 with every digit changed might be 2/2.

    >>> changed_text("so 52"), changed_text("wolf"), changed_text("?")
    ('so 62', 'xolf', '?1')
    """
    digit = _DIGIT.search(text)
    if digit:
        return text[: digit.start()] + str(int(digit[0]) % 9 + 1) + text[digit.end() :]
    for found in _LETTER.finditer(text):
        if found["letter"]:
            following = {"z": "a", "Z": "A"}.get(found[0], chr(ord(found[0]) + 1))
            return text[: found.start()] + following + text[found.end() :]
    return text + "1"


def restated(answer: str, wrong: str, text: str, pattern: str | None) -> str:
    """A statement of a wrong answer: in a box, or in place of the answer in the text in which a pattern has found it."""
    return f"\\boxed{{{wrong}}}" if pattern is None else text.replace(answer, wrong)


def changed_json(value: Any) -> Any:
    """The value with everything in it changed that is no list or object; what is empty gets something."""
    if isinstance(value, dict):
        return {key: changed_json(item) for key, item in value.items()} or {"corrupted": True}
    if isinstance(value, list):
        return [changed_json(item) for item in value] or ["corrupted"]
    if isinstance(value, bool) or value is None:
        return "corrupted"
    return changed_text(value) if isinstance(value, str) else value + 1
