"""The steps of `real_shape.py`: the command line of each step, and the checks of its result."""

from __future__ import annotations

import filecmp
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measured import Measured
from shape_campaign import GB, IMPORTS, Campaign, Step, StepError, last_line, result

WORDS = ("red", "blue", "oak", "elm", "sun", "moon", "fish", "bird", "tree", "rain")
REWARD = '''"""Rewards every second completion, whatever its text: most tokens of a random model decode to no text."""


def second(prompts, completions, **columns):
    """Return 0, 1, 0, 1 ..., so that no group has zero reward variance."""
    return [place % 2 for place in range(len(completions))]
'''


# Rows and arguments ---------------------------------------------------------------------------------------------------


def write_rows(out: Path) -> None:
    """Write six training rows, which pack into two, four held-out rows, three prompts, and a reward function."""
    rng = random.Random(0)
    for name, number in (("train", 6), ("held_out", 4)):
        with (out / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for _ in range(number):
                prompt, answer = rng.sample(WORDS, 2), " ".join(rng.sample(WORDS, 4))
                file.write(json.dumps({"prompt": " ".join(prompt), "response": answer}) + "\n")
    prompts = [{"prompt": f"say {word}"} for word in WORDS[:3]]
    (out / "prompts.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    (out / "second.py").write_text(REWARD)


def run_arguments(campaign: Campaign, to: Path, data: str) -> list[object]:
    """Return the arguments that all training steps share."""
    given = ("--model_name_or_path", campaign.model, "--dtype", "bfloat16", "--datasets", campaign.out / data)
    return [*given, "--output_dir", to, "--disable_tqdm", "true", "--report_to", "none", "--logging_steps", 1]


ADAPTER = ("--use_peft", "true", "--lora_r", 8, "--save_strategy", "no", "--max_steps", 3)


def adapter_run(campaign: Campaign, to: Path) -> list[object]:
    """Return the arguments of fine-tuning with an adapter on a bfloat16 base, one packed row a step."""
    packed = ("--packing", "true", "--max_length", campaign.length, "--per_device_train_batch_size", 1)
    return [*run_arguments(campaign, to, "train.jsonl"), *packed, *ADAPTER, "--learning_rate", "1e-3"]


def full_run(campaign: Campaign, to: Path, optimizer: str = "sgd", dtype: str = "bfloat16") -> list[object]:
    """Return the arguments of fine-tuning all weights for two steps, with a checkpoint at each step.

    The learning rate must be absurdly high. The gradient norm is clipped at 1, which is 3e-5 for each weight at the published shape,
    and half the distance between two bfloat16 weights is 5e-5 there. With a normal rate no weight would change, and equal weights
    after a resume would prove nothing.
    """
    packed = ("--packing", "true", "--max_length", campaign.length, "--per_device_train_batch_size", 1)
    rate = ("--learning_rate", 10 if optimizer == "sgd" else "1e-3", "--lr_scheduler_type", "constant")
    steps = ("--weight_decay", 0, "--max_steps", 2, "--save_steps", 1, "--health", "false")
    words = [*run_arguments(campaign, to, "train.jsonl"), *packed, "--optim", optimizer, *rate, *steps]
    return [*words, "--dtype", dtype]


def grpo_run(campaign: Campaign, to: Path) -> list[object]:
    """Return the arguments of GRPO with an adapter: one prompt with four completions a step; the gate checks the first rollout."""
    reward = f"{{file: {campaign.out / 'second.py'}, function: second}}"
    rewards = ("--rewards", reward, "--reward_workers", 1, "--preflight_samples", 0)
    rollout = ("--num_generations", 4, "--per_device_train_batch_size", 4, "--max_completion_length", campaign.answer)
    return [*run_arguments(campaign, to, "prompts.jsonl"), *rewards, *rollout, "--parity_every", 3, *ADAPTER]


# Steps ----------------------------------------------------------------------------------------------------------------


def imports(campaign: Campaign) -> dict[str, Any]:
    """Measure a process that only imports the trainers."""
    done = campaign.python("imports", "-c", "import hrm_align.recipes.sft, hrm_align.recipes.grpo")
    if done.code:
        raise StepError(last_line(done.errors))
    return result(done)


def checkpoint(campaign: Campaign) -> dict[str, Any]:
    """Make the random checkpoint."""
    if campaign.shape is None:
        return {"note": "given"}
    campaign.fresh(campaign.model.name)
    script = Path(__file__).with_name("random_checkpoint.py")
    done = campaign.python("checkpoint", script, campaign.model, "--shape", campaign.shape)
    if done.code:
        raise StepError(last_line(done.errors))
    return result(done, note=last_line(done.output))


def doctor(campaign: Campaign) -> dict[str, Any]:
    """Check that the doctor finds no fault in the checkpoint."""
    return result(campaign.command("doctor", "doctor", campaign.model))


def inspect(campaign: Campaign) -> dict[str, Any]:
    """Check the prefix mask on four documents with `inspect`."""
    done = campaign.command("inspect", "inspect", campaign.out / "held_out.jsonl", "--model", campaign.model)
    if "the mask holds" not in done.output:
        raise StepError("the mask does not hold")
    return result(done, note="the mask holds on 4 documents")


def generate(campaign: Campaign) -> dict[str, Any]:
    """Generate one greedy completion."""
    words = ("--prompt", "say red", "--max_new_tokens", campaign.answer, "--json")
    done = campaign.command("generate", "generate", "--model", campaign.model, *words)
    tokens = len(json.loads(done.output.splitlines()[-1])["token_ids"])
    return result(done, note=f"{tokens} tokens")


def adapter(campaign: Campaign) -> dict[str, Any]:
    """Fine-tune an adapter for three steps."""
    words = adapter_run(campaign, campaign.fresh("adapter"))
    estimate = campaign.estimate("adapter", *words)
    return trained(campaign, campaign.command("adapter", "sft", *words), "adapter", estimate)


def full(campaign: Campaign) -> dict[str, Any]:
    """Fine-tune all weights for two steps without an interruption."""
    words = full_run(campaign, campaign.fresh("full"))
    estimate = campaign.estimate("full", *words)
    record = trained(campaign, campaign.command("full", "sft", *words), "full", estimate)
    first, second = (campaign.out / "full" / name / "model.safetensors" for name in ("checkpoint-1", "checkpoint-2"))
    if filecmp.cmp(first, second, shallow=False):
        raise StepError("the second step changed no weight")
    return record


def trained(campaign: Campaign, done: Measured, name: str, estimate: int) -> dict[str, Any]:
    """Return the record of a fine-tuning step, with the seconds of training and of each checkpoint."""
    folder = campaign.out / name
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    training = next(record["train_runtime"] for record in logged if "train_runtime" in record)
    losses = [record["loss"] for record in logged if "loss" in record]
    saving = [saving_seconds(path) for path in sorted(folder.glob("checkpoint-*"))]
    parts = [f"{len(losses)} steps, saves included, {training:.0f} s"]
    if saving:
        parts.append(f"each save {sum(saving) / len(saving):.0f} s")
    parts.append(f"start and end {done.seconds - training:.0f} s")
    return result(done, estimate, ", ".join(parts), losses=losses, training=training, saving=saving)


def saving_seconds(folder: Path) -> float:
    """Return the seconds from the first file of a checkpoint to its manifest."""
    times = [path.stat().st_mtime for path in folder.iterdir()]
    return (folder / "manifest.json").stat().st_mtime - min(times)


def resumed(campaign: Campaign) -> dict[str, Any]:
    """Resume from the checkpoint of the first step: the second step must give the same weights and use no more memory."""
    whole = campaign.out / "full"
    words = full_run(campaign, campaign.fresh("resumed"))
    done = campaign.command("resumed", "sft", *words, "--resume_from_checkpoint", whole / "checkpoint-1")
    require_equal(campaign.out / "resumed", whole)
    before = campaign.done(NAMES["full"])
    record = result(done, before["estimate"], "weights equal to the last bit")
    if done.peak > before["peak"] * 1.01:  # 1 % for rounding by the allocator and the kernel
        record["wrong"] = (
            f"peak {done.peak / GB:.2f} GB; the uninterrupted run has a peak of {before['peak'] / GB:.2f} GB"
        )
    return record


def require_equal(run: Path, whole: Path) -> None:
    """Raise StepError unless two finished runs have the same weights."""
    if not filecmp.cmp(run / "model.safetensors", whole / "model.safetensors", shallow=False):
        raise StepError("the weights differ from those of the uninterrupted run")


def killed(campaign: Campaign) -> dict[str, Any]:
    """Send SIGKILL during the second save; `latest` must resume from the first checkpoint and end like the uninterrupted run."""
    folder = campaign.fresh("killed")
    words = full_run(campaign, folder)
    staged = folder / ".saving" / "checkpoint-2" / "model.safetensors"
    cut = campaign.command("killed", "sft", *words, kill_when=lambda: staged.exists() and staged.stat().st_size > 0)
    if cut.code != -9 or (folder / "checkpoint-2").exists():
        raise StepError(f"the kill came too late, or the run failed with {cut.code}: {last_line(cut.errors)}")
    done = campaign.command("killed-resumed", "sft", *words, "--resume_from_checkpoint", "latest")
    begun = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    if [record["step"] for record in begun if "resumed_from" in record] != [1]:
        raise StepError("the run did not resume from its first checkpoint")
    require_equal(folder, campaign.out / "full")
    shutil.rmtree(folder)
    return result(done, campaign.done(NAMES["full"])["estimate"], "figures of the resumed run; weights equal")


def merge(campaign: Campaign) -> dict[str, Any]:
    """Merge the adapter into its base; the command compares the logits of both."""
    words = ("--data", campaign.out / "held_out.jsonl", "--limit", 2, "--max_new_tokens", campaign.answer, "--json")
    done = campaign.command(
        "merge", "adapters", "merge", campaign.out / "adapter", "--to", campaign.fresh("merged"), *words
    )
    report = json.loads(done.output.splitlines()[-1])
    shutil.rmtree(campaign.out / "merged")
    difference, floor, allowed = (report[key] for key in ("largest_difference", "floor", "tolerance"))
    note = f"logits differ by {difference:.1e} (floor {floor:.1e}, allowed {allowed:.1e})"
    return result(done, note=note, merge=report)


def export(campaign: Campaign) -> dict[str, Any]:
    """Export the merged adapter in bfloat16; the command compares the export with stock Transformers."""
    words = ("--merged", "--dtype", "bfloat16", "--data", campaign.out / "held_out.jsonl", "--limit", 4)
    to = campaign.fresh("exported")
    rest = ("--max_new_tokens", campaign.answer, "--json")
    done = campaign.command("export", "export", campaign.out / "adapter", "--to", to, *words, *rest)
    report = json.loads(done.output.splitlines()[-1])
    shutil.rmtree(to)
    parity = report["parity"]
    note = f"{parity['wrong_answers']} of {parity['compared']} completions differ"
    note += f"; log-probabilities differ by {parity['mean_difference']:.1e} nats on average"
    return result(done, note=note, export=report)


def grpo(campaign: Campaign) -> dict[str, Any]:
    """Run three steps of reinforcement learning."""
    words = grpo_run(campaign, campaign.fresh("grpo"))
    estimate = campaign.estimate("grpo", *words, "--prompt_tokens", 16)
    done = campaign.command("grpo", "grpo", *words)
    logged = [json.loads(line) for line in (campaign.out / "grpo" / "metrics.jsonl").read_text().splitlines()]
    steps = [record for record in logged if "seconds/update" in record]
    if len(steps) != 3 or "seconds/parity" not in steps[0]:
        raise StepError("the run did not log three steps, or the gate did not run")
    if not all(step["grad_norm"] > 0 for step in steps):
        raise StepError("a step of the run had a zero gradient")
    parts = {}
    for name in ("rollout", "update", "parity"):
        parts[name] = [round(step.get(f"seconds/{name}", 0.0), 1) for step in steps]
    gate = {key: value for key, value in steps[0].items() if key.startswith("parity/")}
    note = "; ".join(f"{name} {' '.join(f'{value:.0f}' for value in values)} s" for name, values in parts.items())
    return result(done, estimate, note, parts=parts, gate=gate)


def adamw(dtype: str) -> Callable[[Campaign], dict[str, Any]]:
    """Return a step that fine-tunes all weights with AdamW, if the estimated memory is available."""

    def work(campaign: Campaign) -> dict[str, Any]:
        name = f"adamw-{dtype}"
        words = full_run(campaign, campaign.fresh(name), "adamw_torch", dtype)
        estimate = campaign.estimate(name, *words)
        needed = estimate + campaign.imports
        if needed > campaign.memory:
            return {"estimate": estimate, "note": f"not run: needs {needed / GB:.1f} GB"}
        record = trained(campaign, campaign.command(name, "sft", *words), name, estimate)
        shutil.rmtree(campaign.out / name)
        return record

    return work


def eight_bit(campaign: Campaign) -> dict[str, Any]:
    """Fine-tune all weights with an 8-bit optimizer state, if bitsandbytes is installed."""
    name = "adamw-8bit"
    words = full_run(campaign, campaign.fresh(name), "adamw_8bit")
    estimate = campaign.estimate(name, *words)
    done = campaign.python(name, "-c", "import bitsandbytes")
    if done.code:
        return {"estimate": estimate, "note": "not run: bitsandbytes is not installed"}
    return trained(campaign, campaign.command(name, "sft", *words), name, estimate)


NAMES = {"full": "full SFT, SGD, bf16 weights"}
STEPS = (
    Step(IMPORTS, imports),
    Step("random checkpoint", checkpoint),
    Step("doctor", doctor),
    Step("inspect", inspect),
    Step("generate", generate, 3 * GB),
    Step("LoRA SFT, bf16 base", adapter),
    Step(NAMES["full"], full),
    Step("resume", resumed),
    Step("kill -9 during a save, resume", killed),
    Step("adapters merge", merge),
    Step("export --merged, bf16", export, 6 * GB),
    Step("GRPO, LoRA, bf16 base", grpo),
    Step("full SFT, AdamW, bf16 weights", adamw("bfloat16")),
    Step("full SFT, AdamW, float32 weights", adamw("float32")),
    Step("full SFT, 8-bit AdamW, bf16 weights", eight_bit),
)
