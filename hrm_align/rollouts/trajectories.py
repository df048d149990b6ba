"""Trajectory: what reinforcement learning trains on. A completion is a trajectory of one step.

    row 3, "What is 9 minus 4?" -> Trajectory(row=3, messages=(user, assistant "5"), steps=[Step(prompt_ids, ids, logprobs)],
                                              rewards={"math": 1.0, "format": None}, reward=1.0, end="stop")

A trajectory of T turns has T steps. Each is a document of its own: what a tool has answered moves `<|im_end|>`, the whole
history is read again in both directions, and all steps share the one reward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hrm_align.rendering import Document, Message
from hrm_align.rollouts.engine import Finish
from hrm_align.rollouts.kv_cache import left_padded


@dataclass(frozen=True)
class Step:
    """A completion behind its prompt, as the engine drew it.

    Args:
        prompt_ids: token ids of the prefix.
        ids: of the completion, the end token included where there is one.
        logprobs: of the completion's tokens under the sampler, nats.
    """

    prompt_ids: Sequence[int]
    ids: Sequence[int]
    logprobs: Sequence[float]

    @property
    def document(self) -> Document:
        """Prompt and completion as training takes them."""
        return Document([*self.prompt_ids, *self.ids], len(self.prompt_ids))


@dataclass(frozen=True)
class Trajectory:
    """What a policy did about one row, and what it was worth.

    Args:
        row: place of the example among the prompts.
        messages: the conversation, the policy's own messages included; the last is its answer.
        steps: one for each message of the policy.
        end: why the last step ended; None if it was cut short.
        rewards: by the reward's name; None where it could not be graded. Empty before grading.
        reward: their weighted sum; None where none could be graded.
    """

    row: int
    messages: tuple[Message, ...]
    steps: tuple[Step, ...]
    end: Finish | None
    rewards: Mapping[str, float | None] = field(default_factory=dict)
    reward: float | None = None

    @property
    def text(self) -> str:
        """The answer, as rewards and people read it."""
        return self.messages[-1].content


@dataclass(frozen=True)
class PaddedSteps:
    """Steps as TRL pads them, prompts on the left and completions on the right.

    Args:
        prompt_ids, prompt_mask: (batch, prompt).
        completion_ids, completion_mask: (batch, completion); a row masked throughout does not count.
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


def pad_steps(steps: Sequence[Step], pad_id: int, device: torch.device) -> tuple[PaddedSteps, Tensor]:
    """Pad steps; beside them the sampler's log-probabilities (batch, completion), 0 in padding."""
    prompt_ids, prompt_mask = left_padded([step.prompt_ids for step in steps], pad_id)
    longest = max(len(step.ids) for step in steps)
    ids = torch.full((len(steps), longest), pad_id)
    mask, logprobs = torch.zeros_like(ids), torch.zeros(len(steps), longest)
    for row, step in enumerate(steps):
        length = len(step.ids)
        ids[row, :length], mask[row, :length] = torch.tensor(step.ids), 1
        logprobs[row, :length] = torch.tensor(step.logprobs)
    padded = (prompt_ids, prompt_mask, ids, mask)
    return PaddedSteps(*(tensor.to(device) for tensor in padded)), logprobs.to(device)
