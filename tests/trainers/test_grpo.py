"""GRPO through the recipe: its files, its rewards, and that it resumes and splits exactly."""

import json
import os
import signal
import statistics
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from hrm_align.errors import Preempted, RunError, UserError
from hrm_align.models.loading import resolve
from hrm_align.rollouts.groups import GroupSampler
from hrm_align.trainers.callbacks import Preemption
from hrm_align.trainers.grpo import GRPOTrainer
from recipes.grpo import main as grpo_recipe
from tests.launching import launch
from tests.trainers.grpo_runs import SMALL, grpo, prompts
from tests.trainers.recipe_runs import ROOT, distance, metrics, sft, weights

STEPS = ("--max_steps", "4", "--parity_every", "2")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prompts(tmp_path_factory.mktemp("prompts"))


def samples(output_dir):
    return [json.loads(line) for line in (output_dir / "samples.jsonl").read_text().splitlines()]


def losses(output_dir):
    """What a resumed run must log alike: everything but the clock."""
    timed = ("step_time", "runtime", "per_second", "seconds/", "resumed_from", "total_flos")
    records = [r for r in metrics(output_dir) if "loss" in r]
    return {r["step"]: {k: v for k, v in r.items() if not any(part in k for part in timed)} for r in records}


def test_prompts_alone_are_enough_for_a_reward_that_needs_no_answer(data, tmp_path):
    alone = tmp_path / "alone.jsonl"
    alone.write_text("".join(json.dumps({"prompt": json.loads(row)["prompt"]}) + "\n" for row in data.open()))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("rewards: [{name: format, pattern: '[0-9]+'}]")
    checked = ("--preflight_samples", "8", "--max_steps", "1")
    small = [*SMALL[2:], *checked, "--model_name_or_path", "tiny", "--datasets", str(alone)]
    grpo_recipe(["--config", str(recipe), "--output_dir", str(tmp_path / "run"), *small])
    (record,) = losses(tmp_path / "run").values()
    assert record["rewards/ungraded"] == 0
    with pytest.raises(UserError, match=r"8 of 8 rows fail the preflight[^$]*alone.jsonl:\d+: .*cannot be graded"):
        grpo(tmp_path / "graded", alone, *checked)
    with pytest.raises(UserError, match="empty_response"):
        sft(tmp_path / "sft", alone)


@pytest.mark.numeric
@pytest.mark.parametrize(
    "flags",
    [("--activation_checkpointing", "true", "--algorithm", "dapo"), ("--use_peft", "true", "--beta", "0.05")],
    ids=["checkpointing, answers without an end left out", "adapter, reference"],
)
def test_shared_prompts_leave_the_update_as_it_is(flags, data, tmp_path):
    """SGD, so that the weights are the gradient; Adam would blow up the noise of small ones.

    Noise seen: 2e-6 of the weights, 2e-7 of what is logged. An answer that sees its neighbour moves log-probabilities by 7 nats.
    """
    steps = ("--max_steps", "1", "--optim", "sgd", "--learning_rate", "1", "--max_grad_norm", "0", *flags)
    for run, shared in (("shared", "true"), ("separate", "false")):
        grpo(tmp_path / run, data, *steps, "--share_prompts", shared)
    shared, separate = losses(tmp_path / "shared"), losses(tmp_path / "separate")
    assert len(shared) == 1
    for step, record in separate.items():
        assert record["reward"] == shared[step]["reward"], "they answer alike"
        for name in ("loss", "grad_norm", "entropy", "health/first_token_entropy", "health/rest_entropy"):
            assert shared[step][name] == pytest.approx(record[name], rel=1e-4, abs=1e-6), name
    if "--use_peft" not in flags:
        start = weights(Path(resolve("tiny")))
        assert distance(weights(tmp_path / "shared"), weights(tmp_path / "separate"), start) < 2e-5


@pytest.mark.parametrize("splitter", ["is_fsdp_enabled", "is_deepspeed_enabled"])
def test_a_model_that_is_split_over_processes_is_refused(data, tmp_path, monkeypatch, splitter):
    """As if launched so: neither splits a model on CPUs."""
    create = GRPOTrainer.create_accelerator_and_postprocess
    monkeypatch.setattr(
        GRPOTrainer,
        "create_accelerator_and_postprocess",
        lambda trainer: (create(trainer), setattr(trainer, splitter, True)),
    )
    with pytest.raises(UserError, match=r"recipes/accelerate/multi_gpu\.yaml"):
        grpo(tmp_path / "run", data, *STEPS)


