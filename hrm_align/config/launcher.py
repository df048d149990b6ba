"""Settings that a recipe and accelerate's launcher both have: one value each, so that the record of a run says what ran.

    ACCELERATE_MIXED_PRECISION              bf16, fp16               accelerate launch --mixed_precision, or its config file
    ACCELERATE_GRADIENT_ACCUMULATION_STEPS  gradient_accumulation_steps
    ACCELERATE_DYNAMO_BACKEND, ..._MODE     torch_compile            --dynamo_backend, or dynamo_config
    ACCELERATE_USE_CPU                      use_cpu                  --cpu, or use_cpu

`accelerate launch` passes its settings on in environment variables, whether the user has chosen them or not, and Transformers uses
some of them without changing its own settings. Here a variable that says something becomes the setting, unless the recipe gives the
setting. A recipe and a variable that contradict each other are refused. The launcher's defaults (`no`, `False`) say nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accelerate.utils import DynamoBackend, PrecisionType, str_to_bool
from transformers.utils import is_torch_bf16_gpu_available, is_torch_tf32_available

from hrm_align.errors import UserError

if TYPE_CHECKING:
    from hrm_align.config.rules import Fail, Setting

PRECISION = "ACCELERATE_MIXED_PRECISION"
ACCUMULATION = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
COMPILER, COMPILER_MODE = "ACCELERATE_DYNAMO_BACKEND", "ACCELERATE_DYNAMO_MODE"
CPU = "ACCELERATE_USE_CPU"


@dataclass(frozen=True)
class Launched:
    """What the launcher's environment variables say; None where they say nothing.

    Attributes:
        precision: bf16 or fp16.
        accumulation: forwards per optimizer step.
        compiler: backend of torch.compile.
        compiler_mode: mode of torch.compile.
        use_cpu: whether to train on the CPU.
    """

    precision: str | None = None
    accumulation: int | None = None
    compiler: str | None = None
    compiler_mode: str | None = None
    use_cpu: bool = False

    @classmethod
    def read(cls) -> Launched:
        """Read the variables of this process. Raises UserError for a value that cannot be used."""
        precision = _read_choice(PRECISION, PrecisionType.list(), "bf16")
        if precision == "fp8":
            raise UserError(
                f"{PRECISION} is fp8, which is not supported: launch with --mixed_precision bf16, or with no, so that the "
                "recipe's bf16 sets the precision."
            )
        compiler = _read_choice(COMPILER, [name.lower() for name in DynamoBackend.list()], "inductor")
        mode = os.environ.get(COMPILER_MODE, "").lower()
        return cls(
            precision=precision,
            accumulation=_read_steps(),
            compiler=compiler,
            compiler_mode=mode if compiler and mode not in ("", "default") else None,
            use_cpu=_read_flag(CPU),
        )


def _read_choice(variable: str, choices: list[str], example: str) -> str | None:
    value = os.environ.get(variable, "").lower()
    if value in ("", "no"):
        return None
    if value not in choices:
        raise UserError(f"invalid value for {variable}: {value}. Use {example}, or leave the variable unset.")
    return value


def _read_steps() -> int | None:
    value = os.environ.get(ACCUMULATION, "")
    if value in ("", "auto"):
        return None
    if not value.isdigit() or int(value) < 1:
        raise UserError(f"invalid value for {ACCUMULATION}: {value}. Use 1 or more, or leave the variable unset.")
    return int(value)


def _read_flag(variable: str) -> bool:
    try:
        return bool(str_to_bool(os.environ.get(variable) or "false"))
    except ValueError:
        raise UserError(f"invalid value for {variable}: {os.environ[variable]}. Use true or false.") from None


def apply_launcher(args: Any) -> None:
    """Write what the launcher says into settings that are unset, before Transformers checks the settings.

    Args:
        args: the training settings; `use_cpu` is decided already.

    Raises:
        UserError: see `Launched.read`; or if the launcher sets a precision that this GPU does not have.
        ValueError: if the recipe does.
    """
    launched = Launched.read()
    if args.bf16 is None and not args.fp16:
        if launched.precision is not None:
            args.bf16, args.fp16 = launched.precision == "bf16", launched.precision == "fp16"
        else:
            args.bf16 = not args.use_cpu and is_torch_bf16_gpu_available()
    args.bf16 = bool(args.bf16)
    if args.bf16 and not args.use_cpu and not is_torch_bf16_gpu_available():
        if launched.precision == "bf16":
            raise UserError(
                f"{PRECISION} is bf16, which this GPU does not have: launch with --mixed_precision fp16, or no."
            )
        raise ValueError("this GPU has no bf16: use fp16, or leave bf16 out")
    if args.tf32 and (args.use_cpu or not is_torch_tf32_available()):
        raise ValueError(
            "this machine has no TF32, which needs an NVIDIA GPU of the Ampere generation or newer: leave tf32 out"
        )
    if launched.accumulation is not None and args.gradient_accumulation_steps == 1:
        args.gradient_accumulation_steps = launched.accumulation
    if launched.compiler is not None:
        args.torch_compile_backend = args.torch_compile_backend or launched.compiler
        args.torch_compile_mode = args.torch_compile_mode or launched.compiler_mode


def precision_of(args: Any) -> str:
    """Return the precision of the forward: bf16, fp16, or no for that of the weights."""
    return "fp16" if args.fp16 else "bf16" if args.bf16 else "no"


def check_accelerator_config(args: Any) -> None:
    """Refuse options of `accelerator_config` that change other settings after they are recorded.

    Raises:
        ValueError: naming the option and the remedy.
    """
    config = args.accelerator_config
    if "num_steps" in (config.gradient_accumulation_kwargs or {}):
        raise ValueError("num_steps would replace gradient_accumulation_steps: set gradient_accumulation_steps instead")
    if config.split_batches and args.world_size > 1:
        raise ValueError(
            f"split_batches would divide per_device_train_batch_size by the {args.world_size} processes: set "
            "per_device_train_batch_size to the rows of one process instead"
        )


def check_launcher(training: Any, settings: Mapping[str, Setting], fail: Fail) -> None:
    """Refuse a recipe that contradicts its launcher, and fp16 on a CPU.

    Args:
        training: the training settings, after `apply_launcher`.
        settings: the settings that the recipe or the command line gives.
        fail: raises UserError for a setting.
    """
    launched = Launched.read()
    given = {key: setting.value for key, setting in settings.items() if setting.value is not None}
    _check_precision(launched.precision, given, fail)
    for key, theirs, variable in (
        ("gradient_accumulation_steps", launched.accumulation, ACCUMULATION),
        ("torch_compile", True if launched.compiler else None, COMPILER),
        ("torch_compile_backend", launched.compiler, COMPILER),
        ("torch_compile_mode", launched.compiler_mode, COMPILER_MODE),
        ("use_cpu", launched.use_cpu or None, CPU),
    ):
        if theirs is not None and key in given and given[key] != theirs:
            says = os.environ[variable]
            fail(key, f"is {_yaml(given[key])}, but the launcher sets {variable} to {says}: leave {key} out, or launch "
                 f"without {variable}")  # fmt: skip
    if training.fp16 and training.use_cpu:
        source = "is true" if "fp16" in given else f"is set by {PRECISION}"
        fail("fp16", f"{source}, but on a CPU accelerate would train in float32. Use bf16, or leave it out")


def _check_precision(launched: str | None, given: Mapping[str, Any], fail: Fail) -> None:
    if launched is None:
        return
    other = "fp16" if launched == "bf16" else "bf16"
    contradicts = [key for key, value in (("bf16", False), (other, True), (launched, False)) if given.get(key) is value]
    if contradicts and not (given.get(launched) is True and not given.get(other)):
        key = contradicts[0]
        fail(key, f"is {_yaml(given[key])}, but the launcher sets {PRECISION} to {launched}: leave {key} out, or launch with "
             "--mixed_precision no")  # fmt: skip


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
