"""OpenAI-compatible HTTP server: endpoints, API key, limits and streams, over a scheduler.

    service = Service.open(ServedModels(model), tokenizer, Settings())
    app = build_app(service)

    POST /v1/chat/completions, /v1/completions     GET /v1/models, /health, /metrics, / (page to chat in)

The event loop reads requests and writes answers; the engine runs in the scheduler's thread.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import re
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from transformers import PreTrainedTokenizerFast

from hrm_align.rendering import Renderer, get_renderer
from hrm_align.rollouts.engine import Decoding
from hrm_align.serve.address import is_loopback
from hrm_align.serve.answers import Answer, Piece, Writer
from hrm_align.serve.bodies import ApiError
from hrm_align.serve.http import ClosingStream, unless_gone
from hrm_align.serve.metrics import Metrics
from hrm_align.serve.models import ServedModels
from hrm_align.serve.requests import Limits, Plan, read_request
from hrm_align.serve.scheduler import Closed, Delivery, QueueFull, Scheduler

T = TypeVar("T")
LOG = logging.getLogger("hrm_align.serve")
GONE = 499  # nginx's status of a client that has closed its connection, for the metrics
READERS = 2  # threads that encode prompts
RETRY_SECONDS = 5  # what Retry-After says while the queue is full


@dataclass(frozen=True)
class Settings:
    """Settings of the HTTP side.

    Args:
        key: API key; blank for none.
        timeout: longest time from a request's arrival to the end of its answer, in seconds.
        body_bytes: longest body of a request.
        origins: origins of web pages that may use the server.
        local_only: whether the `Host` of a request must name this machine, so that no web page can reach a server on a loopback
            address under a name of its own (DNS rebinding).
    """

    key: str = ""
    timeout: float = 600.0
    body_bytes: int = 2**20
    origins: Sequence[str] = ()
    local_only: bool = True


class Service:
    """What the endpoints share.

    Args:
        scheduler: the scheduler.
        names: names of the models, the default first.
        renderer: renderer of the models' tokenizer.
        limits: limits of requests.
        settings: settings of the HTTP side.
        dtype: dtype that the models compute in, such as `bfloat16`.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        names: Sequence[str],
        renderer: Renderer,
        limits: Limits,
        settings: Settings,
        dtype: str,
    ):
        self.scheduler, self.names, self.renderer = scheduler, names, renderer
        self.limits, self.settings, self.metrics = limits, settings, Metrics(scheduler)
        self.dtype, self.created = dtype, int(time.time())
        # Few threads, because they share the cores with the engine.
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")

    @classmethod
    def open(
        cls,
        models: ServedModels,
        tokenizer: PreTrainedTokenizerFast,
        settings: Settings,
        *,
        names: Sequence[str] | None = None,
        max_running: int = 32,
        max_queue: int = 256,
        max_new_tokens: int | None = None,
    ) -> Service:
        """Open a service over models, with a scheduler of its own. `close` ends it.

        Args:
            models: the models.
            tokenizer: their tokenizer.
            settings: settings of the HTTP side.
            names: names of the models, the default first; by default the base is first.
            max_running: completions that run at the same time.
            max_queue: requests that wait at most.
            max_new_tokens: longest answer; by default the context.
        """
        config = models.model.config
        context = config.max_position_embeddings
        limits = Limits(
            context=context,
            max_new_tokens=min(max_new_tokens or context, context),
            completions=max_running,
            vocabulary=config.vocab_size,
            decoding=_default_decoding(models.model.generation_config),
        )
        scheduler = Scheduler(models, max_running=max_running, max_queue=max_queue)
        dtype = str(models.model.dtype).removeprefix("torch.")
        return cls(scheduler, names or models.names, get_renderer(tokenizer), limits, settings, dtype)

    def close(self) -> None:
        """End all answers, and the engine."""
        self.scheduler.close()
        self._readers.shutdown(wait=False, cancel_futures=True)

    def check_access(self, request: Request) -> None:
        """Raise ApiError for a request to another host's name, or without the API key."""
        if self.settings.local_only and not is_loopback(
            re.sub(r":\d*$", "", request.headers.get("host", "")).strip("[]")
        ):
            raise ApiError(403, "this server answers requests to its loopback address only.", code="forbidden_host")
        if not self.settings.key:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # As bytes, because compare_digest refuses texts that are not ASCII.
        is_same = secrets.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self.settings.key.encode())
        if scheme.lower() != "bearer" or not is_same:
            raise ApiError(401, "the API key is missing or wrong. Send it as `Authorization: Bearer KEY`.", code="invalid_api_key",
                           headers={"WWW-Authenticate": "Bearer"})  # fmt: skip

    async def read(self, request: Request, is_chat: bool) -> Plan:
        """Read a request's body, and turn it into a plan. Raises ApiError for a request that is not answered."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ApiError(415, "the body must be JSON. Send the header `Content-Type: application/json`.")
        raw, limit = bytearray(), self.settings.body_bytes
        async for part in request.stream():
            raw += part
            if len(raw) > limit:
                raise ApiError(
                    413, f"the body has more than {limit:,} bytes. Shorten the prompt.", headers={"Connection": "close"}
                )
        # In a thread: a long text takes a while to encode, and streams of other clients must not wait for it.
        arguments = (bytes(raw), is_chat, self.names, self.renderer, self.limits)
        return await asyncio.get_running_loop().run_in_executor(self._readers, read_request, *arguments)

    async def pieces(self, plan: Plan, deadline: float, answers: list[Answer]) -> AsyncGenerator[Piece]:
        """Draw the answers of a plan, and yield their pieces. What still runs at the end, or when the caller leaves, is cancelled.

        Args:
            plan: the plan.
            deadline: time of the event loop at which the answers must have ended.
            answers: the answers, one per completion.

        Raises:
            ApiError: if the engine fails, the time is over, the queue is full, or the server stops.
        """
        loop, arrived = asyncio.get_running_loop(), asyncio.Queue[Delivery]()
        start = time.perf_counter()

        def deliver(delivery: Delivery) -> None:
            loop.call_soon_threadsafe(arrived.put_nowait, delivery)

        try:
            job = self.scheduler.submit(plan.model, plan.requests, deliver)
        except QueueFull:
            raise ApiError(429, f"{self.scheduler.max_queue} requests wait already. Try again in a few seconds.", code="queue_full",
                           headers={"Retry-After": str(RETRY_SECONDS)}) from None  # fmt: skip
        except Closed:
            raise _closed() from None
        self.metrics.prompt_tokens.labels(plan.model).inc(plan.prompt_tokens)
        try:
            while not all(answer.is_over for answer in answers):
                try:
                    async with asyncio.timeout_at(deadline):
                        delivery = await arrived.get()
                except TimeoutError:
                    raise ApiError(504, f"the answer was not finished within {self.settings.timeout:g} seconds. Request a shorter answer, or "
                                   "try again when the server has less to do.", code="timeout") from None  # fmt: skip
                if isinstance(delivery, Closed):
                    raise _closed()
                if isinstance(delivery, Exception):
                    raise ApiError(
                        500, "the engine failed at this request: the server's log has the reason.", code="engine_fault"
                    )
                if not any(answer.length for answer in answers):
                    self.metrics.first_token.observe(time.perf_counter() - start)
                self.metrics.completion_tokens.labels(plan.model).inc(len(delivery))
                for index, event in delivery:
                    piece = answers[index].push(event)
                    if answers[index].is_over and event.finish is None:  # a stop text
                        self.scheduler.cancel(job, [index])
                    if piece is not None:
                        yield piece
        finally:
            self.metrics.duration.observe(time.perf_counter() - start)
            if not all(answer.is_over for answer in answers):
                self.scheduler.cancel(job)

    async def answer(self, request: Request, is_chat: bool) -> Response:
        """Answer a request for completions."""
        deadline = asyncio.get_running_loop().time() + self.settings.timeout
        plan = await self._in_time(self.read(request, is_chat), deadline)
        writer = Writer(plan, self.renderer)
        answers = [Answer(plan, index, self.renderer) for index in range(len(plan.requests))]
        pieces = self.pieces(plan, deadline, answers)
        is_handed_over = False
        try:
            if plan.stream:  # begins with the first piece, so that an error before it has its own status
                first = await unless_gone(request, anext(pieces))
                is_handed_over = first is not None
                return (
                    Response(status_code=GONE)
                    if first is None
                    else ClosingStream(self._events(plan, writer, first, pieces, answers), pieces)
                )
            whole = await unless_gone(request, _collect(pieces))
            if whole is None:
                return Response(status_code=GONE)
            return JSONResponse(writer.whole(whole, sum(answer.length for answer in answers)))
        finally:
            if not is_handed_over:
                await pieces.aclose()

    async def _in_time(self, work: Awaitable[Plan], deadline: float) -> Plan:
        try:
            async with asyncio.timeout_at(deadline):
                return await work
        except TimeoutError:
            raise ApiError(408, f"the request was not received within {self.settings.timeout:g} seconds.") from None

    async def _events(
        self, plan: Plan, writer: Writer, first: Piece, pieces: AsyncIterator[Piece], answers: Sequence[Answer]
    ) -> AsyncIterator[str]:
        """Yield the server-sent events of an answer; an error is an event too, because the status has been sent already."""
        try:
            if plan.is_chat:
                for index in range(len(plan.requests)):
                    yield _event(writer.opening(index))
            yield _event(writer.chunk(first))
            async for piece in pieces:
                yield _event(writer.chunk(piece))
            if plan.usage:
                yield _event(writer.usage_chunk(writer.usage(sum(answer.length for answer in answers))))
            yield "data: [DONE]\n\n"
        except ApiError as error:
            yield _event(error.body)


def _default_decoding(config: Any) -> Decoding:
    """Return the decoding of requests without a temperature: that of the checkpoint's generation_config.json, or greedy."""
    if not getattr(config, "do_sample", None):
        return Decoding(1, greedy=True)
    names = ("temperature", "top_k", "top_p")
    return Decoding(1, **{name: value for name in names if (value := getattr(config, name, None)) is not None})


