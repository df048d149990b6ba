"""Run a function in a process with its own namespaces, where a hostile program that escapes finds nothing of value."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn, TypeVar

from hrm_align.errors import RunError, UserError

T = TypeVar("T")

# World-writable folders, which get an empty tmpfs in the namespace; a folder that contains this script is left out.
FOLDERS = tuple(folder for folder in ("/tmp", "/var/tmp", "/dev/shm") if not __file__.startswith(folder))
_NAMESPACES = (
    0x00020000 | 0x20000000 | 0x08000000 | 0x04000000 | 0x40000000
)  # mounts, processes, IPC, host name, network
_PRIVATE = (1 << 14) | (1 << 18)  # MS_REC, MS_PRIVATE
# Why there may be no result, by exit code; a signal is added to _SIGNAL.
_SIGNAL = 128
_ENDS = {0: "it left by itself", 1: "the namespaces could not be made", 2: "its result could not be sent"}
_SIOCSIFFLAGS, _IFF_UP, _PR_SET_PDEATHSIG = 0x8914, 1, 1


def in_namespaces(function: Callable[[], T]) -> T:
    """Run a function in a forked process that is the first process of new namespaces, and return its result.

    Raises:
        UserError: if this user cannot make namespaces. Then no hostile program may run.
        RunError: if the function raises; the message is its traceback.
    """
    refusal = why_not()
    if refusal:
        raise UserError(
            f"no namespaces: {refusal}. Hostile programs must not run without namespaces: run as root on Linux."
        )
    sys.stdout.flush()
    source, sink = os.pipe()
    outer = os.fork()
    if outer == 0:
        _lead(function, sink)
    os.close(sink)
    with os.fdopen(source, "rb") as stream:
        data = stream.read()
    _, status = os.waitpid(outer, 0)
    if not data:
        code = os.waitstatus_to_exitcode(status)
        raise RunError(
            f"the process in the namespaces ended without a result: {_ENDS.get(code, f'signal {code - _SIGNAL}')}."
        )
    done, result = pickle.loads(data)  # written by our own forked process, so safe to unpickle
    if not done:
        raise RunError(result)
    return result


def why_not() -> str | None:
    """Return why namespaces cannot be made here, or None if they can. A process that ends at once tries it."""
    if sys.platform != "linux":
        return "this is not Linux"
    trial = os.fork()
    if trial == 0:
        os._exit(int(ctypes.CDLL(None).unshare(_NAMESPACES) != 0))
    _, status = os.waitpid(trial, 0)
    return "this user may not make namespaces (root may, outside of most containers)" if status else None


def _lead(function: Callable[[], object], sink: int) -> NoReturn:
    """Make the namespaces, fork their first process, wait for it, and exit with a code of `_ENDS` or its signal."""
    code = 1
    try:
        libc = ctypes.CDLL(None)
        if libc.unshare(_NAMESPACES) == 0:
            first = os.fork()
            if first == 0:
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                _send_result(function, sink)
            ended = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
            code = ended if ended >= 0 else _SIGNAL - ended
    finally:
        os._exit(code)


def _send_result(function: Callable[[], object], sink: int) -> NoReturn:
    """Run the function and write (whether it returned, its result or traceback) to the pipe."""
    try:
        _set_up()
        result: tuple[bool, object] = (True, function())
    except BaseException:
        result = (False, traceback.format_exc())
    code = 2
    try:
        sys.stdout.flush()
        with os.fdopen(sink, "wb") as stream:
            pickle.dump(result, stream)
        code = 0
    finally:
        os._exit(code)


def _set_up() -> None:
    """Make mounts private, mount /proc and empty folders, and start the loopback interface."""
    if ctypes.CDLL(None).mount(None, b"/", None, ctypes.c_ulong(_PRIVATE), None):
        raise UserError("mounts cannot be made private here. Run as root, outside of a container.")
    for kind, folder in (("proc", "/proc"), *(("tmpfs", folder) for folder in FOLDERS)):
        subprocess.run(["mount", "-t", kind, kind, folder], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
