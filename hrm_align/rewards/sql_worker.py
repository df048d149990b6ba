"""Worker process that runs queries for `hrm_align.rewards.sql_rewards`; may be killed at any time.

Requests and replies are lines of JSON over a socket at standard input (`hrm_align.processes`), in this order, each with
its `"id"`:

    {"database": "shop.sql", "reference": "SELECT ...", "spider": false}    ->  {"fault": null, "seconds": 0.001}
    {"completion": "SELECT ..."}            ->  {"right": false, "stopped": null, "open": true}, any number of times
    {"other_runs": true}                    ->  {"right": true}, for the last completion
    {"doubt": true}                         ->  {"doubt": null}, or a kind and a sentence

A limit inside the process is not enough, since SQLite can take hours before the first step of a query runs: twenty
common table expressions, each reading the previous expression twice, are copied a million times. Therefore the caller
kills the process after a deadline. This file is run by its path, without the package's `__init__`, and imports only the
standard library and modules that do the same: it starts in about 30 ms.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
import types
from pathlib import Path

MEMORY_BYTES = 2 * 2**30  # address space of this process


def _limit_this_process() -> None:
    """Forbid writing files and limit memory, on systems with resource limits. Ignore SIGINT and SIGTERM."""
    for name in ("SIGINT", "SIGTERM"):  # this process ends when its parent closes the channel
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, value in ((resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, MEMORY_BYTES)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def main() -> None:
    """Answer requests until the parent closes the channel."""
    _limit_this_process()
    package = types.ModuleType("hrm_align")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["hrm_align"] = package
    from hrm_align.rewards.sql_grading import Grader

    grader = Grader()
    channel = socket.socket(fileno=0)
    for line in channel.makefile("r", encoding="ascii", newline="\n"):
        request = json.loads(line)
        if "completion" in request:
            right, stopped, is_open = grader.matches(request["completion"])
            reply: dict[str, object] = {"right": right, "stopped": stopped, "open": is_open}
        elif "other_runs" in request:
            reply = {"right": grader.matches_another_run()}
        elif "doubt" in request:
            reply = {"doubt": grader.doubt()}
        else:
            start = time.monotonic()
            reply = {"fault": grader.expect(request["database"], request["reference"], request["spider"])}
            reply["seconds"] = time.monotonic() - start
        channel.sendall(json.dumps({"id": request["id"], **reply}).encode("ascii") + b"\n")


if __name__ == "__main__":
    main()
