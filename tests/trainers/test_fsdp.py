"""FSDP2 is DDP with less memory: the same gradients, losses, answers and checkpoints; what is not is refused in words."""

import json
import random
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from hrm_align.cli import run_with_exit_code
from hrm_align.errors import UserError
from hrm_align.trainers.launch import check_launch
from hrm_align.trainers.sft_config import parse_sft
from recipes import grpo, sft
from tests.launching import launch as start
from tests.trainers.recipe_runs import ROOT, arguments, metrics, weights, write_rows
from tests.trainers.recipe_runs import sft as run_sft

STEPS = ("--max_steps", "6", "--save_steps", "4", "--logging_steps", "1", "--learning_rate", "1e-3")  # clipped to 1
BY_FOUR = ("--per_device_train_batch_size", "4")
LORA = ("--use_peft", "true", "--lora_r", "4", "--learning_rate", "1e-2")
SCORED = ("--eval_strategy", "steps", "--eval_steps", "2", "--generation_eval_samples", "8", "--max_new_tokens", "16")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    rng = random.Random(0)
    made = [
        {"prompt": f"say {n}", "response": " ".join(rng.choices(["red", "blue", "oak"], k=1 + n % 7))}
        for n in range(200)
    ]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", made)


def run(out: Path, data: Path, *flags: str, sharded: bool, at=(1,), **environment: str) -> dict:
    told = {"arguments": arguments(out, data, *BY_FOUR, *flags), "sharded": sharded, "environment": environment}
    return {**told, "gradients": str(out / "gradients"), "at": list(at)}


def launch(folder: Path, runs: list[dict]) -> None:
    """The shipped file for FSDP2, on two CPUs."""
    config = yaml.safe_load((ROOT / "recipes/accelerate/fsdp2.yaml").read_text())
    config |= {"use_cpu": True, "num_processes": 2, "main_process_port": 0}
    (folder / "fsdp2.yaml").write_text(yaml.safe_dump(config))
    (folder / "runs.json").write_text(json.dumps(runs))
    start(folder / "fsdp2.yaml", "tests/trainers/fsdp_launch.py", [str(folder / "runs.json")])


def furthest_gradient(ours: Path, theirs: Path, step: int) -> float:
    """Largest distance of a gradient from DDP's, relative to DDP's norm; the run must have been sharded."""
    assert set(json.loads((ours / "gradients/types.json").read_text()).values()) == {"DTensor"}
    assert set(json.loads((theirs / "gradients/types.json").read_text()).values()) == {"Tensor"}
    a, b = (load_file(folder / f"gradients/gradients-{step}.safetensors") for folder in (ours, theirs))
    assert a.keys() == b.keys()
    distances = {
        n: ((a[n] - b[n]).norm() / b[n].norm().clamp(min=1e-20)).item() for n in a
    }  # an adapter's A begins at 0
    worst = max(distances, key=lambda name: distances[name])
    print(f"step {step}: {worst} differs by {distances[worst]:.1e}")
    return distances[worst]


def logged(out: Path, name: str = "loss") -> dict[int, float]:
    return {record["step"]: record[name] for record in metrics(out) if name in record}


def assert_close(ours: dict[int, float], theirs: dict[int, float], steps: range, **tolerance: float) -> None:
    assert [ours[step] for step in steps] == pytest.approx([theirs[step] for step in steps], **tolerance)


@pytest.fixture(scope="module", params=["full", pytest.param("lora", marks=pytest.mark.campaign)])
def six(request, rows, tmp_path_factory):
    """Six steps under DDP and FSDP2, and the last two again from each one's checkpoint of step 4."""
    folder = tmp_path_factory.mktemp(request.param)
    flags = (*STEPS, *(LORA if request.param == "lora" else ()))
    ddp, fsdp = folder / "ddp", folder / "fsdp"

    def resumed(out: str, whole: Path, sharded: bool) -> dict:
        named = ("--resume_from_checkpoint", str(whole / "checkpoint-4"))
        return run(folder / out, rows, *flags, *named, sharded=sharded, at=(5,))

    launch(
        folder,
        [
            run(ddp, rows, *flags, sharded=False, at=(1, 5)),
            run(fsdp, rows, *flags, sharded=True, at=(1, 5)),
            resumed("ddp_to_fsdp", ddp, sharded=True),
            resumed("fsdp_to_fsdp", fsdp, sharded=True),
            resumed("fsdp_to_ddp", fsdp, sharded=False),
        ],
    )
    return folder, flags


