# mypy: ignore-errors
"""Information about the system: the environment, /proc, /sys, /dev, and descriptors that were left open."""

from .tools import call, libc, managed


def reads_the_environment(t):
    import os

    return dict(os.environ)


def reads_the_environment_of_c(t):
    import ctypes

    environment, entries = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, "environ"), []
    while environment and environment[len(entries)]:
        entries.append(environment[len(entries)].decode())
    return entries


def reads_the_environment_it_was_started_with(t):
    return open("/proc/self/environ").read()


def reads_the_environment_of_another(t):
    return open(f"/proc/{t['sentinel']}/environ").read()


def reads_the_environment_on_its_own_stack(t):
    import ctypes
    import os

    here = ctypes.addressof(ctypes.c_char_p.in_dll(libc, "program_invocation_name"))
    start = ctypes.cast(here, ctypes.POINTER(ctypes.c_void_p))[0]
    return ctypes.string_at(start, 4000 + 0 * os.getpid()).decode(errors="replace")


def lists_the_processes(t):
    import os

    return "done" if str(t["trainer"]) in os.listdir("/proc") else None


def reads_a_command_line(t):
    return open(f"/proc/{t['sentinel']}/cmdline").read()


def reads_the_memory_of_the_trainer(t):
    with open(f"/proc/{t['trainer']}/maps") as maps, open(f"/proc/{t['trainer']}/mem", "rb", 0) as memory:
        for line in maps:
            if "[heap]" in line:
                start, end = (int(word, 16) for word in line.split()[0].split("-"))
                memory.seek(start)
                return "done" if memory.read(min(end - start, 4096)) else None


def reads_its_own_maps(t):
    return "done" if open("/proc/self/maps").read() else None


def writes_its_own_memory(t):
    return "done" if open("/proc/self/mem", "r+b", 0) else None


def reopens_its_own_program(t):
    return "done" if open("/proc/self/exe", "rb").read(4) else None


def reopens_a_descriptor(t):
    import os

    return managed(os.open("/proc/self/fd/0", os.O_RDWR))


def reads_descriptors_of_the_trainer(t):
    import os

    return "done" if os.listdir(f"/proc/{t['trainer']}/fd") else None


def asks_to_be_killed_first(t):
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")
    return "done"


def names_the_host_anew(t):
    with open("/proc/sys/kernel/hostname", "w") as file:
        file.write("pwned")


def reaches_the_magic_key(t):
    import os

    return managed(os.open("/proc/sysrq-trigger", os.O_WRONLY))


def lists_what_the_kernel_shows(t):
    import os

    return "done" if os.listdir("/sys/kernel") else None


def makes_a_control_group(t):
    import os

    folder = "/sys/fs/cgroup/pids/hrm_align_canary"
    os.mkdir(folder)
    os.rmdir(folder)
    return "done"


def opens_a_disk(t):
    import os
    import stat

    names = [f"/dev/{name}" for name in os.listdir("/dev")]
    disks = [name for name in names if stat.S_ISBLK(os.stat(name).st_mode)]
    return managed(os.open(disks[0], os.O_RDONLY))


def opens_the_kernels_log(t):
    import os

    return managed(os.open("/dev/kmsg", os.O_RDONLY))


def opens_shared_memory(t):
    return open(t["posix_shm"]).read()


def makes_shared_memory(t):
    with open("/dev/shm/hrm_align_made", "w") as file:
        file.write("x")


def reads_descriptors_left_open(t):
    import os

    chunks = []
    for descriptor in range(4, t["descriptor"] + 24):
        try:
            chunks.append(os.pread(descriptor, 100, 0).decode(errors="replace"))
        except OSError:
            continue
    return chunks


def duplicates_descriptors(t):
    import os

    return managed(os.dup(1))


def counts_descriptors(t):
    import errno
    import os

    for descriptor in range(4, t["descriptor"] + 24):
        try:
            os.lseek(descriptor, 0, 1)
        except OSError as error:
            if error.errno == errno.EBADF:
                continue
        return "done"


def asks_for_the_name_of_the_machine(t):
    import os

    return "done" if os.uname().nodename else None


def asks_for_memory_of_the_machine(t):
    return managed(call("sysinfo", bytes(256)))


def reads_the_address_of_its_own_folder(t):
    import os

    os.chdir(t["named"])
    return "done" if os.getcwd() else None
