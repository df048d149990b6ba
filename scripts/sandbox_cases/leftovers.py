"""Run thousands of mixed programs, and count the processes, files and descriptors that are left."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

from hrm_align.sandbox import Job, Limits, Sandbox

from .honest import honest_jobs
from .namespaces import FOLDERS
from .spoofs import spoofs
from .watch import living_processes, reap

_LIMITS = Limits(cpu_seconds=1, wall_seconds=1.0)
_AT_ONCE = 100
# These programs are rare among the runs, because each takes its whole second.
_SLOW = (
    "def f():\n while True: pass",
    "import time\ndef f(): time.sleep(9)",
    "import os, time\nos.close(3)\ntime.sleep(9)",
)


def run_mixed(backend: str | None, runs: int, rng: Random) -> dict[str, Any]:
    """Run honest, spoofing and hanging programs, and return what is left: processes, files and descriptors."""
    before = _state()
    quick = [job for job, _ in honest_jobs(1)] + [job for _, job, _ in spoofs()]
    slow = [Job(source, "f", [[]]) for source in _SLOW]
    done = 0
    with Sandbox(_LIMITS, backend) as sandbox:
        while done < runs:
            count = min(_AT_ONCE, runs - done)
            batch = [rng.choice(slow if rng.random() < 0.001 else quick) for _ in range(count)]
            done += len(sandbox.run(batch))
        counts, replaced = dict(sandbox.counts), sandbox.replaced
    reap()
    after = _state()
    left = [f"{what} {name}" for what in after for name in sorted(after[what] - before[what])]
    return {"runs": done, "left": len(left), "kinds": counts, "workers_replaced": replaced, "wrong": left}


def _state() -> dict[str, set[str]]:
    files = {str(path) for folder in FOLDERS for path in Path(folder).rglob("*")}
    open_now = {f"{name} {_target(name)}" for name in os.listdir("/proc/self/fd")}
    return {"process": {str(pid) for pid in living_processes()}, "file": files, "descriptor": open_now}


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # the descriptor of the listing itself, which is closed by now
        return ""
