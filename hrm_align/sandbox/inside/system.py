"""Calls of Linux that Python has no function for."""

from __future__ import annotations

import ctypes
import os
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38


def system_call(number: int, *arguments: Any) -> int:
    """A system call by its number: of integers, of ctypes' pointers, of None.

    Raises:
        OSError: as the kernel says.
    """
    return _checked(_LIBC.syscall(ctypes.c_long(number), *map(_word, arguments)))


def prctl(option: int, *arguments: Any) -> None:
    """Set something of this process; arguments that are not given are 0, as the kernel asks.

    Raises:
        OSError: as the kernel says.
    """
    padded = (*arguments, 0, 0, 0, 0)[:4]
    _checked(_LIBC.prctl(ctypes.c_int(option), *map(_word, padded)))


def _word(value: Any) -> Any:
    return ctypes.c_ulong(value) if isinstance(value, int) else value


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
