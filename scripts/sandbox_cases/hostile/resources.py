# mypy: ignore-errors
"""Time, memory, output, descriptors: use more than a job's limits. Each program is bounded, in case it succeeds."""

from .tools import libc


def spins(t):
    while True:
        pass


def spins_below_python(t):
    return sum(range(10**15))


def spins_in_a_regular_expression(t):
    import re

    return re.match("(a+)+$", "a" * 40 + "b")


def spins_in_a_power(t):
    return 7 ** (10**8) % 2


def spins_in_an_assignment_of_a_module(t):
    import json

    json.dumps = json.loads = None
    while True:
        pass


def sleeps(t):
    import time

    time.sleep(t["wall"] * 3)


def waits_for_a_lock(t):
    import threading

    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def does_not_hear_that_time_is_up(t):
    import signal

    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            continue
    while True:
        pass


def catches_everything(t):
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue


def closes_its_answer_and_spins(t):
    import os

    os.closerange(0, 64)
    while True:
        pass


def answers_and_spins(t):
    import os

    os.write(3, b'{"kind": "returned", "message": "", "values": [1]}')
    while True:
        pass


def closes_its_answer_and_sleeps(t):
    import os
    import time

    os.close(3)
    time.sleep(t["wall"] * 3)


def iterates_without_end(t):
    return list(iter(int, 1))


def prints_without_end(t):
    for _ in range(300):
        print("x" * 10**6)


def prints_errors_without_end(t):
    import sys

    for _ in range(300):
        sys.stderr.write("x" * 10**6)


def floods_descriptors(t):
    import os

    for _ in range(3000):
        for descriptor in (1, 2, 3):
            try:
                os.write(descriptor, b"x" * 10**5)
            except OSError:
                continue


def returns_a_huge_text(t):
    return "x" * (150 * 2**20)


def returns_a_huge_number(t):
    import sys

    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    return 10**50_000


def returns_a_list_within_itself(t):
    value = []
    value.append(value)
    return value


def returns_deep_lists(t):
    value = []
    for _ in range(100_000):
        value = [value]
    return value


def returns_a_bomb_of_shared_lists(t):
    value = [0]
    for _ in range(60):
        value = [value] * 10
    return value


def raises_a_huge_message(t):
    raise ValueError("x" * (150 * 2**20))


def raises_a_message_that_never_comes(t):
    class Endless(Exception):
        def __str__(self):
            while True:
                pass

    raise Endless


def takes_a_block_of_memory(t):
    size = t["memory"] + 2**27
    block = bytearray(size)
    block[::4096] = b"x" * len(block[::4096])
    return "done" if len(block) == size else None


def takes_memory_bit_by_bit(t):
    blocks = []
    while len(blocks) * 2**20 < t["memory"] + 2**27:
        blocks.append(bytes(2**20 - 1) + b"x")
    return "done"


def takes_memory_in_small_objects(t):
    values = [[i] for i in range((t["memory"] + 2**27) // 64)]
    return "done" if values else None


def takes_memory_in_a_text(t):
    text = "x"
    while len(text) < t["memory"] + 2**27:
        text += text
    return "done"


def maps_memory(t):
    import ctypes

    libc.mmap.restype = ctypes.c_void_p
    size = ctypes.c_size_t(t["memory"] + 2**27)
    return "done" if libc.mmap(None, size, 3, 0x4022, -1, ctypes.c_long(0)) != 2**64 - 1 else None  # without reserve


def maps_shared_memory(t):
    import ctypes

    libc.mmap.restype = ctypes.c_void_p
    size, zero = ctypes.c_size_t(2**26), ctypes.c_long(0)
    made = [libc.mmap(None, size, 3, 0x21, -1, zero) != 2**64 - 1 for _ in range((t["memory"] + 2**27) // 2**26)]
    return "done" if all(made) else None


def takes_memory_below_python(t):
    import ctypes

    libc.calloc.restype = ctypes.c_void_p
    return "done" if libc.calloc(ctypes.c_size_t(1), ctypes.c_size_t(t["memory"] + 2**27)) else None


def takes_memory_after_raising_its_limits(t):
    import ctypes

    libc.setrlimit(9, (ctypes.c_ulong * 2)(2**64 - 1, 2**64 - 1))
    return "done" if len(bytearray(t["memory"] + 2**27)) else None


def locks_memory(t):
    import ctypes

    block = ctypes.create_string_buffer(2**24)
    return "done" if libc.mlock(block, ctypes.c_size_t(2**24)) == 0 else None


def recurses(t):
    import sys

    sys.setrecursionlimit(10**9)

    class Deep:
        def __repr__(self):
            return repr(self)

    return repr(Deep())


def nests_its_own_text(t):
    return eval("(" * 100_000 + ")" * 100_000)


def opens_all_descriptors(t):
    import os

    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(500)]
    return "done" if opened else None


def crashes(t):
    import ctypes

    ctypes.string_at(0)


def aborts(t):
    import os

    os.abort()
