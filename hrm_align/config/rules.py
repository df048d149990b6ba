"""Rules for recipes: refused settings, ranges of numbers, required settings, and combinations of settings.

Each trainer defines its `RecipeKind`; `hrm_align.config.parser` applies it. `check_runnable` finds out whether the trackers, the
optimizer and the schedule can be built on this machine. Transformers would report a missing package, or an invalid argument of a
schedule, only after the model is loaded; so its constructors are called beforehand on a layer of one weight.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import nn
from transformers import SchedulerType
from transformers.training_args import OptimizerNames

from hrm_align.config.arguments import DataArguments, LoraArguments, ModelArguments, StabiliserArguments
from hrm_align.config.checks import Setting
from hrm_align.config.limits import Bounds, Needs
from hrm_align.config.schema import MOVED
from hrm_align.errors import UserError, join_names
from hrm_align.rendering import parse_condition

Fail = Callable[[str, str], None]  # called with a setting and a predicate ("is missing: ..."); raises UserError


# Settings that a trainer does not support: the values that are accepted because they have no effect, and the reason.
Refused = Mapping[str, tuple[tuple[Any, ...], str]]

ATTENTION = ("per_document", "sdpa", "eager", "flex_attention", "varlen")
_LOADING = "set dtype, attn_implementation, model_revision and tokenizer_name_or_path instead"
LAYOUT = "the layout of a document and its end token are fixed by the pretraining of HRM-Text"
_AT_THE_END = "a run is pushed once, when it ends and its export has been checked"
_NO_METRICS = "no function computes metrics from the predictions: set generation_eval_samples for the scores of answers"
_LIGER = "Liger has no kernels for HRM-Text"
REFUSED: Refused = {
    "average_tokens_across_devices": ((True,), "otherwise the loss would depend on how rows are spread over processes"),
    "hub_always_push": ((False,), _AT_THE_END),
    "hub_revision": ((None,), _AT_THE_END),
    "hub_strategy": (("every_save", "end"), _AT_THE_END),
    "hub_token": ((), "tokens do not belong in recipes. Set HF_TOKEN in the environment, or run `hf auth login`"),
    "batch_eval_metrics": ((False,), _NO_METRICS),
    "include_for_metrics": (([],), _NO_METRICS),
    "label_names": ((None,), "the labels of a batch are always called labels"),
    "liger_kernel_config": ((None,), _LIGER),
    "model_init_kwargs": ((None,), _LOADING),
    "router_aux_loss_coef": ((None,), "HRM-Text is not a mixture of experts"),
    "trust_remote_code": ((False,), "HRM-Text is part of Transformers, and code from the Hub is never executed"),
    "use_liger_kernel": ((False,), _LIGER),
}


@dataclass(frozen=True)
class RecipeKind:
    """The recipes of one trainer: their settings and rules.

    Args:
        recipe: dataclass of a parsed recipe, a subclass of `BaseRecipe`; the types of its fields are the dataclasses of the settings.
        refused: settings that the trainer does not support.
        bounds: ranges of numbers.
        needs: settings that have an effect only with another one.
        required: settings that a recipe must give, with the remedy for a missing one.
        everyday: the settings that `--help` shows; `--help-all` shows all.
        example: path of an example recipe, for `--help`.
        check: checks combinations of settings; called with the recipe, the settings that were given, and `Fail`.
    """

    recipe: type[Any]
    refused: Refused
    bounds: tuple[Bounds, ...]
    needs: Needs
    required: Mapping[str, str]
    everyday: tuple[str, ...]
    example: str
    check: Callable[[Any, Mapping[str, Setting], Fail], None]

    @property
    def name(self) -> str:
        """Name of the command."""
        return str(self.recipe.KIND)

    @cached_property
    def schema(self) -> tuple[type, ...]:
        """Dataclasses of the settings, in the order of the recipe's fields."""
        hints = get_type_hints(self.recipe)
        return tuple(hints[f.name] for f in fields(self.recipe))

    @property
    def keys(self) -> set[str]:
        """Names of all settings in the dataclasses, including the refused ones."""
        return {f.name for cls in self.schema for f in fields(cls) if f.init}

    @property
    def hidden(self) -> set[str]:
        """Names that no recipe can set: old names, and settings that are refused with every value."""
        return MOVED.keys() | {key for key, (accepted, _) in self.refused.items() if not accepted}


