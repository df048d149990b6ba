"""Plans: the requests to the engine that a body of OpenAI's protocol becomes.

    {"model": "tiny", "messages": [{"role": "user", "content": "copy sun"}], "condition": "direct", "n": 2, "temperature": 1}
        ->  Plan(model="tiny", requests=[Request(prompt_ids, (7,), ...), Request(prompt_ids, (9,), ...)], ...)

Nothing in a request is a path, a template or code.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hrm_align.data.strict_json import RowError
from hrm_align.data.tool_forms import find_tools_place
from hrm_align.data.turns import json_text
from hrm_align.errors import UserError, join_names
from hrm_align.messages import Message
from hrm_align.rendering import Renderer
from hrm_align.rollouts.engine import Decoding, Request
from hrm_align.rollouts.local import draw_seeds
from hrm_align.serve.bodies import REASONS, ApiError, Body, ChatBody, CompletionBody, read_body

COLDEST = 1e-3  # a temperature below this is greedy decoding


@dataclass(frozen=True)
class Limits:
    """Limits of a server, which its guide documents.

    Args:
        context: longest prompt and answer together, in tokens.
        max_new_tokens: longest answer, in tokens.
        completions: most completions of one request (`n`).
        vocabulary: number of token ids.
        decoding: decoding of requests that name no temperature.
    """

    context: int
    max_new_tokens: int
    completions: int
    vocabulary: int
    decoding: Decoding


@dataclass(frozen=True)
class Plan:
    """What to draw for a request of a client, and what to answer.

    Args:
        model: name of the model.
        requests: one per completion.
        is_chat: whether the answer is a message, or a plain text.
        stop: texts that end an answer.
        stream, usage: whether the answer is streamed, and its stream ends with the usage.
        logprobs: whether log-probabilities are returned; with `top`, also as those of the most probable token.
        calls: whether tool calls are read out of the answer.
        token_ids: whether token ids are returned.
        ids_as_names: whether log-probabilities name tokens by their ids.
    """

    model: str
    requests: Sequence[Request]
    is_chat: bool
    stop: tuple[str, ...]
    stream: bool
    usage: bool
    logprobs: bool
    top: bool
    calls: bool
    token_ids: bool
    ids_as_names: bool

    @property
    def prompt_tokens(self) -> int:
        """Number of tokens in the prompt."""
        return len(self.requests[0].prompt_ids)


def read_request(raw: bytes, is_chat: bool, names: Sequence[str], renderer: Renderer, limits: Limits) -> Plan:
    """Turn the body of a request into a plan.

    Args:
        raw: the body.
        is_chat: whether it is one of /v1/chat/completions, or of /v1/completions.
        names: names of the models, the default first.
        renderer: renderer of the models' tokenizer.
        limits: limits of the server.

    Raises:
        ApiError: for a request that is not answered.
    """
    return _plan_chat(raw, names, renderer, limits) if is_chat else _plan_text(raw, names, renderer, limits)


def _plan_chat(raw: bytes, names: Sequence[str], renderer: Renderer, limits: Limits) -> Plan:
    body = read_body(raw, ChatBody)
    if body.top_logprobs:
        raise ApiError(
            400, f"invalid value for top_logprobs: {body.top_logprobs}. The server has the log-probability of the chosen token only: "
            "leave top_logprobs out.", "top_logprobs",
        )  # fmt: skip
    if body.tool_choice not in (None, "auto", "none"):
        raise ApiError(
            400, f"'tool_choice' cannot be used: {REASONS['tool_choice']}.", "tool_choice", "unsupported_parameter"
        )
    tools = _checked_tools(body.tools or []) if body.tool_choice != "none" else []
    if body.max_tokens and body.max_completion_tokens and body.max_tokens != body.max_completion_tokens:
        raise ApiError(400, "max_tokens and max_completion_tokens differ: leave one of them out.", "max_tokens")
    try:
        prompt_ids = renderer.prompt(_messages(body.messages, tools), body.condition)
    except (UserError, RowError) as error:
        raise ApiError(400, str(error).rstrip(".") + ".", "messages") from None
    return _plan(
        body, body.max_completion_tokens or body.max_tokens, prompt_ids, names, limits,
        is_chat=True, logprobs=bool(body.logprobs), top=False, calls=bool(tools),
    )  # fmt: skip


def _checked_tools(tools: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return tools as they are, for all of their fields are stated to the model. Raises ApiError for one without a name."""
    for number, tool in enumerate(tools, start=1):
        function = tool.get("function")
        if (
            tool.get("type") != "function"
            or not isinstance(function, Mapping)
            or not isinstance(function.get("name"), str)
        ):
            raise ApiError(
                400, f'tool {number} is none: use {{"type": "function", "function": {{"name": ...}}}}.', "tools"
            )
    return tools


