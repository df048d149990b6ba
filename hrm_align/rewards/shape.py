"""Rewards for the shape of a completion: they need no right answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hrm_align.errors import UserError
from hrm_align.rewards.base import Row, checked_number, compiled, option


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

    def __call__(self, completion: str, row: Row) -> float:
        """0 or 1."""
        if self.pattern is not None:
            return float(re.fullmatch(self.pattern, completion.strip(), re.DOTALL) is not None)
        return float(has_tags(completion, self.tags))


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

    def __call__(self, completion: str, row: Row) -> float:
        """0 or 1; or from -1 to 0."""
        length = len(completion) if self.unit == "characters" else len(completion.split())
        if self.soft is not None and self.hard is not None:
            return overlong(length, self.soft, self.hard)
        return float((self.least or 0) <= length and (self.most is None or length <= self.most))


def overlong(length: int, soft: int, hard: int) -> float:
    """The punishment of a length: 0 up to `soft`, -1 from `hard` on, linear between."""
    return max(-1.0, min(0.0, (soft - length) / (hard - soft)))