def failing(settings: Mapping[str, Setting]) -> Fail:
    """Return a function that raises UserError for a setting, with the place where the setting was given."""

    def fail(key: str, need: str) -> None:
        where = settings[key].where if key in settings else "recipe"
        raise UserError(f"{where}: {key} {need}.")

    return fail


def check_recipe(kind: RecipeKind, recipe: Any, settings: Mapping[str, Setting]) -> None:
    """Check the values and combinations of settings that the types cannot check.

    Args:
        kind: the kind of recipe.
        recipe: the parsed recipe.
        settings: the settings that were given.

    Raises:
        UserError: for the first mistake.
    """
    fail = failing(settings)
    _check_model(recipe.model, fail)
    _check_training(recipe.training, fail)
    _check_adapter(recipe, settings, fail)
    _check_data(recipe.data, settings, bool(getattr(recipe.training, "streaming", False)))
    kind.check(recipe, settings, fail)


def _check_model(model: ModelArguments, fail: Fail) -> None:
    """Check that the attention implementation has the prefix mask."""
    kernel = model.attn_implementation
    if kernel is not None and kernel.startswith("flash"):
        fail(
            "attn_implementation",
            "cannot be FlashAttention, which has no prefix mask. Use sdpa, or varlen, which combines two FlashAttention calls",
        )
    if kernel not in (None, *ATTENTION):
        fail("attn_implementation", f"cannot be {kernel!r}. Use {', '.join(ATTENTION[:-1])} or {ATTENTION[-1]}")


def _check_training(training: Any, fail: Fail) -> None:
    """Check settings that hold mappings, compilation and activation checkpointing."""
    checkpointing = training.activation_checkpointing_kwargs
    for key in ("activation_checkpointing_kwargs", "lr_scheduler_kwargs", "module_learning_rates"):
        if isinstance(options := getattr(training, key), str):
            fail(key, f"is {options!r}, which is not a mapping. Write {{key: value}}")
    if training.compile_blocks and training.torch_compile:
        fail(
            "torch_compile",
            "cannot be combined with compile_blocks. Keep compile_blocks, which compiles a block once for all passes",
        )
    _check_compilation(training, fail)
    if training.optim == StabiliserArguments.ADAM_ATAN2 and training.optim_args:
        fail("optim_args", "has no effect with optim adam_atan2. Leave it out, or use another optimizer")
    multiple = training.pad_to_multiple_of
    if isinstance(multiple, int) and multiple < 1:
        fail("pad_to_multiple_of", f"is {multiple}. Use 1 or more, such as 8, or leave it out")
    unknown = [key for key in (checkpointing or ()) if key not in _CHECKPOINTING]
    if unknown:
        fail(
            "activation_checkpointing_kwargs", f"sets {unknown[0]}, which is no option. Use {', '.join(_CHECKPOINTING)}"
        )
    every = (checkpointing or {}).get("every_n_layers", 1)
    if not isinstance(every, int) or every < 1:
        fail("activation_checkpointing_kwargs", f"sets every_n_layers {every!r}. Use a whole number, 1 or more")
    if training.preemption_dir is not None and Path(training.preemption_dir).is_file():
        fail("preemption_dir", f"is {training.preemption_dir}, a file. Name a folder")
    if isinstance(checkpointing, dict) and checkpointing.get("use_reentrant"):
        fail(
            "activation_checkpointing_kwargs",
            "must not set use_reentrant, which gives wrong gradients under DDP. Leave use_reentrant out",
        )


# Options of activation_checkpointing_kwargs: those of the trainer, and those of torch.utils.checkpoint.
_CHECKPOINTING = (
    "every_n_layers",
    "offload",
    "use_reentrant",
    "preserve_rng_state",
    "determinism_check",
    "debug",
    "context_fn",
)
_COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


def _check_compilation(training: Any, fail: Fail) -> None:
    """Check the options of torch_compile, which torch would report at the first step."""
    if training.torch_compile_mode not in (None, *_COMPILE_MODES):
        fail("torch_compile_mode", f"cannot be {training.torch_compile_mode!r}. Use {join_names(_COMPILE_MODES)}")
    backend = training.torch_compile_backend
    if backend is not None and backend not in (
        known := torch.compiler.list_backends(())
    ):  # the list takes a second to import
        fail("torch_compile_backend", f"cannot be {backend!r}. Use {join_names(known)}")