def _messages(given: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return the messages of a prompt as training has them: without blank system texts, tools after the system texts.

    Raises:
        UserError: for a message that cannot be read; the first is message 1.
        RowError: for tools that cannot be written.
    """
    messages = []
    for number, message in enumerate(given, start=1):
        try:
            messages.append(Message.of(message))
        except (UserError, TypeError, ValueError) as error:
            raise UserError(f"message {number}: {error}") from None
    messages = [message for message in messages if message.role != "system" or message.content.strip()]
    if messages and messages[-1].role == "assistant":
        raise UserError(
            "the last message is an answer, and an answer that has begun cannot be continued. End with a user or tool message."
        )
    place = find_tools_place(messages, tools) if tools else None
    if place is not None:
        messages.insert(place, Message("system", json_text(tools, "tools")))
    return messages


def _plan_text(raw: bytes, names: Sequence[str], renderer: Renderer, limits: Limits) -> Plan:
    body = read_body(raw, CompletionBody)
    ends = body.stop_token_ids or []
    if ends not in ([], [renderer.response_end_id]) or (body.ignore_eos and not ends):
        raise ApiError(
            400, f"an answer ends with its end token, {renderer.response_end_id}, and no other: leave ignore_eos and stop_token_ids out.",
            "stop_token_ids", "unsupported_parameter",
        )  # fmt: skip
    if (body.logprobs or 0) > 1:
        raise ApiError(
            400, f"invalid value for logprobs: {body.logprobs}. The server has the log-probability of the chosen token only: use 0 or 1.",
            "logprobs",
        )  # fmt: skip
    prompt = body.prompt
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        if len(prompt) > 1:
            raise ApiError(
                400, f"prompt has {len(prompt)} prompts. Send one prompt per request; requests share batches.", "prompt"
            )
        (prompt,) = prompt
    try:
        prompt_ids = (
            renderer.prompt(prompt, body.condition)
            if isinstance(prompt, str)
            else _checked_ids(prompt, renderer, limits)
        )
    except UserError as error:
        raise ApiError(400, str(error), "prompt") from None
    greedy = _decoding(body, 1, limits).greedy
    return _plan(
        body, body.max_tokens, prompt_ids, names, limits,
        is_chat=False, logprobs=body.logprobs is not None, top=body.logprobs == 1 and greedy, calls=False,
    )  # fmt: skip


def _checked_ids(ids: Any, renderer: Renderer, limits: Limits) -> list[int]:
    """Return token ids if they are a rendered prompt. Raises UserError otherwise, because the model would read another prefix."""
    if not ids or not all(0 <= id < limits.vocabulary for id in ids):
        raise UserError(
            f"the prompt has token ids outside of the vocabulary. Use 0 to {limits.vocabulary - 1}, and at least one."
        )
    layout = renderer.layout
    if ids[0] != layout.message_start or ids[-1] != layout.prefix_end or ids.count(layout.prefix_end) > 1:
        raise UserError(
            f"the token ids are no prompt of this model: it begins with {layout.message_start} (<|im_start|>), and has "
            f"{layout.prefix_end} (<|im_end|>) once, at its end. Use render_prompt, or send the prompt as text."
        )
    return list(ids)


def _plan(
    body: Body, most: int | None, prompt_ids: list[int], names: Sequence[str], limits: Limits, *, is_chat: bool, logprobs: bool, top: bool,
    calls: bool,
) -> Plan:  # fmt: skip
    model, n = body.model or names[0], body.n or 1
    if model not in names:
        raise ApiError(
            404, f"there is no model {model[:100]!r}. Use one of {join_names(names, 20)}.", "model", "model_not_found"
        )
    if n > limits.completions:
        raise ApiError(
            400, f"invalid value for n: {n}. The server draws at most {limits.completions} answers at a time.", "n"
        )
    if body.stream_options is not None and not body.stream:
        raise ApiError(
            400, "stream_options has no effect without stream. Set stream to true, or leave it out.", "stream_options"
        )
    room = limits.context - len(prompt_ids)
    if room < 1:
        raise ApiError(
            400, f"the prompt has {len(prompt_ids):,} tokens, and the model takes at most {limits.context:,}, answer included. Shorten "
            "the prompt.", "messages" if is_chat else "prompt", "context_length_exceeded",
        )  # fmt: skip
    if (most or 1) > limits.max_new_tokens:
        raise ApiError(
            400,
            f"invalid value for max_tokens: {most}. The server writes at most {limits.max_new_tokens:,} tokens.",
            "max_tokens",
        )
    decoding = _decoding(body, min(most or limits.max_new_tokens, room), limits)
    seeds = [0] * n if decoding.greedy else draw_seeds(n, secrets.randbits(62) if body.seed is None else body.seed)
    return Plan(
        model=model,
        requests=[Request(prompt_ids, (seed,), decoding) for seed in seeds],
        is_chat=is_chat,
        stop=body.stops(),
        stream=bool(body.stream),
        usage=body.stream_options is not None and bool(body.stream_options.include_usage),
        logprobs=logprobs,
        top=top,
        calls=calls,
        token_ids=bool(body.return_token_ids),
        ids_as_names=bool(body.return_tokens_as_token_ids),
    )


def _decoding(body: Body, max_new_tokens: int, limits: Limits) -> Decoding:
    """Return the decoding of a request: its own temperature, or the server's decoding."""
    default = limits.decoding
    if body.temperature is None and default.greedy and ((body.top_p or 1) < 1 or (body.top_k or 0) > 0):
        raise ApiError(400, "top_p and top_k have no effect without a temperature, because this model's default is greedy decoding. Set "
                       "temperature.", "temperature")  # fmt: skip
    is_greedy = default.greedy if body.temperature is None else body.temperature < COLDEST
    if is_greedy:
        return Decoding(max_new_tokens, greedy=True)
    temperature = default.temperature if body.temperature is None else body.temperature
    top_p = default.top_p if body.top_p is None else body.top_p
    top_k = default.top_k if body.top_k is None else max(body.top_k, 0)
    return Decoding(max_new_tokens, temperature, top_k, top_p)
