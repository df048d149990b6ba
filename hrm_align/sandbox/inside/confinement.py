"""Irreversible confinement of a process, which leaves only open descriptors, memory and limited time.

The layers are independent, and each stops what it can without the others:

    landlock    forbids access to files, and all other operations that the kernel's Landlock can forbid (Linux 5.13+)
    limits      drops root; sets limits on time, memory, processes and files; ends the process with its parent
    seccomp     forbids all system calls except those that a computation needs

Landlock: the ruleset has no rules, so every operation that the ruleset handles is forbidden. Descriptors that are
already open stay usable. See the kernel's Documentation/userspace-api/landlock.rst.

Seccomp: a system call that is not on the list fails with EPERM. A call with the numbers of another architecture (by
`int 0x80`) kills the process; the numbers of x32 are not on the list. Memory cannot be made executable. No call on the
list opens, creates or signals anything; `read` and `write` work on descriptors that are open already. See the kernel's
Documentation/userspace-api/seccomp_filter.rst.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import struct
from typing import Any

from . import Limits

UNPRIVILEGED_ID = 65534


def confine(layers: list[str], limits: Limits, parent: int) -> None:
    """Apply layers to this process, in the order of the module's docstring.

    Args:
        layers: names of the layers.
        limits: limits for the layer "limits".
        parent: process id of the parent, with which this process ends.

    Raises:
        OSError: if the kernel refuses a layer; the process must not run a program then.
    """
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if "landlock" in layers:
        forbid_files()
    if "limits" in layers:
        _drop_root()
        _set_resource_limits(limits)
        die_with(parent)
    if "seccomp" in layers:
        install_syscall_filter()


def _drop_root() -> None:
    """Change from root to a user without groups and capabilities, and protect the memory of the process."""
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
            os.setresuid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
        except OSError as error:  # a user namespace may contain no user but root
            raise OSError(error.errno, f"root cannot become user {UNPRIVILEGED_ID} here: {error.strerror}") from error
    prctl(PR_SET_DUMPABLE, 0)  # other processes of the same user cannot read the memory of this process


def _set_resource_limits(limits: Limits) -> None:
    maximum = {
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,  # forbids new descriptors; open descriptors stay open
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for kind, value in maximum.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))  # a lower soft limit on time would send a signal, which can be ignored


def die_with(parent: int) -> None:
    """Kill this process when its parent ends. Must follow `_drop_root`, since a change of user resets the setting."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent has ended already
        os._exit(1)


# landlock --------------------------------------------------------------------------------------------------------------

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same numbers on every architecture
_VERSION = 1  # flag that requests the kernel's ABI version
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # ABI version -> number of file rights; 16 in version 5 and later
_NETWORK = 0b11  # bind and connect of TCP; since ABI version 4
_SCOPES = 0b11  # abstract Unix sockets of outside processes, and signals to them; since ABI version 6


def landlock_abi() -> int:
    """Return the Landlock ABI version of this kernel.

    Raises:
        OSError: if the kernel has no Landlock.
    """
    return system_call(_CREATE_RULESET, None, 0, _VERSION)


def pack_ruleset(abi: int) -> bytes:
    """Return the `struct landlock_ruleset_attr` that handles all operations of an ABI version.

    The kernel refuses a struct with fields of a later version, so the size depends on the version.
    """
    fields = [(1 << _FILE_RIGHTS.get(abi, 16)) - 1]
    fields += [_NETWORK] * (abi >= 4) + [_SCOPES] * (abi >= 6)
    return struct.pack(f"={len(fields)}Q", *fields)


def forbid_files() -> None:
    """Forbid this process to open, create, change or list any file, permanently. Requires no-new-privileges.

    Raises:
        OSError: if the kernel refuses.
    """
    attributes = pack_ruleset(landlock_abi())
    descriptor = system_call(_CREATE_RULESET, ctypes.c_char_p(attributes), len(attributes), 0)
    system_call(_RESTRICT_SELF, descriptor, 0)
    os.close(descriptor)


# seccomp ---------------------------------------------------------------------------------------------------------------

# Name -> numbers on x86_64 (asm/unistd_64.h) and on aarch64 (asm-generic/unistd.h); None for a missing call.
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # open descriptors
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    # memory
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    # signal handlers of this process
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    # locks
    "futex": (202, 98),
    "sched_yield": (24, 124),
    # time; Python 3.10 sleeps in `select`
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "select": (23, None),
    "pselect6": (270, 72),
    "gettimeofday": (96, 169),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "getrusage": (98, 165),
    "times": (100, 153),
    # properties of this process
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getrandom": (318, 278),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
ALLOWED_UNLESS_EXECUTABLE = {"mmap": (9, 222), "mprotect": (10, 226)}
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column in ALLOWED, AUDIT_ARCH of linux/audit.h

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _PROTECTION = 0, 4, 32  # offsets in `struct seccomp_data`; 32 is the third argument of the call
_PROT_EXEC = 4
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_MODE_FILTER = 2


class _FilterProgram(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def syscall_filter(machine: str) -> bytes:
    """Return the seccomp filter for a machine, in the kernel's classic BPF (8 bytes for each instruction).

    Raises:
        OSError: for a machine whose system call numbers are unknown.
    """
    if machine not in MACHINES:
        raise OSError(errno.ENOSYS, f"there is no list of system calls for {machine}, only for {', '.join(MACHINES)}")
    column, architecture = MACHINES[machine]
    code = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    for number in (numbers[column] for numbers in ALLOWED.values()):
        if number is not None:
            code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for number in (numbers[column] for numbers in ALLOWED_UNLESS_EXECUTABLE.values()):
        code += [(_EQUAL, 0, 4, number), (_LOAD, 0, 0, _PROTECTION), (_ANY_BIT, 1, 0, _PROT_EXEC)]
        code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    code += [(_RETURN, 0, 0, _REFUSE)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def install_syscall_filter() -> None:
    """Install the seccomp filter in this process, permanently. Requires no-new-privileges.

    Raises:
        OSError: if the kernel refuses, or the machine is unknown.
    """
    code = syscall_filter(os.uname().machine)
    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(_FilterProgram(len(code) // 8, code)))


# Linux calls without a function in Python ------------------------------------------------------------------------------

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38


def system_call(number: int, *arguments: Any) -> int:
    """Make a system call by its number.

    Args:
        number: number of the call.
        arguments: integers, ctypes pointers, or None.

    Returns:
        The result of the call.

    Raises:
        OSError: with the error number of the kernel.
    """
    return _raise_on_error(_LIBC.syscall(ctypes.c_long(number), *map(_to_c, arguments)))


def prctl(option: int, *arguments: Any) -> None:
    """Call prctl(2), which sets a property of this process. Missing arguments are 0, as the kernel requires.

    Raises:
        OSError: with the error number of the kernel.
    """
    padded = (*arguments, 0, 0, 0, 0)[:4]
    _raise_on_error(_LIBC.prctl(ctypes.c_int(option), *map(_to_c, padded)))


def _to_c(value: Any) -> Any:
    return ctypes.c_ulong(value) if isinstance(value, int) else value


def _raise_on_error(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
