"""Health metrics of a recurrent model that its loss does not show; logged as `health/...`.

    residual_rms_h, residual_rms_l       RMS of the residual stream before the final norm of each stack over all tokens of the
                                         step, averaged over its passes. (After that norm the RMS is always 1.)
    grad_norm_{h,l,embedding,head}       gradient norm of a parameter group, before clipping; grad_ratio_lh is L over H
    update_ratio_{h,l,embedding,head}    RMS of the optimizer step over RMS of the weights (on a sample of the weights)
    first_token_loss                     loss of first response tokens, in nats
    first_token_entropy, rest_entropy    entropy of the predictions for first and for later response tokens, in nats
    first_token_accuracy                 share of first response tokens that greedy decoding would produce
    answer_accuracy                      share of responses whose tokens are all the most probable ones
    probe_kl                             KL divergence from the run's initial model on fixed rows, in nats per token

All values belong to the whole optimizer step: to the rows of all micro-batches and processes, without padding. The values, and so
the alarms, do not depend on how the rows are split. The overhead is below 3 % of a step (docs/results/stabilisers.md).
"""

from __future__ import annotations

import json
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hrm_align.models.recurrence import get_backbone
from hrm_align.models.reward_model import SCORE
from hrm_align.models.sharding import call_inside_forward, is_sharded, local_part
from hrm_align.trainers.alarms import Alarms
from hrm_align.trainers.step_means import sum_over_processes

logger = logging.getLogger(__name__)

HEALTH_FILE = "health.safetensors"
_GROUPS = {"H_module": "h", "L_module": "l", "embed_tokens": "embedding", "lm_head": "head", SCORE: "head"}
_SAMPLED = 4096  # weights sampled from each tensor for the update ratio
_NO_GRADIENT = 1e-6  # a gradient norm that rounding alone can give, such as that of a rollout without advantages
# Sums over the response tokens of a step: name of the metric -> names of its numerator and its denominator.
_RATIOS = {
    "first_token_loss": ("first_loss", "answers"),
    "first_token_entropy": ("first_entropy", "answers"),
    "rest_entropy": ("rest_entropy", "rest"),
    "first_token_accuracy": ("first_right", "compared_answers"),
    "answer_accuracy": ("right_answers", "compared_answers"),
}


def parameter_group(name: str) -> str | None:
    """Return the group of a parameter by its name: h, l, embedding or head; None for other parameters."""
    return next((group for part, group in _GROUPS.items() if part in name.split(".")), None)


