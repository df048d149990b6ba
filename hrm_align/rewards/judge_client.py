"""Client of an OpenAI-compatible server: requests with retries, and of a judge chat completions and a check of its model.

Answers 408, 409, 425, 429 and 5xx, lost connections and unreadable bodies are retried, after the time that `Retry-After`
states or a growing pause. Other errors are final; a wrong key, model or address ends all requests of the batch.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, Self, TypeVar
from urllib.parse import urlsplit

from hrm_align.errors import UserError

T = TypeVar("T")
RETRIED = {408, 409, 425, 429}  # and everything from 500
WITHOUT_FORMAT = {400, 422}  # what servers answer that do not know `response_format`
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds between two tries, doubled from try to try
BODY_BYTES = 4 * 2**20  # longest body of an answer
DETAIL_CHARACTERS = 200  # of a message of the server, in descriptions of failures
CLOSE_SECONDS = 2.0  # limit for closing the connections
CHECK_SECONDS = 20.0  # limit for the check of a server


class Unanswered(Exception):
    """A request without a usable answer.

    Args:
        kind: one of `hrm_align.rewards.scoring.KINDS`.
        detail: description for users.
        is_final: whether all other requests to the server would fail in the same way.
    """

    def __init__(self, kind: str, detail: str, is_final: bool = False):
        super().__init__(detail)
        self.kind, self.detail, self.is_final = kind, detail, is_final


class Failed(Exception):
    """A try that may be repeated: what happened, and the seconds that the server wants to pass before the next."""

    def __init__(self, detail: str, pause: float = 0.0):
        super().__init__(detail)
        self.detail, self.pause = detail, pause


@dataclass(frozen=True)
class Names:
    """How messages name a server and its settings."""

    server: str = "the judge's server"
    deadline: str = "the judge's deadline"
    url: str = "url"
    model: str = "model"
    key: str = "api_key_env"


JUDGE = Names()
TEACHER = Names(
    "the teacher's server", "the deadline", "teacher_base_url", "teacher_model_name_or_path", "teacher_api_key_env"
)


def checked_url(url: str, names: Names = JUDGE) -> str:
    """Return an address of a server without a slash at its end. A message never repeats a value that may hold a key.

    Raises:
        UserError: if it is no address up to /v1.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or parts.username or parts.password or parts.query or parts.fragment or not url.isascii():
        raise UserError(
            f"invalid value for {names.url}. Use an address such as http://localhost:8000/v1, without a key, a user name or "
            f"a query in it; `{names.key}` names the environment variable of a key."
        )
    url = url.rstrip("/")
    for path in ("/chat/completions", "/completions"):
        if url.endswith(path):
            raise UserError(f"invalid value for {names.url}: {url}. Leave out {path} at the end.")
    return url


def check_key_name(variable: str, names: Names = JUDGE) -> None:
    """Raise UserError unless a text can be the environment variable of a key; it may be the key itself, so it is not repeated."""
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable):
        raise UserError(
            f"invalid value for {names.key}: it is not the name of an environment variable in capital letters. Export "
            f"the key, as in `export JUDGE_KEY=...`, and set {names.key}: JUDGE_KEY; never write the key itself."
        )


def read_key(variable: str, names: Names = JUDGE) -> str:
    """Return the API key in an environment variable. Raises UserError if there is none."""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(
            f"the environment variable {variable} of `{names.key}` is not set. Export it before the start, "
            f"or leave `{names.key}` out."
        )
    if not key.isascii() or any(character.isspace() for character in key):
        raise UserError(f"the key in {variable} has a character that no key has. Export it again.")
    return key


