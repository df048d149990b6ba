"""Answers in batches, by Transformers' own `generate` under the prefix mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel


def left_padded(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Prompts as a batch that ends flush: ids and attention mask, both (batch, seq)."""
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids, mask


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    batch_size: int = 64,
    temperature: float = 0.0,
    seed: int | None = None,
) -> list[list[int]]:
    """Continue every prompt until its end token or `max_new_tokens`.

    Args:
        model: an HrmTextForCausalLM, or a PeftModel of one. Its generation config names the end and the pad token.
        prompts: token ids from `render_prompt`.
        max_new_tokens: the longest answer, in tokens.
        batch_size: prompts a batch; prompts of like length share one.
        temperature: 0 decodes greedily, above 0 samples.
        seed: for sampling; None leaves the global generator as it is.

    Returns:
        The generated ids of each prompt, in the order given: the end token included where there is one, no padding.
    """
    settings = cast(Any, model.generation_config)
    end_id, pad_id = settings.eos_token_id, settings.pad_token_id
    if seed is not None:
        torch.manual_seed(seed)
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    answers: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        ids, mask = left_padded([prompts[i] for i in batch], pad_id)
        run: Any = model.generate
        out = run(input_ids=ids.to(device), attention_mask=mask.to(device), max_new_tokens=max_new_tokens, **sampling)
        for i, new in zip(batch, out[:, ids.shape[1] :].tolist(), strict=True):
            answers[i] = new[: new.index(end_id) + 1] if end_id in new else new
    model.train(was_training)
    return answers
