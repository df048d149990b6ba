"""What a restart by `torchrun` or `accelerate launch --max_restarts` needs beside a checkpoint: a rendezvous of its own."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

from torch.distributed import TCPStore

_MINUTES = timedelta(minutes=10)


def separate_restart() -> None:
    """Let the processes of a restart meet in a new store, before the first of them opens a process group.

    The launcher's store outlives its workers, and torch (2.13) puts the addresses of every attempt under the same keys: with
    gloo a restarted process sometimes finds that of a dead one, and fails or waits without end.
    """
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if attempt == "0" or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    host = os.environ["MASTER_ADDR"]
    launchers = TCPStore(host, int(os.environ["MASTER_PORT"]), is_master=False, timeout=_MINUTES)
    key = f"hrm_align/attempt {attempt}/port"
    if os.environ["RANK"] == "0":
        with socket.socket() as free:
            free.bind(("", 0))
            launchers.set(key, str(free.getsockname()[1]))
    os.environ["MASTER_PORT"] = launchers.get(key).decode()
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"  # the first process opens the new one there
