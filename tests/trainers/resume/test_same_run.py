"""A resumed run is the same run: other rows, rates or another order are refused, and its records stay those of the first start."""

import json
import re
import shutil

import pytest
import yaml

from hrm_align import run as runs
from hrm_align.config.launcher import PRECISION
from hrm_align.config.rules import KINDS, recipe_kind
from hrm_align.errors import UserError
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.trainers import run_settings
from hrm_align.trainers.same_run import check_same_run
from tests.trainers.grpo_runs import grpo, prompts
from tests.trainers.recipe_runs import metrics, sft, write_rows
from tests.trainers.resume.runs import BY_FOUR, LATEST, STEPS, WARM_UP


@pytest.fixture
def stopped(whole, tmp_path):
    """A run that was stopped at step 4, and its record."""
    (tmp_path / "run").mkdir()
    for part in ("checkpoint-4", "run"):
        (tmp_path / "run" / part).symlink_to(whole / part)
    return tmp_path / "run"


def recorded(run):
    return [(run / "run" / name).read_bytes() for name in ("data.json", "resolved.yaml")]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--learning_rate", "1e-5"), "learning_rate is 1e-05 here but 0.001 in the run that saved .*checkpoint-4, and the resumed optimizer"),
        (("--optim", "sgd"), "optim is sgd here but adamw_torch_fused"),
        (("--seed", "7"), "seed is 7 here but 42 in the run .* other rows"),
        (("--packing", "true"), "packing is True here but False"),
        (("--gradient_accumulation_steps", "2"), "4 rows per optimizer step, but this run has 8"),
        (("--ema_decay", "0.99"), "ema_decay is 0.99 here but 0.9 .* Resume with ema_decay 0.9, or start a new run"),
        (("--bp_max_steps", "4"), "bp_max_steps is 4 here but 5 .* another gradient"),
        (("--bp_warmup_ratio", "0.5"), "bp_warmup_ratio is 0.5 here but 1.0"),
        (("--max_grad_norm", "0.5"), "max_grad_norm is 0.5 here but 1.0"),
        (("--max_length", "512"), "max_length is 512 here but 1024 .* other rows"),
        (("--dataloader_drop_last", "true"), "dataloader_drop_last is True here but False"),
        (("--label_smoothing_factor", "0.1"), "label_smoothing_factor is 0.1 here but 0.0 .* another loss"),
        (("--neftune_noise_alpha", "5"), "neftune_noise_alpha is 5.0 here but unset .* Resume without neftune_noise_alpha"),
        (("--use_peft", "true"), "use_peft is True here but False"),
        (("--dtype", "bfloat16"), "dtype is bfloat16 here but float32"),
    ],
    ids=lambda value: value[0].removeprefix("--") if isinstance(value, tuple) else "",
)  # fmt: skip
def test_what_would_make_another_run_of_it_is_refused(rows, stopped, flags, words):
    before = recorded(stopped)
    with pytest.raises(UserError, match=words):
        sft(stopped, rows, *BY_FOUR, *LATEST, *flags)
    assert recorded(stopped) == before


def test_other_rows_are_refused_by_name_and_the_same_in_another_place_are_not(rows, stopped, tmp_path):
    before = recorded(stopped)
    other = write_rows(tmp_path / "other.jsonl", [{"prompt": f"{i}?", "response": "a"} for i in range(20)])
    with pytest.raises(UserError, match=r"checkpoint-4 was trained on .*rows.*, but this run has .*other\.jsonl"):
        sft(stopped, other, *BY_FOUR, *LATEST)
    assert recorded(stopped) == before
    moved = tmp_path / "moved.jsonl"
    moved.write_bytes(rows.read_bytes())
    sft(tmp_path / "elsewhere", moved, *BY_FOUR, "--resume_from_checkpoint", str(stopped / "checkpoint-4"))
    assert json.loads((tmp_path / "elsewhere/run/data.json").read_text())["train"]["datasets"][0]["path"] == str(moved)


