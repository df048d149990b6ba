"""The process that is started beforehand: it has imported what programs may import, and forks a child for each job.

Descriptor 0 is the trainer, both ways; 1 is /dev/null. Requests and replies are lines of JSON, each with its `"id"`:

    {"layers": ["limits", "seccomp"], "limits": {...}}  ->  {}, once it is ready; then, for each job,
    {"job": "{\\"source\\": ...}"}                       ->  {"end": "exited", "status": 0, ..., "written": "{\\"kind\\": ...}"}

The job is for `program.answer`, and `written` is what the child wrote: both are passed on unread, a byte as the character of
that number.
When the trainer closes its end, or dies, this process kills its child and ends.
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
_CONFINED = b"+"  # what a child writes before it has seen the program; what follows is the program's
_DESCRIPTORS = 64  # that this process may have open; it needs seven
_PAUSE = 0.0002  # between looks at whether a child has ended


class _Deserted(Exception):
    """The trainer has closed its end."""


def main() -> None:
    """Answer requests until the other end closes."""
    requests = map(json.loads, os.fdopen(_TRAINER, "rb", closefd=False))
    settings = next(requests)
    layers, limits = settings["layers"], Limits(**settings["limits"])
    load_modules()
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    os.chdir("/")
    os.environ.clear()
    gc.freeze()  # a collection in a child would copy these pages
    _reply(settings, {})
    for request in requests:
        try:
            end, written = _run(request["job"].encode(), layers, limits)
        except _Deserted:
            return
        _reply(request, {**end, "written": written.decode("latin-1")})


def _reply(request: dict[str, Any], message: dict[str, Any]) -> None:
    _write_all(_TRAINER, json.dumps({"id": request["id"], **message}).encode() + b"\n")


def _write_all(descriptor: int, data: bytes) -> None:
    """`os.write`, until everything is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _run(request: bytes, layers: list[str], limits: Limits) -> tuple[dict[str, Any], bytes]:
    parent, start = os.getpid(), time.monotonic()
    source, sink = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        os.close(sink)
        os.close(source)
        return {"end": "unconfined", "reason": f"fork: {error}", "seconds": 0.0}, b""
    if child == 0:
        _be_the_child(request, layers, limits, parent, sink)
    os.close(sink)
    try:
        written, end = _collect(source, limits.output_bytes + 1, start + limits.wall_seconds)
        status, cpu_seconds = _end_of(child, start + limits.wall_seconds if end == "exited" else 0.0)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        os.close(source)
    # The kernel kills at the limit by a coarser clock than it reports by, so half of it tells the limit from other killers.
    used_up = status == -signal.SIGKILL and cpu_seconds >= limits.cpu_seconds / 2
    if end == "exited" and (status is None or used_up):
        end = "timeout"
    seconds, reason = time.monotonic() - start, ""
    if written[:1] != _CONFINED and end == "exited":
        end, reason = "unconfined", written.decode(errors="replace") or f"the child ended with {status}"
    return {"end": end, "status": status, "seconds": seconds, "reason": reason}, written[1:]


def _collect(source: int, most: int, deadline: float) -> tuple[bytes, str]:
    """What the child writes, and why reading stopped: "exited" (or it has closed its end), "timeout" or "output"."""
    written = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([source, _TRAINER], [], [], left)
        if _TRAINER in ready:  # it sends nothing while it waits
            raise _Deserted
        if source in ready:
            part = os.read(source, 1 << 16)
            written += part
            if not part:
                return bytes(written), "exited"
            if len(written) > most:
                return b"", "output"
    return b"", "timeout"


def _end_of(child: int, deadline: float) -> tuple[int | None, float]:
    """The exit status, or minus the signal, and the processor time of a child; None if it had to be killed."""
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None, 0.0
        if select.select([_TRAINER], [], [], _PAUSE)[0]:
            raise _Deserted


def _be_the_child(request: bytes, layers: list[str], limits: Limits, parent: int, sink: int) -> NoReturn:
    """Never returns: whatever happens, this process must not go on as a second zygote."""
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
