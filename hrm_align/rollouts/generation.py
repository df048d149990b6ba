"""Answers to many prompts in batches, greedy or sampled, and such work shared by the processes of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedModel

from hrm_align.errors import Interrupted, RunError
from hrm_align.rollouts.local import Decoding, sample

Item = TypeVar("Item")
Result = TypeVar("Result")


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


def share_out(items: Sequence[Item], work: Callable[[Sequence[Item]], Sequence[Result]]) -> list[Result]:
    """Let every process of a run do its part of some work, and give the results of all to each.

    All processes must call it with the same items. A failure on one of them ends it on all.

    Args:
        items: process k takes every n-th, from the k-th on.
        work: returns one result an item; results are pickled.

    Returns:
        The results in the order of the items.

    Raises:
        Interrupted: if the work of any process was.
        RunError: if that of another process has failed; the process itself raises what it failed with.
    """
    state = PartialState()
    count = state.num_processes
    if count == 1:
        return list(work(items))
    part, own, failure = items[state.process_index :: count], list[Result](), None
    try:
        own = list(work(part)) if part else []
    except Exception as error:  # told to the others, who would wait for this one, and raised again
        failure = error
    told = None if failure is None else (isinstance(failure, Interrupted), f"{type(failure).__name__}: {failure}")
    parts = gather_object([(own, told)])
    if failure is not None:
        raise failure
    for number, (_, fault) in enumerate(parts):
        if fault is not None:
            raise Interrupted if fault[0] else RunError(f"process {number} has failed: {fault[1]}")
    results: list[Result] = [None] * len(items)  # type: ignore[list-item]
    for number, (theirs, _) in enumerate(parts):
        results[number::count] = theirs
    return results
