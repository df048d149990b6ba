"""Settings of reinforcement learning recipes (GRPO, Dr. GRPO, DAPO, RLOO), and the checks of their combinations.

Importing this module takes seconds: `GRPOArguments` is a subclass of TRL's `GRPOConfig`, so TRL must be imported first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from trl import GRPOConfig

from hrm_align.config.arguments import BaseRecipe, RewardArguments, option
from hrm_align.config.bounds import COUNT, COUNT_OR_NONE, NOT_NEGATIVE, PART, POSITIVE, SHARE, Bound
from hrm_align.config.checks import Setting
from hrm_align.config.limits import BOUNDS, NEEDS, REQUIRED, Bounds, Needs
from hrm_align.config.parser import parse
from hrm_align.config.rules import (
    LAYOUT,
    REFUSED,
    Fail,
    RecipeKind,
    Refused,
    check_held_out,
)
from hrm_align.errors import UserError
from hrm_align.rewards.base import RewardSpec, match_fault
from hrm_align.trainers.shared_config import SharedPromptDefaults, check_no_replay, parity_tolerance_option

# Shao et al. 2024 (GRPO), Liu et al. 2025 (Dr. GRPO), Yu et al. 2025 (DAPO), Ahmadian et al. 2024 (RLOO: the baseline of an answer
# is the mean reward of the others in its group; GRPOTrainer rescales the advantages for that).
_PRESETS: dict[str, dict[str, Any]] = {
    "grpo": {"loss_type": "grpo", "scale_rewards": "group", "mask_truncated_completions": False, "max_resamples": 0},
    "dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
    "dapo": {"loss_type": "dapo", "epsilon_high": 0.28, "mask_truncated_completions": True, "max_resamples": 3},
    "rloo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
}


@dataclass
class GRPOArguments(SharedPromptDefaults, GRPOConfig):
    """TRL's `GRPOConfig` with the stabilisers, presets by name, and the parity gate between sampler and trainer."""

    LOSSES: ClassVar[tuple[str, ...]] = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo")
    ALGORITHMS: ClassVar[tuple[str, ...]] = ("grpo", "dr_grpo", "dapo", "rloo")

    algorithm: str = option(
        "grpo",
        "Preset of loss_type, scale_rewards, epsilon_high, mask_truncated_completions and max_resamples; a setting given "
        "explicitly overrides the preset.",
        choices=list(ALGORITHMS),
    )
    # Settings of TRL, unset by default so that the preset sets them.
    loss_type: str | None = option(  # type: ignore[assignment]
        None, "Loss type of TRL; unset for the preset's.", choices=list(LOSSES)
    )
    scale_rewards: str | None = option(  # type: ignore[assignment]
        None, "group, batch or none; unset for the preset's.", choices=["group", "batch", "none"]
    )
    importance_sampling_level: str = option(
        "token",
        "Whether each token has its own importance weight, or all tokens of an answer share one.",
        choices=["token", "sequence"],
    )
    multi_objective_aggregation: str = option(
        "sum_then_normalize",
        "With several rewards: scale their weighted sum over the group, or scale each reward and then add.",
        choices=["sum_then_normalize", "normalize_then_sum"],
    )
    mask_truncated_completions: bool | None = option(  # type: ignore[assignment]
        None, "Leave truncated answers out of the loss; unset for the preset's.", nargs="?", const=True
    )
    max_resamples: int | None = option(
        None, "How often groups with zero reward variance are replaced by other prompts; unset for the preset's."
    )
    log_completions: bool | None = option(  # type: ignore[assignment]
        None,
        "Write tables of answers to the trackers and completions/; unset for on with wandb.",
        nargs="?",
        const=True,
    )
    num_completions_to_print: int | None = option(0, "Answers printed at each log with log_completions.")
    logging_steps: float = option(1, "Log every so many steps; below 1, the share of all steps between logs.")
    share_prompts: bool | None = option(
        None,
        "Compute each prompt once for all its answers in the update; unset for on with --use_cpu, where it was measured.",
        nargs="?",
        const=True,
    )
    cuda_graphs: bool = option(
        False,
        "Capture the decoding step in a CUDA graph and replay it for every token: 6 times as fast at 64 answers on an H200; "
        "not faster on a CPU.",
    )
    parity_every: int = option(20, "Rollouts between two checks of sampler against trainer; 0 for none.")
    parity_rows: int = option(16, "Number of answers in each of those checks.")
    parity_tolerance: float | None = parity_tolerance_option()
    vllm_importance_sampling_correction: bool | None = option(  # type: ignore[assignment]
        None,
        "Weight each token by its probability under the trainer over that under hrm_align's sampler. Unset for on in half "
        "precision, off in float32.",
        nargs="?",
        const=True,
    )
    vllm_importance_sampling_mode: str = option(
        "token_truncate",
        "One weight for each token, or for each answer (the product over its tokens); a weight beyond a bound becomes the "
        "bound (truncate) or 0 (mask).",
        choices=["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"],
    )
    use_vllm: bool = option(
        False,
        "Sample the answers of training from a vLLM server of its own environment (docs/guides/engines.md), instead of hrm_align's "
        "own sampler.",
    )
    vllm_mode: str = option("server", "A server is the only way: vLLM needs another release of Transformers.")
    vllm_server_base_url: str | None = option(
        None, "Address of the vLLM server, such as http://localhost:8000; started with VLLM_SERVER_DEV_MODE=1."
    )
    vllm_server_timeout: float = option(240.0, "Seconds to wait until the vLLM server has started.")
    vllm_weights_dir: str | None = option(
        None,
        "Folder for the weights that the vLLM server reads before each rollout, under the same path on its machine; unset for one in "
        "output_dir. It needs room for the model once.",
    )
    generation_eval_samples: int = option(0, "Held-out rows answered greedily at each evaluation; 0 for none.")
    log_samples: int = option(4, "Number of answers of each rollout that are written to samples.jsonl.")

    def __post_init__(self) -> None:
        preset = {**_PRESETS["grpo"], **_PRESETS[self.algorithm]} if self.algorithm in _PRESETS else {}
        for key, value in preset.items():
            if getattr(self, key) is None:
                setattr(self, key, value)
        if self.log_completions is None:
            self.log_completions = "wandb" in (self.report_to or ())
        self.num_generations_eval = 1  # an evaluation generates one greedy answer
        rollout = self.generation_batch_size if self.steps_per_generation is not None else None
        if rollout is not None:
            self.generation_batch_size = None  # run/resolved.yaml has both, and TRL accepts only one of them
        super().__post_init__()
        if rollout not in (None, self.generation_batch_size):
            raise ValueError(
                f"generation_batch_size is {rollout}, but per_device_train_batch_size x processes x steps_per_generation is "
                f"{self.generation_batch_size}: leave one of the two out"
            )


