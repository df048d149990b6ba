"""Whether the trainer can be built as a recipe asks, before anything is loaded, read or written for it.

Transformers finds a missing package, or an argument that a schedule does not have, only when the model stands ready. So
its own constructors are tried here, on a layer of one weight.
"""

from __future__ import annotations

import difflib
import inspect
from typing import Any

import torch
from torch import nn
from transformers import SchedulerType
from transformers.training_args import OptimizerNames

from hrm_align.config.arguments import StabiliserArguments
from hrm_align.config.rules import Fail

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