@pytest.mark.numeric
def test_a_run_leaves_a_loadable_checkpoint_and_tells_what_it_did(data, tmp_path):
    grpo(tmp_path / "run", data, *STEPS, "--log_samples", "16")
    stock, base = (AutoModelForCausalLM.from_pretrained(folder) for folder in (tmp_path / "run", resolve("tiny")))
    assert not torch.equal(stock.lm_head.weight, base.lm_head.weight)
    assert not (tmp_path / "run/README.md").exists(), "TRL's card shows a quickstart that runs the prompt causally"
    records = list(losses(tmp_path / "run").values())
    assert len(records) == 4
    told = ("reward", "reward_std", "rewards/exact/mean", "rewards/exact/std", "groups/without_signal", "groups/drawn",
            "rewards/ungraded", "entropy", "clip_ratio/region_mean", "completions/clipped_ratio", "bp_steps",
            "completions/mean_length", "health/grad_ratio_lh", "health/first_token_entropy")  # fmt: skip
    assert all(name in record for record in records for name in told)
    assert all({"seconds/rollout", "seconds/reward", "seconds/update"} <= record.keys()
               for record in metrics(tmp_path / "run") if "loss" in record)  # fmt: skip
    assert [record["step"] for record in records if "parity/sampler_max" in record] == [1, 3]
    lines = samples(tmp_path / "run")
    assert all(record["rewards/drawn"] == pytest.approx(record["reward"]) for record in records), "nothing is replaced"
    assert len(lines) == 64 and {line["step"] for line in lines} == {0, 1, 2, 3}
    first = [line for line in lines if line["step"] == 0]
    assert records[0]["reward"] == pytest.approx(statistics.mean(line["reward"] for line in first))
    for line in lines:
        assert line["reward"] == float(line["generated"].strip() == line["expected"]) == line["rewards"]["exact"]
    account = json.loads((tmp_path / "run/run/data.json").read_text())
    assert account["prompts"]["kept"] == 18


def group_rows(lines):
    """Samples of a step, by prompt."""
    found = {}
    for line in lines:
        found.setdefault((line["step"], line["source"]), []).append(line)
    return found.values()


@pytest.mark.numeric
@pytest.mark.parametrize("algorithm", ["grpo", "dr_grpo", "rloo", "dapo"])
def test_advantages_are_those_of_the_paper(algorithm, data, tmp_path):
    """Recomputed from the logged rewards: within a group, over its spread (GRPO, DAPO), plain (Dr. GRPO), or against the
    mean of the others (RLOO)."""
    grpo(tmp_path / "run", data, "--max_steps", "1", "--algorithm", algorithm, "--log_samples", "16")
    moved = 0
    for group in group_rows(samples(tmp_path / "run")):
        paid = [line["reward"] for line in group]
        assert len(group) == 4
        for line in group:
            expected = line["reward"] - statistics.mean(paid)
            if algorithm == "rloo":
                expected = line["reward"] - (sum(paid) - line["reward"]) / 3
            elif algorithm != "dr_grpo":
                expected /= statistics.stdev(paid) + 1e-4
            assert line["advantage"] == pytest.approx(expected, abs=1e-5)
            moved += expected != 0
    assert moved
    config = (tmp_path / "run/run/resolved.yaml").read_text()
    assert f"algorithm: {algorithm}" in config
    assert ("epsilon_high: 0.28" in config) == (algorithm == "dapo")


@pytest.mark.numeric
def test_groups_without_a_signal_are_replaced_by_other_prompts(data, tmp_path):
    """Ten attempts find a signal for nearly every group; each drawn group is counted."""
    for name, attempts in (("plain", "0"), ("resampled", "10")):
        grpo(tmp_path / name, data, "--max_steps", "3", "--max_resamples", attempts, "--log_samples", "16")
    plain, resampled = (list(losses(tmp_path / name).values()) for name in ("plain", "resampled"))
    assert all(record["groups/drawn"] == 4 for record in plain)
    silent = [sum(len({line["reward"] for line in group}) == 1 for group in group_rows(samples(tmp_path / name)))
              for name in ("plain", "resampled")]  # fmt: skip
    print(f"{silent} of twelve groups are silent")
    assert silent[0] >= 4 and silent[1] == 0
    for record in resampled:
        drawn = record["groups/drawn"]
        assert drawn >= 4 and record["frac_reward_zero_std"] == 0
        assert record["groups/without_signal"] == pytest.approx((drawn - 4) / drawn), "all but those that were kept"


