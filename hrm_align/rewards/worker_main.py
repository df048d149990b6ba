"""The process that computes rewards for `hrm_align.rewards.workers`. It may hang, crash or be killed at any time.

    python -I -S worker_main.py DESCRIPTOR

It is run by its path with the standard library alone (some 50 ms), and speaks lines of JSON over that socket:

    {"path": [...], "rewards": [["math", {}], ["format", {"tags": ["think"]}]]}           ->  {"ready": true}
    {"path": [...], "file": "mine.py", "function": "reward"}                              ->  {"fault": "no such file"}
    {"id": "7f3a", "reward": 0, "rows": [{"completion": "4", "reference": "4", ...}]}     ->  {"id": "7f3a", "values": [1.0],
        "bad": {}, "why": {}}, or {"id": "7f3a", "kind": "raised", "detail": "mine.py:7: KeyError: 'x'"}

`bad` tells of values that are no numbers, `why` of rows that cannot be graded, both by the place of the row.
"""

from __future__ import annotations

import json
import socket
import sys
import types
from pathlib import Path

MEMORY_BYTES = 4 * 2**30  # of a worker for the toolkit's own rewards: 10 ** 10 ** 10 must not take the machine's


def _import_without_package() -> None:
    """Make `hrm_align.rewards` importable without `hrm_align` itself, which imports torch: 8 seconds and 400 MB."""
    package = types.ModuleType("hrm_align")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["hrm_align"] = package


def _limit_memory() -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _leave_no_core() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash would leave a file


def main() -> None:
    """Answer requests until the other end closes."""
    _import_without_package()
    from hrm_align.rewards.guardian import fork_under_guard

    fork_under_guard()
    _leave_no_core()
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    requests = channel.makefile("r", encoding="ascii", newline="\n")

    def reply(message: dict[str, object]) -> None:
        channel.sendall(json.dumps(message).encode("ascii") + b"\n")

    start = json.loads(requests.readline() or "{}")
    sys.path[:] = start.get("path", sys.path)
    from hrm_align.rewards.serving import Failure, load, serve

    try:
        graders = load(start)
        if "rewards" in start:
            _limit_memory()
    except Failure as failure:
        reply({"fault": failure.detail})
        return
    reply({"ready": True})
    for line in requests:
        request = json.loads(line)
        reply({"id": request["id"], **serve(graders[request["reward"]], request["rows"])})


if __name__ == "__main__":
    main()
