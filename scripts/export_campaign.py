"""Stress exports: merge adapters of twenty configurations, and kill pushes at twenty moments.

    python scripts/export_campaign.py --out runs/exports                       # both parts: a quarter of an hour on one core
    python scripts/export_campaign.py --out runs/exports --only pushes

    merges   an adapter with random layers, rank, scale and kind is trained for a few steps and exported merged, in float32 and in
             bfloat16; merged and unmerged logits, greedy completions, and stock Transformers are compared
    pushes   `hrm-align export --push` to a Hub server on this machine (tests/export/hub_server.py) is killed at a random moment;
             the repository must hold all files or none, and the second push must publish the same bytes

Each trial appends its result to `OUT/PART.jsonl`, so an interrupted campaign continues with the first missing trial. Exit code 1
if a trial failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests.export.hub_server

from rich.console import Console

from hrm_align.cli import run_with_exit_code
from hrm_align.commands.common import at_least
from hrm_align.errors import RunError
from hrm_align.export.card import rename_card
from hrm_align.models.loading import resolve
from hrm_align.trainers.callbacks import append_json_line
from tests.export.hub_server import HubServer

ROWS = "tests/export/sums.jsonl"
SHORT = ["--model_name_or_path", "tiny", "--datasets", "data/json_extraction/train.jsonl", "--max_steps", "8", "--packing", "true",
         "--max_length", "256", "--per_device_train_batch_size", "2", "--save_strategy", "no", "--disable_tqdm", "true"]  # fmt: skip
REQUESTS = 10  # requests of one push; the last one is the commit
LAYERS = (
    ["stacks"],
    ["high"],
    ["low"],
    ["attention"],
    ["mlp"],
    ["head"],
    ["all"],
    ["low.mlp"],
    ["high.attention", "head"],
)


def merge_trial(random: Random, number: int, out: Path) -> dict[str, Any]:
    """Train an adapter with a random configuration, and export it merged in two precisions."""
    from hrm_align.recipes.sft import main as sft

    layers = random.choice(LAYERS)
    shape = {
        "lora_target_modules": layers,
        "lora_r": random.choice([1, 2, 3, 8, 16]),
        "lora_scaling": random.choice(["constant", "per_application"]),
        "use_rslora": random.random() < 0.3,
        "use_dora": random.random() < 0.3 and not {"head", "all"} & set(layers),  # DoRA cannot adapt the head
        "learning_rate": random.choice([3e-3, 1e-2, 3e-2]),
    }
    run = out / f"adapter-{number}"
    flags = []
    for name, value in shape.items():
        values = value if isinstance(value, list) else [value]
        flags += [f"--{name}", *map(str, values)]
    sft([*SHORT, "--use_peft", "true", *flags, "--output_dir", str(run)])
    whole, _ = run_export(run, out / f"merged-{number}", "float32")
    half, errors = run_export(run, out / f"half-{number}", "bfloat16")
    good = bool(whole) and bool(half) and not whole["merge"]["other_answers"] and not whole["parity"]["wrong_answers"]
    return {"good": good, "shape": shape, "float32": whole, "bfloat16": half or errors}


def run_export(run: Path, to: Path, dtype: str) -> tuple[dict[str, Any], str]:
    """Run `hrm-align export --json`. Returns its report (empty if the export failed) and its standard error."""
    from hrm_align.recipes.export import main as export

    printed, errors = StringIO(), StringIO()
    words = [
        str(run),
        "--to",
        str(to),
        "--merged",
        "--dtype",
        dtype,
        "--data",
        ROWS,
        "--max_new_tokens",
        "24",
        "--json",
    ]
    with redirect_stdout(printed), redirect_stderr(errors):
        code = run_with_exit_code(export, words)
    return (json.loads(printed.getvalue()) if code == 0 else {}), errors.getvalue()


def push_trial(random: Random, number: int, out: Path) -> dict[str, Any]:
    """Push, kill the push shortly after one of its requests, read the repository, and push again."""
    folder = out / "whole"
    if not folder.exists():
        code = subprocess.run(
            [*COMMAND, "export", resolve("tiny"), "--to", str(folder), "--max_new_tokens", "8"]
        ).returncode
        assert code == 0, "the export of the folder to push failed"
    rename_card(folder, "alice/mine")  # the push renames the card first; `expected` must have the renamed card
    expected = {path.name: path.read_bytes() for path in folder.iterdir()}
    with HubServer(tokens={"hf_good": "alice"}) as hub:
        environment = os.environ | hub.environment(out / f"home-{number}", token="hf_good")
        command = [*COMMAND, "export", str(folder), "--push", "alice/mine"]
        hub.delay(".*", random.choice([0.0, 0.05, 0.2]))  # imitates the delays of a real network
        first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        moment = random.randint(1, REQUESTS)
        while len(hub.received) < moment and first.poll() is None:
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.2))
        first.kill()
        killed = first.wait() == -9
        reached = len(hub.received)
        after_kill = published(hub)
        hub.clear_faults()
        second = subprocess.run(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode
        good = (
            after_kill in ({}, expected)
            and second == 0
            and published(hub) == expected
            and len(hub.repos["alice/mine"].commits) == 2
        )
    return {
        "good": good,
        "killed": killed,
        "requests": reached,
        "whole_at_once": after_kill == expected,
    }


def published(hub: HubServer) -> dict[str, bytes]:
    """Return the files of the repository, without the .gitattributes that the Hub adds."""
    repo = hub.repos.get("alice/mine")
    return {name: data for name, data in (repo.files() if repo else {}).items() if name != ".gitattributes"}


COMMAND = [sys.executable, "-m", "hrm_align.cli"]
TRIALS = {"merges": merge_trial, "pushes": push_trial}


def main(argv: Sequence[str]) -> None:
    """Run the requested parts and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/exports"), help="folder of trials and results")
    parser.add_argument("--only", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--trials", type=int, default=20, help="trials of each part (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    at_least(arguments.trials, 1, "--trials")
    arguments.out.mkdir(parents=True, exist_ok=True)
    wrong, console = 0, Console()
    for part in arguments.only:
        path = arguments.out / f"{part}.jsonl"
        done = len(path.read_text().splitlines()) if path.exists() else 0
        for number in range(done, arguments.trials):
            for leftover in arguments.out.glob(f"*-{number}"):  # folders of an interrupted campaign
                shutil.rmtree(leftover)
            append_json_line(
                path, TRIALS[part](Random(f"{arguments.seed} {part} {number}"), number, arguments.out.resolve())
            )
        results = [json.loads(line) for line in path.read_text().splitlines()]
        good = sum(result["good"] for result in results)
        wrong += len(results) - good
        console.print(
            f"{part}: {good} of {len(results)} trials passed", *summary(part, results), sep="\n  ", highlight=False
        )
    if wrong:
        raise RunError(f"{wrong} trials failed: see the records with `good: false` in {arguments.out}/*.jsonl.")


def summary(part: str, results: list[dict[str, Any]]) -> list[str]:
    """Return the figures of docs/results/exports.md."""
    if part == "pushes":
        early = sum(result["killed"] and not result["whole_at_once"] for result in results)
        reached = sorted(result["requests"] for result in results if result["killed"])
        return [
            f"{early} pushes killed before the commit, at request {reached[0]} to {reached[-1]}"
            if reached
            else "no push was killed"
        ]
    merges = [result["float32"]["merge"]["largest_difference"] for result in results if result["float32"]]
    floors = [result["float32"]["merge"]["floor"] for result in results if result["float32"]]
    halves = [result["bfloat16"]["parity"] for result in results if isinstance(result["bfloat16"], dict)]
    means = [half["rounding"] for half in halves]
    others = sum(half["other_answers"] for half in halves)
    rows = sum(half["rows"] for half in halves)
    return [
        f"float32: merged and unmerged logits differ by at most {max(merges, default=0):.1e} of the largest logit; two "
        f"attention kernels differ by {min(floors, default=0):.1e} to {max(floors, default=0):.1e}",
        f"bfloat16: {len(results) - len(halves)} exports refused; rounding changes log-probabilities by "
        f"{min(means, default=0):.1e} to {max(means, default=0):.1e} nats on average; {others} of {rows} completions differ",
    ]


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
