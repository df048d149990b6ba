"""What a recipe may say: names that have moved, settings that a trainer cannot honour, bounds, and combinations.

One `RecipeKind` for each trainer, beside it; `hrm_align.config.parser` applies it. The last rules ask whether the trainer can be
built here, before anything is loaded, read or written for it: Transformers finds a missing package, or an argument that a
schedule does not have, only when the model stands ready. So its own constructors are tried, on a layer of one weight.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

import torch
from torch import nn
from transformers import SchedulerType
from transformers.training_args import OptimizerNames

from hrm_align.config.arguments import DataArguments, LoraArguments, ModelArguments, StabiliserArguments
from hrm_align.config.schema import MOVED
from hrm_align.errors import UserError
from hrm_align.rendering import parse_condition

Fail = Callable[[str, str], None]  # key and what is wrong with it; raises UserError with the key's place


@dataclass(frozen=True)
class Setting:
    """A value that a recipe gives, and where: `file:line`, or `command line`."""

    value: Any
    where: str


# Settings that a trainer cannot honour: the values that change nothing, and the reason.
Refused = Mapping[str, tuple[tuple[Any, ...], str]]

ATTENTION = ("per_document", "sdpa", "eager", "flex_attention", "varlen")
_LOADING = "set dtype, attn_implementation, model_revision and tokenizer_name_or_path instead"
LAYOUT = "the layout of a document and its end token are fixed by what HRM-Text was pretrained on"
_AT_THE_END = "a run is published once, at its end, when the export has been checked"
_LIGER = "Liger has no kernels for HRM-Text"
REFUSED: Refused = {
    "average_tokens_across_devices": ((True,), "without it the loss depends on how rows are spread over processes"),
    "hub_always_push": ((False,), _AT_THE_END),
    "hub_revision": ((None,), _AT_THE_END),
    "hub_strategy": (("every_save", "end"), _AT_THE_END),
    "hub_token": ((), "tokens are no options: set HF_TOKEN in the environment, or run `hf auth login`"),
    "liger_kernel_config": ((None,), _LIGER),
    "model_init_kwargs": ((None,), _LOADING),
    "router_aux_loss_coef": ((None,), "HRM-Text is no mixture of experts"),
    "trust_remote_code": ((False,), "HRM-Text is part of Transformers, and code from the Hub is never run"),
    "use_liger_kernel": ((False,), _LIGER),
}

Bound = tuple[str, Callable[[Any], bool], tuple[str, ...]]  # what must hold in words, as a test, and of which keys

COUNT: tuple[str, Callable[[Any], bool]] = ("1 or more", lambda v: v >= 1)
COUNT_OR_NONE: tuple[str, Callable[[Any], bool]] = ("0 or more", lambda v: v >= 0)
SHARE: tuple[str, Callable[[Any], bool]] = ("between 0 and 1", lambda v: 0 <= v <= 1)
BOUNDS: tuple[Bound, ...] = (
    ("a finite number, 0 or more", lambda v: 0 <= v < math.inf, ("learning_rate", "weight_decay", "max_grad_norm")),
    ("a finite number above 0", lambda v: 0 < v < math.inf, ("num_train_epochs",)),
    ("0 or more, and below 1", lambda v: 0 <= v < 1, ("adam_beta1", "adam_beta2", "eval_fraction", "lora_dropout")),
    (*SHARE, ("max_bad_fraction", "max_dropped_fraction", "label_smoothing_factor", "guard_margin")),
    (*COUNT_OR_NONE, ("generation_eval_samples", "log_samples", "guard_samples")),
    (*COUNT, ("lora_r", "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps")),
    ("a finite number above 0", lambda v: v is None or 0 < v < math.inf, ("lora_alpha",)),
    ("1 or more, or -1 to go by num_train_epochs", lambda v: v == -1 or v >= 1, ("max_steps",)),
)


@dataclass(frozen=True)
class RecipeKind:
    """A trainer's recipes.

    Args:
        name: of the command.
        recipe: the dataclass of a parsed one; its fields are `schema`, in this order.
        schema: dataclasses of its keys.
        refused: settings that the trainer cannot honour.
        bounds: of single values.
        everyday: the settings that `--help` shows; `--help-all` shows all.
        example: a recipe, for `--help`.
        check: combinations; called with the recipe, the settings that were given, and `Fail`.
    """

    name: str
    recipe: type
    schema: tuple[type, ...]
    refused: Refused
    bounds: tuple[Bound, ...]
    everyday: tuple[str, ...]
    example: str
    check: Callable[[Any, Mapping[str, Setting], Fail], None]

    @property
    def keys(self) -> set[str]:
        """All that the dataclasses know, the refused ones too."""
        return {f.name for cls in self.schema for f in fields(cls) if f.init}

    @property
    def hidden(self) -> set[str]:
        """Keys that no recipe can give: names that have moved, and settings that are refused whatever their value."""
        return MOVED.keys() | {key for key, (accepted, _) in self.refused.items() if not accepted}


def failing(settings: Mapping[str, Setting]) -> Fail:
    """What raises UserError for a key, with the place where it is given."""

    def fail(key: str, need: str) -> None:
        where = settings[key].where if key in settings else "recipe"
        raise UserError(f"{where}: {key} {need}.")

    return fail


def check_recipe(kind: RecipeKind, recipe: Any, settings: Mapping[str, Setting]) -> None:
    """Values and combinations that no type can exclude.

    Args:
        kind: of the recipe.
        recipe: as parsed.
        settings: those that were given.

    Raises:
        UserError: for the first mistake.
    """
    fail = failing(settings)
    values: dict[str, Any] = {}
    for part in vars(recipe).values():
        values |= vars(part)
    for need, holds, keys in kind.bounds:
        for key in keys:
            if key in values and not holds(values[key]):
                fail(key, f"is {values[key]}, it must be {need}")
    _check_model(recipe.model, recipe.data, settings, fail)
    _check_training(recipe.training, fail)
    _check_adapter(recipe, settings, fail)
    _check_data(recipe.data, settings)
    kind.check(recipe, settings, fail)


def _check_model(model: ModelArguments, data: DataArguments, settings: Mapping[str, Setting], fail: Fail) -> None:
    for key, value in (("model_name_or_path", model.model_name_or_path), ("datasets", data.datasets)):
        if not value:
            fail(key, "is missing: say what to train and on what, in the recipe or as a flag")
    if not settings.get("output_dir", Setting(None, "")).value:
        fail("output_dir", "is missing: say where the run is written")
    kernel = model.attn_implementation
    if kernel is not None and kernel.startswith("flash"):
        fail(
            "attn_implementation",
            "cannot be FlashAttention, which has no prefix mask: use sdpa, or varlen, which makes one of two calls",
        )
    if kernel not in (None, *ATTENTION):
        fail("attn_implementation", f"is {kernel!r}: use {', '.join(ATTENTION[:-1])} or {ATTENTION[-1]}")


def _check_training(training: Any, fail: Fail) -> None:
    checkpointing = training.activation_checkpointing_kwargs
    for key in ("activation_checkpointing_kwargs", "lr_scheduler_kwargs", "module_learning_rates"):
        if isinstance(options := getattr(training, key), str):
            fail(key, f"is {options!r}, it must be a mapping")
    if training.compile_blocks and training.torch_compile:
        fail(
            "torch_compile", "compiles the whole model: keep compile_blocks, which compiles a block once for all passes"
        )
    if isinstance(checkpointing, dict) and checkpointing.get("use_reentrant"):
        fail("activation_checkpointing_kwargs", "must not set use_reentrant: it gives wrong gradients under DDP")


ADAPTER_KEYS = [*(f.name for f in fields(LoraArguments) if f.name != "use_peft"), "load_in_4bit", "load_in_8bit"]


def _check_adapter(recipe: Any, settings: Mapping[str, Setting], fail: Fail) -> None:
    model, lora = recipe.model, recipe.lora
    given = [key for key in ADAPTER_KEYS if key in settings and settings[key].value is not False]
    if given and not lora.use_peft and "use_peft" not in settings:  # `--use_peft false` takes the adapter out knowingly
        fail(given[0], "is of an adapter, and none is asked for: set use_peft: true, or leave it out")
    if model.load_in_4bit and model.load_in_8bit:
        fail("load_in_8bit", "cannot be set with load_in_4bit: keep one of them")
    if not lora.lora_target_modules:
        fail("lora_target_modules", "is empty: name what to adapt, such as stacks")


def _check_data(data: DataArguments, settings: Mapping[str, Setting]) -> None:
    checks: list[tuple[str, Callable[[], object]]] = [("condition", lambda: parse_condition(data.condition))]
    checks += [("datasets", data.specs), ("eval_datasets", data.eval_specs)]
    checks += [("guard_datasets", data.guard_specs), ("replay_datasets", data.replay_specs)]
    for key, check in checks:
        try:
            check()
        except UserError as error:
            raise UserError(f"{settings[key].where}: {key}: {error}") from None


def check_held_out(recipe: Any, settings: Mapping[str, Setting], fail: Fail) -> None:
    data, training = recipe.data, recipe.training
    if data.eval_datasets and data.eval_fraction:
        fail("eval_fraction", "splits the training data, but eval_datasets is given too: keep one of them")
    if not (data.eval_datasets or data.eval_fraction):
        if training.eval_strategy != "no":
            fail("eval_strategy", f"is {settings['eval_strategy'].value}, but nothing is held out: set eval_datasets")
        if training.generation_eval_samples:
            fail("generation_eval_samples", "needs held-out rows: set eval_datasets or eval_fraction")


# Where each trainer keeps its kind: named and not imported, because a trainer's settings stand above this.
KINDS = {"sft": "hrm_align.trainers.sft_config", "grpo": "hrm_align.trainers.grpo_config"}


def kind_of(name: str) -> RecipeKind:
    """The kind of this name: a key of `KINDS`."""
    kind: RecipeKind = getattr(import_module(KINDS[name]), name.upper())
    return kind


# Packages whose name is not the tracker's.
_PACKAGES = {"azure_ml": "azureml-sdk", "flyte": "flytekit"}
_STEPS = 10**6  # of a schedule that is only tried: more than any of its phases asks for


def check_runnable(training: Any, fail: Fail) -> None:
    """Refuse trackers and optimizers that are not installed, and arguments that the optimizer or schedule do not take.

    Args:
        training: `SFTArguments` or `GRPOArguments`.
        fail: raises UserError for a key.
    """
    _check_trackers(training.report_to or (), fail)
    _check_optimizer(training, fail)
    _check_schedule(training, fail)


def reason_of(error: Exception) -> str:
    """The first sentence of an error of another library, on one line and without its full stop."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}"
    text = (isinstance(error, ImportError) and error.name) or str(error)
    return " ".join(text.split()).split(". ")[0].rstrip(".")