class HealthMonitor:
    """Measures a trainer's model with forward hooks, on logged steps only.

    Args:
        model: the outermost module below the trainer's own wrappers: an HRM-Text, or an adapter around it.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        backbone = get_backbone(model)
        self.alarms = Alarms(backbone.config.vocab_size)
        self.probe: Probe | None = None
        self.first_logprobs: Tensor | None = None  # (positions, vocab) from a checkpoint, until the probe is created
        self.token_counts: Tensor | None = None  # for the next forward, (batch, seq): how many rows share each token
        self.answers_to_count: Tensor | None = None  # (batch,) bool: rows whose answers count; None for all
        config = backbone.config
        self._passes = {"h": config.H_cycles, "l": config.H_cycles * config.L_cycles}
        self._handles = [
            model.register_forward_pre_hook(self._begin_forward, with_kwargs=True),
            model.register_forward_hook(self._end_forward),
            backbone.H_module.final_norm.register_forward_pre_hook(self._record_residual("h")),
            backbone.L_module.final_norm.register_forward_pre_hook(self._record_residual("l")),
        ]
        self._measuring = self._probing = self._training = False
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, float | Tensor] = defaultdict(
            float
        )  # converted once a step: each conversion syncs the GPU
        self._measured: dict[str, float] = {}
        self._before: dict[str, list[Tensor]] = {}

    def begin_step(self, measuring: bool, probing: bool) -> None:
        """Turn measuring on or off for the coming optimizer step; with `probing`, also measure `probe_kl`."""
        self._clear()
        self._measuring, self._probing = measuring, probing

    def _trained_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the trained weights by group; read from the model each time, because sharding replaces the parameters."""
        groups: dict[str, list[nn.Parameter]] = defaultdict(list)
        for name, weight in self.model.named_parameters():
            if weight.requires_grad and (group := parameter_group(name)):
                groups[group].append(weight)
        return groups

    def _begin_forward(self, model: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        # Forwards that only score do not count: the reference with the adapter disabled, old log-probabilities of a rollout.
        self._training = self._measuring and model.training and torch.is_grad_enabled()
        counts, self.token_counts = self.token_counts, None
        if not self._training:
            return
        mask = kwargs.get("attention_mask")
        counts = mask if counts is None else counts
        # A mask (batch, 1, query, key) shows no padding: then all tokens count.
        self._counts = counts.float() if counts is not None and counts.dim() == 2 else None  # (batch, seq)
        self._next_pass = {"h": 0, "l": 0}

    def count_tokens(self, counts: Tensor) -> None:
        """Set, during a forward, how many rows share each token of it, (batch, seq), in place of its attention mask."""
        if self._training:
            self._counts = counts.float()

    def _record_residual(self, stack: str) -> Any:
        def record(norm: nn.Module, args: tuple[Tensor, ...]) -> None:
            if not self._training:
                return
            squares = args[0].detach().float().square().mean(dim=-1)  # (batch, seq)
            counts = torch.ones_like(squares) if self._counts is None else self._counts.to(squares.device)
            number = self._next_pass[stack]
            self._next_pass[stack] += 1
            self._sums[f"squares_{stack}_{number}"] += (squares * counts).sum()
            if (stack, number) == ("h", 0):  # every pass has the same tokens
                self._sums["tokens"] += counts.sum()

        return record

    def _end_forward(self, model: nn.Module, args: Any, output: Any) -> None:
        # Only TRL's fused head returns label_mask, log_probs, entropy and is_top1, each (batch, seq).
        if self._training and getattr(output, "label_mask", None) is not None:
            self._record_outputs(output)
        self._training = False  # a forward that checkpointing repeats in the backward pass does not count again

    def _record_outputs(self, output: Any) -> None:
        trained = output.label_mask.bool()  # (batch, seq)
        if self.answers_to_count is not None:
            trained = trained & self.answers_to_count[:, None]
        first = trained.clone()  # first token of each run of trained tokens
        first[:, 1:] &= ~trained[:, :-1]
        if output.is_top1 is not None:  # None in reinforcement learning, which has no reference response
            self._see_accuracy(trained, first, output.is_top1.bool() | ~trained)
        entropy = output.entropy.detach()
        self._sums["answers"] += first.sum()
        self._sums["first_loss"] -= (output.log_probs.detach() * first).sum()
        self._sums["first_entropy"] += (entropy * first).sum()
        self._sums["rest_entropy"] += (entropy * (trained & ~first)).sum()
        self._sums["rest"] += (trained & ~first).sum()

    def _see_accuracy(self, trained: Tensor, first: Tensor, right: Tensor) -> None:
        # Each run of trained tokens is a response: number the responses of a row, and mark those with a wrong token.
        number = first.long().cumsum(dim=1)
        wrong = torch.zeros_like(number).scatter_reduce_(
            1, number.clamp(max=number.shape[1] - 1), (~right).long(), "amax"
        )
        self._sums["compared_answers"] += first.sum()
        self._sums["right_answers"] += first.sum() - wrong.sum()
        self._sums["first_right"] += (first & right).sum()

    @torch.no_grad()
    def measure_gradients(self, clipped_by: float) -> None:
        """Record gradient norms and a sample of the weights, once the gradients of a step are complete.

        Args:
            clipped_by: factor by which clipping has scaled the gradients; 1 if they were not clipped.
        """
        if not self._measuring:
            return
        groups = self._trained_groups()
        norms = {group: _gradient_norm(weights) for group, weights in groups.items()}
        if norms and is_sharded(self.model):
            norms = _norms_over_processes(norms)
        for group, norm in norms.items():
            self._measured[f"grad_norm_{group}"] = norm.item() / clipped_by
            self._before[group] = _samples(groups[group])
        low, high = self._measured.get("grad_norm_l"), self._measured.get("grad_norm_h")
        if low is not None and high is not None and high > _NO_GRADIENT:
            self._measured["grad_ratio_lh"] = low / high

    @torch.no_grad()
    def end_step(self) -> dict[str, float]:
        """Return the measurements by name, after the weights were updated; empty on steps that are not logged. Collective."""
        if not self._measuring:
            return {}
        self._measuring = False
        self._measure_sums()
        groups = self._trained_groups()
        for group, before in self._before.items():
            after = _samples(groups[group])
            changes = [a - b for a, b in zip(after, before, strict=True)]
            change, size = _rms(changes, is_sharded(self.model)), _rms(before, is_sharded(self.model))
            if size > 0:  # an adapter's B is initialised to zero
                self._measured[f"update_ratio_{group}"] = change / size
        if self.probe is not None and self._probing:
            self._measured["probe_kl"] = self.probe.divergence(self.model)
        return self._measured

    def _measure_sums(self) -> None:
        """Compute the metrics of tokens from the sums of all micro-batches and processes. Collective."""
        passes = {stack: [f"squares_{stack}_{number}" for number in range(n)] for stack, n in self._passes.items()}
        names = ["tokens", *passes["h"], *passes["l"], *sorted({name for pair in _RATIOS.values() for name in pair})]
        # One synchronisation with the GPU. The names are the same on a process that has nothing to add to some of them.
        parts = [torch.as_tensor(self._sums[name], dtype=torch.float32) for name in names]
        device = next(self.model.parameters()).device
        values = sum_over_processes(torch.stack([part.to(device) for part in parts]))
        sums = dict(zip(names, values.tolist(), strict=True))
        if tokens := sums["tokens"]:
            for stack, of_passes in passes.items():
                roots = [math.sqrt(sums[name] / tokens) for name in of_passes]
                self._measured[f"residual_rms_{stack}"] = sum(roots) / len(roots)
        for name, (total, count) in _RATIOS.items():
            if sums[count]:
                self._measured[name] = sums[total] / sums[count]

    def save(self, folder: Path) -> None:
        """Save what a resumed run compares with: the alarms' start values and the initial model's log-probabilities."""
        reference = self.probe.reference if self.probe is not None else self.first_logprobs
        tensors = {} if reference is None else {"reference": reference.cpu().contiguous()}
        alarms = {key: value for key, value in asdict(self.alarms).items() if key != "vocab_size"}
        save_file(tensors, folder / HEALTH_FILE, metadata={"alarms": json.dumps(alarms)})

    def load(self, folder: Path) -> None:
        """Restore the state of `save`; without the file, the comparison starts at the resumed step."""
        if not (folder / HEALTH_FILE).is_file():
            return
        with safe_open(folder / HEALTH_FILE, framework="pt") as file:
            alarms = json.loads(file.metadata()["alarms"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
        self.alarms = replace(self.alarms, **alarms)
        self.first_logprobs = tensors.get("reference")

    def detach(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()


def _gradient_norm(weights: list[nn.Parameter]) -> Tensor:
    gradients = [local_part(weight.grad) for weight in weights if weight.grad is not None]
    if not gradients:
        return torch.zeros((), device=weights[0].device)
    return torch.stack(torch._foreach_norm(gradients)).norm()


def _norms_over_processes(norms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Combine the norms of every process's shards into norms of whole gradients. Collective."""
    squares = torch.stack([*norms.values()]).square()
    torch.distributed.all_reduce(squares)
    return dict(zip(norms, squares.sqrt(), strict=True))


def _samples(weights: Iterable[Tensor]) -> list[Tensor]:
    """Return copies of evenly spaced entries of each tensor; the stride is odd, so that all columns are sampled."""
    flat = [local_part(weight.detach()).flatten() for weight in weights]
    return [tensor[:: math.ceil(len(tensor) / _SAMPLED) | 1].clone() for tensor in flat]


def _rms(tensors: Iterable[Tensor], over_processes: bool) -> float:
    parts = [tensor.float() for tensor in tensors]
    if not over_processes:
        return torch.cat(parts).square().mean().sqrt().item() if parts else 0.0
    entries = torch.cat(parts)  # empty on a process without a shard of a small weight
    sums = torch.stack([entries.square().sum(), torch.full_like(entries.sum(), len(entries))])
    torch.distributed.all_reduce(sums)
    return (sums[0] / sums[1].clamp(min=1)).sqrt().item()


MAX_POSITIONS = 128  # times the vocabulary in half precision: 16 MB for the 1B model


class Probe:
    """KL divergence KL(initial model || current model) of next-token distributions, on fixed response tokens.

    Args:
        batch: collated rows with labels; the first `MAX_POSITIONS` response tokens are compared.
        autocast: context of the trainer's own forward.
        reference: log-probabilities (positions, vocab) of the initial model of a resumed run; None to take them from the
            first call.
    """

    def __init__(
        self,
        batch: dict[str, Tensor],
        autocast: Callable[[], AbstractContextManager],
        reference: Tensor | None = None,
    ):
        self._autocast = autocast
        self._batch = {name: tensor for name, tensor in batch.items() if name != "labels"}
        self._chosen = _chosen_positions(batch["labels"])
        fits = reference is not None and len(reference) == int(self._chosen.sum())
        self.reference = reference if fits else None

    @torch.no_grad()
    def divergence(self, model: nn.Module) -> float:
        """Return the mean KL(initial || current) in nats per token. Uses no random numbers."""
        now = self._log_probabilities(model)
        if self.reference is None:
            self.reference = now.half()
        first = self.reference.to(now.device).float()
        return float((first.exp() * (first - now)).sum(dim=-1).mean())

    def _log_probabilities(self, model: nn.Module) -> Tensor:
        was_training = model.training
        model.eval()
        try:
            with self._autocast():
                logits = call_inside_forward(model, self._logits)
        finally:
            model.train(was_training)
        return logits.float().log_softmax(dim=-1)

    def _logits(self, model: nn.Module) -> Tensor:
        device = next(model.parameters()).device
        batch = {name: tensor.to(device) for name, tensor in self._batch.items()}
        hidden = get_backbone(model)(**batch, use_cache=False).last_hidden_state[:, :-1]
        head = model.get_output_embeddings()  # type: ignore[operator]
        logits: Tensor = head(hidden[self._chosen.to(device)])
        return logits


def _chosen_positions(labels: Tensor) -> Tensor:
    """Return a mask (batch, seq - 1) of the first `MAX_POSITIONS` positions whose next token is a response token."""
    trained = labels[:, 1:] != -100
    count = trained.flatten().long().cumsum(dim=0).view_as(trained)
    return trained & (count <= MAX_POSITIONS)