RESUMED = {
    "each step a rollout": (),
    "accumulated": ("--per_device_train_batch_size", "8", "--gradient_accumulation_steps", "2"),
    "average, horizon, adam_atan2, dapo": ("--ema_decay", "0.9", "--bp_min_steps", "2", "--bp_max_steps", "5",
                                           "--bp_warmup_ratio", "0.6", "--optim", "adam_atan2", "--algorithm", "dapo"),
    "adapter, reference": ("--use_peft", "true", "--lora_target_modules", "all", "--beta", "0.05"),
    "reference": ("--beta", "0.05"),
    "second epoch": ("--per_device_train_batch_size", "24"),
}  # fmt: skip


@pytest.mark.parametrize("flags", RESUMED.values(), ids=RESUMED)
def test_a_stopped_run_goes_on_exactly(flags, data, tmp_path):
    """Weights, averages and every log record equal those of the run that was never stopped."""
    steps = ("--max_steps", "4", "--save_strategy", "steps", "--save_steps", "1" if not flags else "2", *flags)
    grpo(tmp_path / "whole", data, *steps, "--save_total_limit", "0")
    for stop in (2,) if flags else (1, 2):
        part = tmp_path / f"from {stop}"
        grpo(part, data, *steps, "--resume_from_checkpoint", str(tmp_path / f"whole/checkpoint-{stop}"))
        names = [file.relative_to(tmp_path / "whole") for file in (tmp_path / "whole").glob("*.safetensors")]
        names += [Path("ema/model.safetensors")] * (tmp_path / "whole/ema").exists()
        assert names
        for name in names:
            whole, resumed = load_file(tmp_path / "whole" / name), load_file(part / name)
            assert all(torch.equal(whole[key], resumed[key]) for key in whole), name
        told = losses(tmp_path / "whole")
        assert losses(part) == {step: told[step] for step in range(stop + 1, 5)}


def test_checkpoints_are_saved_between_rollouts_only_and_go_on_exactly(data, tmp_path):
    """A rollout that serves two steps, twice each: a save that falls inside it is put off to its end."""
    flags = ("--max_steps", "8", "--save_strategy", "steps", "--save_steps", "3", "--steps_per_generation", "2",
             "--num_iterations", "2")  # fmt: skip
    grpo(tmp_path / "whole", data, *flags)
    saved = sorted(folder.name for folder in (tmp_path / "whole").glob("checkpoint-*"))
    assert saved == ["checkpoint-4", "checkpoint-8"], "asked for at 3 and 6, and at the end"
    grpo(tmp_path / "part", data, *flags, "--resume_from_checkpoint", str(tmp_path / "whole/checkpoint-4"))
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "part")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert losses(tmp_path / "part") == {s: r for s, r in losses(tmp_path / "whole").items() if s > 4}


def test_sigterm_inside_a_rollout_saves_at_its_end(data, tmp_path, monkeypatch):
    begin = GRPOTrainer.training_step

    def step(trainer, *args, **kwargs):
        if trainer.state.global_step == 1:
            (stop,) = (c for c in trainer.callback_handler.callbacks if isinstance(c, Preemption))
            stop.note(signal.SIGTERM)
        return begin(trainer, *args, **kwargs)

    monkeypatch.setattr(GRPOTrainer, "training_step", step)
    flags = ("--max_steps", "8", "--save_strategy", "steps", "--save_steps", "100", "--steps_per_generation", "4")
    with pytest.raises(Preempted, match="checkpoint-4"):
        grpo(tmp_path / "run", data, *flags)
    assert (tmp_path / "run/checkpoint-4/manifest.json").exists()


