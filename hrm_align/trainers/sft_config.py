"""Settings of supervised fine-tuning recipes, the TRL settings that are refused, and the checks of their combinations.

Importing this module takes seconds: `SFTArguments` is a subclass of TRL's `SFTConfig`, so TRL must be imported first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from transformers import SchedulerType
from trl import SFTConfig

from hrm_align.config.arguments import BaseRecipe, StabiliserArguments, option
from hrm_align.config.bounds import BELOW_ONE, COUNT, COUNT_OR_NONE, Bound
from hrm_align.config.checks import Setting
from hrm_align.config.limits import BOUNDS, NEEDS, REQUIRED, Bounds, Needs
from hrm_align.config.parser import parse
from hrm_align.config.rules import (
    LAYOUT,
    MOVED,
    REFUSED,
    Fail,
    RecipeKind,
    Refused,
    check_held_out,
)
from hrm_align.rewards.base import match_names, metric_name
from hrm_align.trainers.shared_config import check_matches, match_option, sampling_strategy_option
from hrm_align.trainers.streaming import check_streaming


@dataclass
class SFTArguments(StabiliserArguments, SFTConfig):
    """TRL's `SFTConfig` with the defaults of the official HRM-Text SFT, the stabilisers, and some settings of our own.

    If `bf16` is unset, it is on where the accelerator computes in bfloat16, and off on a CPU. Without an accelerator,
    `use_cpu` is set, so that `bf16: true` works there too.
    """

    learning_rate: float = option(3e-5, "Peak learning rate.")
    lr_scheduler_type: SchedulerType | str = option(
        "cosine_with_min_lr", "Schedule; the default falls to 10 %% of the rate unless lr_scheduler_kwargs is given."
    )
    weight_decay: float = option(0.1, "Decoupled weight decay.")
    adam_beta2: float = option(0.95, "AdamW's second beta.")
    num_train_epochs: float = option(5.0, "Passes over the data.")
    logging_first_step: bool = option(True, "Log the loss of the first step.")
    max_length: int | None = option(
        1024,
        "Longest document in tokens; with packing, the length of a packed row. A longer document is counted and dropped, never "
        "truncated.",
    )
    packing: bool = option(
        False, "Put several whole documents into each row of max_length tokens. No document sees another."
    )
    eval_packing: bool | None = option(
        None, "Pack the held-out rows too; unset for the value of packing.", nargs="?", const=True
    )
    packing_shard_rows: int | None = option(
        None,
        "Number of consecutive documents that are packed together; unset for all of them, and for 1000 with streaming.",
    )
    streaming: bool = option(
        False,
        "Read, tokenize and pack the training rows while training runs, in the order of the files: neither the disk nor the "
        "memory ever holds all of them. Needs max_steps.",
    )
    shuffle_buffer: int = option(
        0, "With streaming: number of consecutive documents that are shuffled together; 0 for the order of the files."
    )
    train_sampling_strategy: str = sampling_strategy_option("rows")
    auto_batch: bool = option(
        False,
        "Choose the largest number of rows per forward that fits into memory, and accumulate gradients over the rest of the "
        "optimizer step; recompute activations only if not even one row fits. The rows of a step stay the same.",
    )
    auto_batch_memory: float | None = option(
        None, "Memory in GiB that auto_batch may use on each device; unset for 90 %% of the free memory."
    )
    generation_eval_samples: int = option(0, "Held-out rows answered at each evaluation; 0 for none.")
    generation_eval_match: str = match_option("of those answers")
    max_new_tokens: int = option(256, "Longest answer of an evaluation, in tokens.")
    log_samples: int = option(3, "Number of evaluation answers that are written to samples.jsonl.")


@dataclass
class SFTRecipe(BaseRecipe):
    """A parsed `sft.yaml`: every value typed and checked."""

    KIND: ClassVar[str] = "sft"

    training: SFTArguments


_RESPONSE_LOSS = "the loss is always on the response only, with one row for each assistant turn"
_REFUSED_SFT: Refused = {
    "assistant_only_loss": ((False,), _RESPONSE_LOSS),
    "chat_template_path": ((None,), LAYOUT),
    "completion_only_loss": ((None, True), _RESPONSE_LOSS),
    "dataset_kwargs": ((None,), "rows are always rendered, tokenized and counted by hrm_align"),
    "dataset_text_field": ((), MOVED["formatting_func"]),
    "eos_token": ((None,), LAYOUT),
    "packing_strategy": (("bfd",), "documents are packed whole, by best fit, and never truncated"),
    "pad_token": ((None,), LAYOUT),
    "padding_free": ((False,), "it lets documents attend to each other's prefixes; packing: true keeps them apart"),
    "truncation_mode": (
        (),
        "a row longer than max_length is dropped and counted; a truncated row would lose its end token",
    ),
}
_BOUNDS_SFT: Bounds = {
    BELOW_ONE: ("replay_fraction",),
    COUNT: ("max_new_tokens", "packing_shard_rows"),
    COUNT_OR_NONE: ("shuffle_buffer",),
    Bound("a number of GiB above 0", 0, above=True): ("auto_batch_memory",),
    Bound("8 tokens or more", 8, null=False): ("max_length",),
}
_NEEDS_SFT: Needs = {"auto_batch_memory": ("auto_batch", ()), "packing_shard_rows": ("packing", ())}


def _check_sft(recipe: SFTRecipe, settings: Mapping[str, Setting], fail: Fail) -> None:
    data, training = recipe.data, recipe.training
    check_matches(recipe, fail)
    _check_best_metric(training, fail)
    if bool(data.replay_datasets) != bool(data.replay_fraction):
        fail("replay_fraction" if data.replay_fraction else "replay_datasets", "is set alone: set replay_datasets "
             "and replay_fraction, or neither")  # fmt: skip
    if training.auto_batch and training.auto_find_batch_size:
        fail(
            "auto_find_batch_size",
            "changes the rows of an optimizer step when memory runs out: use auto_batch alone, which accumulates gradients",
        )
    if training.auto_batch and training.dataloader_drop_last:
        fail(
            "dataloader_drop_last",
            "drops the rows of an incomplete last forward, whose size auto_batch chooses: leave one of the two out",
        )
    check_streaming(recipe, settings, fail)
    check_held_out(recipe, settings, fail)


def _check_best_metric(training: SFTArguments, fail: Fail) -> None:
    """Refuse a metric that no evaluation of the run logs; the run would fail at its first evaluation."""
    best = str(training.metric_for_best_model or "").removeprefix("eval_")
    logged = metric_name(training.generation_eval_match)
    if best != logged and best in map(metric_name, match_names()):
        fail("metric_for_best_model", f"is {training.metric_for_best_model!r}, but generation_eval_match "
             f"{training.generation_eval_match} logs {logged}: use that, or change generation_eval_match")  # fmt: skip
    if best in (logged, "unfinished") and not training.generation_eval_samples:
        fail("metric_for_best_model", f"is {training.metric_for_best_model!r}, a score of generated answers: set "
             "generation_eval_samples, or use eval_loss")  # fmt: skip
    if best not in ("", "loss", logged, "unfinished"):
        fail("metric_for_best_model", f"is {training.metric_for_best_model!r}, which no evaluation computes: use eval_loss, or "
             f"eval_{logged} with generation_eval_samples")  # fmt: skip


_EVERYDAY = (
    "model_name_or_path",
    "datasets",
    "eval_datasets",
    "eval_fraction",
    "output_dir",
    "condition",
    "max_length",
    "packing",
    "use_peft",
    "lora_r",
    "lora_alpha",
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

SFT = RecipeKind(
    SFTRecipe,
    {**REFUSED, **_REFUSED_SFT},
    (BOUNDS, _BOUNDS_SFT),
    {**NEEDS, **_NEEDS_SFT},
    REQUIRED,
    _EVERYDAY,
    "recipes/tiny/sft.yaml",
    _check_sft,
)


def parse_sft(argv: Sequence[str]) -> SFTRecipe:
    """Parse a supervised fine-tuning recipe."""
    recipe: SFTRecipe = parse(SFT, argv)
    return recipe
