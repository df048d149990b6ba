"""Zygote: a process that imports all modules for programs once, and then forks a confined child for each job.

Descriptor 0 is the channel to the trainer, in both directions; descriptor 1 is /dev/null. Requests and replies are
lines of JSON, each with its `"id"`. The first request has the settings and gets its reply once the modules are
imported; each later request is a job:

    {"layers": ["limits", "seccomp"], "limits": {...}}  ->  {}
    {"job": "{\\"source\\": ...}"}                       ->  {"end": "exited", "status": 0, ..., "written": "{\\"kind\\": ...}"}

The job is passed to `program.answer`, and `written` is the output of the child. The zygote parses neither; `written`
has one character (U+0000 to U+00FF) for each byte. When the trainer closes its end or dies, the zygote kills its child
and exits.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import time
from typing import Any, NoReturn

from . import Limits
from .confinement import confine
from .program import answer, load_modules

_TRAINER, _NULL, _ERRORS, _ANSWER = 0, 1, 2, 3
_CONFINED = b"+"  # first byte of a child's output, written after confinement and before the program is parsed
_DESCRIPTORS = 64  # limit on open descriptors of this process, which needs seven
_PAUSE = 0.0002  # seconds between checks whether a child has ended


class _TrainerGone(Exception):
    """The trainer closed its end of the channel."""


def main() -> None:
    """Answer requests until the trainer closes the channel."""
    requests = map(json.loads, os.fdopen(_TRAINER, "rb", closefd=False))
    settings = next(requests)
    layers, limits = settings["layers"], Limits(**settings["limits"])
    load_modules()
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    os.chdir("/")
    os.environ.clear()
    gc.freeze()  # keeps a garbage collection in a child from copying the memory pages of the zygote
    _reply(settings, {})
    for request in requests:
        try:
            end, written = _run_job(request["job"].encode(), layers, limits)
        except _TrainerGone:
            return
        _reply(request, {**end, "written": written.decode("latin-1")})


def _reply(request: dict[str, Any], message: dict[str, Any]) -> None:
    _write_all(_TRAINER, json.dumps({"id": request["id"], **message}).encode() + b"\n")


def _write_all(descriptor: int, data: bytes) -> None:
    """Call `os.write` until all data is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _run_job(request: bytes, layers: list[str], limits: Limits) -> tuple[dict[str, Any], bytes]:
    """Run one job in a forked child.

    Args:
        request: the job as JSON.
        layers: confinement layers for the child.
        limits: limits of the job.

    Returns:
        How the child ended: `end` ("exited", "timeout", "output" or "unconfined"), `status`, `seconds` and `reason`;
        and the output of the program.

    Raises:
        _TrainerGone: if the trainer closes the channel meanwhile.
    """
    parent, start = os.getpid(), time.monotonic()
    source, sink = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        os.close(sink)
        os.close(source)
        return {"end": "unconfined", "reason": f"fork: {error}", "seconds": 0.0}, b""
    if child == 0:
        _run_child(request, layers, limits, parent, sink)
    os.close(sink)
    try:
        written, end = _read_output(source, limits.output_bytes + 1, start + limits.wall_seconds)
        status, cpu_seconds = _wait_for_exit(child, start + limits.wall_seconds if end == "exited" else 0.0)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        os.close(source)
    # At the limit on processor time the kernel sends SIGKILL. The clock of the limit is coarser than the reported time,
    # so half of the limit separates such a kill from a SIGKILL of another origin.
    used_up = status == -signal.SIGKILL and cpu_seconds >= limits.cpu_seconds / 2
    if end == "exited" and (status is None or used_up):
        end = "timeout"
    seconds, reason = time.monotonic() - start, ""
    if written[:1] != _CONFINED and end == "exited":
        end, reason = "unconfined", written.decode(errors="replace") or f"the child ended with {status}"
    return {"end": end, "status": status, "seconds": seconds, "reason": reason}, written[1:]


def _read_output(source: int, max_bytes: int, deadline: float) -> tuple[bytes, str]:
    """Read the output of the child.

    Returns:
        The output, and why reading stopped: "exited" (the child exited or closed its output), "timeout" or "output".

    Raises:
        _TrainerGone: if the trainer closes the channel.
    """
    written = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([source, _TRAINER], [], [], left)
        if _TRAINER in ready:  # readable only after a close, since the trainer sends nothing while it waits for a reply
            raise _TrainerGone
        if source in ready:
            part = os.read(source, 1 << 16)
            written += part
            if not part:
                return bytes(written), "exited"
            if len(written) > max_bytes:
                return b"", "output"
    return b"", "timeout"


def _wait_for_exit(child: int, deadline: float) -> tuple[int | None, float]:
    """Wait for the end of a child, and kill the child at the deadline.

    Returns:
        The exit status, or minus the signal, or None if the deadline passed; and the processor time in seconds.

    Raises:
        _TrainerGone: if the trainer closes the channel.
    """
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None, 0.0
        if select.select([_TRAINER], [], [], _PAUSE)[0]:
            raise _TrainerGone


def _run_child(request: bytes, layers: list[str], limits: Limits, parent: int, sink: int) -> NoReturn:
    """Run the job in this forked child, and exit. Must never return, or the child would continue as a second zygote."""
    leave, write = os._exit, _write_all
    try:
        os.dup2(sink, _ANSWER)
        for descriptor in (_TRAINER, _ERRORS):
            os.dup2(_NULL, descriptor)
        os.closerange(_ANSWER + 1, _DESCRIPTORS)
        try:
            confine(layers, limits, parent)
        except OSError as error:
            write(_ANSWER, f"{error}".encode())
            leave(1)
        write(_ANSWER, _CONFINED)
        write(_ANSWER, answer(request))
        leave(0)
    finally:
        leave(1)
