"""Trackers that never stand between a user and a run."""

from __future__ import annotations

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

LOGIN_SECONDS = 10  # to wait for the server


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
    import wandb

    try:
        reachable = wandb.login(prompt=False, timeout=LOGIN_SECONDS)
    except wandb.Error as error:
        reason = str(error).splitlines()[0]
        logger.warning("wandb: %s. This run is recorded offline: `wandb sync` its folder to upload it later.", reason)
        reachable = False
    if not reachable:
        os.environ["WANDB_MODE"] = "offline"
        wandb.teardown()  # the login has read the environment as it was before
