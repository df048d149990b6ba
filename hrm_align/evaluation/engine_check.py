"""Compare an engine behind an OpenAI-compatible address with the model that it serves.

    report = check_engine(HttpServer(url, NAMES), model, prompts, Settings())
    report.verdict  # "right: ..." or "wrong: ... Start it with --max-num-batched-tokens 4096"

Three checks: greedy answers and their log-probabilities; a prompt of full length, which some engines never answer; and a burst of
requests that do not fit into the engine's memory together, after which vLLM reads answers as part of their prompts. The model
computes in float32. An engine in float32 is judged by the largest difference of a token, one in half precision by the mean.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from hrm_align.errors import UserError
from hrm_align.models.prefix_mask import causal_prompt
from hrm_align.models.rounding import FACTOR, cost_of_rounding, in_evaluation, measure_floor, tie_margin
from hrm_align.rendering import Document
from hrm_align.rewards.judge_client import Unanswered
from hrm_align.rollouts.engine import Completion, Decoding
from hrm_align.rollouts.http_server import HttpServer, lengthened
from hrm_align.rollouts.local import generate
from hrm_align.rollouts.logprobs import response_logprobs
from hrm_align.rollouts.parity import FLOAT32_LEAST, HALF_FACTOR, HALF_LEAST

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
LAST_TOKENS = 32  # of the answer to the prompt of full length
AT_ONCE, BURST_MOST = 4, 256  # requests at the same time: of the first check, and in a burst


@dataclass(frozen=True)
class Settings:
    """How to check an engine.

    Args:
        max_new_tokens: longest greedy answer, in tokens.
        seconds: limit for an answer.
        dtype: dtype that the engine computes in; None for what it states, or float32.
        burst: requests of the burst; None to derive their number from the engine's memory, 0 for no burst.
    """

    max_new_tokens: int = 64
    seconds: float = 120.0
    dtype: str | None = None
    burst: int | None = None


@dataclass(frozen=True)
class Fault:
    """What is wrong with an engine, and the flag of vLLM that corrects it; blank if none does."""

    check: str
    what: str
    flag: str = ""


@dataclass
class EngineReport:
    """Result of the checks.

    Args:
        faults: what is wrong.
        answers, full_length, burst: figures of each check.
    """

    faults: list[Fault] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    full_length: dict[str, Any] = field(default_factory=dict)
    burst: dict[str, Any] = field(default_factory=dict)

    @property
    def flags(self) -> list[str]:
        """Flags to start the engine with."""
        return [*dict.fromkeys(fault.flag for fault in self.faults if fault.flag)]

    @property
    def verdict(self) -> str:
        """The result in one line."""
        if self.faults:
            remedy = f". Start it with {' '.join(self.flags)}" if self.flags else ""
            return f"wrong: {'; '.join(fault.what for fault in self.faults)}{remedy}"
        own = self.answers
        tied = f" ({own['ties']} differ by a tie)" if own["ties"] else ""
        parts = [
            f"{own['equal']} of {own['n']} answers equal{tied}",
            f"log-probabilities within {own['largest']:.1e} nats",
            f"a prompt of {self.full_length['tokens']} tokens answered in {self.full_length['seconds']:.1f} s",
            self.burst["says"],
        ]
        return f"right: {', '.join(parts)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as an object for JSON."""
        faults = [vars(fault) for fault in self.faults]
        checks = {"answers": self.answers, "full_length": self.full_length, "burst": self.burst}
        return {"right": not faults, "verdict": self.verdict, "flags": self.flags, "faults": faults, **checks}


def check_engine(server: HttpServer, model: Any, prompts: Sequence[Sequence[int]], settings: Settings) -> EngineReport:
    """Check an engine.

    Args:
        server: the engine.
        model: the served model, in float32.
        prompts: prompts for the greedy answers, as token ids.
        settings: how to check.

    Raises:
        UserError: if the server does not answer, or returns no token ids and log-probabilities.
    """
    return _Check(server, model, prompts, settings).run()