ADAPTER_KEYS = [*(f.name for f in fields(LoraArguments) if f.name != "use_peft"), "load_in_4bit", "load_in_8bit"]


def _check_adapter(recipe: Any, settings: Mapping[str, Setting], fail: Fail) -> None:
    """Check that adapter settings are given only with an adapter, and fit together."""
    model, lora = recipe.model, recipe.lora
    given = [key for key in ADAPTER_KEYS if key in settings and settings[key].value is not False]
    if (
        given and not lora.use_peft and "use_peft" not in settings
    ):  # an explicit `--use_peft false` may override a recipe with an adapter
        fail(given[0], "has no effect without an adapter. Set use_peft: true, or leave it out")
    if model.load_in_4bit and model.load_in_8bit:
        fail("load_in_8bit", "cannot be combined with load_in_4bit. Keep one of them")
    if not lora.lora_target_modules:
        fail("lora_target_modules", "is empty. Name the layers to adapt, such as stacks")


def _check_data(data: DataArguments, settings: Mapping[str, Setting], streaming: bool) -> None:
    """Check the condition and the entries of all data sets. Raises UserError with the place of the setting."""
    checks: list[tuple[str, Callable[[], object]]] = [("condition", lambda: parse_condition(data.condition))]
    checks += [("datasets", data.specs), ("eval_datasets", data.eval_specs)]
    checks += [("guard_datasets", data.guard_specs), ("replay_datasets", data.replay_specs)]
    for key, check in checks:
        try:
            check()
        except UserError as error:
            raise UserError(f"{settings[key].where}: {key}: {error}") from None
        has_weight = key != "condition" and any("weight" in entry for entry in getattr(data, key))
        if has_weight and not (streaming and key == "datasets"):
            failing(settings)(
                key, "has a `weight`, which draws rows of streamed training data: use `fraction`, or leave it out"
            )


def check_held_out(recipe: Any, settings: Mapping[str, Setting], fail: Fail) -> None:
    """Check that held-out rows are given once, and that evaluations have some."""
    data, training = recipe.data, recipe.training
    if data.eval_datasets and data.eval_fraction:
        fail("eval_fraction", "splits the training data, and eval_datasets is given, too. Keep one of them")
    if not (data.eval_datasets or data.eval_fraction):
        if training.eval_strategy != "no":
            fail(
                "eval_strategy",
                f"is {settings['eval_strategy'].value}, and there are no held-out rows. Set eval_datasets or eval_fraction",
            )
        if getattr(training, "generation_eval_samples", 0):
            fail("generation_eval_samples", "needs held-out rows. Set eval_datasets or eval_fraction")


# The module that defines each kind, by name: these modules import this one.
KINDS = {
    "sft": "hrm_align.trainers.sft_config",
    "dpo": "hrm_align.trainers.dpo_config",
    "kto": "hrm_align.trainers.kto_config",
    "grpo": "hrm_align.trainers.grpo_config",
    "reward": "hrm_align.trainers.reward_config",
    "distill": "hrm_align.trainers.distillation_config",
}


def recipe_kind(name: str) -> RecipeKind:
    """Return the recipe kind of a name, a key of `KINDS`."""
    kind: RecipeKind = getattr(import_module(KINDS[name]), name.upper())
    return kind


# PyPI packages whose name differs from the tracker's.
_PACKAGES = {"azure_ml": "azureml-sdk", "flyte": "flytekit"}
_STEPS = 10**6  # steps of a schedule that is only built to check it; more than any phase of a schedule needs


def check_runnable(training: Any, fail: Fail) -> None:
    """Raise UserError for a tracker or optimizer that is not installed, or for invalid arguments of optimizer or schedule.

    Args:
        training: the training settings of a recipe, such as `SFTArguments`.
        fail: raises UserError for a setting.
    """
    _check_trackers(training.report_to or (), fail)
    _check_optimizer(training, fail)
    _check_schedule(training, fail)


