"""Settings of DPO recipes, the TRL settings that are refused, and the checks of their combinations.

Importing this module takes seconds: `DPOArguments` is a subclass of TRL's `DPOConfig`, so TRL must be imported first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from trl import DPOConfig

from hrm_align.config.arguments import BaseRecipe, option
from hrm_align.config.bounds import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, Bound
from hrm_align.config.checks import Setting
from hrm_align.config.limits import BOUNDS, NEEDS, REQUIRED, Bounds, Needs
from hrm_align.config.parser import parse
from hrm_align.config.rules import LAYOUT, REFUSED, Fail, RecipeKind, Refused, check_held_out
from hrm_align.errors import join_names
from hrm_align.trainers.shared_config import (
    SharedPromptDefaults,
    check_best_metric,
    check_matches,
    check_no_replay,
    match_option,
    pair_length_option,
    reference_check_option,
    sampling_strategy_option,
)


@dataclass
class DPOArguments(SharedPromptDefaults, DPOConfig):
    """TRL's `DPOConfig` with the stabilisers, and a default loss that keeps the chosen answers likely."""

    LOSSES: ClassVar[tuple[str, ...]] = (
        "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero",
        "apo_down", "discopop", "sft", "sigmoid_norm",
    )  # fmt: skip

    loss_type: list[str] = option(
        ["sigmoid", "sft"],
        f"Losses of TRL that are added: {', '.join(LOSSES)}. The default adds the likelihood of the chosen answers, "
        "which falls under sigmoid alone.",
    )
    max_length: int | None = pair_length_option()
    train_sampling_strategy: str = sampling_strategy_option("pairs")
    logging_first_step: bool = option(True, "Log the loss of the first step.")
    precompute_ref_log_probs: bool = option(
        False,
        "Compute the reference's log-probabilities of all pairs before the run, and keep no reference in memory. They are cached "
        "by weights, tokens and mask.",
    )
    share_prompts: bool | None = option(
        None,
        "Compute each prompt once for the chosen and the rejected answer, in policy and reference; unset for on with --use_cpu, where "
        "it was measured.",
        nargs="?",
        const=True,
    )
    reference_check: bool = reference_check_option()
    generation_eval_samples: int = option(0, "Held-out prompts answered at each evaluation; 0 for none.")
    generation_eval_match: str = match_option("that compares those answers with the chosen ones")
    max_new_tokens: int = option(256, "Longest answer of an evaluation, in tokens.")
    log_samples: int = option(3, "Number of evaluation answers that are written to samples.jsonl.")


@dataclass
class DPORecipe(BaseRecipe):
    """A parsed `dpo.yaml`: every value typed and checked."""

    KIND: ClassVar[str] = "dpo"

    training: DPOArguments


_MOVING = (
    "the reference is always the model that the run starts from; a resumed run could not restore a moving reference"
)
_NOISE = "with noise in its forward the policy would differ from its reference before the first step"
# Refused by all trainers of preferences (`trainers/kto_config.py` too).
REFUSED_PREFERENCES: Refused = {
    "disable_dropout": ((True,), _NOISE),
    "label_smoothing_factor": ((0.0,), "a loss of preferences has no labels to smooth"),
    "neftune_noise_alpha": ((None,), _NOISE),
    "pad_token": ((None,), LAYOUT),
    "padding_free": ((False,), "it lets documents attend to each other's prefixes"),
    "ref_model_mixup_alpha": ((0.6,), _MOVING),
    "ref_model_sync_steps": ((512,), _MOVING),
    "sync_ref_model": ((False,), _MOVING),
    "truncation_mode": (
        (),
        "a row longer than max_length is dropped and counted; a truncated row would lose its end token",
    ),
}
BOUNDS_PREFERENCES: Bounds = {
    COUNT: ("max_new_tokens", "precompute_ref_batch_size"),
    POSITIVE: ("beta",),
    Bound("8 tokens or more", 8, null=False): ("max_length",),
}
NEEDS_PREFERENCES: Needs = {"precompute_ref_batch_size": ("precompute_ref_log_probs", ())}

_BOUNDS_DPO: Bounds = {
    POSITIVE: ("discopop_tau",),
    NOT_NEGATIVE: ("f_alpha_divergence_coef",),
    SHARE: ("ld_alpha",),
    Bound("from 0 to below 0.5", 0, 0.5, below=True): ("label_smoothing",),
}
_NEEDS_DPO: Needs = {"f_alpha_divergence_coef": ("f_divergence_type", ("alpha_divergence",))}
# Settings that only some losses read, and the losses in which a combination has no meaning (trl/trainer/dpo_trainer.py).
_READ_BY: Mapping[str, tuple[str, ...]] = {
    "label_smoothing": ("robust", "exo_pair", "aot", "aot_unpaired"),
    "discopop_tau": ("discopop",),
}
_DIVERGENCES = ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence")
_WITH_DIVERGENCE = ("sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft")
_NOT_WEIGHTED = ("aot", "aot_unpaired", "sft")


