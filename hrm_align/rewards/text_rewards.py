"""Rewards on text: exact answers, final answers and numbers, and the shape of a completion.

The final answer is extracted in time linear in the text, but for a pattern of the user's own. What a model thinks, in
`<think>...</think>`, is no answer. A text that states several different answers has none: otherwise a list of guesses would
be rewarded for the one that is right. Rewards for the shape need no reference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from hrm_align.errors import UserError
from hrm_align.rewards.base import Row, changed_text, checked_number, compiled, option, restated


@dataclass(frozen=True)
class Exact:
    """1 for the same text as the reference, but for space around it."""

    def grade(self, completion: str, row: Row) -> float | None:
        """0 or 1; None without a reference."""
        return float(completion.strip() == row.reference.strip()) if row.reference.strip() else None

    def extracted(self, completion: str) -> str | None:
        """The text without the space around it."""
        return completion.strip()

    def corrupted(self, row: Row) -> str:
        """Another text."""
        return changed_text(row.reference)


@dataclass(frozen=True)
class Numeric:
    r"""1 if the last number of the answer is that of the reference. Looks into \boxed{} or after `the answer is` first."""

    needs: ClassVar[str] = "a text with a last number that stands alone"
    pattern: str | None = option(None, "regular expression with one group, in which the number stands")
    tolerance: float = option(0.0, "largest difference that is still right")

    def __post_init__(self) -> None:
        if self.pattern is not None:
            compiled(self.pattern, groups=1)
        checked_number(self.tolerance, "tolerance")

    def grade(self, completion: str, row: Row) -> float | None:
        """0 or 1; None if the reference has no number that stands alone."""
        check_reference(row)
        expected = last_number(row.reference, self.pattern)
        if expected is None:
            return None
        given = last_number(completion, self.pattern)
        return float(given is not None and abs(given - expected) <= Decimal(str(self.tolerance)))

    def extracted(self, completion: str) -> str | None:
        """The number, as the text has it."""
        return number_text(completion, self.pattern)

    def corrupted(self, row: Row) -> str:
        """Another number, beyond the tolerance, stated as the right one is."""
        digits = number_text(row.reference, self.pattern) or "0"
        wrong = Decimal(digits.replace(",", "")) + 1 + 2 * Decimal(str(self.tolerance))
        return restated(digits, f"{wrong:f}", row.reference, self.pattern)


@dataclass(frozen=True)
class Answer:
    r"""1 if the final answer is the text of the reference's. Finds it in \boxed{}, after `the answer is`, `####` or `so`,
    or by a pattern."""

    needs: ClassVar[str] = "one final answer"
    pattern: str | None = option(None, "regular expression with one group, around the answer")

    def __post_init__(self) -> None:
        if self.pattern is not None:
            compiled(self.pattern, groups=1)

    def grade(self, completion: str, row: Row) -> float | None:
        """0 or 1; None if the reference states no final answer."""
        check_reference(row)
        expected = final_answer(row.reference, self.pattern)
        return float(final_answer(completion, self.pattern) == expected) if expected is not None else None

    def extracted(self, completion: str) -> str | None:
        """The final answer."""
        return final_answer(completion, self.pattern)

    def corrupted(self, row: Row) -> str:
        """Another answer, stated as the right one is."""
        answer = final_answer(row.reference, self.pattern) or ""
        return restated(answer, changed_text(answer), row.reference, self.pattern)


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


@dataclass(frozen=True)
class Format:
    """1 if the whole answer has the form: it matches a pattern, or holds each tag once, closed and in order."""

    pattern: str | None = option(None, "regular expression that the whole answer must match; . matches line ends, too")
    tags: Sequence[str] = option((), "tags such as [think, answer]: <think>...</think>, once each and in this order")

    def __post_init__(self) -> None:
        tags = [self.tags] if isinstance(self.tags, str) else self.tags
        if (self.pattern is None) == (not tags):
            raise UserError("give either `pattern` or `tags`.")
        if self.pattern is not None:
            compiled(self.pattern)
        for tag in tags:
            if not isinstance(tag, str) or not re.fullmatch(r"[A-Za-z_][\w-]*", tag):
                raise UserError(f"`tags` has {tag!r}: give names, such as [think, answer].")
        if len(set(tags)) < len(tags):
            raise UserError(f"`tags` is {list(tags)}: name each once.")
        object.__setattr__(self, "tags", tuple(tags))

    def grade(self, completion: str, row: Row) -> float:
        """0 or 1."""
        if self.pattern is not None:
            return float(re.fullmatch(self.pattern, completion.strip(), re.DOTALL) is not None)
        return float(has_tags(completion, self.tags))

    def extracted(self, completion: str) -> str | None:
        """None: it looks at the whole completion."""
        return None


def has_tags(text: str, tags: Sequence[str]) -> bool:
    """Whether each tag opens once and closes once, one after the other, with something between.

    >>> has_tags("<think>2 + 2</think> <answer>4</answer>", ["think", "answer"])
    True
    """
    marks = [mark for tag in tags for mark in (f"<{tag}>", f"</{tag}>")]
    if any(text.count(mark) != 1 for mark in marks):
        return False
    places = [text.index(mark) for mark in marks]
    filled = all(
        text[start + len(f"<{tag}>") : end].strip()
        for tag, start, end in zip(tags, places[::2], places[1::2], strict=True)
    )
    return places == sorted(places) and filled


@dataclass(frozen=True)
class Length:
    """1 within bounds, else 0; or the soft punishment of overlong answers of DAPO (arXiv 2503.14476, equation 13):
    0 up to `soft`, from there falling to -1 at `hard`."""

    least: int | None = option(None, "fewest units that get 1")
    most: int | None = option(None, "most units that get 1")
    soft: int | None = option(None, "units up to which nothing is taken away; goes with `hard`")
    hard: int | None = option(None, "units from which on 1 is taken away")
    unit: str = option("characters", "what is counted: characters or words")

    def __post_init__(self) -> None:
        for name in ("least", "most", "soft", "hard"):
            if getattr(self, name) is not None:
                checked_number(getattr(self, name), name)
        if self.unit not in ("characters", "words"):
            raise UserError(f"`unit` is {self.unit!r}: count characters or words.")
        bounds = self.least is not None or self.most is not None
        if (self.soft is None) != (self.hard is None) or bounds == (self.soft is not None):
            raise UserError("give `least` or `most` or both; or `soft` and `hard`.")
        low, high = (self.soft, self.hard) if self.soft is not None else (self.least, self.most)
        if low is not None and high is not None and (low > high or (low == high and not bounds)):
            raise UserError(f"{'`least`' if bounds else '`soft`'} is {low} and the upper bound {high}: raise that.")

    def grade(self, completion: str, row: Row) -> float:
        """0 or 1; or from -1 to 0."""
        length = len(completion) if self.unit == "characters" else len(completion.split())
        if self.soft is not None and self.hard is not None:
            return overlong(length, self.soft, self.hard)
        return float((self.least or 0) <= length and (self.most is None or length <= self.most))

    def extracted(self, completion: str) -> str | None:
        """None: it looks at the whole completion."""
        return None


def overlong(length: int, soft: int, hard: int) -> float:
    """The punishment of a length: 0 up to `soft`, -1 from `hard` on, linear between."""
    return max(-1.0, min(0.0, (soft - length) / (hard - soft)))
