"""Parity check of sampler, trainer and reference model: score the same tokens in three ways and compare log-probabilities.

Reinforcement learning multiplies log-probabilities of the trainer by rewards of the sampler's tokens. If one of them
applies a causal mask to the prompt, the loss looks normal and the model learns something else. The tokens of a rollout
are therefore scored by the sampler, by the trainer, and under a mask that is built in this module from the rule; the
reference model likewise.

The effect of rounding alone is measured too, by two kernels under that mask. In float32 it is small at any depth, and a
fault stands out. In bfloat16 it is 0.3 nats per token at the published depth, as large as the effect of many faults. In
half precision the rollout is therefore compared with this floor, and a few more completions are sampled and scored in
float32, by the same sampler and trainer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import trl
from torch import Tensor, nn
from trl.trainer.utils import use_adapter

from hrm_align.errors import RunError
from hrm_align.models.lm_head import get_bare_model
from hrm_align.models.rounding import FACTOR, attention, in_float32
from hrm_align.rollouts.trajectories import PaddedSteps, pad_steps

_Base: Any = trl.GRPOTrainer if TYPE_CHECKING else object

# docs/results/planted-faults.md has the differences of correct runs and of planted faults.
FLOAT32_LEAST = 1e-3  # nats, lower bound of the limit for the largest difference; with one layer per stack 1e-5 is seen
HALF_LEAST = (
    0.02  # nats, lower bound of the limit for the mean difference: in bfloat16 single tokens differ by rounding
)
HALF_FACTOR = 4  # ratio of the allowed mean difference and the mean difference of two kernels
EXTRA_PROMPTS, EXTRA_ANSWERS, EXTRA_TOKENS = (
    2,
    2,
    48,
)  # extra samples in float32: prompts, completions per prompt, tokens per completion


def rule_mask(tokens: PaddedSteps) -> Tensor:
    """Build the prefix mask of a batch from the rule, (batch, 1, query, key) bool:

           p p c c
        p  x x . .      a prompt token attends to the whole prompt,
        p  x x . .
        c  x x x .      a completion token to the prompt and to the completion up to itself.
        c  x x x x

    Padding attends only to itself, so that no row of the softmax is empty.
    """
    real, length = tokens.mask.bool(), tokens.ids.shape[1]
    prompt = torch.cat([tokens.prompt_mask, torch.zeros_like(tokens.completion_mask)], dim=1).bool()
    index = torch.arange(length, device=real.device)
    causal = index[:, None] >= index[None, :]
    visible = (causal | (prompt[:, :, None] & prompt[:, None, :])) & real[:, None, :] & real[:, :, None]
    return (visible | torch.eye(length, dtype=torch.bool, device=real.device))[:, None]


@torch.no_grad()
def logprobs_under_rule_mask(
    model: nn.Module, tokens: PaddedSteps, temperature: float, autocast: Callable[[], AbstractContextManager]
) -> Tensor:
    """Compute log-probabilities of completions, (batch, completion) in nats, by a single forward under `rule_mask`.

    Args:
        model: an HrmTextForCausalLM with sdpa or eager attention, or a PeftModel of one.
        tokens: tokens to score.
        temperature: divisor of the logits.
        autocast: function that returns the context for the forward.
    """
    width = tokens.completion_ids.shape[1]
    dtype = next(model.parameters()).dtype
    visible = rule_mask(tokens)
    additive = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    additive.masked_fill_(~visible, torch.finfo(dtype).min)
    positions = (tokens.mask.cumsum(dim=1) - 1).clamp(min=0)
    run: Any = model
    with autocast():
        output = run(input_ids=tokens.ids, attention_mask=additive, position_ids=positions, use_cache=False)
    logits = output.logits[:, -width - 1 : -1]
    scored = (logits.float() / temperature).log_softmax(dim=-1)
    return scored.gather(-1, tokens.completion_ids[..., None])[..., 0]


@dataclass(frozen=True)
class Difference:
    """Absolute differences of two log-probabilities per token, in nats: the largest, the sum, and the number of tokens."""

    largest: float
    total: float
    tokens: float

    @classmethod
    def of(cls, a: Tensor, b: Tensor, mask: Tensor) -> Difference:
        """Compare log-probabilities, (batch, completion) each, where the mask is 1; a NaN in an input gives NaN."""
        chosen = (a.float() - b.float())[mask.bool()].abs()
        if not len(chosen):
            return cls(0.0, 0.0, 0.0)
        return cls(float(chosen.max()), float(chosen.sum()), float(len(chosen)))

    @property
    def mean(self) -> float:
        """Mean difference over tokens; 0 without tokens."""
        return self.total / self.tokens if self.tokens else 0.0


@dataclass(frozen=True)
class Limit:
    """Largest allowed difference of two scorings.

    Args:
        value: limit in nats: for the largest difference of a token in float32, for the mean difference in half
            precision.
        floor: difference by rounding alone, in the same measure.
        in_half: whether the scorings are in half precision.
    """

    value: float
    floor: float
    in_half: bool

    @classmethod
    def in_float32(cls, floor: Difference, requested: float | None) -> Limit:
        """Compute the limit for scorings in float32.

        Args:
            floor: difference of two kernels under `rule_mask`.
            requested: the setting `parity_tolerance`; None to derive the limit from the floor.
        """
        allowed = max(FLOAT32_LEAST, FACTOR * floor.largest) if requested is None else requested
        return cls(allowed, floor.largest, False)

    @classmethod
    def in_half_precision(cls, floor: Difference) -> Limit:
        """Compute the limit for scorings in bfloat16 or float16 from the difference of two kernels under `rule_mask`."""
        return cls(max(HALF_LEAST, HALF_FACTOR * floor.mean), floor.mean, True)

    def check(self, name: str, difference: Difference) -> None:
        """Check a difference. Raises RunError with the likely causes if it exceeds the limit."""
        measured = difference.mean if self.in_half else difference.largest
        if measured <= self.value:
            return
        kind = "mean difference, in half precision," if self.in_half else "largest difference, in float32,"
        remedy = f"{HALF_FACTOR} times that" if self.in_half else "--parity_tolerance"
        raise RunError(
            f"the {kind} between the log-probabilities of {name} is {measured:.3g} nats; rounding alone gives "
            f"{self.floor:.2g} on this model, and at most {self.value:.3g} is allowed ({remedy}). {_CAUSES[name]} The run has "
            "stopped before its next update."
        )


SAMPLER = "sampler and trainer"
MASK = "the trainer and the prefix mask"
REFERENCE = "the reference and the prefix mask"
REPEATED = "the reference and the reference scored again"
FLOOR = "two kernels under the drawn mask"
KEYS = {
    SAMPLER: "sampler",
    MASK: "mask",
    REFERENCE: "reference",
    REPEATED: "reference_again",
    FLOOR: "floor",
}  # in metrics

_CAUSES = {
    SAMPLER: "They do not compute the same model. Check for a causal mask on the prompt (a cache filled by other code, "
    "generation without a cache, token types from a tokenizer), different weights, or a different temperature.",
    MASK: "The policy is trained under another mask than HRM-Text's. Make `import hrm_align` the first import, and set "
    "`prefix_lm` to true in the model's config.",
    REPEATED: "The reference model, scored again, gives other values than those of the rollout. Check for cached values of "
    "other weights or of another mask, for example of an earlier run.",
    REFERENCE: "The reference model, or a cache of its log-probabilities, uses another mask or another model, so that the KL "
    "term pulls the policy towards a wrong model. Check the reference model, and delete cached log-probabilities.",
}


class ParityGate(_Base):
    """Mixin for a GRPO trainer: compares sampler, trainer and reference on tokens of a rollout.

    The trainer provides `groups` and `_rollout` (the samples), `_get_per_token_logps_and_entropies` (the scoring of the
    update and of the reference) and `ref_model`.
    """

    _parity_seconds = 0.0  # time of the checks in the current optimizer step
    _sampler_limit: Limit | None = None  # limit of the last check

    @property
    def _half_precision(self) -> bool:
        return self.accelerator.mixed_precision != "no" or self.model.dtype != torch.float32

    def _check_parity(self, output: dict[str, Any], logged: bool) -> None:
        """Score the first `parity_rows` of a rollout again, and compare.

        Args:
            output: the rollout as TRL's batch.
            logged: whether to log the differences.

        Raises:
            RunError: on all processes, if a difference exceeds its limit.
        """
        start, rows = time.perf_counter(), slice(None, self.args.parity_rows)
        # Differences on this process, in the precision of the run.
        names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
        tokens = PaddedSteps(*(output[name][rows] for name in names))
        reference = output.get("ref_per_token_logps")
        local = self._differences(
            tokens, output["sampling_per_token_logps"][rows], None if reference is None else reference[rows]
        )
        half, requested = self._half_precision, self.args.parity_tolerance
        if half and reference is not None:
            whole = PaddedSteps(*(output[name] for name in names))
            again = self._reference_logprobs(whole)
            local[REPEATED] = Difference.of(reference, again, whole.completion_mask)
        # Limits over all processes.
        differences, floor = self._gather_differences(local, "", logged)
        repeated = differences.pop(REPEATED, None)
        if repeated is not None:  # the same forward twice, without any difference by rounding
            Limit.in_float32(Difference(0.0, 0.0, 0.0), None).check(REPEATED, repeated)
        limit = self._sampler_limit = Limit.in_half_precision(floor) if half else Limit.in_float32(floor, requested)
        for name, difference in differences.items():
            limit.check(name, difference)
        # Additional samples in float32 for a run in half precision.
        if half and not getattr(self.accelerator.unwrap_model(self.model), "is_quantized", False):
            local = self._differences_in_float32(reference is not None)
            differences, floor = self._gather_differences(local, "float32/", logged)
            for name, difference in differences.items():
                Limit.in_float32(floor, requested).check(name, difference)
        self._parity_seconds = time.perf_counter() - start

    def _check_server(self, output: dict[str, Any]) -> None:
        """Compare a server's log-probabilities with the trainer's under the last limit, between two whole checks.

        A server that did not read the new weights samples from old ones; every update may be the first after which it does.

        Args:
            output: the rollout as TRL's batch.

        Raises:
            RunError: on all processes, if the difference exceeds the limit.
        """
        start, rows = time.perf_counter(), slice(None, self.args.parity_rows)
        names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
        tokens = PaddedSteps(*(output[name][rows] for name in names))
        devices = [self.args.device] if self.args.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices):
            trained = self._logprobs(self.model, tokens)
        nothing = Difference(0.0, 0.0, 0.0)
        local = {
            SAMPLER: Difference.of(output["sampling_per_token_logps"][rows], trained, tokens.completion_mask),
            FLOOR: nothing,
        }
        differences, _ = self._gather_differences(local, "", logged=False)
        assert self._sampler_limit is not None, "the first rollout is checked as a whole"
        self._sampler_limit.check(SAMPLER, differences[SAMPLER])
        self._parity_seconds = time.perf_counter() - start

    def _gather_differences(
        self, local: dict[str, Difference], prefix: str, logged: bool
    ) -> tuple[dict[str, Difference], Difference]:
        """Gather the differences of all processes and log them; returns the differences, and separately the rounding floor."""
        differences = {}
        for name, difference in local.items():
            row = [[difference.largest, difference.total, difference.tokens]]
            table = self.accelerator.gather(torch.tensor(row, device=self.accelerator.device))
            total = Difference(float(table[:, 0].max()), float(table[:, 1].sum()), float(table[:, 2].sum()))
            differences[name] = total
            if logged:
                key = f"parity/{prefix}{KEYS[name]}"
                self._note(**{f"{key}_max": total.largest, f"{key}_mean": total.mean})
        floor = differences.pop(FLOOR)
        return differences, floor

    @torch.no_grad()
    def _differences(self, tokens: PaddedSteps, sampled: Tensor, reference: Tensor | None) -> dict[str, Difference]:
        """Compare sampler, trainer and reference with each other and with two kernels under `rule_mask`.

        Args:
            tokens: tokens to score.
            sampled: the sampler's log-probabilities, (batch, completion) in nats.
            reference: the reference's log-probabilities, (batch, completion) in nats, or None.
        """
        bare, mask = self.accelerator.unwrap_model(self.model), tokens.completion_mask

        def under_mask(model: Any, kernel: str) -> Tensor:
            with attention(get_bare_model(model), kernel):
                return logprobs_under_rule_mask(model, tokens, self.temperature, self.accelerator.autocast)

        trained = self._logprobs(self.model, tokens)
        expected = under_mask(bare, "sdpa")
        differences = {
            SAMPLER: Difference.of(sampled, trained, mask),
            MASK: Difference.of(trained, expected, mask),
            FLOOR: Difference.of(expected, under_mask(bare, "eager"), mask),
        }
        if reference is not None:
            ref_model = bare if self.ref_model is None else self.accelerator.unwrap_model(self.ref_model)
            with use_adapter(bare, None) if self.ref_model is None else nullcontext():
                expected_reference = under_mask(ref_model, "sdpa")
            differences[REFERENCE] = Difference.of(reference, expected_reference, mask)
        return differences

    @torch.no_grad()
    def _differences_in_float32(self, has_reference: bool) -> dict[str, Difference]:
        """Sample a few more completions in float32 with the run's sampler, and compare as in `_differences`.

        A server cannot change its precision, so completions come from the local engine then, and the server's are compared in half
        precision only.
        """
        bare = self.accelerator.unwrap_model(self.model)
        chosen = list(dict.fromkeys(trajectory.row for trajectory in self._rollout.trajectories))[:EXTRA_PROMPTS]
        rows = [row for row in chosen for _ in range(EXTRA_ANSWERS)]
        with in_float32(bare, *([] if self.ref_model is None else [self.ref_model])):
            with self.groups.sampling_locally(bare):
                drawn = self.groups.draw_ungraded(rows, number=self.state.global_step, max_new_tokens=EXTRA_TOKENS)
            steps = [step for trajectory in drawn for step in trajectory.steps]
            tokens, sampled = pad_steps(steps, self._renderer.pad_id, self.accelerator.device)
            reference = self._reference_logprobs(tokens) if has_reference else None
            return self._differences(tokens, sampled, reference)

    def _logprobs(self, model: Any, tokens: PaddedSteps) -> Tensor:
        """Compute log-probabilities as the update does, (batch, completion) in nats."""
        width = tokens.completion_ids.shape[1]
        return self._get_per_token_logps_and_entropies(model, tokens.ids, tokens.mask, width)[0]

    @torch.no_grad()
    def _reference_logprobs(self, tokens: PaddedSteps) -> Tensor:
        """Compute log-probabilities of the reference: `ref_model`, or the policy without its adapter."""
        if self.ref_model is not None:
            return self._logprobs(self.ref_model, tokens)
        with use_adapter(self.accelerator.unwrap_model(self.model), None):
            return self._logprobs(self.model, tokens)
