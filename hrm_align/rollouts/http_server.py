"""A server of vLLM's protocol: completions of token ids, the limits and counters that the server states, and new weights.

    POST /v1/completions   {"prompt": [6, 8, 63, 7], "seed": 1, "logprobs": 1, "return_token_ids": true, ...}
                           -> {"choices": [{"token_ids": [70, 11], "logprobs": {"token_logprobs": [-0.1, -0.2]}}]}
    GET  /metrics          vllm:num_preemptions_total, vllm:cache_config_info
    GET  /server_info      the settings of the server; with VLLM_SERVER_DEV_MODE=1 only, like the next
    POST /collective_rpc   {"method": "reload_weights", "kwargs": {"weights_path": "..."}}

Read in vLLM 0.32. Other OpenAI-compatible servers know the first of these.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import threading
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hrm_align.rewards.judge_client import Client, Names, Unanswered, checked_url
from hrm_align.rollouts.engine import MAX_RUNNING, Completion, Decoding

T = TypeVar("T")

ANSWER_SECONDS = 1800.0  # limit for one completion, which waits for its turn on the server
PAGE_SECONDS = 60.0  # limit for a page of the server
RELOAD_SECONDS = 600.0  # limit for reading weights
RETRIES = 3
ANSWER_BYTES = 2**20  # of an answer, besides its tokens
TOKEN_BYTES = 512  # of one token with its log-probabilities in an answer
PREEMPTIONS = re.compile(r"^vllm:num_preemptions(?:_total)?(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
KV_TOKENS = re.compile(r'^vllm:cache_config_info\{.*\bkv_cache_size_tokens="(\d+)"', re.MULTILINE)


@dataclass(frozen=True)
class Limits:
    """What a server states about itself; None for what it does not state.

    Args:
        budget: most tokens of one step (`max_num_batched_tokens`). A longer prompt is never started by vLLM, and no request behind
            it either.
        context: longest prompt and completion together, in tokens.
        dtype: dtype of the weights, such as `float32`.
        requests: most requests that run at the same time (`max_num_seqs`).
        logprobs_mode: `raw_logprobs` (before the temperature) or `processed_logprobs` (after temperature, top_k and top_p).
        is_open: whether the server runs with VLLM_SERVER_DEV_MODE=1, so that it accepts new weights.
    """

    budget: int | None = None
    context: int | None = None
    dtype: str | None = None
    logprobs_mode: str | None = None
    requests: int | None = None
    is_open: bool = False

    @property
    def too_small(self) -> bool:
        """Whether a prompt may have more tokens than a step of the server."""
        return self.budget is not None and self.context is not None and self.budget < self.context


class HttpServer:
    """Requests to one server, each call in an event loop of its own thread.

    Args:
        url: address of the server, with or without `/v1`.
        names: how messages name the server and its settings.
        key, key_name: API key, and the environment variable that holds it; blank for none.
        model: name of the model on the server; blank for the first that the server lists.

    Raises:
        UserError: for an invalid address.
    """

    def __init__(self, url: str, names: Names, key: str = "", key_name: str = "", model: str = ""):
        self.url = checked_url(url, names).removesuffix("/v1")
        self.model, self._names, self._key, self._key_name = model, names, key, key_name

    def client(self, tokens: int = 0, seconds: float = ANSWER_SECONDS, retries: int = RETRIES) -> Client:
        """Return a client, to be used in one event loop, for answers of so many tokens."""
        size = ANSWER_BYTES + tokens * TOKEN_BYTES
        return Client(
            self.url, self._key, self._key_name, self.model, seconds, retries, Counter(), self._names, body_bytes=size
        )

    async def complete(
        self, client: Client, prompt_ids: Sequence[int], seed: int, decoding: Decoding, end_id: int | None
    ) -> Completion:
        """Request one completion, without `end_id` of full length. Raises Unanswered without an answer of ids and log-probabilities."""
        body = {
            "model": self.model,
            "prompt": [*prompt_ids],
            "max_tokens": decoding.max_new_tokens,
            "seed": seed,
            "temperature": 0.0 if decoding.greedy else decoding.temperature,
            "top_k": decoding.top_k,
            "top_p": decoding.top_p,
            # A server takes what is not given from the checkpoint's generation_config.json.
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "ignore_eos": True,  # the end token ends a completion, as in the local engine, and nothing else
            "stop_token_ids": [] if end_id is None else [end_id],
            "skip_special_tokens": False,
            "logprobs": 1,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
        }

        def read(answer: Any) -> Completion:
            choice = answer["choices"][0]
            return _read_completion(choice, prompt_ids, end_id)

        return await client.request("/v1/completions", body, math.inf, read)

    def complete_all(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        decoding: Decoding,
        end_id: int | None,
        seconds: float = ANSWER_SECONDS,
        at_once: int = MAX_RUNNING,
    ) -> list[Completion]:
        """Request one completion of every prompt once, `at_once` at the same time. Raises Unanswered for the first without an answer."""

        async def ask_all() -> list[Completion]:
            slots = asyncio.Semaphore(at_once)

            async def ask(prompt: Sequence[int], seed: int) -> Completion:
                async with slots:
                    return await self.complete(client, prompt, seed, decoding, end_id)

            async with self.client(decoding.max_new_tokens, seconds, retries=0) as client:
                return await gather(ask(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True))

        return call(ask_all())

    def page(self, path: str, seconds: float = PAGE_SECONDS) -> str | None:
        """Return a page of the server; None if there is none under this path. Raises Unanswered without an answer."""

        async def get() -> tuple[int, str]:
            async with self.client(tokens=2**12, seconds=seconds) as client:
                return await client.get(path)

        status, text = call(get())
        return text if status == 200 else None

    def models(self) -> dict[str, dict[str, Any]]:
        """Return the models that the server lists, with what it states of each; empty if it has no list."""
        try:
            listed = json.loads(self.page("/v1/models") or "{}")["data"]
            return {str(model["id"]): dict(model) for model in listed}
        except (ValueError, LookupError, TypeError, AttributeError):
            return {}

    def limits(self) -> Limits:
        """Return what the server states about itself; little without VLLM_SERVER_DEV_MODE=1."""
        text, models = self.page("/server_info?config_format=json"), self.models()
        stated = models.get(self.model, next(iter(models.values()), {}))
        context, dtype = stated.get("max_model_len"), stated.get("dtype")  # the dtype is stated by `hrm-align serve`
        try:
            config = json.loads(text or "{}")["vllm_config"]
            scheduler, model = config["scheduler_config"], config["model_config"]
            budget, context = int(scheduler["max_num_batched_tokens"]), int(model["max_model_len"])
            dtype, mode = str(model["dtype"]).removeprefix("torch."), str(model["logprobs_mode"])
            return Limits(budget, context, dtype, mode, int(scheduler["max_num_seqs"]), is_open=True)
        except (ValueError, LookupError, TypeError):
            return Limits(context=context, dtype=dtype, is_open=text is not None)

    def preemptions(self) -> int | None:
        """Return how many requests the server has pre-empted since its start; None if it does not count them."""
        values = PREEMPTIONS.findall(self.page("/metrics") or "")
        return round(sum(map(float, values))) if values else None

    def kv_tokens(self) -> int | None:
        """Return how many tokens the server's KV cache holds; None if it does not state it."""
        stated = KV_TOKENS.search(self.page("/metrics") or "")
        return int(stated[1]) if stated else None

    def reload(self, folder: Path) -> None:
        """Let the server read the weights of a checkpoint folder. Raises Unanswered if it does not."""
        body = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}

        async def post() -> None:
            async with self.client(seconds=RELOAD_SECONDS, retries=0) as client:
                await client.request("/collective_rpc", body, math.inf, lambda answer: answer["results"])

        call(post())


