"""Whether sampler, trainer and reference mean the same model: the same tokens, scored three ways.

Reinforcement learning multiplies log-probabilities of the trainer by rewards of the sampler's tokens. Where one of them
reads the prompt causally, the loss looks healthy and the model learns something else. So the tokens of a rollout are scored
as the sampler scored them, as the trainer does, and under a mask that is drawn here token by token and handed to the model
as it is; policy and reference alike.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hrm_align.errors import RunError

FLOAT32_MAX = 1e-3  # nats; what is measured is 1e-5. A causal prompt differs by 0.1 to 10.
HALF_MEAN = 0.05  # nats, of the mean over tokens: in bfloat16 single tokens differ by rounding


@dataclass(frozen=True)
class ScoredTokens:
    """Tokens of a rollout: ids and masks as TRL pads them, prompts on the left, completions on the right.

    Args:
        prompt_ids, prompt_mask: (batch, prompt).
        completion_ids, completion_mask: (batch, completion); a row masked throughout is not compared.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    completion_ids: Tensor
    completion_mask: Tensor

    @property
    def ids(self) -> Tensor:
        """(batch, prompt + completion)."""
        return torch.cat([self.prompt_ids, self.completion_ids], dim=1)

    @property
    def mask(self) -> Tensor:
        """(batch, prompt + completion), 1 for a token."""
        return torch.cat([self.prompt_mask, self.completion_mask], dim=1)


def drawn_mask(tokens: ScoredTokens) -> Tensor:
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
    model: nn.Module, tokens: ScoredTokens, temperature: float, autocast: Callable[[], AbstractContextManager]
) -> Tensor:
    """Log-probabilities (batch, completion) of the completions, nats, by one plain forward under `drawn_mask`."""
    kept = tokens.completion_ids.shape[1]
    dtype = next(model.parameters()).dtype
    additive = torch.zeros(drawn_mask(tokens).shape, dtype=dtype, device=tokens.ids.device)
    additive.masked_fill_(~drawn_mask(tokens), torch.finfo(dtype).min)
    run: Any = model
    with autocast():
        logits = run(input_ids=tokens.ids, attention_mask=additive, use_cache=False).logits[:, -kept - 1 : -1]
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
class Tolerance:
    """What a run bears: the largest difference of a token in float32, the mean over tokens in half precision."""

    limit: float
    of_mean: bool

    @classmethod
    def of(cls, asked: float | None, half: bool) -> Tolerance:
        """What a recipe asks for, or the default of its precision."""
        return cls((HALF_MEAN if half else FLOAT32_MAX) if asked is None else asked, half)

    def check(self, name: str, difference: Difference) -> None:
        """Raise RunError, with what is likely wrong, for a difference beyond it."""
        measured = difference.mean if self.of_mean else difference.largest
        if measured <= self.limit:
            return
        kind = "mean" if self.of_mean else "largest"
        raise RunError(
            f"the {kind} difference between the log-probabilities of {name} is {measured:.3g} nats, and at most "
            f"{self.limit:g} is allowed (--parity_tolerance): {_CAUSES[name]} The run has stopped before its next update."
        )


SAMPLER = "sampler and trainer"
MASK = "the trainer and the prefix mask"
REFERENCE = "the reference and the prefix mask"

_CAUSES = {
    SAMPLER: "they do not run the same model. Likely a prompt that one of them reads causally (a cache filled elsewhere, "
    "generation without a cache, token types from a tokenizer), other weights, or another temperature.",
    MASK: "the policy is trained under another mask than HRM-Text's. Is `import hrm_align` the first import, and "
    "`prefix_lm` true in the model's config?",
    REFERENCE: "the reference model, or a cache of its log-probabilities, was made under another mask or of another model, "
    "so that the KL term pulls the policy to a wrong place.",
}
