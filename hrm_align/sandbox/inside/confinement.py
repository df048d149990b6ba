"""A process gives up, for good, what a program must not have. It holds open descriptors, memory and time; nothing else.

The layers, of which each stops what it can without the others:

    landlock    no file, however it is reached, and what else this kernel lets a process give up: Linux 5.13 and later
    limits      the owner and the kernel's resource limits: time, memory, processes, files; it dies with its parent
    seccomp     no system call but those of a computation

Landlock: no rule is added to the ruleset, so nothing that it handles is left; descriptors that are already open stay usable.
See the kernel's Documentation/userspace-api/landlock.rst.

Seccomp: what is not on the list fails with EPERM, on this architecture's own numbers; a call by another architecture's numbers
(`int 0x80`) kills the process, and those of x32 are not on the list. Memory cannot be made executable. There is no
call on the list that opens, makes, reaches or signals anything: `read` and `write` have the descriptors that are left open.
See the kernel's Documentation/userspace-api/seccomp_filter.rst.
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


# landlock --------------------------------------------------------------------------------------------------------------

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same numbers on every architecture
_VERSION = 1  # the flag that asks for the kernel's ABI
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # ABI: how many rights over files it knows; 5 and later: 16
_NETWORK = 0b11  # TCP: bind and connect; ABI 4
_SCOPES = 0b11  # abstract Unix sockets and signals, to processes outside; ABI 6


def landlock_abi() -> int:
    """What this kernel offers.

    Raises:
        OSError: if it offers nothing.
    """
    return system_call(_CREATE_RULESET, None, 0, _VERSION)


def ruleset(abi: int) -> bytes:
    """The `struct landlock_ruleset_attr` that handles everything of an ABI. Its size is the ABI's: others are refused."""
    fields = [(1 << _FILE_RIGHTS.get(abi, 16)) - 1]
    fields += [_NETWORK] * (abi >= 4) + [_SCOPES] * (abi >= 6)
    return struct.pack(f"={len(fields)}Q", *fields)


def give_up_files() -> None:
    """No file can be opened, made, changed or listed from now on. Needs no-new-privileges.

    Raises:
        OSError: if the kernel refuses.
    """
    attributes = ruleset(landlock_abi())
    descriptor = system_call(_CREATE_RULESET, ctypes.c_char_p(attributes), len(attributes), 0)
    system_call(_RESTRICT_SELF, descriptor, 0)
    os.close(descriptor)


# seccomp ---------------------------------------------------------------------------------------------------------------

# name: its numbers on x86_64 (asm/unistd_64.h) and on aarch64 (asm-generic/unistd.h); None where there is no such call
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # the descriptors that are open
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
    # signals to oneself
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
    # oneself
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
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH of linux/audit.h

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _PROTECTION = 0, 4, 32  # offsets in `struct seccomp_data`; the last is the third argument
_PROT_EXEC = 4
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_MODE_FILTER = 2


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def syscall_filter(machine: str) -> bytes:
    """The filter, in the kernel's classic BPF.

    Raises:
        OSError: for a machine whose numbers are not known.
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


def give_up_system_calls() -> None:
    """From now on the filter stands, and nothing takes it away. Needs no-new-privileges.

    Raises:
        OSError: if the kernel refuses, or the machine is not known.
    """
    code = syscall_filter(os.uname().machine)
    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(_Program(len(code) // 8, code)))


# calls of Linux that Python has no function for ------------------------------------------------------------------------

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
