"""Ranges of numbers, as data: the settings of recipes and the options of commands are checked against them without importing torch.

    COUNT.fault(0)  # "1 or more"
    COUNT.fault(3)  # None

`schema.json` holds the ranges of settings, generated from the tables beside the trainers; `OPTIONS` are those of the commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LARGEST = 2**31 - 1  # of a number without a bound of its own; counts beyond it overflow in torch


@dataclass(frozen=True)
class Bound:
    """A range of numbers.

    Args:
        words: the range in words, for an error: "The value must be ...".
        low: smallest number.
        high: largest number.
        above: whether `low` itself is refused.
        below: whether `high` itself is refused.
        also: a number outside of the range that is accepted, such as -1 for no limit.
        null: whether an empty value (null) is accepted where the setting's type has it.
    """

    words: str
    low: float = -LARGEST
    high: float = LARGEST
    above: bool = False
    below: bool = False
    also: float | None = None
    null: bool = True

    def fault(self, value: Any) -> str | None:
        """Return in words what a value must be; None for a value within the range. NaN is outside of every range."""
        if value is None:
            return None if self.null else self.words
        if value == self.also:
            return None
        is_low = value > self.low if self.above else value >= self.low
        is_high = value < self.high if self.below else value <= self.high
        if is_low and is_high:
            return None
        return f"at most {LARGEST}" if is_low and self.high == LARGEST and value != float("inf") else self.words


FINITE = Bound("a finite number")  # every number without a bound of its own
COUNT = Bound("1 or more", 1)
COUNT_OR_NONE = Bound("0 or more", 0)
NOT_NEGATIVE = Bound("a finite number, 0 or more", 0)
POSITIVE = Bound("a finite number above 0", 0, above=True)
SHARE = Bound("between 0 and 1", 0, 1)
BELOW_ONE = Bound("0 or more, and below 1", 0, 1, below=True)
PART = Bound("above 0 and at most 1", 0, 1, above=True)
SEED = Bound("a whole number from 0 to 4294967295", 0, 2**32 - 1)  # what NumPy accepts as a seed

# Options of the commands that are not recipes, by name: an option has the same range in every command.
OPTIONS: Mapping[str, Bound] = {
    "bandwidth": POSITIVE,
    "batch_size": COUNT,
    "deadline": POSITIVE,
    "epoch": COUNT_OR_NONE,
    "few_shot": COUNT_OR_NONE,
    "limit": COUNT,
    "max_length": Bound("8 or more", 8),
    "max_new_tokens": COUNT,
    "max_per_prompt": COUNT,
    "max_queue": COUNT_OR_NONE,
    "max_running": COUNT,
    "min_reward": FINITE,
    "min_score_gap": NOT_NEGATIVE,
    "memory": POSITIVE,
    "n": COUNT,
    "port": Bound("0 to 65,535; 0 chooses a free port", 0, 65535),
    "processes": COUNT,
    "prompt_tokens": COUNT,
    "request_timeout": POSITIVE,
    "reward_workers": COUNT,
    "rows": COUNT_OR_NONE,
    "samples": COUNT,
    "seed": SEED,
    "shots": COUNT_OR_NONE,
    "temperature": NOT_NEGATIVE,
    "tflops": POSITIVE,
    "top_k": COUNT_OR_NONE,
    "top_p": PART,
}
