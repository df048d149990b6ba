"""Settings of reward model recipes, the TRL settings that are refused, and the checks of their combinations.

Importing this module takes seconds: `RewardModelArguments` is a subclass of TRL's `RewardConfig`, so TRL must be imported first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from transformers import SchedulerType
from trl import RewardConfig

from hrm_align.config.arguments import BaseRecipe, StabiliserArguments, option
from hrm_align.config.bounds import NOT_NEGATIVE, Bound
from hrm_align.config.checks import Setting
from hrm_align.config.limits import BOUNDS, NEEDS, REQUIRED, Bounds
from hrm_align.config.parser import parse
from hrm_align.config.rules import LAYOUT, REFUSED, Fail, RecipeKind, Refused, check_held_out
from hrm_align.trainers.shared_config import (
    check_no_replay,
    pair_length_option,
    sampling_strategy_option,
)

METRICS = ("loss", "accuracy", "margin", "calibration_error")  # of an evaluation, which may choose the best checkpoint


@dataclass
class RewardModelArguments(StabiliserArguments, RewardConfig):
    """TRL's `RewardConfig` with the stabilisers and the learning rate schedule of the official HRM-Text SFT."""

    learning_rate: float = option(3e-5, "Peak learning rate.")
    lr_scheduler_type: SchedulerType | str = option(
        "cosine_with_min_lr", "Schedule; the default falls to 10 %% of the rate unless lr_scheduler_kwargs is given."
    )
    weight_decay: float = option(0.1, "Decoupled weight decay.")
    adam_beta2: float = option(0.95, "AdamW's second beta.")
    num_train_epochs: float = option(1.0, "Passes over the data; a reward model overfits in few.")
    logging_first_step: bool = option(True, "Log the loss of the first step.")
    max_length: int | None = pair_length_option()
    train_sampling_strategy: str = sampling_strategy_option("pairs")
    disable_dropout: bool = option(False, "Leave the adapter's dropout out.", nargs="?", const=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.score_responses_only = False  # there is no output head


@dataclass
class RewardRecipe(BaseRecipe):
    """A parsed `reward.yaml`: every value typed and checked."""

    KIND: ClassVar[str] = "reward"

    training: RewardModelArguments


_NO_ANSWERS = "a reward model scores answers and cannot write them"
_REFUSED_REWARD: Refused = {
    "chat_template_path": ((None,), LAYOUT),
    "eos_token": ((None,), LAYOUT),
    "guard_datasets": (([],), _NO_ANSWERS),
    "hub_model_id": ((None,), f"an export is checked by its answers, and {_NO_ANSWERS}"),
    "label_smoothing_factor": ((0.0,), "pairs have no labels to smooth: use center_rewards_coefficient or fewer steps"),
    "pad_token": ((None,), LAYOUT),
    "push_to_hub": ((False,), f"an export is checked by its answers, and {_NO_ANSWERS}"),
    "score_responses_only": ((None, False), "a reward model has no output head"),
}
_BOUNDS_REWARD: Bounds = {
    NOT_NEGATIVE: ("center_rewards_coefficient",),
    Bound("8 tokens or more", 8, null=False): ("max_length",),
}


def _check_reward(recipe: RewardRecipe, settings: Mapping[str, Setting], fail: Fail) -> None:
    lora, training = recipe.lora, recipe.training
    if lora.use_peft and (heads := [name for name in lora.lora_target_modules if name in ("head", "all", "score")]):
        fail("lora_target_modules", f"names {heads[0]}, and the score head is always trained whole: use stacks")
    check_no_replay(recipe, "pairs", fail)
    best = str(training.metric_for_best_model or "").removeprefix("eval_")
    if best and best not in METRICS:
        fail("metric_for_best_model", f"is {training.metric_for_best_model!r}, which no evaluation computes: use "
             f"{', '.join(f'eval_{name}' for name in METRICS[:-1])} or eval_{METRICS[-1]}")  # fmt: skip
    check_held_out(recipe, settings, fail)


_EVERYDAY = (
    "model_name_or_path",
    "datasets",
    "eval_datasets",
    "eval_fraction",
    "output_dir",
    "condition",
    "max_length",
    "center_rewards_coefficient",
    "use_peft",
    "lora_r",
    "lora_alpha",
    "learning_rate",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "eval_strategy",
    "eval_steps",
    "dry_run",
    "resume_from_checkpoint",
)

REWARD = RecipeKind(
    RewardRecipe,
    {**REFUSED, **_REFUSED_REWARD},
    (BOUNDS, _BOUNDS_REWARD),
    NEEDS,
    REQUIRED,
    _EVERYDAY,
    "recipes/tiny/reward.yaml",
    _check_reward,
)


def parse_reward(argv: Sequence[str]) -> RewardRecipe:
    """Parse a reward model recipe."""
    recipe: RewardRecipe = parse(REWARD, argv)
    return recipe
