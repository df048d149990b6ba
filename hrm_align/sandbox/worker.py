"""A zygote as the trainer holds it: started, and given jobs."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import Any

from hrm_align.processes import REPLY_BYTES, Lost, WorkerProcess
from hrm_align.sandbox.backends import Backend, environment
from hrm_align.sandbox.inside.protocol import Limits

START_SECONDS = 60.0  # to start Python and import; a tenth of a second, on a computer that has nothing else to do
GRACE_SECONDS = 20.0  # beyond a job's wall time, for the zygote to tell
BYTES_PER_BYTE = 6  # of a reply, for a byte of a job's output: `\\u00ff`


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
        with suppress(Lost):  # then there will be no reply either
            self.ask(settings, START_SECONDS)

    def hand(self, job: bytes) -> None:
        """Hand over a job. Whether it has arrived is told by `result`."""
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
