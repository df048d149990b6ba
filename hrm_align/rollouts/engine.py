"""Engine: the protocol behind every place that samples, be it training, evaluation, pass@k, guards, export or serving.

    engine.submit(Request(prompt_ids, seeds=(1, 2), decoding=Decoding(64)))  # two completions of one prompt
    while events := engine.step():
        for event in events:
            print(event.handle, event.index, event.token, event.logprob, event.finish)

An engine takes requests at any time and gives each running completion one more token at each step, so that a request may be
added or cancelled while others run. `run` is the helper for callers that know all their requests beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from hrm_align.errors import UserError

SIDE_BY_SIDE = 256  # completions that run together

Handle = int
Finish = Literal["stop", "length"]  # the end token, or `max_new_tokens`


@dataclass(frozen=True)
class Decoding:
    """How a completion is drawn.

    Args:
        max_new_tokens: the longest completion, in tokens.
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
                "most 1, top_k 0 or more, and a completion has at least one token."
            )


@dataclass
class Completion:
    """One sampled completion.

    Args:
        ids: its tokens, the end token included where there is one.
        logprobs: natural logarithms of their probabilities at the temperature, before top_k and top_p.
        finish: why it ended; None while it runs, and for one that was cancelled.
    """

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: Finish | None = None


@dataclass(frozen=True)
class Request:
    """A prompt to complete, once for each seed. The prompt is prefilled once.

    Args:
        prompt_ids: token ids from `render_prompt`.
        seeds: of the random stream of each completion; their number is how many are drawn.
        decoding: how to draw.
    """

    prompt_ids: Sequence[int]
    seeds: Sequence[int]
    decoding: Decoding


@dataclass(frozen=True)
class Event:
    """A new token of a completion.

    Args:
        handle: of the request.
        index: which of its completions.
        token: the new token's id.
        logprob: its natural logarithm, see `Completion`.
        finish: why the completion ends with this token; None if it goes on.
    """

    handle: Handle
    index: int
    token: int
    logprob: float
    finish: Finish | None


@runtime_checkable
class Engine(Protocol):
    """Draws completions. `hrm_align.rollouts.local.LocalEngine` is the one that runs the trainer's own model."""

    def submit(self, request: Request) -> Handle:
        """Queue a request; `step` begins it as soon as there is room.

        Raises:
            UserError: for a request that can never run.
        """

    def step(self) -> list[Event]:
        """One more token of every running completion; empty once nothing runs and nothing waits."""

    def cancel(self, handle: Handle) -> None:
        """End all completions of a request: no further event names it. An unknown or finished handle is ignored."""

    def sync(self, weights: Any) -> None:
        """Sample from these weights from now on: a model for a local engine, a checkpoint folder for a server."""

    def close(self) -> None:
        """Cancel everything and free what the engine holds. It may be called twice."""


def run(engine: Engine, requests: Sequence[Request], *, batch_size: int = SIDE_BY_SIDE) -> list[list[Completion]]:
    """Draw all completions of requests.

    Batches are filled in the order of the requests, so that requests of like length should stand together. Should anything
    raise, Ctrl-C included, what is under way is cancelled.

    Args:
        engine: that draws; nobody else may step it meanwhile.
        requests: what to complete.
        batch_size: completions that run together; a request of more runs alone.

    Returns:
        For each request its completions, in the order of its seeds.
    """
    drawn = [[Completion() for _ in request.seeds] for request in requests]
    for batch in _batches(requests, batch_size):
        places = {engine.submit(requests[place]): place for place in batch}
        try:
            while events := engine.step():
                for event in events:
                    completion = drawn[places[event.handle]][event.index]
                    completion.ids.append(event.token)
                    completion.logprobs.append(event.logprob)
                    completion.finish = event.finish
        except BaseException:
            for handle in places:
                engine.cancel(handle)
            raise
    return drawn


def _batches(requests: Sequence[Request], batch_size: int) -> list[list[int]]:
    """Places of requests whose completions run together."""
    batches: list[list[int]] = []
    running = 0
    for place, request in enumerate(requests):
        if not batches or running + len(request.seeds) > batch_size:
            batches.append([])
            running = 0
        batches[-1].append(place)
        running += len(request.seeds)
    return batches


def requests_of(
    prompts: Sequence[Sequence[int]], seeds: Sequence[int], decoding: Decoding, most: int = SIDE_BY_SIDE
) -> list[Request]:
    """Requests for given prompts: equal ones next to each other, as a group's are, become one.

    Args:
        prompts: token ids, one entry a completion.
        seeds: one a completion.
        decoding: of all of them.
        most: completions of a request.
    """
    requests: list[Request] = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        last = requests[-1] if requests else None
        if last is not None and len(last.seeds) < most and list(last.prompt_ids) == list(prompt):
            requests[-1] = Request(prompt, (*last.seeds, seed), decoding)
        else:
            requests.append(Request(prompt, (seed,), decoding))
    return requests
