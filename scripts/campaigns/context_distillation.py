"""Move a convention that only solved examples in the prompt show into the weights, and measure what that costs.

    OMP_NUM_THREADS=1 python scripts/campaigns/context_distillation.py --out runs/context

The task: easy questions of `scripts/base_tasks`, answered between an opening and a closing word ("well red stone sir"). There are
36 such conventions. The start is the tiny base after a short SFT on prompts whose examples show one of 33 of them, and on plain
answers to prompts without examples. Each seed has its own convention out of the three that are left, and eight fixed examples of
it: with them in its prompt the start follows the convention, and without them it cannot know it. `hrm-align sample` draws
answers under the examples, and `hrm-align sft` trains the start on the same questions without them; no reference answer is used.

Each finished measurement is a line of `OUT/records.jsonl`, from which an interrupted command continues; use another folder
for changed settings. Prints the table of docs/results/context-distillation.md. `--split dev` scores other held-out questions, on
which settings are chosen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from base_tasks.rows import draw_task  # noqa: E402
from base_tasks.rules import few_shot_prompt  # noqa: E402
from study.records import Records  # noqa: E402
from study.tables import table  # noqa: E402

from hrm_align.cli import dispatch, run_with_exit_code  # noqa: E402
from hrm_align.commands.common import at_least  # noqa: E402
from hrm_align.output import results_only  # noqa: E402

OPENINGS = ("well", "so", "hm", "yes", "sure", "look")
CLOSINGS = ("ok", "lol", "maybe", "sir", "now", "then")
HELD_OUT = (("well", "sir"), ("hm", "now"), ("sure", "lol"))  # the start has not seen these; one a seed
FAMILIES = ("addition", "comparison", "copying", "picking", "reversal", "sorting", "subtraction")
SHOTS = 8
START_ROWS, QUESTIONS, SPLITS = 6000, 2000, {"dev": 300, "test": 600}
OTHERS = 200  # rows of other tasks, and prompts that show other conventions, on which the costs are measured
BASE = ROOT / "data/base_families"
QUIET = (
    *("--eval_strategy", "no", "--eval_datasets", "[]", "--generation_eval_samples", 0),
    *("--save_strategy", "no", "--disable_tqdm", "true"),
)
TRAIN_START = (*QUIET, "--max_length", 512, "--per_device_train_batch_size", 3, "--num_train_epochs", 1)
DRAW = ("--limit", 1500, "--keep", "all", "--n", 1, "--temperature", 0, "--max_new_tokens", 40)
# Chosen on the dev rows of seed 0: 94.0 % without examples, against 92.3 after 4 epochs at 3e-3.
DISTIL = (*QUIET, "--num_train_epochs", 2, "--learning_rate", "1.5e-3", "--warmup_steps", 10)
ARMS = {"distilled": 0.0, "distilled with replay": 0.3}  # share of replay rows, of families that the task does not have

Row = dict[str, str]
Convention = tuple[str, str]


def solved(rng: Random, held_out: bool, convention: Convention) -> Row:
    """Return a question, with its answer in a convention."""
    task = draw_task(rng, rng.choice(FAMILIES), "easy", held_out)
    return {"prompt": task.prompt, "response": " ".join((convention[0], task.answer, convention[1]))}


def distinct(rng: Random, held_out: bool, convention: Convention, n: int, seen: set[str]) -> list[Row]:
    """Return rows whose questions are not in `seen`, and add the questions to it."""
    rows: list[Row] = []
    while len(rows) < n:
        row = solved(rng, held_out, convention)
        if row["prompt"] not in seen:
            seen.add(row["prompt"])
            rows.append(row)
    return rows


def with_examples(rng: Random, held_out: bool, conventions: Sequence[Convention]) -> Row:
    """Return a row whose prompt shows a convention by 4 to 8 solved examples of its own."""
    convention = rng.choice(conventions)
    shown = [solved(rng, False, convention) for _ in range(rng.randint(4, SHOTS))]
    row = solved(rng, held_out, convention)
    return row | {"prompt": few_shot_prompt([(one["prompt"], one["response"]) for one in shown], row["prompt"])}


def write(path: Path, rows: Iterable[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make_task(folder: Path, seed: int) -> None:
    """Write the rows of a seed: examples, questions, held-out questions, and prompts that show other conventions."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, convention, seen = Random(f"context distillation {seed}"), HELD_OUT[seed % len(HELD_OUT)], set[str]()
    known = [(a, b) for a in OPENINGS for b in CLOSINGS if (a, b) not in HELD_OUT]
    write(folder / "shots.jsonl", distinct(rng, False, convention, SHOTS, seen))
    questions = distinct(rng, False, convention, QUESTIONS, seen)
    write(folder / "questions.jsonl", [{"prompt": row["prompt"]} for row in questions])
    for split, n in SPLITS.items():
        write(folder / f"{split}.jsonl", distinct(rng, True, convention, n, seen))
    write(folder / "start.jsonl", [with_examples(rng, False, known) for _ in range(START_ROWS)])
    write(folder / "conventions.jsonl", [with_examples(rng, True, known) for _ in range(OTHERS)])