def _read_completion(choice: Any, prompt_ids: Sequence[int], end_id: int | None) -> Completion:
    """Return the completion in a choice. Raises ValueError, or an error of a lookup, for an answer to other tokens or without ids."""
    logprobs = [float(value) for value in choice["logprobs"]["token_logprobs"]]
    ids = choice.get("token_ids")
    if ids is None:
        ids = [int(name.removeprefix("token_id:")) for name in choice["logprobs"]["tokens"]]
    read = choice.get("prompt_token_ids")
    if not ids or len(ids) != len(logprobs) or (read is not None and read != [*prompt_ids]):
        raise ValueError(ids)
    return Completion([int(token) for token in ids], logprobs, "stop" if ids[-1] == end_id else "length")


class LoopThread:
    """An event loop in a thread of its own, so that a signal interrupts the caller that waits, and never a request within its step."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="requests", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine; its result, or what it raises, comes from the future."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel what still runs, wait until it has ended, and end the thread."""

        async def end_all() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.start(end_all()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def gather(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines at the same time, and return their results in order; after a failure, cancel those that still run."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def call(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread of its own, and wait for its end."""
    loop = LoopThread()
    try:
        return loop.start(work).result()
    finally:
        loop.close()


def lengthened(prompt_ids: Sequence[int], length: int) -> list[int]:
    """Return a prompt of so many tokens: the text of this one, repeated; its first two tokens and its last stay where they are."""
    begin, text, end = prompt_ids[:2], prompt_ids[2:-1], prompt_ids[-1:]
    missing = length - len(begin) - len(end)
    return [*begin, *(text[place % len(text)] for place in range(missing)), *end]


def find_budget_fault(
    server: HttpServer, limits: Limits, prompt_ids: Sequence[int], context: int, end_id: int, seconds: float
) -> str:
    """Return what is wrong with a server at a prompt of full length; blank if nothing is.

    Where the server states its budget, that is compared. Otherwise a prompt of full length is sent, which a server with a small budget
    never answers.

    Args:
        server: the server.
        limits: what the server states.
        prompt_ids: a prompt, whose text is repeated.
        context: longest prompt and completion together, in tokens, of a server that states none.
        end_id: id of the end token.
        seconds: limit for the answer.
    """
    context = context if limits.context is None else limits.context
    if limits.budget is not None:
        return limits.too_small * (
            f"a step of the server has at most {limits.budget} tokens, and its prompts up to {context}: a longer prompt stops the "
            "server for every request"
        )
    try:
        prompt = lengthened(prompt_ids, context - 1)
        server.complete_all([prompt], [0], Decoding(1, greedy=True), end_id, seconds)
    except Unanswered as failure:
        return f"a prompt of {context - 1} tokens has no answer ({failure.detail})"
    return ""
