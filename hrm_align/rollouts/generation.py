"""Answers to many prompts in batches, greedy or sampled."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from hrm_align.rollouts.sampling import Decoding, sample


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
        seed: for sampling; None draws one from the global generator.

    Returns:
        The generated ids of each prompt, in the order given: the end token included where there is one, no padding.
    """
    decoding = Decoding(max_new_tokens, temperature) if temperature else Decoding(max_new_tokens, greedy=True)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    # A greedy answer needs no seed, and a run's random state must not depend on whether it was evaluated.
    seeds = torch.randint(2**62, (len(prompts),), generator=generator).tolist() if temperature else [0] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    drawn = sample(model, [prompts[i] for i in order], [seeds[i] for i in order], decoding, batch_size=batch_size)
    answers: list[list[int]] = [[] for _ in prompts]
    for place, completion in zip(order, drawn, strict=True):
        answers[place] = completion.ids
    return answers
