"""The report of `gpu_report.py`: a table of its items, and a picture of the time of each kind of operation."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from study.tables import table

Record = dict[str, Any]

MACHINE = "machine"
BASELINES = {  # beginning of an item's name: the items with which it is compared
    "SFT, all weights": ("SFT, TRL's strongest", "SFT, TRL's defaults"),
    "rollout of 64": ("rollout of 64, generate", "rollout of 64, generate, static cache"),
    "rollout of 8": ("rollout of 8, generate",),
    "rollout of 1": ("rollout of 1, generate",),
}


def ceiling_rate(record: Record, ceilings: Record) -> float | None:
    """Return the tokens a second at the measured ceilings of this device; None if unknown."""
    if "flops_per_token" in record and "tflops" in ceilings:
        return float(ceilings["tflops"] * 1e12 / record["flops_per_token"])
    if "bytes_per_step" in record and "copied_tb_per_second" in ceilings:
        return float(record["tokens_per_step"] * ceilings["copied_tb_per_second"] * 1e12 / record["bytes_per_step"])
    return None


def ratio(item: str, records: Mapping[str, Record]) -> str:
    """Return the speed relative to the fastest stock figure; an empty string if there is none."""
    names = next((names for start, names in BASELINES.items() if item.startswith(start)), ())
    theirs = [records[name]["tokens_per_second"] for name in names if "tokens_per_second" in records.get(name, {})]
    own = records[item].get("tokens_per_second")
    return f"{own / max(theirs):.2f}" if own and theirs and item not in names else ""


def table_rows(order: Sequence[str], records: Mapping[str, Record]) -> list[list[str]]:
    """Return the rows of the table in order. Items without a result are left out."""
    rows, ceilings = [], records.get("ceilings", {})
    for item in order:
        record = records.get(item)
        if record is None:
            continue
        cells = [item, "", "", "", "", "", "", ""]
        if "tokens_per_second" in record:
            cells[1], cells[2] = f"{record['tokens_per_second']:,.0f}", f"{1000 * record['step_seconds']:,.1f}"
            cells[3] = ratio(item, records)
        if (ideal := ceiling_rate(record, ceilings)) is not None:
            cells[4] = f"{100 * record['tokens_per_second'] / ideal:.0f} %"
        if "peak_gib" in record:
            cells[5] = f"{record['peak_gib']:.1f}"
        if "estimate_gib" in record:
            cells[6] = f"{record['estimate_gib']:.1f}"
        cells[7] = remark(record)
        rows.append(cells)
    return rows


def remark(record: Record) -> str:
    """Return the last cell of a row: a failure, or figures without a column of their own."""
    if "failed" in record:
        return f"**failed**: {record['failed']}" + "".join(f"; `{name}`" for name in record.get("tests", [])[:5])
    if "skipped" in record and "passed" not in record:
        return f"not run: {record['skipped']}"
    if "passed" in record:
        return f"{record['passed']} passed, {record['skipped']} skipped, {record['seconds']:.0f} s"
    if "tflops" in record:
        return f"matrix product {record['tflops']:.3g} TFLOP/s, copy {record['copied_tb_per_second']:.3g} TB/s"
    if "rollout_seconds" in record:
        return (
            f"rollout {record['rollout_seconds']:.1f} s, update {record['update_seconds']:.1f} s, mean completion "
            f"{record['mean_answer']:.0f} tokens"
        )
    if "parts" in record:
        shares = sorted(record["parts"].items(), key=lambda part: -part[1])[:4]
        whole = sum(record["parts"].values())
        return ", ".join(f"{kind} {100 * seconds / whole:.0f} %" for kind, seconds in shares)
    return ""


def write_report(folder: Path, order: Sequence[str], records: Mapping[str, Record]) -> str:
    """Write report.json, report.md and profile.png. Returns the Markdown."""
    here = records[MACHINE]
    versions = ", ".join(f"{name} {number}" for name, number in here["versions"].items())
    memory = f" ({here['memory_gib']} GiB)" if "memory_gib" in here else f", {here['cores']} cores"
    head = ["item", "tokens/s", "ms a step", "speed / stock", "% of ceiling", "peak GiB", "estimated GiB", "notes"]
    done = sum(item in records for item in order)
    lines = [
        f"{here['device']}{memory}; Python {here['python']}, {versions}; shape {here['shape']}, random weights; "
        f"{here['date']}; {done} of {len(order)} items.",
        *table(head, table_rows(order, records)),
        "",
        "A step of a rollout adds one token to every completion. The ceiling of training is the rate of a large matrix product on "
        "this device, applied to the products of a step. The ceiling of a rollout is the rate of a copy, applied to the bytes of "
        "weights and KV cache that a step reads. Stock is TRL's trainer (the faster of its defaults and its fastest settings) and "
        "Transformers' `generate`.",
    ]
    text = "\n".join(lines) + "\n"
    (folder / "report.md").write_text(text, encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(dict(records), indent=1) + "\n", encoding="utf-8")
    parts = {
        item.removeprefix("profile of "): records[item]["parts"] for item in order if "parts" in records.get(item, {})
    }
    if parts:
        try:
            from profile_steps import draw

            draw(parts, folder / "profile.png")
        except ImportError as error:
            print(f"no picture: {error}", file=sys.stderr)
    return text