class Client:
    """Connections to a server, used in one event loop: `async with Client(...) as client`.

    Args:
        url: address of the server, up to `/v1`.
        key: API key; blank for none. The key never appears in a message.
        key_name: environment variable of the key, for messages.
        model: name of the model, for messages.
        seconds: time limit for a try.
        retries: number of tries after the first.
        counts: counters to add to: `requests`, `retries`.
        names: how messages name the server and its settings.
        body_bytes: longest body of an answer.
    """

    def __init__(
        self,
        url: str,
        key: str,
        key_name: str,
        model: str,
        seconds: float,
        retries: int,
        counts: Counter[str],
        names: Names = JUDGE,
        body_bytes: int = BODY_BYTES,
    ):
        import httpx2  # here, because settings look through all graders, and only a judge needs it

        self._url, self._key, self._key_name, self._model = url.rstrip("/"), key, key_name, model
        self._seconds, self._retries, self._counts = seconds, retries, counts
        self._names, self._body_bytes = names, body_bytes
        headers = {"Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})}
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        # Without TLS there is nothing to verify, and loading the certificates takes 0.1 seconds.
        self._http = httpx2.AsyncClient(
            headers=headers, limits=limits, timeout=None, verify=url.lower().startswith("https")
        )
        self.has_answered = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._http.aclose()

    async def request(self, path: str, body: Mapping[str, Any], deadline: float, read: Callable[[Any], T]) -> T:
        """Post a request.

        Args:
            path: path below the address.
            body: the request.
            deadline: `time.monotonic()` at which the answer is worthless.
            read: function that reads the JSON value of the answer. An error of its lookups and conversions counts as a failed try.

        Raises:
            Unanswered: if there is no answer.
        """
        for attempt in range(self._retries + 1):
            try:
                answer = self._read(*await self._post(path, body))
                try:
                    return read(answer)
                except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
                    raise Failed(f"the body is not what was requested: {self._clean(str(answer))!r:.80}") from None
            except Failed as failed:
                await self._pause(attempt, failed, deadline)
        raise AssertionError("the last try returns or raises")

    async def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page below the address, in one try. Raises Unanswered without an answer."""
        try:
            async with asyncio.timeout(self._seconds):
                status, text, _ = await self._exchange("GET", path)
            return status, text
        except TimeoutError:
            raise Unanswered("unreachable", f"no answer within {self._seconds:g} seconds") from None
        except Failed as failed:
            raise Unanswered("unreachable", failed.detail) from None

    async def _post(self, path: str, body: Mapping[str, Any]) -> tuple[int, str, Mapping[str, str]]:
        self._counts["requests"] += 1
        try:
            async with asyncio.timeout(self._seconds):
                return await self._exchange("POST", path, body)
        except TimeoutError:
            raise Failed(f"no answer within {self._seconds:g} seconds") from None

    async def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, str, Mapping[str, str]]:
        """Send a request; return status, body and headers of the answer. Raises Failed if the connection fails."""
        import httpx2

        received = bytearray()
        try:
            async with self._http.stream(method, self._url + path, json=body) as response:
                async for chunk in response.aiter_bytes():
                    received += chunk
                    if len(received) > self._body_bytes:
                        raise Failed(f"the answer has more than {self._body_bytes:,} bytes")
                return response.status_code, received.decode("utf-8", "replace"), response.headers
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
            raise Failed(self._clean(f"{type(error).__name__}: {error}")) from None

    def _read(self, status: int, text: str, headers: Mapping[str, str]) -> Any:
        """Return the JSON value of an answer."""
        if status in RETRIED or status >= 500:
            if "insufficient_quota" in text:  # OpenAI's 429 for an empty account, which no pause changes
                self._refuse(status, text)
            raise Failed(self._describe(status, text), _read_retry_after(headers))
        if status != 200:
            self._refuse(status, text)
        self.has_answered = True
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise Failed(f"the body is not JSON: {self._clean(text)!r:.80}") from None

    async def _pause(self, attempt: int, failed: Failed, deadline: float) -> None:
        """Wait before the next try. Raises Unanswered if no try is left, or the deadline comes before the next."""
        if attempt == self._retries:
            tries = f"{attempt + 1} tries" if attempt else "1 try"
            raise Unanswered("unreachable", f"{failed.detail} ({tries})", is_final=not self.has_answered)
        pause = max(min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt) * random.uniform(0.8, 1.2), failed.pause)
        if time.monotonic() + pause > deadline:
            raise Unanswered(
                "timeout", f"{failed.detail}; the next try, in {pause:.1f} s, is after {self._names.deadline}"
            )
        self._counts["retries"] += 1
        await asyncio.sleep(pause)

    def _refuse(self, status: int, text: str) -> NoReturn:
        key = f"the key in {self._key_name}" if self._key else "a request without a key"
        remedy = {
            401: f"the server refuses {key}. Set `{self._names.key}` to the environment variable that holds a valid key",
            403: f"the server refuses {key}. Use a key that may use the model {self._model!r}",
            404: f"the server has no model {self._model!r} or no such address. Check `{self._names.model}`, and `{self._names.url}` up to /v1",
        }.get(status, "")
        if "insufficient_quota" in text:
            remedy = "the account has no credit left. Add credit, or use another key"
        detail = f"{self._describe(status, text)}{': ' * bool(remedy)}{remedy}"
        raise Unanswered("refused", detail, is_final=bool(remedy) or 300 <= status < 400)

    def _describe(self, status: int, text: str) -> str:
        message: Any = text
        try:
            answer = json.loads(text)
            message = answer.get("error", answer.get("message", text))
            message = message.get("message", text) if isinstance(message, dict) else message
        except (ValueError, AttributeError, RecursionError):
            pass
        shown = self._clean(str(message))
        return f"HTTP {status}{f' ({shown})' if shown else ''}"

    def _clean(self, text: str) -> str:
        """Return the beginning of a text of the server in one line of ASCII, without the key."""
        if self._key:
            text = text.replace(self._key, "***")
        return " ".join(text.split()).encode("ascii", "replace").decode()[:DETAIL_CHARACTERS]


class JudgeClient(Client):
    """Client of a judge.

    Args:
        count_tokens: called with the prompt tokens and the completion tokens of each answer.
        args: arguments of `Client`, `names` and `body_bytes` left out.
    """

    def __init__(self, *args: Any, count_tokens: Callable[[int, int], None]):
        super().__init__(*args)
        self._count_tokens = count_tokens

    async def complete(self, body: Mapping[str, Any], deadline: float) -> tuple[str, bool]:
        """Request a chat completion.

        Args:
            body: the request. A `response_format` that the server refuses is left out.
            deadline: `time.monotonic()` at which the answer is worthless.

        Returns:
            The text of the answer, and whether the server accepted `response_format`.

        Raises:
            Unanswered: if there is no answer.
        """
        formatted = "response_format" in body
        for attempt in range(self._retries + 1):
            try:
                status, text, headers = await self._post("/chat/completions", body)
                if status in WITHOUT_FORMAT and formatted:
                    formatted, refusal = False, (status, text)
                    body = {name: value for name, value in body.items() if name != "response_format"}
                    status, text, headers = await self._post("/chat/completions", body)
                    if status in WITHOUT_FORMAT:  # something else was wrong
                        status, text = refusal
                return self._read_content(status, text, headers), formatted
            except Failed as failed:
                await self._pause(attempt, failed, deadline)
        raise AssertionError("the last try returns or raises")

    async def check(self) -> None:
        """Check that the server answers and has the model, by its list of models or else by a request for one token.

        Raises:
            UserError: if the server does not answer, refuses the key, or does not have the model.
        """
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                status, text, _ = await self._exchange("GET", "/models")
                names = _model_names(text) if status == 200 else []
                if status in (401, 403):
                    self._refuse(status, text)
                if self._model in names:
                    return
                listed = f" The server lists {', '.join(names[:5])}{', ...' * (len(names) > 5)}." if names else ""
                body = {"model": self._model, "messages": [{"role": "user", "content": "Reply: ok"}], "max_tokens": 1}
                status, text, _ = await self._exchange("POST", "/chat/completions", body)
                if status == 404 or (status in WITHOUT_FORMAT and names):
                    raise UserError(
                        f"the server {self._url} has no model {self._model!r} (HTTP {status}).{listed} Set `model` to the "
                        "name under which the server offers the model, and `url` to the address up to /v1."
                    )
                if status < 500 and status not in RETRIED and status != 200:
                    self._refuse(status, text)
                if status != 200:
                    raise Failed(self._describe(status, text))
        except Unanswered as refused:
            raise UserError(refused.detail) from None
        except (Failed, TimeoutError) as failed:
            reason = failed.detail if isinstance(failed, Failed) else f"no answer within {CHECK_SECONDS:g} seconds"
            raise UserError(
                f"the judge's server {self._url} does not answer ({reason}). Start the server, wait until it has loaded its "
                "model, and check `url`."
            ) from None

    def _read_content(self, status: int, text: str, headers: Mapping[str, str]) -> str:
        """Return the text of an answer, and count its tokens."""
        answer = self._read(status, text, headers)
        try:
            usage = answer.get("usage") or {}
            tokens = (max(0, int(usage.get(name) or 0)) for name in ("prompt_tokens", "completion_tokens"))
            self._count_tokens(*tokens)
            content = answer["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
            raise Failed(f"the body is not a chat completion: {self._clean(text)!r:.80}") from None
        return content if isinstance(content, str) else ""


def _model_names(text: str) -> list[str]:
    try:
        return [str(model["id"]) for model in json.loads(text)["data"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []


def _read_retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds of a `Retry-After` header, which states seconds or a date; 0 without a valid one."""
    value = headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
