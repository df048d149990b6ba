"""A place where a hostile program that gets out finds nothing of value: namespaces of its own, in a process of its own."""

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

# Where anyone may make files: empty ones of its own, unless these programs themselves are there.
FOLDERS = tuple(folder for folder in ("/tmp", "/var/tmp", "/dev/shm") if not __file__.startswith(folder))
_NAMESPACES = (
    0x00020000 | 0x20000000 | 0x08000000 | 0x04000000 | 0x40000000
)  # mounts, processes, IPC, host name, network
_PRIVATE = (1 << 14) | (1 << 18)  # MS_REC, MS_PRIVATE
_SIOCSIFFLAGS, _IFF_UP, _PR_SET_PDEATHSIG = 0x8914, 1, 1


def in_namespaces(function: Callable[[], T]) -> T:
    """What a function returns in a forked process that is the first of namespaces of its own.

    Raises:
        UserError: if this user may not have them. Then nothing hostile must be run.
        RunError: if the function raises, with its traceback.
    """
    refusal = why_not()
    if refusal:
        raise UserError(f"{refusal}: hostile programs must not run outside of namespaces of their own.")
    sys.stdout.flush()
    source, sink = os.pipe()
    outer = os.fork()
    if outer == 0:
        _lead(function, sink)
    os.close(sink)
    with os.fdopen(source, "rb") as stream:
        told = stream.read()
    os.waitpid(outer, 0)
    if not told:
        raise RunError("the process in the namespaces died.")
    done, result = pickle.loads(told)  # of our own process
    if not done:
        raise RunError(result)
    return result


def why_not() -> str | None:
    """Why namespaces cannot be had here, if so. Tried in a process that ends at once."""
    if sys.platform != "linux":
        return "this is not Linux"
    trial = os.fork()
    if trial == 0:
        os._exit(int(ctypes.CDLL(None).unshare(_NAMESPACES) != 0))
    _, status = os.waitpid(trial, 0)
    return "this user may not make namespaces (root may, outside of most containers)" if status else None


def _lead(function: Callable[[], object], sink: int) -> NoReturn:
    """Be the parent of the namespaces' first process, and end with it."""
    try:
        libc = ctypes.CDLL(None)
        if libc.unshare(_NAMESPACES) == 0:
            first = os.fork()
            if first == 0:
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                _tell(function, sink)
            os.waitpid(first, 0)
    finally:
        os._exit(0)


def _tell(function: Callable[[], object], sink: int) -> NoReturn:
    try:
        _settle()
        told: tuple[bool, object] = (True, function())
    except BaseException:
        told = (False, traceback.format_exc())
    try:
        sys.stdout.flush()
        with os.fdopen(sink, "wb") as stream:
            pickle.dump(told, stream)
    finally:
        os._exit(0)


def _settle() -> None:
    if ctypes.CDLL(None).mount(None, b"/", None, ctypes.c_ulong(_PRIVATE), None):
        raise UserError("mounts cannot be made private here.")
    for kind, folder in (("proc", "/proc"), *(("tmpfs", folder) for folder in FOLDERS)):
        subprocess.run(["mount", "-t", kind, kind, folder], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
