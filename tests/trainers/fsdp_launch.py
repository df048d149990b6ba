"""Recipes under real FSDP2 on CPUs, and under DDP beside it: a script for `accelerate launch`, never part of the package.

    accelerate launch --config_file FILE tests/trainers/fsdp_launch.py RUNS.json

accelerate 1.15 shards on accelerators only and silently runs DDP on a CPU. Told that it is on GPUs, it shards over gloo.
RUNS.json is a list of runs, made one after the other in the same processes, which saves the imports of all but one:

    {"arguments": [...], "sharded": true, "environment": {...}, "gradients": FOLDER, "at": [steps]}

`FOLDER/gradients-N.safetensors` holds the whole gradients of step N before clipping, `FOLDER/types.json` the type of each
trained weight, so that a test can see that the run was sharded.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from accelerate import PartialState
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedType
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor

import recipes.sft
from hrm_align.cli import run_with_exit_code
from hrm_align.trainers.mixin import Stabilised

STOCK_INIT = PartialState.__init__


def launch_as(sharded: bool) -> None:
    """Set what accelerate decides by: its environment, and on what devices it thinks it is."""
    os.environ["ACCELERATE_USE_FSDP"] = str(sharded).lower()
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    PartialState.__init__ = as_on_gpus if sharded else STOCK_INIT


def as_on_gpus(state: PartialState, *args, **kwargs) -> None:
    """In the place of `PartialState.__init__`, which is called again whenever arguments are parsed."""
    STOCK_INIT(state, *args, **kwargs)
    state.distributed_type = DistributedType.MULTI_GPU


def record_gradients(folder: Path, steps: list[int]) -> None:
    """Write the gradients of some steps when all processes have met and nothing is clipped."""

    def clip(trainer, model):
        step = trainer.state.global_step + 1
        if step in steps:
            write_gradients(trainer, folder, step)
        return super(Stabilised, trainer)._clip_grad_norm(model)

    Stabilised._clip_grad_norm = clip


def write_gradients(trainer, folder: Path, step: int) -> None:
    bare = trainer.accelerator.unwrap_model(trainer.model)
    trained = {name: weight for name, weight in bare.named_parameters() if weight.requires_grad}
    absent = [name for name, weight in trained.items() if weight.grad is None]
    assert not absent, f"no gradient: {absent}"
    whole = {n: w.grad.full_tensor() if isinstance(w.grad, DTensor) else w.grad for n, w in trained.items()}
    if PartialState().is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: g.contiguous() for name, g in whole.items()}, folder / f"gradients-{step}.safetensors")
        types = {name: type(weight.data).__name__ for name, weight in trained.items()}
        (folder / "types.json").write_text(json.dumps(types))


def main(runs: list[dict]) -> int:
    launched = dict(os.environ)
    for run in runs:
        os.environ.update(launched | run["environment"])
        launch_as(run["sharded"])
        record_gradients(Path(run["gradients"]), run["at"])
        if code := run_with_exit_code(recipes.sft.main, run["arguments"]):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text())))
