"""Whether sampler, trainer and reference mean the same model: the same tokens, scored three ways.

Reinforcement learning multiplies log-probabilities of the trainer by rewards of the sampler's tokens. Where one of them
reads the prompt causally, the loss looks healthy and the model learns something else. So the tokens of a rollout are scored
as the sampler scored them, as the trainer does, and under a mask that is drawn here token by token and handed to the model
as it is; policy and reference alike.

How much rounding alone moves log-probabilities is measured beside it: two kernels under the drawn mask. In float32 that is
little at any depth, and a fault stands out. In bfloat16 it is 0.3 nats a token at the published depth, as much as many a
fault: there the rollout is compared with that floor, and a few answers more are drawn and scored by the same sampler and
trainer in float32.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import trl
from peft import PeftModel
from torch import Tensor, nn
from trl.trainer.utils import use_adapter

from hrm_align.errors import RunError
from hrm_align.models.rounding import FACTOR, attention, in_float32
from hrm_align.rollouts.trajectories import PaddedSteps, pad_steps

_Base: Any = trl.GRPOTrainer if TYPE_CHECKING else object

# scripts/README.md has what honest runs and planted faults give.
FLOAT32_LEAST = 1e-3  # nats, the largest difference that is always allowed; at one layer a stack 1e-5 is seen
HALF_LEAST = 0.02  # nats, of the mean over tokens: in bfloat16 single tokens differ by rounding
HALF_FACTOR = 4  # between the mean that two kernels give and the mean allowed
EXTRA_PROMPTS, EXTRA_ANSWERS, EXTRA_TOKENS = (
    2,
    2,
    48,
)  # drawn again in float32: prompts, answers to each, tokens of each


def drawn_mask(tokens: PaddedSteps) -> Tensor:
    """Who sees whom, drawn from the rule, (batch, 1, seq, seq) bool:

           p p c c
        p  x x . .      prompt tokens see all of the prompt,
        p  x x . .
        c  x x x .      completion tokens the prompt and what stands before them.
        c  x x x x

    Padding is seen by itself alone, so that no row of the softmax is empty.
    """
    there, length = tokens.mask.bool(), tokens.ids.shape[1]
    prompt = torch.cat([tokens.prompt_mask, torch.zeros_like(tokens.completion_mask)], dim=1).bool()
    index = torch.arange(length, device=there.device)
    causal = index[:, None] >= index[None, :]
    seen = (causal | (prompt[:, :, None] & prompt[:, None, :])) & there[:, None, :] & there[:, :, None]
    return (seen | torch.eye(length, dtype=torch.bool, device=there.device))[:, None]


@torch.no_grad()
def logprobs_under_drawn_mask(
    model: nn.Module, tokens: PaddedSteps, temperature: float, autocast: Callable[[], AbstractContextManager]
) -> Tensor:
    """Log-probabilities (batch, completion) of the completions, nats, by one plain forward under `drawn_mask`.

    Args:
        model: an HrmTextForCausalLM under sdpa or eager attention, or a PeftModel of one.
        tokens: to score.
        temperature: what logits are divided by.
        autocast: a context to run in.
    """
    kept = tokens.completion_ids.shape[1]
    dtype = next(model.parameters()).dtype
    seen = drawn_mask(tokens)
    additive = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, torch.finfo(dtype).min)
    positions = (tokens.mask.cumsum(dim=1) - 1).clamp(min=0)
    run: Any = model
    with autocast():
        output = run(input_ids=tokens.ids, attention_mask=additive, position_ids=positions, use_cache=False)
    logits = output.logits[:, -kept - 1 : -1]
    scored = (logits.float() / temperature).log_softmax(dim=-1)
    return scored.gather(-1, tokens.completion_ids[..., None])[..., 0]


@dataclass(frozen=True)
class Difference:
    """How far two scorings of the same tokens are apart, in nats: largest, sum, and how many tokens."""

    largest: float
    total: float
    tokens: float

    @classmethod
    def of(cls, a: Tensor, b: Tensor, mask: Tensor) -> Difference:
        """Between log-probabilities (batch, completion); NaN where either is none."""
        chosen = (a.float() - b.float())[mask.bool()].abs()
        if not len(chosen):
            return cls(0.0, 0.0, 0.0)
        return cls(float(chosen.max()), float(chosen.sum()), float(len(chosen)))

    @property
    def mean(self) -> float:
        """Over tokens; 0 if there are none."""
        return self.total / self.tokens if self.tokens else 0.0


@dataclass(frozen=True)
class Limit:
    """How far two scorings may be apart, and by what measure.

    Args:
        value: nats: of the largest difference of a token in float32, of the mean over tokens in half precision.
        floor: what rounding alone gives, in the same measure.
        in_half: whether the scorings are in half precision.
    """

    value: float
    floor: float
    in_half: bool

    @classmethod
    def in_float32(cls, floor: Difference, requested: float | None) -> Limit:
        """For scorings in float32.

        Args:
            floor: between two kernels under the drawn mask.
            requested: `parity_tolerance`; None for what the floor allows.
        """
        allowed = max(FLOAT32_LEAST, FACTOR * floor.largest) if requested is None else requested
        return cls(allowed, floor.largest, False)

    @classmethod
    def in_half_precision(cls, floor: Difference) -> Limit:
        """For scorings in bfloat16 or float16."""
        return cls(max(HALF_LEAST, HALF_FACTOR * floor.mean), floor.mean, True)

    def check(self, name: str, difference: Difference) -> None:
        """Raise RunError, with what is likely wrong, for a difference beyond it."""
        measured = difference.mean if self.in_half else difference.largest
        if measured <= self.value:
            return
        kind = "mean difference, in half precision," if self.in_half else "largest difference, in float32,"
        remedy = f"{HALF_FACTOR} times that" if self.in_half else "--parity_tolerance"
        raise RunError(
            f"the {kind} between the log-probabilities of {name} is {measured:.3g} nats; rounding alone gives "
            f"{self.floor:.2g} on this model, and at most {self.value:.3g} is allowed ({remedy}): {_CAUSES[name]} The run has "
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
    SAMPLER: "they do not run the same model. Likely a prompt that one of them reads causally (a cache filled elsewhere, "
    "generation without a cache, token types from a tokenizer), other weights, or another temperature.",
    MASK: "the policy is trained under another mask than HRM-Text's. Is `import hrm_align` the first import, and "
    "`prefix_lm` true in the model's config?",
    REPEATED: "scored once more, the reference gives other values than those the rollout carries: they are of other weights or "
    "of another mask, a cache of an earlier run, say.",
    REFERENCE: "the reference model, or a cache of its log-probabilities, was made under another mask or of another model, "
    "so that the KL term pulls the policy to a wrong place.",
}


class ParityGate(_Base):
    """A mixin over a GRPO trainer: compares sampler, trainer and reference on tokens of a rollout.

    It takes from the trainer `groups` and `_rollout` (what is drawn), `_get_per_token_logps_and_entropies` (what the update
    and the reference are scored by) and `ref_model`.
    """

    _parity_seconds = 0.0  # of the optimizer step that is under way

    def _check_parity(self, output: dict[str, Any], logged: bool) -> None:
        """Score some of the rollout's tokens again; stop the run on all processes beyond what rounding explains."""
        start, some = time.perf_counter(), slice(None, self.args.parity_rows)
        names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
        tokens = PaddedSteps(*(output[name][some] for name in names))
        reference = output.get("ref_per_token_logps")
        local = self._differences(
            tokens, output["sampling_per_token_logps"][some], None if reference is None else reference[some]
        )
        half, requested = self._half_precision, self.args.parity_tolerance
        if half and reference is not None:
            whole = PaddedSteps(*(output[name] for name in names))
            again = self._reference_logprobs(whole)
            local[REPEATED] = Difference.of(reference, again, whole.completion_mask)
        found, floor = self._gathered(local, "", logged)
        repeated = found.pop(REPEATED, None)
        if repeated is not None:  # the same forward, twice: no rounding differs
            Limit.in_float32(Difference(0.0, 0.0, 0.0), None).check(REPEATED, repeated)
        limit = Limit.in_half_precision(floor) if half else Limit.in_float32(floor, requested)
        for name, difference in found.items():
            limit.check(name, difference)
        if half and not getattr(self.accelerator.unwrap_model(self.model), "is_quantized", False):
            found, floor = self._gathered(self._differences_in_float32(reference is not None), "float32/", logged)
            for name, difference in found.items():
                Limit.in_float32(floor, requested).check(name, difference)
        self._parity_seconds = time.perf_counter() - start

    def _gathered(
        self, local: dict[str, Difference], prefix: str, logged: bool
    ) -> tuple[dict[str, Difference], Difference]:
        """The differences over all processes, logged, and apart from them the rounding floor."""
        found = {}
        for name, difference in local.items():
            row = [[difference.largest, difference.total, difference.tokens]]
            table = self.accelerator.gather(torch.tensor(row, device=self.accelerator.device))
            found[name] = Difference(float(table[:, 0].max()), float(table[:, 1].sum()), float(table[:, 2].sum()))
            if logged:
                key = f"parity/{prefix}{KEYS[name]}"
                self._note(**{f"{key}_max": found[name].largest, f"{key}_mean": found[name].mean})
        floor = found.pop(FLOOR)
        return found, floor

    @torch.no_grad()
    def _differences(self, tokens: PaddedSteps, sampled: Tensor, reference: Tensor | None) -> dict[str, Difference]:
        """What the sampler, the trainer and the reference gave for tokens, and the drawn mask gives by two kernels."""
        bare, mask = self.accelerator.unwrap_model(self.model), tokens.completion_mask

        def drawn(model: Any, kernel: str) -> Tensor:
            with attention(_inner(model), kernel):
                return logprobs_under_drawn_mask(model, tokens, self.temperature, self.accelerator.autocast)

        trained = self._logprobs(self.model, tokens)
        expected = drawn(bare, "sdpa")
        found = {
            SAMPLER: Difference.of(sampled, trained, mask),
            MASK: Difference.of(trained, expected, mask),
            FLOOR: Difference.of(expected, drawn(bare, "eager"), mask),
        }
        if reference is not None:
            with use_adapter(bare, None) if self.ref_model is None else nullcontext():
                other = drawn(bare if self.ref_model is None else self.accelerator.unwrap_model(self.ref_model), "sdpa")
            found[REFERENCE] = Difference.of(reference, other, mask)
        return found

    @torch.no_grad()
    def _differences_in_float32(self, has_reference: bool) -> dict[str, Difference]:
        """The same for a few answers that are drawn and scored by the run's sampler and trainer in float32."""
        bare = self.accelerator.unwrap_model(self.model)
        chosen = list(dict.fromkeys(trajectory.row for trajectory in self._rollout.trajectories))[:EXTRA_PROMPTS]
        rows = [row for row in chosen for _ in range(EXTRA_ANSWERS)]
        with in_float32(bare, *([] if self.ref_model is None else [self.ref_model])):
            self.groups.engine.sync(bare)
            drawn = self.groups.draw_ungraded(rows, number=self.state.global_step, max_new_tokens=EXTRA_TOKENS)
            steps = [step for trajectory in drawn for step in trajectory.steps]
            tokens, sampled = pad_steps(steps, self._renderer.pad_id, self.accelerator.device)
            reference = self._reference_logprobs(tokens) if has_reference else None
            return self._differences(tokens, sampled, reference)

    def _logprobs(self, model: Any, tokens: PaddedSteps) -> Tensor:
        """Log-probabilities (batch, completion), nats, as the update computes them."""
        kept = tokens.completion_ids.shape[1]
        return self._get_per_token_logps_and_entropies(model, tokens.ids, tokens.mask, kept)[0]

    @torch.no_grad()
    def _reference_logprobs(self, tokens: PaddedSteps) -> Tensor:
        """The same of the reference: a model of its own, or the policy without its adapter."""
        if self.ref_model is not None:
            return self._logprobs(self.ref_model, tokens)
        with use_adapter(self.accelerator.unwrap_model(self.model), None):
            return self._logprobs(self.model, tokens)


def _inner(model: Any) -> Any:
    """The HrmTextForCausalLM inside of an adapter, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model