def _check_dpo(recipe: DPORecipe, settings: Mapping[str, Setting], fail: Fail) -> None:
    check_preferences(recipe, settings, fail)
    _check_losses(recipe.training, settings, fail)
    check_best_metric(recipe.training, _METRICS, "rewards/accuracies", fail)
    if recipe.training.share_prompts and not recipe.training.score_responses_only:
        fail("share_prompts", "needs score_responses_only, because two answers follow one prompt: set it to true")


def check_preferences(recipe: Any, settings: Mapping[str, Setting], fail: Fail) -> None:
    """Check what all recipes of preferences have in common: the adapter, the data, and the evaluation.

    Args:
        recipe: a parsed recipe whose training settings have those of `DPOArguments` that are not losses.
        settings: the settings that were given.
        fail: raises UserError for a setting.
    """
    lora = recipe.lora
    if lora.use_peft:
        if heads := [name for name in lora.lora_target_modules if name in ("head", "all", "lm_head")]:
            fail("lora_target_modules", f"names {heads[0]}, and the output head cannot be adapted in preference training, whose "
                 "log-probabilities are computed from the weight of the head itself: use stacks")  # fmt: skip
        if lora.lora_dropout:
            fail("lora_dropout", f"is {lora.lora_dropout}, and {_NOISE}: leave it out")
    check_no_replay(recipe, "pairs", fail)
    check_matches(recipe, fail)
    check_held_out(recipe, settings, fail)


def _check_losses(training: DPOArguments, settings: Mapping[str, Setting], fail: Fail) -> None:
    """Check the losses and their settings, which TRL would refuse after the model is loaded, or ignore."""
    losses = training.loss_type
    if unknown := [loss for loss in losses if loss not in DPOArguments.LOSSES]:
        fail("loss_type", f"cannot be {unknown[0]!r}. Use {join_names(DPOArguments.LOSSES, len(DPOArguments.LOSSES))}")
    if not losses or len(set(losses)) < len(losses):
        fail("loss_type", f"is {losses}. Name each loss once, and one at least")
    weights = training.loss_weights or [1.0]
    if min(weights) < 0 or max(weights) == 0:
        fail("loss_weights", f"is {training.loss_weights}. Use weights of 0 or more, not all 0")
    for key, readers in _READ_BY.items():
        if key in settings and settings[key].value != _DEFAULTS[key] and not {*losses} & {*readers}:
            fail(key, f"has no effect on {join_names(losses)}. Leave it out, or use a loss_type that reads it: "
                 f"{join_names(readers)}")  # fmt: skip
    if "exo_pair" in losses and not training.label_smoothing:
        fail("label_smoothing", "is 0, and the loss exo_pair takes its logarithm. Use 1e-3, as its paper does")
    if training.f_divergence_type not in _DIVERGENCES:
        fail("f_divergence_type", f"cannot be {training.f_divergence_type!r}. Use {join_names(_DIVERGENCES)}")
    others = [loss for loss in losses if loss not in _WITH_DIVERGENCE]
    if training.f_divergence_type != "reverse_kl" and others:
        fail(
            "f_divergence_type",
            f"is {training.f_divergence_type}, and the loss {others[0]} has no such form. Use reverse_kl",
        )
    unweighted = [loss for loss in losses if loss in _NOT_WEIGHTED]
    if training.use_weighting and unweighted:
        fail(
            "use_weighting", f"weighs pairs, and the loss {unweighted[0]} has none of its own. Leave one of the two out"
        )


_DEFAULTS = {name: DPOConfig.__dataclass_fields__[name].default for name in _READ_BY}
_METRICS = (
    "loss", "rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected",
    "logits/chosen", "logits/rejected", "entropy", "mean_token_accuracy",
)  # fmt: skip


_EVERYDAY = (
    "model_name_or_path",
    "datasets",
    "eval_datasets",
    "eval_fraction",
    "output_dir",
    "condition",
    "max_length",
    "loss_type",
    "beta",
    "use_peft",
    "lora_r",
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

DPO = RecipeKind(
    DPORecipe,
    {**REFUSED, **REFUSED_PREFERENCES},
    (BOUNDS, BOUNDS_PREFERENCES, _BOUNDS_DPO),
    {**NEEDS, **NEEDS_PREFERENCES, **_NEEDS_DPO},
    REQUIRED,
    _EVERYDAY,
    "recipes/tiny/dpo.yaml",
    _check_dpo,
)


def parse_dpo(argv: Sequence[str]) -> DPORecipe:
    """Parse a DPO recipe."""
    recipe: DPORecipe = parse(DPO, argv)
    return recipe
