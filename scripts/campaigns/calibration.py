"""Measure the calibration of the demo's model and of the tiny base, and self-consistency against greedy answers.

    OMP_NUM_THREADS=1 python scripts/campaigns/calibration.py --demo runs/demo/export --out runs/calibration  # 10 CPU minutes, one thread
    OMP_NUM_THREADS=1 python scripts/campaigns/calibration.py --coverage                                      # 2 CPU minutes

Each score is a command `hrm-align evaluate`, which is printed; what is in OUT is not scored again. Prints the tables of
docs/results/calibration.md. With --coverage instead: how often the 95 % intervals of the expected calibration error cover the true
one, on drawn confidences whose error is known.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from study.tables import difference, table  # noqa: E402

from hrm_align.evaluation import calibration  # noqa: E402
from hrm_align.evaluation.calibration import Array, Calibration, calibration_error  # noqa: E402
from hrm_align.evaluation.scores import percent  # noqa: E402

DEMO = "demo"  # stands for the folder of --demo
# Name, model, and options of the rows and their grader.
TASKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "demo, chat": (DEMO, ("--data", "data/chat/test.jsonl")),
    "demo, JSON extraction": (DEMO, ("--data", "data/json_extraction/test.jsonl", "--match", "json")),
    "tiny base, base families": ("tiny", ("--data", "data/base_families/test.jsonl")),
    "tiny base, word problems": ("tiny", ("--data", "data/word_problems/test.jsonl", "--match", "answer")),
}
GREEDY, VOTE, COOLER = "greedy", "vote of 8", "vote of 8 at temperature 0.5"
WAYS = {GREEDY: (), VOTE: ("--vote",), COOLER: ("--vote", "--temperature", "0.5")}
SHOWN = (0.2, 0.4, 0.6, 0.8, 1.0)  # coverages


def score(task: str, way: str, demo: str, out: Path) -> tuple[dict[str, Any], list[float]]:
    """Return the report of a command, and the value of each answer."""
    model, options = TASKS[task]
    name = f"{task} {way}".replace(",", "").replace(" ", "-")
    save, report = out / f"{name}.jsonl", out / f"{name}.json"
    words = ["evaluate", "--model", demo if model == DEMO else model, *options, "--calibration", "--n", "8", *WAYS[way]]
    print("hrm-align", shlex.join(words), file=sys.stderr)
    if not report.exists():
        save.unlink(missing_ok=True)  # of an interrupted command
        command = [sys.executable, "-m", "hrm_align.cli", *words, "--save", str(save), "--json"]
        result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        report.write_text(result.stdout)
    answers = [json.loads(line) for line in save.read_text().splitlines()]
    return json.loads(report.read_text()), [answer["value"] for answer in answers]


def estimate_cell(estimate: dict[str, Any]) -> str:
    """Return a value with its interval."""
    return "{:.3f} ({:.3f} to {:.3f})".format(estimate["value"], *estimate["interval"])


def calibration_row(name: str, kind: str, one: dict[str, Any]) -> list[str]:
    """Return the cells of a confidence: mean, ECE, chance, Brier score, AUROC and AURC."""
    chance = one["ece_by_chance"]
    cells = [estimate_cell(one[measure]) for measure in ("ece", "brier", "auroc", "aurc")]
    by_chance = f"{chance['mean']:.3f}, {chance['percentile_95']:.3f}"
    return [name, kind, f"{one['confidence']:.3f}", cells[0], by_chance, *cells[1:]]


def print_scores(demo: str, out: Path) -> None:
    """Score everything, and print the tables."""
    out.mkdir(parents=True, exist_ok=True)
    calibrations, curves, votes = [], [], []
    for task in TASKS:
        greedy, before = score(task, GREEDY, demo, out)
        for kind, one in greedy["calibration"].items():
            calibrations.append(calibration_row(task, kind, one))
            risks = {round(point["coverage"], 2): point["risk"] for point in one["risk_coverage"]}
            curves.append([task, kind, *(f"{100 * risks[coverage]:.1f}" for coverage in SHOWN)])
        for way in (VOTE, COOLER):
            report, after = score(task, way, demo, out)
            calibrations.append(calibration_row(task, f"agreement, {way}", report["calibration"]["agreement"]))
            mean, low, high = difference(before, after)
            votes.append([task, percent(greedy), way, percent(report), f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"])
    show(
        table(
            ["model and rows", "confidence", "mean", "ECE", "by chance: mean, 95 %", "Brier", "AUROC", "AURC"],
            calibrations,
        )
    )
    show(table(["model and rows", "confidence", *(f"{100 * coverage:.0f} %" for coverage in SHOWN)], curves))
    show(table(["model and rows", "greedy", "way", "score", "points from greedy"], votes))


def show(lines: Sequence[str]) -> None:
    """Print lines."""
    print(*lines, sep="\n")


# How likely an answer of a confidence is correct.
CURVES: dict[str, Callable[[Array], Array]] = {
    "calibrated": lambda confidence: confidence,
    "0.02 too high": lambda confidence: np.clip(confidence - 0.02, 0, 1),
    "0.05 too high": lambda confidence: np.clip(confidence - 0.05, 0, 1),
    "0.15 too high": lambda confidence: np.clip(confidence - 0.15, 0, 1),
    "half the distance from 0.5": lambda confidence: 0.5 + 0.5 * (confidence - 0.5),
}


def print_coverage(n: int = 300, draws: int = 200, resamples: int = 200) -> None:
    """Print how often the intervals cover the true calibration error: those of reports, and plain percentiles."""
    rng, rows = np.random.default_rng(0), []
    calibration.RESAMPLES = resamples
    for name, curve in CURVES.items():
        many = rng.beta(2, 1, 1_000_000)
        truth = float(np.abs(many - curve(many)).mean())
        estimates, covered, by_percentiles, below = [], 0, 0, 0
        for seed in range(draws):
            confidences = rng.beta(2, 1, n)
            correct = rng.random(n) < curve(confidences)
            one = Calibration.of(confidences.tolist(), correct.tolist(), seed=seed)
            estimates.append(one.ece.value)
            covered += one.ece.low <= truth <= one.ece.high
            below += one.ece.value <= one.ece_by_chance[1]
            picks = rng.integers(n, size=(resamples, n))
            resampled = [calibration_error(confidences[pick], correct[pick].astype(float)) for pick in picks]
            low, high = np.percentile(resampled, (2.5, 97.5))
            by_percentiles += low <= truth <= high
        shares = [f"{100 * count / draws:.0f} %" for count in (covered, by_percentiles, below)]
        rows.append([name, f"{truth:.3f}", f"{np.mean(estimates):.3f}", *shares])
    head = [
        "confidences",
        "true ECE",
        "mean estimate",
        "interval covers",
        "percentiles cover",
        "estimate below the 95th percentile of chance",
    ]
    show(table(head, rows))


def main(argv: Sequence[str]) -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", default="runs/demo/export", help="the export of `make demo`")
    parser.add_argument("--out", type=Path, default=Path("runs/calibration"), help="folder of the answers and reports")
    parser.add_argument("--coverage", action="store_true", help="print the coverage of the intervals instead")
    arguments = parser.parse_args(argv)
    if arguments.coverage:
        print_coverage()
    else:
        print_scores(arguments.demo, arguments.out)


if __name__ == "__main__":
    main(sys.argv[1:])
