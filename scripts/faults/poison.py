"""Put NaN or infinity into a loss, a gradient or a weight: the run must stop before it saves such a value."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file

from faults.runs import STEPS, Result, arguments, compare_resumed, curve, exit_code, find_damaged
from hrm_align.trainers.callbacks import MetricsFile
from hrm_align.trainers.checkpoints import checkpoints_in


class Poison(MetricsFile):
    """The recipe's metrics callback, which also poisons one step.

    `kind` is "loss", "gradient" or "weights"; `step` is the poisoned step, `value` the inserted value, `entry` its index.
    """

    kind, step, value, entry = "loss", 1, "nan", 0

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Poison the loss or a gradient that the step will compute."""
        if state.global_step + 1 != self.step:
            return
        if self.kind == "gradient":
            self._choose_weight(model).register_hook(self._poison)
        if self.kind == "loss":
            model.model.register_forward_hook(self._poison_output)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Poison a weight after the step has updated it."""
        if self.kind == "weights" and state.global_step == self.step:
            weight = self._choose_weight(model)
            weight.data = self._poison(weight.data)

    def _choose_weight(self, model: Any) -> torch.nn.Parameter:
        # Skip the embedding: a NaN in a row that no batch uses would affect only the next checkpoint.
        weights = [w for name, w in model.named_parameters() if w.requires_grad and "embed" not in name]
        return weights[self.entry % len(weights)]

    def _poison_output(self, module: Any, inputs: Any, output: Any) -> None:
        output.last_hidden_state = output.last_hidden_state * float(self.value)

    def _poison(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a copy of a tensor of any shape with one poisoned entry."""
        poisoned = tensor.clone().contiguous()
        poisoned.view(-1)[self.entry % poisoned.numel()] = float(self.value)
        return poisoned


def poisoned_sft(poison: dict[str, Any], argv: Sequence[str]) -> None:
    """Run the SFT recipe with a poisoned step."""
    from hrm_align.recipes import sft as recipe

    from hrm_align import run

    for name, value in poison.items():
        setattr(Poison, name, value)
    run.MetricsFile = Poison  # type: ignore[misc]
    recipe.main(argv)


def nan_trial(rng: Random, index: int, whole: Path) -> Result:
    """Poison a step, and then resume from the last checkpoint without the poison."""
    run, every = whole.parent / f"nan-{index}", rng.choice([1, 2, 3, 5])
    kind = ("loss", "gradient", "weights")[index % 3]
    poison: Result = {"kind": kind, "step": rng.randrange(1, STEPS), "entry": rng.randrange(1 << 20)}
    poison["value"] = rng.choice(["nan", "inf", "-inf"])
    flags, clipped = ("--save_total_limit", "1"), rng.random() < 0.7
    argv = arguments(whole.parent, run, every, *flags, *(() if clipped else ("--max_grad_norm", "0")))
    code = exit_code(run.with_suffix(".log"), argv, partial(poisoned_sft, poison))
    last = max(curve(run), default=0)
    wrong = [] if code == 1 and "finite" in run.with_suffix(".log").read_text() else [f"exit code {code}"]
    wrong += [f"continued to step {last}"] if last > poison["step"] else []
    wrong += _find_nonfinite(run)
    # The uninterrupted run clips gradients, so only a run that clips can be compared with it.
    resumed = clipped and bool(checkpoints_in(run))
    if resumed:
        wrong += compare_resumed(whole, run, every, *flags)
    return {**poison, "save_steps": every, "clipped": clipped, "last_step": last, "resumed": resumed, "wrong": wrong}


def _find_nonfinite(run: Path) -> list[str]:
    """Return the damaged checkpoints of a run, and its saved tensors that have NaN or infinite values."""
    faults = find_damaged(run)
    for path in run.rglob("*.safetensors"):
        tensors = load_file(path)
        faults += [f"{path.name}: {name}" for name, tensor in tensors.items() if not tensor.isfinite().all()]
    for path in run.rglob("optimizer.pt"):
        for state in torch.load(path, weights_only=True)["state"].values():
            faults += [f"{path.name}: {name}" for name, tensor in state.items() if not tensor.isfinite().all()]
    return faults
