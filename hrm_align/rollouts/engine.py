"""Sampling engine: the protocol that training, evaluation, pass@k, guards, export and serving use to draw completions.

    engine.submit(Request(prompt_ids, seeds=(1, 2), decoding=Decoding(64)))  # two completions of one prompt
    while events := engine.step():
        for event in events:
            print(event.handle, event.index, event.token, event.logprob, event.finish)

An engine accepts requests at any time, and each step adds one token to every running completion, so that requests can
be added or cancelled while others run. `run` is a helper for callers that know all their requests beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from hrm_align.errors import UserError

MAX_RUNNING = 256  # default number of completions that run in one batch

Handle = int
Finish = Literal["stop", "length"]  # the end token, or `max_new_tokens`


@dataclass(frozen=True)
class Decoding:
    """Sampling settings of a completion.

    Args:
        max_new_tokens: longest completion, in tokens.
        temperature: divisor of the logits, above 0.
        top_k: sample from this many most probable tokens; 0 for all.
        top_p: sample from the most probable tokens that together have this probability; 1 for all.
        greedy: always choose the most probable token, whatever the seed.
        cuda_graphs: capture the decoding step as a CUDA graph (`rollouts.graphs`); on a CPU the same step runs
            uncaptured.

    Raises:
        UserError: for a value out of range.
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
                f"invalid value for temperature: {self.temperature}. Use a number above 0; 1 keeps the model's distribution."
            )
        if not 0 < self.top_p <= 1 or self.top_k < 0 or self.max_new_tokens < 1:
            raise UserError(
                f"invalid value for top_p ({self.top_p}), top_k ({self.top_k}) or max_new_tokens ({self.max_new_tokens}). Use "
                "top_p above 0 and at most 1, top_k 0 or more, and max_new_tokens 1 or more."
            )


@dataclass
class Completion:
    """One sampled completion.

    Args:
        ids: token ids, the end token included if there is one.
        logprobs: log-probabilities of the tokens in nats, at the temperature, before top_k and top_p.
        finish: reason of the end; None while the completion runs, and after a cancellation.
    """

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: Finish | None = None


@dataclass(frozen=True)
class Request:
    """A prompt to complete once per seed. The prompt is prefilled once.

    Args:
        prompt_ids: token ids from `render_prompt`.
        seeds: seed of each completion's random stream; one completion is drawn per seed.
        decoding: sampling settings.

    Raises:
        UserError: for an empty prompt or no seed.
    """

    prompt_ids: Sequence[int]
    seeds: Sequence[int]
    decoding: Decoding

    def __post_init__(self) -> None:
        if not self.prompt_ids or not self.seeds:
            raise UserError(
                f"invalid request with {len(self.prompt_ids)} prompt tokens and {len(self.seeds)} seeds. Use at least one of each."
            )


@dataclass(frozen=True)
class Event:
    """A new token of a completion.

    Args:
        handle: handle of the request.
        index: number of the completion in the request.
        token: id of the new token.
        logprob: log-probability of the token, see `Completion`.
        finish: reason if the completion ends with this token; None if it continues.
    """

    handle: Handle
    index: int
    token: int
    logprob: float
    finish: Finish | None


@runtime_checkable
class Engine(Protocol):
    """Protocol of sampling engines.

    `hrm_align.rollouts.local.LocalEngine` samples from a model of this process, `hrm_align.rollouts.http_engine.HttpEngine` from a
    server.
    """

    def submit(self, request: Request) -> Handle:
        """Queue a request; `step` starts the request as soon as there is room."""

    def step(self) -> list[Event]:
        """Add one token to every running completion; returns an empty list if no request runs or waits.

        An engine behind a server returns the tokens of a completion together, when it has ended.
        """

    def cancel(self, handle: Handle) -> None:
        """End all completions of a request, which then has no further events. Unknown and finished handles are ignored."""

    def sync(self, weights: Any) -> None:
        """Use new weights for sampling: a model, or for a server also a checkpoint folder."""

    def close(self) -> None:
        """Cancel all requests and free the engine's memory. A second call does nothing."""


def run(
    engine: Engine,
    requests: Sequence[Request],
    *,
    batch_size: int = MAX_RUNNING,
    on_finish: Callable[[], object] = lambda: None,
) -> list[list[Completion]]:
    """Draw all completions of requests.

    Batches are filled in the order of the requests, so requests of similar length should be next to each other. After
    any exception, Ctrl-C included, the running requests are cancelled.

    Args:
        engine: engine to use; no other caller may step it meanwhile.
        requests: requests to complete.
        batch_size: completions per batch; a request with more completions runs alone.
        on_finish: called after each completion that ends.

    Returns:
        For each request its completions, in the order of its seeds.
    """
    drawn: list[list[Completion]] = []
    for request in requests:
        drawn.append([Completion() for _ in request.seeds])
    for batch in _batches(requests, batch_size):
        places = {engine.submit(requests[place]): place for place in batch}
        try:
            while events := engine.step():
                for event in events:
                    completion = drawn[places[event.handle]][event.index]
                    completion.ids.append(event.token)
                    completion.logprobs.append(event.logprob)
                    completion.finish = event.finish
                    if event.finish is not None:
                        on_finish()
        except BaseException:
            for handle in places:
                engine.cancel(handle)
            raise
    return drawn


def _batches(requests: Sequence[Request], batch_size: int) -> list[list[int]]:
    """Split the requests into batches of at most `batch_size` completions; returns the indices of each batch's requests."""
    batches: list[list[int]] = []
    running = 0
    for place, request in enumerate(requests):
        if not batches or running + len(request.seeds) > batch_size:
            batches.append([])
            running = 0
        batches[-1].append(place)
        running += len(request.seeds)
    return batches


def build_requests(
    prompts: Sequence[Sequence[int]], seeds: Sequence[int], decoding: Decoding, most: int = MAX_RUNNING
) -> list[Request]:
    """Build requests from prompts: consecutive equal prompts, such as those of a group, become one request.

    Args:
        prompts: token ids, one entry per completion.
        seeds: one seed per completion.
        decoding: sampling settings of all completions.
        most: largest number of completions in a request.
    """
    requests: list[Request] = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        last = requests[-1] if requests else None
        if last is not None and len(last.seeds) < most and list(last.prompt_ids) == list(prompt):
            requests[-1] = Request(prompt, (*last.seeds, seed), decoding)
        else:
            requests.append(Request(prompt, (seed,), decoding))
    return requests
