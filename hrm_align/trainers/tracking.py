"""Trackers that never stand between a user and a run."""

from __future__ import annotations

import os
from pathlib import Path


def prepare_trackers(report_to: str | list[str] | None, output_dir: Path) -> None:
    """Let wandb record offline where nobody has logged in, instead of asking for a key in the middle of a run.

    Args:
        report_to: the trackers that a run names. `wandb sync` uploads an offline run later.
        output_dir: of the run; wandb's own files go there too.
    """
    if "wandb" not in (report_to or ()):
        return
    os.environ.setdefault("WANDB_DIR", str(output_dir))
    if "WANDB_MODE" in os.environ:
        return
    import wandb

    if not wandb.login(prompt=False):
        os.environ["WANDB_MODE"] = "offline"
        wandb.teardown()  # the login has read the environment as it was before
