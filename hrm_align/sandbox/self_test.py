"""Self-test of the sandbox: harmless probe programs attempt forbidden operations, and one plain program must succeed.

Each probe runs like any other program. A probe returns "done" if the operation succeeded and "stopped" if the system
refused the operation; any other result counts as a fault. Every worker is tested when it starts. A layer can hide a
hole in another layer, so each layer is also tested once without the others, when a backend is chosen.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Collection
from typing import Any

from hrm_align.errors import UserError
from hrm_align.processes import WorkerLost
from hrm_align.sandbox.inside import Limits
from hrm_align.sandbox.jobs import RETURNED, Job
from hrm_align.sandbox.worker import BACKENDS, UNCONFINED, Backend, Worker

_MONTY = "`pip install 'hrm_align[monty]'`, an interpreter that needs no sandbox and supports a subset of Python"


class SandboxUnavailable(UserError):
    """No sandbox backend passes its self-test on this system.

    Args:
        reason: the problem of each backend.
        remedy: changes to the system that would make a backend work, as an imperative.
    """

    def __init__(self, reason: str, remedy: str):
        super().__init__(f"{reason}, so programs cannot be run. To run them, {remedy}, or {_MONTY}.")
        self.reason, self.remedy = reason, remedy


_HEAD = "import ctypes, errno, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
_ATTEMPT = """
def probe(*given):
    try:
        return "done" if attempt(*given) else "stopped"
    except (OSError, MemoryError):
        return "stopped"
"""

# Parameters and body of `attempt(...)`, which returns true after a success; false or OSError after a refusal.
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
        return False  # in a namespace, that number belongs to the job or the zygote
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
    count = 0
    for descriptor in range(4, 1024):
        try:
            os.lseek(descriptor, 0, os.SEEK_CUR)
            count += 1
        except OSError as error:
            count += error.errno != errno.EBADF
    return count > 0
""",
    "root": """():
    return os.geteuid() == 0
""",
}


def probe_source(probe: str) -> str:
    """Return the text of a probe program, whose function `probe(...)` returns "done" or "stopped"."""
    return f"{_HEAD}def attempt{PROBES[probe]}{_ATTEMPT}"


class Targets:
    """Arguments of the probes: system files, the process id of the trainer, and the port of an open listener.

    A context manager that closes the listener.
    """

    def __init__(self, limits: Limits):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.arguments: dict[str, list[Any]] = {
            "read": [["/etc/passwd", "/etc/hosts", "/proc/self/status"]],  # every user can read the last
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
    """Choose the first backend that passes its self-test.

    Args:
        limits: limits of one job.
        name: try only the backend with this name.

    Returns:
        The backend; and for each backend that failed before, a sentence that states the problem.

    Raises:
        SandboxUnavailable: if no backend passes its self-test.
        UserError: for an unknown name.
    """
    known = [backend.name for backend in BACKENDS]
    if name is not None and name not in known:
        raise UserError(f"invalid value for the backend of the sandbox: {name}. Use one of {', '.join(known)}.")
    if sys.platform != "linux":
        raise SandboxUnavailable(f"the sandbox works only on Linux, and this system is {sys.platform}", "use Linux")
    faults: list[tuple[Backend, str]] = []
    with Targets(limits) as targets:
        for backend in BACKENDS:
            if name in (None, backend.name):
                fault = find_backend_fault(backend, limits, targets)
                if fault is None:
                    return backend, [
                        f"{other.name}: {fault}. {other.name} needs {other.needs}." for other, fault in faults
                    ]
                faults.append((backend, fault))
    problems = "; ".join(f"{backend.name}: {fault}" for backend, fault in faults)
    needs = "; ".join(f"for {backend.name} {backend.needs}" for backend, _ in faults)
    raise SandboxUnavailable(f"no sandbox works on this system ({problems})", f"provide {needs}")


def find_fault(worker: Worker, targets: Targets, stopped_probes: Collection[str] = tuple(PROBES)) -> str | None:
    """Test a worker that has just been started. Return a description of the first fault, or None.

    Args:
        worker: the worker.
        targets: arguments of the probes.
        stopped_probes: names of the probes that must be stopped.
    """
    try:
        worker.wait_for_reply()  # the zygote replies after its imports
        word = secrets.token_hex(8)
        kind, values, message = _run_job(worker, Job("def probe(word): return [word, 6 * 7]", "probe", [[word]]))
        if (kind, values) != (RETURNED, [[word, 42]]):
            return f"a harmless program fails: {kind} {message}"
        for probe in sorted(stopped_probes):
            job = Job(probe_source(probe), "probe", [targets.arguments.get(probe, [])])
            kind, values, message = _run_job(worker, job)
            if (kind, values) != (RETURNED, ["stopped"]):
                return f"the probe '{probe}' is not stopped: {kind} {values or message}"
    except WorkerLost as loss:
        return str(loss)
    return None


def find_backend_fault(backend: Backend, limits: Limits, targets: Targets) -> str | None:
    """Test a backend on this system, as a whole and layer by layer. Return a description of the first fault, or None.

    Four workers are started and stopped.
    """
    reach = ("read", "write", "connect", "fork")
    trials = (  # prefix of the description, backend, layers of a job, probes that must be stopped
        ("", backend, backend.layers, tuple(PROBES)),
        ("outer confinement alone: ", backend, backend.outer_layers, backend.stopped_probes),
        ("limits alone: ", UNCONFINED, ("limits",), (*reach, "allocate", "root")),
        ("seccomp alone: ", UNCONFINED, ("seccomp",), (*reach, "signal")),
    )
    workers: list[Worker] = []
    try:
        # All workers are started before the first test, so that they start in parallel.
        for _, confinement, layers, _ in trials:
            workers.append(Worker(confinement, limits, layers))
        for worker, (prefix, _, _, stopped_probes) in zip(workers, trials, strict=True):
            fault = find_fault(worker, targets, stopped_probes)
            if fault is not None:
                return prefix + fault
    except WorkerLost as loss:
        return str(loss)
    finally:
        for worker in workers:
            worker.stop()
    return None


def _run_job(worker: Worker, job: Job) -> tuple[str, list[Any], str]:
    worker.send_job(job)
    outcome = job.parse(*worker.result())
    return outcome.kind, outcome.values, outcome.message
