"""The reinforcement-learning recipes on the embedded base, several seeds: held-out scores before and after.

    python scripts/grpo_recipes.py --out runs/grpo                       # all of them: 40 minutes on two CPU cores
    python scripts/grpo_recipes.py --out runs/grpo --only math --seeds 1

Each model answers the same held-out prompts once greedily and eight times at temperature 1, and is paid by the recipe's own
rewards. A difference is that of the same prompts before and after, with a 95 % interval over prompts. Goes on where it was
interrupted (`records.jsonl` in `--out`), and prints the table of docs/results/recipes.md.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from study.records import Records
from study.tables import table
from transformers.utils.logging import disable_progress_bar

from hrm_align.cli import exit_code_of
from hrm_align.commands.common import at_least
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.examples import Example
from hrm_align.evaluation.passk import SOLVED
from hrm_align.models.adapters import base_of, load_adapted, open_adapter
from hrm_align.rendering import renderer_of
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from hrm_align.rollouts.groups import GroupSampler, pass_at_k
from hrm_align.rollouts.local import Decoding, LocalEngine, generate
from hrm_align.trainers.grpo_config import parse_grpo

DATA = {"format": "plain_answers", "math": "word_problems", "sql": "sql", "code": "code"}
# Where a recipe begins at the result of a fine-tuning: its recipe, cut short, because the whole of it leaves nothing to learn.
STARTS = {"sql": ("sql", "250"), "code": ("code", "250")}
ROWS, SAMPLES = 500, 8


def flags_of(task: str, out: Path) -> list[str]:
    """The words of a recipe's command."""
    words = ["--config", f"recipes/tiny/{task}_grpo.yaml"]
    return [*words, "--model_name_or_path", str(out / f"{task}-start")] if task in STARTS else words


def fine_tune(task: str, out: Path) -> dict[str, Any]:
    """Make the start of a recipe that needs one."""
    from hrm_align.recipes.sft import main as sft

    name, steps = STARTS[task]
    words = ["--config", f"recipes/tiny/{name}.yaml", "--max_steps", steps, "--save_strategy", "no"]
    sft([*words, "--guard_samples", "1", "--output_dir", str(out / f"{task}-start"), "--disable_tqdm", "true"])
    return {"steps": steps}


def score(task: str, model_name: str, out: Path) -> dict[str, Any]:
    """For each held-out prompt whether the greedy answer is right, and how many of the sampled ones."""
    recipe = parse_grpo([*flags_of(task, out), "--output_dir", "unused"])
    rows = load_examples([DatasetSpec(path=f"data/{DATA[task]}/test.jsonl")], default_condition="direct")[0][:ROWS]
    adapter = (Path(model_name) / "adapter_config.json").is_file()
    found = open_adapter(model_name) if adapter else None
    model, tokenizer = load_adapted(base_of(found), {"run": found}) if found else load_adapted(model_name, {})
    limit = int(recipe.training.max_completion_length or 0)
    with RewardSuite([RewardSpec.of(entry) for entry in recipe.rewards.rewards], deadline=60.0) as suite:
        best = SOLVED * sum(weight for weight in suite.weights if weight > 0)
        renderer = renderer_of(tokenizer)
        prompts = [renderer.prompt(row.messages, row.condition) for row in rows]
        answers = generate(model, prompts, max_new_tokens=limit, batch_size=100)
        texts = [renderer.decode_response(ids) for ids in answers]
        greedy = [(total or 0) >= best for total in suite.score(texts, rows).totals(suite.weights)]
        return {"greedy": greedy, "sampled": sampled(model, rows, suite, Decoding(limit), renderer, best)}


def sampled(
    model: Any, rows: Sequence[Example], suite: RewardSuite, decoding: Decoding, renderer: Any, best: float
) -> list[int]:
    """How many of `SAMPLES` answers to each prompt are right."""
    groups = GroupSampler(LocalEngine(model), rows, renderer, suite, decoding, group_size=SAMPLES, seed=1)
    right = []
    for start in range(0, len(rows), 50):
        chosen = [row for row in range(start, min(start + 50, len(rows))) for _ in range(SAMPLES)]
        rewards = groups.draw(chosen, number=start).rewards
        solved = [(reward or 0) >= best for reward in rewards]
        right += [sum(solved[i : i + SAMPLES]) for i in range(0, len(solved), SAMPLES)]
    return right


def train(task: str, seed: int, out: Path) -> dict[str, Any]:
    """Run the recipe as users do, and score what it has saved."""
    from hrm_align.recipes.grpo import main as grpo

    run = out / f"{task}-{seed}"
    started, cpu = time.perf_counter(), time.process_time()
    grpo([*flags_of(task, out), "--seed", str(seed), "--output_dir", str(run), "--disable_tqdm", "true"])
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    return {**score(task, str(run), out), "seconds": seconds, "cpu_seconds": cpu_seconds}


def difference(before: Sequence[float], after: Sequence[float]) -> tuple[float, float, float]:
    """Mean over prompts of what has changed, and its 95 % interval, all in points."""
    changes = [100 * (b - a) for a, b in zip(before, after, strict=True)]
    mean, error = statistics.mean(changes), 1.96 * statistics.stdev(changes) / math.sqrt(len(changes))
    return mean, mean - error, mean + error


def rates(result: dict[str, Any]) -> dict[str, list[float]]:
    """By measure, one number from 0 to 1 a prompt."""
    found = {"greedy": [float(right) for right in result["greedy"]]}
    for k in (1, SAMPLES):
        found[f"pass@{k}"] = [pass_at_k(right, SAMPLES, k) for right in result["sampled"]]
    return found


def rows_of(task: str, seed: int, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """One line of the table."""
    cells = [task, str(seed), f"{after['seconds']:.0f}", f"{after['cpu_seconds']:.0f}"]
    for name, start in rates(before).items():
        end = rates(after)[name]
        mean, low, high = difference(start, end)
        told = f"{100 * statistics.mean(start):.1f} to {100 * statistics.mean(end):.1f}"
        cells.append(f"{told}: {mean:+.1f} ({low:+.1f} to {high:+.1f})")
    return cells


def main(argv: Sequence[str]) -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/grpo"), help="folder of runs and records")
    parser.add_argument("--only", nargs="+", choices=list(DATA), default=list(DATA), help="some of them")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each (default 3)")
    arguments = parser.parse_args(argv)
    at_least(arguments.seeds, 1, "--seeds")
    disable_progress_bar()
    records, rows = Records(arguments.out / "records.jsonl"), []
    for task in arguments.only:
        if task in STARTS:
            records.measured({"task": task, "arm": "fine-tuned"}, partial(fine_tune, task, arguments.out))
        base = str(arguments.out / f"{task}-start") if task in STARTS else "tiny"
        before = records.measured({"task": task, "arm": "before"}, partial(score, task, base, arguments.out))
        for seed in range(arguments.seeds):
            work = partial(train, task, seed, arguments.out)
            rows.append(rows_of(task, seed, before, records.measured({"task": task, "arm": f"seed {seed}"}, work)))
    measures = [f"{name} %" for name in ("greedy", "pass@1", f"pass@{SAMPLES}")]
    print(*table(["recipe", "seed", "seconds", "CPU seconds", *measures], rows), sep="\n")


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
