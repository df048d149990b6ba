# mypy: ignore-errors
"""Privileged or risky system calls: tracing, mounts, namespaces, capabilities, io_uring, keys, shared memory."""

from .tools import call, libc, managed


def attaches_to_another(t):
    return managed(call("ptrace", 0x4206, t["sentinel"], 0, 0))  # PTRACE_SEIZE


def asks_to_be_traced(t):
    return managed(call("ptrace", 0, 0, 0, 0))


def reads_the_memory_of_another(t):
    import ctypes

    buffer = ctypes.create_string_buffer(16)
    here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 16)
    there = (ctypes.c_size_t * 2)(t["address"], 16)
    call("process_vm_readv", t["trainer"], here, 1, there, 1, 0)
    return buffer.value.decode()


def writes_the_memory_of_another(t):
    import ctypes

    buffer = ctypes.create_string_buffer(b"x" * 16)
    here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 16)
    there = (ctypes.c_size_t * 2)(t["scratch"], 16)
    return managed(call("process_vm_writev", t["trainer"], here, 1, there, 1, 0))


def takes_a_descriptor_of_another(t):
    import os

    taken = call("pidfd_getfd", call("pidfd_open", t["trainer"], 0), t["descriptor"], 0)
    return os.pread(taken, 100, 0).decode()


def advises_the_memory_of_another(t):
    return managed(call("pidfd_open", t["sentinel"], 0))


def compares_with_another(t):
    return managed(call("kcmp", t["trainer"], t["sentinel"], 0, 0, 0))


def measures_with_the_processors_counters(t):
    import struct

    return managed(
        call("perf_event_open", struct.pack("IIQQQQQ", 1, 120, 0, 0, 0, 0, 0) + bytes(76), 0, -1 % 2**64, -1 % 2**64, 0)
    )


