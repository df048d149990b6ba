"""A worker process as the process that holds it sees it: started, asked, heard within a deadline, and ended for certain.

The two exchange lines of JSON over a socket that only they have. A line is a request or the one reply to it, by its `id`:

    {"id": "7f3a", "completion": "SELECT 1"}  ->  {"id": "7f3a", "right": true}

Whatever the worker does, it costs its holder no more than the deadline and a `Lost`. The standard library alone is imported
here, since workers hold workers of their own.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakSet

REPLY_BYTES = 10_000  # of a reply at most, unless the request allows it more
STOP_SECONDS = 2.0  # for a worker to end by itself, before it is killed


class Lost(Exception):
    """A worker that cannot be used any more. `kind` is "timeout", "died" or "garbled", as in `hrm_align.rewards.suite.KINDS`."""

    def __init__(self, kind: str, detail: str):
        super().__init__(detail)
        self.kind, self.detail = kind, detail


class WorkerProcess:
    """A process that answers requests, one at a time. It is in a session of its own: a Ctrl-C does not reach it.

    After a fork it belongs to the parent alone: it is neither used nor ended nor kept alive by the child. One that nobody
    has stopped is stopped when its holder exits.

    Args:
        command: what to start. Its standard input is the channel, both ways.
        lifeline: make its standard input a pipe that carries nothing and closes with its holder. The channel is then the
            descriptor that is appended to `command`.
        hear_errors: report the last line of its standard error, which is otherwise discarded, when it is lost.
        env: its environment, by default that of its holder.
        cwd: its working directory, by default that of its holder.

    Raises:
        OSError: if it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        lifeline: bool = False,
        hear_errors: bool = False,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ):
        self.deadline = 0.0  # of the last request
        self._id = ""  # of the request without a reply
        self._heard = bytearray()
        self._most = REPLY_BYTES
        self._loss: Lost | None = None
        self._socket, theirs = socket.socketpair()
        with theirs:
            channel = theirs.fileno()
            self._process = subprocess.Popen(
                [*command, str(channel)] if lifeline else command,
                stdin=subprocess.PIPE if lifeline else channel,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE if hear_errors else subprocess.DEVNULL,
                pass_fds=[channel] if lifeline else [],
                env=env,
                cwd=cwd,
                start_new_session=True,  # and one signal ends all that it has started there
            )
        forget_in_forks(self)

    def fileno(self) -> int:
        """For `select`: readable when there is something to `receive`."""
        return self._socket.fileno()

    @property
    def pid(self) -> int:
        """The process that was started, which leads its process group."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    @property
    def overdue(self) -> bool:
        """Whether the reply should have come by now."""
        return time.monotonic() > self.deadline

    def ask(self, request: Mapping[str, Any], seconds: float, most: int = REPLY_BYTES) -> None:
        """Send a request, to be answered in so many seconds with at most so many bytes.

        Raises:
            Lost: if the worker has ended, or does not read.
        """
        self.deadline = time.monotonic() + seconds
        self._id, self._most = secrets.token_hex(8), most
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(json.dumps({"id": self._id, **request}).encode("ascii") + b"\n")
        except TimeoutError:
            raise self._lost("timeout", "it does not read what it is asked") from None
        except OSError:
            raise self._lost("died") from None

    def receive(self, seconds: float = 0.0) -> dict[str, Any] | None:
        """The reply; None if it is not complete in so many seconds.

        Raises:
            Lost: if the worker has ended, or has written something else.
        """
        end = time.monotonic() + seconds
        while not self._heard.endswith(b"\n"):
            try:
                self._socket.settimeout(max(0.0, end - time.monotonic()))
                chunk = self._socket.recv(1 << 16)
            except (BlockingIOError, TimeoutError):
                return None
            except OSError:
                chunk = b""
            if not chunk:
                raise self._lost("died")
            self._heard += chunk
            if len(self._heard) > self._most:
                raise self._lost("garbled", f"it wrote more than {self._most:,} bytes where its reply should be")
        line, self._heard = bytes(self._heard), bytearray()
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict) or not self._id or reply.get("id") != self._id:
            raise self._lost("garbled", f"it wrote {line[:40]!r} where its reply should be")
        self._id = ""
        return reply

    def wait(self) -> dict[str, Any]:
        """The reply, waited for until the deadline of the request.

        Raises:
            Lost: if there is none by then, or as `receive`.
        """
        reply = self.receive(self.deadline - time.monotonic())
        if reply is None:
            raise self._lost("timeout", "it does not answer (timed out)")
        return reply

    def end(self) -> None:
        """Close the channel and the lifeline, at which the worker ends by itself, in milliseconds if nothing is wrong."""
        self._socket.close()
        if self._process.stdin:
            self._process.stdin.close()

    def stop(self, seconds: float | None = None) -> None:
        """End the worker and all of its process group: by itself in so many seconds (`STOP_SECONDS`), or killed."""
        self.end()
        try:
            self._process.wait(STOP_SECONDS if seconds is None else seconds)
        except subprocess.TimeoutExpired:
            self._kill()
        if self._process.stderr:
            self._process.stderr.close()

    def forget(self) -> None:
        """In a forked process: leave the worker to the parent, of whose end it learns by what is closed here."""
        self.end()
        if self._process.stderr:
            self._process.stderr.close()
        self._process.returncode = 0  # so that nobody here waits for it, or kills it

    def _kill(self) -> None:
        if not self.ended:  # else its number may be another's by now
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _lost(self, kind: str, detail: str = "") -> Lost:
        """The error, the same from now on. If its errors are heard, the last one tells more: `bwrap: Creating new namespace failed`."""
        if self._loss is None:
            detail = detail or self._how_it_ended()
            if self._process.stderr:
                self._kill()
                lines = self._process.stderr.read(1 << 16).decode(errors="replace").strip().splitlines()
                detail = lines[-1] if lines else detail
            self._loss = Lost(kind, detail)
        return self._loss

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return "it has closed its end"
        if code < 0 or code > 128:  # of a shell, or of a guardian, that hands on a signal
            with suppress(ValueError):
                return f"it was killed by {signal.Signals(-code if code < 0 else code - 128).name}"
        return f"it ended with exit code {code}"


class _Forgetful(Protocol):
    def forget(self) -> None: ...


_KNOWN: WeakSet[_Forgetful] = WeakSet()


def forget_in_forks(holder: _Forgetful) -> None:
    """Have `holder.forget()` called in every process that is forked from this one: its workers and locks are the parent's."""
    _KNOWN.add(holder)


def _forget_all() -> None:
    for holder in list(_KNOWN):
        holder.forget()


def _stop_all() -> None:
    workers = [holder for holder in _KNOWN if isinstance(holder, WorkerProcess)]
    for worker in workers:  # so that they end side by side
        worker.end()
    for worker in workers:
        worker.stop()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
