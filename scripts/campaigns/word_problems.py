"""Learn word problems from a model's own graded answers: fine-tuning on correct answers, and preference training on pairs.

    OMP_NUM_THREADS=1 python scripts/campaigns/word_problems.py --out runs/word-problems    # about 40 CPU minutes, one thread
    OMP_NUM_THREADS=1 python scripts/campaigns/word_problems.py --out runs/word-problems --part score --only KTO --quick

A setting draws answers with `hrm-align sample`, trains on them with `sft`, `dpo` or `kto`, and scores the model with `evaluate`:
on the last 300 training rows to choose settings (`--part choose`), on the test rows for the table (`score`), and the best two with
several seeds (`seeds`). In the second round of a setting its model draws from other prompts, and is trained on them.

Each draw, training and score appends its result to `OUT/trials.jsonl`, so an interrupted campaign continues with the first missing
one. Prints the tables of docs/results/word-problems.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data/word_problems"
sys.path[:0] = [str(ROOT / "scripts")]  # for study

from study.records import Records  # noqa: E402
from study.tables import difference, table  # noqa: E402

from hrm_align.cli import run_with_exit_code  # noqa: E402
from hrm_align.errors import RunError  # noqa: E402

TASK = ["--match", "answer", "--max_new_tokens", "96"]  # as recipes/tiny/math_grpo.yaml
RIGHT = ("--keep", "right", "--distinct", "--max_per_prompt", "2")
PAIRS = (
    "--pairs",
    "--match_lengths",
    "--max_per_prompt",
    "4",
)  # without --distinct most prompts have one correct answer only
BEST = ("--pairs", "--keep", "best", "--max_per_prompt", "4")
TRAINING = {
    "per_device_train_batch_size": 32,
    "max_length": 256,
    "use_cpu": "true",
    "warmup_steps": 5,
    "lr_scheduler_type": "linear",
    "save_strategy": "no",
    "logging_steps": 10,
    "disable_tqdm": "true",
}


@dataclass(frozen=True)
class Setting:
    """One way to learn from drawn answers.

    Args:
        name: name in records and tables.
        command: `sft`, `dpo` or `kto`.
        draw: options of `hrm-align sample` that choose the rows.
        train: settings of the training.
        rounds: number of draws and trainings.
    """

    name: str
    command: str
    draw: tuple[str, ...]
    train: dict[str, Any]
    rounds: int = 1


def sft(name: str, rounds: int = 1, **train: Any) -> Setting:
    """Return a setting of fine-tuning on correct answers."""
    return Setting(name, "sft", RIGHT, {"learning_rate": 3e-4, "num_train_epochs": 2, **train}, rounds)


def dpo(name: str, rounds: int = 1, draw: tuple[str, ...] = PAIRS, **train: Any) -> Setting:
    """Return a setting of correct answers against wrong ones."""
    return Setting(name, "dpo", draw, {"learning_rate": 1e-4, "num_train_epochs": 1, **train}, rounds)


def kto(name: str, **train: Any) -> Setting:
    """Return a setting of the same answers with labels."""
    return Setting(name, "kto", PAIRS, {"learning_rate": 1e-4, "num_train_epochs": 1, **train})


# Values that are compared on the held-out training rows.
TRIED = [
    dpo("DPO"),
    dpo("DPO", beta=1.0, learning_rate=3e-4),
    sft("SFT"),
    sft("SFT", learning_rate=1e-3),
]
# Settings that are scored on the test rows, with the values that were best there.
CHOSEN = [
    sft("SFT on correct answers"),
    sft("SFT on correct answers, 2 rounds", 2),
    dpo("DPO"),
    dpo("DPO, 2 rounds", 2),
    kto("KTO"),
    dpo("DPO, beta 1", beta=1.0, learning_rate=3e-4),
    dpo("DPO, 128 pairs a step", per_device_train_batch_size=128, learning_rate=3e-4, num_train_epochs=2),
    dpo("DPO, lengths not matched", draw=BEST),
    dpo("DPO, sft weighs 5", loss_type=("sigmoid", "sft"), loss_weights=(1.0, 5.0)),
    dpo("DPO, ipo", loss_type=("ipo", "sft")),
]
BEST_TWO = ("SFT on correct answers", "SFT on correct answers, 2 rounds")
PROMPTS = 400


@dataclass
class Campaign:
    """Runs the commands of a setting, and records what they report.

    Args:
        out: folder of runs and records.
        prompts: number of prompts of a round.
        rows: number of rows that a model is scored on; None for all.
        train_as: settings of all trainings, instead of those of a setting.
    """

    out: Path
    prompts: int = PROMPTS
    rows: int | None = None
    train_as: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.records = Records(self.out / "trials.jsonl")

    def file(self, split: str) -> Path:
        """Return the rows to score: the test rows, or the last 300 training rows to choose settings with."""
        if split == "test":
            return DATA / "test.jsonl"
        path = self.out / "choose.jsonl"
        lines = (DATA / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[-300:]), encoding="utf-8")
        return path

    def run(self, setting: Setting, seed: int) -> tuple[str, list[dict[str, Any]]]:
        """Draw and train all rounds. Returns the last model, and the record of each round."""
        model, rounds = "tiny", []
        for number in range(setting.rounds):
            rows, drawn = self.draw(setting, model, number, seed)
            model, trained = self.train(setting, model, rows, seed)
            rounds.append({**drawn, **trained})
        return model, rounds

    def draw(self, setting: Setting, model: str, number: int, seed: int) -> tuple[Path, dict[str, Any]]:
        """Draw eight answers to each prompt of a round."""
        key = {"draw": [*setting.draw], "model": model, "round": number, "seed": seed, "prompts": self.prompts}
        path = self.out / f"rows-{digest(key)}.jsonl"
        prompts = ["--data", DATA / "train.jsonl", "--skip", number * self.prompts, "--limit", self.prompts]
        options = ["--model", model, *prompts, "--n", 8, "--seed", seed, "--reward_workers", 1]

        def measure() -> dict[str, Any]:
            seconds = command("sample", *options, *TASK, *setting.draw, "--output", path)[1]
            card = json.loads(path.with_suffix(".card.json").read_text(encoding="utf-8"))
            return {"card": card, "draw_seconds": seconds}

        return path, self.records.measured(key, measure)

    def train(self, setting: Setting, model: str, rows: Path, seed: int) -> tuple[str, dict[str, Any]]:
        """Train on the rows of a round."""
        settings = {**TRAINING, **setting.train, **self.train_as}
        key = {"train": setting.command, "settings": settings, "model": model, "rows": rows.name, "seed": seed}
        folder = self.out / f"model-{digest(key)}"
        flags = [str(word) for name, value in settings.items() for word in (f"--{name}", *as_words(value))]
        start = ["--model_name_or_path", model, "--datasets", rows, "--seed", seed, "--output_dir", folder]

        def measure() -> dict[str, Any]:
            shutil.rmtree(folder, ignore_errors=True)  # of an interrupted training
            seconds = command(setting.command, *start, *flags)[1]
            metrics = read_lines(folder / "metrics.jsonl")
            alarms = read_lines(folder / "run/alarms.jsonl")
            return {"metrics": metrics, "alarms": alarms, "train_seconds": seconds}

        return str(folder), self.records.measured(key, measure)

    def score(self, model: str, split: str) -> dict[str, Any]:
        """Score the greedy answers of a model: which rows are correct, and the report of `hrm-align evaluate`."""
        key = {"score": model, "split": split, "rows": self.rows}
        saved = self.out / f"answers-{digest(key)}.jsonl"
        limit = ["--limit", self.rows] if self.rows else []

        def measure() -> dict[str, Any]:
            saved.unlink(missing_ok=True)
            report, seconds = command(
                "evaluate", "--model", model, "--data", self.file(split), *TASK, *limit, "--save", saved, "--json"
            )
            correct = [sample["correct"] for sample in read_lines(saved)]
            return {"report": json.loads(report), "correct": correct, "score_seconds": seconds}

        return self.records.measured(key, measure)


def command(*words: object) -> tuple[str, float]:
    """Run a command of hrm-align. Returns its standard output and its seconds. Raises RunError if it fails."""
    started = time.perf_counter()
    line = [sys.executable, "-m", "hrm_align.cli", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(f"{' '.join(line[1:])} ended with {done.returncode}:\n{done.stdout[-500:]}{done.stderr[-3000:]}")
    return done.stdout, time.perf_counter() - started


def digest(key: dict[str, Any]) -> str:
    """Return ten hexadecimal digits that name the files of a record."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:10]