class _Check:
    def __init__(self, server: HttpServer, model: Any, prompts: Sequence[Sequence[int]], settings: Settings):
        self._server, self._model, self._prompts, self._settings = server, model, prompts, settings
        self._end_id = model.generation_config.eos_token_id
        self._report = EngineReport()

    def run(self) -> EngineReport:
        try:
            self._limits = self._server.limits()
            self._preempted = self._server.preemptions()
            self._dtype = self._settings.dtype or self._limits.dtype or "float32"
            own = self._model.config.max_position_embeddings
            self._context = min(own, self._limits.context or own)
            drawn = self._draw(self._prompts, Decoding(self._settings.max_new_tokens, greedy=True))
        except Unanswered as failure:
            raise UserError(
                f"the server {self._server.url} does not answer completions with token ids and log-probabilities: {failure.detail}. "
                "Start it, check its address, and use a server that takes a prompt as token ids."
            ) from None
        self._check_answers(drawn)
        if not self._report.faults:  # otherwise every answer is wrong
            self._check_full_length()
            self._check_burst()
        return self._report

    def _draw(self, prompts: Sequence[Sequence[int]], decoding: Decoding, is_burst: bool = False) -> list[Completion]:
        """Request completions: a few at the same time, or in a burst all, of full length."""
        count = len(prompts)
        seconds = self._settings.seconds * (count if is_burst else 1)
        end_id, at_once = (None, count) if is_burst else (self._end_id, AT_ONCE)
        return self._server.complete_all(prompts, range(count), decoding, end_id, seconds, at_once)

    # The three checks ---------------------------------------------------------------------------------------------

    def _check_answers(self, drawn: Sequence[Completion]) -> None:
        """Compare greedy answers, and the log-probabilities of the engine's own."""
        documents = _documents(self._prompts, drawn)
        own = generate(self._model, self._prompts, max_new_tokens=self._settings.max_new_tokens)
        self._limit = self._find_limit(documents)
        differences = self._differences(documents, drawn)
        tokens = torch.cat(differences)
        margins = [tie_margin(self._model, document, answer) for document, answer in zip(documents, own, strict=True)]
        ties = sum(margin is not None and margin <= self._tie for margin in margins)
        equal = margins.count(None)
        figures = {
            "n": len(margins),
            "equal": equal,
            "ties": ties,
            "tokens": len(tokens),
            "largest": float(tokens.max()),
            "mean": float(tokens.mean()),
            "limit": self._limit,
            "dtype": self._dtype,
        }
        self._report.answers = figures
        if self._exceeds(tokens) or (self._dtype not in HALVES and equal + ties < len(margins)):
            with causal_prompt(self._model):
                is_causal = not self._exceeds(torch.cat(self._differences(documents, drawn)))
            reason = "it reads prompts from left to right" if is_causal else "it does not compute this model"
            self._fail(
                "answers",
                f"{len(margins) - equal} of {len(margins)} answers differ, and log-probabilities by {figures['mean']:.2g} nats on "
                f"average and {figures['largest']:.2g} at most ({self._allowed} are allowed{self._assumed}): {reason}",
            )

    def _check_full_length(self) -> None:
        """Send a prompt of full length, unless the engine states that it would not answer it."""
        flag = f"--max-num-batched-tokens {self._context}"
        length = self._context - LAST_TOKENS
        self._report.full_length = {"tokens": length, "seconds": None, "budget": self._limits.budget}
        if self._limits.too_small:
            self._fail(
                "full_length",
                f"a step has at most {self._limits.budget} tokens, and a longer prompt stops the server for every request",
                flag,
            )
            return
        prompt, start = lengthened(max(self._prompts, key=len), length), time.perf_counter()
        try:
            drawn = self._draw([prompt], Decoding(LAST_TOKENS, greedy=True))
        except Unanswered as failure:
            self._fail("full_length", f"a prompt of {length} tokens has no answer ({failure.detail})", flag)
            return
        self._report.full_length["seconds"] = time.perf_counter() - start
        documents = _documents([prompt], drawn)
        self._limit = self._find_limit(documents)  # a long prompt rounds more
        (difference,) = self._differences(documents, drawn)
        self._report.full_length |= {
            "largest": float(difference.max()),
            "mean": float(difference.mean()),
            "limit": self._limit,
        }
        if self._exceeds(difference):
            self._fail(
                "full_length",
                f"the log-probabilities after a prompt of {length} tokens differ by {float(difference.mean()):.2g} nats on "
                f"average and {float(difference.max()):.2g} at most ({self._allowed} are allowed), so it may read the prompt in parts",
                flag,
            )

    def _check_burst(self) -> None:
        """Send more at once than the engine's memory holds, and compare the answers."""
        tokens, most = self._server.kv_tokens(), self._limits.requests
        fits = max(1, tokens // self._context) if tokens else None
        flag = f"--max-num-seqs {fits}" if fits else ""
        long = self._context // 2
        count = self._settings.burst
        if count is None:
            count = min(BURST_MOST, tokens // long + 2) if tokens else 64
        self._report.burst = {"requests": 0, "kv_tokens": tokens, "max_num_seqs": most, "preempted": None}
        if fits and most and most <= fits:
            self._report.burst["says"] = f"{most} requests of full length fit into its memory of {tokens} tokens"
            return
        if not count:
            self._report.burst["says"] = "no burst sent"
            return
        prompts = [self._prompts[place % len(self._prompts)] for place in range(count)]
        before = self._server.preemptions()
        try:
            drawn = self._draw(prompts, Decoding(long), is_burst=True)
        except Unanswered as failure:
            self._fail("burst", f"a burst of {count} requests has no answer ({failure.detail})", flag)
            return
        after = self._server.preemptions()
        documents = _documents(prompts, drawn)
        self._limit = self._find_limit(documents)
        differences = self._differences(documents, drawn)
        wrong = sum(self._exceeds(difference) for difference in differences)
        preempted = None if before is None or after is None else after - before
        largest = max(float(difference.max()) for difference in differences)
        self._report.burst |= {"requests": count, "preempted": preempted, "wrong": wrong, "largest": largest}
        if wrong or (preempted and self._dtype in HALVES):
            seen = f"{wrong} of {count} long answers at once are off by up to {largest:.2g} nats"
            counted = (
                f" after {preempted} pre-emptions, because it reads an answer as part of its prompt then"
                if preempted
                else ""
            )
            self._fail("burst", f"{seen}{counted}", flag)
        self._report.burst["says"] = f"{count} long answers at once right ({preempted or 'no'} pre-emptions)"

    def _fail(self, check: str, what: str, flag: str = "") -> None:
        self._report.faults.append(Fault(check, what, flag))

    # Comparison ---------------------------------------------------------------------------------------------------

    def _find_limit(self, documents: Sequence[Document]) -> float:
        floor = measure_floor(self._model, documents)
        self._tie = FACTOR * floor.absolute
        if self._dtype in HALVES:
            return max(HALF_LEAST, HALF_FACTOR * cost_of_rounding(self._model, documents, HALVES[self._dtype]))
        return floor.limit(floor.nats, FLOAT32_LEAST)

    @property
    def _allowed(self) -> str:
        return f"{self._limit:.2g} {'on average' if self._dtype in HALVES else 'at most'}"

    @property
    def _assumed(self) -> str:
        """What a message adds if the engine's precision is not known."""
        if self._settings.dtype or self._limits.dtype:
            return ""
        return " in float32, for the engine states no dtype: if it computes in another, add --engine_dtype"

    def _exceeds(self, differences: torch.Tensor) -> bool:
        measured = differences.mean() if self._dtype in HALVES else differences.max()
        return not float(measured) <= self._limit  # a NaN exceeds every limit

    def _differences(self, documents: Sequence[Document], drawn: Sequence[Completion]) -> list[torch.Tensor]:
        """Return for each answer the differences between the engine's log-probabilities and the model's, nats."""
        scored = []
        with in_evaluation(self._model):
            for document, completion in zip(documents, drawn, strict=True):
                (own,) = response_logprobs(self._model, [document])
                scored.append((torch.tensor(completion.logprobs) - own.float().cpu()).abs())
        return scored


def _documents(prompts: Sequence[Sequence[int]], drawn: Sequence[Completion]) -> list[Document]:
    return [
        Document([*prompt, *completion.ids], len(prompt)) for prompt, completion in zip(prompts, drawn, strict=True)
    ]
