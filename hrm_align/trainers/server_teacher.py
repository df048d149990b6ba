"""A teacher of distillation behind an OpenAI-compatible server that returns log-probabilities of a prompt.

    teacher = connect_teacher(recipe, student, tokenizer)
    teacher.score([(prompt_ids, completion_ids)])  # the most probable tokens at each completion token

A request to `/completions` holds the token ids of prompt and completion, so that no text is tokenized again. Servers return the
log-probabilities of these tokens in one of two forms:

    prompt_logprobs: k              vLLM: {"prompt_logprobs": [null, {"31": {"logprob": -0.7}, ...}, ...]}
    echo: true, logprobs: k         {"logprobs": {"top_logprobs": [null, {"token_id:31": -0.7, ...}, ...]}}

Before the first step a probe finds the form, and whether the server runs HRM-Text as it must be run: the prompt in both directions,
the completion from left to right.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import torch
from transformers import PreTrainedTokenizerFast

from hrm_align.errors import RunError, UserError
from hrm_align.progress import stage
from hrm_align.rendering import render_prompt
from hrm_align.rewards.judge_client import TEACHER, Client, Unanswered, check_key_name, checked_url, read_key
from hrm_align.rollouts.http_server import call, gather
from hrm_align.trainers.teachers import TopTokens

RETRIES, PROBE_RETRIES = 7, 1  # after the first try; the seven pauses take a minute in all
ENTRY_BYTES = 256  # most bytes of a token with its log-probability in an answer
LEAST_BODY = 2**20
ABSENT = -9000.0  # servers write about -9999 for a token of probability 0
NOISE = (
    0.02  # nats; a larger mean difference between log-probabilities is more than rounding (docs/guides/distillation.md)
)
WORDS = "Copy these words: one two three four five six seven eight", " one two three four five six seven eight"

Form = tuple[Callable[[int], dict[str, Any]], Callable[[Any], list[Any]]]
Top = dict[int, float]  # log-probabilities by token id


def _read_prompt_logprobs(choice: Any) -> list[Any]:
    positions = choice["prompt_logprobs"]
    return [
        None if top is None else {int(token): float(entry["logprob"]) for token, entry in top.items()}
        for top in positions
    ]


def _read_echo(choice: Any) -> list[Any]:
    def token_id(name: str) -> int:
        if not name.startswith("token_id:"):
            raise ValueError(name)
        return int(name.removeprefix("token_id:"))

    tops, own = choice["logprobs"]["top_logprobs"], choice["logprobs"]
    positions: list[Any] = []
    for top, token, logprob in zip(tops, own["tokens"], own["token_logprobs"], strict=True):
        entries = None if top is None else {token_id(name): float(value) for name, value in top.items()}
        positions.append(entries if entries is None or logprob is None else {token_id(token): float(logprob)} | entries)
    return positions


# What a request adds for the `k` most probable tokens, and how the first choice of the answer is read, by position.
FORMS: dict[str, Form] = {
    "prompt_logprobs": (lambda k: {"prompt_logprobs": k}, _read_prompt_logprobs),
    "echo": (lambda k: {"echo": True, "logprobs": k, "return_tokens_as_token_ids": True}, _read_echo),
}


class ServerTeacher:
    """A `Teacher` behind a server; `connect` first.

    Args:
        url: address of the server, up to `/v1`.
        model: name of the model on the server.
        k: most probable tokens requested at each position.
        vocab_size: number of tokens of the student.
        key_name: environment variable of the API key; blank to send no key.
        concurrency: requests at the same time.
        seconds: time limit for a try.

    Raises:
        UserError: for an invalid address, or a key that is not set.
    """

    def __init__(
        self,
        url: str,
        model: str,
        k: int,
        vocab_size: int,
        key_name: str = "",
        concurrency: int = 16,
        seconds: float = 120.0,
    ):
        self._url, self._model = checked_url(url, TEACHER), model
        self._k, self._vocab_size = min(k, vocab_size), vocab_size
        if key_name:
            check_key_name(key_name, TEACHER)
        self._key_name, self._key = key_name, read_key(key_name, TEACHER) if key_name else ""
        self._concurrency, self._seconds = concurrency, seconds
        self._form = ""

    def score(self, documents: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[TopTokens]:
        """Return the most probable tokens at the tokens of each completion, and that token itself where the server adds it.

        See `Teacher.score`. Raises RunError if the server does not answer.
        """
        try:
            answers = self._ask([[*prompt, *completion] for prompt, completion in documents], RETRIES)
        except Unanswered as failure:
            raise RunError(
                f"the teacher's server {self._url} did not answer: {failure.detail}. Start it again, and resume the run with "
                "--resume_from_checkpoint true."
            ) from None
        return [_as_tensors(tops[len(prompt) :]) for (prompt, _), (tops, _) in zip(documents, answers, strict=True)]

    def _ask(self, rows: Sequence[list[int]], retries: int) -> list[tuple[list[Top], Any]]:
        """Return for each row of token ids the log-probabilities by position, of which the first has none, and the server's choice."""
        adds, read = FORMS[self._form]

        async def ask_all() -> list[tuple[list[Top], Any]]:
            slots, body_bytes = asyncio.Semaphore(self._concurrency), self._body_bytes(max(map(len, rows)))
            client = Client(
                self._url,
                self._key,
                self._key_name,
                self._model,
                self._seconds,
                retries,
                Counter(),
                TEACHER,
                body_bytes,
            )

            async def ask(ids: list[int]) -> tuple[list[Top], Any]:
                def read_choice(answer: Any) -> tuple[list[Top], Any]:
                    choice = answer["choices"][0]
                    return self._check(ids, read(choice)), choice

                body = {"model": self._model, "prompt": ids, "max_tokens": 1, "temperature": 0, **adds(self._k)}
                async with slots:
                    return await client.request("/completions", body, math.inf, read_choice)

            async with client:
                return await gather(ask(ids) for ids in rows)

        return call(ask_all())

    def _body_bytes(self, tokens: int) -> int:
        return LEAST_BODY + tokens * (self._k + 2) * ENTRY_BYTES

    def _check(self, ids: list[int], positions: list[Any]) -> list[Top]:
        """Return the positions of the request's tokens. Raises ValueError for an answer about other tokens."""
        tops = [{}, *positions[1 : len(ids)]]
        for token, top in zip(ids[1:], tops[1:], strict=True):
            valid = all(math.isfinite(value) and 0 <= other < self._vocab_size for other, value in top.items())
            if token not in top or not valid:
                raise ValueError(token)
        return tops

    # The probe ----------------------------------------------------------------------------------------------------

    def connect(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Find the form of the server's answers, and check how it reads a probe.

        Args:
            tokenizer: the student's tokenizer.

        Raises:
            UserError: if the server does not answer, returns no log-probabilities of a prompt or too few, has other tokens, or reads
                the prompt from left to right or the completion in both directions.
        """
        prompt = render_prompt(tokenizer, WORDS[0])
        completion = tokenizer(WORDS[1], add_special_tokens=False)["input_ids"]
        ids, first = [*prompt, *completion], len(prompt)
        in_prompt, in_completion = first // 2, first + len(completion) // 2  # from here on a part is written backwards
        rows = [
            ids,
            [*ids[:in_prompt], *reversed(ids[in_prompt : first - 1]), *ids[first - 1 :]],
            [*ids[:in_completion], *reversed(ids[in_completion:])],
        ]
        (tops, choice), (of_prompt, _), (of_completion, _) = self._probe(rows)
        text = _read_text(choice, ids, first)
        if text is not None and WORDS[1].strip() not in text:
            self._refuse(
                f"has other tokens than the student: it reads {WORDS[1]!r} as {text!r:.80}. Serve a teacher with its tokenizer"
            )
        fewest = min(len(top) for top in tops[1:])
        if fewest < self._k:
            self._refuse(f"returns {fewest} of {self._k} requested tokens: set teacher_top_logprobs to {fewest}")
        if _mean_difference(tops[1 : in_prompt + 1], of_prompt[1 : in_prompt + 1]) < NOISE:
            self._refuse(
                "reads the prompt from left to right, because a change of its second half leaves the predictions in its first half as they were; "
                "HRM-Text reads it in both directions: serve the model with an implementation of HRM-Text's prefix mask"
            )
        if _mean_difference(tops[first : in_completion + 1], of_completion[first : in_completion + 1]) > NOISE:
            self._refuse(
                "reads the completion in both directions, because a change of its second half changes the predictions in its first half: serve "
                "the model with an implementation of HRM-Text's prefix mask, which ends at the first <|im_end|>"
            )

    def _probe(self, rows: list[list[int]]) -> list[tuple[list[Top], Any]]:
        """Return the answers in the first form that the server knows."""
        failures: dict[str, str] = {}
        for form in FORMS:
            self._form = form
            try:
                return self._ask(rows, PROBE_RETRIES)
            except Unanswered as failure:
                failures.setdefault(failure.detail, form)
        tried = "; ".join(f"{form}: {detail}" for detail, form in failures.items())
        self._refuse(
            f"returns no log-probabilities of a prompt given as token ids ({tried}). Start it, check {TEACHER.url} and {TEACHER.model}, and "
            f"use a server that knows prompt_logprobs or echo, for {self._k} tokens at each position (--max-logprobs of vLLM)"
        )

    def _refuse(self, what: str) -> NoReturn:
        raise UserError(f"the teacher's server {self._url} {what}.")


def connect_teacher(recipe: Any, student: Any, tokenizer: PreTrainedTokenizerFast) -> ServerTeacher:
    """Connect to the server of `teacher_base_url`.

    Args:
        recipe: a distillation recipe.
        student: the model to train.
        tokenizer: its tokenizer.

    Raises:
        UserError: see `ServerTeacher.connect`.
    """
    args, size = recipe.training, student.config.vocab_size
    name, key = str(args.teacher_model_name_or_path), args.teacher_api_key_env or ""
    limits = args.teacher_concurrency, args.teacher_timeout
    teacher = ServerTeacher(args.teacher_base_url, name, args.teacher_top_logprobs, size, key, *limits)
    with stage(f"probing the teacher {name} at its server"):
        teacher.connect(tokenizer)
    return teacher


def _as_tensors(tops: Sequence[Mapping[int, float]]) -> TopTokens:
    present = [{token: value for token, value in top.items() if value > ABSENT} for top in tops]
    most = max(map(len, present))
    ids = torch.zeros(len(present), most, dtype=torch.long)
    logprobs = torch.full((len(present), most), -math.inf)
    for row, top in enumerate(present):
        ids[row, : len(top)] = torch.tensor([*top])
        logprobs[row, : len(top)] = torch.tensor([*top.values()])
    return TopTokens(ids, logprobs)


def _read_text(choice: Any, ids: list[int], first: int) -> str | None:
    """Return what the server reads in the tokens from `first` on, as text; None if its answer does not say."""
    positions = choice.get("prompt_logprobs")
    if not positions:
        return str(choice["text"]) if choice.get("text") else None
    own = [positions[place][str(ids[place])].get("decoded_token") for place in range(first, len(ids))]
    return None if None in own else "".join(own)


def _mean_difference(tops: Sequence[Top], others: Sequence[Top]) -> float:
    """Return the mean difference between log-probabilities of the same tokens at the same positions, in nats."""
    differences = [
        abs(top[token] - other[token])
        for top, other in zip(tops, others, strict=True)
        for token in top.keys() & other.keys()
    ]
    return math.fsum(differences) / max(1, len(differences))
