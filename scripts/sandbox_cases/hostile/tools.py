# mypy: ignore-errors
"""Text that precedes every hostile program: system calls by name."""

import ctypes
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
MACHINE = sys.implementation._multiarch.split("-")[0]

# name: numbers on x86_64 and aarch64; numbers from 424 are the same on both
NUMBERS = {
    "open": (2, None), "openat": (257, 56), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "perf_event_open": (298, 241), "bpf": (321, 280), "userfaultfd": (323, 282), "memfd_create": (319, 279),
    "add_key": (248, 217), "keyctl": (250, 219), "request_key": (249, 218), "shmget": (29, 194), "shmat": (30, 196),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "unshare": (272, 97), "setns": (308, 268),
    "chroot": (161, 51), "sethostname": (170, 161), "capset": (126, 91), "personality": (135, 92),
    "seccomp": (317, 277), "syslog": (103, 116), "modify_ldt": (154, None), "iopl": (172, None),
    "fanotify_init": (300, 262), "inotify_init1": (294, 26), "epoll_create1": (291, 20), "eventfd2": (290, 19),
    "timerfd_create": (283, 85), "signalfd4": (289, 74), "vmsplice": (278, 75), "name_to_handle_at": (303, 264),
    "clone": (56, 220), "vfork": (58, None), "fork": (57, None), "execveat": (322, 281), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "prlimit64": (302, 261), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122), "timer_create": (222, 107), "setuid": (105, 146), "init_module": (175, 105),
    "adjtimex": (159, 171), "copy_file_range": (326, 285), "sendfile": (40, 71), "statx": (332, 291),
    "prctl": (157, 167), "pkey_alloc": (330, 289), "membarrier": (324, 283), "migrate_pages": (256, 238),
    "getcpu": (309, 168), "sysinfo": (99, 179), "uname": (63, 160), "getdents64": (217, 61),
}  # fmt: skip
NUMBERS.update(
    pidfd_send_signal=(424, 424), io_uring_setup=(425, 425), open_tree=(428, 428), fsopen=(430, 430), pidfd_open=(434, 434),
    clone3=(435, 435), openat2=(437, 437), pidfd_getfd=(438, 438), process_madvise=(440, 440), memfd_secret=(447, 447),
    landlock_create_ruleset=(444, 444), mount_setattr=(442, 442), quotactl_fd=(443, 443),
)  # fmt: skip


def call(name, *arguments):
    """Make a system call with integers, bytes and None. Returns its result or raises OSError."""
    number = NUMBERS[name][MACHINE != "x86_64"]
    words = [ctypes.c_ulong(word) if isinstance(word, int) else word for word in arguments]
    result = libc.syscall(ctypes.c_long(number if number is not None else -1), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def managed(result):
    """Return the answer of a program whose success only the result of a system call shows."""
    return "done" if result >= 0 else "refused"