def test_sigterm_while_answers_are_drawn_saves_at_once_and_goes_on_exactly(data, tmp_path, monkeypatch):
    """The answers of half a rollout are worth less than the seconds that are left; a resumed run draws them again."""
    steps = ("--max_steps", "4", "--save_strategy", "steps", "--save_steps", "100", "--use_peft", "true")
    grpo(tmp_path / "whole", data, *steps)
    draw, forwards = GroupSampler.draw, []

    def signalled(sampler, rows, *, number, **others):
        if number == 2 and not forwards:
            os.kill(os.getpid(), signal.SIGTERM)
            sampler.engine.model.register_forward_hook(lambda *_: forwards.append(1))
        return draw(sampler, rows, number=number, **others)

    monkeypatch.setattr(GroupSampler, "draw", signalled)
    with pytest.raises(Preempted, match="checkpoint-2"):
        grpo(tmp_path / "run", data, *steps)
    assert forwards == [], "not one token more"
    monkeypatch.undo()
    grpo(tmp_path / "run", data, *steps, "--resume_from_checkpoint", "latest")
    whole, resumed = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "run"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def launched(output_dir, data, *flags, config):
    words = ["--model_name_or_path", "tiny", "--datasets", str(data), "--output_dir", str(output_dir), *SMALL, *flags]
    launch(ROOT / f"recipes/accelerate/{config}.yaml", "recipes/grpo.py", words)


@pytest.mark.numeric
@pytest.mark.parametrize("algorithm", ["grpo", "dapo"])
def test_two_processes_give_the_update_of_one(algorithm, data, tmp_path):
    """The same answers, and one update that differs by rounding (seen 3e-7 of what moved; a mean of means is off by 0.1)."""
    flags = ("--max_steps", "1", "--algorithm", algorithm, "--max_resamples", "0", "--log_samples", "16",
             "--optim", "sgd", "--learning_rate", "1")  # fmt: skip
    grpo(tmp_path / "one", data, *flags)
    launched(tmp_path / "two", data, *flags, "--per_device_train_batch_size", "8", config="two_processes_cpu")
    start = load_file(Path(resolve("tiny")) / "model.safetensors")
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    moved = max((one[name] - start[name]).abs().max().item() for name in one)
    worst = max((one[name] - two[name]).abs().max().item() for name in one)
    print(f"largest difference {worst / moved:.1e} of what moved")
    assert moved > 1e-3 and worst < 1e-5 * moved
    ours, theirs = losses(tmp_path / "one")[1], losses(tmp_path / "two")[1]
    for name in ("reward", "groups/without_signal", "groups/drawn", "completions/mean_length"):
        assert ours[name] == pytest.approx(theirs[name]), name
    generated = {(line["source"], line["generated"]) for line in samples(tmp_path / "one")}
    assert {(line["source"], line["generated"]) for line in samples(tmp_path / "two")} <= generated


FAULTS = """
import os, time
def hostile(prompts, completions, **columns):
    first = completions[0]
    kind = len(first) % 4
    if kind == 0: raise ValueError("no")
    if kind == 1: os._exit(1)
    if kind == 2: time.sleep(60)
    return [float("nan")] * len(completions)
"""


def test_a_reward_that_fails_in_every_way_never_ends_the_run(data, tmp_path, caplog):
    (tmp_path / "mine.py").write_text(FAULTS)
    entry = json.dumps({"file": str(tmp_path / "mine.py"), "function": "hostile", "weight": 0.5})
    grpo(tmp_path / "run", data, "--max_steps", "3", "--rewards", "exact", entry, "--reward_deadline", "2")
    records = list(losses(tmp_path / "run").values())
    assert len(records) == 3 and all(record["rewards/exact/mean"] is not None for record in records)
    faults = {name for record in records for name in record if name.startswith("rewards/faults/hostile/")}
    assert len(faults) >= 2, faults
    assert "reward hostile" in caplog.text and "The run continues" in caplog.text
    assert all(record["seconds/reward"] < 4 for record in metrics(tmp_path / "run") if "loss" in record)


SLOW = """
import os, time
time.sleep(1.0)  # in place of importing torch
def slow(completions):
    if not os.path.exists("{flag}"):
        open("{flag}", "w").close()
        os._exit(1)
    return [float(len(text)) for text in completions]
"""


def test_a_reward_file_that_loads_longer_than_its_deadline_loses_no_row(data, tmp_path):
    """Neither when the run starts nor when the worker dies during the first rollout and is replaced."""
    (tmp_path / "mine.py").write_text(SLOW.format(flag=tmp_path / "flag"))
    entry = json.dumps({"file": str(tmp_path / "mine.py"), "function": "slow"})
    grpo(tmp_path / "run", data, "--max_steps", "1", "--rewards", entry, "--reward_deadline", "0.5")
    (record,) = losses(tmp_path / "run").values()
    assert record["rewards/ungraded"] == 0 and record["rewards/slow/mean"] > 0
    assert {name for name in record if name.startswith("rewards/faults/")} == {"rewards/faults/slow/died"}


