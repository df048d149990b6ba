"""Export many times, and break what can be broken: adapters of twenty shapes merged, pushes killed at twenty moments.

    python scripts/export_campaign.py --out runs/exports                       # all of it: a quarter of an hour on one core
    python scripts/export_campaign.py --out runs/exports --only pushes

    merges   an adapter of random layers, rank, scale and kind, trained for a few steps; exported merged in float32 and in
             bfloat16: the merge, its greedy answers, and stock Transformers against the run
    pushes   `hrm-align export --push` to a Hub on this machine (tests/export/hub_server.py), killed at a random moment of
             it; nothing half may be there, and the second try must publish the same bytes

Each trial appends to `OUT/PART.jsonl`, so that an interrupted campaign goes on where it stopped. Exits with 1 if one went wrong.
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

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the local Hub of the tests

from rich.console import Console

from hrm_align.cli import exit_code_of
from hrm_align.commands.common import at_least
from hrm_align.errors import RunError
from hrm_align.export.card import rename_card
from hrm_align.models.loading import resolve
from hrm_align.trainers.callbacks import append_json_line
from tests.export.hub_server import HubServer

ROWS = "tests/export/sums.jsonl"
SHORT = ["--model_name_or_path", "tiny", "--datasets", "data/json_extraction/train.jsonl", "--max_steps", "8", "--packing", "true",
         "--max_length", "256", "--per_device_train_batch_size", "2", "--save_strategy", "no", "--disable_tqdm", "true"]  # fmt: skip
REQUESTS = 10  # of such a push, the last of which is the commit
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
    """Train an adapter of a random shape, and export it merged in two precisions."""
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
    words = [
        str(word)
        for name, value in shape.items()
        for word in (f"--{name}", *(value if isinstance(value, list) else [value]))
    ]
    sft([*SHORT, "--use_peft", "true", *words, "--output_dir", str(run)])
    whole, _ = exported(run, out / f"merged-{number}", "float32")
    half, said = exported(run, out / f"half-{number}", "bfloat16")
    good = bool(whole) and bool(half) and not whole["merge"]["other_answers"] and not whole["parity"]["wrong_answers"]
    return {"good": good, "shape": shape, "float32": whole, "bfloat16": half or said}


def exported(run: Path, to: Path, dtype: str) -> tuple[dict[str, Any], str]:
    """What `hrm-align export --json` prints, and what it complains about."""
    from hrm_align.recipes.export import main as export

    printed, said = StringIO(), StringIO()
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
    with redirect_stdout(printed), redirect_stderr(said):
        code = exit_code_of(export, words)
    return (json.loads(printed.getvalue()) if code == 0 else {}), said.getvalue()


def push_trial(random: Random, number: int, out: Path) -> dict[str, Any]:
    """Push, kill it a moment after one of its requests, look, and push again."""
    folder = out / "whole"
    if not folder.exists():
        code = subprocess.run(
            [*COMMAND, "export", resolve("tiny"), "--to", str(folder), "--max_new_tokens", "8"]
        ).returncode
        assert code == 0, "the folder to push cannot be made"
    rename_card(folder, "alice/mine")  # as the push does first: what is expected is read before one
    expected = {path.name: path.read_bytes() for path in folder.iterdir()}
    with HubServer(tokens={"hf_good": "alice"}) as hub:
        environment = os.environ | hub.environment(out / f"home-{number}", token="hf_good")
        command = [*COMMAND, "export", str(folder), "--push", "alice/mine"]
        hub.delay(".*", random.choice([0.0, 0.05, 0.2]))  # a push over a real network takes longer
        first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        moment = random.randint(1, REQUESTS)
        while len(hub.received) < moment and first.poll() is None:
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.2))
        first.kill()
        killed = first.wait() == -9
        reached = len(hub.received)
        left = published(hub)
        hub.mend()
        second = subprocess.run(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode
        good = (
            left in ({}, expected)
            and second == 0
            and published(hub) == expected
            and len(hub.repos["alice/mine"].commits) == 2
        )
    return {
        "good": good,
        "killed": killed,
        "requests": reached,
        "whole_at_once": left == expected,
    }


def published(hub: HubServer) -> dict[str, bytes]:
    """The files of the repository, but for the one that the Hub makes."""
    repo = hub.repos.get("alice/mine")
    return {name: data for name, data in (repo.files() if repo else {}).items() if name != ".gitattributes"}


COMMAND = [sys.executable, "-m", "hrm_align.cli"]
TRIALS = {"merges": merge_trial, "pushes": push_trial}


def main(argv: Sequence[str]) -> None:
    """Run the parts that are asked for, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/exports"), help="folder of trials and results")
    parser.add_argument("--only", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--trials", type=int, default=20, help="of each part (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    at_least(arguments.trials, 1, "--trials")
    arguments.out.mkdir(parents=True, exist_ok=True)
    wrong, console = 0, Console()
    for part in arguments.only:
        path = arguments.out / f"{part}.jsonl"
        done = len(path.read_text().splitlines()) if path.exists() else 0
        for number in range(done, arguments.trials):
            for left in arguments.out.glob(f"*-{number}"):  # of a campaign that was interrupted
                shutil.rmtree(left)
            append_json_line(
                path, TRIALS[part](Random(f"{arguments.seed} {part} {number}"), number, arguments.out.resolve())
            )
        results = [json.loads(line) for line in path.read_text().splitlines()]
        good = sum(result["good"] for result in results)
        wrong += len(results) - good
        console.print(
            f"{part}: {good} of {len(results)} as they should be", *summary(part, results), sep="\n  ", highlight=False
        )
    if wrong:
        raise RunError(f"{wrong} trials went wrong: see {arguments.out}.")


def summary(part: str, results: list[dict[str, Any]]) -> list[str]:
    """The figures of docs/results/exports.md."""
    if part == "pushes":
        early = sum(result["killed"] and not result["whole_at_once"] for result in results)
        reached = sorted(result["requests"] for result in results if result["killed"])
        return [
            f"{early} killed before the commit, at request {reached[0]} to {reached[-1]}"
            if reached
            else "none was killed"
        ]
    merges = [result["float32"]["merge"]["largest_difference"] for result in results if result["float32"]]
    floors = [result["float32"]["merge"]["floor"] for result in results if result["float32"]]
    halves = [result["bfloat16"]["parity"] for result in results if isinstance(result["bfloat16"], dict)]
    means = [half["rounding"] for half in halves]
    others = sum(half["other_answers"] for half in halves)
    rows = sum(half["rows"] for half in halves)
    return [
        f"float32: merged and unmerged logits at most {max(merges, default=0):.1e} of the largest apart, two kernels "
        f"{min(floors, default=0):.1e} to {max(floors, default=0):.1e}",
        f"bfloat16: {len(results) - len(halves)} refused; rounding moves log-probabilities by {min(means, default=0):.1e} to "
        f"{max(means, default=0):.1e} on average, "
        f"{others} of {rows} answers other",
    ]


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
