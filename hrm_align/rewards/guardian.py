"""Parent-death guard: kill a reward worker and its children when the trainer or the worker exits.

The worker forks. The parent process becomes the guardian; the child continues as the worker. The guardian waits until
its standard input closes (the trainer closed it, exited or was killed) or until the worker ends. Then the guardian
kills the worker's process group and, on Linux, all remaining descendants in other groups, and exits with the worker's
exit status.
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
    """Fork, and return only in the child. In the child, standard input is /dev/null."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else (lambda *_: -1)
    guardian = os.getpid()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphaned descendants become children of the guardian instead of init
    child = os.fork()
    if child:
        _guard(child)
    os.setpgid(0, 0)
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # covers a guardian that is killed
    if os.getppid() != guardian:
        os._exit(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def _guard(child: int) -> NoReturn:
    """Wait until the trainer or the worker ends, then end the worker and its descendants and exit."""

    def reap(*_: object) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child:
                    _kill_and_exit(child, os.waitstatus_to_exitcode(ended[1]))

    signal.signal(signal.SIGCHLD, reap)
    reap()  # the child may have ended before the handler was installed
    with suppress(OSError):
        os.read(0, 1)
    _kill_and_exit(child, -signal.SIGKILL)


def _kill_and_exit(child: int, code: int) -> NoReturn:
    """Kill the worker, its process group and orphaned descendants, then exit with the status of the worker.

    Args:
        child: process id of the worker.
        code: exit code of the worker, or minus the signal that ended it, which becomes 128 + signal as in a shell.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for kill in (os.kill, os.killpg):  # both, since the worker may not have created its process group yet
        with suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)
    with suppress(OSError):
        while children := _list_children():
            for process in children:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            os.waitpid(-1, 0)
    os._exit(code if code >= 0 else 128 - code)


def _list_children() -> list[int]:
    """Return the children of the guardian, adopted orphans included.

    Raises:
        OSError: on systems without Linux's /proc.
    """
    pid = os.getpid()
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
