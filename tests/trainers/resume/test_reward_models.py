"""A reward model that is resumed is that of the uninterrupted run."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from tests.trainers.resume.runs import LATEST, assert_same, forked
from tests.trainers.reward_runs import pairs, train_reward

STEPS = ("--max_steps", "4", "--save_steps", "2", "--learning_rate", "1e-3", "--logging_steps", "1", "--save_total_limit",
         "0", "--bp_min_steps", "2", "--bp_max_steps", "5", "--bp_warmup_ratio", "1", "--ema_decay", "0.9")  # fmt: skip


BATCH = ("--per_device_train_batch_size", "4")


ACCUMULATED = ("--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "4")


ADAPTER = ("--use_peft", "true", "--lora_r", "4", "--lora_dropout", "0.2")


CASES = {
    "full": (*STEPS, *BATCH),
    "full, accumulated": (*STEPS, *ACCUMULATED),
    "adapter": (*STEPS, *BATCH, *ADAPTER),
    "adapter, accumulated": (*STEPS, *ACCUMULATED, *ADAPTER),
}


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    """Ten pairs, so that the third step ends an epoch with half a batch."""
    return pairs(tmp_path_factory.mktemp("ten"), count=10)


QUICK = ("full, accumulated", "adapter")


RARE = [
    pytest.param(flags, id=name, marks=[pytest.mark.campaign] * (name not in QUICK)) for name, flags in CASES.items()
]


@pytest.mark.parametrize("flags", RARE)
def test_a_resumed_run_is_the_uninterrupted_one(ten, tmp_path, flags):
    train_reward(tmp_path / "whole", ten, *flags)
    checkpoint = str(tmp_path / "whole/checkpoint-2")
    train_reward(tmp_path / "run", ten, *flags, "--resume_from_checkpoint", checkpoint)
    assert_same(tmp_path / "run", tmp_path / "whole", after=2)


@pytest.mark.campaign
@pytest.mark.parametrize("flags", CASES.values(), ids=CASES)
def test_two_processes_resume_exactly(ten, tmp_path, flags):
    log = tmp_path / "log"
    assert forked(log, train_reward, tmp_path / "run", ten, *flags, ranks=2) == [0, 0], log.read_text()[-3000:]
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    shutil.rmtree(tmp_path / "again/checkpoint-4")
    again = (log, train_reward, tmp_path / "again", ten, *flags, *LATEST)
    assert forked(*again, ranks=2) == [0, 0], log.read_text()[-3000:]
    for part in ("", "ema"):
        name = "adapter_model" if "--use_peft" in flags else "model"
        ours, theirs = (load_file(tmp_path / run / part / f"{name}.safetensors") for run in ("again", "run"))
        assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
