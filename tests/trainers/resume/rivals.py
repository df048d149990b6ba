"""Processes of their own that claim a run's folder, and are suspended, killed or on other hosts."""

import os
import signal
import socket
import time
from contextlib import contextmanager
from pathlib import Path

from hrm_align import run
from hrm_align.run_folder import is_claim_file
from hrm_align.trainers import claim as claims
from hrm_align.trainers.callbacks import MetricsFile
from recipes import sft as recipe
from tests.trainers.recipe_runs import arguments
from tests.trainers.resume.runs import BY_FOUR, start

SHORT = (*BY_FOUR, "--max_steps", "2", "--save_strategy", "no")


STALE = 2.0  # seconds instead of 60


def hurried(run, *args) -> None:
    """Run with a claim that is stale soon."""
    claims.RENEWED_EVERY, claims.STALE_AFTER, claims.WAITED_AT_MOST = STALE / 6, STALE, STALE * 7 / 6
    run(*args)


def on_host(host: str, run, *args) -> None:
    """Run as if this were another host, whose processes cannot be seen from here."""
    socket.gethostname = lambda: host
    run(*args)


def reads(out: Path, data: Path, *flags: str) -> None:
    """Run the recipe while reading its data lasts until the test calls `go_on`, which writes a file beside the run's folder."""
    stock = run.read_data

    def slow(*args, **kwargs):
        out.with_suffix(".reading").touch()
        wait_for(out.with_suffix(".read").exists)
        return stock(*args, **kwargs)

    run.read_data = slow
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # which a test run in the background ignores, and its children too
    recipe.main(arguments(out, data, *flags))


def pauses(step: int, out: Path, data: Path, *flags: str) -> None:
    """Run the recipe until a step is logged, then suspend this process."""
    stock = MetricsFile.on_log

    def log(self, args, state, *rest, **kwargs):
        stock(self, args, state, *rest, **kwargs)
        if state.global_step == step:
            os.kill(os.getpid(), signal.SIGSTOP)

    MetricsFile.on_log = log
    recipe.main(arguments(out, data, *flags))


@contextmanager
def running(log: Path, run, *args, **environment):
    """A process that runs a function meanwhile; it has ended, or is killed, afterwards."""
    process = start(log, environment, run, *args)
    try:
        yield process
        process.join(120)
    finally:
        process.kill()


def go_on(out: Path) -> None:
    """Let a run that `reads` have its data."""
    out.with_suffix(".read").touch()


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def left(out: Path) -> list[str]:
    """Of claims, in a run's folder."""
    return [path.name for path in out.rglob("*") if is_claim_file(path.name)]