def test_a_run_in_which_nothing_can_be_learnt_stops_and_says_why(data, tmp_path):
    with pytest.raises(RunError, match=r"20 rollouts in a row .*mean reward 0\), so the advantages are zero"):
        grpo(tmp_path / "run", data, "--max_steps", "50", "--rewards", '{"name": "format", "pattern": "never"}')
    assert len(losses(tmp_path / "run")) == 19


@pytest.mark.numeric
def test_it_begins_at_an_adapter_merged_with_its_base(data, tmp_path):
    """SFT with an adapter, then a fresh adapter on the merge; the reference of `beta` is the merge, not the base."""
    tuned = ("--use_peft", "true", "--lora_r", "4", "--lora_target_modules", "all", "--learning_rate", "1e-2")
    sft(tmp_path / "sft", data, *tuned, "--max_steps", "6", "--save_strategy", "no")
    for name, flags in (("adapter", tuned), ("full", ())):
        grpo(tmp_path / name, data, "--max_steps", "1", "--beta", "0.1", "--model_name_or_path", str(tmp_path / "sft"),
             "--parity_every", "1", *flags)  # fmt: skip
        (record,) = losses(tmp_path / name).values()
        assert record["kl"] < 1e-6 and record["parity/reference_max"] < 1e-3
        merge = json.loads((tmp_path / name / "start/merge.json").read_text())
        assert merge["adapter"] == str(tmp_path / "sft") and merge["base"] == "tiny"
    record = json.loads((tmp_path / "adapter/hrm_adapter.json").read_text())
    assert record["base"] == str(tmp_path / "adapter/start")
    assert not (tmp_path / "adapter/ref").exists(), "no copy of the adapter"


def test_evaluations_are_greedy_and_paid_alike(data, tmp_path):
    grpo(tmp_path / "run", data, "--max_steps", "2", "--eval_datasets", str(data), "--eval_strategy", "steps",
         "--eval_steps", "1", "--logging_steps", "2", "--generation_eval_samples", "18")  # fmt: skip
    told = [record for record in metrics(tmp_path / "run") if "eval_reward" in record]
    assert [record["step"] for record in told] == [1, 2]
    assert all(record["eval_reward"] == record["eval_rewards/exact"] > 0.3 for record in told)
    assert not any("eval_loss" in record or "reward" in record for record in told), "nothing of the training"


WRONG = {
    ("--rewards", "exakt"): "did you mean 'exact'",
    ("--rewards", '{"name": "exact", "wieght": 2}'): "wieght",
    ("--rewards", '{"file": "none.py"}'): "is not an existing Python file",
    ("--use_vllm", "true"): "vllm_server_base_url is missing",
    ("--num_generations", "5"): "must be divisible by num_generations",
    ("--temperature", "0"): "must be a finite number above 0",
    ("--max_prompt_length", "5"): "prompts are never cut",
    ("--curriculum", "true"): "headroom is missing",
    ("--headroom", "none.jsonl"): "cannot read none.jsonl",
    ("--replay_datasets", "x.jsonl", "--replay_fraction", "0.5"): "add the prompts as another entry of datasets",
    ("--eval_strategy", "steps", "--eval_steps", "1"): "no held-out rows",
    ("--use_peft", "true", "--init_lora_weights", "pissa", "--beta", "0.1"): "changes the base, which is the reference of beta",
    ("--max_completion_length", "5000"): "prompts are longer than",
    ("--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "2", "--max_resamples", "1",
     "--steps_per_generation", "2", "--num_generations", "4"): None,
}  # fmt: skip


@pytest.mark.parametrize(("flags", "said"), WRONG.items(), ids=[flags[0] + " " + flags[1] for flags in WRONG])
def test_a_setting_that_cannot_be_is_one_sentence(flags, said, data, tmp_path):
    if said is None:  # groups of four in batches of two, over two steps: fits
        return grpo(tmp_path / "run", data, "--max_steps", "1", *flags)
    with pytest.raises(UserError, match=said):
        grpo(tmp_path / "run", data, *flags)
