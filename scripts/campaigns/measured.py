"""Run a command in a fresh process and measure its seconds, CPU seconds and peak resident memory. Requires Linux."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

INTERVAL = 0.1  # seconds between two samples of the processes' memory
KIB = 1024


@dataclass(frozen=True)
class Measured:
    """The measurements and the output of a command.

    Args:
        code: exit code; minus the signal number if a signal ended the process.
        seconds: wall time.
        cpu_seconds: user and system time of the process and of the children that it waited for.
        peak: peak resident memory of the command's own process, in bytes.
        child_peak: largest peak resident memory of a child, in bytes; 0 without children.
        together: largest sum over the process and its children at one time, in bytes; shared pages count in each process.
        output: standard output.
        errors: standard error.
    """

    code: int
    seconds: float
    cpu_seconds: float
    peak: int
    child_peak: int
    together: int
    output: str
    errors: str

    @property
    def largest(self) -> int:
        """Largest peak resident memory of any of the processes, in bytes."""
        return max(self.peak, self.child_peak)


def run(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    folder: Path,
    kill_when: Callable[[], bool] | None = None,
) -> Measured:
    """Run a command to its end and measure it.

    Args:
        command: program and arguments.
        log: path without a suffix; the outputs go to `log.out` and `log.err`.
        environment: environment variables of the process.
        folder: working folder.
        kill_when: polled while the command runs; SIGKILL is sent when it first returns true.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    out, err = log.with_suffix(".out"), log.with_suffix(".err")
    start, memory = time.perf_counter(), _Peaks()
    with out.open("wb") as output, err.open("wb") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=dict(environment), cwd=folder)
    sampled = 0.0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if kill_when is not None and kill_when():
            os.kill(process.pid, 9)
            kill_when = None
        if time.perf_counter() - sampled >= INTERVAL:
            sampled = time.perf_counter()
            memory.sample(process.pid)
        time.sleep(0.005 if kill_when is not None else INTERVAL / 2)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measured(
        process.returncode,
        time.perf_counter() - start,
        usage.ru_utime + usage.ru_stime,
        memory.own or usage.ru_maxrss * KIB,
        memory.child,
        memory.together,
        out.read_text(errors="replace"),
        err.read_text(errors="replace"),
    )


class _Peaks:
    """The largest resident memory of a process, of one of its children, and of all together, in bytes.

    The first two come from the kernel's own record of a process's peak (VmHWM), which includes peaks between two samples.
    """

    def __init__(self) -> None:
        self.own = self.child = self.together = 0

    def sample(self, pid: int) -> None:
        """Read the memory of the processes once."""
        try:
            children = [child.pid for child in psutil.Process(pid).children(recursive=True)]
        except psutil.Error:
            children = []
        own, now = _peak_and_resident(pid)
        self.own = max(self.own, own)
        for child in children:
            peak, resident = _peak_and_resident(child)
            self.child = max(self.child, peak)
            now += resident
        self.together = max(self.together, now)


def _peak_and_resident(pid: int) -> tuple[int, int]:
    """Return VmHWM and VmRSS of a process in bytes; zeros if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {line.split(":")[0]: int(line.split()[1]) * KIB for line in lines if line.startswith(("VmHWM", "VmRSS"))}
    return sizes.get("VmHWM", 0), sizes.get("VmRSS", 0)
