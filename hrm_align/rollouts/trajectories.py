"""Trajectories: the training data of reinforcement learning. A single completion is a trajectory of one step.

    row 3, "What is 9 minus 4?" -> Trajectory(row=3, messages=(user, assistant "5"), steps=[Step(prompt_ids, ids, logprobs)],
                                              rewards={"math": 1.0, "format": None}, reward=1.0, end="stop")

A trajectory of T turns has T steps. Each step is a separate document, because every new message moves the end of the
prefix (`<|im_end|>`), so that the whole history is attended to bidirectionally. All steps share the trajectory's
reward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hrm_align.rendering import Document, Message
from hrm_align.rollouts.engine import Finish
from hrm_align.rollouts.kv_cache import left_pad


@dataclass(frozen=True)
class Step:
    """One sampled completion and its prompt.

    Args:
        prompt_ids: token ids of the prefix.
        ids: token ids of the completion, the end token included if there is one.
        logprobs: log-probabilities of the completion's tokens under the sampler, in nats.
    """

    prompt_ids: Sequence[int]
    ids: Sequence[int]
    logprobs: Sequence[float]

    @property
    def document(self) -> Document:
        """Prompt and completion as a training document."""
        return Document([*self.prompt_ids, *self.ids], len(self.prompt_ids))


@dataclass(frozen=True)
class Trajectory:
    """Messages, steps and rewards of the policy for one prompt.

    Args:
        row: index of the prompt.
        messages: the conversation, the policy's own messages included; the last one is the policy's answer.
        steps: one step per message of the policy.
        end: why the last step ended; None if it was cancelled.
        rewards: reward by name; None for a reward that could not grade the answer. Empty before grading.
        reward: weighted sum of the rewards; None if no reward could grade the answer.
    """

    row: int
    messages: tuple[Message, ...]
    steps: tuple[Step, ...]
    end: Finish | None
    rewards: Mapping[str, float | None] = field(default_factory=dict)
    reward: float | None = None

    @property
    def text(self) -> str:
        """Text of the answer."""
        return self.messages[-1].content


@dataclass(frozen=True)
class PaddedSteps:
    """Batch of steps in TRL's padding: prompts on the left, completions on the right.

    Args:
        prompt_ids, prompt_mask: (batch, prompt); the mask is 1 for a token.
        completion_ids, completion_mask: (batch, completion); a row whose mask is all 0 is not scored.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    completion_ids: Tensor
    completion_mask: Tensor

    @property
    def ids(self) -> Tensor:
        """Token ids, (batch, prompt + completion)."""
        return torch.cat([self.prompt_ids, self.completion_ids], dim=1)

    @property
    def mask(self) -> Tensor:
        """Mask, (batch, prompt + completion), 1 for a token."""
        return torch.cat([self.prompt_mask, self.completion_mask], dim=1)


def pad_steps(steps: Sequence[Step], pad_id: int, device: torch.device) -> tuple[PaddedSteps, Tensor]:
    """Pad steps to a batch.

    Returns:
        The batch, and the sampler's log-probabilities (batch, completion), 0 in padding.
    """
    prompt_ids, prompt_mask = left_pad([step.prompt_ids for step in steps], pad_id)
    longest = max(len(step.ids) for step in steps)
    ids = torch.full((len(steps), longest), pad_id)
    mask, logprobs = torch.zeros_like(ids), torch.zeros(len(steps), longest)
    for row, step in enumerate(steps):
        length = len(step.ids)
        ids[row, :length], mask[row, :length] = torch.tensor(step.ids), 1
        logprobs[row, :length] = torch.tensor(step.logprobs)
    padded = (prompt_ids, prompt_mask, ids, mask)
    return PaddedSteps(*(tensor.to(device) for tensor in padded)), logprobs.to(device)
