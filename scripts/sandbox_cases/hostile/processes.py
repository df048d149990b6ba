# mypy: ignore-errors
"""Processes: start new ones, outlive the deadline, and affect other processes."""

from .tools import call, libc, managed


def forks(t):
    import os
    import time

    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)


def becomes_a_daemon(t):
    import os
    import time

    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(30)
        os._exit(0)
    os.wait()


def forks_by_number(t):
    import time

    child = call("clone", 17, 0, 0, 0, 0)
    if child == 0:
        time.sleep(30)
        libc._exit(0)


def forks_by_the_newest_call(t):
    import struct
    import time

    child = call("clone3", struct.pack("11Q", 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0), 88)
    if child == 0:
        time.sleep(30)
        libc._exit(0)


def forks_and_closes_everything(t):
    import os
    import time

    if os.fork() == 0:
        os.closerange(0, 1024)
        while True:
            time.sleep(1)


def forks_in_a_finalizer(t):
    import os
    import time

    class Last:
        def __del__(self):
            if os.fork() == 0:
                time.sleep(30)
                os._exit(0)

    Last()


def forks_at_exit(t):
    import atexit
    import os
    import sys
    import time

    def leave():
        if os.fork() == 0:
            os.closerange(0, 3)
            time.sleep(30)
            os._exit(0)

    atexit.register(leave)
    sys.exit(0)


def forks_many(t):
    import os
    import time

    for _ in range(20):
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)


def runs_a_command(t):
    import os

    os.system(f"echo x > {t['folder']}/command")


def runs_a_program(t):
    import subprocess

    return subprocess.run(["/bin/cat", t["secret"]], capture_output=True, text=True).stdout


def spawns_a_program(t):
    import os

    child = os.posix_spawn("/bin/cp", ["cp", t["secret"], t["folder"] + "/spawned"], {})
    os.waitpid(child, 0)


def becomes_another_program(t):
    import os

    os.execv("/bin/cp", ["cp", t["secret"], t["folder"] + "/executed"])


def becomes_a_program_without_a_name(t):
    import os

    program = call("memfd_create", b"x", 0)
    os.write(program, b"#!/bin/sh\necho x > " + t["folder"].encode() + b"/nameless\n")
    os.execv(f"/proc/self/fd/{program}", ["x"])


def pipes_from_a_shell(t):
    import os

    return os.popen(f"cat {t['secret']}").read()


def forks_with_a_terminal(t):
    import pty
    import signal
    import time

    child, _ = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        time.sleep(30)
    time.sleep(0.2)


def uses_another_pool(t):
    import multiprocessing

    with multiprocessing.Pool(2) as pool:
        return "done" if pool.map(abs, [-1]) == [1] else None


def starts_a_thread(t):
    import threading

    results = []
    thread = threading.Thread(target=results.append, args=("done",))
    thread.start()
    thread.join()
    return results[0]


def starts_a_thread_below_python(t):
    import _thread
    import time

    results = []
    _thread.start_new_thread(results.append, ("done",))
    time.sleep(0.2)
    return results[0]


def starts_many_threads(t):
    import threading
    import time

    for _ in range(100):
        threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start()
    return "done"


def terminates_another(t):
    import os
    import signal

    os.kill(t["sentinel"], signal.SIGTERM)


def kills_another(t):
    import os
    import signal

    os.kill(t["sentinel"], signal.SIGKILL)


def stops_another(t):
    import os
    import signal

    os.kill(t["sentinel"], signal.SIGSTOP)


def kills_a_thread(t):
    call("tgkill", t["sentinel"], t["sentinel"], 9)


def kills_by_descriptor(t):
    call("pidfd_send_signal", call("pidfd_open", t["sentinel"], 0), 9, None, 0)


def kills_with_a_value(t):
    import struct

    call("rt_sigqueueinfo", t["sentinel"], 9, struct.pack("iiii", 9, 0, -1, 0) + bytes(112))


def kills_a_group(t):
    import os
    import signal

    os.killpg(t["sentinel"], signal.SIGKILL)


def lets_the_kernel_kill(t):
    import os
    import struct

    source, write = os.pipe()
    libc.fcntl(source, 10, 9)  # F_SETSIG
    libc.fcntl(source, 15, struct.pack("ii", 1, t["sentinel"]))  # F_SETOWN_EX
    libc.fcntl(source, 4, os.O_NONBLOCK | 0o20000)  # F_SETFL, O_ASYNC
    os.write(write, b"x")


def kills_its_parent(t):
    import os
    import signal

    os.kill(os.getppid(), signal.SIGKILL)


def stops_its_parent(t):
    import os
    import signal

    os.kill(os.getppid(), signal.SIGSTOP)


def slows_another_down(t):
    import os

    os.setpriority(os.PRIO_PROCESS, t["sentinel"], 19)


def limits_another(t):
    import resource

    resource.prlimit(t["sentinel"], resource.RLIMIT_NOFILE, (3, 3))


def moves_another(t):
    import os

    os.sched_setaffinity(t["sentinel"], {0})


def asks_whether_another_lives(t):
    import os

    os.kill(t["sentinel"], 0)
    return "done"


def goes_first(t):
    import os

    return "done" if os.nice(-5) < 0 else None


def leaves_its_session(t):
    import os

    os.setsid()
    return "done"


def sets_a_timer_that_outlives_it(t):
    import ctypes

    return managed(call("timer_create", 1, None, ctypes.byref(ctypes.c_long())))


def does_not_die_with_its_parent(t):
    return managed(libc.prctl(1, 0, 0, 0, 0))  # PR_SET_PDEATHSIG
