"""Log-probabilities of given answers, the way training sees them and the way sampling does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hrm_align.data.collators import IGNORED, PaddedCollator
from hrm_align.rendering import Document
from hrm_align.rollouts.padding import left_padded


@torch.no_grad()
def response_logprobs(model: PreTrainedModel, documents: Sequence[Document]) -> list[Tensor]:
    """Teacher-forced log-probabilities of each document's response, end token included.

    Args:
        model: an HRM-Text, run as training runs it: one right-padded batch, no cache.
        documents: prompt and response.

    Returns:
        For each document a float32 tensor (response length), natural logarithm.
    """
    device = next(model.parameters()).device
    collate = PaddedCollator(model.generation_config.pad_token_id)
    rows = [{"input_ids": d.input_ids, "prefix_length": d.prefix_length} for d in documents]
    batch = {name: tensor.to(device) for name, tensor in collate(rows).items()}
    labels = batch.pop("labels")[:, 1:]
    logits = model(**batch, use_cache=False).logits[:, :-1].float()
    scored = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return [row[label != IGNORED].cpu() for row, label in zip(scored, labels, strict=True)]


@torch.no_grad()
def cached_logprobs(model: PreTrainedModel, documents: Sequence[Document]) -> list[Tensor]:
    """The same, as sampling computes them: a left-padded prefill, then one cached step a token."""
    device = next(model.parameters()).device
    prompts = [d.input_ids[: d.prefix_length] for d in documents]
    answers = [d.input_ids[d.prefix_length :] for d in documents]
    ids, mask = (tensor.to(device) for tensor in left_padded(prompts, model.generation_config.pad_token_id))
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)  # counted from each prompt's own start, as `generate` does
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True)
    steps = max(map(len, answers))
    padded = torch.tensor([answer + [answer[-1]] * (steps - len(answer)) for answer in answers], device=device)
    scores = []
    for step in range(steps):
        logprobs = output.logits[:, -1].float().log_softmax(-1)
        scores.append(logprobs.gather(-1, padded[:, step : step + 1]))
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        output = model(
            input_ids=padded[:, step : step + 1],
            attention_mask=mask,
            position_ids=mask.sum(dim=1, keepdim=True) - 1,
            past_key_values=output.past_key_values,
            use_cache=True,
        )
    table = torch.cat(scores, dim=1).cpu()
    return [row[: len(answer)] for row, answer in zip(table, answers, strict=True)]


@dataclass(frozen=True)
class Parity:
    """How far the sampler's log-probabilities are from the trainer's, over all response tokens."""

    max_difference: float
    mean_difference: float
    tokens: int


def parity(model: PreTrainedModel, documents: Sequence[Document]) -> Parity:
    """Compare `cached_logprobs` with `response_logprobs` on the same documents."""
    trained = torch.cat(response_logprobs(model, documents))
    sampled = torch.cat(cached_logprobs(model, documents))
    difference = (trained - sampled).abs()
    return Parity(difference.max().item(), difference.mean().item(), len(difference))
