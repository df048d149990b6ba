"""A subprocess with only a time limit, which is often mistaken for a sandbox. Shows which hostile programs can escape at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable

from hrm_align.sandbox import Job, Limits, Outcome

_RUNNER = """
import json, sys
job = json.loads(sys.stdin.read())
space = {"__name__": "program"}
exec(job["source"], space)
print(json.dumps([space[job["call"]](*given) for given in job["arguments"]]))
"""


class Subprocess:
    """Runs jobs like `Sandbox.run`, one after another, and limits nothing but their time."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.pids: list[int] = []
        self.replaced = 0

    def run(self, jobs: Iterable[Job]) -> list[Outcome]:
        return [self._run(job) for job in jobs]

    def _run(self, job: Job) -> Outcome:
        command = [sys.executable, "-I", "-S", "-c", _RUNNER]
        try:
            done = subprocess.run(
                command,
                input=job.request()["job"].encode(),
                capture_output=True,
                timeout=self.limits.wall_seconds,
                close_fds=False,
            )
        except subprocess.TimeoutExpired:
            return Outcome("timeout")
        try:
            return Outcome("returned", json.loads(done.stdout.splitlines()[-1]))
        except (ValueError, IndexError, RecursionError):
            return Outcome("raised", message=done.stderr.decode(errors="replace")[-300:])
