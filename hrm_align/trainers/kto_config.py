"""Settings of KTO recipes, the TRL settings that are refused, and the checks of their combinations.

Importing this module takes seconds: `KTOArguments` is a subclass of TRL's `KTOConfig`, so TRL must be imported first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trl import KTOConfig

from hrm_align.config.arguments import BaseRecipe, StabiliserArguments, option
from hrm_align.config.bounds import POSITIVE
from hrm_align.config.checks import Setting
from hrm_align.config.limits import BOUNDS, NEEDS, REQUIRED, Bounds
from hrm_align.config.parser import parse
from hrm_align.config.rules import REFUSED, Fail, RecipeKind
from hrm_align.trainers.dpo_config import (
    BOUNDS_PREFERENCES,
    NEEDS_PREFERENCES,
    REFUSED_PREFERENCES,
    check_preferences,
)
from hrm_align.trainers.shared_config import check_best_metric, match_option, reference_check_option


@dataclass
class KTOArguments(StabiliserArguments, KTOConfig):
    """TRL's `KTOConfig` with the stabilisers, and some settings of our own.

    If `bf16` is unset, it is on where the accelerator computes in bfloat16, and off on a CPU.
    """

    loss_type: str = option(
        "kto",
        "kto, or apo_zero_unpaired for answers that are better than the model's own. kto estimates a KL divergence on every batch, so it "
        "needs 2 rows a forward or more, better 8.",
        choices=["kto", "apo_zero_unpaired"],
    )
    max_length: int | None = option(
        1024, "Longest document in tokens. A longer document is counted and dropped, never truncated."
    )
    train_sampling_strategy: str = option(
        "random",
        "How rows are batched. In every order, answers are paired with other prompts of their batch for the KL divergence.",
        choices=["random", "sequential", "group_by_length"],
    )
    logging_first_step: bool = option(True, "Log the loss of the first step.")
    reference_check: bool = reference_check_option()
    generation_eval_samples: int = option(0, "Held-out desirable rows answered at each evaluation; 0 for none.")
    generation_eval_match: str = match_option("of those answers")
    max_new_tokens: int = option(256, "Longest answer of an evaluation, in tokens.")
    log_samples: int = option(3, "Number of evaluation answers that are written to samples.jsonl.")


@dataclass
class KTORecipe(BaseRecipe):
    """A parsed `kto.yaml`: every value typed and checked."""

    KIND: ClassVar[str] = "kto"

    training: KTOArguments


_METRICS = (
    "loss", "kl", "rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected", "logits/chosen",
    "logits/rejected", "entropy",
)  # fmt: skip
_BOUNDS_KTO: Bounds = {POSITIVE: ("desirable_weight", "undesirable_weight")}


def _check_kto(recipe: KTORecipe, settings: Mapping[str, Setting], fail: Fail) -> None:
    training = recipe.training
    check_preferences(recipe, settings, fail)
    for key in ("per_device_train_batch_size", "per_device_eval_batch_size"):
        if training.loss_type == "kto" and getattr(training, key) < 2:
            fail(key, "is 1, and the loss kto estimates a KL divergence with the answers to other prompts of a batch: use 2 or more, "
                 "better 8, or loss_type apo_zero_unpaired")  # fmt: skip
    check_best_metric(training, _METRICS, "rewards/margins", fail)


_EVERYDAY = (
    "model_name_or_path",
    "datasets",
    "eval_datasets",
    "output_dir",
    "max_length",
    "use_peft",
    "lora_r",
    "loss_type",
    "beta",
    "desirable_weight",
    "undesirable_weight",
    "learning_rate",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "generation_eval_samples",
    "dry_run",
    "resume_from_checkpoint",
    "push_to_hub",
)

KTO = RecipeKind(
    KTORecipe,
    {**REFUSED, **REFUSED_PREFERENCES},
    (BOUNDS, BOUNDS_PREFERENCES, _BOUNDS_KTO),
    {**NEEDS, **NEEDS_PREFERENCES},
    REQUIRED,
    _EVERYDAY,
    "recipes/tiny/kto.yaml",
    _check_kto,
)


def parse_kto(argv: Sequence[str]) -> KTORecipe:
    """Parse a recipe of learning from labelled answers."""
    recipe: KTORecipe = parse(KTO, argv)
    return recipe
