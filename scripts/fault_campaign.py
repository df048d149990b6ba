"""Inject faults into many training runs, and count the detected faults, the lost steps and the recovered runs.

    python scripts/fault_campaign.py --out runs/faults                              # all of it: half an hour on one core
    python scripts/fault_campaign.py --out runs/faults --only kills --kills 20

    kills        SIGKILL at a random moment, in every second run while the run saves a checkpoint; the same command with
                 `--resume_from_checkpoint auto`, which may be killed again, finishes the run
    corruption   a file of the newest checkpoint is deleted, cut, bit-flipped, zeroed, or replaced by that of an older checkpoint
    nan          a NaN or infinity in the loss, a gradient or the weights of a random step
    disk         a disk that is too small, or that another program fills while a checkpoint is written

Every run is the SFT recipe on the tiny base: 30 steps with a horizon warm-up and a weight average. A run must end with exactly the
weights, averages and log records of the uninterrupted run. Each trial has its own random generator and appends its result to
`OUT/PART.jsonl`, so an interrupted campaign continues with the first missing trial. Prints the figures of docs/results/faults.md,
writes them to `OUT/summary.json`, and exits with 1 if a trial failed.

Requires Linux. Part `disk` requires root, because each trial mounts its disk in a private mount namespace.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from faults.corruption import corruption_trial
from faults.disks import disk_trial
from faults.kills import kill_trial
from faults.poison import nan_trial
from faults.runs import Result, make_reference
from rich.console import Console
from rich.table import Table

from hrm_align.cli import run_with_exit_code
from hrm_align.commands.common import at_least
from hrm_align.errors import RunError
from hrm_align.run_folder import write_json
from hrm_align.trainers.callbacks import append_json_line

TRIALS = {"kills": kill_trial, "corruption": corruption_trial, "nan": nan_trial, "disk": disk_trial}


def run_part(name: str, trials: int, seed: int, out: Path, console: Console) -> None:
    """Run those trials of a part that have no result yet."""
    path = out / f"{name}.jsonl"
    done = len(path.read_text().splitlines()) if path.exists() else 0
    if done >= trials:
        return
    whole = make_reference(out / "work")
    for index in range(done, trials):
        for leftover in (out / "work").glob(f"{name}-{index}*"):  # files of an interrupted campaign
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        start = time.perf_counter()
        result = TRIALS[name](Random(f"{seed} {name} {index}"), index, whole)
        append_json_line(path, {"trial": index, "seconds": round(time.perf_counter() - start, 1), **result})
        if result["wrong"]:
            console.print(f"{name} {index}: {result['wrong']}", style="red", markup=False)
        else:
            shutil.rmtree(out / "work" / f"{name}-{index}", ignore_errors=True)
        if (index + 1) % 10 == 0:
            console.print(f"{name}: {index + 1} of {trials}", style="dim")


def summarise(name: str, results: Sequence[Result]) -> Result:
    """Return the figures of a part."""
    wrong = sum(bool(result["wrong"]) for result in results)
    figures: Result = {"trials": len(results), "wrong": wrong, "seconds": round(sum(r["seconds"] for r in results))}
    if name == "kills":
        figures["kills"] = Counter(kill for result in results for kill in result["kills"])
        figures["before_the_first_checkpoint"] = sum(result["before_the_first_checkpoint"] for result in results)
        lost = [steps / result["save_steps"] for result in results for steps in result["lost"]]
        figures["most_lost_in_save_intervals"] = max(lost, default=0.0)  # failed trials are not counted here
    if name == "corruption":
        figures["damage"] = Counter(done.split()[0] for result in results for done in result["damage"])
    if name == "nan":
        figures["kinds"] = Counter(result["kind"] for result in results)
    if name in ("corruption", "nan"):
        figures["resumed"] = sum(result["resumed"] for result in results)
    if name == "disk":
        figures["ways"] = Counter("filled" if result["eaten_at"] else "too small" for result in results)
        figures["without_a_checkpoint"] = sum(not result["saved"] for result in results if "saved" in result)
    return figures


def main(argv: Sequence[str]) -> None:
    """Run the campaign. Raises UserError for a negative number of trials, RunError if a trial failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of results and work files")
    parser.add_argument("--only", choices=TRIALS, help="run only this part")
    parser.add_argument("--seed", type=int, default=0)
    for name, trials in {"kills": 200, "corruption": 200, "nan": 20, "disk": 20}.items():
        parser.add_argument(f"--{name}", type=int, default=trials, help=f"number of trials (default {trials})")
    args = parser.parse_args(argv)
    for name in TRIALS:
        at_least(getattr(args, name), 0, f"--{name}")
    args.out.mkdir(parents=True, exist_ok=True)
    console, summary = Console(), {}
    for name in [args.only] if args.only else TRIALS:
        run_part(name, getattr(args, name), args.seed, args.out, console)
    table = Table("part", "trials", "failed", "seconds", "figures")
    for name in TRIALS:
        if (path := args.out / f"{name}.jsonl").exists():
            figures = summary[name] = summarise(name, [json.loads(line) for line in path.read_text().splitlines()])
            rest = {key: value for key, value in figures.items() if key not in ("trials", "wrong", "seconds")}
            numbers = (str(figures[key]) for key in ("trials", "wrong", "seconds"))
            table.add_row(name, *numbers, json.dumps(rest).replace('"', "").strip("{}"))
    write_json(args.out / "summary.json", summary)
    console.print(table)
    if any(figures["wrong"] for figures in summary.values()):
        raise RunError(f"some trials failed: see `wrong` in {args.out}/*.jsonl.")


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
