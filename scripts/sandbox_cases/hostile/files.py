# mypy: ignore-errors
"""Files: read secrets, make files, and change files of others."""

from .tools import call, libc


def opens(t):
    return open(t["secret"]).read()


def opens_by_descriptor(t):
    import os

    return os.read(os.open(t["secret"], os.O_RDONLY), 100).decode()


def opens_as_code(t):
    import io

    return io.open_code(t["secret"]).read().decode()


def reads_lines_through_the_cache_of_tracebacks(t):
    import linecache

    return linecache.getlines(t["secret"])


def reads_through_the_tokenizer(t):
    import tokenize

    return tokenize.open(t["secret"]).read()


def reads_through_an_import(t):
    import sys

    loader = next(type(m.__loader__) for m in sys.modules.values() if type(m.__loader__).__name__ == "SourceFileLoader")
    return loader("secret", t["secret"]).get_data(t["secret"]).decode()


def imports_from_a_folder(t):
    import sys

    sys.path.insert(0, t["code"])
    import canary_module

    return canary_module.WORD


def reads_through_c(t):
    import ctypes

    libc.fopen.restype = ctypes.c_void_p
    buffer, file = ctypes.create_string_buffer(100), libc.fopen(t["secret"].encode(), b"r")
    if file:
        libc.fgets(buffer, 100, ctypes.c_void_p(file))
    return buffer.value.decode()


def opens_by_the_oldest_call(t):
    import os

    return os.read(call("open", t["secret"].encode(), 0, 0), 100).decode()


def opens_by_the_newest_call(t):
    import os

    return os.read(call("openat2", 2**64 - 100, t["secret"].encode(), bytes(24), 24), 100).decode()


def opens_relative_to_a_folder(t):
    import os

    folder = os.open(os.path.dirname(t["secret"]), os.O_PATH)
    return os.read(os.open(os.path.basename(t["secret"]), os.O_RDONLY, dir_fd=folder), 100).decode()


def opens_from_the_root_of_a_process(t):
    return open(f"/proc/{t['trainer']}/root{t['secret']}").read()


def climbs_up(t):
    return open("../" * 20 + t["secret"]).read()


def lists_a_folder(t):
    import os

    return os.listdir(t["named"])


def scans_a_folder(t):
    import os

    return [entry.name for entry in os.scandir(t["named"])]


def reads_a_link(t):
    import os

    return os.readlink(t["link"])


def asks_for_a_size(t):
    import os

    return "done" if os.stat(t["secret"]).st_size else None


def copies_in_the_kernel(t):
    import os

    source, sink = os.open(t["secret"], os.O_RDONLY), os.open(t["folder"] + "/copy", os.O_WRONLY | os.O_CREAT)
    return os.copy_file_range(source, sink, 100)


def writes_a_file(t):
    with open(t["folder"] + "/new", "w") as file:
        file.write("x")


def appends(t):
    with open(t["victim"], "a") as file:
        file.write("x")


def truncates(t):
    import os

    os.truncate(t["victim"], 1)


def removes(t):
    import os

    os.unlink(t["victim"])


def renames(t):
    import os

    os.rename(t["victim"], t["folder"] + "/renamed")


def makes_a_folder(t):
    import os

    os.mkdir(t["folder"] + "/made")


def links(t):
    import os

    os.link(t["secret"], t["folder"] + "/hard")


def links_by_name(t):
    import os

    os.symlink("/etc", t["folder"] + "/soft")


def makes_a_fifo(t):
    import os

    os.mkfifo(t["folder"] + "/fifo")


def makes_a_device(t):
    import os
    import stat

    os.mknod(t["folder"] + "/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))


def makes_a_program_that_runs_as_its_owner(t):
    import os

    os.chmod(t["victim"], 0o4777)


def gives_a_file_away(t):
    import os

    os.chown(t["victim"], 12345, 12345)


def turns_the_clock_of_a_file(t):
    import os

    os.utime(t["victim"], (1, 1))


def hides_a_note_in_an_attribute(t):
    import os

    os.setxattr(t["victim"], "user.note", b"x")
    return "done"


def uses_a_nameless_file(t):
    import os

    return "done" if os.open(t["folder"], os.O_TMPFILE | os.O_RDWR) >= 0 else None


def watches_a_folder(t):
    import ctypes

    watch = call("inotify_init1", 0)
    return "done" if libc.inotify_add_watch(watch, t["folder"].encode(), ctypes.c_uint32(0xFFF)) >= 0 else None