@dataclass
class GRPORecipe(BaseRecipe):
    """A parsed `grpo.yaml`: every value typed and checked."""

    KIND: ClassVar[str] = "grpo"

    rewards: RewardArguments
    training: GRPOArguments

    def __post_init__(self) -> None:
        if self.rewards.curriculum:
            self.training.shuffle_dataset = False  # `select_by_pass_rate` sorts the prompts


_SAMPLER = "answers are sampled by hrm_align's own sampler, which is checked against the trainer"
_COLOCATE = "vLLM 0.32 needs another release of Transformers, so it cannot run in the trainer's environment: use server"
_SERVER = "the server decides: give it to `vllm serve`, and name its address in vllm_server_base_url"
_SERVED = ("vllm_mode", "vllm_server_base_url", "vllm_server_timeout")  # the rest of TRL's settings of vLLM is refused
_ROWS = "rewards get the rows of datasets; tools and environments are not supported"
_REFUSED_GRPO: Refused = {
    "cache_implementation": ((None,), _SAMPLER),
    "chat_template_kwargs": ((None,), LAYOUT),
    "generation_kwargs": ((None,), _SAMPLER),
    "group_by_length": ((False,), _SAMPLER),
    "log_completions_hub_repo": ((None,), "answers are written to files of the run and to the trackers only"),
    "max_tool_calling_iterations": ((None,), _ROWS),
    "min_p": ((None,), _SAMPLER),
    "num_generations_eval": ((None, 1), "an evaluation generates one greedy answer: set generation_eval_samples"),
    "remove_unused_columns": ((False,), _ROWS),
    "repetition_penalty": ((1.0,), _SAMPLER),
    "train_sampling_strategy": (
        ("random",),
        "prompts come in groups: use shuffle_dataset and curriculum for their order",
    ),
    "use_transformers_continuous_batching": ((False,), "it applies a causal mask to the prompt"),
    "use_transformers_paged": ((False,), "it applies a causal mask to the prompt"),
    "vllm_mode": (("server",), _COLOCATE),
    "label_smoothing_factor": ((0.0,), "the loss of reinforcement learning has no labels to smooth"),
    **{
        f.name: ((f.default,), _SERVER)
        for f in fields(GRPOConfig)
        if f.name.startswith("vllm_") and "sampling" not in f.name and f.name not in _SERVED
    },
}
# fmt: off
_BOUNDS_GRPO: Bounds = {
    Bound("1 or more", 1, null=False): ("max_completion_length",),
    Bound("2 or more", 2): ("num_generations",),
    COUNT: ("num_iterations", "reward_workers", "parity_rows", "generation_batch_size", "steps_per_generation",
            "ref_model_sync_steps"),
    COUNT_OR_NONE: ("top_k", "max_resamples", "parity_every", "preflight_samples", "num_completions_to_print"),
    POSITIVE: ("temperature", "reward_deadline", "parity_tolerance", "delta", "sapo_temperature_neg", "sapo_temperature_pos",
               "vllm_importance_sampling_clip_max", "vllm_importance_sampling_cap", "vllm_server_timeout"),
    NOT_NEGATIVE: ("beta", "epsilon", "epsilon_high", "entropy_coef", "entropy_coef_min", "entropy_coef_max",
                   "entropy_coef_delta", "entropy_target", "off_policy_mask_threshold", "vllm_importance_sampling_clip_min",
                   "vespo_k_pos", "vespo_k_neg", "vespo_lambda_pos", "vespo_lambda_neg"),
    PART: ("top_p",),
    SHARE: ("min_pass_rate", "max_pass_rate", "max_ungraded_fraction", "ref_model_mixup_alpha", "top_entropy_quantile"),
}
# fmt: on
_ADAPTIVE, _SYNC, _VLLM = ("use_adaptive_entropy", ()), ("sync_ref_model", ()), ("use_vllm", ())
_NEEDS_GRPO: Needs = {
    **dict.fromkeys(("entropy_coef_min", "entropy_coef_max", "entropy_coef_delta", "entropy_target"), _ADAPTIVE),
    **dict.fromkeys(("ref_model_mixup_alpha", "ref_model_sync_steps"), _SYNC),
    **{f"sapo_temperature_{side}": ("loss_type", ("sapo",)) for side in ("pos", "neg")},
    **{f"vespo_{name}": ("loss_type", ("vespo",)) for name in ("k_pos", "k_neg", "lambda_pos", "lambda_neg")},
    "sync_ref_model": ("beta", ()),
    **dict.fromkeys(("vllm_server_base_url", "vllm_server_timeout", "vllm_weights_dir"), _VLLM),
}
_REQUIRED_GRPO = {**REQUIRED, "rewards": "Name the rewards of an answer (`hrm-align rewards` lists them)"}


