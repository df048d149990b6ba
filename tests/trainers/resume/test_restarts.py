"""One command line serves the first start and every restart: auto, requeues on other hosts, launchers."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from hrm_align.errors import UserError
from hrm_align.run_folder import CLAIM
from hrm_align.trainers import claim as claims
from hrm_align.trainers.callbacks import MetricsFile
from recipes import sft as recipe
from tests.trainers.recipe_runs import arguments, metrics, sft
from tests.trainers.resume.rivals import SHORT, STALE, hurried, left, on_host, pauses, running, wait_for
from tests.trainers.resume.runs import (
    ACCUMULATED,
    AUTO,
    BY_FOUR,
    LATEST,
    assert_same,
    curve,
    dies_behind,
    forked,
    resumed_step,
)

pytestmark = pytest.mark.usefixtures("rivals")


def test_auto_goes_on_from_nothing_and_from_what_a_kill_has_left(rows, whole, tmp_path):
    """The same command line three times: killed before the first checkpoint, behind it, and to the end."""
    out, flags = tmp_path / "run", (*BY_FOUR, *AUTO)
    for step in (1, 3):  # nothing is saved yet; checkpoint-2 is
        assert forked(tmp_path / "log", dies_behind, step, out, rows, *flags) == [-signal.SIGKILL]
        assert left(out) == [CLAIM]
    sft(out, rows, *flags)
    marks = [(record["step"], record["resumed_from"]) for record in metrics(out) if "resumed_from" in record]
    assert marks == [(0, None), (2, str(out / "checkpoint-2"))]
    assert_same(out, whole)
    assert left(out) == []


def test_auto_on_a_finished_run_trains_nothing_and_ends_well(rows, whole, tmp_path, caplog):
    sft(whole, rows, *BY_FOUR, *AUTO)
    assert "checkpoint-8 is at the last step, 8, so nothing was trained" in caplog.text


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("config.json", False),
        ("notes.txt", False),
        ("ema/model.safetensors", False),
        ("run/resolved.yaml", True),
        ("metrics.jsonl", True),
        (".saving/checkpoint-2/optimizer.pt", True),
        ("wandb/offline-run-1/run.wandb", True),
    ],
)
def test_auto_begins_only_where_a_start_may_have_been(rows, tmp_path, name, accepted):
    out = tmp_path / "run"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("")
    if accepted:
        sft(out, rows, *SHORT, *AUTO)
        assert [record["step"] for record in metrics(out) if "loss" in record] == [1, 2]
    else:
        with pytest.raises(
            UserError, match=f"{name}, which an interrupted start does not leave behind.*: choose another --output_dir"
        ):
            sft(out, rows, *SHORT, *AUTO)
        assert not left(out) and not (out / "metrics.jsonl").exists()


def test_auto_never_begins_again_beside_checkpoints_that_are_damaged(rows, tmp_path):
    (tmp_path / "run/checkpoint-2").mkdir(parents=True)
    with pytest.raises(UserError, match=r"auto: no checkpoint in .* is intact"):
        sft(tmp_path / "run", rows, *BY_FOUR, *AUTO)


@pytest.fixture
def killed(rows, tmp_path):
    """A run under a job id that was killed behind its first checkpoint, on a host that no longer exists."""
    out = tmp_path / "run"
    with running(tmp_path / "log", on_host, "gone", dies_behind, 3, out, rows, *BY_FOUR, SLURM_JOB_ID="42") as process:
        pass
    assert process.exitcode == -signal.SIGKILL and left(out) == [CLAIM]
    return out


def test_a_requeue_on_another_host_goes_on_at_once(rows, whole, killed, tmp_path):
    with running(tmp_path / "log", sft, killed, rows, *BY_FOUR, *AUTO, SLURM_JOB_ID="42") as process:
        wait_for(lambda: "resumed_from" in (killed / "metrics.jsonl").read_text(), claims.STALE_AFTER / 2)
    assert process.exitcode == 0, (tmp_path / "log").read_text()
    assert "Waiting" not in (tmp_path / "log").read_text()
    assert_same(killed, whole)


def test_another_job_waits_until_the_claim_is_stale(rows, whole, killed, tmp_path):
    """With `auto` the start waits; without, it is refused at once with the advice to wait."""
    log, job = tmp_path / "other.log", {"SLURM_JOB_ID": "43"}
    os.utime(killed / "run" / CLAIM)
    with running(log, sft, killed, rows, *BY_FOUR, *LATEST, **job) as process:
        pass
    told = log.read_text()
    assert process.exitcode == 2 and "on host gone (started 2" in told and "SLURM_JOB_ID=42" in told, told
    assert "or now with --resume_from_checkpoint auto, which waits for that" in told
    os.utime(killed / "run" / CLAIM)
    with running(log, hurried, sft, killed, rows, *BY_FOUR, *AUTO, **job) as process:
        pass
    told = log.read_text()
    assert process.exitcode == 0 and "Waiting until it has not been renewed for 2 s" in told, told
    assert_same(killed, whole)


@pytest.mark.campaign
def test_another_job_goes_on_within_70_seconds(rows, whole, killed, tmp_path):
    """The real times."""
    os.utime(killed / "run" / CLAIM)
    begun = time.monotonic()
    with running(tmp_path / "log", sft, killed, rows, *BY_FOUR, *AUTO, SLURM_JOB_ID="43") as process:
        wait_for(lambda: "resumed_from" in (killed / "metrics.jsonl").read_text(), 100)
        assert 55 < time.monotonic() - begun < 75
    assert process.exitcode == 0 and "Waiting until it has not been renewed for 60 s" in (tmp_path / "log").read_text()
    assert_same(killed, whole)


def test_a_run_that_was_suspended_finds_its_folder_taken_and_stops_in_words(rows, whole, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log"
    with running(log, hurried, pauses, 3, out, rows, *BY_FOUR) as first:
        wait_for(lambda: out.is_dir() and 3 in (curve(out) if (out / "metrics.jsonl").exists() else {}))
        time.sleep(STALE * 1.2)
        assert forked(tmp_path / "log 2", hurried, sft, out, rows, *BY_FOUR, *AUTO) == [0]
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
        os.kill(first.pid, signal.SIGCONT)
    told = log.read_text()
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before
    assert first.exitcode == 1 and "another run, which has ended since, has taken over" in told, told
    assert_same(out, whole)


def under_an_agent(marker: Path, out: Path, data: Path, *flags: str) -> None:
    """Two workers under the agent of torchrun and `accelerate launch`, which starts them once more if one of them dies."""
    os.environ["ACCELERATE_USE_CPU"] = "true"
    agent = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id="claim",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        max_restarts=1,
        monitor_interval=0.1,
        start_method="forkserver",
    )
    elastic_launch(agent, dies_once)(marker, out, data, *flags)


def dies_once(marker: Path, out: Path, data: Path, *flags: str) -> None:
    """Run the recipe; the first time, the main process gets SIGKILL behind step 3."""
    torch.set_num_threads(1)
    stock = MetricsFile.on_log

    def lethal(self, args, state, *rest, **kwargs):
        stock(self, args, state, *rest, **kwargs)
        if state.global_step == 3 and os.environ["RANK"] == "0" and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    MetricsFile.on_log = lethal
    recipe.main(arguments(out, data, *flags))


@pytest.mark.campaign
def test_a_launcher_restarts_a_run_whose_worker_was_killed_and_it_ends_the_same(rows, tmp_path):
    """The process that holds the claim, and to which the others connected."""
    whole, out, marker = (tmp_path / name for name in ("whole", "run", "killed"))
    assert forked(tmp_path / "log", sft, whole, rows, *ACCUMULATED, ranks=2) == [0, 0], (tmp_path / "log").read_text()
    codes = forked(tmp_path / "agent.log", under_an_agent, marker, out, rows, *ACCUMULATED, *AUTO)
    assert codes == [0] and marker.exists(), (tmp_path / "agent.log").read_text()[-5000:]
    assert resumed_step(out) == 2
    assert_same(out, whole)
