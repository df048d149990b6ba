"""A zygote as the trainer holds it: started, asked, and stopped for certain."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import Any

from hrm_align.sandbox.backends import Backend, environment
from hrm_align.sandbox.inside.protocol import Limits, framed, read_frame

START_SECONDS = 60.0  # to start Python and import; a tenth of a second, on a computer that has nothing else to do
GRACE_SECONDS = 20.0  # beyond a job's wall time, for the zygote to tell
STOP_SECONDS = 2.0  # before it is killed


class Lost(Exception):
    """The zygote is dead, hangs, or could not confine a job's process. The sandbox failed, not the program."""


class Worker:
    """A zygote behind a wall. It is asked one thing at a time.

    Args:
        backend: the wall.
        limits: what a job may use.
        layers: what a job's process gives up; the backend's, but for a test of one layer without another.

    Raises:
        Lost: if it cannot be started.
    """

    def __init__(self, backend: Backend, limits: Limits, layers: tuple[str, ...] | None = None):
        self._limits = limits
        self._deadline = time.monotonic() + START_SECONDS
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    backend.command(),
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=environment(),
                    cwd="/",
                    start_new_session=True,  # Ctrl-C is not for it; and one signal ends all that it has started
                )
            except OSError as error:
                self._socket.close()
                raise Lost(str(error)) from error
        settings = {"layers": backend.layers if layers is None else layers, "limits": dataclasses.asdict(limits)}
        self._send(json.dumps(settings).encode())

    def fileno(self) -> int:
        """For `select`: readable when `reply` will not wait long."""
        return self._socket.fileno()

    @property
    def pid(self) -> int:
        """Of the process that was started: the zygote, or what holds its wall."""
        return self._process.pid

    @property
    def overdue(self) -> bool:
        """Whether a reply should have come by now."""
        return time.monotonic() > self._deadline

    def wait_until_ready(self) -> None:
        """Until it has imported everything.

        Raises:
            Lost: if it has ended, with what it said.
        """
        if self._receive() != b"ready":
            raise Lost("it does not speak as a zygote does")

    def ask(self, request: bytes) -> None:
        """Hand over a job. Whether it has arrived is told by `reply`."""
        self._deadline = time.monotonic() + self._limits.wall_seconds + GRACE_SECONDS
        self._send(request)

    def reply(self) -> tuple[dict[str, Any], bytes]:
        """How the job's process ended, and what it wrote. Raises Lost."""
        end, written = json.loads(self._receive()), self._receive()
        if end["end"] == "unconfined":
            raise Lost(f"a job's process could not be confined: {end['reason']}")
        return end, written

    def stop(self) -> None:
        """End it and all that it started."""
        self._socket.close()  # which it notices
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
        if self._process.stderr:
            self._process.stderr.close()

    def forget(self) -> None:
        """In a forked process: leave it to the parent, of whose death it learns by this socket alone."""
        self._socket.close()
        self._process.returncode = 0  # so that nobody here waits for it

    def _send(self, message: bytes) -> None:
        self._socket.settimeout(self._left())
        with suppress(OSError):  # then there will be no reply either
            self._socket.sendall(framed(message))

    def _receive(self) -> bytes:
        message, reason = None, "it has ended"
        try:
            self._socket.settimeout(self._left())
            message = read_frame(self._socket.recv)
        except OSError as error:
            reason = f"it does not answer ({error})"
        if message is None:
            raise Lost(self._last_words() or reason)
        return message

    def _left(self) -> float:
        return max(0.001, self._deadline - time.monotonic())

    def _last_words(self) -> str:
        """The last line that it wrote, as `bwrap: Creating new namespace failed`. Ends it."""
        self._kill()
        stream = self._process.stderr
        lines = stream.read(1 << 16).decode(errors="replace").strip().splitlines() if stream else []
        return lines[-1] if lines else ""

    def _kill(self) -> None:
        if self._process.poll() is None:  # else its number may be another's by now
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