def _check_trackers(names: list[str] | tuple[str, ...], fail: Fail) -> None:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            near = difflib.get_close_matches(name, INTEGRATION_TO_CALLBACK, n=1)
            fail("report_to", f"is {name!r}, which is no tracker: use {near[0] if near else 'wandb'}, or none")
        if not _is_installed(name):
            package = _PACKAGES.get(name, name)
            fail("report_to", f"is {name}, which is not installed: `pip install {package}`, or use wandb or none")


def _is_installed(tracker: str) -> bool:
    from transformers.integrations import integration_utils as known

    if tracker == "flyte":  # these two are not, or not always, in Transformers' list
        return bool(known.is_flytekit_available())
    if tracker == "azure_ml":
        return bool(known.is_azureml_available())
    return tracker in known.get_available_reporting_integrations()


def _check_optimizer(training: Any, fail: Fail) -> None:
    if training.optim == StabiliserArguments.ADAM_ATAN2:
        return
    what = f"is {OptimizerNames(training.optim).value}"
    if training.optim_args:
        what += f" with optim_args {training.optim_args}"
    another = f"choose another, such as {StabiliserArguments.ADAM_ATAN2}"
    try:
        _try_optimizer(training)
    except ImportError as error:
        missing = f"needs a package that is not installed ({reason_of(error)})"
        fail("optim", f"{what}, which {missing}: install it, or {another}")
    except (ValueError, TypeError, NotImplementedError) as error:
        if training.optim_target_modules is None:  # else it may be layers that it looks for in the real model
            fail("optim", f"{what}, which cannot be made ({reason_of(error)}): mend that, or {another}")


