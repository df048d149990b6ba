"""A process gives up, for good, what a program must not have. It holds open descriptors, memory and time; nothing else.

The layers, of which each stops what it can without the others:

    landlock    no file, however it is reached
    limits      the owner and the kernel's resource limits: time, memory, processes, files; it dies with its parent
    seccomp     no system call but those of a computation
"""

from __future__ import annotations

import os
import resource
import signal

from .landlock import give_up_files
from .limits import Limits
from .seccomp import give_up_system_calls
from .system import PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, prctl

NOBODY = 65534


def confine(layers: list[str], limits: Limits, parent: int) -> None:
    """Put this process under the layers named, in the order above.

    Raises:
        OSError: if the kernel refuses one; the process must then run nothing.
    """
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if "landlock" in layers:
        give_up_files()
    if "limits" in layers:
        _be_nobody()
        _limit(limits)
        _die_with(parent)
    if "seccomp" in layers:
        give_up_system_calls()


def _be_nobody() -> None:
    """Root gives up its name, its groups, and with them its capabilities."""
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        except OSError as error:  # in a user namespace that has root alone
            raise OSError(error.errno, f"root cannot become user {NOBODY} here: {error.strerror}") from error
    prctl(PR_SET_DUMPABLE, 0)  # its memory cannot be read by others of the same name


def _limit(limits: Limits) -> None:
    most = {
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,  # of new ones: what is open stays so
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for kind, value in most.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))  # a soft limit on time would be a signal, which can be ignored


def _die_with(parent: int) -> None:
    """After the change of owner, which would undo it."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it is dead already
        os._exit(1)
