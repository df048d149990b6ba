"""Reward from a trained reward model (`hrm-align reward`), computed in the process that asks.

The other rewards run in worker processes, because answers and references may make them hang or crash. A reward model only
multiplies matrices: it runs on the accelerator of its process, where no second copy of the libraries takes memory, and no deadline
applies to it. It is loaded once, frozen, and gives the same scores to the same answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_align.errors import UserError
from hrm_align.rewards.base import BatchGrades, RewardSpec, Row, check_number, create_grader, option

if TYPE_CHECKING:
    from hrm_align.data.examples import Example
    from hrm_align.models.reward_loading import Scorer

DTYPES = ("float32", "bfloat16", "float16", "auto")


@dataclass
class RewardModel:
    """The score of a reward model (`hrm-align reward`) for the answer to the prompt of the row: any number, higher is better. None for an answer that is too long for the model."""

    model: str = option("", "folder of the reward model or of its adapter, or a Hub id")
    dtype: str = option("float32", "precision of its weights: float32, bfloat16, float16, or auto for the checkpoint's")
    batch_size: int = option(32, "answers that are scored together")
    min_right: float = option(
        0.5, "share of the pairs stated by rows that it must put in the right order in the preflight; a guess gets half"
    )

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model.strip():
            raise UserError(
                "model is missing. Name the folder of a reward model, as in {name: reward_model, model: runs/my-reward}."
            )
        path = Path(self.model).expanduser()
        if not path.is_dir() and (
            path.exists() or self.model.count("/") != 1 or self.model.startswith((".", "/", "~"))
        ):
            raise UserError(
                f"invalid value for model: there is no folder {self.model}. Name the folder of a reward model."
            )
        if self.dtype not in DTYPES:
            raise UserError(f"invalid value for dtype: {self.dtype!r}. Use {', '.join(DTYPES[:-1])} or {DTYPES[-1]}.")
        if isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise UserError(f"invalid value for batch_size: {self.batch_size!r}. Use an integer that is 1 or more.")
        if check_number(self.min_right, "min_right") > 1:
            raise UserError(f"invalid value for min_right: {self.min_right}. Use a share from 0 to 1.")
        self._scorer: Scorer | None = None

    def prepare(self) -> None:
        """Load the model onto the device of this process.

        Raises:
            UserError: if it cannot be loaded, or is not a reward model.
        """
        from accelerate import PartialState

        from hrm_align.models.reward_loading import Scorer

        self._scorer = Scorer.load(
            self.model, batch_size=self.batch_size, dtype=self.dtype, device=PartialState().device
        )

    def grade(self, completion: str, row: Row) -> float | None:
        """Return the score of one completion. `grade_examples` scores many at once."""
        example: Any = row
        return self.grade_examples([completion], [example]).values[0]

    def extract_answer(self, completion: str) -> str | None:
        """Return None: the model reads the whole completion."""
        return None

    def grade_examples(self, completions: Sequence[str], examples: Sequence[Example]) -> BatchGrades:
        """Score completions; a completion without a finite score has no value, and is a fault."""
        if self._scorer is None:
            self.prepare()
        assert self._scorer is not None
        values = self._scorer.score(
            [(e.messages, text, e.condition) for text, e in zip(completions, examples, strict=True)]
        )
        faults: dict[int, tuple[str, str]] = {}
        for row, value in enumerate(values):
            if value is None:
                faults[row] = ("too_long", "prompt and answer are longer than the positions of the reward model")
            elif not math.isfinite(value):
                faults[row] = ("not_a_number", f"the score is {value}. Use dtype: float32")
        return BatchGrades([None if row in faults else value for row, value in enumerate(values)], faults)


def create_model_rewards(specs: Sequence[RewardSpec]) -> dict[int, RewardModel]:
    """Create and load the rewards that run in this process; by their index in the suite."""
    models = {}
    for index, spec in enumerate(specs):
        grader: Any = create_grader(spec.name, spec.options) if spec.file is None else None
        if isinstance(grader, RewardModel):
            try:
                grader.prepare()
            except UserError as error:
                raise UserError(f"cannot load the reward {spec.label}: {error}") from None
            models[index] = grader
    return models
