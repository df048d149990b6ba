"""Checks of a launch before a model or a row is read, and a separate rendezvous for a restart.

Settings of accelerate's config file arrive as environment variables; a recipe's settings (`fsdp`, `deepspeed`) mean the same. What
is not supported is refused. A restart by `torchrun` or `accelerate launch --max_restarts` needs, besides a checkpoint, a rendezvous
of its own.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch.distributed import TCPStore
from torch.distributed.fsdp import CPUOffloadPolicy

from hrm_align.config.arguments import ModelArguments
from hrm_align.config.launcher import precision_of
from hrm_align.errors import RunError, UserError

_FILES = "recipes/accelerate"
NO_SHARDED_SAMPLING = (
    "GRPO cannot sample from a model that FSDP or DeepSpeed shards: processes finish their answers at different times, and "
    f"one process would wait for the weights of another. Launch it with {_FILES}/multi_gpu.yaml."
)


NO_SHARDED_TEACHER = (
    "distillation cannot sample from a student that FSDP or DeepSpeed shards: processes finish their completions at different times, "
    f"and one process would wait for the weights of another. Launch it with {_FILES}/multi_gpu.yaml."
)
NO_SHARDED_REFERENCE = (
    "preference training is not tested with weights that FSDP or DeepSpeed shards, because its reference is a second model: launch "
    f"it with {_FILES}/multi_gpu.yaml."
)


def check_launch(args: Any, model: ModelArguments, samples: bool = False, compares: bool = False) -> None:
    """Refuse a launch that would silently train something else, or whose checkpoints could not be resumed.

    All processes come to the same decision; all but the main process exit without a message.

    Args:
        args: settings of the trainer.
        model: settings of the model.
        samples: whether the run samples from the model that it trains.
        compares: whether the run compares the model that it trains with a reference.

    Raises:
        UserError: naming the setting and the remedy.
    """
    with one_message():
        _check(args, model, samples, compares)


def running_precision(accelerator: Any) -> str:
    """Return the precision that forwards are computed in (bf16, fp16, or no for that of the weights), as accelerate runs them."""
    return str(accelerator.mixed_precision) if accelerator.native_amp else "no"


def check_precision(trainer: Any) -> None:
    """Raise UserError if the accelerator computes in another precision than the trainer's settings say."""
    runs, set_to = running_precision(trainer.accelerator), precision_of(trainer.args)
    if runs != set_to:
        names = {"no": "no half precision"}
        raise UserError(
            f"the settings say {names.get(set_to, set_to)}, but on this machine ({trainer.args.device.type}) the accelerator "
            f"computes in {names.get(runs, runs)}: set bf16 and fp16 to what should run. A CPU has bf16 and no fp16."
        )


