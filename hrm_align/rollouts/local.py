"""The local sampler: answers with their log-probabilities; each distinct prompt is prefilled once for all its answers.

Every answer has a random stream of its own. What is drawn depends on its seed and on the model alone, not on the batch that
it is drawn in, nor on the process, nor on a global random state: a resumed run samples what the uninterrupted one did, and
two processes what one does. `generate` answers many prompts in batches, greedy or sampled; `share_out` shares such work out
among the processes of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import Tensor
from transformers import PreTrainedModel

from hrm_align.errors import Interrupted, RunError, UserError
from hrm_align.rollouts.graphs import CapturedAnswers
from hrm_align.rollouts.writers import Writer, read

# Answers that have ended are taken out of the batch once they are a quarter of it: taking them out copies the cache.
_STILL_WRITING = 0.75
SIDE_BY_SIDE = 256  # answers


@dataclass(frozen=True)
class Decoding:
    """How an answer is drawn.

    Args:
        max_new_tokens: the longest answer, in tokens.
        temperature: above 0; what the logits are divided by.
        top_k: only the so many likeliest tokens; 0 for all.
        top_p: only the likeliest tokens that together have this probability; 1 for all.
        greedy: always the likeliest token, whatever the seed.
        cuda_graphs: capture the decoding step (`rollouts.graphs`); on a CPU the same step runs uncaptured.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    greedy: bool = False
    cuda_graphs: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise UserError(
                f"temperature is {self.temperature}: sampling needs a number above 0; 1 is the model's own."
            )
        if not 0 < self.top_p <= 1 or self.top_k < 0 or self.max_new_tokens < 1:
            raise UserError(
                f"top_p {self.top_p}, top_k {self.top_k}, max_new_tokens {self.max_new_tokens}: top_p is above 0 and at "
                "most 1, top_k 0 or more, and an answer has at least one token."
            )


@dataclass
class Completion:
    """One sampled answer.

    Args:
        ids: its tokens, the end token included where there is one.
        logprobs: natural logarithms of their probabilities at the temperature, before top_k and top_p.
    """

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


@torch.no_grad()
def sample(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    decoding: Decoding,
    *,
    batch_size: int = SIDE_BY_SIDE,
) -> list[Completion]:
    """Draw one answer for every prompt.

    Args:
        model: an HrmTextForCausalLM, or a PeftModel of one. Its generation config names the end and the pad token.
        prompts: token ids from `render_prompt`. Equal ones next to each other are read once for all of them.
        seeds: one for each prompt, of its random stream.
        decoding: how to draw.
        batch_size: answers written side by side.

    Returns:
        The answers in the order of the prompts.
    """
    was_training = model.training
    model.eval()
    try:
        drawn: list[Completion] = []
        for start in range(0, len(prompts), batch_size):
            chosen = slice(start, start + batch_size)
            drawn += _sample_batch(model, prompts[chosen], seeds[chosen], decoding)
        return drawn
    finally:
        model.train(was_training)


def _sample_batch(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], seeds: Sequence[int], decoding: Decoding
) -> list[Completion]:
    end_id, device = cast(Any, model.generation_config).eos_token_id, next(model.parameters()).device
    writer: Writer = CapturedAnswers(model, prompts) if decoding.cuda_graphs else read(model, prompts)
    draws = _uniform(seeds, decoding.max_new_tokens).to(device)
    completions = [Completion() for _ in prompts]
    writing = torch.arange(len(prompts), device=device)  # which answer each row of the batch belongs to
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    for step in range(decoding.max_new_tokens):
        tokens, logprobs = _draw(writer.logits, draws[writing, step], decoding)
        for row, token, logprob, over in zip(*(t.tolist() for t in (writing, tokens, logprobs, ended)), strict=True):
            if not over:
                completions[row].ids.append(token)
                completions[row].logprobs.append(logprob)
        ended |= tokens == end_id
        if bool(ended.all()) or step + 1 == decoding.max_new_tokens:
            break
        if int((~ended).sum()) <= _STILL_WRITING * len(ended):
            kept = (~ended).nonzero().flatten()
            writer.keep(kept)
            writing, tokens, ended = writing[kept], tokens[kept], ended[kept]
        writer.write(tokens)
    return completions


def _uniform(seeds: Sequence[int], steps: int) -> Tensor:
    """Numbers from 0 to 1 (answers, steps), float64, each row from a generator of its own."""
    rows = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        rows.append(torch.rand(steps, generator=generator, dtype=torch.float64))
    return torch.stack(rows)


def _draw(logits: Tensor, uniform: Tensor, decoding: Decoding) -> tuple[Tensor, Tensor]:
    """A token for each row of logits (rows, vocab) by inversion of its distribution, and the token's log-probability.

    Tokens stand in the order of their ids, not of their probabilities: a rounding error in the logits moves the borders
    between them by as little, where two that change places in a ranking would be swapped.
    """
    logprobs = (logits.float() / decoding.temperature).log_softmax(dim=-1)
    if decoding.greedy:
        tokens = logits.argmax(dim=-1)
        return tokens, logprobs.gather(-1, tokens[:, None])[:, 0]
    allowed = _restricted(logprobs, decoding).double().exp()
    reached = allowed.cumsum(dim=-1)
    tokens = torch.searchsorted(reached, (uniform * reached[:, -1])[:, None], right=True)[:, 0]
    tokens = torch.minimum(tokens, _last_possible(allowed))
    return tokens, logprobs.gather(-1, tokens[:, None])[:, 0]


def _last_possible(probabilities: Tensor) -> Tensor:
    """For each row the last token that is not impossible: where rounding would put a draw behind all of them."""
    return probabilities.shape[-1] - 1 - (probabilities > 0).flip(-1).int().argmax(dim=-1)


def _restricted(logprobs: Tensor, decoding: Decoding) -> Tensor:
    """The log-probabilities, minus infinity outside of top_k and top_p."""
    if decoding.top_k and decoding.top_k < logprobs.shape[-1]:
        least = logprobs.topk(decoding.top_k, dim=-1).values[:, -1:]
        logprobs = logprobs.masked_fill(logprobs < least, float("-inf"))
    if decoding.top_p < 1:
        ranked, order = logprobs.sort(dim=-1, descending=True, stable=True)
        share = ranked.exp() / ranked.exp().sum(dim=-1, keepdim=True)
        beyond = share.cumsum(dim=-1) - share >= decoding.top_p  # the first token is never beyond
        logprobs = logprobs.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), float("-inf"))
    return logprobs


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
