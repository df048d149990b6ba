"""Trackers of `report_to`, such as wandb: a tracker that fails never ends a run, and delays its start by 15 s at most.

`prepare_trackers` logs in to wandb before training and records offline if the login fails. `guard_trackers` catches the errors of
every tracker during training: metrics.jsonl has all records anyway.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, WandbCallback

logger = logging.getLogger(__name__)

LOGIN_SECONDS = 10.0  # to start a process, import wandb and get a response from its server
START_SECONDS = 13.0  # for the login and `wandb.init` together; a second is left to record offline instead
LEAST_INIT_SECONDS = 4.0
FINISH_SECONDS = "60"  # to upload the rest of the records at the end of a run
ONLINE = ("", "online", "run", "shared")  # values of WANDB_MODE with which wandb contacts its server
# Without these, wandb retries each request for minutes, and the reason of the failure would not be known in time.
QUICK = {"WANDB_HTTP_TIMEOUT": "4", "WANDB__GRAPHQL_RETRY_MAX": "1"}

# `os._exit`, because wandb's exit handlers may wait for a server that does not respond.
LOGIN = """
import os, sys, wandb
try:
    is_offline = wandb.setup().settings.mode in ("offline", "dryrun", "disabled")  # by `wandb offline`
    reason = "" if is_offline or wandb.login(prompt=False, verify=True) else "you are not logged in"
except Exception as error:
    reason = " ".join(str(error).split())[:250]
print(reason, file=sys.stderr, flush=True)
os._exit(bool(reason))
"""


def prepare_trackers(report_to: str | list[str] | None, output_dir: Path) -> None:
    """Switch wandb to offline mode if there is no login or its server cannot be reached, instead of stopping the run.

    Args:
        report_to: the trackers of the run. `wandb sync` uploads an offline run later.
        output_dir: folder of the run, which gets wandb's files too.
    """
    if "wandb" not in (report_to or ()):
        return
    os.environ.setdefault("WANDB_DIR", str(output_dir))
    if os.environ.get("WANDB_MODE", "").lower() not in ONLINE:
        return
    start = time.monotonic()
    if reason := _login_problem():
        _warn_offline(reason)
        os.environ["WANDB_MODE"] = "offline"
        return
    left = max(LEAST_INIT_SECONDS, START_SECONDS - (time.monotonic() - start))
    os.environ.setdefault("WANDB_INIT_TIMEOUT", f"{left:.1f}")
    if not os.environ.get("WANDB_LOG_MODEL"):  # the upload of a model may take longer
        os.environ.setdefault("WANDB_FINISH_TIMEOUT", FINISH_SECONDS)


def _warn_offline(reason: str) -> None:
    logger.warning(
        "wandb: %s. This run is recorded offline: upload it later with `wandb sync` and its folder.", reason.rstrip(".")
    )


def _login_problem() -> str | None:
    """Return why a login to wandb fails; None if it succeeds.

    The login runs in a separate process that can be killed. In this process, a failed login would leave a service behind
    that waits forever for the server, and settings that were read before the run was switched to offline mode.
    """
    with tempfile.TemporaryFile("w+") as errors:  # not a pipe: wandb's own service could keep it open
        command = [sys.executable, "-c", LOGIN]
        try:
            login = subprocess.run(
                command, stdout=subprocess.DEVNULL, stderr=errors, env=QUICK | os.environ, timeout=LOGIN_SECONDS
            )
        except subprocess.TimeoutExpired:
            return f"the login did not end within {LOGIN_SECONDS:g} s"
        errors.seek(0)
        lines = errors.read().strip().splitlines()
    if login.returncode == 0:
        return None
    return lines[-1] if lines else "the login failed"


def guard_trackers(trainer: Trainer) -> None:
    """Catch the errors of the trainer's trackers: after its first error, a tracker gets no more records of the run.

    If wandb fails when it starts, the run is recorded offline instead.

    Args:
        trainer: its callbacks that belong to `report_to` are changed in place.
    """
    kinds: tuple[type[TrainerCallback], ...] = tuple(INTEGRATION_TO_CALLBACK.values())
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, kinds):
            _Guard(callback, trainer).install()


class _Guard:
    """Calls the events of one tracker, catches its errors, and stops calling after the first.

    Args:
        tracker: callback of Transformers.
        trainer: the trainer of the callback.
    """

    def __init__(self, tracker: TrainerCallback, trainer: Trainer):
        self._tracker, self._trainer, self._is_stopped = tracker, trainer, False
        self._name = next(name for name, kind in INTEGRATION_TO_CALLBACK.items() if isinstance(tracker, kind))

    def install(self) -> None:
        """Replace each event of the callback by a call that catches errors; its class stays the same."""
        for event in (name for name in dir(TrainerCallback) if name.startswith("on_")):
            call = self._start if event == "on_train_begin" else self._call
            setattr(self._tracker, event, functools.partial(call, getattr(self._tracker, event)))

    def _start(self, begin: Callable[..., Any], args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the tracker; start wandb again in offline mode if it fails."""
        try:
            begin(args, state, control, **kwargs)
        except Exception as error:
            if not isinstance(self._tracker, WandbCallback) or os.environ.get("WANDB_MODE") == "offline":
                self._stop(error)
                return
            _warn_offline(_first_line(error))
            self._call(self._start_offline, args, state, **kwargs)
        if self._name == "wandb" and not self._is_stopped and state.is_world_process_zero:
            import wandb  # TRL logs tables of completions with this function, outside of the callback

            wandb.log = functools.partial(self._call, wandb.log)

    def _start_offline(self, *args: Any, **kwargs: Any) -> None:
        os.environ["WANDB_MODE"] = "offline"
        _close_wandb()  # the next service reads WANDB_MODE again
        self._tracker.setup(*args, **kwargs)  # type: ignore[attr-defined]  # of WandbCallback

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._is_stopped:
            return None
        try:
            return function(*args, **kwargs)
        except Exception as error:
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        self._is_stopped = True
        logger.warning(
            "the tracker %s failed (%s) and gets no more records of this run; metrics.jsonl has all of them.",
            self._name,
            _first_line(error),
        )
        if self._name == "wandb":
            _close_wandb()


def _close_wandb() -> None:
    """End the run of wandb and its service, which would wait for the server or print this error's traceback at exit."""
    import wandb

    for end in (wandb.finish, wandb.teardown):
        with contextlib.suppress(Exception):
            end()


def _first_line(error: Exception) -> str:
    """Return the first line of an error, or its class for an empty message."""
    text = next((line for line in str(error).splitlines() if line.strip() and line != "<no message>"), "")
    return " ".join(text.split())[:200] or type(error).__name__
