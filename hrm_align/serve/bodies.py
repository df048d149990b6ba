"""Bodies of requests in OpenAI's protocol, and errors in its form.

A field is read, is one of `HARMLESS`, has the value of `NEUTRAL` that changes nothing, or is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hrm_align.data.strict_json import JsonFault, parse_object
from hrm_align.rendering import DEFAULT_CONDITION

MOST_STOPS = 16


# Fields that say nothing about the answer.
HARMLESS = (
    *("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
    "skip_special_tokens",
)


# Values of further fields with which the answer is what it would be without the field.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "min_p": (0,),
    "logit_bias": ({},),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "modalities": (["text"],),
    "parallel_tool_calls": (True,),
    "response_format": ({"type": "text"},),
    "functions": ([],),
    "ignore_eos": (False,),
    "stop_token_ids": ([],),
    "add_generation_prompt": (True,),
    "add_special_tokens": (False,),
}


# Why a field that other servers take is refused.
REASONS = {
    "response_format": "answers are not forced into a format: describe the format in the prompt, and check the answer",
    "functions": "it is the older form of tools: use tools",
    "tool_choice": 'the model decides itself whether it calls a tool: use "auto" or "none"',
    "parallel_tool_calls": "the number of calls is not limited",
    "echo": "log-probabilities of the prompt do not exist in a prefix LM",
    "suffix": "the model cannot continue a text: a prompt is one user message, and the answer follows it",
    "continue_final_message": "an answer that has begun cannot be continued",
    "chat_template": "a request cannot name a template",
    "chat_template_kwargs": "a request cannot change the template; the condition is the field condition",
    "best_of": "use n",
}


class ApiError(Exception):
    """An error in OpenAI's form, `{"error": {"message", "type", "param", "code"}}`.

    Args:
        status: HTTP status.
        message: one sentence or two for the client.
        param: field that is wrong.
        code: short name of the error.
        headers: further headers of the response.
    """

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None, headers: Mapping[str, str] | None = None
    ):  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers
        kinds = {401: "authentication_error", 429: "rate_limit_error"}
        kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class StreamOptions(BaseModel):
    """Options of a stream."""

    model_config = ConfigDict(strict=True, extra="forbid")
    include_usage: bool | None = None
    include_obfuscation: bool | None = (
        None  # random padding against observers of lengths, which this server does not add
    )


class Body(BaseModel):
    """Fields of both kinds of requests. Numbers are not read from texts."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())
    model: str | None = None
    condition: str = DEFAULT_CONDITION
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=2**31)  # -1 and 0: all tokens
    n: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = None
    return_token_ids: bool | None = None
    return_tokens_as_token_ids: bool | None = None

    def stops(self) -> tuple[str, ...]:
        """Return the stop texts. Raises ApiError for too many."""
        texts = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(texts) > MOST_STOPS or any(len(text) > 1000 for text in texts):
            raise ApiError(
                400, f"stop has too many or too long texts. Use at most {MOST_STOPS} of 1,000 characters.", "stop"
            )
        return tuple(text for text in texts if text)


class ChatBody(Body):
    """Body of POST /v1/chat/completions."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None


class CompletionBody(Body):
    """Body of POST /v1/completions: the prompt is one user text, or the token ids of a rendered prompt."""

    prompt: str | list[int] | list[str] | list[list[int]]
    logprobs: int | None = Field(None, ge=0, le=5)
    ignore_eos: bool | None = None
    stop_token_ids: list[int] | None = None


AnyBody = TypeVar("AnyBody", bound=Body)


def read_body(raw: bytes, kind: type[AnyBody]) -> AnyBody:
    """Parse and check the body of a request. Raises ApiError for the first mistake."""
    try:
        values = parse_object(raw)
    except JsonFault as fault:
        raise ApiError(400, f"the body is no JSON object: {fault}.") from None
    try:
        body = kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part in _FIELDS)
        raise ApiError(400, f"invalid value for {place or 'the body'}: {first['msg']}.", place or None) from None
    for name, value in (body.model_extra or {}).items():
        _check_unread(name, value)
    return body


_FIELDS = {
    name for kind in (ChatBody, CompletionBody, StreamOptions) for name in kind.model_fields
}  # not the names of alternatives such as list[int]


def _check_unread(name: str, value: Any) -> None:
    """Raise ApiError for a field that is not read, unless it cannot change the answer."""
    allowed = NEUTRAL.get(name, ())
    if (
        value is None
        or name in HARMLESS
        or any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed)
    ):
        return
    reason = REASONS.get(name, "this server does not read it")
    neutral = f" Only {allowed[0]!r} is accepted." if allowed else " Leave it out."
    raise ApiError(400, f"{name[:60]!r} cannot be used: {reason}.{neutral}", name[:60], "unsupported_parameter")
