"""Graders for text: exact match, final answer, last number, format and length.

`hrm_align.rewards.reading` finds the final answer. `Format` and `Length` need no reference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from hrm_align.errors import UserError
from hrm_align.rewards.base import Row, check_number, check_pattern, corrupt_text, option, state_answer
from hrm_align.rewards.reading import boxed_answers, final_answer, plain_text, read_answer, stated_answer, unquoted


@dataclass(frozen=True)
class Exact:
    """1 if the text equals the reference; leading and trailing whitespace is ignored."""

    def grade(self, completion: str, row: Row) -> float | None:
        """Return 0 or 1; None without a reference."""
        return float(completion.strip() == row.reference.strip()) if row.reference.strip() else None

    def extract_answer(self, completion: str) -> str | None:
        """Return the text without leading and trailing whitespace."""
        return completion.strip()

    def corrupt_reference(self, row: Row) -> str:
        """Return a text that differs from the reference in one place."""
        return corrupt_text(row.reference)


@dataclass(frozen=True)
class Numeric:
    r"""1 if the last number of the answer equals that of the reference. The answer is the last \boxed{}, else the text
    after the last `the answer is`, `answer:`, `A:`, heading `Answer` or `####`, else the whole text."""

    needs: ClassVar[str] = "a text with a last number that stands alone"
    pattern: str | None = option(None, "regular expression with one group, which contains the number")
    tolerance: float = option(0.0, "largest difference from the reference that still gets 1")

    def __post_init__(self) -> None:
        check_pattern(self.pattern, groups=1)
        check_number(self.tolerance, "tolerance")

    def grade(self, completion: str, row: Row) -> float | None:
        """Return 0 or 1; None if the reference has no number that stands alone."""
        check_reference(row)
        expected = last_number(row.reference, self.pattern)
        if expected is None:
            return None
        given = last_number(completion, self.pattern)
        return float(given is not None and abs(given - expected) <= Decimal(str(self.tolerance)))

    def extract_answer(self, completion: str) -> str | None:
        """Return the number as it is written in the text."""
        return number_text(completion, self.pattern)

    def reading_rule(self, text: str) -> str:
        """Return the rule that finds the number: as in `reading.Reading`, or `last number` of a text with several."""
        reading = read_answer(text, self.pattern) if self.pattern is not None else stated_answer(text)
        if reading is not None:
            return reading.rule
        return "last number" if len(_NUMBER.findall(plain_text(text))) > 1 else "whole text"

    def corrupt_reference(self, row: Row) -> str:
        """Return the reference with another number, which differs by more than the tolerance."""
        digits = number_text(row.reference, self.pattern) or "0"
        wrong = Decimal(digits.replace(",", "")) + 1 + 2 * Decimal(str(self.tolerance))
        return state_answer(digits, f"{wrong:f}", row.reference, self.pattern)


@dataclass(frozen=True)
class FinalAnswerGrader:
    """What the graders of a final answer share: the pattern that finds it, the displayed text, and a wrong answer."""

    needs: ClassVar[str] = "one final answer"
    pattern: str | None = option(None, "regular expression with one group, which contains the answer")

    def __post_init__(self) -> None:
        check_pattern(self.pattern, groups=1)

    def extract_answer(self, completion: str) -> str | None:
        """Return the final answer."""
        return final_answer(completion, self.pattern)

    def reading_rule(self, text: str) -> str:
        """Return the rule that finds the final answer, as in `reading.Reading`."""
        return read_answer(text, self.pattern).rule

    def corrupt_reference(self, row: Row) -> str:
        """Return a text that states another final answer."""
        answer = final_answer(row.reference, self.pattern) or ""
        return state_answer(answer, corrupt_text(answer), row.reference, self.pattern)


@dataclass(frozen=True)
class Answer(FinalAnswerGrader):
    r"""1 if the final answer is the same text as that of the reference. The final answer is the last \boxed{}, else the
    text after the last `the answer is`, `answer:`, `A:`, heading `Answer` or `####`, else what the last line
    states (`so 5`, `the total is 5`), else the whole text; or the match of a pattern."""

    def grade(self, completion: str, row: Row) -> float | None:
        """Return 0 or 1; None if the reference states no final answer."""
        check_reference(row)
        expected = final_answer(row.reference, self.pattern)
        return float(final_answer(completion, self.pattern) == expected) if expected is not None else None


# Only ASCII digits: a digit of another script is not a number here. No part of 1.2.3 or ２5 matches.
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3}(?!\w))?(?!\d|\.\d|,\d{3}(?!\d))"
)
_APART = re.compile(r"[^\W\d]|[=:\n≈→]")  # separates an answer from an earlier number, as in `3 + 1 = 4`
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.(?=\s|$)|\n")


# `\\b` is a backspace in JSON: unless the backslash is doubled, "\\boxed{5}" is parsed as a backspace and `oxed{5}`.
_RUINED_BOX = re.compile(r"(?<![A-Za-z\\])b?oxed\s*\{|\x08oxed")


def check_reference(row: Row) -> None:
    r"""Check that the `\boxed` of a reference still has its backslash.

    Raises:
        UserError: if the backslash is missing, so that the answer cannot be found.
    """
    if _RUINED_BOX.search(row.reference) and not boxed_answers(row.reference):
        fragment = "a backspace character and `oxed{`" if "\x08" in row.reference else "`boxed{` without its backslash"
        raise UserError(
            f"{row.source}: the reference contains {fragment}: the backslash of \\boxed was not escaped in the JSON. "
            "Write \\\\boxed in JSON, or write the file with json.dumps."
        )


def last_number(text: str, pattern: str | None = None) -> Decimal | None:
    """Return the value of `number_text`, or None if there is no such number."""
    digits = number_text(text, pattern)
    return Decimal(digits.replace(",", "")) if digits is not None else None


def number_text(text: str, pattern: str | None = None) -> str | None:
    """Return the last number of a text's answer as it is written, or None if no number stands alone.

    The answer is found by the pattern, a box or a marker (see `final_answer`), and is otherwise the whole text. The
    last number of `3 + 1 = 4` stands alone; the last numbers of `3 or 4`, `3, 4`, `3/4` and `10^10` do not.
    """
    # The answer: by pattern, by box or marker, or the whole text.
    reading = read_answer(text, pattern) if pattern is not None else stated_answer(text)
    answer = reading.answer if reading is not None else unquoted(plain_text(text))
    numbers = [*_NUMBER.finditer(answer or "")]
    if answer is None or not numbers:
        return None
    # No alternative and no operator may follow the last number.
    rest = _SENTENCE_END.split(answer[numbers[-1].end() :].strip(" \t\n"), maxsplit=1)[0]
    if _OR.search(rest) or rest.startswith(("^", "/", "*")):
        return None
    # A word or sign such as `=` must separate the last number from the one before.
    if len(numbers) > 1:
        between = answer[numbers[-2].end() : numbers[-1].start()]
        if not _APART.search(between) or (_OR.search(between) and not re.search(r"[=:.\n]", between)):
            return None
    return numbers[-1][0]


@dataclass(frozen=True)
class Format:
    """1 if the whole completion has the required form: it matches a pattern, or contains each tag once, closed and in
    order."""

    pattern: str | None = option(
        None, "regular expression that the whole completion must match; . matches newlines, too"
    )
    tags: Sequence[str] = option((), "tags such as [think, answer]: <think>...</think>, once each and in this order")

    def __post_init__(self) -> None:
        tags = [self.tags] if isinstance(self.tags, str) else self.tags
        if (self.pattern is None) == (not tags):
            both = f"pattern ({self.pattern!r}) and tags ({tags!r}) are both set"
            state = "pattern and tags are both missing" if self.pattern is None else both
            raise UserError(f"{state}. Set either `pattern` or `tags`.")
        check_pattern(self.pattern)
        for tag in tags:
            if not isinstance(tag, str) or not re.fullmatch(r"[A-Za-z_][\w-]*", tag):
                raise UserError(
                    f"invalid value for tags: {tag!r} is not a tag name. Use names such as [think, answer]."
                )
        if len(set(tags)) < len(tags):
            raise UserError(f"invalid value for tags: {list(tags)} repeats a name. Name each tag once.")
        object.__setattr__(self, "tags", tuple(tags))

    def grade(self, completion: str, row: Row) -> float:
        """Return 0 or 1."""
        if self.pattern is not None:
            return float(re.fullmatch(self.pattern, completion.strip(), re.DOTALL) is not None)
        return float(has_tags(completion, self.tags))

    def extract_answer(self, completion: str) -> str | None:
        """Return None: the whole completion is graded."""
        return None


def has_tags(text: str, tags: Sequence[str]) -> bool:
    """Return whether each tag opens once and closes once, in the given order, with text between opening and closing.

    >>> has_tags("<think>2 + 2</think> <answer>4</answer>", ["think", "answer"])
    True
    """
    marks = [mark for tag in tags for mark in (f"<{tag}>", f"</{tag}>")]
    if any(text.count(mark) != 1 for mark in marks):
        return False
    positions = [text.index(mark) for mark in marks]
    filled = all(
        text[start + len(f"<{tag}>") : end].strip()
        for tag, start, end in zip(tags, positions[::2], positions[1::2], strict=True)
    )
    return positions == sorted(positions) and filled


@dataclass(frozen=True)
class Length:
    """1 if the length is between `least` and `most`, else 0. Or the soft overlong punishment of DAPO (arXiv 2503.14476,
    equation 13): 0 up to `soft`, then falling linearly to -1 at `hard`."""

    least: int | None = option(None, "smallest length that gets 1")
    most: int | None = option(None, "largest length that gets 1")
    soft: int | None = option(None, "largest length without a punishment; requires `hard`")
    hard: int | None = option(None, "smallest length with the full punishment of -1; requires `soft`")
    unit: str = option("characters", "unit of the lengths: characters or words")

    def __post_init__(self) -> None:
        for name in ("least", "most", "soft", "hard"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), name)
        if self.unit not in ("characters", "words"):
            raise UserError(f"invalid value for unit: {self.unit!r}. Use characters or words.")
        bounds = self.least is not None or self.most is not None
        if (self.soft is None) != (self.hard is None) or bounds == (self.soft is not None):
            given = {name: getattr(self, name) for name in ("least", "most", "soft", "hard")}
            values = ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
            raise UserError(
                f"invalid combination of bounds: {values or 'none is set'}. Set `least` or `most` or both; or set both "
                "`soft` and `hard`."
            )
        low, high = (self.soft, self.hard) if self.soft is not None else (self.least, self.most)
        if low is not None and high is not None and (low > high or (low == high and not bounds)):
            lower, upper = ("least", "most") if bounds else ("soft", "hard")
            raise UserError(f"invalid value for {upper}: {high} with {lower} {low}. Use a larger value for {upper}.")

    def grade(self, completion: str, row: Row) -> float:
        """Return 0 or 1 with `least` and `most`; a value from -1 to 0 with `soft` and `hard`."""
        length = len(completion) if self.unit == "characters" else len(completion.split())
        if self.soft is not None and self.hard is not None:
            return overlong_punishment(length, self.soft, self.hard)
        return float((self.least or 0) <= length and (self.most is None or length <= self.most))

    def extract_answer(self, completion: str) -> str | None:
        """Return None: the whole completion is graded."""
        return None


def overlong_punishment(length: int, soft: int, hard: int) -> float:
    """Return the punishment of a length: 0 up to `soft`, -1 from `hard` upwards, linear between."""
    return max(-1.0, min(0.0, (soft - length) / (hard - soft)))
