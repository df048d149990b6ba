"""What the settings of all recipes may be: ranges of numbers, settings that need another setting, and required settings.

`python -m tests.golden.schema` writes these tables, and those beside the trainers, into schema.json, where `hrm_align.config.checks`
reads them without importing torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import SchedulerType
from transformers.training_args import OptimizerNames

from hrm_align.config.bounds import BELOW_ONE, COUNT, COUNT_OR_NONE, NOT_NEGATIVE, POSITIVE, SEED, SHARE, Bound

# Ranges of numbers, by setting; every other number must be finite. (`hrm_align.config.checks` applies the tables.)
Bounds = Mapping[Bound, tuple[str, ...]]
# fmt: off
BOUNDS: Bounds = {
    NOT_NEGATIVE: ("learning_rate", "weight_decay", "max_grad_norm", "warmup_steps", "eval_delay"),
    POSITIVE: ("num_train_epochs", "lora_alpha", "adam_epsilon", "logging_steps", "eval_steps", "save_steps",
               "neftune_noise_alpha"),
    BELOW_ONE: ("adam_beta1", "adam_beta2", "eval_fraction", "lora_dropout"),
    SHARE: ("max_bad_fraction", "max_damaged_fraction", "max_dropped_fraction", "label_smoothing_factor", "guard_margin",
            "bp_warmup_ratio"),
    COUNT_OR_NONE: ("generation_eval_samples", "log_samples", "guard_samples", "dataloader_num_workers",
                    "save_total_limit"),
    COUNT: ("lora_r", "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps",
            "eval_accumulation_steps", "torch_empty_cache_steps", "dataloader_prefetch_factor",
            "ddp_bucket_cap_mb", "ddp_timeout", "dataset_num_proc"),
    SEED: ("seed", "data_seed"),
    Bound("1 or more, or -1 to go by num_train_epochs", 1, also=-1): ("max_steps",),
    Bound("2 or more: one pass of each stack", 2): ("bp_steps", "bp_min_steps", "bp_max_steps"),
    Bound("above 0 and below 1, such as 0.999", 0, 1, above=True, below=True): ("ema_decay",),
}
# fmt: on

# The optimizers of Transformers that read optim_target_modules.
_LOW_RANK = tuple(name.value for name in OptimizerNames if name.value.startswith(("galore", "apollo")))

# The schedules of Transformers that read warmup_steps; the first one is what a constant rate with a warm-up is called.
_WARMED = tuple(
    name.value for name in SchedulerType if name.value not in ("constant", "reduce_lr_on_plateau", "greedy")
)
_WARMED = ("constant_with_warmup", *(name for name in _WARMED if name != "constant_with_warmup"))

# Settings that have an effect only with another setting: the other setting, and its values (none: any value but false and 0).
Needs = Mapping[str, tuple[str, tuple[Any, ...]]]
NEEDS: Needs = {
    "activation_checkpointing_kwargs": ("activation_checkpointing", ()),
    "bp_min_steps": ("bp_warmup_ratio", ()),
    "bp_warmup_ratio": ("bp_min_steps", ()),
    "dataloader_multiprocessing_context": ("dataloader_num_workers", ()),
    "dataloader_persistent_workers": ("dataloader_num_workers", ()),
    "dataloader_prefetch_factor": ("dataloader_num_workers", ()),
    "ema_for_evaluation": ("ema_decay", ()),
    "eval_delay": ("eval_strategy", ("steps", "epoch")),
    "eval_steps": ("eval_strategy", ("steps",)),
    "fsdp_config": ("fsdp", ()),
    "guard_margin": ("guard_datasets", ()),
    "guard_samples": ("guard_datasets", ()),
    "logging_steps": ("logging_strategy", ("steps",)),
    "optim_target_modules": ("optim", _LOW_RANK),
    "save_steps": ("save_strategy", ("steps",)),
    "warmup_steps": ("lr_scheduler_type", _WARMED),
}

# Settings that every recipe must give, and what to do about a missing one.
REQUIRED: Mapping[str, str] = {
    "model_name_or_path": "Name the model to train, in the recipe or as a flag",
    "datasets": "Name the data sets to train on, in the recipe or as a flag",
    "output_dir": "Name the folder for the run, in the recipe or as a flag",
}