@pytest.mark.parametrize(
    ("keys", "words"), [({"fraction": 0.5}, "10 examples: 10 direct"), ({"condition": "cot"}, "20 examples: 20 cot")]
)
def test_another_part_of_the_same_rows_or_another_condition_is_refused(rows, stopped, keys, words):
    before = recorded(stopped)
    entry = json.dumps({"path": str(rows), **keys})
    with pytest.raises(UserError, match=rf"20 examples: 20 direct\), but this run has .*{words}\)"):
        sft(stopped, rows, *BY_FOUR, *LATEST, "--datasets", entry)
    assert recorded(stopped) == before


def test_what_changes_no_step_may_change_and_a_run_that_is_over_says_so(rows, whole, tmp_path, caplog):
    split = ("--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "2", "--save_steps", "3")
    again = ("--resume_from_checkpoint", str(whole / "checkpoint-8"))
    sft(tmp_path / "run", rows, *BY_FOUR, *split, *again)
    assert "checkpoint-8 is at the last step, 8, so nothing was trained" in caplog.text
    caplog.clear()
    sft(tmp_path / "longer", rows, *BY_FOUR, *again, "--max_steps", "9")
    assert "nothing was trained" not in caplog.text


def test_a_record_that_a_disk_has_damaged_stops_no_resume(rows, whole, tmp_path, caplog):
    (tmp_path / "run").mkdir()
    (tmp_path / "checkpoint-8").symlink_to(whole / "checkpoint-8")
    for name in ("data.json", "resolved.yaml"):
        (tmp_path / "run" / name).write_bytes((whole / "run" / name).read_bytes()[:100] + b"\xff{")
    sft(tmp_path / "on", rows, *BY_FOUR, "--resume_from_checkpoint", str(tmp_path / "checkpoint-8"))
    assert "resolved.yaml is damaged" in caplog.text and "data.json is damaged" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_in_one_class(kind):
    """What may change in a resumed run is decided for each setting; one that is in no class is refused."""
    known = recipe_kind(kind)
    groups = [*run_settings.SAME.values(), *run_settings.CHANGING.values(), run_settings.LENGTH]
    listed = [key for keys in (*groups, run_settings.SEPARATE, run_settings.FREE) for key in keys]
    assert sorted(set(listed)) == sorted(listed)
    assert {*listed} >= known.keys - known.hidden, "decide whether a resumed run may change a new setting"
    assert run_settings.reason_to_refuse("a_setting_of_tomorrow") == run_settings.REASON


def test_every_listed_setting_exists():
    every = {key for kind in KINDS for key in recipe_kind(kind).keys}
    groups = [*run_settings.SAME.values(), *run_settings.CHANGING.values(), run_settings.LENGTH]
    assert {key for keys in (*groups, run_settings.SEPARATE, run_settings.FREE) for key in keys} <= every


NAMED = "in the run that saved"
CHANGES = {
    "a longer run": (
        ("--max_steps", "9"),
        "max_steps is 9 here but 8 .*: from step 8 on, the cosine_with_min_lr schedule of the learning rate and the warm-up of "
        "bp_steps are that of the new length",
        1,
    ),
    "another schedule": (
        ("--lr_scheduler_type", "linear", "--lr_scheduler_kwargs", "{}"),
        "lr_scheduler_type is linear here but cosine_with_min_lr .*: from step 8 on, the learning rate follows the new schedule",
        2,
    ),
    "a warm-up": (("--warmup_steps", "3"), "warmup_steps is 3.* here but 0", 1),
    "precision": (("--bf16", "true", "--use_cpu", "true"), "bf16 is True here but False .* in this precision", 1),
    "another score": (("--ema_for_evaluation", "true"), "ema_for_evaluation is True .* chosen by other scores", 1),
    "what affects no step": (
        ("--save_steps", "3", "--logging_steps", "2", "--dataloader_num_workers", "0", "--activation_checkpointing", "true",
         "--per_device_eval_batch_size", "2", "--log_samples", "1", "--save_total_limit", "3"),
        "nothing was trained",
        0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_what_may_change_is_named_in_one_sentence(rows, whole, tmp_path, caplog, case):
    flags, words, sentences = CHANGES[case]
    sft(tmp_path / "run", rows, *BY_FOUR, "--resume_from_checkpoint", str(whole / "checkpoint-8"), *flags)
    assert re.search(words, caplog.text) and caplog.text.count(NAMED) == sentences, caplog.text


def test_a_precision_of_the_launcher_is_compared_too(rows, whole, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(runs, "follow_launcher", lambda: None)
    monkeypatch.setenv(PRECISION, "bf16")
    sft(tmp_path / "run", rows, *BY_FOUR, "--resume_from_checkpoint", str(whole / "checkpoint-8"), "--use_cpu", "true")
    assert "bf16 is True here but False" in caplog.text


def test_a_constant_rate_is_extended_without_a_jump(rows, tmp_path, caplog):
    flags = (*STEPS, "--lr_scheduler_type", "constant", "--per_device_train_batch_size", "4")
    sft(tmp_path / "run", rows, *flags, "--max_steps", "2")
    sft(tmp_path / "run", rows, *flags, "--max_steps", "3", *LATEST)
    assert "only the number of steps changes, because the learning rate is constant" in caplog.text
    (mark,) = [line for line in metrics(tmp_path / "run") if "resumed_from" in line]
    assert [sentence.split(" in the run")[0] for sentence in mark["changed"]] == ["max_steps is 3 here but 2"]
    assert len({line["learning_rate"] for line in metrics(tmp_path / "run") if "learning_rate" in line}) == 1


def test_settings_that_an_older_record_lacks_are_not_compared(rows, whole, tmp_path, caplog):
    (tmp_path / "run").mkdir()
    (tmp_path / "checkpoint-8").symlink_to(whole / "checkpoint-8")
    settings = yaml.safe_load((whole / "run/resolved.yaml").read_text())
    for key in ("ema_decay", "max_grad_norm", "bf16", "neftune_noise_alpha"):
        del settings[key]
    (tmp_path / "run/resolved.yaml").write_text(yaml.safe_dump(settings))
    flags = ("--max_grad_norm", "0.5", "--resume_from_checkpoint", str(tmp_path / "checkpoint-8"))
    sft(tmp_path / "on", rows, *BY_FOUR, *flags)
    assert NAMED not in caplog.text


# Without records: what the checkpoint itself holds --------------------------------------------------------------------

ADAPTER = (*STEPS, "--per_device_train_batch_size", "4", "--max_steps", "2", "--use_peft", "true", "--lora_r", "4")


@pytest.fixture(scope="module")
def adapter(rows, tmp_path_factory):
    """The checkpoint of an adapter, whose run has left no records."""
    out = tmp_path_factory.mktemp("adapter") / "run"
    sft(out, rows, *ADAPTER)
    shutil.rmtree(out / "run")
    return out / "checkpoint-2"


ADAPTERS = {
    "alpha": (
        ("--lora_alpha", "32"),
        "lora_alpha is 32.0 here but 4.0 in the adapter of .*checkpoint-2 .adapter_config.json",
    ),
    "dropout": (("--lora_dropout", "0.1"), "lora_dropout is 0.1 here but 0.0 in the adapter"),
    "rank": (("--lora_r", "8"), "lora_r is 8 here but 4 in the adapter"),
    "targets": (
        ("--lora_target_modules", "low.mlp"),
        "lora_target_modules is [0-9]+ modules here but [0-9]+ modules with .* in the adapter",
    ),
    "scale by applications": (
        ("--lora_scaling", "per_application"),
        "lora_scaling is [0-9]+ modules with .* here but 0 modules in the adapter",
    ),
    "rsLoRA": (("--use_rslora", "true"), "use_rslora is True here but False"),
    "DoRA": (("--use_dora", "true"), "use_dora is True here but False"),
    "another start": (("--init_lora_weights", "pissa"), "init_lora_weights is pissa here but True"),
    "tokens": (("--trainable_tokens", "<think>"), "trainable_tokens is 2 modules here but None"),
    "no adapter": (("--use_peft", "false"), "holds an adapter, but this run trains all weights"),
    "averages": (("--ema_decay", "0.9"), "its run had no --ema_decay"),
}


@pytest.mark.parametrize("case", ADAPTERS)
def test_another_adapter_than_the_checkpoints_is_refused(rows, adapter, tmp_path, case):
    flags, words = ADAPTERS[case]
    with pytest.raises(UserError, match=words):
        sft(tmp_path / "run", rows, *ADAPTER, *flags, "--resume_from_checkpoint", str(adapter))


def test_the_same_adapter_goes_on_and_another_base_is_refused(rows, adapter, tmp_path):
    again = ("--max_steps", "3", "--resume_from_checkpoint", str(adapter))
    sft(tmp_path / "on", rows, *ADAPTER, *again, "--lora_alpha", "4")
    assert [line["step"] for line in metrics(tmp_path / "on") if "loss" in line] == [3]
    model, tokenizer = load_model_and_tokenizer("tiny")
    model.lm_head.weight.data += 1
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match="was trained on other weights than those of"):
        sft(tmp_path / "run", rows, *ADAPTER, *again, "--model_name_or_path", str(tmp_path / "other"))


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_an_adapter_whose_start_changed_the_base_goes_on(rows, tmp_path, start):
    flags = (*ADAPTER, "--init_lora_weights", start)
    sft(tmp_path / "run", rows, *flags)
    shutil.rmtree(tmp_path / "run/run")
    again = ("--max_steps", "3", "--resume_from_checkpoint", str(tmp_path / "run/checkpoint-2"))
    sft(tmp_path / "on", rows, *flags, *again)
    assert [line["step"] for line in metrics(tmp_path / "on") if "loss" in line] == [3]


WHOLE = {
    "an adapter": (("--ema_decay", "0.9", "--use_peft", "true"), "holds whole weights, but this run trains an adapter"),
    "another decay": (("--ema_decay", "0.99"), "--ema_decay is 0.99 here, but the averaged weights in .* have the decay 0.9"),
    "no averages": ((), "has averaged weights, which this run would drop: resume with --ema_decay 0.9"),
}  # fmt: skip


@pytest.mark.parametrize("case", WHOLE)
def test_what_a_whole_checkpoint_holds_is_compared_without_records(rows, whole, tmp_path, case):
    flags, words = WHOLE[case]
    (tmp_path / "checkpoint-4").symlink_to(whole / "checkpoint-4")
    four = ("--per_device_train_batch_size", "4", "--resume_from_checkpoint", str(tmp_path / "checkpoint-4"))
    with pytest.raises(UserError, match=words):
        sft(tmp_path / "run", rows, *STEPS, *WARM_UP, *four, *flags)
    assert not (tmp_path / "run/run/resolved.yaml").exists()


# Reinforcement learning -----------------------------------------------------------------------------------------------

ROLLOUT = (
    "--max_steps",
    "1",
    "--save_strategy",
    "steps",
    "--save_steps",
    "1",
    "--logging_steps",
    "1",
    "--parity_every",
    "0",
)


@pytest.fixture(scope="module")
def rolled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rolled")
    grpo(folder / "run", prompts(folder), *ROLLOUT)
    return folder


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--temperature", "1"), "temperature is 1.0 here but 1.5 .* other rollouts"),
        (("--max_completion_length", "9"), "max_completion_length is 9 here but 8"),
        (("--beta", "0.1"), "beta is 0.1 here but 0.0 .* another loss"),
        (("--algorithm", "dr_grpo"), "These settings differ too: .*algorithm"),
        (("--loss_type", "dapo"), "loss_type is dapo here but grpo"),
        (("--rewards", "numeric"), r"rewards is .*numeric.* here but .*exact.* other rewards"),
        (("--num_iterations", "2"), "num_iterations is 2 here but 1"),
    ],
    ids=lambda value: value[0].removeprefix("--") if isinstance(value, tuple) else "",
)
def test_other_rollouts_rewards_and_losses_are_refused(rolled, flags, words):
    again = ("--max_steps", "2", "--resume_from_checkpoint", "latest")
    with pytest.raises(UserError, match=words):
        grpo(rolled / "run", rolled / "prompts.jsonl", *ROLLOUT, *again, *flags)


def test_a_reward_file_may_stand_in_another_folder_and_another_file_may_not(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/resolved.yaml").write_text("rewards: [{file: /first/mine.py, weight: 1}]")
    checkpoint = tmp_path / "checkpoint-1"
    assert check_same_run(checkpoint, {"rewards": [{"file": "/second/mine.py", "weight": 1}]}, {}, 1) == []
    for other in ({"file": "/first/other.py", "weight": 1}, {"file": "/first/mine.py", "weight": 2}, {"name": "exact"}):
        with pytest.raises(UserError, match="other rewards"):
            check_same_run(checkpoint, {"rewards": [other]}, {}, 1)
