"""Whether a wall holds here and now: harmless programs that try what must not be possible, and one that must succeed.

Each probe is run as any program is. It returns "done" if it managed, "stopped" if the system refused; what is neither
proves nothing and counts as a fault. Every worker is tested when it starts. And since layers hide each other's holes, each
is also tested without the others, once.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Collection
from typing import Any

from hrm_align.errors import UserError
from hrm_align.processes import Lost
from hrm_align.sandbox.inside import Limits
from hrm_align.sandbox.jobs import RETURNED, Job, outcome_of
from hrm_align.sandbox.worker import BACKENDS, NO_WALL, Backend, Worker

_MONTY = "`pip install 'hrm_align[monty]'`, an interpreter that needs no sandbox and supports a part of Python"


class NoWall(UserError):
    """No backend holds on this system.

    Args:
        reason: what is wrong.
        remedy: what would give this system one that holds.
    """

    def __init__(self, reason: str, remedy: str):
        super().__init__(f"{reason}, so no program is run: {remedy}, or {_MONTY}.")
        self.reason, self.remedy = reason, remedy


_HEAD = "import ctypes, errno, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
_ATTEMPT = """
def probe(*given):
    try:
        return "done" if attempt(*given) else "stopped"
    except (OSError, MemoryError):
        return "stopped"
"""

# The body of `attempt(...)`: true if it managed, false or OSError if it was refused.
PROBES = {
    "read": """(files):
    for file in files:
        try:
            return bool(os.read(os.open(file, os.O_RDONLY), 1))
        except OSError:
            pass
""",
    "write": """(folders, name):
    for folder in folders:
        try:
            os.open(folder + "/" + name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.unlink(folder + "/" + name)
            return True
        except OSError:
            pass
""",
    "connect": """(port):
    address = b"\\x02\\x00" + port.to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    made = libc.socket(2, 1, 0)
    return made >= 0 and libc.connect(made, address, 16) == 0
""",
    "fork": """():
    child = os.fork()
    if child == 0:
        os._exit(0)
    return True
""",
    "signal": """(trainer):
    if trainer in (os.getpid(), os.getppid()):
        return False  # in a namespace where that number is the job's or the zygote's
    os.kill(trainer, 0)
    return True
""",
    "allocate": """(size):
    return len(bytearray(size)) == size
""",
    "environment": """():
    return len(os.environ) > 0
""",
    "descriptors": """():
    found = 0
    for descriptor in range(4, 1024):
        try:
            os.lseek(descriptor, 0, os.SEEK_CUR)
            found += 1
        except OSError as error:
            found += error.errno != errno.EBADF
    return found > 0
""",
    "root": """():
    return os.geteuid() == 0
""",
}


def source_of(probe: str) -> str:
    """The program of a probe: `probe(...)` returns "done" or "stopped"."""
    return f"{_HEAD}def attempt{PROBES[probe]}{_ATTEMPT}"


class Targets:
    """What the probes aim at: files of the system, the trainer, and a listener of its own. A context manager."""

    def __init__(self, limits: Limits):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.arguments: dict[str, list[Any]] = {
            "read": [["/etc/passwd", "/etc/hosts", "/proc/self/status"]],  # the last is there for every user
            "write": [["/tmp", "/var/tmp", "/dev/shm", "/", "."], f"hrm_align-{secrets.token_hex(8)}"],
            "connect": [self._listener.getsockname()[1]],
            "signal": [os.getpid()],
            "allocate": [limits.memory_bytes],
        }

    def __enter__(self) -> Targets:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()


def choose(limits: Limits, name: str | None = None) -> tuple[Backend, list[str]]:
    """The first backend that passes its self-test, or the one named if it does, and what is wrong with those before it.

    Raises:
        NoWall: if there is none.
        UserError: for a name that no backend has.
    """
    if name is not None and name not in [backend.name for backend in BACKENDS]:
        raise UserError(f"there is no backend {name}: name one of {', '.join(backend.name for backend in BACKENDS)}.")
    if sys.platform != "linux":
        raise NoWall(f"the sandbox works on Linux only and this is {sys.platform}", "use Linux")
    faults: list[tuple[Backend, str]] = []
    with Targets(limits) as targets:
        for backend in BACKENDS:
            if name in (None, backend.name):
                fault = fault_of_backend(backend, limits, targets)
                if fault is None:
                    return backend, [f"{other.name}: {fault}. It needs {other.needs}." for other, fault in faults]
                faults.append((backend, fault))
    wrong = "; ".join(f"{backend.name}: {fault}" for backend, fault in faults)
    needs = "; ".join(f"for {backend.name} {backend.needs}" for backend, _ in faults)
    raise NoWall(f"no sandbox holds on this system ({wrong})", f"provide {needs}")


def fault_of(worker: Worker, targets: Targets, held: Collection[str] = tuple(PROBES)) -> str | None:
    """What is wrong with a worker that has just been started, or None: the probes in `held` must be stopped."""
    try:
        worker.wait()  # until it has imported everything
        word = secrets.token_hex(8)
        kind, values, message = _ask(worker, Job("def probe(word): return [word, 6 * 7]", "probe", [[word]]))
        if (kind, values) != (RETURNED, [[word, 42]]):
            return f"a harmless program fails: {kind} {message}"
        for probe in sorted(held):
            kind, values, message = _ask(worker, Job(source_of(probe), "probe", [targets.arguments.get(probe, [])]))
            if (kind, values) != (RETURNED, ["stopped"]):
                return f"the probe '{probe}' is not stopped: {kind} {values or message}"
    except Lost as loss:
        return str(loss)
    return None


def fault_of_backend(backend: Backend, limits: Limits, targets: Targets) -> str | None:
    """What is wrong with a backend on this system, or None. Starts four workers and stops them."""
    reach = ("read", "write", "connect", "fork")
    trials = (
        ("", backend, backend.layers, tuple(PROBES)),
        ("its wall alone: ", backend, backend.wall, backend.held),
        ("limits alone: ", NO_WALL, ("limits",), (*reach, "allocate", "root")),
        ("seccomp alone: ", NO_WALL, ("seccomp",), (*reach, "signal")),
    )
    workers: list[Worker] = []
    try:
        for _, wall, layers, _ in trials:  # all of them first: they start side by side
            workers.append(Worker(wall, limits, layers))
        for worker, (name, _, _, held) in zip(workers, trials, strict=True):
            fault = fault_of(worker, targets, held)
            if fault is not None:
                return name + fault
    except Lost as loss:
        return str(loss)
    finally:
        for worker in workers:
            worker.stop()
    return None


def _ask(worker: Worker, job: Job) -> tuple[str, list[Any], str]:
    worker.hand(job.request())
    outcome = outcome_of(*worker.result(), len(job.arguments))
    return outcome.kind, outcome.values, outcome.message
