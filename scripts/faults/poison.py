"""Numbers that are none, in a loss, a gradient or a weight: the run must stop before it saves them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file

from faults.runs import STEPS, Result, arguments, curve, ends_like, exit_code, not_whole
from hrm_align.trainers.callbacks import MetricsFile
from hrm_align.trainers.checkpoints import checkpoints_in


class Poison(MetricsFile):
    """The recipe's metrics file, which also spoils a step. `kind` is loss, gradient or weights."""

    kind, step, value, entry = "loss", 1, "nan", 0

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Spoil what the step will compute."""
        if state.global_step + 1 != self.step:
            return
        if self.kind == "gradient":
            self._drawn_weight(model).register_hook(self._spoilt)
        if self.kind == "loss":
            model.model.register_forward_hook(self._spoil_output)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Spoil what the step has made."""
        if self.kind == "weights" and state.global_step == self.step:
            weight = self._drawn_weight(model)
            weight.data = self._spoilt(weight.data)

    def _drawn_weight(self, model: Any) -> torch.nn.Parameter:
        # Not the embedding: a row of it that no batch uses would spoil nothing but the next checkpoint.
        weights = [w for name, w in model.named_parameters() if w.requires_grad and "embed" not in name]
        return weights[self.entry % len(weights)]

    def _spoil_output(self, module: Any, inputs: Any, output: Any) -> None:
        output.last_hidden_state = output.last_hidden_state * float(self.value)

    def _spoilt(self, tensor: torch.Tensor) -> torch.Tensor:
        """The same but for one entry."""
        spoilt = tensor.clone().contiguous()
        spoilt.view(-1)[self.entry % spoilt.numel()] = float(self.value)
        return spoilt


def poisoned_sft(poison: dict[str, Any], argv: Sequence[str]) -> None:
    """The recipe, with a poisoned step."""
    from hrm_align.recipes import sft as recipe

    from hrm_align import run

    for name, value in poison.items():
        setattr(Poison, name, value)
    run.MetricsFile = Poison  # type: ignore[misc]
    recipe.main(argv)


def nan_trial(rng: Random, index: int, whole: Path) -> Result:
    """Poison a step; then go on from the last checkpoint without the poison."""
    run, every = whole.parent / f"nan-{index}", rng.choice([1, 2, 3, 5])
    kind = ("loss", "gradient", "weights")[index % 3]
    poison: Result = {"kind": kind, "step": rng.randrange(1, STEPS), "entry": rng.randrange(1 << 20)}
    poison["value"] = rng.choice(["nan", "inf", "-inf"])
    flags, clipped = ("--save_total_limit", "1"), rng.random() < 0.7
    argv = arguments(whole.parent, run, every, *flags, *(() if clipped else ("--max_grad_norm", "0")))
    code = exit_code(run.with_suffix(".log"), argv, partial(poisoned_sft, poison))
    last = max(curve(run), default=0)
    wrong = [] if code == 1 and "finite" in run.with_suffix(".log").read_text() else [f"exit code {code}"]
    wrong += [f"went on to step {last}"] if last > poison["step"] else []
    wrong += _not_finite(run)
    resumed = clipped and bool(checkpoints_in(run))  # the uninterrupted run was clipped
    if resumed:
        wrong += ends_like(whole, run, every, *flags)
    return {**poison, "save_steps": every, "clipped": clipped, "last_step": last, "resumed": resumed, "wrong": wrong}


def _not_finite(run: Path) -> list[str]:
    """What a run has saved that is no finite number."""
    found = not_whole(run)
    for path in run.rglob("*.safetensors"):
        found += [f"{path.name}: {name}" for name, tensor in load_file(path).items() if not tensor.isfinite().all()]
    for path in run.rglob("optimizer.pt"):
        for state in torch.load(path, weights_only=True)["state"].values():
            found += [f"{path.name}: {name}" for name, tensor in state.items() if not tensor.isfinite().all()]
    return found
