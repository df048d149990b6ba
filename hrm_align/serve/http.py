"""HTTP below the endpoints: an application on a socket until a signal, and clients that close their connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

T = TypeVar("T")
STOP_SECONDS = 20  # time for running answers to end after Ctrl-C or SIGTERM, before they are cut off
BACKLOG = 2048  # connections that wait to be accepted


class _Server(uvicorn.Server):
    """uvicorn's server, which reports when it listens."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]):
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def run_app(app: FastAPI, bound: socket.socket, on_ready: Callable[[], object]) -> None:
    """Serve until SIGINT or SIGTERM. The signal is raised again at the end, so that the command ends as it documents.

    Args:
        app: the application.
        bound: socket of `bind`.
        on_ready: called once the server accepts connections.
    """
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, lifespan="off", ws="none", backlog=BACKLOG,
        timeout_graceful_shutdown=STOP_SECONDS,
    )  # fmt: skip
    _Server(config, on_ready).run(sockets=[bound])


class ClosingStream(StreamingResponse):
    """A stream of server-sent events. When it ends, or the client leaves, the generator behind it is closed.

    Args:
        events: text of the events.
        source: the generator that the events come from.
    """

    def __init__(self, events: AsyncIterator[str], source: AsyncGenerator[Any]):
        super().__init__(
            events, media_type="text/event-stream", headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        )
        self._source = source

    async def __call__(self, *arguments: Any) -> None:
        try:
            await super().__call__(*arguments)
        finally:
            await self._source.aclose()


async def unless_gone(request: Request, work: Awaitable[T]) -> T | None:
    """Wait for work, and cancel it if the client closes its connection; returns None then."""
    task, gone = asyncio.ensure_future(work), asyncio.create_task(_wait_until_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
