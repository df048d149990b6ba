"""Backends of the sandbox, and the trainer's handle of a zygote: start the zygote in a confinement and send jobs to it.

A zygote is a Python process that has already imported all modules and forks a child for each job (`inside.zygote`). The
backends, best first. Each child also has a seccomp filter and resource limits (`inside.confinement`); the backends
differ in the outer confinement:

    bubblewrap  namespaces: only Python's own files exist, read-only; no other process, network or IPC object is visible
    landlock    the kernel refuses access to every file

Both take 6 to 7 ms for a job. The order comes from a test with 246 hostile programs and without seccomp: with
bubblewrap no program had an effect outside, and with Landlock 5 programs reached a name or an IPC object
(`scripts/sandbox_campaign.py`).
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrm_align.processes import REPLY_BYTES, WorkerLost, WorkerProcess
from hrm_align.sandbox.inside import Limits
from hrm_align.sandbox.jobs import AnyJob, CheckJob

START_SECONDS = 60.0  # limit for starting Python and importing modules, which takes 0.1 seconds on an idle computer
GRACE_SECONDS = 20.0  # time for the reply of the zygote beyond the wall time of a job
BYTES_PER_BYTE = 6  # bytes of a reply for one byte of a job's output, which may be escaped as `\u00ff`

INSIDE = Path(__file__).with_name("inside")
_START = "import sys; sys.path[0] = sys.argv.pop(); from inside.zygote import main; del sys.path[0]; main()"
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/nix/store")


@dataclass(frozen=True)
class Backend:
    """A way to confine programs.

    Args:
        name: name for the argument `backend` of `Sandbox`.
        needs: requirements on the system, for error messages.
        layers: confinement layers that the process of each job applies to itself (`inside.confinement`).
        outer_layers: the layers that form the outer confinement; empty if the outer confinement is built around the
            zygote.
        stopped_probes: the probes of `self_test` that the outer confinement stops without the other layers.
    """

    name: str
    needs: str
    layers: tuple[str, ...]
    outer_layers: tuple[str, ...] = ()
    stopped_probes: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """Return the command that starts a zygote.

        Raises:
            OSError: if bubblewrap is needed and not installed.
        """
        python = [os.path.realpath(sys.executable), "-S", "-s", "-B", "-c", _START, str(INSIDE.parent)]
        return [*_bubblewrap(python[0]), *python] if self.name == "bubblewrap" else python


def environment() -> dict[str, str]:
    """Return the environment of a zygote: UTC, a fixed hash seed, and the library path that some Python builds need.

    The zygote clears its environment before it forks, so that programs give the same results on every system.
    """
    library = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
    return {"TZ": "UTC0", "PYTHONHASHSEED": "0", **library}


def _bubblewrap(python: str) -> Sequence[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise OSError("bwrap is not installed")
    arguments = [program, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    arguments += ["--as-pid-1", "--cap-drop", "ALL"]
    if os.geteuid() == 0:  # the children drop root themselves, and the zygote must still be able to kill them
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_KILL"):
            arguments += ["--cap-add", capability]
    else:
        arguments += ["--unshare-user"]
    stdlib = os.path.dirname(os.__file__)
    prefix = [
        os.path.join(sys.base_prefix, name) for name in ("lib", "lib64")
    ]  # shared libraries of the Python installation
    for path in sorted({*_LIBRARIES, *prefix, stdlib, python, str(INSIDE)}):
        arguments += ["--ro-bind-try", path, path]
    return [*arguments, "--remount-ro", "/"]


BACKENDS = (
    Backend(
        "bubblewrap",
        "the program bwrap (apt install bubblewrap), and a system that lets it make namespaces",
        layers=("limits", "seccomp"),
        stopped_probes=("read", "write", "connect", "signal"),
    ),
    Backend(
        "landlock",
        "Linux 5.13 or later with Landlock enabled",
        layers=("landlock", "limits", "seccomp"),
        outer_layers=("landlock",),
        stopped_probes=("read", "write"),
    ),
)
UNCONFINED = Backend("none", "nothing", layers=())  # for testing single layers without an outer confinement


class Worker(WorkerProcess):
    """Handle of a zygote in a confinement.

    A zygote that dies, hangs, or cannot confine the process of a job raises `WorkerLost`; programs cannot cause that.

    Args:
        backend: the confinement.
        limits: limits of one job.
        layers: layers for the process of a job, by default those of the backend; others serve to test single layers.

    Raises:
        WorkerLost: if the zygote cannot be started.
    """

    def __init__(self, backend: Backend, limits: Limits, layers: tuple[str, ...] | None = None):
        self._tests, theirs = socket.socketpair()
        with theirs:
            try:
                super().__init__(
                    backend.command(), capture_stderr=True, env=environment(), cwd="/", pass_fds=[theirs.fileno()]
                )
            except OSError as error:
                self._tests.close()
                raise WorkerLost("died", str(error)) from error
            self._limits = limits
            layers = backend.layers if layers is None else layers
            settings = {"layers": layers, "limits": dataclasses.asdict(limits), "tests": theirs.fileno()}
        with suppress(WorkerLost):  # `wait_for_reply` raises again
            self.send_request(settings, START_SECONDS)

    def send_job(self, job: AnyJob) -> None:
        """Send a job. If the job cannot be sent, `result` raises."""
        seconds = self._limits.wall_seconds + GRACE_SECONDS
        max_bytes = REPLY_BYTES + BYTES_PER_BYTE * self._limits.output_bytes
        with suppress(WorkerLost):
            if job.private:
                self.send_request({"private": True}, seconds)
                self.wait_for_reply()
            self.send_request(job.request(), seconds, max_bytes)
            if isinstance(job, CheckJob):
                self._send_tests(job.tests(), seconds)

    def _send_tests(self, tests: bytes, seconds: float) -> None:
        try:
            self._tests.settimeout(seconds)
            self._tests.sendall(self._id.encode() + tests)
        except OSError:
            raise self._record_loss("died", "the worker does not read the tests") from None

    def close_channel(self) -> None:
        """Close all channels of the worker."""
        super().close_channel()
        self._tests.close()

    def result(self) -> tuple[dict[str, Any], bytes]:
        """Wait for the result of the job.

        Returns:
            How the process of the job ended, and the output of the process.

        Raises:
            WorkerLost: if the zygote failed, or could not confine the process.
        """
        end = self.wait_for_reply()
        if end["end"] == "unconfined":
            raise WorkerLost("died", f"the process of a job could not be confined: {end['reason']}")
        return end, end["written"].encode("latin-1")