@pytest.mark.numeric
def test_every_gradient_is_that_of_ddp(six):
    """0 was seen, at both steps. Without the head's fix `lm_head` is 0.66 away at step 5 (at step 1 it is not where the health
    probe has left the head gathered)."""
    folder, _ = six
    assert furthest_gradient(folder / "fsdp", folder / "ddp", 1) <= 1e-6
    assert furthest_gradient(folder / "ddp_to_fsdp", folder / "ddp", 5) <= 1e-6  # from DDP's weights of step 4


@pytest.mark.numeric
def test_losses_and_norms_are_those_of_ddp(six):
    """Losses differed by 5e-7, norms by 4e-6 of themselves. Without the head's fix three of five losses are outside."""
    folder, _ = six
    ddp, fsdp = folder / "ddp", folder / "fsdp"
    assert_close(logged(fsdp), logged(ddp), range(1, 6), rel=0, abs=1e-5)
    for name in ("grad_norm", "health/grad_norm_h", "health/grad_norm_l"):
        assert_close(logged(fsdp, name), logged(ddp, name), range(1, 5), rel=1e-4)
    for name in ("health/update_ratio_h", "health/update_ratio_l"):  # other samples of the same tensors: 1 % seen
        assert_close(logged(fsdp, name), logged(ddp, name), range(1, 5), rel=0.1)
    references = [load_file(out / "checkpoint-4/health.safetensors")["reference"] for out in (fsdp, ddp)]
    assert torch.equal(*references), "the probe's answers of the first model"


@pytest.mark.numeric
def test_a_resumed_run_is_the_uninterrupted_one(six):
    folder, _ = six
    for name in ("loss", "grad_norm", "learning_rate"):
        whole = logged(folder / "fsdp", name)
        assert logged(folder / "fsdp_to_fsdp", name) == {step: whole[step] for step in (5, 6)}
    ours, theirs = tensors(folder / "fsdp_to_fsdp"), tensors(folder / "fsdp")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.numeric
def test_checkpoints_go_both_ways_and_to_one_process(six, rows):
    folder, flags = six
    whole = logged(folder / "fsdp")
    assert_close(logged(folder / "fsdp_to_ddp"), whole, range(5, 7), rel=0, abs=1e-5)
    assert_close(logged(folder / "ddp_to_fsdp"), logged(folder / "ddp"), range(5, 7), rel=0, abs=1e-5)
    resumed = ("--resume_from_checkpoint", str(folder / "fsdp/checkpoint-4"))
    run_sft(folder / "one", rows, *flags, *resumed, "--per_device_train_batch_size", "8")
    assert_close(logged(folder / "one"), whole, range(5, 7), rel=0, abs=1e-5)
    files = [{path.name for path in (folder / out / "checkpoint-4").iterdir()} for out in ("ddp", "fsdp")]
    assert files[0] == files[1]


def tensors(out: Path) -> dict[str, torch.Tensor]:
    return load_file(next(out.glob("*model.safetensors")))


@pytest.fixture(scope="module")
def settings(rows, tmp_path_factory):
    """Pairs of runs under what acts on a model beside its forward."""
    folder = tmp_path_factory.mktemp("settings")
    short = ("--max_steps", "2", "--save_strategy", "no", "--logging_steps", "1", "--learning_rate", "1e-3")
    many = ("--max_steps", "4", "--save_steps", "2", "--logging_steps", "1", "--learning_rate", "1e-3")
    many += (*SCORED, "--eval_fraction", "0.1", "--guard_datasets", str(rows), "--guard_samples", "8")
    many += ("--load_best_model_at_end", "true", "--metric_for_best_model", "loss", "--greater_is_better", "true")
    many += ("--optim", "adam_atan2", "--module_learning_rates", '{"head": 0.01}', "--score_responses_only", "true")
    many += ("--activation_checkpointing", "true", "--gradient_accumulation_steps", "2")
    many += ("--bp_min_steps", "2", "--bp_max_steps", "5", "--bp_warmup_ratio", "1")
    pairs = {
        "many": many,
        "bf16": (*short, "--bf16", "true"),
        "head": (*short, *LORA, "--lora_target_modules", "all"),
        "tokens": (*short, *LORA, "--trainable_tokens", "red"),
    }
    runs = []
    for name, flags in pairs.items():
        environment = {"FSDP_RESHARD_AFTER_FORWARD": "true"} if name == "many" else {}
        runs.append(run(folder / name / "ddp", rows, *flags, sharded=False))
        runs.append(run(folder / name / "fsdp", rows, *flags, sharded=True, **environment))
    launch(folder, runs)
    return folder


