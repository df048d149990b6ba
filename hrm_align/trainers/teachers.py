"""Teachers of on-policy distillation: what a trainer asks of a teacher, and the divergence from the tokens that a server returns.

    a model in this process        hidden states and head: TRL's divergence of whole distributions, in chunks (trainers/distillation.py)
    a teacher elsewhere            `Teacher.score`: the most probable tokens of each position, and `top_divergence`

A teacher reads its own prompt and the student's completion. Only the positions of the completion are compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_LEAST = 1e-7  # probability of all tokens that a teacher has not returned, where those returned add up to 1 or, rounded, to more


@dataclass(frozen=True)
class TopTokens:
    """Next-token distributions of a teacher at the positions of one completion, as far as the teacher returns them.

    Args:
        ids: (tokens, k) token ids, int64; row t is the distribution of completion token t, given the prompt and the tokens before t.
        logprobs: (tokens, k) their log-probabilities at temperature 1, in nats, float32. -inf fills up a row with fewer tokens, at any
            id. With k equal to the vocabulary and no -inf the distribution is whole.
    """

    ids: Tensor
    logprobs: Tensor


class Teacher(Protocol):
    """A teacher that is asked for log-probabilities, such as a server (`trainers/server_teacher.py`)."""

    def score(self, documents: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[TopTokens]:
        """Return the distributions at the tokens of each completion.

        Args:
            documents: token ids of the teacher's prompt, which ends with <|im_end|>, and of the student's completion, one token or
                more, with its end token if it has ended.

        Returns:
            One entry for each document, in their order, on the CPU; `k` may differ between documents.

        Raises:
            RunError: if the teacher does not answer.
        """
        ...


def top_divergence(student: Tensor, ids: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """Return the divergence (tokens,) over the tokens that a teacher returned and one outcome for all others, in nats.

    It is at most the divergence of the whole distributions, and equal to it if the teacher returned the whole vocabulary.

    Args:
        student: (tokens, vocab) logits of the student.
        ids: (tokens, k) token ids of the teacher.
        teacher: (tokens, k) their log-probabilities; -inf for no token.
        beta: 0 for the forward KL(teacher || student), 1 for the reverse KL(student || teacher), between them the generalised
            Jensen-Shannon divergence (Agarwal et al. 2024, equation 1, as in TRL).
    """
    logprobs = student.float().log_softmax(dim=-1)
    present = teacher > -math.inf
    s, t = logprobs.gather(-1, ids).where(present, 0.0), teacher.where(present, 0.0)
    covered = torch.zeros_like(logprobs).scatter_add_(-1, ids, present.to(logprobs.dtype)) > 0
    terms = _divergence_terms(s, t, beta).where(present, 0.0).sum(dim=-1)
    is_whole = covered.all(dim=-1)
    # the outcome "any other token"; of a whole distribution it does not exist, and 0 stands for its logarithm
    rest = logprobs.masked_fill(covered & ~is_whole[:, None], -math.inf).logsumexp(dim=-1).where(~is_whole, 0.0)
    missing = torch.log((1 - teacher.exp().sum(dim=-1)).clamp(min=_LEAST))
    return terms + _divergence_terms(rest, missing, beta).where(~is_whole, 0.0)


def _divergence_terms(student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """Return the summands of the divergence of two distributions, given as log-probabilities."""
    if beta == 0:
        return teacher.exp() * (teacher - student)
    if beta == 1:
        return student.exp() * (student - teacher)
    mixture = torch.logaddexp(student + math.log(1 - beta), teacher + math.log(beta))
    return beta * teacher.exp() * (teacher - mixture) + (1 - beta) * student.exp() * (student - mixture)
