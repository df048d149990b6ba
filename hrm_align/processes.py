"""Handle of a worker process: start the process, send requests, receive replies within a deadline, stop the process.

Parent and worker exchange lines of JSON over a private socket pair. Each request has one reply with the same `id`:

    {"id": "7f3a", "completion": "SELECT 1"}  ->  {"id": "7f3a", "right": true}

A misbehaving worker causes a `WorkerLost` in the parent, at the latest at the deadline, and no other error. This module
imports only the standard library, since workers start workers of their own.
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

REPLY_BYTES = 10_000  # largest reply, unless the request allows more
STOP_SECONDS = 2.0  # time for a worker to exit after its channel is closed, before it is killed


class WorkerLost(Exception):
    """A worker failed and cannot be used any more.

    Args:
        kind: "timeout", "died" or "garbled", as in `hrm_align.rewards.scoring.KINDS`.
        detail: description of the failure for users.
    """

    def __init__(self, kind: str, detail: str):
        super().__init__(detail)
        self.kind, self.detail = kind, detail


class WorkerProcess:
    """Process that answers requests, one at a time, in a session of its own, so that Ctrl-C does not reach the process.

    After a fork, only the parent can use the worker; the child neither uses nor ends the worker nor keeps it alive. A
    worker that was not stopped is stopped when its parent exits.

    Args:
        command: the command to start. Standard input of the process is the channel, in both directions.
        lifeline: make standard input a pipe without data that closes when the parent ends. The channel is then the
            descriptor that is appended to `command`.
        capture_stderr: report the last line of standard error when the worker fails; otherwise standard error is
            discarded.
        env: environment of the process, by default the environment of the parent.
        cwd: working directory of the process, by default the working directory of the parent.
        pass_fds: further descriptors that the process inherits, under the same numbers.

    Raises:
        OSError: if the process cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        lifeline: bool = False,
        capture_stderr: bool = False,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        pass_fds: Sequence[int] = (),
    ):
        self.deadline = 0.0  # deadline of the last request
        self._id = ""  # id of the request without a reply
        self._buffer = bytearray()  # the part of a reply that was received
        self._max_bytes = REPLY_BYTES
        self._loss: WorkerLost | None = None
        self._socket, theirs = socket.socketpair()
        with theirs:
            channel = theirs.fileno()
            self._process = subprocess.Popen(
                [*command, str(channel)] if lifeline else command,
                stdin=subprocess.PIPE if lifeline else channel,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE if capture_stderr else subprocess.DEVNULL,
                pass_fds=[*pass_fds, channel] if lifeline else pass_fds,
                env=env,
                cwd=cwd,
                start_new_session=True,  # one signal to the group also ends the processes that the worker started
            )
        forget_after_fork(self)

    def fileno(self) -> int:
        """Return the descriptor for `select`, which is readable when `receive_reply` has something to read."""
        return self._socket.fileno()

    @property
    def pid(self) -> int:
        """Process id of the started process, which leads its process group."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    @property
    def overdue(self) -> bool:
        """Whether the deadline of the last request has passed."""
        return time.monotonic() > self.deadline

    def send_request(self, request: Mapping[str, Any], seconds: float, max_bytes: int = REPLY_BYTES) -> None:
        """Send a request.

        Args:
            request: the JSON object to send.
            seconds: time limit for sending the request and receiving the reply.
            max_bytes: largest size of the reply.

        Raises:
            WorkerLost: if the worker has ended, or does not read the request in time.
        """
        self.deadline = time.monotonic() + seconds
        self._id, self._max_bytes = secrets.token_hex(8), max_bytes
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(json.dumps({"id": self._id, **request}).encode("ascii") + b"\n")
        except TimeoutError:
            raise self._record_loss("timeout", "the worker does not read its request") from None
        except OSError:
            raise self._record_loss("died") from None

    def receive_reply(self, seconds: float = 0.0) -> dict[str, Any] | None:
        """Return the reply to the last request; None if the reply is not complete within `seconds`.

        Raises:
            WorkerLost: if the worker has ended, or wrote something other than a valid reply.
        """
        end = time.monotonic() + seconds
        while not self._buffer.endswith(b"\n"):
            try:
                self._socket.settimeout(max(0.0, end - time.monotonic()))
                chunk = self._socket.recv(1 << 16)
            except (BlockingIOError, TimeoutError):
                return None
            except OSError:
                chunk = b""
            if not chunk:
                raise self._record_loss("died")
            self._buffer += chunk
            if len(self._buffer) > self._max_bytes:
                raise self._record_loss(
                    "garbled", f"the worker wrote more than {self._max_bytes:,} bytes instead of a reply"
                )
        line, self._buffer = bytes(self._buffer), bytearray()
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict) or not self._id or reply.get("id") != self._id:
            raise self._record_loss("garbled", f"the worker wrote {line[:40]!r} instead of a reply")
        self._id = ""
        return reply

    def wait_for_reply(self) -> dict[str, Any]:
        """Return the reply to the last request, waiting until the deadline of the request.

        Raises:
            WorkerLost: if the deadline passes, the worker has ended, or the worker wrote something other than a valid
                reply.
        """
        reply = self.receive_reply(self.deadline - time.monotonic())
        if reply is None:
            raise self._record_loss("timeout", "the worker does not answer (timed out)")
        return reply

    def close_channel(self) -> None:
        """Close the channel and the lifeline. A healthy worker exits within milliseconds after that."""
        self._socket.close()
        if self._process.stdin:
            self._process.stdin.close()

    def stop(self, seconds: float | None = None) -> None:
        """Stop the worker: close its channel, and kill its process group if the worker does not exit in time.

        Args:
            seconds: time for the worker to exit, by default `STOP_SECONDS`.
        """
        self.close_channel()
        try:
            self._process.wait(STOP_SECONDS if seconds is None else seconds)
        except subprocess.TimeoutExpired:
            self._kill()
        if self._process.stderr:
            self._process.stderr.close()

    def forget(self) -> None:
        """Release the worker in a forked process, since the worker belongs to the parent.

        All descriptors are closed here, so that the worker notices the end of the parent while the fork still runs.
        """
        self.close_channel()
        if self._process.stderr:
            self._process.stderr.close()
        self._process.returncode = 0  # marks the process as ended: this fork neither waits for the process nor kills it

    def _kill(self) -> None:
        if not self.ended:  # the process id of an ended process may belong to another process
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _record_loss(self, kind: str, detail: str = "") -> WorkerLost:
        """Return the error of this worker; the first call determines the error for all later calls.

        With `capture_stderr`, the last line of standard error replaces the detail, as in
        `bwrap: Creating new namespace failed`.
        """
        if self._loss is None:
            detail = detail or self._describe_exit()
            if self._process.stderr:
                self._kill()
                lines = self._process.stderr.read(1 << 16).decode(errors="replace").strip().splitlines()
                detail = lines[-1] if lines else detail
            self._loss = WorkerLost(kind, detail)
        return self._loss

    def _describe_exit(self) -> str:
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return "the worker closed its channel"
        if code < 0 or code > 128:  # above 128: a shell or a guardian reports the signal that ended its child
            with suppress(ValueError):
                return f"the worker was killed by {signal.Signals(-code if code < 0 else code - 128).name}"
        return f"the worker ended with exit code {code}"


class _ForkAware(Protocol):
    def forget(self) -> None: ...


_HOLDERS: WeakSet[_ForkAware] = WeakSet()


def forget_after_fork(holder: _ForkAware) -> None:
    """Call `holder.forget()` in every fork of this process, since workers and locks belong to the parent."""
    _HOLDERS.add(holder)


def _forget_all_after_fork() -> None:
    for holder in list(_HOLDERS):
        holder.forget()


def _stop_all_workers() -> None:
    workers = [holder for holder in _HOLDERS if isinstance(holder, WorkerProcess)]
    for worker in workers:  # close all channels first, so that the workers exit in parallel
        worker.close_channel()
    for worker in workers:
        worker.stop()


atexit.register(_stop_all_workers)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all_after_fork)