def loads_a_program_into_the_kernel(t):
    import ctypes
    import struct

    code = ctypes.create_string_buffer(struct.pack("BBhi", 0xB7, 0, 0, 0) + struct.pack("BBhi", 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack("IIQQ", 1, 2, ctypes.addressof(code), ctypes.addressof(licence)) + bytes(96)
    return managed(call("bpf", 5, attributes, len(attributes)))


def makes_a_ring(t):
    return managed(call("io_uring_setup", 2, bytes(120)))


def handles_faults_itself(t):
    return managed(call("userfaultfd", 0))


def makes_a_file_of_memory(t):
    return managed(call("memfd_create", b"x", 0))


def makes_a_secret_memory(t):
    return managed(call("memfd_secret", 0))


def keeps_a_key(t):
    return managed(call("add_key", b"user", b"hrm_align_canary", b"x", 1, 2**64 - 3))


def asks_for_a_keyring(t):
    return managed(call("keyctl", 0, 2**64 - 3, 1))


def joins_a_session_of_keys(t):
    return managed(call("keyctl", 1, None))


def makes_a_shared_segment(t):
    return managed(call("shmget", 0x5E1F, 4096, 0o1666))


def reads_a_shared_segment(t):
    import ctypes

    libc.shmat.restype = ctypes.c_void_p
    return ctypes.string_at(libc.shmat(libc.shmget(t["shm"], 0, 0), None, 0), 32).rstrip(b"\0").decode()


def makes_a_message_queue(t):
    return managed(call("msgget", 0x5E1F, 0o1666))


def makes_semaphores(t):
    return managed(call("semget", 0x5E1F, 1, 0o1666))


def opens_a_queue_by_name(t):
    return managed(call("mq_open", b"hrm_align_canary", 0o102, 0o666, None))


def becomes_root_of_its_own(t):
    return managed(call("unshare", 0x10000000))


def makes_namespaces(t):
    return managed(call("unshare", 0x00020000 | 0x20000000))


def enters_a_namespace(t):
    import os

    return managed(call("setns", os.open(f"/proc/{t['trainer']}/ns/mnt", os.O_RDONLY), 0))


def mounts(t):
    return managed(call("mount", b"tmpfs", t["folder"].encode(), b"tmpfs", 0, None))


def mounts_over_a_folder(t):
    return managed(call("mount", t["named"].encode(), t["folder"].encode(), None, 4096, None))


def unmounts(t):
    call("mount", t["named"].encode(), t["named"].encode(), None, 4096, None)
    return managed(call("umount2", t["named"].encode(), 2))


def mounts_by_the_newest_calls(t):
    return managed(call("fsopen", b"tmpfs", 0))


def clones_a_tree(t):
    return managed(call("open_tree", 2**64 - 100, b"/", 1))


def changes_the_root(t):
    return managed(call("chroot", t["folder"].encode()))


def swaps_the_root(t):
    import os

    os.chdir("/")
    return managed(call("pivot_root", b".", b"."))


def names_the_machine(t):
    call("sethostname", b"pwned", 5)


def becomes_root(t):
    import os

    os.setresuid(0, 0, 0)
    return managed(call("setuid", 0))


def joins_every_group(t):
    import os

    os.setgroups([0, 4, 6, 27])
    return "done"


def takes_capabilities(t):
    import struct

    every = struct.pack("III", 2**32 - 1, 2**32 - 1, 0) * 2
    return managed(call("capset", struct.pack("II", 0x20080522, 0), every))


def keeps_capabilities(t):
    return managed(libc.prctl(8, 1, 0, 0, 0))  # PR_SET_KEEPCAPS


def becomes_readable(t):
    return managed(libc.prctl(4, 1, 0, 0, 0))  # PR_SET_DUMPABLE


def changes_its_personality(t):
    return managed(call("personality", 0x0040000))  # ADDR_NO_RANDOMIZE


def filters_itself_out(t):
    import ctypes
    import struct

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    allow = Program(1, struct.pack("HBBI", 6, 0, 0, 0x7FFF0000))
    libc.prctl(38, 1, 0, 0, 0)
    libc.prctl(22, 2, ctypes.byref(allow), 0, 0)
    return open(t["secret"]).read()


def loads_a_module(t):
    import errno

    try:
        call("init_module", b"no module", 9, b"")
    except OSError as error:
        return (
            "done" if error.errno == errno.ENOEXEC else None
        )  # the kernel parsed the module, so the call was permitted


def reads_the_kernels_log(t):
    import ctypes

    return managed(call("syslog", 3, ctypes.create_string_buffer(100), 100))


def changes_its_segments(t):
    return managed(call("modify_ldt", 0, bytes(16), 16))


def asks_for_the_ports(t):
    return managed(call("iopl", 3))


def watches_the_whole_system(t):
    return managed(call("fanotify_init", 0, 0))


def makes_a_poll(t):
    return managed(call("epoll_create1", 0))


def makes_a_timer(t):
    return managed(call("timerfd_create", 1, 0))


def makes_an_event(t):
    return managed(call("eventfd2", 0, 0))


def makes_a_pipe(t):
    import os

    return managed(min(os.pipe()))


def names_a_file_by_its_handle(t):
    import ctypes
    import struct

    handle = struct.pack("Ii", 128, 0) + bytes(128)
    return managed(call("name_to_handle_at", 2**64 - 100, b"/", handle, ctypes.byref(ctypes.c_int()), 0))


def asks_the_clock_of_the_machine(t):
    return managed(call("adjtimex", bytes(256)))


def makes_executable_memory(t):
    import ctypes

    libc.mmap.restype = ctypes.c_void_p
    return "done" if libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0)) != 2**64 - 1 else None


def makes_memory_executable(t):
    import ctypes

    libc.mmap.restype = ctypes.c_void_p
    size = ctypes.c_size_t(4096)
    page = libc.mmap(None, size, 3, 0x22, -1, ctypes.c_long(0))
    return managed(libc.mprotect(ctypes.c_void_p(page), size, 5))


def calls_by_the_numbers_of_x32(t):
    import ctypes

    number = ctypes.c_long(0x40000000 + 39)  # getpid
    return managed(libc.syscall(number))


def calls_by_the_numbers_of_32_bits(t):
    import ctypes

    libc.mmap.restype = ctypes.c_void_p
    page = libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0))
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20 (getpid); int 0x80; ret
    ctypes.memmove(page, code, len(code))
    return managed(ctypes.CFUNCTYPE(ctypes.c_int)(page)())


def raises_its_own_limits(t):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return "done"
