"""Where a text states its final answer. Linear in its length, whatever the text, but for a pattern of the user's own.

What a model thinks, in `<think>...</think>`, is no answer. A text that states several different answers has none: otherwise
a list of guesses would be paid for the one that is right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from hrm_align.errors import UserError
from hrm_align.rewards.base import Row

_BOX_OR_BRACE = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_MARKER = re.compile(r"\bthe\s+(?:final\s+)?answer\s+is\b:?|\banswer\s*:|####", re.IGNORECASE)
_SO = re.compile(r"\bso\b,?", re.IGNORECASE)
_END = re.compile(r"\.(?=\s|$)|\n")

# ASCII digits alone, since other scripts' are no number to a checker; whole, so that nothing is read of 1.2.3 or ２5.
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3}(?!\w))?(?!\d|\.\d|,\d{3}(?!\d))"
)
_APART = re.compile(r"[^\W\d]|[=:\n≈→]")  # what may stand between two numbers of which the second is the answer
_OR = re.compile(r"\bor\b", re.IGNORECASE)


# `\\b` is a backspace in JSON: unless the backslash is doubled, "\\boxed{5}" is read as a backspace and `oxed{5}`.
_RUINED_BOX = re.compile(r"(?<![A-Za-z\\])b?oxed\s*\{|\x08oxed")


def check_reference(row: Row) -> None:
    """Raises UserError for a right answer whose box has lost its backslash, so that nothing in it is marked any more."""
    if _RUINED_BOX.search(row.reference) and not boxed(row.reference):
        lost = "a backspace character and `oxed{`" if "\x08" in row.reference else "`boxed{` without its backslash"
        raise UserError(
            f"{row.source}: the right answer holds {lost}: JSON has eaten the backslash of \\boxed. Write it as \\\\boxed "
            "in JSON, or with json.dumps."
        )


def visible(text: str) -> str:
    """The text after all thinking; empty if the thinking does not end."""
    return text.rpartition("</think>")[2].partition("<think>")[0].strip()


def boxed(text: str) -> list[str]:
    r"""The content of every outermost `\boxed{...}`, whose braces must balance.

    >>> boxed(r"so \boxed{\frac{1}{2}}")
    ['\\frac{1}{2}']
    """
    found: list[str] = []
    open_at: list[int | None] = []  # for each open brace where its box's content starts, or None
    for token in _BOX_OR_BRACE.finditer(text):
        if token[0] == "}":
            start = open_at.pop() if open_at else None
            if start is not None and not any(at is not None for at in open_at):
                found.append(text[start : token.start()].strip())
        elif token[0].endswith("{") and token[0] != r"\{":
            open_at.append(token.end() if token[0] != "{" else None)
    return found


def stated(text: str) -> list[str]:
    """What stands after every `the answer is`, `answer:` or `####`, to the end of the sentence or line."""
    marks = [*_MARKER.finditer(text)]
    ends = [*(mark.start() for mark in marks), len(text)][1:]
    return [_first_sentence(text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]


def final_answer(text: str, pattern: str | None = None) -> str | None:
    r"""The answer that a text states, or None.

    It is what `pattern` finds. Without one it is the content of `\boxed{...}`, else what stands after `the answer is`,
    `answer:` or `####`, else after the last `so`, else the whole text.

    Args:
        text: all of it.
        pattern: regular expression with one group.
    """
    text = visible(text)
    if pattern is not None:
        return only(re.findall(pattern, text, re.DOTALL))
    marked = boxed(text) or stated(text)
    if marked:
        return only(marked)
    so = [*_SO.finditer(text)]
    return only([_first_sentence(text[so[-1].end() :]) if so else text])


def last_number(text: str, pattern: str | None = None) -> Decimal | None:
    """The value of `number_text`."""
    digits = number_text(text, pattern)
    return Decimal(digits.replace(",", "")) if digits is not None else None


def number_text(text: str, pattern: str | None = None) -> str | None:
    """The last number of a text's answer, or None if there is none that stands alone.

    The answer is what `final_answer` finds by the pattern, a box or a marker; else it is the whole text. In `3 or 4`, `3, 4`,
    `3/4` or `10^10` the last number is no answer; in `3 + 1 = 4` it is.
    """
    text = visible(text)
    marked = re.findall(pattern, text, re.DOTALL) if pattern is not None else boxed(text) or stated(text)
    answer = only(marked) if marked or pattern is not None else text
    numbers = [*_NUMBER.finditer(answer or "")]
    if answer is None or not numbers:
        return None
    rest = _first_sentence(answer[numbers[-1].end() :])
    if _OR.search(rest) or rest.startswith(("^", "/", "*")):
        return None
    if len(numbers) > 1:
        between = answer[numbers[-2].end() : numbers[-1].start()]
        if not _APART.search(between) or (_OR.search(between) and not re.search(r"[=:.\n]", between)):
            return None
    return numbers[-1][0]


def only(answers: Sequence[str]) -> str | None:
    """The one answer of a list, however often it is repeated; None if there is none, it is empty, or there are several."""
    different = {" ".join(answer.split()): answer.strip() for answer in answers}
    return next(iter(different.values())) or None if len(different) == 1 else None


def _first_sentence(text: str) -> str:
    return _END.split(text.strip(), maxsplit=1)[0].strip()
