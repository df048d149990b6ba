"""Attack the sandbox with many programs, and count escapes, honest programs that fail, spoofs that are rewarded, and leftovers.

    python scripts/sandbox_campaign.py                                    # first backend that passes its self-test: five minutes
    python scripts/sandbox_campaign.py --backend landlock --only hostile

    hostile      programs that try to access files, networks, processes and the kernel, to exceed time and memory, and to break the
                 protocol. `sandbox_cases/watch.py` detects escapes from outside. The same programs in a plain subprocess show
                 how many of them can escape at all
    honest       correct programs: each must return the same as in this process, and quickly
    spoofs       wrong programs that try to be rewarded; a grader that compares inside the program's process shows how many could be
    leftovers    a mixture of all of these, after which no process and no file may be left

Prints the figures of docs/results/sandbox.md. Requirements: 0 escapes, 0 false failures, a median of at most 50 ms, 0 spoofs rewarded,
0 leftovers. Exit code 1 if a requirement is not met.

Requires Linux and root: hostile programs run in separate namespaces (mounts, processes, network, IPC), so that a program that
escapes from the sandbox finds nothing of value.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from rich.console import Console
from rich.table import Table
from sandbox_cases.honest import honest_jobs
from sandbox_cases.hostile import CASES
from sandbox_cases.hostile_part import LIMITS, run_hostile
from sandbox_cases.leftovers import run_mixed
from sandbox_cases.namespaces import in_namespaces
from sandbox_cases.spoofs import run_naively, spoofs
from sandbox_cases.weak import Subprocess

from hrm_align.cli import run_with_exit_code
from hrm_align.commands.common import at_least
from hrm_align.errors import RunError
from hrm_align.rewards.code_rewards import passed
from hrm_align.sandbox import Sandbox

MEDIAN_MS = 50.0
Figures = dict[str, Any]


def hostile_part(args: argparse.Namespace) -> Figures:
    """Run the hostile programs. Requirement: 0 escapes."""
    cases = CASES[:: args.every]
    with Sandbox(LIMITS, args.backend, workers=1) as sandbox:
        result = run_hostile(sandbox, cases)
        replaced = sandbox.replaced
    figures: Figures = {"cases": len(cases), "escapes": len(result.escaped), "ends": dict(result.ends)}
    figures |= {"workers_replaced": replaced, "wrong": [f"{name}: {signs}" for name, signs in result.escaped.items()]}
    broken = result.broken
    if not args.no_weak:
        weak = run_hostile(Subprocess(LIMITS), cases)
        figures |= {"escapes_of_a_plain_subprocess": len(weak.escaped)}
        broken += weak.broken
    figures["wrong"] += [f"the hostile program itself is faulty: {case}" for case in broken]
    return figures


def honest_part(args: argparse.Namespace) -> Figures:
    """Run the honest programs. Requirements: 0 false failures, and a median time of at most `MEDIAN_MS` for a single job."""
    jobs = honest_jobs(max(1, 10 // args.every))
    taken, wrong = [], []
    with Sandbox(backend=args.backend) as sandbox:
        for job, expected in jobs:
            start = time.perf_counter()
            (outcome,) = sandbox.run([job])
            taken.append(1000 * (time.perf_counter() - start))
            if not passed(outcome, json.loads(json.dumps(expected))):
                wrong.append(f"{job.call}: {outcome}")
        start = time.perf_counter()
        outcomes = sandbox.run(job for job, _ in jobs)
        together = 1000 * (time.perf_counter() - start) / len(jobs)
        wrong += [
            f"{job.call}: {o}" for (job, expected), o in zip(jobs, outcomes, strict=True) if not passed(o, expected)
        ]
    median, slow = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
    wrong += [f"the median is {median:.1f} ms, at most {MEDIAN_MS:.0f} ms is allowed"] * (median > MEDIAN_MS)
    figures = {"programs": len(jobs), "false_failures": len(wrong), "median_ms": round(median, 1)}
    return {**figures, "p95_ms": round(slow, 1), "ms_each_when_all_at_once": round(together, 1), "wrong": wrong}


def spoof_part(args: argparse.Namespace) -> Figures:
    """Run the spoofs. Requirement: 0 rewarded."""
    cases = spoofs()[:: args.every]
    with Sandbox(LIMITS, args.backend) as sandbox:
        outcomes = sandbox.run(job for _, job, _ in cases)
    rewarded = []
    for (name, _, expected), outcome in zip(cases, outcomes, strict=True):
        if passed(outcome, expected) is not False:
            rewarded.append(name)
    naive = sum(run_naively(job, expected) for _, job, expected in cases)
    figures: Figures = {"spoofs": len(cases), "rewarded": len(rewarded), "rewarded_by_a_grader_inside": naive}
    return {**figures, "wrong": rewarded}


def leftover_part(args: argparse.Namespace) -> Figures:
    """Run a mixture of all programs. Requirement: 0 processes and files left."""
    return run_mixed(args.backend, args.runs, Random(args.seed))


PARTS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "hostile": hostile_part,
    "honest": honest_part,
    "spoofs": spoof_part,
    "leftovers": leftover_part,
}


def main(argv: Sequence[str]) -> None:
    """Run the campaign. Raises UserError if this user cannot make namespaces, RunError if a requirement is not met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backend", help="sandbox backend (default: the first that passes its self-test)")
    parser.add_argument("--only", choices=PARTS, help="run only this part")
    parser.add_argument("--every", type=int, default=1, help="run only every N-th case")
    parser.add_argument("--runs", type=int, default=10_000, help="runs of the part `leftovers` (default 10000)")
    parser.add_argument("--no_weak", action="store_true", help="do not run hostile programs in a plain subprocess")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    args = parser.parse_args(argv)
    at_least(args.every, 1, "--every")
    at_least(args.runs, 1, "--runs")
    figures = in_namespaces(lambda: run_parts(args))
    _print(figures, args.json)
    if wrong := [f"{name}: {fault}" for name in PARTS if name in figures for fault in figures[name]["wrong"]]:
        raise RunError("\n  ".join(["the sandbox does not meet these requirements:", *wrong]))


def run_parts(args: argparse.Namespace) -> Figures:
    """Run the requested parts and return their figures."""
    with Sandbox(LIMITS, args.backend, workers=1) as sandbox:
        args.backend = sandbox.backend
    figures: Figures = {"backend": args.backend}
    for name in [args.only] if args.only else PARTS:
        start = time.perf_counter()
        figures[name] = PARTS[name](args)
        figures[name]["seconds"] = round(time.perf_counter() - start)
    return figures


def _print(figures: Figures, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    table = Table("part", "figures", title=f"backend {figures['backend']}")
    for name in PARTS:
        if name in figures:
            shown = {key: value for key, value in figures[name].items() if key != "wrong"}
            table.add_row(name, json.dumps(shown).replace('"', "").strip("{}"))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
