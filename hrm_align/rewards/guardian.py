"""A process that outlives nothing: what a worker has started ends with it, and a worker ends with whoever started it.

The worker forks. The parent, the guardian, does nothing but wait: for its standard input to close, which happens when the
trainer closes it, exits or is killed; or for the worker to end. Then it kills the worker's process group, and on Linux
whatever else the worker has left behind in groups of its own, and takes over the worker's exit status.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # <sys/prctl.h>


def fork_under_guard() -> None:
    """Fork, and return in the child alone. Standard input is /dev/null there."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else (lambda *_: -1)
    guardian = os.getpid()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans come to the guardian, and not to init
    child = os.fork()
    if child:
        _guard(child)
    os.setpgid(0, 0)
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # should the guardian itself be killed
    if os.getppid() != guardian:
        os._exit(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def _guard(child: int) -> NoReturn:
    """Wait for the end of the trainer or of the worker, and make it the end of both."""

    def reap(*_: object) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child:
                    _end(child, os.waitstatus_to_exitcode(ended[1]))

    signal.signal(signal.SIGCHLD, reap)
    reap()  # the child may have ended before
    with suppress(OSError):
        os.read(0, 1)
    _end(child, -signal.SIGKILL)


def _end(child: int, code: int) -> NoReturn:
    """Kill the worker, its group and its orphans; then exit as the worker did (128 and the signal, as a shell has it)."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for kill in (os.kill, os.killpg):  # it may not have its group yet
        with suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)
    with suppress(OSError):
        while children := _children():
            for process in children:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            os.waitpid(-1, 0)
    os._exit(code if code >= 0 else 128 - code)


def _children() -> list[int]:
    """The guardian's own, adopted ones included. Linux tells; elsewhere there are none to be seen."""
    pid = os.getpid()
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
