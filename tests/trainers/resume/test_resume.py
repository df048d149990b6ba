"""A run that was stopped or killed resumes as if it had not been interrupted.

Weights and losses are compared for equality, not nearness. The long version is scripts/fault_campaign.py.
"""

import json
import shutil
import signal

import pytest
import torch
from torch.utils.data import RandomSampler

from hrm_align.data.packing import EpochSeededSampler
from hrm_align.run_folder import STAGING
from hrm_align.trainers.checkpoints import checkpoints_in
from hrm_align.trainers.resume import checkpoint_to_resume
from tests.trainers.recipe_runs import launched_sft, metrics, sft
from tests.trainers.resume.runs import (
    ACCUMULATED,
    BY_FOUR,
    LATEST,
    STABILISED,
    adapter_sft,
    assert_same,
    curve,
    dies,
    forked,
    is_told_to_stop,
    resumed_step,
    saves_late,
    tensors,
)

# Exact resume ---------------------------------------------------------------------------------------------------------

RANDOM = ("--train_sampling_strategy", "random")
CASES = {
    "accumulated, random order, noise, atan2": (
        sft,
        (*ACCUMULATED, *RANDOM, "--neftune_noise_alpha", "5", "--optim", "adam_atan2"),
    ),
    "packed": (sft, (*STABILISED, *RANDOM, "--packing", "true", "--max_length", "64")),
    "adapter, grouped, accumulated": (adapter_sft, ACCUMULATED),
}


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_a_stopped_run_goes_on_exactly(rows, whole, tmp_path, stop):
    sft(tmp_path / "run", rows, *BY_FOUR, "--resume_from_checkpoint", str(whole / f"checkpoint-{stop}"))
    assert_same(tmp_path / "run", whole, after=stop)
    remembered = [run / "checkpoint-8/health.safetensors" for run in (tmp_path / "run", whole)]
    assert remembered[0].read_bytes() == remembered[1].read_bytes(), "alarms compare with the start of the whole run"
    assert [record["bp_steps"] for record in curve(whole).values()] == [2, 2, 3, 3, 3, 4, 4, 5], "a warm-up was resumed"


@pytest.mark.parametrize("run, flags", CASES.values(), ids=CASES)
def test_whatever_draws_and_orders_goes_on_exactly(rows, tmp_path, run, flags):
    run(tmp_path / "whole", rows, *flags)
    run(tmp_path / "run", rows, *flags, "--resume_from_checkpoint", str(tmp_path / "whole/checkpoint-4"))
    assert_same(tmp_path / "run", tmp_path / "whole", after=4)


def test_every_epoch_has_an_order_of_its_own():
    epochs = iter([0, 0, 1])
    sampler = EpochSeededSampler(RandomSampler(range(20)), seed=0, epoch=lambda: next(epochs))
    first, again, second = list(sampler), list(sampler), list(sampler)
    assert first == again != second and sorted(second) == list(range(20))


def test_evaluation_leaves_the_random_state_alone(rows, tmp_path):
    """Checkpoint 4 is written at an epoch's end, before the evaluation of that epoch, which the resumed run leaves out."""
    flags = (
        *STABILISED,
        "--per_device_train_batch_size",
        "5",
        "--eval_strategy",
        "epoch",
        "--eval_datasets",
        str(rows),
    )
    adapter_sft(tmp_path / "whole", rows, *flags)
    adapter_sft(tmp_path / "run", rows, *flags, "--resume_from_checkpoint", str(tmp_path / "whole/checkpoint-4"))
    assert_same(tmp_path / "run", tmp_path / "whole", after=4)


