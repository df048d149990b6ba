"""One worker process, seen from outside: started, asked, heard, ended. It never blocks for long and never raises its faults."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

START_BYTES, ROW_BYTES = 10_000, 1_000  # of a reply: for itself, and for each row
END_SECONDS = 2.0  # for a guardian to clear up


class Lost(Exception):
    """A process that cannot be used any more. `kind` is one of `hrm_align.rewards.suite.KINDS`."""

    def __init__(self, kind: str, detail: str):
        super().__init__(detail)
        self.kind, self.detail = kind, detail


class WorkerProcess:
    """A process that has been told to load rewards, and soon will be `ready`.

    Its standard input is the guardian's lifeline; requests and replies go over a socket that only it and its child have.

    Args:
        start: its first line, as `hrm_align.rewards.worker_main` has it.
    """

    def __init__(self, start: Mapping[str, Any]):
        self.ready = False
        self.notes: list[str] = []  # warnings of its rewards, once it is ready
        self._id = ""  # of the request that it is at
        self._heard = bytearray()
        self._most = START_BYTES
        self._socket, theirs = socket.socketpair()
        command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("worker_main.py")), str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C is the trainer's
            )
        with suppress(OSError):  # if it has ended already, `receive` tells
            self._send({"path": sys.path, **start}, END_SECONDS)

    def fileno(self) -> int:
        """Readable when there is something to `receive`."""
        return self._socket.fileno()

    def ask(self, reward: int, rows: list[dict[str, Any]], seconds: float, *, extract: bool = False) -> None:
        """Send a request. A reply that repeats parts of the completions (`extract`) may be as much longer.

        Raises:
            Lost: if the process has ended, or does not read it.
        """
        self._id, self._most = secrets.token_hex(8), START_BYTES + ROW_BYTES * len(rows)
        message = {"id": self._id, "reward": reward, "rows": rows}
        if extract:
            message["extract"] = True
            self._most += sum(len(json.dumps(row["completion"])) for row in rows)
        try:
            self._send(message, seconds)
        except TimeoutError:
            raise Lost("timeout", "it does not read what it is asked") from None
        except OSError:
            raise Lost("died", self._status()) from None

    def receive(self) -> dict[str, Any] | None:
        """What has been replied; None while it is not complete, and for the process having become ready.

        Raises:
            Lost: if the process has ended, or has written something else.
        """
        try:
            chunk = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            chunk = b""
        if not chunk:
            raise Lost("died", self._status())
        self._heard += chunk
        if len(self._heard) > self._most:
            raise Lost("garbled", f"it wrote more than {self._most:,} bytes where its reply should be")
        if not chunk.endswith(b"\n"):
            return None
        try:
            message = json.loads(self._heard)
        except (ValueError, RecursionError):
            message = None
        text = bytes(self._heard[:40])
        self._heard.clear()
        if not isinstance(message, dict) or (self.ready and (not self._id or message.get("id") != self._id)):
            raise Lost("garbled", f"it wrote {text!r} where its reply should be")
        if self.ready:
            self._id = ""
            return message
        if "fault" in message:
            raise Lost("died", str(message["fault"]))
        self.ready, self.notes = True, [str(note) for note in message.get("notes", [])]
        return None

    def end(self) -> subprocess.Popen[bytes]:
        """Have the guardian kill it and all that it has started. The process to wait for, which takes milliseconds."""
        self._socket.close()
        assert self._process.stdin
        self._process.stdin.close()
        return self._process

    def forget(self) -> None:
        """In a forked process: leave it to the parent, and do not keep it alive."""
        self.end().returncode = 0  # so that nobody waits

    def _send(self, message: Mapping[str, Any], seconds: float) -> None:
        self._socket.settimeout(seconds)
        self._socket.sendall(json.dumps(message).encode("ascii") + b"\n")

    def _status(self) -> str:
        """How it has ended."""
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return "it has closed its end"
        if code < 0 or code > 128:
            with suppress(ValueError):
                return f"it was killed by {signal.Signals(-code if code < 0 else code - 128).name}"
        return f"it ended with exit code {code}"


def wait_for(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that was told to end; insist, if it does not."""
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