def as_words(value: Any) -> list[Any]:
    """Return the words of a flag."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSONL file; none if there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def describe_setting(setting: Setting) -> str:
    """Return the loss and the rates of a setting."""
    parts = [f"{name} {' '.join(map(str, as_words(value)))}" for name, value in setting.train.items()]
    return ", ".join(parts)


def score_cell(result: dict[str, Any]) -> str:
    """Return a score with its 95 % interval, in per cent."""
    low, high = result["report"]["interval"]
    return f"{100 * result['report']['score']:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def change_cell(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return the change over the same rows with its 95 % interval, in points."""
    mean, low, high = difference(before["correct"], after["correct"])
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def figures(rounds: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the cells of a trial's rounds: rows, steps, lengths, log-probabilities of the last round, alarms, minutes."""
    cards = [one["card"] for one in rounds]
    pairs = [card["pairs"] for card in cards if card.get("pairs")]
    lengths = [f"{one['chosen_tokens']:.1f}, {one['rejected_tokens']:.1f}" for one in pairs]
    last = {name: value for record in rounds[-1]["metrics"] for name, value in record.items()}
    changes = [last.get(f"health/{side}_logp_change") for side in ("chosen", "rejected")]
    return {
        "rows": " + ".join(str(card["rows"]) for card in cards),
        "steps": " + ".join(str(max(record["step"] for record in one["metrics"])) for one in rounds),
        "tokens of chosen, rejected": "; ".join(dict.fromkeys(lengths)),
        "log-probability of chosen, rejected, nats": ", ".join(
            f"{change:+.1f}" for change in changes if change is not None
        ),
        "alarms": str(sum(len(one["alarms"]) for one in rounds)),
        "minutes": f"{sum(one['draw_seconds'] + one['train_seconds'] for one in rounds) / 60:.1f}",
    }


def report(campaign: Campaign, settings: Sequence[Setting], split: str, seeds: Sequence[int]) -> list[str]:
    """Run settings and return the lines of their table."""
    before = campaign.score("tiny", split)
    rows, head = [["the base", "", "", score_cell(before), ""]], ["setting", "training", "seed", "correct, %", "change"]
    for setting in settings:
        for seed in seeds:
            model, rounds = campaign.run(setting, seed)
            after = campaign.score(model, split)
            cells = figures(rounds)
            head = [*head[:5], *cells]
            rows.append(
                [
                    setting.name,
                    describe_setting(setting),
                    str(seed),
                    score_cell(after),
                    change_cell(before, after),
                    *cells.values(),
                ]
            )
            print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    return table(head, [[*row, *[""] * (len(head) - len(row))] for row in rows])


def main(argv: Sequence[str]) -> None:
    """Run the campaign and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/word-problems"), help="folder of runs and records")
    parser.add_argument("--part", choices=["choose", "score", "seeds"], help="run only this part")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run only these settings")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds of the best two settings")
    parser.add_argument("--quick", action="store_true", help="16 prompts a round, scores on 16 rows")
    arguments = parser.parse_args(argv)
    # One row a step, so that there are more steps than those of the warm-up.
    quick: dict[str, Any] = {"prompts": 16, "rows": 16, "train_as": {"per_device_train_batch_size": 1}}
    campaign = Campaign(arguments.out, **(quick if arguments.quick else {}))
    parts = {
        "choose": (TRIED, "choose", [0]),
        "score": (CHOSEN, "test", [0]),
        "seeds": ([setting for setting in CHOSEN if setting.name in BEST_TWO], "test", arguments.seeds),
    }
    for name, (settings, split, seeds) in parts.items():
        if arguments.part in (None, name):
            wanted = [setting for setting in settings if not arguments.only or setting.name in arguments.only]
            print(*report(campaign, wanted, split, seeds), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
