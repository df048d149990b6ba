"""Run an ASGI application on a socket until a signal, with the exit codes of the command line."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

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
