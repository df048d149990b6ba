"""Local engine: sample completions from a model of this process, prefilling each distinct prompt once.

Every completion has its own random stream. A completion depends only on its seed and the model, and not on its batch,
its process or the global random state: a resumed run samples the same completions as an uninterrupted one, and two
processes the same as one. `sample` and `generate` complete many prompts in batches; `distributed.share_out` distributes
such work among the processes of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from hrm_align.models.rounding import in_evaluation
from hrm_align.progress import counting
from hrm_align.rollouts.engine import (
    MAX_RUNNING,
    Completion,
    Decoding,
    Engine,
    Event,
    Finish,
    Handle,
    Request,
    build_requests,
    run,
)
from hrm_align.rollouts.graphs import CapturedState
from hrm_align.rollouts.writers import Writer, read

__all__ = ["Completion", "Decoding", "LocalEngine", "complete", "draw_seeds", "generate", "sample"]

# Ended completions are removed from the batch once they are a quarter of it, because each removal copies the cache.
_STILL_RUNNING = 0.75


class LocalEngine:
    """Engine that samples from a model of this process. See `Engine` for its methods.

    Requests that arrive while others run are prefilled together and join the running batch. Requests with `cuda_graphs`
    run in batches of their own, because a captured step has fixed shapes.

    Args:
        model: an HrmTextForCausalLM, or a PeftModel of one, whose generation config has the end and the pad token. None
            if `sync` is called before the first step.
        max_running: completions that run at the same time; further requests wait. A request with more completions runs
            alone.

    Attributes:
        prefilling: requests whose prefill was under way when a step raised an error; all others can continue. Empty if the
            error came from elsewhere.
    """

    def __init__(self, model: PreTrainedModel | None = None, *, max_running: int = MAX_RUNNING):
        self._model, self._max_running = model, max_running
        self.prefilling: tuple[Handle, ...] = ()
        self._waiting: dict[Handle, Request] = {}
        self._batches: list[_Batch] = []
        self._next_handle = 0

    @property
    def model(self) -> PreTrainedModel:
        """The model that the engine samples from."""
        assert self._model is not None, "call sync with a model first"
        return self._model

    def submit(self, request: Request) -> Handle:
        """See `Engine`."""
        handle, self._next_handle = self._next_handle, self._next_handle + 1
        self._waiting[handle] = request
        return handle

    @torch.no_grad()
    def step(self) -> list[Event]:
        """See `Engine`."""
        self.prefilling = ()
        with _in_evaluation(self.model):
            self._batches = [batch for batch in self._batches if batch.advance()]
            self._admit()
            end_id = cast(Any, self.model.generation_config).eos_token_id
            return [event for batch in self._batches for event in batch.draw(end_id)]

    def cancel(self, handle: Handle) -> None:
        """See `Engine`. The next step frees the memory."""
        self._waiting.pop(handle, None)
        for batch in self._batches:
            batch.cancel(handle)

    def sync(self, weights: PreTrainedModel) -> None:
        """Sample from this model from now on. No request may run, because its KV cache is that of the old weights."""
        assert not any(batch.running for batch in self._batches), (
            "cancel the running requests, or step until they have ended"
        )
        self._model, self._batches = weights, []

    def close(self) -> None:
        """See `Engine`."""
        self._waiting.clear()
        self._batches.clear()

    def _admit(self) -> None:
        """Prefill waiting requests up to `max_running` completions."""
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
                self.prefilling = tuple(chosen)
                fresh = _Batch(self.model, chosen)
                self.prefilling = ()
                if not any(batch.join(fresh) for batch in self._batches):
                    self._batches.append(fresh)
        for handle in admitted:
            del self._waiting[handle]


def _in_evaluation(model: PreTrainedModel) -> AbstractContextManager[None]:
    """Put a training model into eval mode in a `with` block; skipped in eval mode, because switching visits every module."""
    return in_evaluation(model) if model.training else nullcontext()


@dataclass
class _Slot:
    """A completion of a batch: running, or ended and not yet removed."""

    handle: Handle
    index: int
    decoding: Decoding
    written: int = 0
    ended: bool = False


class _Batch:
    """Completions that step together: prefill at construction, then alternately sample (`draw`) and compute logits (`advance`).

    Args:
        model: model in eval mode.
        requests: requests by handle, either all with `cuda_graphs` or none.
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
        self._writer: Writer = CapturedState(model, prompts) if captured else read(model, prompts)
        device = next(model.parameters()).device
        self._uniform = _uniform(seeds, [slot.decoding for slot in self._slots]).to(device)
        self._steps = torch.zeros(len(prompts), dtype=torch.long, device=device)
        self._drawn: Tensor | None = None  # (slots,), sampled tokens whose next logits are not computed yet

    @property
    def running(self) -> int:
        """Number of completions that have not ended."""
        return sum(not slot.ended for slot in self._slots)

    def cancel(self, handle: Handle) -> None:
        """End the completions of a request."""
        for slot in self._slots:
            slot.ended = slot.ended or slot.handle == handle

    def advance(self) -> bool:
        """Compute the logits after the last sampled tokens; returns whether any completion still runs."""
        running = [place for place, slot in enumerate(self._slots) if not slot.ended]
        if not running:
            return False
        if len(running) <= _STILL_RUNNING * len(self._slots):
            rows = torch.tensor(running, device=self._steps.device)
            self._writer.keep(rows)
            self._slots = [self._slots[place] for place in running]
            self._uniform, self._steps = self._uniform[rows], self._steps[rows]
            self._drawn = None if self._drawn is None else self._drawn[rows]
        if self._drawn is not None:
            self._writer.write(self._drawn)
            self._drawn = None
        return True

    def draw(self, end_id: int) -> list[Event]:
        """Sample the next token of each running completion."""
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
        """Append the completions of a batch after its prefill; returns False if the two batches cannot be joined."""
        assert self._drawn is None and other._drawn is None
        if not self._writer.join(other._writer):
            return False
        self._slots += other._slots
        width = max(self._uniform.shape[1], other._uniform.shape[1])
        self._uniform = torch.cat([pad(part, (0, width - part.shape[1])) for part in (self._uniform, other._uniform)])
        self._steps = torch.cat([self._steps, other._steps])
        return True

    def _tokens(self) -> tuple[Tensor, Tensor]:
        """Sample a token for every slot; returns tokens and log-probabilities, both (slots,)."""
        last = self._uniform.shape[1] - 1  # limit for ended slots, whose steps are counted until their removal
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
    """Draw uniform random numbers (completions, steps), float64, each row from a generator with its own seed."""
    rows = torch.zeros(len(seeds), max(decoding.max_new_tokens for decoding in decodings), dtype=torch.float64)
    for row, (seed, decoding) in enumerate(zip(seeds, decodings, strict=True)):
        if not decoding.greedy:
            generator, steps = torch.Generator().manual_seed(seed), decoding.max_new_tokens
            rows[row, :steps] = torch.rand(steps, generator=generator, dtype=torch.float64)
    return rows


