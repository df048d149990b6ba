"""Zygote: a process that imports all modules for programs once, and then forks confined children for each job.

Descriptor 0 is the channel to the trainer, in both directions; descriptor 1 is /dev/null. Requests and replies are
lines of JSON, each with its `"id"`. The first request has the settings and gets its reply once the modules are
imported; each later request is a job:

    {"layers": ["limits", "seccomp"], "limits": {...}}  ->  {}
    {"job": "{\\"source\\": ...}"}                       ->  {"end": "exited", "status": 0, ..., "written": "{\\"kind\\": ...}"}
    {"job": ..., "stdin": "3 4\\n"}                       ->  {..., "written": "7\\n"}
    {"job": ..., "tests": 1200}                           ->  as for the first kind; the child of the tests writes the answer

    {"private": true}                                   ->  {}, and the request that follows is private

A private request is read and served by a fork of the zygote; references are private.

The job is passed to `program.answer`, and `written` is the output of the child. The zygote parses neither; `written`
has one character (U+0000 to U+00FF) for each byte. When the trainer closes its end or dies, the zygote kills its
children and exits.

A job with tests has two children, connected by pipes: the program (`serving`) and its tests (`checking`). The tests come
over a channel of their own, which this process never reads and the program's child closes first. So no process with
the tests in its memory ever becomes the process of a program.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import Any, NoReturn

from . import Limits
from .checking import check
from .confinement import confine, die_with
from .program import answer, load_modules, run_program
from .serving import serve

_TRAINER, _NULL, _ERRORS, _TESTS = 0, 1, 2, 3
_ANSWER = 3  # in a child: descriptor of its output
_STDIN, _STDOUT = 0, 1  # in the child of a program that reads standard input
_CALLS = 4  # in the child of a program with tests
_VALUES, _TO_PROGRAM, _RECEIVED = 4, 5, 6  # in the child of the tests
_CONFINED = b"+"  # first byte of a child's output, written after confinement and before the program is parsed
_DESCRIPTORS = 64  # limit on open descriptors of this process
_MOVED = 32  # descriptors of a child are first copied to this number and above, so that none is overwritten
_PAUSE = 0.0002  # seconds between checks whether a child has ended


class _TrainerGone(Exception):
    """The trainer closed its end of the channel."""


def main() -> None:
    """Answer requests until the trainer closes the channel."""
    settings = json.loads(_read_line())
    layers, limits = settings["layers"], Limits(**settings["limits"])
    if settings["tests"] != _TESTS:
        os.dup2(settings["tests"], _TESTS)
        os.close(settings["tests"])
    load_modules()
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    os.chdir("/")
    os.environ.clear()
    gc.freeze()  # keeps a garbage collection in a child from copying the memory pages of the zygote
    _reply(settings, {})
    zygote = os.getpid()
    while line := _read_line():
        request = json.loads(line)
        if "private" not in request:
            if not _serve(request, layers, limits):
                return
            continue
        supervisor = os.fork()
        if supervisor == 0:
            _serve_private(request, layers, limits, zygote)
        if os.waitpid(supervisor, 0)[1] != 0:
            return


def _serve(request: dict[str, Any], layers: list[str], limits: Limits) -> bool:
    """Run the job of a request and reply. Return whether the trainer is still there."""
    try:
        end, written = _run_job(request, layers, limits)
    except _TrainerGone:
        return False
    _reply(request, {**end, "written": written.decode("latin-1")})
    return True


def _serve_private(announcement: dict[str, Any], layers: list[str], limits: Limits, zygote: int) -> NoReturn:
    """Reply to an announcement, serve the request that follows in this forked process, and exit.

    The zygote, from which later programs are forked, never holds the program of this job and its results.
    """
    status = 1
    try:
        die_with(zygote)
        _reply(announcement, {})
        status = not _serve(json.loads(_read_line()), layers, limits)
    finally:
        os._exit(status)


def _read_line() -> bytes:
    return os.fdopen(_TRAINER, "rb", closefd=False).readline()


def _reply(request: dict[str, Any], message: dict[str, Any]) -> None:
    _write_all(_TRAINER, json.dumps({"id": request["id"], **message}).encode() + b"\n")


def _write_all(descriptor: int, data: bytes) -> None:
    """Call `os.write` until all data is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _run_job(request: dict[str, Any], layers: list[str], limits: Limits) -> tuple[dict[str, Any], bytes]:
    """Run one job in forked children.

    Args:
        request: the job, and for some kinds `stdin`, `tests` or `seconds`.
        layers: confinement layers for the children.
        limits: limits of the job.

    Returns:
        How the child that answers ended: `end` ("exited", "timeout", "output" or "unconfined"), `status`, `seconds` and
        `reason`, and whether the program beside it used half of its processor time or more (`program_timeout`); and its output.

    Raises:
        _TrainerGone: if the trainer closes the channel meanwhile.
    """
    start = time.monotonic()
    deadline = start + min(limits.wall_seconds, request.get("seconds", limits.wall_seconds))
    opened: list[int] = []  # descriptors of this process
    children: list[int] = []  # the last one answers
    used_up = program_used_up = False
    try:
        source = _fork_children(request, layers, limits, opened, children)
        written, end = _read_output(source, limits.output_bytes + 1, deadline)
        status, cpu_seconds = _wait_for_exit(children[-1], deadline if end == "exited" else 0.0)
        children.pop()
        used_up = _is_used_up(status, cpu_seconds, limits)
        if children:  # a program that is being killed by the kernel may not have ended yet
            os.kill(children[0], signal.SIGKILL)
            usage = os.wait4(children.pop(), 0)[2]
            program_used_up = usage.ru_utime + usage.ru_stime >= limits.cpu_seconds / 2
    except OSError as error:
        return {"end": "unconfined", "reason": f"fork: {error}", "seconds": 0.0}, b""
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for descriptor in opened:
            os.close(descriptor)
    if end == "exited" and (status is None or used_up):
        end = "timeout"
    seconds, reason = time.monotonic() - start, ""
    if written[:1] != _CONFINED and end == "exited":
        end, reason = "unconfined", written.decode(errors="replace") or f"the child ended with {status}"
    ended = {"end": end, "status": status, "seconds": seconds, "reason": reason, "program_timeout": program_used_up}
    return ended, written[1:]


