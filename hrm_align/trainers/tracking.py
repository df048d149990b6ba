"""Trackers that never stand between a user and a run."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

logger = logging.getLogger(__name__)

LOGIN_SECONDS = 60  # for a process to start, to import wandb, and to hear from its server

# `os._exit`, since wandb's own end can wait on a server that does not answer.
LOGIN = """
import os, sys, wandb
try:
    reason = "" if wandb.login(prompt=False) else "nobody has logged in"
except Exception as error:
    reason = str(error).splitlines()[0]
print(reason, file=sys.stderr, flush=True)
os._exit(bool(reason))
"""


def prepare_trackers(report_to: str | list[str] | None, output_dir: Path) -> None:
    """Let wandb record offline where nobody has logged in or its server cannot be reached, instead of stopping the run.

    Args:
        report_to: the trackers that a run names. `wandb sync` uploads an offline run later.
        output_dir: of the run; wandb's own files go there too.
    """
    if "wandb" not in (report_to or ()):
        return
    os.environ.setdefault("WANDB_DIR", str(output_dir))
    if "WANDB_MODE" in os.environ:
        return
    if reason := _why_login_fails():
        logger.warning("wandb: %s. This run is recorded offline: `wandb sync` its folder to upload it later.", reason)
        os.environ["WANDB_MODE"] = "offline"


def _why_login_fails() -> str | None:
    """Return what stands between this user and wandb's server, None where nothing does.

    Asked in a process of its own, which can be ended: within this one a login leaves a service behind that waits
    without end for a server that does not answer, and settings that were read before the run is set offline.
    """
    with tempfile.TemporaryFile("w+") as said:  # no pipe: wandb's own service could hold it open
        try:
            login = subprocess.run([sys.executable, "-c", LOGIN], stderr=said, timeout=LOGIN_SECONDS)
        except subprocess.TimeoutExpired:
            return f"the login did not end within {LOGIN_SECONDS} s"
        said.seek(0)
        lines = said.read().strip().splitlines()
    if login.returncode == 0:
        return None
    return lines[-1].rstrip(".") if lines else "the login failed"