def _draw(logits: Tensor, uniform: Tensor, decoding: Decoding) -> tuple[Tensor, Tensor]:
    """Sample a token per row by inversion of the cumulative distribution.

    The cumulative distribution is in the order of the token ids, not of the probabilities: a rounding error of the
    logits then shifts its steps only slightly, whereas in a ranking two tokens could change places.

    Args:
        logits: (rows, vocab).
        uniform: (rows,), random numbers from 0 to 1.
        decoding: sampling settings.

    Returns:
        Tokens (rows,), and their log-probabilities (rows,) before top_k and top_p.
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
    """Return the last token with a probability above 0 in each row, (rows,): the limit of a draw that rounds beyond it."""
    return probabilities.shape[-1] - 1 - (probabilities > 0).flip(-1).int().argmax(dim=-1)


def _restricted(logprobs: Tensor, decoding: Decoding) -> Tensor:
    """Apply top_k and top_p: set the log-probabilities (rows, vocab) of excluded tokens to minus infinity."""
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
    batch_size: int = MAX_RUNNING,
    on_finish: Callable[[], object] = lambda: None,
) -> list[Completion]:
    """Sample one completion per prompt.

    Args:
        source: an engine; or a model, for a `LocalEngine` over it.
        prompts: token ids from `render_prompt`. Consecutive equal prompts are prefilled once.
        seeds: seed of each completion's random stream, one per prompt.
        decoding: sampling settings.
        batch_size: completions per batch.
        on_finish: called after each completion that ends.

    Returns:
        The completions in the order of the prompts.
    """
    engine: Engine = source if isinstance(source, Engine) else LocalEngine(source, max_running=batch_size)
    with (
        _in_evaluation(engine.model) if isinstance(engine, LocalEngine) else nullcontext()
    ):  # once instead of every step
        requests = build_requests(prompts, seeds, decoding, batch_size)
        drawn = run(engine, requests, batch_size=batch_size, on_finish=on_finish)
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
    """Generate a completion of every prompt, until the end token or `max_new_tokens`.

    Args:
        source: an engine; or a model, for a `LocalEngine` over it.
        prompts: token ids from `render_prompt`.
        max_new_tokens: longest completion, in tokens.
        batch_size: prompts per batch; prompts of similar length share a batch.
        temperature: 0 for greedy decoding, above 0 for sampling.
        seed: seed of the sampling; None draws a seed from the global generator.

    Returns:
        The generated ids of each prompt, in the given order: with the end token if there is one, without padding.
    """
    decoding = Decoding(max_new_tokens, temperature) if temperature else Decoding(max_new_tokens, greedy=True)
    # Greedy decoding draws no seeds, so that evaluations do not change a run's random state.
    seeds = draw_seeds(len(prompts), seed) if temperature else [0] * len(prompts)
    return [completion.ids for completion in complete(source, prompts, seeds, decoding, batch_size=batch_size)]


def draw_seeds(count: int, seed: int | None) -> list[int]:
    """Return seeds of completions, from a generator with this seed; None for the global generator."""
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    drawn: list[int] = torch.randint(2**62, (count,), generator=generator).tolist()
    return drawn


def complete(
    source: PreTrainedModel | Engine,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    decoding: Decoding,
    *,
    batch_size: int = 64,
) -> list[Completion]:
    """Sample one completion per prompt as `sample` does, with a progress bar; prompts of similar length share a batch."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    ordered_prompts = [prompts[i] for i in order]
    ordered_seeds = [seeds[i] for i in order]
    with counting("generating answers", len(prompts), "answers") as finished:
        drawn = sample(
            source, ordered_prompts, ordered_seeds, decoding, batch_size=batch_size, on_finish=finished.advance
        )
    completions: list[Completion] = [Completion() for _ in prompts]
    for place, completion in zip(order, drawn, strict=True):
        completions[place] = completion
    return completions
