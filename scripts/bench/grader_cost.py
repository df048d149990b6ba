"""Processor and wall-clock time of grading 64 answers, in two source trees that take turns.

    python scripts/bench/grader_cost.py NEW_TREE OLD_TREE --pairs 9

The answers are 16 each of math, code (in the sandbox), json and sql: a right and a wrong answer to each of eight rows that this
script makes. A turn is a process that imports one of the trees, starts a `RewardSuite` with one worker for each grader, and grades
the answers once, so that no cache holds them. Counted are the user and system time of all processes of the turn, also of workers
and programs, and the wall-clock time: of the whole turn with all starts, and of the grading alone. The trees alternate, and each
pair gives one ratio. Prints medians with ranges.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROWS = 8  # of each grader, each with a right and a wrong answer
MEASURES = ("total CPU", "total wall", "grading CPU", "grading wall")
FORMULAS = (r"\frac{%d}{7}", "%d", r"%d\sqrt{3}", "x^2 + %dx", r"(%d, 5)", r"\{1, %d\}", "%d%%", r"%d \text{ cm}")


def build_answers(folder: Path) -> dict[str, list[tuple[str, str, dict[str, object]]]]:
    """Return for each grader its answers: completion, reference, and the `grading` column."""
    (folder / "t.sql").write_text(
        "CREATE TABLE t (a INTEGER, b TEXT);" + "".join(f"INSERT INTO t VALUES ({n}, 'n{n % 7}');" for n in range(200))
    )
    answers: dict[str, list[tuple[str, str, dict[str, object]]]] = {
        name: [] for name in ("math", "code", "json", "sql")
    }
    for number in range(ROWS):
        gold = FORMULAS[number] % (number + 2)
        wrong = FORMULAS[number] % (number + 13)
        answers["math"] += [(rf"So \boxed{{ {text} }}", rf"\boxed{{{gold}}}", {}) for text in (gold, wrong)]
        program = "def f(a, b):\n    total = 0\n    for i in range(a):\n        total += i * b\n    return total + {}\n"
        tests = [[[a, 3], sum(i * 3 for i in range(a)) + number] for a in (1, 5, 40, 200)]
        grading: dict[str, object] = {"call": "f", "tests": tests}
        answers["code"] += [(program.format(n), program.format(number), grading) for n in (number, number + 1)]
        value = {"name": f"n{number}", "items": list(range(number + 3)), "more": {"x": number / 2}}
        answers["json"] += [
            (f"Here:\n```json\n{json.dumps(given)}\n```", json.dumps(value), {})
            for given in (value, {**value, "name": "m"})
        ]
        query = f"SELECT b, COUNT(*) FROM t WHERE a > {number * 20} GROUP BY b ORDER BY b"
        answers["sql"] += [
            (text, query, {"database": "t.sql"}) for text in (f"```sql\n{query}\n```", query.replace(">", "<"))
        ]
    return answers


def processor_seconds() -> float:
    """Return the user and system time of this process and of all its ended children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def live_seconds() -> float:
    """Return the user and system time of this process and of its descendants, those that run and those that ended."""
    import psutil

    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


def take_turn(folder: Path) -> dict[str, float]:
    """Grade the answers with the package that `sys.path` finds. Returns seconds by measure, and the number of rewarded answers."""
    started, wall = processor_seconds(), time.perf_counter()
    from hrm_align.data.examples import Example
    from hrm_align.rendering import Message
    from hrm_align.rewards.suite import RewardSpec, RewardSuite

    batches = {}
    for name, answers in build_answers(folder).items():
        sources = [f"{folder}/rows.jsonl:{number}" for number in range(1, len(answers) + 1)]
        rows = [
            Example((Message("user", "?"),), Message("assistant", reference), "direct", source, None, grading)
            for source, (_, reference, grading) in zip(sources, answers, strict=True)
        ]
        batches[name] = ([completion for completion, _, _ in answers], rows)
    suites = {name: RewardSuite([RewardSpec(name)], workers=1, deadline=60.0) for name in batches}
    values: list[float | None] = []
    before, begun = live_seconds(), time.perf_counter()
    for name, suite in suites.items():
        values += suite.score(*batches[name]).values[name]
    grading_cpu, grading_wall = live_seconds() - before, time.perf_counter() - begun
    for suite in suites.values():
        suite.close()
    seconds = (processor_seconds() - started, time.perf_counter() - wall, grading_cpu, grading_wall)
    return {**dict(zip(MEASURES, seconds, strict=True)), "rewarded": sum(value == 1 for value in values)}


def run_turn(tree: Path, folder: Path) -> dict[str, float]:
    """Run one turn in a process that imports the package of a source tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), "--turn", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tree)
    if done.returncode:
        raise SystemExit(f"the turn of {tree} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(argv: Sequence[str]) -> None:
    """Compare two source trees, or take one turn of the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "trees", nargs="*", type=Path, metavar="TREE", help="source trees: the new one, then the old one"
    )
    parser.add_argument("--pairs", type=int, default=9, help="turns of each tree")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--turn", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.turn is not None:
        print(json.dumps(take_turn(arguments.turn)))
        return
    if len(arguments.trees) != 2 or not all((tree / "hrm_align").is_dir() for tree in arguments.trees):
        parser.error("name two source trees, each with a folder hrm_align: the new one, then the old one")
    new, old = [tree.resolve() for tree in arguments.trees]
    turns: dict[Path, list[dict[str, float]]] = {new: [], old: []}
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(arguments.pairs):
            for tree in (new, old) if pair % 2 else (old, new):
                turns[tree].append(run_turn(tree, Path(folder)))
    ratios: dict[str, list[float]] = {}
    lines = []
    for measure in MEASURES:
        ratios[measure] = [a[measure] / b[measure] for a, b in zip(turns[new], turns[old], strict=True)]
        medians = [statistics.median(turn[measure] for turn in turns[tree]) for tree in (new, old)]
        spread = f"{statistics.median(ratios[measure]):.2f} ({min(ratios[measure]):.2f} to {max(ratios[measure]):.2f})"
        lines.append(f"| {measure} | {medians[0]:.2f} | {medians[1]:.2f} | {spread} |")
    if arguments.json:
        by_name = {"new": turns[new], "old": turns[old]}
        print(json.dumps({"pairs": arguments.pairs, "turns": by_name, "ratios": ratios}))
        return
    print(
        f"64 answers, {arguments.pairs} pairs; rewarded: {turns[new][0]['rewarded']:g} and {turns[old][0]['rewarded']:g}"
    )
    print("| seconds of a turn | new | old | new / old: median (range) |\n| --- | --- | --- | --- |")
    print(*lines, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
