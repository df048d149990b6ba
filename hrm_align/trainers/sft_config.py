"""Supervised fine-tuning recipes: their keys, what the trainer cannot honour, and which keys exclude each other.

Importing this takes seconds: `SFTArguments` is a subclass of TRL's `SFTConfig`, so TRL must be imported first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from transformers import SchedulerType
from trl import SFTConfig

from hrm_align.config.arguments import DataArguments, LoraArguments, ModelArguments, StabiliserArguments, option
from hrm_align.config.parser import parse
from hrm_align.config.rules import (
    BOUNDS,
    COUNT,
    LAYOUT,
    MOVED,
    REFUSED,
    Bound,
    Fail,
    RecipeKind,
    Refused,
    Setting,
    check_held_out,
)
from hrm_align.rewards.base import match_fault, match_names, metric_name


@dataclass
class SFTArguments(StabiliserArguments, SFTConfig):
    """TRL's `SFTConfig` with the defaults of the official HRM-Text SFT, the stabilisers, and three keys of its own.

    `bf16` unset means: on where the accelerator computes in bfloat16, off on a CPU. Without an accelerator `use_cpu` is
    set, so that `bf16: true` works there too.
    """

    learning_rate: float = option(3e-5, "Peak learning rate.")
    lr_scheduler_type: SchedulerType | str = field(
        default="cosine_with_min_lr",
        metadata={"help": "Schedule; the default falls to 10 %% of the rate unless lr_scheduler_kwargs is given."},
    )
    weight_decay: float = option(0.1, "Decoupled weight decay.")
    adam_beta2: float = option(0.95, "AdamW's second beta.")
    num_train_epochs: float = option(5.0, "Passes over the data.")
    logging_first_step: bool = option(True, "Log the loss of the first step.")
    train_sampling_strategy: str = option(
        "group_by_length",
        "How rows are batched; grouping by length saves about half of the padding.",
        choices=["random", "sequential", "group_by_length", "batch_rebalance"],
    )
    auto_batch: bool = option(
        False,
        "Forward as many rows of an optimizer step at once as fit, and accumulate the others; activations are computed again "
        "only where not one row fits. What a step learns from stays the same.",
    )
    auto_batch_memory: float | None = option(
        None, "GiB that it may take on each device; unset for 90 %% of what is free."
    )
    generation_eval_samples: int = option(0, "Held-out rows answered at each evaluation; 0 for none.")
    generation_eval_match: str = option(
        "exact",
        f"How those answers are graded: {', '.join(match_names())}. The metric is named for it: eval_sql_match.",
    )
    max_new_tokens: int = option(256, "Longest answer that an evaluation generates, in tokens.")
    log_samples: int = option(3, "How many of those answers are logged as text.")


@dataclass
class SFTRecipe:
    """A parsed `sft.yaml`: every value typed and checked."""

    KIND: ClassVar[str] = "sft"

    model: ModelArguments
    lora: LoraArguments
    data: DataArguments
    training: SFTArguments


_RESPONSE_LOSS = "the loss is always on the response, one row for each assistant turn"
_REFUSED_SFT: Refused = {
    "assistant_only_loss": ((False,), _RESPONSE_LOSS),
    "chat_template_path": ((None,), LAYOUT),
    "completion_only_loss": ((None, True), _RESPONSE_LOSS),
    "dataset_kwargs": ((None,), "rows are always rendered, tokenized and counted here"),
    "dataset_text_field": ((), MOVED["formatting_func"]),
    "eos_token": ((None,), LAYOUT),
    "packing_strategy": (("bfd",), "documents are packed whole, by best fit; they are never cut"),
    "pad_token": ((None,), LAYOUT),
    "padding_free": ((False,), "it lets prefixes see each other; packing: true does it exactly"),
    "truncation_mode": ((), "a row longer than max_length is dropped and counted; cut, it would lose its end token"),
}
_BOUNDS_SFT: tuple[Bound, ...] = (
    ("0 or more, and below 1", lambda v: 0 <= v < 1, ("replay_fraction",)),
    (*COUNT, ("max_new_tokens",)),
    ("a number of GiB above 0", lambda v: v is None or 0 < v < math.inf, ("auto_batch_memory",)),
    ("8 tokens or more", lambda v: v is not None and v >= 8, ("max_length",)),
)


def _check_sft(recipe: SFTRecipe, settings: Mapping[str, Setting], fail: Fail) -> None:
    data, training = recipe.data, recipe.training
    if fault := match_fault(training.generation_eval_match):
        fail("generation_eval_match", fault)
    if fault := match_fault(data.guard_match):
        fail("guard_match", fault)
    _check_best_metric(training, fail)
    if bool(data.replay_datasets) != bool(data.replay_fraction):
        fail("replay_fraction" if data.replay_fraction else "replay_datasets", "needs the other: set replay_datasets "
             "and replay_fraction, or neither")  # fmt: skip
    if training.auto_batch_memory is not None and not training.auto_batch:
        fail("auto_batch_memory", "is for auto_batch: set auto_batch: true, or leave it out")
    if training.auto_batch and training.auto_find_batch_size:
        fail(
            "auto_find_batch_size",
            "halves the rows of a step where memory runs out: keep auto_batch, which accumulates",
        )
    if training.auto_batch and training.dataloader_drop_last:
        fail(
            "dataloader_drop_last",
            "drops as many rows as a forward has, which auto_batch decides: leave one of them out",
        )
    check_held_out(recipe, settings, fail)


def _check_best_metric(training: SFTArguments, fail: Fail) -> None:
    """A metric that no evaluation of the run gives would stop it at the first evaluation."""
    best = str(training.metric_for_best_model or "").removeprefix("eval_")
    given = metric_name(training.generation_eval_match)
    if best != given and best in map(metric_name, match_names()):
        fail("metric_for_best_model", f"is {training.metric_for_best_model!r}, and generation_eval_match "
             f"{training.generation_eval_match} gives {given}: name that, or change generation_eval_match")  # fmt: skip


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
    "save_steps",
    "resume_from_checkpoint",
    "push_to_hub",
)

SFT = RecipeKind(
    "sft",
    SFTRecipe,
    (ModelArguments, LoraArguments, DataArguments, SFTArguments),
    {**REFUSED, **_REFUSED_SFT},
    BOUNDS + _BOUNDS_SFT,
    _EVERYDAY,
    "recipes/tiny/sft.yaml",
    _check_sft,
)


def parse_sft(argv: Sequence[str]) -> SFTRecipe:
    """`parse` for a recipe of supervised fine-tuning."""
    recipe: SFTRecipe = parse(SFT, argv)
    return recipe