def _is_used_up(status: int | None, cpu_seconds: float, limits: Limits) -> bool:
    """Return whether a child was killed at its limit on processor time.

    The kernel sends SIGKILL there. The clock of the limit is coarser than the reported time, so half of the limit
    separates such a kill from a SIGKILL of another origin.
    """
    return status == -signal.SIGKILL and cpu_seconds >= limits.cpu_seconds / 2


def _fork_children(
    request: dict[str, Any], layers: list[str], limits: Limits, opened: list[int], children: list[int]
) -> int:
    """Fork the children of a job.

    Args:
        request: as for `_run_job`.
        layers: as for `_run_job`.
        limits: as for `_run_job`.
        opened: list to which open descriptors are added.
        children: list to which process ids are added.

    Returns:
        Descriptor with the output of the last child.

    Raises:
        OSError: if a child cannot be forked.
    """
    job, parent = request["job"].encode(), os.getpid()

    def pipe() -> tuple[int, int]:
        ends = os.pipe()
        opened.extend(ends)
        return ends

    def fork(run: Callable[[], None], descriptors: list[int], sink: int) -> None:
        child = os.fork()
        if child == 0:
            _run_child(run, descriptors, sink, lambda: confine(layers, limits, parent))
        children.append(child)

    def close(*descriptors: int) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
            opened.remove(descriptor)

    source, sink = pipe()
    if "stdin" in request:
        stdin = os.memfd_create("stdin")
        opened.append(stdin)
        _write_all(stdin, request["stdin"].encode("utf-8", "surrogatepass"))
        os.lseek(stdin, 0, os.SEEK_SET)
        fork(lambda: run_program(job), [stdin, sink, _NULL], _STDOUT)
    elif "tests" not in request:
        fork(lambda: _write_all(_ANSWER, answer(job)), [_NULL, _NULL, _NULL, sink], _ANSWER)
    else:
        calls, to_program = pipe()
        values, to_tests = pipe()
        fork(lambda: serve(job, _CALLS, _ANSWER), [_NULL, _NULL, _NULL, to_tests, calls], _ANSWER)
        tests = [_NULL, _NULL, _NULL, sink, values, to_program, _TESTS]
        fork(lambda: _check(request, limits), tests, -1)
        close(calls, to_program, values, to_tests)
    close(sink)
    return source


def _check(request: dict[str, Any], limits: Limits) -> None:
    """Receive the tests, run them against the program's process, and write the verdict."""
    mark = os.read(_VALUES, 1)
    if mark != _CONFINED:
        _write_all(_ANSWER, mark + os.read(_VALUES, 1000))
        return
    head, payload = request["id"].encode(), bytearray()
    while len(payload) < len(head) + request["tests"]:
        part = os.read(_RECEIVED, len(head) + request["tests"] - len(payload))
        if not part:
            return
        payload += part
    os.close(_RECEIVED)
    if not payload.startswith(head):
        _write_all(_ANSWER, b"the tests of another job arrived")
        return
    _write_all(_ANSWER, _CONFINED)
    _write_all(_ANSWER, check(bytes(payload[len(head) :]), _VALUES, _TO_PROGRAM, limits.output_bytes))


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


def _run_child(run: Callable[[], None], descriptors: list[int], sink: int, confine: Callable[[], None]) -> NoReturn:
    """Confine this forked child, run a function, and exit.

    Must never return, or the child would continue as a second zygote.

    Args:
        run: the function.
        descriptors: the descriptors that become 0, 1, 2, and so on; all others are closed.
        sink: number of the descriptor that reports the confinement; -1 if `run` reports it.
        confine: applies the confinement.
    """
    leave, write = os._exit, _write_all
    try:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, _MOVED + number)
        for number in range(len(descriptors)):
            os.dup2(_MOVED + number, number)
        os.closerange(len(descriptors), _DESCRIPTORS)
        try:
            confine()
        except OSError as error:
            write(sink if sink >= 0 else _ANSWER, f"{error}".encode())
            leave(1)
        if sink >= 0:
            write(sink, _CONFINED)
        run()
        leave(0)
    finally:
        leave(1)
