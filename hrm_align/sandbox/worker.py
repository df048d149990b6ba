"""A zygote as the trainer holds it: started behind one of the walls that a platform may offer, and given jobs.

The walls, best first. All have seccomp and resource limits within (`inside.confinement`), and differ in what stands behind them:

    bubblewrap  namespaces: of all files only Python's own exist, read-only, and no other process, network or IPC object
    landlock    the kernel refuses every file

That is their order: they cost the same (6 to 7 ms a job), and without seccomp nothing that 246 hostile programs did behind
bubblewrap was seen outside, where 5 got past Landlock to a name or an IPC object (`scripts/sandbox_campaign.py`).
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrm_align.processes import REPLY_BYTES, Lost, WorkerProcess
from hrm_align.sandbox.inside import Limits

START_SECONDS = 60.0  # to start Python and import; a tenth of a second, on a computer that has nothing else to do
GRACE_SECONDS = 20.0  # beyond a job's wall time, for the zygote to tell
BYTES_PER_BYTE = 6  # of a reply, for a byte of a job's output: `\u00ff`

INSIDE = Path(__file__).with_name("inside")
_START = "import sys; sys.path[0] = sys.argv.pop(); from inside.zygote import main; del sys.path[0]; main()"
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/nix/store")


@dataclass(frozen=True)
class Backend:
    """A way to confine programs.

    Args:
        name: what it is chosen by.
        needs: what a platform must have for it.
        layers: what a job's process gives up by itself (`inside.confinement`).
        wall: those of them that are the wall; none where it is built around the zygote.
        held: the probes of `self_test` that the wall stops alone.
    """

    name: str
    needs: str
    layers: tuple[str, ...]
    wall: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """What starts a zygote.

        Raises:
            OSError: if the program that builds the wall is not installed.
        """
        python = [os.path.realpath(sys.executable), "-S", "-s", "-B", "-c", _START, str(INSIDE.parent)]
        return [*_bubblewrap(python[0]), *python] if self.name == "bubblewrap" else python


def environment() -> dict[str, str]:
    """What a zygote is started with, and forgets before it forks: a program does the same everywhere.

    Time zone and hash seed; and where a Python that was built so finds its own library.
    """
    library = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
    return {"TZ": "UTC0", "PYTHONHASHSEED": "0", **library}


def _bubblewrap(python: str) -> Sequence[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise OSError("bwrap is not installed")
    words = [program, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--as-pid-1", "--cap-drop", "ALL"]
    if os.geteuid() == 0:  # the zygote's children drop root themselves, and it must be able to kill them
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_KILL"):
            words += ["--cap-add", capability]
    else:
        words += ["--unshare-user"]
    stdlib = os.path.dirname(os.__file__)
    prefix = [os.path.join(sys.base_prefix, name) for name in ("lib", "lib64")]  # of a Python that brings its libraries
    for path in sorted({*_LIBRARIES, *prefix, stdlib, python, str(INSIDE)}):
        words += ["--ro-bind-try", path, path]
    return [*words, "--remount-ro", "/"]


BACKENDS = (
    Backend(
        "bubblewrap",
        "the program bwrap (apt install bubblewrap), and a system that lets it make namespaces",
        layers=("limits", "seccomp"),
        held=("read", "write", "connect", "signal"),
    ),
    Backend(
        "landlock",
        "Linux 5.13 or later with Landlock enabled",
        layers=("landlock", "limits", "seccomp"),
        wall=("landlock",),
        held=("read", "write"),
    ),
)
NO_WALL = Backend("none", "nothing", layers=())  # for a test of the other layers without one


class Worker(WorkerProcess):
    """A zygote behind a wall. It is lost if it dies, hangs, or cannot confine a job's process: that is never the program's fault.

    Args:
        backend: the wall.
        limits: what a job may use.
        layers: what a job's process gives up; the backend's, but for a test of one layer without another.

    Raises:
        Lost: if it cannot be started.
    """

    def __init__(self, backend: Backend, limits: Limits, layers: tuple[str, ...] | None = None):
        try:
            super().__init__(backend.command(), hear_errors=True, env=environment(), cwd="/")
        except OSError as error:
            raise Lost("died", str(error)) from error
        self._limits = limits
        settings = {"layers": backend.layers if layers is None else layers, "limits": dataclasses.asdict(limits)}
        with suppress(Lost):  # which `wait` raises again
            self.ask(settings, START_SECONDS)

    def hand(self, job: bytes) -> None:
        """Hand over a job. If it cannot be, `result` raises."""
        seconds = self._limits.wall_seconds + GRACE_SECONDS
        most = REPLY_BYTES + BYTES_PER_BYTE * self._limits.output_bytes
        with suppress(Lost):
            self.ask({"job": job.decode("ascii")}, seconds, most)

    def result(self) -> tuple[dict[str, Any], bytes]:
        """How the job's process ended, and what it wrote. Raises Lost."""
        end = self.wait()
        if end["end"] == "unconfined":
            raise Lost("died", f"a job's process could not be confined: {end['reason']}")
        return end, end["written"].encode("latin-1")