def _check_grpo(recipe: GRPORecipe, settings: Mapping[str, Setting], fail: Fail) -> None:
    data, rewards, training = recipe.data, recipe.rewards, recipe.training
    labels = []
    for entry in rewards.rewards:
        try:
            labels.append(RewardSpec.of(entry).label)
        except UserError as error:
            raise UserError(f"{settings['rewards'].where}: rewards: {error}") from None
    if fault := match_fault(data.guard_match):
        fail("guard_match", fault)
    check_no_replay(recipe, "prompts", fail)
    banded = rewards.curriculum or rewards.min_pass_rate > 0 or rewards.max_pass_rate < 1
    if banded and rewards.headroom is None:
        fail("headroom", "is missing: measure pass rates with `hrm-align headroom --save FILE`, and give that file")
    if rewards.min_pass_rate > rewards.max_pass_rate:
        fail("min_pass_rate", f"is above max_pass_rate {rewards.max_pass_rate}, so no prompt is left: lower it")
    groups = training.per_device_train_batch_size * int(training.steps_per_generation or 1)
    if training.max_resamples and groups % int(training.num_generations or 1):
        fail("max_resamples", f"replaces whole groups, but a process draws {groups} answers at a time: make "
             f"per_device_train_batch_size a multiple of num_generations {training.num_generations}")  # fmt: skip
    if training.share_prompts and not training.score_responses_only:
        fail("share_prompts", "needs score_responses_only, because several answers follow one prompt: set it to true")
    if training.beta and recipe.lora.use_peft and recipe.lora.init_lora_weights in ("olora", "pissa"):
        fail("init_lora_weights", "changes the base, which is the reference of beta: use true, gaussian or orthogonal")
    _check_importance_sampling(training, fail)
    if training.sync_ref_model and recipe.lora.use_peft:
        fail(
            "sync_ref_model",
            "needs a separate reference model, but with an adapter the base is the reference: leave it out",
        )
    if training.use_vllm:
        _check_server(recipe, fail)
    check_held_out(recipe, settings, fail)
    _check_evaluation(training, labels, fail)


