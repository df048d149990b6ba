"""Reward from a model that judges answers by a rubric, behind an OpenAI-compatible server.

The judge runs in a worker process of its own and gets all completions of a call together, asks the server about many of
them at once, and has a deadline of its own. What is not judged in time, or has no verdict, is not graded: None, and never
0. See `judge_prompt` for what the judge reads and for what counts as its verdict.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hrm_align.errors import UserError
from hrm_align.rewards.base import BatchGrades, Row, check_flag, check_number, option
from hrm_align.rewards.judge_cache import JudgeCache
from hrm_align.rewards.judge_client import JudgeClient, Unanswered, check_key_name, checked_url, read_key
from hrm_align.rewards.judge_prompt import VERSION, build_messages, read_verdict, verdict_schema

VERDICT_TRIES = 2  # requests for a verdict, if the reply is none
CLOSING_SECONDS = 5.0  # time for the worker to hand over its results after the deadline


@dataclass
class Judge:
    """The score of a model that judges the answer by a rubric, divided by the scale: 0 to 1. The model is behind an OpenAI-compatible URL (vLLM, llama.cpp, a service). None if the judge gives no verdict in time."""

    url: str = option("", "address of the server up to /v1, such as http://localhost:8000/v1")
    model: str = option("", "name of the model on the server")
    rubric: str = option("", "what to grade by: a text, or a file that ends with .md or .txt")
    scale: float = option(10, "best score; the worst is 0")
    explain: bool = option(False, "let the judge write a sentence before its score; better grades, more tokens")
    api_key_env: str = option("", "environment variable that holds the API key; unset to send no key")
    concurrency: int = option(16, "requests at the same time")
    timeout: float = option(60.0, "seconds for one request")
    deadline: float = option(120.0, "seconds for all completions of a call, in place of `reward_deadline`")
    retries: int = option(4, "how often a request is repeated after 429, 5xx or a lost connection")
    max_tokens: int = option(512, "longest reply of the judge in tokens, its thoughts included")
    price_in: float = option(0.0, "price of a million prompt tokens, for the metric `cost`")
    price_out: float = option(0.0, "price of a million tokens of replies")
    budget_tokens: int | None = option(
        None, "tokens after which the judge is not asked any more; prompt and reply count"
    )
    budget_cost: float | None = option(None, "cost after which the judge is not asked any more; requires the prices")
    cache: str = option("", "folder of the cache of verdicts; unset for the folder of the run")
    min_right: float = option(0.8, "share of pairs that the judge must put in the right order in the preflight")

    def __post_init__(self) -> None:
        self._check_server()
        self._rubric = self._read_rubric()
        for name in ("scale", "timeout", "deadline"):
            if check_number(getattr(self, name), name) == 0:
                raise UserError(f"invalid value for {name}: 0. Use a number above 0.")
        for name in ("price_in", "price_out"):
            check_number(getattr(self, name), name)
        for name, least in (("concurrency", 1), ("max_tokens", 1), ("retries", 0), ("budget_tokens", 1)):
            value = getattr(self, name)
            if value is None and name == "budget_tokens":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UserError(f"invalid value for {name}: {value!r}. Use an integer that is {least} or more.")
        check_flag(self.explain, "explain")
        if check_number(self.min_right, "min_right") > 1:
            raise UserError(f"invalid value for min_right: {self.min_right}. Use a share from 0 to 1.")
        if self.budget_cost is not None:
            check_number(self.budget_cost, "budget_cost")
            if not self.price_in and not self.price_out:
                raise UserError(
                    "budget_cost needs the prices of tokens. Set price_in and price_out, or use budget_tokens."
                )
        if not isinstance(self.cache, str):
            raise UserError(f"invalid value for cache: {self.cache!r}. Use a folder.")
        self._cache: JudgeCache | None = None
        self._key, self._formatted = "", True

    @property
    def batch_seconds(self) -> float:
        """Time limit in seconds for a call of `grade_batch`."""
        return self.deadline + CLOSING_SECONDS

    def prepare(self, folder: str | None = None) -> str | None:
        """Read the key, open the cache, and check that the server answers and has the model.

        Args:
            folder: folder of the run, for the cache; None for a cache in memory.

        Raises:
            UserError: if the variable of the key is not set, the cache is damaged, or the server is not ready.
        """
        if self.api_key_env:
            self._key = read_key(self.api_key_env)
        self._cache = JudgeCache(self.cache or folder)
        _run(self._check_connection())
        return None

    def grade(self, completion: str, row: Row) -> float | None:
        """Return the value of one completion. `grade_batch` grades many at once."""
        return self.grade_batch([{**vars(row), "completion": completion}]).values[0]

    def extract_answer(self, completion: str) -> str | None:
        """Return None: the judge reads the whole completion."""
        return None

    def grade_batch(self, rows: Sequence[Mapping[str, Any]]) -> BatchGrades:
        """Ask the judge about completions, each different one once.

        Args:
            rows: `completion`, `messages` and `reference` of each completion.

        Returns:
            Values, failures and counts: `requests`, `cached` (completions whose verdict was known), `retries`,
            `failures`, `prompt_tokens`, `completion_tokens`, and with prices `cost`.
        """
        return _run(self._grade_all(rows))

    async def _check_connection(self) -> None:
        async with self._connect(Counter()) as client:
            await client.check()

    def _connect(self, counts: Counter[str]) -> JudgeClient:
        def count_tokens(prompt: int, completion: int) -> None:
            counts.update({"prompt_tokens": prompt, "completion_tokens": completion})
            if self._cache is not None:
                self._cache.add_tokens(self._name, prompt, completion)

        name = self.api_key_env
        return JudgeClient(
            self.url, self._key, name, self.model, self.timeout, self.retries, counts, count_tokens=count_tokens
        )

    async def _grade_all(self, rows: Sequence[Mapping[str, Any]]) -> BatchGrades:
        if self._cache is None:
            self._cache = JudgeCache(self.cache or None)
        deadline, counts = time.monotonic() + self.deadline, Counter[str]()
        bodies = [self._build_body(row) for row in rows]
        keys = [sha256(json.dumps([VERSION, self.url, self.scale, body]).encode()).hexdigest() for body in bodies]
        scores = {key: score for key in {*keys} if (score := self._cache.get(key)) is not None}
        missing = {key: body for key, body in zip(keys, bodies, strict=True) if key not in scores}
        counts["cached"] = len(rows) - len(missing)
        failures: dict[str, Unanswered] = {}
        if missing:
            async with self._connect(counts) as client:
                await self._ask_all(client, missing, deadline, counts, scores, failures)
        self._cache.flush()
        for key in missing.keys() & scores.keys():  # another process may have stored another verdict before
            stored = self._cache.get(key)
            scores[key] = scores[key] if stored is None else stored
        faults = {row: (failures[key].kind, failures[key].detail) for row, key in enumerate(keys) if key in failures}
        if self._cache.failure:
            faults[-1] = ("raised", f"the cache of verdicts fails, and verdicts stay in memory: {self._cache.failure}")
            self._cache.failure = ""
        values = [scores[key] / self.scale if key in scores else None for key in keys]
        return BatchGrades(values, faults, self._summarize(counts, len(faults)))

    async def _ask_all(
        self,
        client: JudgeClient,
        missing: Mapping[str, dict[str, Any]],
        deadline: float,
        counts: Counter[str],
        scores: dict[str, float],
        failures: dict[str, Unanswered],
    ) -> None:
        """Ask about all requests in `missing`, and add to `scores` or `failures` by their keys."""
        slots, end = asyncio.Semaphore(self.concurrency), list[Unanswered]()

        async def ask(key: str, body: dict[str, Any]) -> None:
            async with slots:
                try:
                    if end:
                        raise end[0]
                    scores[key] = await self._ask(client, key, body, deadline, counts)
                except Unanswered as failure:
                    failures[key] = failure
                    if failure.is_final:
                        end.append(failure)

        tasks = {asyncio.create_task(ask(key, body)): key for key, body in missing.items()}
        done, late = await asyncio.wait(tasks, timeout=deadline - time.monotonic())
        for task in late:
            task.cancel()
            failures[tasks[task]] = Unanswered(
                "timeout", f"no verdict within the judge's deadline of {self.deadline:g} s"
            )
        await asyncio.gather(*late, return_exceptions=True)
        for task in done:
            task.result()  # raises what is no `Unanswered`

    async def _ask(
        self, client: JudgeClient, key: str, body: dict[str, Any], deadline: float, counts: Counter[str]
    ) -> float:
        """Return the score of one request, from 0 to `scale`. Raises Unanswered without a verdict."""
        assert self._cache is not None
        for attempt in range(VERDICT_TRIES):
            if (spent := self._describe_spent()) is not None:
                raise Unanswered("over_budget", spent, is_final=True)
            counts["retries"] += attempt > 0
            structured = {"response_format": verdict_schema(self.scale, self.explain)} if self._formatted else {}
            reply, accepted = await client.complete({**body, **structured}, deadline)
            self._formatted = self._formatted and accepted
            score = read_verdict(reply, self.scale)
            if score is not None:
                self._cache.add(key, score)
                return score
        raise Unanswered("no_verdict", f"the judge replied {reply[:80]!a} instead of a score from 0 to {self.scale:g}")

    def _build_body(self, row: Mapping[str, Any]) -> dict[str, Any]:
        messages = build_messages(
            self._rubric, self.scale, self.explain, row["messages"], row["reference"], row["completion"]
        )
        return {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": self.max_tokens}

    def _describe_spent(self) -> str | None:
        """Return a sentence that the budget is spent, or None."""
        assert self._cache is not None
        prompt, completion = self._cache.count_tokens(self._name)
        if self.budget_tokens is not None and prompt + completion >= self.budget_tokens:
            return f"{prompt + completion:,} tokens are used, and budget_tokens is {self.budget_tokens:,}"
        if self.budget_cost is not None and self._cost(prompt, completion) >= self.budget_cost:
            return f"the cost is {self._cost(prompt, completion):.4g}, and budget_cost is {self.budget_cost:g}"
        return None

    def _cost(self, prompt: float, completion: float) -> float:
        return (prompt * self.price_in + completion * self.price_out) / 1e6

    @property
    def _name(self) -> str:
        return f"{self.model} at {self.url}"

    def _summarize(self, counts: Counter[str], failures: int) -> dict[str, float]:
        names = ("requests", "cached", "retries", "prompt_tokens", "completion_tokens")
        usage: dict[str, float] = {**dict.fromkeys(names, 0.0), **counts, "failures": failures}
        if self.price_in or self.price_out:
            usage["cost"] = self._cost(counts["prompt_tokens"], counts["completion_tokens"])
        return usage

    def _check_server(self) -> None:
        """Check `url`, `model` and `api_key_env`. A message never repeats a value that may hold a key."""
        for name in ("url", "model", "rubric", "api_key_env"):
            if not isinstance(getattr(self, name), str):
                raise UserError(f"invalid value for {name}. Use a text.")
        if not self.url or not self.model or not self.rubric.strip():
            missing = next(name for name in ("url", "model", "rubric") if not getattr(self, name).strip())
            raise UserError(
                f"{missing} is missing. Set url, model and rubric, as in {{name: judge, url: http://localhost:8000/v1, "
                "model: my-judge, rubric: rubric.md}."
            )
        self.url = checked_url(self.url)
        if self.api_key_env:
            check_key_name(self.api_key_env)

    def _read_rubric(self) -> str:
        """Return the rubric, from its file if `rubric` is the name of one."""
        if not self.rubric.endswith((".md", ".txt")) or "\n" in self.rubric:
            return self.rubric
        try:
            text = Path(self.rubric).expanduser().read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise UserError(
                f"invalid value for rubric: the file {self.rubric} cannot be read ({reason}). Name an existing text file, or "
                "write the rubric as text that does not end with .md or .txt."
            ) from None
        if not text.strip():
            raise UserError(
                f"invalid value for rubric: the file {self.rubric} is empty. Write what the judge grades by."
            )
        return text


def _run(coroutine: Any) -> Any:
    """Run a coroutine to its end. Unlike `asyncio.run`, do not wait for threads that still look up addresses."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()
