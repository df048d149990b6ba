"""One reward of a recipe: which, how much it counts, and its options."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hrm_align.errors import UserError
from hrm_align.rewards.base import nearest
from hrm_align.rewards.registry import create

KEYS = ("name", "file", "function", "weight", "label")


@dataclass(frozen=True)
class RewardSpec:
    """One reward of a suite.

    Args:
        name: one of `hrm_align.rewards.registry.REWARDS`; of a user's own, the function.
        weight: it counts with; 0 only looks at it, less than 0 punishes.
        options: those of the named reward.
        file: Python file of a user's own reward; `hrm_align.rewards.suite` says what the function is given.
        label: its name in logs, if not `name`. Needed to use a reward twice.

    Raises:
        UserError: for a name, an option or a value that cannot be.
    """

    name: str
    weight: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    file: str | None = None
    label: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label or self.name)
        weight = self.weight
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise UserError(f"the reward {self.label} has the weight {weight!r}: give a number, such as 1 or 0.2.")
        if not isinstance(self.label, str):
            raise UserError(f"a reward has the label {self.label!r}: give a text.")
        if self.file is None:
            create(self.name, self.options)
        elif not isinstance(self.file, str) or not self.file.endswith(".py") or not os.path.isfile(self.file):
            raise UserError(
                f"the reward file is {self.file!r}: there is no such Python file. Give its path, as mine.py."
            )

    @property
    def function(self) -> str | None:
        """The function of a user's own reward."""
        return self.name if self.file is not None else None

    @classmethod
    def of(cls, entry: str | Mapping[str, Any]) -> RewardSpec:
        """Read an entry of a recipe.

        It is a name (`math`), a name with options (`{name: format, weight: 0.2, tags: [think]}`), or a function of the
        user's own (`{file: mine.py, function: reward, weight: 1}`; the function is `reward` if it is not named).

        Raises:
            UserError: for an unknown name or key, with the nearest one, or a value that cannot be.
        """
        if isinstance(entry, str):
            return cls(entry)
        if not isinstance(entry, Mapping) or not ("name" in entry) ^ ("file" in entry):
            raise UserError(
                f"a reward is {entry!r}: give a name such as math, or an object with either `name` or `file`, as in "
                "{name: format, weight: 0.2, tags: [think]} or {file: mine.py, function: reward}."
            )
        rest = {key: value for key, value in entry.items() if key not in KEYS}
        common = {"weight": entry.get("weight", 1.0), "label": entry.get("label", "")}
        if "file" not in entry:
            if "function" in entry:
                raise UserError(f"the reward {entry['name']} has a `function`, which goes with `file`: leave it out.")
            return cls(entry["name"], options=rest, **common)
        if rest:
            key = str(next(iter(rest)))
            raise UserError(
                f"the reward of {entry['file']} has the key `{key}`: {nearest(key, KEYS)}"
                "The keys are file, function, weight and label; other settings belong into the file."
            )
        return cls(entry.get("function", "reward"), file=entry["file"], **common)
