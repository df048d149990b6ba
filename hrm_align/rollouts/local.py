"""The local engine: completions from a model of this process, each distinct prompt prefilled once for all of its completions.

Every completion has a random stream of its own. What is drawn depends on its seed and on the model alone, not on the batch
that it is drawn in, nor on the process, nor on a global random state: a resumed run samples what the uninterrupted one did,
and two processes what one does. `sample` and `generate` answer many prompts in batches; `share_out` shares such work out
among the processes of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from hrm_align.errors import Interrupted, RunError, UserError
from hrm_align.models.rounding import in_evaluation
from hrm_align.rollouts.engine import (
    SIDE_BY_SIDE,
    Completion,
    Decoding,
    Engine,
    Event,
    Finish,
    Handle,
    Request,
    requests_of,
    run,
)
from hrm_align.rollouts.graphs import CapturedAnswers
from hrm_align.rollouts.writers import Writer, read

__all__ = ["Completion", "Decoding", "LocalEngine", "generate", "sample", "share_out"]

# Completions that have ended are taken out of the batch once they are a quarter of it: taking them out copies the cache.
_STILL_RUNNING = 0.75


class LocalEngine:
    """An engine over a model of this process. See `Engine` for its methods.

    Requests that arrive while others run are prefilled together and join their batch, but for those under `cuda_graphs`, which
    step beside it: a captured step has fixed shapes.

    Args:
        model: an HrmTextForCausalLM, or a PeftModel of one. Its generation config names the end and the pad token. None until
            `sync` names one.
        max_running: completions that run together; further requests wait. A request of more runs alone.
    """

    def __init__(self, model: PreTrainedModel | None = None, *, max_running: int = SIDE_BY_SIDE):
        self._model, self._max_running = model, max_running
        self._waiting: dict[Handle, Request] = {}
        self._batches: list[_Batch] = []
        self._next_handle = 0

    @property
    def model(self) -> PreTrainedModel:
        """That draws."""
        assert self._model is not None, "sync it with a model first"
        return self._model

    def submit(self, request: Request) -> Handle:
        """See `Engine`. Raises UserError for an empty prompt or no seed."""
        if not request.prompt_ids or not request.seeds:
            raise UserError(
                f"a request has {len(request.prompt_ids)} prompt tokens and {len(request.seeds)} seeds: give one of each at least."
            )
        handle, self._next_handle = self._next_handle, self._next_handle + 1
        self._waiting[handle] = request
        return handle

    @torch.no_grad()
    def step(self) -> list[Event]:
        """See `Engine`."""
        with _in_evaluation(self.model):
            self._batches = [batch for batch in self._batches if batch.advance()]
            self._admit()
            end_id = cast(Any, self.model.generation_config).eos_token_id
            return [event for batch in self._batches for event in batch.draw(end_id)]

    def cancel(self, handle: Handle) -> None:
        """See `Engine`. Room is freed at the next step."""
        self._waiting.pop(handle, None)
        for batch in self._batches:
            batch.cancel(handle)

    def sync(self, weights: PreTrainedModel) -> None:
        """Sample from this model from now on. Nothing may run: what it has read was read by other weights."""
        assert not any(batch.running for batch in self._batches), "cancel what runs, or step until it has ended"
        self._model, self._batches = weights, []

    def close(self) -> None:
        """See `Engine`."""
        self._waiting.clear()
        self._batches.clear()

    def _admit(self) -> None:
        """Prefill the waiting requests that there is room for."""
        running = sum(batch.running for batch in self._batches)
        admitted: dict[Handle, Request] = {}
        for handle, request in self._waiting.items():
            if running and running + len(request.seeds) > self._max_running:
                break
            admitted[handle] = request
            running += len(request.seeds)
        for is_captured in (False, True):
            chosen = {h: request for h, request in admitted.items() if request.decoding.cuda_graphs == is_captured}
            if chosen:
                fresh = _Batch(self.model, chosen)
                if not any(batch.join(fresh) for batch in self._batches):
                    self._batches.append(fresh)
        for handle in admitted:
            del self._waiting[handle]


def _in_evaluation(model: PreTrainedModel) -> AbstractContextManager[None]:
    """Evaluation mode, where the model is not in it: every module of it is visited for that."""
    return in_evaluation(model) if model.training else nullcontext()


@dataclass
class _Slot:
    """A completion that runs, or has ended and was not taken out yet."""

    handle: Handle
    index: int
    decoding: Decoding
    written: int = 0
    ended: bool = False


class _Batch:
    """Completions that step together: prefilled, then in turns drawn (`draw`) and computed further (`advance`).

    Args:
        model: in eval mode.
        requests: by handle, all captured or none.
    """

    def __init__(self, model: PreTrainedModel, requests: dict[Handle, Request]):
        seeds = [seed for request in requests.values() for seed in request.seeds]
        prompts = [request.prompt_ids for request in requests.values() for _ in request.seeds]
        self._slots = [
            _Slot(handle, index, request.decoding)
            for handle, request in requests.items()
            for index in range(len(request.seeds))
        ]
        captured = self._slots[0].decoding.cuda_graphs
        self._writer: Writer = CapturedAnswers(model, prompts) if captured else read(model, prompts)
        device = next(model.parameters()).device
        self._uniform = _uniform(seeds, [slot.decoding for slot in self._slots]).to(device)
        self._steps = torch.zeros(len(prompts), dtype=torch.long, device=device)
        self._drawn: Tensor | None = None  # tokens that were drawn and are not yet computed

    @property
    def running(self) -> int:
        """Completions that have not ended."""
        return sum(not slot.ended for slot in self._slots)

    def cancel(self, handle: Handle) -> None:
        """End the completions of a request."""
        for slot in self._slots:
            slot.ended = slot.ended or slot.handle == handle

    def advance(self) -> bool:
        """Compute the logits behind the tokens that were drawn last; whether anything still runs."""
        running = [place for place, slot in enumerate(self._slots) if not slot.ended]
        if not running:
            return False
        if len(running) <= _STILL_RUNNING * len(self._slots):
            kept = torch.tensor(running, device=self._steps.device)
            self._writer.keep(kept)
            self._slots = [self._slots[place] for place in running]
            self._uniform, self._steps = self._uniform[kept], self._steps[kept]
            self._drawn = None if self._drawn is None else self._drawn[kept]
        if self._drawn is not None:
            self._writer.write(self._drawn)
            self._drawn = None
        return True

    def draw(self, end_id: int) -> list[Event]:
        """The next token of each running completion."""
        self._drawn, logprobs = self._tokens()
        self._steps += 1
        events = []
        for slot, token, logprob in zip(self._slots, self._drawn.tolist(), logprobs.tolist(), strict=True):
            if slot.ended:
                continue
            slot.written += 1
            full = slot.written == slot.decoding.max_new_tokens
            finish: Finish | None = "stop" if token == end_id else "length" if full else None
            slot.ended = finish is not None
            events.append(Event(slot.handle, slot.index, token, logprob, finish))
        return events

    def join(self, other: _Batch) -> bool:
        """Take the completions of a batch that was prefilled and not drawn from; whether that can be done."""
        assert self._drawn is None and other._drawn is None
        if not self._writer.join(other._writer):
            return False
        self._slots += other._slots
        width = max(self._uniform.shape[1], other._uniform.shape[1])
        self._uniform = torch.cat([pad(part, (0, width - part.shape[1])) for part in (self._uniform, other._uniform)])
        self._steps = torch.cat([self._steps, other._steps])
        return True

    def _tokens(self) -> tuple[Tensor, Tensor]:
        """A token and its log-probability for every slot."""
        last = self._uniform.shape[1] - 1  # of a slot that has ended, which steps on until it is taken out
        uniform = self._uniform.gather(1, self._steps.clamp(max=last)[:, None])[:, 0]
        kinds = list(dict.fromkeys(slot.decoding for slot in self._slots))
        if len(kinds) == 1:
            return _draw(self._writer.logits, uniform, kinds[0])
        tokens, logprobs = torch.zeros_like(self._steps), torch.zeros(len(uniform), device=uniform.device)
        for kind in kinds:
            places = [place for place, slot in enumerate(self._slots) if slot.decoding == kind]
            rows = torch.tensor(places, device=uniform.device)
            tokens[rows], logprobs[rows] = _draw(self._writer.logits[rows], uniform[rows], kind)
        return tokens, logprobs


def _uniform(seeds: Sequence[int], decodings: Sequence[Decoding]) -> Tensor:
    """Numbers from 0 to 1 (completions, steps), float64, each row from a generator of its own."""
    rows = torch.zeros(len(seeds), max(decoding.max_new_tokens for decoding in decodings), dtype=torch.float64)
    for row, (seed, decoding) in enumerate(zip(seeds, decodings, strict=True)):
        if not decoding.greedy:
            generator, steps = torch.Generator().manual_seed(seed), decoding.max_new_tokens
            rows[row, :steps] = torch.rand(steps, generator=generator, dtype=torch.float64)
    return rows


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


def sample(
    source: PreTrainedModel | Engine,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    decoding: Decoding,
    *,
    batch_size: int = SIDE_BY_SIDE,
) -> list[Completion]:
    """Draw one completion for every prompt.

    Args:
        source: an engine; or a model, for a `LocalEngine` over it.
        prompts: token ids from `render_prompt`. Equal ones next to each other are prefilled once for all of them.
        seeds: one for each prompt, of its random stream.
        decoding: how to draw.
        batch_size: completions that run together.

    Returns:
        The completions in the order of the prompts.
    """
    engine: Engine = source if isinstance(source, Engine) else LocalEngine(source, max_running=batch_size)
    with _in_evaluation(engine.model) if isinstance(engine, LocalEngine) else nullcontext():  # once, not at every step
        drawn = run(engine, requests_of(prompts, seeds, decoding, batch_size), batch_size=batch_size)
    return [completion for group in drawn for completion in group]


def generate(
    source: PreTrainedModel | Engine,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    batch_size: int = 64,
    temperature: float = 0.0,
    seed: int | None = None,
) -> list[list[int]]:
    """Continue every prompt until its end token or `max_new_tokens`.

    Args:
        source: an engine; or a model, for a `LocalEngine` over it.
        prompts: token ids from `render_prompt`.
        max_new_tokens: the longest completion, in tokens.
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
    drawn = sample(source, [prompts[i] for i in order], [seeds[i] for i in order], decoding, batch_size=batch_size)
    answers: list[list[int]] = [[] for _ in prompts]
    for place, completion in zip(order, drawn, strict=True):
        answers[place] = completion.ids
    return answers


Item = TypeVar("Item")
Result = TypeVar("Result")


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
