"""Run the reinforcement-learning recipes on the embedded base with several seeds, and compare held-out scores before and after.

    python scripts/grpo_recipes.py --out runs/grpo                       # all of them: 40 minutes on two CPU cores
    python scripts/grpo_recipes.py --out runs/grpo --only math --seeds 1

Each model completes the same held-out prompts once greedily and eight times at temperature 1; the recipe's own rewards grade the
completions. A difference compares the same prompts before and after training, with a 95 % interval over prompts. An interrupted
command continues from `records.jsonl` in `--out`. Prints the table of docs/results/recipes.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from study.records import Records
from study.tables import difference, table
from transformers.utils.logging import disable_progress_bar

from hrm_align.cli import run_with_exit_code
from hrm_align.commands.common import at_least
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.examples import Example
from hrm_align.evaluation.passk import SOLVED
from hrm_align.models.adapters import base_name, load_adapted, open_adapter
from hrm_align.rendering import get_renderer
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from hrm_align.rollouts.groups import GroupSampler, pass_at_k
from hrm_align.rollouts.local import Decoding, LocalEngine, generate
from hrm_align.trainers.grpo_config import parse_grpo

DATA = {"format": "plain_answers", "math": "word_problems", "sql": "sql", "code": "code"}
# Recipes that start from a fine-tuned model: the SFT recipe and its steps. The full SFT recipe would leave nothing to learn.
STARTS = {"sql": ("sql", "250"), "code": ("code", "250")}
ROWS, SAMPLES = 500, 8


def recipe_flags(task: str, out: Path) -> list[str]:
    """Return the command-line arguments of a recipe."""
    flags = ["--config", f"recipes/tiny/{task}_grpo.yaml"]
    return [*flags, "--model_name_or_path", str(out / f"{task}-start")] if task in STARTS else flags


def fine_tune(task: str, out: Path) -> dict[str, Any]:
    """Fine-tune the model from which a recipe starts."""
    from hrm_align.recipes.sft import main as sft

    name, steps = STARTS[task]
    flags = ["--config", f"recipes/tiny/{name}.yaml", "--max_steps", steps, "--save_strategy", "no"]
    sft([*flags, "--guard_samples", "1", "--output_dir", str(out / f"{task}-start"), "--disable_tqdm", "true"])
    return {"steps": steps}


def score(task: str, model_name: str, out: Path) -> dict[str, Any]:
    """Grade a model on the held-out prompts.

    Returns:
        `greedy`: for each prompt, whether the greedy completion is correct; `sampled`: how many of the sampled ones are.
    """
    recipe = parse_grpo([*recipe_flags(task, out), "--output_dir", "unused"])
    rows = load_examples([DatasetSpec(path=f"data/{DATA[task]}/test.jsonl")], default_condition="direct")[0][:ROWS]
    if (Path(model_name) / "adapter_config.json").is_file():
        adapter = open_adapter(model_name)
        model, tokenizer = load_adapted(base_name(adapter), {"run": adapter})
    else:
        model, tokenizer = load_adapted(model_name, {})
    limit = int(recipe.training.max_completion_length or 0)
    with RewardSuite([RewardSpec.of(entry) for entry in recipe.rewards.rewards], deadline=60.0) as suite:
        best = SOLVED * sum(weight for weight in suite.weights if weight > 0)
        renderer = get_renderer(tokenizer)
        prompts = [renderer.prompt(row.messages, row.condition) for row in rows]
        answers = generate(model, prompts, max_new_tokens=limit, batch_size=100)
        texts = [renderer.decode_response(ids) for ids in answers]
        greedy = [(total or 0) >= best for total in suite.score(texts, rows).totals(suite.weights)]
        return {"greedy": greedy, "sampled": sampled(model, rows, suite, Decoding(limit), renderer, best)}


def sampled(
    model: Any, rows: Sequence[Example], suite: RewardSuite, decoding: Decoding, renderer: Any, best: float
) -> list[int]:
    """Return, for each prompt, how many of `SAMPLES` sampled completions are correct."""
    groups = GroupSampler(LocalEngine(model), rows, renderer, suite, decoding, group_size=SAMPLES, seed=1)
    correct = []
    for start in range(0, len(rows), 50):
        chosen = [row for row in range(start, min(start + 50, len(rows))) for _ in range(SAMPLES)]
        rewards = groups.draw(chosen, number=start).rewards
        solved = [(reward or 0) >= best for reward in rewards]
        correct += [sum(solved[i : i + SAMPLES]) for i in range(0, len(solved), SAMPLES)]
    return correct


def train(task: str, seed: int, out: Path) -> dict[str, Any]:
    """Run the recipe through its command line, and score the saved model."""
    from hrm_align.recipes.grpo import main as grpo

    run = out / f"{task}-{seed}"
    started, cpu = time.perf_counter(), time.process_time()
    grpo([*recipe_flags(task, out), "--seed", str(seed), "--output_dir", str(run), "--disable_tqdm", "true"])
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    return {**score(task, str(run), out), "seconds": seconds, "cpu_seconds": cpu_seconds}


def rates(result: dict[str, Any]) -> dict[str, list[float]]:
    """Return, for each measure, a list with one number from 0 to 1 for each prompt."""
    measures = {"greedy": [float(correct) for correct in result["greedy"]]}
    for k in (1, SAMPLES):
        measures[f"pass@{k}"] = [pass_at_k(correct, SAMPLES, k) for correct in result["sampled"]]
    return measures


def table_row(task: str, seed: int, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return one row of the table."""
    cells = [task, str(seed), f"{after['seconds']:.0f}", f"{after['cpu_seconds']:.0f}"]
    for name, start in rates(before).items():
        end = rates(after)[name]
        mean, low, high = difference(start, end)
        means = f"{100 * statistics.mean(start):.1f} to {100 * statistics.mean(end):.1f}"
        cells.append(f"{means}: {mean:+.1f} ({low:+.1f} to {high:+.1f})")
    return cells


def main(argv: Sequence[str]) -> None:
    """Run the requested recipes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/grpo"), help="folder of runs and records")
    parser.add_argument(
        "--only", nargs="+", choices=list(DATA), default=list(DATA), help="recipes to run (default: all)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs of each recipe (default 3)")
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
            rows.append(table_row(task, seed, before, records.measured({"task": task, "arm": f"seed {seed}"}, work)))
    measures = [f"{name} %" for name in ("greedy", "pass@1", f"pass@{SAMPLES}")]
    print(*table(["recipe", "seed", "seconds", "CPU seconds", *measures], rows), sep="\n")


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