def _try_optimizer(training: Any) -> None:
    from transformers import Trainer

    layer: Any = nn.Linear(1, 1)
    make, keywords = Trainer.get_optimizer_cls_and_kwargs(training, layer)
    if not keywords.keys() & {"params", "model", "optimizer_dict"}:  # which are of optimizers that take the whole model
        make(layer.parameters(), **keywords)


def _check_schedule(training: Any, fail: Fail) -> None:
    from transformers.optimization import get_scheduler

    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=training.learning_rate)
    schedule, options = SchedulerType(training.lr_scheduler_type), training.lr_scheduler_kwargs
    try:
        get_scheduler(schedule, optimizer, 0, _STEPS, options)
    except (TypeError, ValueError) as error:
        known = _options_of(schedule)
        remedy = f"set what it knows, {', '.join(known)}" if known else "leave lr_scheduler_kwargs out"
        key = "lr_scheduler_kwargs" if options else "lr_scheduler_type"
        given = f"{options} for {schedule.value}" if options else f"{schedule.value} without lr_scheduler_kwargs"
        fail(key, f"is {given}, which cannot be made ({reason_of(error)}): {remedy}")


def _options_of(schedule: SchedulerType) -> list[str]:
    """What `lr_scheduler_kwargs` may hold for this schedule."""
    from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION

    make: Any = TYPE_TO_SCHEDULER_FUNCTION[schedule]
    settled = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}
    names = inspect.signature(make).parameters
    return [name for name in names if name not in settled and name != "kwargs"]
