"""The records of a run say what ran: precision and accumulation of the launcher are those of the training, and both are recorded."""

import json

import pytest
import torch
import yaml
from torch import nn

from hrm_align import run as runs
from hrm_align.config.launcher import ACCUMULATION, PRECISION
from hrm_align.errors import RunError, UserError
from tests.trainers.grpo_runs import grpo, prompts
from tests.trainers.recipe_runs import launched_sft, metrics, sft, write_rows
from tests.trainers.resume.runs import trainer_of

STEPS = ("--max_steps", "1", "--learning_rate", "1e-3", "--logging_steps", "1", "--save_strategy", "no", "--use_cpu", "true",
         "--per_device_train_batch_size", "2")  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    made = [{"prompt": f"say {i}", "response": f"number {i}"} for i in range(12)]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", made)


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    """The variables of a launcher would tie this process to its parent."""
    monkeypatch.setattr(runs, "follow_launcher", lambda: None)


def record(out) -> tuple[dict, dict]:
    """What run/resolved.yaml says of the launch, and run/env.json."""
    keys = ("bf16", "fp16", "gradient_accumulation_steps")
    settings = yaml.safe_load((out / "run/resolved.yaml").read_text())
    ran = json.loads((out / "run/env.json").read_text())
    return {key: settings[key] for key in keys}, {
        key: ran[key] for key in ("mixed_precision", "gradient_accumulation_steps")
    }


def losses(out) -> list[float]:
    return [line["loss"] for line in metrics(out) if "loss" in line]


def told(precision: str, accumulation: int = 1) -> tuple[dict, dict]:
    halves = {name: name == precision for name in ("bf16", "fp16")}
    steps = {"gradient_accumulation_steps": accumulation}
    return {**halves, **steps}, {"mixed_precision": precision, **steps}


def test_the_launchers_precision_and_accumulation_train_as_the_recipes_do(rows, tmp_path, monkeypatch):
    sft(tmp_path / "plain", rows, *STEPS)
    sft(tmp_path / "recipe", rows, *STEPS, "--bf16", "true", "--gradient_accumulation_steps", "3")
    monkeypatch.setenv(PRECISION, "bf16")
    sft(tmp_path / "half", rows, *STEPS)
    monkeypatch.setenv(ACCUMULATION, "3")
    sft(tmp_path / "both", rows, *STEPS)
    assert losses(tmp_path / "both") == losses(tmp_path / "recipe")
    assert len({*losses(tmp_path / "plain"), *losses(tmp_path / "half"), *losses(tmp_path / "both")}) == 3
    assert record(tmp_path / "plain") == told("no") and record(tmp_path / "half") == told("bf16")
    assert record(tmp_path / "recipe") == record(tmp_path / "both") == told("bf16", 3)


def test_two_launched_processes_record_what_they_ran(rows, tmp_path):
    launched_sft(tmp_path / "run", rows, *STEPS, "--bf16", "true", config="two_processes_cpu")
    assert record(tmp_path / "run") == told("bf16"), "the launcher's `no` is its default"
    assert json.loads((tmp_path / "run/run/env.json").read_text())["world_size"] == 2


def test_rollouts_run_in_the_launchers_precision(tmp_path, monkeypatch):
    monkeypatch.setenv(PRECISION, "bf16")
    grpo(tmp_path / "run", prompts(tmp_path), "--max_steps", "1", "--use_cpu", "true", "--parity_every", "0")
    assert record(tmp_path / "run") == told("bf16")
    assert any(name.startswith("sampling/importance") for name in metrics(tmp_path / "run")[0]), "as in half precision"


def test_the_record_is_that_of_the_forward(rows, tmp_path):
    """What accelerate reports is what the layers compute in."""
    seen = {}
    for name, flags in (("no", ()), ("bf16", ("--bf16", "true"))):
        trainer = trainer_of(tmp_path / name, rows, *STEPS, *flags)
        layer = next(module for module in trainer.model.modules() if isinstance(module, nn.Linear))
        layer.register_forward_hook(lambda module, given, out, name=name: seen.update({name: out.dtype}))
        trainer.train()
    assert seen == {"no": torch.float32, "bf16": torch.bfloat16}


def test_a_trainer_refuses_fp16_on_a_cpu(rows, tmp_path, monkeypatch):
    recipe_check = "hrm_align.config.parser.check_launcher"
    monkeypatch.setattr(recipe_check, lambda *args: None)  # as in a program without a recipe
    with pytest.raises(UserError, match=r"the settings say fp16, but on this machine \(cpu\) .* no half precision"):
        sft(tmp_path / "run", rows, *STEPS, "--fp16", "true")


def test_settings_that_change_after_they_are_recorded_stop_the_run(rows, tmp_path, monkeypatch):
    stock = runs.resolved

    def resolve_early(recipe):
        settings = stock(recipe)
        recipe.training.gradient_accumulation_steps = 5
        return settings

    monkeypatch.setattr(runs, "resolved", resolve_early)
    with pytest.raises(
        RunError, match=r"the trainer has gradient_accumulation_steps 5, but run/resolved\.yaml would say 1"
    ):
        sft(tmp_path / "run", rows, *STEPS)
    assert not (tmp_path / "run/run/resolved.yaml").exists()
