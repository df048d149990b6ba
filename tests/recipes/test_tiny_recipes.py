"""Every recipe of the tiny base runs, on a few steps of its own data."""

import json
from functools import cache

import pytest

from hrm_align.cli import dispatch
from hrm_align.models.adapters import load_adapted, open_adapter
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.models.reward_loading import load_reward_model
from tests.rewards.rows import skip_without_sandbox

FEW = ("--max_steps", "2", "--eval_strategy", "no", "--save_strategy", "no", "--generation_eval_samples", "0")


@pytest.fixture(autouse=True)
def _own_cache():
    """Use one cache for all tests of this file, which prepare the same rows."""


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """Returns the folder of a domain's run, which is trained once."""

    @cache
    def train(domain):
        run = tmp_path_factory.mktemp(domain) / "run"
        guard = ("--guard_samples", "4", "--max_new_tokens", "4")
        dispatch(["sft", "--config", f"recipes/tiny/{domain}.yaml", "--output_dir", str(run), *FEW, *guard])
        return run

    return train


def test_the_recipe_runs_to_a_loadable_checkpoint(tmp_path):
    dispatch(["sft", "--config", "recipes/tiny/sft.yaml", "--output_dir", str(tmp_path / "run"), *FEW])
    load_model_and_tokenizer(str(tmp_path / "run"))


@pytest.mark.parametrize("domain", ["sql", "extraction", "code", "lookup"])
def test_a_domain_recipe_runs_to_a_loadable_adapter_with_its_guard_table(domain, tuned):
    run = tuned(domain)
    model, _ = load_adapted("tiny", {"run": open_adapter(str(run))})
    trained = sum(weight.numel() for name, weight in model.named_parameters() if "lora_" in name)
    base = sum(weight.numel() for name, weight in model.named_parameters() if "lora_" not in name)
    assert trained / base < 0.1
    assert (run / "run/guard.json").exists()


def test_the_recipe_of_a_reward_model_runs_to_a_loadable_checkpoint(tmp_path):
    few = ("--max_steps", "2", "--warmup_steps", "0", "--eval_strategy", "no", "--save_strategy", "no")
    dispatch(["reward", "--config", "recipes/tiny/reward.yaml", "--output_dir", str(tmp_path / "run"), *few])
    assert load_reward_model(str(tmp_path / "run")).score.weight.any()


def test_a_recipe_of_labelled_answers_runs_to_a_loadable_checkpoint(tmp_path):
    dispatch(["kto", "--config", "recipes/tiny/kto.yaml", "--output_dir", str(tmp_path / "run"), *FEW])
    load_model_and_tokenizer(str(tmp_path / "run"))


def test_a_recipe_of_distillation_runs_to_a_loadable_checkpoint(tmp_path):
    dispatch(["distill", "--config", "recipes/tiny/distill.yaml", "--output_dir", str(tmp_path / "run"), *FEW])
    load_model_and_tokenizer(str(tmp_path / "run"))


FEW_ROLLOUTS = ("--max_steps", "1", "--per_device_train_batch_size", "16", "--max_resamples", "0",
                "--max_completion_length", "16", "--preflight_samples", "8")  # fmt: skip


@pytest.mark.parametrize("task", ["format", "math", "sql", "code"])
def test_a_recipe_of_reinforcement_learning_runs_to_a_loadable_checkpoint(task, tuned, tmp_path):
    if task == "code":
        skip_without_sandbox()
    from_adapter = task in ("sql", "code")
    begin = ("--model_name_or_path", str(tuned(task))) if from_adapter else ()
    run = tmp_path / "run"
    dispatch(["grpo", "--config", f"recipes/tiny/{task}_grpo.yaml", "--output_dir", str(run), *FEW_ROLLOUTS, *begin])
    load_model_and_tokenizer(str(run))
    assert (run / "start").exists() == from_adapter
    assert json.loads((run / "run/preflight.json").read_text())["failing"] == 0