def _event(value: Any) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _closed() -> ApiError:
    return ApiError(503, "the server stops.", code="stopping", headers={"Retry-After": str(RETRY_SECONDS)})


async def _collect(pieces: AsyncIterator[Piece]) -> list[Piece]:
    return [piece async for piece in pieces]


def read_page() -> tuple[str, str]:
    """Return the page to chat in, and its content security policy: its own script and style, and requests to this server."""
    text = (files("hrm_align") / "serve" / "page.html").read_text(encoding="utf-8")
    allowed = {}
    for tag in ("script", "style"):
        inner = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert inner is not None, f"the page has no <{tag}>"
        allowed[tag] = "sha256-" + base64.b64encode(hashlib.sha256(inner[1].encode()).digest()).decode()
    policy = "; ".join([
        "default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        *(f"{tag}-src '{value}'" for tag, value in allowed.items()),
    ])  # fmt: skip
    return text, policy


def build_app(service: Service) -> FastAPI:
    """Build the ASGI application."""
    app = FastAPI(
        title="hrm_align", docs_url=None, redoc_url=None, openapi_url=None
    )  # its pages load scripts from elsewhere
    text, policy = read_page()

    @app.exception_handler(ApiError)
    async def on_error(_: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(error.body, error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def on_http_error(_: Request, error: HTTPException) -> JSONResponse:
        words = {404: "there is no such page", 405: "this page does not take that method"}
        fault = ApiError(error.status_code, f"{words.get(error.status_code, error.detail)}.")
        return JSONResponse(fault.body, error.status_code, error.headers)

    async def counted(request: Request, is_chat: bool, endpoint: str) -> Response:
        status = GONE
        try:
            service.check_access(request)
            response = await service.answer(request, is_chat)
            status = response.status_code
            return response
        except ApiError as error:
            status = error.status
            raise
        except ClientDisconnect:  # while it sent the body
            return Response(status_code=GONE)
        except Exception as error:
            status = 500
            LOG.error("a request failed", exc_info=error)
            raise ApiError(
                500, "the server failed at this request: its log has the reason.", code="server_fault"
            ) from None
        finally:
            service.metrics.requests.labels(endpoint, str(status)).inc()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        return await counted(request, True, "chat")

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        return await counted(request, False, "completions")

    @app.get("/v1/models")
    async def models(request: Request) -> JSONResponse:
        service.check_access(request)
        shared = {
            "object": "model",
            "created": service.created,
            "owned_by": "hrm_align",
            "max_model_len": service.limits.context,
            "dtype": service.dtype,
        }
        return JSONResponse({"object": "list", "data": [{"id": name, **shared} for name in service.names]})

    @app.get("/health")
    async def health() -> JSONResponse:
        is_well = service.scheduler.is_well
        return JSONResponse({"status": "ok" if is_well else "the engine fails: see the log"}, 200 if is_well else 503)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        service.check_access(request)
        return Response(service.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/")
    async def chat_page(request: Request) -> HTMLResponse:
        headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return HTMLResponse(text, headers=headers)

    if service.settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=[*service.settings.origins], allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"],
        )  # fmt: skip
    return app
