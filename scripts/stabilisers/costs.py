"""Costs of a gradient horizon: CPU time and memory of a step, at two shapes."""

from __future__ import annotations

import resource
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import psutil
import torch
from make_tiny_base import build_config, new_model
from study.meters import SKIPPED, in_fresh_process, take_turns
from study.runs import Study, make_trainer
from study.settings import count_documents, family_rows
from study.tables import median_and_range, table
from torch import Tensor, nn
from transformers import HrmTextConfig, HrmTextForCausalLM, PreTrainedTokenizerFast, set_seed

from hrm_align.models.loading import load_tokenizer
from hrm_align.models.recurrence import get_backbone
from hrm_align.trainers.sft import SFTTrainer

HORIZONS = (2, 3, 5, 8)
OFFICIAL = 5
WIDE = {"hidden_size": 384, "intermediate_size": 1152, "num_attention_heads": 12, "num_hidden_layers": 2}


def wide_model(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> HrmTextForCausalLM:
    """Return a model of a larger shape with random weights, for measurements of time and memory."""
    set_seed(seed)
    hidden = WIDE["hidden_size"]
    derived = {"initializer_range": hidden**-0.5, "embedding_scale": None, "num_layers_per_stack": None}
    return HrmTextForCausalLM(HrmTextConfig(**{**build_config(tokenizer).to_dict(), **WIDE, **derived}))


SHAPES: dict[str, Callable[[PreTrainedTokenizerFast, int], HrmTextForCausalLM]] = {
    "hidden 128, 1 layer a stack": new_model,
    "hidden 384, 2 layers a stack": wide_model,
}


def time_horizons(study: Study, shape: str, rounds: int, steps: int) -> dict[str, Any]:
    """Return the median CPU seconds a step of each horizon, one value for each round.

    Each round uses new models in another order, because the memory addresses of their weights make two models of the same shape
    differ by up to 4 % in time.
    """
    rows = study.settings[0].rows(0, count_documents(steps))
    seconds: dict[str, list[float]] = {str(bp_steps): [] for bp_steps in HORIZONS}
    for one in range(rounds):
        order = HORIZONS[one % len(HORIZONS) :] + HORIZONS[: one % len(HORIZONS)]
        trainers = [
            make_trainer(
                SHAPES[shape](study.tokenizer, 0), study.tokenizer, rows, steps, bp_steps=bp_steps, health=False
            )
            for bp_steps in order
        ]
        for bp_steps, own in zip(order, take_turns(trainers), strict=True):
            seconds[str(bp_steps)].append(statistics.median(own[SKIPPED:]))
    return seconds


class GraphMeter(SFTTrainer):
    """A trainer that counts, in each forward, the bytes saved for the backward pass and the stack passes with a graph."""

    saved_bytes = 0
    passes = 0

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the loss. Weights are not counted, and memory that several tensors share is counted once."""
        weights = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
        storages: dict[int, int] = {}
        carrying: list[bool] = []

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        def see(stack: nn.Module, given: Any, output: Any) -> None:
            carrying.append((output if isinstance(output, Tensor) else output[0]).requires_grad)

        backbone = get_backbone(model)
        handles = [stack.register_forward_hook(see) for stack in (backbone.L_module, backbone.H_module)]
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = super().compute_loss(model, inputs, *args, **kwargs)
        for handle in handles:
            handle.remove()
        self.saved_bytes, self.passes = sum(storages.values()), sum(carrying)
        return loss


def peak_memory(shape: str, bp_steps: int) -> dict[str, int]:
    """Measure the peak memory of three steps in this process, which must be fresh because a process's peak never falls."""
    torch.set_num_threads(1)
    tokenizer = load_tokenizer("tiny")
    rows = family_rows(tokenizer, 0, count_documents(3))
    model = SHAPES[shape](tokenizer, 0)
    trainer = make_trainer(model, tokenizer, rows, 3, kind=GraphMeter, bp_steps=bp_steps, health=False)
    assert isinstance(trainer, GraphMeter)
    before = psutil.Process().memory_info().rss
    trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    return {"saved_bytes": trainer.saved_bytes, "passes": trainer.passes, "rss_bytes": peak - before}


def horizon_costs(study: Study) -> list[str]:
    """Return the table of time and memory by horizon."""
    rows = []
    for shape, rounds, steps in zip(SHAPES, (6, 4), (14, 7), strict=True):
        key = {"time": shape, "rounds": rounds, "steps": steps}
        seconds = study.records.measured(key, partial(time_horizons, study, shape, rounds, steps))
        for bp_steps in HORIZONS:
            work = partial(in_fresh_process, partial(peak_memory, shape, bp_steps))
            memory = study.records.measured({"memory": shape, "bp_steps": bp_steps}, work)
            own, reference = seconds[str(bp_steps)], seconds[str(OFFICIAL)]
            ratios = [ours / theirs for ours, theirs in zip(own, reference, strict=True)]
            cells = [
                shape,
                str(bp_steps),
                f"{memory['passes']} of 8",
                f"{statistics.median(own):.2f}",
                median_and_range(ratios),
            ]
            rows.append([*cells, *(f"{memory[name] / 2**20:.0f}" for name in ("saved_bytes", "rss_bytes"))])
    head = ["shape", "horizon", "passes with a graph", "CPU s a step", "time / horizon 5, by round"]
    return table([*head, "saved for backward, MiB", "peak RSS above the start, MiB"], rows)
