"""Run every command on a checkpoint in the published shape; measure time and memory, and check the results.

    python scripts/campaigns/real_shape.py --out runs/real-shape                       # random weights: an hour, 16 GB
    python scripts/campaigns/real_shape.py --out runs/real-shape --checkpoint DIR      # on your own checkpoint
    python scripts/campaigns/real_shape.py --out runs/small --shape small              # minutes: a test of this script

The steps are: checkpoint, doctor, inspect, generate, fine-tuning with an adapter and of all weights, resuming, a kill during a
save, merge, export and reinforcement learning. Each step runs the command line in a fresh process on a few short rows that this
script writes, and appends one line to `--state` (OUT/state.jsonl). An interrupted campaign continues with the first missing step
and runs failed steps again. Prints a Markdown table. Exit code 1 if a step failed or exceeded its memory limit.

Requires Linux. Set OMP_NUM_THREADS to the number of threads. The outputs take up to 30 GB of disk: delete them afterwards.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shape_campaign import GB, IMPORTS, Campaign, Step, StepError
from shape_steps import STEPS, write_rows

BAD = {"failed", "wrong"}  # keys of the record of a failed step, which is run again


def read_state(path: Path) -> dict[str, dict[str, Any]]:
    """Return the last record of each step. A line that a kill has truncated is skipped."""
    records: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        records[record.pop("step")] = record
    return records


def verdict(step: Step, record: dict[str, Any]) -> str:
    """Return whether a step succeeded and stayed below its memory limit."""
    for kind in BAD:
        if kind in record:
            return f"**{kind}**: {record[kind]}"
    if "peak" not in record:
        return str(record["note"])
    if step.bar is None:
        return "passed"
    largest = max(record["peak"], record["child_peak"])
    label = "passed" if largest < step.bar else "**exceeded**"
    return f"{label}: {largest / GB:.2f} GB, limit {step.bar / GB:.0f}"


def table(steps: Sequence[Step], records: dict[str, dict[str, Any]]) -> str:
    """Return the Markdown table. A peak belongs to the command's own process, in GB (10^9 bytes), also minus the imports."""
    head = ("step", "wall s", "CPU s", "peak GB", "minus imports", "estimate GB", "peak / estimate", "verdict", "notes")
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    baseline = records.get(IMPORTS, {}).get("peak", 0)
    for step in steps:
        record = records.get(step.name)
        if record is None:
            continue
        cells = [step.name, "", "", "", "", "", "", verdict(step, record), ""]
        estimate = record.get("estimate")
        if estimate:
            cells[5] = f"{estimate / GB:.2f}"
        if "peak" in record:
            above = record["peak"] - baseline
            cells[1:5] = (
                f"{record['seconds']:.0f}",
                f"{record['cpu_seconds']:.0f}",
                f"{record['peak'] / GB:.2f}",
                f"{above / GB:.2f}",
            )
            cells[6] = f"{above / estimate:.2f}" if estimate else ""
            cells[8] = record["note"]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def main(argv: Sequence[str]) -> int:
    """Run the steps without a good record and print the table. Returns 1 if a step failed or exceeded its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of all outputs")
    parser.add_argument("--state", type=Path, help="JSONL file of the results (default OUT/state.jsonl)")
    parser.add_argument("--checkpoint", type=Path, help="checkpoint to run on; is not changed")
    parser.add_argument(
        "--shape", choices=("published", "small"), default="published", help="shape of the random checkpoint"
    )
    parser.add_argument(
        "--memory", type=float, default=16, help="available memory in GB; steps that need more are not run (default 16)"
    )
    parser.add_argument("--length", type=int, default=96, help="tokens of a packed row (default 96)")
    parser.add_argument("--answer", type=int, default=16, help="longest answer, in tokens (default 16)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only steps with one of these words in their names")
    arguments = parser.parse_args(argv)
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    given = arguments.checkpoint
    if given is not None and not given.is_dir():
        parser.error(
            f"--checkpoint {given} is not a folder. Give a checkpoint's folder, or omit it for random weights."
        )
    state = arguments.state or out / "state.jsonl"
    campaign = Campaign(
        out,
        state,
        (given or out / "checkpoint").resolve(),
        None if given else arguments.shape,
        int(arguments.memory * GB),
        arguments.length,
        arguments.answer,
        read_state(state),
    )
    write_rows(out)
    chosen = [step for step in STEPS if not arguments.only or any(word in step.name for word in arguments.only)]
    for step in chosen:
        if step.name in campaign.records and not BAD & campaign.records[step.name].keys():
            continue
        print(f"{step.name} ...", file=sys.stderr, flush=True)
        try:
            record = step.work(campaign)
        except (StepError, OSError, ValueError, KeyError) as error:
            record = {"failed": f"{error}" if isinstance(error, StepError) else repr(error)}
        campaign.record(step.name, record)
        print(f"{step.name}: {verdict(step, record)}", file=sys.stderr, flush=True)
    print(table(STEPS, campaign.records))
    verdicts = [verdict(step, campaign.records[step.name]) for step in chosen]
    return int(any(text.startswith("**") for text in verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
