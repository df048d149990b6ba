"""A preempted run saves before anything else, and what it could not copy in time is copied by the next start."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from hrm_align.run_folder import write_preempted_record
from hrm_align.trainers.checkpoints import SEALED, checkpoints_in, make_local_stage, seal
from hrm_align.trainers.resume import checkpoint_to_resume
from tests.trainers.recipe_runs import ROOT, arguments, metrics, sft
from tests.trainers.resume.runs import (
    BY_FOUR,
    LATEST,
    assert_same,
    forked,
    is_signalled_at,
    is_stopped_and_dies,
    resumed_step,
)

EVALUATED = ("--eval_strategy", "steps", "--eval_steps", "3", "--per_device_eval_batch_size", "1", "--max_new_tokens", "64",
             "--generation_eval_samples", "8")  # fmt: skip
WITHIN = {
    "the loss of held-out rows": ("hrm_align.trainers.sft.SFTTrainer.prediction_step", 2),
    "generated answers": ("hrm_align.rollouts.local.sample", 1),
}


@pytest.mark.parametrize("where, call", WITHIN.values(), ids=WITHIN)
def test_an_evaluation_is_not_finished_before_the_run_saves(rows, whole, tmp_path, where, call):
    out, log = tmp_path / "run", tmp_path / "log"
    flags = (*BY_FOUR, *EVALUATED, "--eval_datasets", str(rows))
    assert forked(log, is_signalled_at, where, call, signal.SIGTERM, out, rows, *flags) == [75], log.read_text()[-3000:]
    assert [path.name for path in checkpoints_in(out)] == ["checkpoint-3", "checkpoint-2"]
    assert log.read_text().count("one more forward") <= 1, "the batch that it was in"
    assert not [record for record in metrics(out) if "eval_exact_match" in record]
    told = json.loads((out / "run/preempted.json").read_text())
    assert (told["checkpoint"], told["step"], told["is_in_output_dir"], told["exit_code"]) == (
        "checkpoint-3",
        3,
        True,
        75,
    )
    sft(out, rows, *BY_FOUR, *LATEST)
    assert resumed_step(out) == 3
    assert_same(out, whole)


def test_before_the_first_step_there_is_nothing_to_save(rows, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log"
    flags = (*BY_FOUR, *EVALUATED, "--eval_datasets", str(rows), "--eval_on_start", "true")
    where, call = WITHIN["the loss of held-out rows"]
    assert forked(log, is_signalled_at, where, call, signal.SIGTERM, out, rows, *flags) == [75], log.read_text()[-3000:]
    assert checkpoints_in(out) == [] and "nothing was saved" in log.read_text()


def test_an_earlier_signal_counts_where_it_is_named(rows, tmp_path):
    log, where = tmp_path / "log", "hrm_align.trainers.sft.SFTTrainer.training_step"
    named = ("--preemption_signal", "USR1")
    assert forked(log, is_signalled_at, where, 2, signal.SIGUSR1, tmp_path / "run", rows, *BY_FOUR, *named) == [75]
    assert [path.name for path in checkpoints_in(tmp_path / "run")] == ["checkpoint-2"]
    assert "SIGUSR1: saved" in log.read_text()


# Two stages -----------------------------------------------------------------------------------------------------------

# A kill while it copies, while it hashes what needed no copy, and before either has its name.
KILLS = {
    "copying": ("hrm_align.trainers.checkpoints.copy_file", "checkpoint-4/optimizer.pt"),
    "before it is listed": ("hrm_align.trainers.checkpoints._write_digests", "checkpoint-4"),
    "before it is named": ("hrm_align.trainers.checkpoints._rename_to", "checkpoint-4"),
}


@pytest.fixture(params=["another disk", "the same disk"])
def own_disk(request, tmp_path):
    if request.param == "the same disk":
        yield tmp_path / "own"
        return
    folder = Path("/dev/shm") / f"hrm_align-test-{os.getpid()}"
    if not folder.parent.is_dir() or folder.parent.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to test on")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("where, named", KILLS.values(), ids=KILLS)
def test_what_a_kill_has_cut_off_is_finished_by_the_next_start(rows, whole, tmp_path, own_disk, where, named):
    if "copy_file" in where and own_disk.is_relative_to(tmp_path):
        pytest.skip("nothing is copied on one disk")
    out, log, flags = tmp_path / "run", tmp_path / "log", (*BY_FOUR, "--preemption_dir", str(own_disk))
    assert forked(log, is_stopped_and_dies, where, named, out, rows, *flags) == [-signal.SIGKILL], log.read_text()[
        -3000:
    ]
    assert checkpoints_in(out)[0].name == "checkpoint-2"
    told = json.loads((out / "run/preempted.json").read_text())
    assert told["checkpoint"] == "checkpoint-4" and not told["is_in_output_dir"]
    sft(out, rows, *flags, *LATEST)
    assert resumed_step(out) == 4
    assert_same(out, whole)
    assert not any(own_disk.rglob("*")) and not list(out.rglob(SEALED)), "nothing is left behind"


def test_a_lost_disk_is_named_and_the_run_goes_on_from_what_is_there(rows, whole, tmp_path, own_disk, caplog):
    if own_disk.is_relative_to(tmp_path):
        pytest.skip("nothing is lost with it where there is one disk")
    out, log, flags = tmp_path / "run", tmp_path / "log", (*BY_FOUR, "--preemption_dir", str(own_disk))
    assert forked(log, is_stopped_and_dies, *KILLS["copying"], out, rows, *flags) == [-signal.SIGKILL]
    shutil.rmtree(own_disk)
    sft(out, rows, *flags, *LATEST)
    assert resumed_step(out) == 2
    assert f"checkpoint-4 is lost: the preempted run saved it to {own_disk}" in caplog.text
    assert_same(out, whole)


def test_what_a_deleted_run_of_this_name_has_left_is_not_taken(whole, tmp_path):
    """Only what run/preempted.json names belongs to the run that is in the folder now."""
    out, own = tmp_path / "run", tmp_path / "own"
    shutil.copytree(whole / "checkpoint-4", make_local_stage(out, own) / "checkpoint-4")
    seal(make_local_stage(out, own) / "checkpoint-4")
    assert checkpoint_to_resume("auto", out, str(own)) is None and checkpoints_in(out) == []
    shutil.copytree(whole / "checkpoint-4", make_local_stage(out, own) / "checkpoint-4")
    seal(make_local_stage(out, own) / "checkpoint-4")
    (out / "run").mkdir(parents=True)
    write_preempted_record(out, 4, make_local_stage(out, own) / "checkpoint-4")
    assert checkpoint_to_resume("auto", out, str(own)) == out / "checkpoint-4"


def test_a_folder_that_another_could_have_filled_is_not_read(tmp_path):
    own = make_local_stage(tmp_path / "run", tmp_path / "disk")
    own.chmod(0o777)
    with pytest.raises(OSError, match="writable by other users"):
        make_local_stage(tmp_path / "run", tmp_path / "disk")
    shutil.rmtree(own)
    (tmp_path / "planted").mkdir()
    own.symlink_to(tmp_path / "planted")
    with pytest.raises(OSError, match="writable by other users"):
        make_local_stage(tmp_path / "run", tmp_path / "disk")


# Launchers ------------------------------------------------------------------------------------------------------------


@pytest.mark.campaign
def test_no_training_outlives_its_launcher(rows, tmp_path):
    """`accelerate launch` with one process does not pass SIGTERM on to it."""
    out, launch = tmp_path / "run", [sys.executable, "-m", "accelerate.commands.launch"]
    steps = ("--max_steps", "5000", "--save_strategy", "no", "--logging_steps", "1")
    command = [*launch, "--config_file", "recipes/accelerate/cpu.yaml", "recipes/sft.py", *arguments(out, rows, *steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    launcher = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    wait_for((out / "metrics.jsonl").exists, 120)
    (child,) = psutil.Process(launcher.pid).children()
    launcher.send_signal(signal.SIGTERM)
    launcher.wait(30)
    try:
        child.wait(60)
    finally:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    assert json.loads((out / "run/preempted.json").read_text())["is_in_output_dir"]
    assert len(checkpoints_in(out)) == 1


def wait_for(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)