def test_a_run_that_was_stopped_behind_its_last_step_trains_no_more(rows, whole, tmp_path):
    sft(tmp_path / "run", rows, *BY_FOUR, "--resume_from_checkpoint", str(whole / "checkpoint-8"))
    assert curve(tmp_path / "run") == {}
    ours, theirs = tensors(tmp_path / "run"), tensors(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_two_processes_are_stopped_by_one_signal_and_go_on_exactly(rows, tmp_path):
    """Three steps an epoch, the last of half as many batches. One process gets the signal at step 4; both save step 5."""
    log = tmp_path / "log"
    assert forked(log, sft, tmp_path / "whole", rows, *ACCUMULATED, ranks=2) == [0, 0], log.read_text()[-3000:]
    late = (*ACCUMULATED, "--save_steps", "100")  # a save that is due at step 4 would be the last one
    codes = forked(log, is_told_to_stop, "1", 4, tmp_path / "run", rows, *late, ranks=2)
    assert codes == [75, 75] and checkpoints_in(tmp_path / "run")[0].name == "checkpoint-5", log.read_text()[-3000:]
    launched_sft(tmp_path / "run", rows, *ACCUMULATED, *LATEST, config="two_processes_cpu")
    assert resumed_step(tmp_path / "run") == 5
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_an_adapter_in_two_processes_goes_on_exactly(rows, tmp_path):
    log, flags = tmp_path / "log", (*STABILISED, *RANDOM, "--per_device_train_batch_size", "2")
    assert forked(log, adapter_sft, tmp_path / "whole", rows, *flags, ranks=2) == [0, 0], log.read_text()[-3000:]
    flags += ("--resume_from_checkpoint", str(tmp_path / "whole/checkpoint-6"))  # inside the second epoch
    assert forked(log, adapter_sft, tmp_path / "run", rows, *flags, ranks=2) == [0, 0], log.read_text()[-3000:]
    assert_same(tmp_path / "run", tmp_path / "whole", after=6)


def test_only_the_process_that_saves_writes_an_adapter(rows, tmp_path):
    """The others come to the folder before it is there."""
    short = (*ACCUMULATED, "--use_peft", "true", "--max_steps", "2")
    assert forked(tmp_path / "log", saves_late, tmp_path / "run", rows, *short, ranks=2) == [0, 0]
    for folder in (tmp_path / "run", tmp_path / "run/ema", tmp_path / "run/checkpoint-2"):
        assert json.loads((folder / "hrm_adapter.json").read_text())["base"] == "tiny"


# Kills ----------------------------------------------------------------------------------------------------------------

KILLS = {  # the call, and what is handed to it: of the second checkpoint, or of the save at the run's end
    "while it writes the optimizer": ("torch.save", f"{STAGING}/checkpoint-4/optimizer.pt"),
    "while it flushes": ("hrm_align.files.flush", f"{STAGING}/checkpoint-4/optimizer.pt"),
    "before the rename": ("pathlib.Path.rename", f"{STAGING}/checkpoint-4"),
    "before the old checkpoint goes": ("pathlib.Path.rename", f"{STAGING}/checkpoint-2.deleted"),
    "while the old checkpoint goes": ("shutil.rmtree", f"{STAGING}/checkpoint-2.deleted"),
    "while it publishes the end": ("pathlib.Path.replace", f"{STAGING}/final/generation_config.json"),
}


@pytest.mark.parametrize("where, named", KILLS.values(), ids=KILLS)
def test_a_killed_run_loses_at_most_one_save_interval(rows, whole, tmp_path, where, named):
    flags = (*BY_FOUR, "--save_total_limit", "1")
    out = tmp_path / "run"
    assert forked(tmp_path / "log", dies, where, named, out, rows, *flags) == [-signal.SIGKILL]
    reached = max(curve(out))
    assert (out / STAGING).exists(), "it was killed while it saved"
    assert not (out / "config.json").exists(), "what is half published is no checkpoint to anyone"
    sft(out, rows, *flags, *LATEST)
    assert reached - resumed_step(out) <= 2
    assert_same(out, whole)
    assert [path.name for path in checkpoints_in(out)] == ["checkpoint-8"] and not (out / STAGING).exists()


def test_a_kill_between_the_two_renames_of_a_replacement_is_undone(whole, tmp_path):
    """A checkpoint that is written again: the old one has gone aside, the new one is not yet there."""
    aside = tmp_path / STAGING / "checkpoint-2.replaced"
    shutil.copytree(whole / "checkpoint-2", aside)
    assert checkpoint_to_resume("latest", tmp_path) == tmp_path / "checkpoint-2"


def test_sigterm_saves_without_evaluating_and_exits_with_75(rows, whole, tmp_path):
    out = tmp_path / "run"
    by_epoch = ("--save_strategy", "epoch", "--eval_strategy", "epoch", "--eval_datasets", str(rows))
    place = BY_FOUR.index("--save_steps")
    flags = (*BY_FOUR[:place], *BY_FOUR[place + 2 :], *by_epoch)
    assert forked(tmp_path / "log", is_told_to_stop, "0", 3, out, rows, *flags) == [75]
    assert [path.name for path in checkpoints_in(out)] == ["checkpoint-4"]
    assert "--resume_from_checkpoint latest" in (tmp_path / "log").read_text()
    assert not [record for record in metrics(out) if "eval_loss" in record], "the grace is for saving"
    sft(out, rows, *flags, *LATEST)
    assert resumed_step(out) == 4
    assert_same(out, whole)