def first_sentence(error: Exception) -> str:
    """Return the first sentence of another library's error, on one line and without its full stop."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}"
    text = (isinstance(error, ImportError) and error.name) or str(error)
    return " ".join(text.split()).split(". ")[0].rstrip(".")


def _check_trackers(names: list[str] | tuple[str, ...], fail: Fail) -> None:
    """Check that each tracker of `report_to` exists and is installed."""
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            near = difflib.get_close_matches(name, INTEGRATION_TO_CALLBACK, n=1)
            fail(
                "report_to", f"cannot be {name!r}, which is not a tracker. Use {near[0] if near else 'wandb'}, or none"
            )
        if not _is_installed(name):
            package = _PACKAGES.get(name, name)
            fail("report_to", f"is {name}, which is not installed. Run `pip install {package}`, or use wandb or none")


def _is_installed(tracker: str) -> bool:
    """Return whether the package of a tracker is installed."""
    from transformers.integrations import integration_utils as integrations

    if tracker == "flyte":  # Transformers' list lacks flyte and, in some releases, azure_ml
        return bool(integrations.is_flytekit_available())
    if tracker == "azure_ml":
        return bool(integrations.is_azureml_available())
    return tracker in integrations.get_available_reporting_integrations()


def _check_optimizer(training: Any, fail: Fail) -> None:
    """Check that the optimizer can be built with its arguments."""
    if training.optim == StabiliserArguments.ADAM_ATAN2:
        return
    value = f"is {OptimizerNames(training.optim).value}"
    if training.optim_args:
        value += f" with optim_args {training.optim_args}"
    alternative = f"use another optimizer, such as {StabiliserArguments.ADAM_ATAN2}"
    try:
        keywords = _try_optimizer(training)
    except ImportError as error:
        problem = f"needs a package that is not installed ({first_sentence(error)})"
        fail("optim", f"{value}, which {problem}. Install the package, or {alternative}")
    except (ValueError, TypeError, NotImplementedError) as error:
        if (
            training.optim_target_modules is None
        ):  # otherwise the error may be about layers that only the real model has
            fail("optim", f"{value}, which cannot be built ({first_sentence(error)}). Fix optim_args, or {alternative}")
        return
    if OptimizerNames(training.optim).value in _PLAIN:
        given = [pair.partition("=")[0] for pair in (training.optim_args or "").replace(" ", "").split(",") if pair]
        if ignored := [key for key in given if key not in keywords]:
            fail(
                "optim_args",
                f"sets {ignored[0]}, which {OptimizerNames(training.optim).value} does not read. Leave it out",
            )


# Optimizers whose keywords are all that Transformers takes from optim_args.
_PLAIN = ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop")


def _try_optimizer(training: Any) -> dict[str, Any]:
    """Build the optimizer for a layer of one weight, to raise its errors. Returns its keywords."""
    from transformers import Trainer

    layer: Any = nn.Linear(1, 1)
    make, keywords = Trainer.get_optimizer_cls_and_kwargs(training, layer)
    if not keywords.keys() & {"params", "model", "optimizer_dict"}:  # these optimizers need the real model
        make(layer.parameters(), **keywords)
    return dict(keywords)


def _check_schedule(training: Any, fail: Fail) -> None:
    """Check that the learning rate schedule can be built with its arguments."""
    from transformers.optimization import get_scheduler

    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=training.learning_rate)
    schedule, options = SchedulerType(training.lr_scheduler_type), training.lr_scheduler_kwargs
    try:
        get_scheduler(schedule, optimizer, 0, _STEPS, options)
    except (TypeError, ValueError) as error:
        options_known = _list_schedule_options(schedule)
        remedy = f"Set its options {', '.join(options_known)}" if options_known else "Leave lr_scheduler_kwargs out"
        key = "lr_scheduler_kwargs" if options else "lr_scheduler_type"
        given = f"{options} for {schedule.value}" if options else f"{schedule.value} without lr_scheduler_kwargs"
        fail(key, f"is {given}, which cannot be built ({first_sentence(error)}). {remedy}")


def _list_schedule_options(schedule: SchedulerType) -> list[str]:
    """Return the options that `lr_scheduler_kwargs` may set for a schedule."""
    from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION

    make: Any = TYPE_TO_SCHEDULER_FUNCTION[schedule]
    set_by_trainer = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}
    names = inspect.signature(make).parameters
    return [name for name in names if name not in set_by_trainer and name != "kwargs"]