@pytest.mark.campaign
@pytest.mark.numeric
@pytest.mark.parametrize(
    ("name", "limit"),
    # In bf16 the products of some passes are summed in another type: 1.3e-3 at step 1. Under accelerate's own policy it was
    # 1.5e-2, and with autocast's cache kept through the passes without gradient `L_module` had no gradient at all.
    [("many", 1e-6), ("bf16", 3e-3), ("head", 1e-6), ("tokens", 1e-6)],
)
def test_settings_keep_their_gradients(settings, name, limit):
    assert furthest_gradient(settings / name / "fsdp", settings / name / "ddp", 1) <= limit
    assert_close(logged(settings / name / "fsdp"), logged(settings / name / "ddp"), range(1, 3), rel=0, abs=limit * 10)


@pytest.mark.campaign
@pytest.mark.numeric
def test_answers_guards_and_the_best_checkpoint_are_those_of_ddp(settings):
    ddp, fsdp = settings / "many/ddp", settings / "many/fsdp"
    assert (fsdp / "samples.jsonl").read_text() == (ddp / "samples.jsonl").read_text()
    assert_close(logged(fsdp, "eval_loss"), logged(ddp, "eval_loss"), range(2, 5, 2), rel=1e-5)
    assert json.loads((fsdp / "run/guard.json").read_text()) == json.loads((ddp / "run/guard.json").read_text())
    ours, best, last = weights(fsdp), weights(fsdp / "checkpoint-2"), weights(fsdp / "checkpoint-4")
    assert all(torch.equal(ours[name], best[name]) for name in ours)
    assert not torch.equal(ours["lm_head.weight"], last["lm_head.weight"])


@pytest.mark.parametrize("six", ["full"], indirect=True)
def test_what_is_saved_loads_in_plain_transformers(six):
    folder, _ = six
    stock = AutoModelForCausalLM.from_pretrained(folder / "fsdp")
    assert type(stock).__name__ == "HrmTextForCausalLM"
    saved = weights(folder / "fsdp")
    assert torch.equal(stock.lm_head.weight, saved["lm_head.weight"]) and torch.isfinite(stock.lm_head.weight).all()


FSDP2 = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT"}


@pytest.mark.parametrize(
    ("environment", "flags", "words"),
    [
        ({}, [], "uses FSDP on the CPU, where accelerate silently shards nothing"),
        (
            {"FSDP_VERSION": "1"},
            [],
            "fsdp_version is 1, whose checkpoints hrm_align cannot resume: set fsdp_version: 2",
        ),
        ({"FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"}, [], "set fsdp_state_dict_type: FULL_STATE_DICT"),
        ({"FSDP_ACTIVATION_CHECKPOINTING": "true"}, [], "set --activation_checkpointing true"),
        ({"FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}, [], "fsdp_cpu_ram_efficient_loading is on"),
        ({"FSDP_OFFLOAD_PARAMS": "true"}, [], "fsdp_offload_params is on"),
        ({"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"}, [], "dynamo_config"),
        ({"ACCELERATE_USE_PARALLELISM_CONFIG": "true"}, [], "parallelism_config, which is not tested"),
        (
            {},
            ["--fsdp_config", "{mixed_precision_policy: bf16}"],
            "fsdp_config has no effect without fsdp",
        ),
        ({}, ["--ema_decay", "0.9"], "--ema_decay is not supported under FSDP"),
    ],
)
def test_what_is_not_ddp_is_refused_before_anything_is_read(tmp_path, capsys, monkeypatch, environment, flags, words):
    for name, value in {**FSDP2, **environment}.items():
        monkeypatch.setenv(name, value)
    absent = arguments(tmp_path / "run", tmp_path / "absent.jsonl", *flags)
    assert run_with_exit_code(sft.main, absent) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and said.startswith("error:") and "\n" not in said
    assert not (tmp_path / "run").exists()


def test_grpo_is_refused_before_anything_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    absent = arguments(tmp_path / "run", tmp_path / "absent.jsonl", "--rewards", "exact")
    assert run_with_exit_code(grpo.main, absent) == 2
    assert "GRPO cannot sample from a model that FSDP or DeepSpeed shards" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_deepspeed_is_refused(tmp_path, monkeypatch):
    """As launched with DeepSpeed installed; Transformers itself stops without it."""
    recipe = parse_sft(arguments(tmp_path / "run", tmp_path / "absent.jsonl"))
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(UserError, match="DeepSpeed, whose checkpoints hrm_align cannot resume"):
        check_launch(recipe.training, recipe.model)