def _check_server(recipe: GRPORecipe, fail: Fail) -> None:
    """Check the settings of rollouts from a vLLM server."""
    training = recipe.training
    if not training.vllm_server_base_url:
        fail("vllm_server_base_url", "is missing: give the address of the vLLM server, such as http://localhost:8000")
    if training.cuda_graphs:
        fail("cuda_graphs", "is for hrm_align's own sampler: leave it out, or leave use_vllm out")
    for key in ("load_in_4bit", "load_in_8bit"):
        if getattr(recipe.lora, key, False) or getattr(recipe.model, key, False):
            fail(key, "quantises the base, and the server gets whole weights: leave it out, or leave use_vllm out")


def _check_evaluation(training: Any, labels: Sequence[str], fail: Fail) -> None:
    """Check that evaluations have something to measure, and compute the metric that chooses the best checkpoint."""
    if training.eval_strategy != "no" and not training.generation_eval_samples:
        fail("eval_strategy", "has nothing to evaluate: set generation_eval_samples, or leave it out")
    if (best := training.metric_for_best_model) is None:
        return
    computed = ("reward", "truncated", *(f"rewards/{label}" for label in labels))
    if str(best).removeprefix("eval_") not in computed:
        fail(
            "metric_for_best_model",
            f"is {best!r}, which no evaluation computes: use eval_reward, or eval_{computed[-1]}",
        )


def _check_importance_sampling(training: Any, fail: Fail) -> None:
    """Check the settings that TRL checks only for vLLM. (None means on in half precision.)"""
    if training.vllm_importance_sampling_correction is False:
        return
    mode, low, high = (getattr(training, f"vllm_importance_sampling_{key}") for key in ("mode", "clip_min", "clip_max"))
    if mode.endswith("truncate") and low is None and high is None:
        fail("vllm_importance_sampling_clip_max", f"is unset, but {mode} needs a bound: use a number such as 3")
    if mode.startswith("sequence") and training.loss_type == "vespo":
        fail("vllm_importance_sampling_mode", f"is {mode!r}, but the vespo loss needs token_truncate or token_mask")


_EVERYDAY = (
    "model_name_or_path",
    "datasets",
    "eval_datasets",
    "output_dir",
    "rewards",
    "algorithm",
    "num_generations",
    "max_completion_length",
    "temperature",
    "beta",
    "use_peft",
    "lora_r",
    "learning_rate",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "generation_eval_samples",
    "dry_run",
    "resume_from_checkpoint",
    "push_to_hub",
)

GRPO = RecipeKind(
    GRPORecipe,
    {**REFUSED, **_REFUSED_GRPO},
    (BOUNDS, _BOUNDS_GRPO),
    {**NEEDS, **_NEEDS_GRPO},
    _REQUIRED_GRPO,
    _EVERYDAY,
    "recipes/tiny/math_grpo.yaml",
    _check_grpo,
)


def parse_grpo(argv: Sequence[str]) -> GRPORecipe:
    """Parse a reinforcement learning recipe."""
    recipe: GRPORecipe = parse(GRPO, argv)
    return recipe