def describe_launch(trainer: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run computes with, read from its trainer and accelerator, for run/env.json.

    Args:
        trainer: the trainer, before training.
        settings: all settings as recorded in run/resolved.yaml.

    Raises:
        RunError: if the trainer has other values than the recorded settings.
    """
    accelerator, args = trainer.accelerator, trainer.args
    for key in ("bf16", "fp16", "use_cpu", "gradient_accumulation_steps", "per_device_train_batch_size"):
        if settings[key] != getattr(args, key):
            raise RunError(
                f"the trainer has {key} {getattr(args, key)}, but run/resolved.yaml would say {settings[key]}: something has "
                f"changed the settings after they were read. Set {key} in the recipe."
            )
    device = accelerator.device
    plugin = accelerator.state.dynamo_plugin
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "world_size": accelerator.num_processes,
        "mixed_precision": running_precision(accelerator),
        "gradient_accumulation_steps": args.gradient_accumulation_steps * accelerator.gradient_accumulation_steps,
        "torch_compile": plugin.backend.value.lower(),
    }


@contextmanager
def one_message() -> Iterator[None]:
    """Context for a check that comes to the same decision on all processes: only the main process reports a UserError."""
    try:
        yield
    except UserError:
        PartialState().wait_for_everyone()  # the launcher kills the other processes when the first exits
        if not PartialState().is_main_process:
            sys.exit(2)
        raise


def _check(args: Any, model: ModelArguments, samples: bool, compares: bool) -> None:
    uses_fsdp = bool(args.fsdp) or _is_set("ACCELERATE_USE_FSDP")
    uses_deepspeed = bool(args.deepspeed) or _is_set("ACCELERATE_USE_DEEPSPEED")
    if samples and (uses_fsdp or uses_deepspeed):
        raise UserError(NO_SHARDED_SAMPLING)
    if compares and (uses_fsdp or uses_deepspeed):
        raise UserError(NO_SHARDED_REFERENCE)
    if uses_deepspeed:
        raise UserError(
            f"this launch uses DeepSpeed, whose checkpoints hrm_align cannot resume: launch with {_FILES}/fsdp2.yaml, which "
            f"shards weights, gradients and optimizer as ZeRO 3 does, or with {_FILES}/multi_gpu.yaml."
        )
    if _is_set("ACCELERATE_USE_MEGATRON_LM") or _is_set("ACCELERATE_USE_PARALLELISM_CONFIG"):
        raise UserError(
            "this launch uses Megatron-LM or a parallelism_config, which is not tested with this model: launch with a file of "
            f"{_FILES}."
        )
    if uses_fsdp:
        _check_settings(args, model)
        _check_plugin(FullyShardedDataParallelPlugin(**(args.fsdp_plugin_args or {})))
        _check_devices(PartialState())


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("true", "1")


def _check_devices(state: PartialState) -> None:
    if state.distributed_type in (DistributedType.NO, DistributedType.MULTI_CPU):
        where = "on the CPU" if state.device.type == "cpu" else "in one process"
        raise UserError(
            f"this launch uses FSDP {where}, where accelerate silently shards nothing: launch it on two or more GPUs, or "
            f"with {_FILES}/one_gpu.yaml, cpu.yaml or two_processes_cpu.yaml."
        )


def _check_plugin(plugin: FullyShardedDataParallelPlugin) -> None:
    if plugin.fsdp_version != 2:
        raise UserError(
            f"fsdp_version is {plugin.fsdp_version}, whose checkpoints hrm_align cannot resume: set fsdp_version: 2 in "
            f"accelerate's file, as {_FILES}/fsdp2.yaml does."
        )
    if "FULL_STATE_DICT" not in str(plugin.state_dict_type):
        raise UserError(
            f"fsdp_state_dict_type is {getattr(plugin.state_dict_type, 'name', plugin.state_dict_type)}, but checkpoints are "
            "saved whole, so that a run can resume with any number of processes: set fsdp_state_dict_type: FULL_STATE_DICT."
        )
    for key, is_on, instead in (
        ("fsdp_activation_checkpointing", plugin.activation_checkpointing, "set --activation_checkpointing true"),
        (
            "fsdp_cpu_ram_efficient_loading",
            plugin.cpu_ram_efficient_loading,
            "each process reads the checkpoint itself",
        ),
        ("fsdp_offload_params", isinstance(plugin.cpu_offload, CPUOffloadPolicy), "use more GPUs or an adapter"),
    ):
        if is_on:
            raise UserError(
                f"{key} is on, which is not tested with this model: set {key}: false in accelerate's file ({instead})."
            )


def _check_settings(args: Any, model: ModelArguments) -> None:
    if getattr(args, "auto_batch", False):
        raise UserError(
            "auto_batch cannot estimate the memory of sharded weights (FSDP): set per_device_train_batch_size yourself."
        )
    if args.ema_decay is not None:
        raise UserError("--ema_decay is not supported under FSDP, which shards the weights: leave one of the two out.")
    if (args.fsdp_config or {}).get("mixed_precision_policy") is not None:
        raise UserError(
            "fsdp_config has a mixed_precision_policy, which has no effect: set bf16, which is autocast here as in DDP."
        )
    if args.fp16:
        raise UserError("--fp16 is not tested under FSDP: set --bf16 true instead.")
    if model.load_in_4bit or model.load_in_8bit:
        raise UserError(
            f"load_in_4bit and load_in_8bit are not tested under FSDP: leave them out, or launch with {_FILES}/multi_gpu.yaml."
        )
    if args.torch_compile or os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no").lower() != "no":
        raise UserError(
            "--torch_compile (dynamo_config in accelerate's file) is not tested under FSDP: leave it out, or set "
            "--compile_blocks true."
        )


_RENDEZVOUS_TIMEOUT = timedelta(minutes=10)


def separate_restart() -> None:
    """Give the processes of a restart a new rendezvous store, before any of them opens a process group.

    The launcher's store outlives its workers, and torch (2.13) stores the addresses of every attempt under the same keys: with
    gloo a restarted process sometimes gets the address of a dead process, and fails or hangs.
    """
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if attempt == "0" or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    host = os.environ["MASTER_ADDR"]
    launchers = TCPStore(host, int(os.environ["MASTER_PORT"]), is_master=False, timeout=_RENDEZVOUS_TIMEOUT)
    key = f"hrm_align/attempt {attempt}/port"
    if os.environ["RANK"] == "0":
        with socket.socket() as free:
            free.bind(("", 0))
            launchers.set(key, str(free.getsockname()[1]))
    os.environ["MASTER_PORT"] = launchers.get(key).decode()
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"  # rank 0 then opens the new store on that port
