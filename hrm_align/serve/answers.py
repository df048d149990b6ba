"""Answers of OpenAI's protocol: the tokens of a completion become text, log-probabilities and tool calls, whole or in chunks.

A streamed answer and a whole one are made from the same pieces, so their texts, tokens and log-probabilities are equal.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hrm_align.data.tool_forms import ToolFault, split_calls
from hrm_align.rendering import Renderer
from hrm_align.rollouts.engine import Event
from hrm_align.serve.requests import Plan
from hrm_align.serve.text import TextStream


@dataclass
class Piece:
    """Part of an answer.

    Args:
        index: number of the completion.
        text: text that has become certain.
        tokens: token ids and log-probabilities behind the text.
        calls: tool calls in OpenAI's form, at the end of the answer.
        finish: reason of the end, `stop`, `length` or `tool_calls`; None if the answer continues.
    """

    index: int
    text: str = ""
    tokens: list[tuple[int, float]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    finish: str | None = None


class Answer:
    """One completion on its way to the client.

    With tools in the request, nothing from the first `<` on leaves before the end, because it may be a tool call.

    Args:
        plan: plan of the request.
        index: number of the completion.
        renderer: renderer of the model's tokenizer.

    Attributes:
        length: number of tokens so far.
        is_over: whether the answer has ended, by the engine or by a stop text.
    """

    def __init__(self, plan: Plan, index: int, renderer: Renderer):
        self._index, self._calls = index, plan.calls
        self._stream = TextStream(renderer, plan.stop)
        self._tokens: list[tuple[int, float]] = []  # tokens whose text is held back
        self._held = ""  # text that may be the beginning of tool calls
        self.length, self.is_over = 0, False

    def push(self, event: Event) -> Piece | None:
        """Return what a token makes certain; None for nothing. Tokens after the end are ignored."""
        if self.is_over:
            return None
        self.length += 1
        self._tokens.append((event.token, event.logprob))
        text = self._stream.push(event.token)
        if event.finish is None and not self._stream.stopped:
            return self._release(text)
        if not self._stream.stopped:
            text += self._stream.finish()
        self.is_over = True
        if self._stream.stopped and not text:  # tokens of the stop text alone
            self._tokens = []
        finish = "stop" if self._stream.stopped else event.finish
        return self._end(text, finish or "stop")

    def _release(self, text: str) -> Piece | None:
        if self._calls:
            text = self._held + text
            place = text.find("<")
            certain = (text if place < 0 else text[:place]).rstrip()
            text, self._held = certain, text[len(certain) :]
        if not text:
            return None
        tokens, self._tokens = self._tokens, []
        return Piece(self._index, text, tokens)

    def _end(self, text: str, finish: str) -> Piece:
        calls: list[dict[str, Any]] = []
        if self._calls:
            try:
                text, calls = split_calls(self._held + text)
            except ToolFault:  # a broken call is text, as the model wrote it
                text = self._held + text
            if calls and finish == "stop":
                finish = "tool_calls"
        return Piece(self._index, text, self._tokens, [_openai_call(call) for call in calls], finish)


def _openai_call(call: dict[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    return {
        "id": f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": {"name": call["name"], "arguments": arguments},
    }


class Writer:
    """Responses and chunks to one request, as OpenAI's objects.

    Args:
        plan: plan of the request.
        renderer: renderer of the model's tokenizer.
    """

    def __init__(self, plan: Plan, renderer: Renderer):
        self._plan, self._encoder = plan, renderer.encoder
        self._id = ("chatcmpl-" if plan.is_chat else "cmpl-") + secrets.token_hex(12)
        self._created = int(time.time())
        self._offsets = [0] * len(plan.requests)  # characters of the tokens that each completion has named

    def opening(self, index: int) -> dict[str, Any]:
        """Return the first chunk of a completion, which has no text."""
        delta = {"role": "assistant", "content": ""}
        return self._chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}])

    def chunk(self, piece: Piece) -> dict[str, Any]:
        """Return a chunk of a stream."""
        choice = self._fields(piece)
        if not self._plan.is_chat:
            return self._chunk([{**choice, "text": piece.text}])
        delta: dict[str, Any] = {"content": piece.text} if piece.text else {}
        if piece.calls:
            delta["tool_calls"] = [{"index": number, **call} for number, call in enumerate(piece.calls)]
        return self._chunk([{**choice, "delta": delta}])

    def usage_chunk(self, usage: dict[str, int]) -> dict[str, Any]:
        """Return the last chunk of a stream with `include_usage`."""
        return {**self._chunk([]), "usage": usage}

    def usage(self, completion_tokens: int) -> dict[str, int]:
        """Return the usage; the end token counts, and so do tokens of a stop text."""
        prompt_tokens = self._plan.prompt_tokens
        total = prompt_tokens + completion_tokens
        return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}

    def whole(self, pieces: Sequence[Piece], completion_tokens: int) -> dict[str, Any]:
        """Return the response to a request that is not streamed, from all pieces of all completions."""
        choices = [
            self._choice([piece for piece in pieces if piece.index == index])
            for index in range(len(self._plan.requests))
        ]
        kind = "chat.completion" if self._plan.is_chat else "text_completion"
        return {**self._head(kind), "choices": choices, "usage": self.usage(completion_tokens)}

    def _choice(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        last = pieces[-1]
        text, tokens = "".join(piece.text for piece in pieces), [token for piece in pieces for token in piece.tokens]
        whole = Piece(last.index, text, tokens, last.calls, last.finish)
        choice = self._fields(whole)
        if not self._plan.is_chat:
            return {**choice, "text": text}
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text if text or not whole.calls else None,
            "refusal": None,
        }
        if whole.calls:
            message["tool_calls"] = whole.calls
        return {**choice, "message": message}

    def _fields(self, piece: Piece) -> dict[str, Any]:
        """Return the fields that choices of all kinds share."""
        fields = {"index": piece.index, "logprobs": self._logprobs(piece), "finish_reason": piece.finish}
        return {**fields, "token_ids": [token for token, _ in piece.tokens]} if self._plan.token_ids else fields

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._plan.model}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self._plan.is_chat else "text_completion"
        usage = {"usage": None} if self._plan.usage else {}
        return {**self._head(kind), "choices": choices, **usage}

    def _logprobs(self, piece: Piece) -> dict[str, Any] | None:
        """Return the log-probabilities of a piece in the form of its endpoint; None if they were not requested."""
        if not self._plan.logprobs:
            return None
        names = [self._name(token) for token, _ in piece.tokens]
        values = [value for _, value in piece.tokens]
        if self._plan.is_chat:
            content = [
                {"token": name, "logprob": value, "bytes": _bytes(name), "top_logprobs": []}
                for name, value in zip(names, values, strict=True)
            ]
            return {"content": content, "refusal": None}
        offsets = []
        for name in names:
            offsets.append(self._offsets[piece.index])
            self._offsets[piece.index] += len(name)
        top = [{name: value} for name, value in zip(names, values, strict=True)] if self._plan.top else None
        return {"tokens": names, "token_logprobs": values, "top_logprobs": top, "text_offset": offsets}

    def _name(self, token: int) -> str:
        return (
            f"token_id:{token}" if self._plan.ids_as_names else self._encoder.decode([token], skip_special_tokens=False)
        )


def _bytes(name: str) -> list[int] | None:
    """Return the bytes of a token's text; None for a token of incomplete characters, whose text does not have its bytes."""
    return None if "\ufffd" in name else [*name.encode()]
