"""Seccomp: a process gives up every system call but those that a computation needs.

What is not on the list fails with EPERM, on this architecture's own numbers; a call by another architecture's numbers
(`int 0x80`) kills the process, and those of x32 are not on the list. Memory cannot be made executable. There is no
call on the list that opens, makes, reaches or signals anything: `read` and `write` have the descriptors that are left open.
See the kernel's Documentation/userspace-api/seccomp_filter.rst.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from .system import PR_SET_SECCOMP, prctl

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