def select_tasks(folder: Path) -> None:
    """Write the rows of `data/base_families` whose family is not in the task, to score and to replay."""
    for split in ("train", "test"):
        rows = map(json.loads, (BASE / f"{split}.jsonl").read_text(encoding="utf-8").splitlines())
        others = [row for row in rows if row["group"] not in FAMILIES]
        write(folder / f"tasks_{split}.jsonl", others if split == "train" else others[:OTHERS])


def run(*words: object) -> str:
    """Run `hrm-align` in this process and return its standard output."""
    with redirect_stdout(StringIO()) as printed, results_only():
        dispatch([str(word) for word in words])
    return printed.getvalue()


class Campaign:
    """The measurements in a folder, each made once.

    Args:
        out: folder of the records, the rows and the models.
        split: held-out questions to score, `dev` or `test`.
    """

    def __init__(self, out: Path, split: str):
        self.out, self.split, self.records = out.resolve(), split, Records(out / "records.jsonl")
        self.out.mkdir(parents=True, exist_ok=True)
        select_tasks(self.out)

    def score(self, model: str, data: str, *flags: object) -> dict[str, Any]:
        """Return the score of greedy answers to a file of rows in the folder."""

        def measure() -> dict[str, Any]:
            given = ("--model", model if model == "tiny" else self.out / model, "--data", self.out / data)
            result = json.loads(run("evaluate", *given, "--max_new_tokens", 96, *flags, "--json"))
            return {name: result[name] for name in ("score", "interval", "n", "unfinished")}

        return self.records.measured({"model": model, "data": data, "few_shot": "--few_shot" in flags}, measure)

    def train(self, name: str, start: str, *flags: object) -> None:
        """Fine-tune all weights of a model."""

        def measure() -> dict[str, Any]:
            began = time.perf_counter()
            given = ("--model_name_or_path", start, "--output_dir", self.out / name)
            run("sft", "--config", "tiny/sft", *given, *flags)
            return {"seconds": time.perf_counter() - began}

        self.records.measured({"train": name}, measure)

    def costs(self, model: str) -> list[str]:
        """Return the scores of a model on other tasks, and on prompts whose examples show other conventions."""
        return [cell(self.score(model, data)) for data in ("tasks_test.jsonl", "seed0/conventions.jsonl")]

    def prepare(self, seed: int) -> list[str]:
        """Draw answers under the examples of a seed. Returns the start's row of the table."""
        folder = self.out / f"seed{seed}"
        examples = ("--examples", folder / "shots.jsonl", "--shots", SHOTS, "--output", folder / "drawn.jsonl")
        given = ("--model", self.out / "start", "--data", folder / "questions.jsonl")
        run("sample", *given, *examples, *DRAW)  # draws only what is not in the file yet
        without, with_them = self.before(seed)
        return [f"{seed}", "start", cell(without), cell(with_them), "", *self.costs("start")]

    def before(self, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the start's scores without and with the examples of a seed."""
        data, shots = f"seed{seed}/{self.split}.jsonl", self.out / f"seed{seed}/shots.jsonl"
        return self.score("start", data), self.score("start", data, "--few_shot", SHOTS, "--few_shot_data", shots)

    def distil(self, seed: int, arm: str) -> list[str]:
        """Train the start on the answers without the examples. Returns the row of the table."""
        name, share, drawn = f"seed{seed}-{arm.replace(' ', '-')}", ARMS[arm], self.out / f"seed{seed}/drawn.jsonl"
        replay = ("--replay_datasets", self.out / "tasks_train.jsonl", "--replay_fraction", share) if share else ()
        self.train(name, str(self.out / "start"), "--datasets", drawn, "--seed", seed, *DISTIL, *replay)
        without = self.score(name, f"seed{seed}/{self.split}.jsonl")
        gap = 100 * (without["score"] - self.before(seed)[1]["score"])
        return [f"{seed}", arm, cell(without), "", f"{gap:+.1f}", *self.costs(name)]


def cell(result: dict[str, Any]) -> str:
    """Format a score as a percentage with its 95 % interval."""
    low, high = result["interval"]
    return f"{100 * result['score']:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def main(argv: Sequence[str]) -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/context"), help="folder of records, rows and models")
    parser.add_argument("--seeds", type=int, default=3, help="number of conventions that are distilled")
    parser.add_argument("--split", choices=["dev", "test"], default="test", help="questions to score (default test)")
    arguments = parser.parse_args(argv)
    at_least(arguments.seeds, 1, "--seeds")
    campaign, seeds = Campaign(arguments.out, arguments.split), range(arguments.seeds)
    for seed in seeds:
        make_task(campaign.out / f"seed{seed}", seed)
    rows = f"[{campaign.out}/seed0/start.jsonl, {BASE}/train.jsonl]"
    campaign.train("start", "tiny", "--datasets", rows, *TRAIN_START)
    lines = [campaign.prepare(seed) for seed in seeds]
    lines += [campaign.distil(seed, arm) for arm in ARMS for seed in seeds]
    lines += [["", "tiny base", "", "", "", *campaign.costs("tiny")]]
    head = ["seed", "model", "without examples", "with them", "difference", "other tasks", "other conventions"]
    print(*table(head, lines), sep="\n")


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
