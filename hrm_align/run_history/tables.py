"""Tables of runs for the terminal, 80 columns wide if they must be: the list of runs, differences, scores and curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from hrm_align.run_history.comparison import Differences, HeldOut, matching_steps
from hrm_align.run_history.reading import Measure, RunHistory

SIDE_BY_SIDE = 3  # runs whose settings fit beside each other in 80 columns


def _table(*columns: str | Column) -> Table:
    """Return a table without lines, so that more text fits into 80 columns."""
    return Table(*columns, box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")


def list_table(runs: Sequence[RunHistory], sizes: Mapping[Path, int]) -> Table:
    """Return the table of `runs list`, two lines a run; `sizes` are bytes on disk."""
    table = _table(
        Column("run", overflow="fold", min_width=12), "kind", "steps", "state", "last", "held out", "changed", "size"
    )
    for run in runs:
        last, score = run.last(run.main_metric), run.held_out_score()
        table.add_row(
            escape(str(run.folder)),
            f"{run.kind or '?'}\n{run.trained_part or ''}".rstrip(),
            f"{run.step:,}\nof {run.planned:,}" if run.planned else f"{run.step:,}",
            run.state,
            f"{last.name}\n{last.value:.4g}" if last else "",
            _format_score(score) if score else "",
            datetime.fromtimestamp(run.changed).strftime("%Y-%m-%d\n%H:%M"),
            _format_bytes(sizes[run.folder]),
        )
    return table


def _format_score(score: Measure) -> str:
    is_rate = score.name.endswith("_match")
    name = score.name.removeprefix("eval_") if is_rate else score.name
    return f"{name}\n" + (f"{100 * score.value:.1f} %" if is_rate else f"{score.value:.4g}")


def _format_bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def legend_table(letters: str, runs: Sequence[RunHistory]) -> Table:
    """Return a table that names the run behind each letter."""
    table = _table("", Column("run", overflow="fold"), "kind", "state", "steps", "changed")
    for letter, run in zip(letters, runs, strict=True):
        steps = f"{run.step:,} of {run.planned:,}" if run.planned else f"{run.step:,}"
        changed = datetime.fromtimestamp(run.changed).strftime("%Y-%m-%d %H:%M")
        table.add_row(letter, escape(str(run.folder)), f"{run.kind} {run.trained_part}", run.state, steps, changed)
    return table


def difference_table(differences: Differences, letters: str) -> Table:
    """Return a table with a column per run; for many runs, with a line per value and the runs that have it."""
    if len(letters) <= SIDE_BY_SIDE:
        table = _table(Column("name", overflow="fold"), *(Column(letter, overflow="fold") for letter in letters))
        for name, row in differences.items():
            table.add_row(escape(name), *(escape(_format(value)) for value in row))
        return table
    table = _table(Column("name", overflow="fold"), Column("value", overflow="fold"), Column("runs", overflow="fold"))
    for name, row in differences.items():
        texts = [_format(value) for value in row]
        for text in dict.fromkeys(texts):
            owners = "".join(letter for letter, other in zip(letters, texts, strict=True) if other == text)
            table.add_row(escape(name) if text == texts[0] else "", escape(text), owners)
    return table


def _format(value: Any) -> str:
    """Return a setting as a recipe would write it; a data set as its counts, fingerprint and other keys."""
    if isinstance(value, list) and value and all(isinstance(part, Mapping) and "fingerprint" in part for part in value):
        return "; ".join(_format_data(part) for part in value)
    if isinstance(value, float):
        return f"{value:g}"
    return (
        value
        if isinstance(value, str)
        else "-"
        if value is None
        else json.dumps(value, default=str, ensure_ascii=False)
    )


def _format_data(entry: Mapping[str, Any]) -> str:
    rest = [
        f"{key} {_format(value)}" for key, value in entry.items() if key not in ("rows_read", "examples", "fingerprint")
    ]
    counts = f"{entry.get('rows_read', 0):,} rows, {entry.get('examples', 0):,} examples"
    return ", ".join([counts, str(entry["fingerprint"]), *rest])


def score_table(scores: Mapping[str, Sequence[HeldOut]]) -> Table:
    """Return a table of scores, the runs below each other; `scores` has the scores of each run by its letter."""
    table = _table(Column("score", overflow="fold"), "run", "value", "95 % interval", "n", "step")
    for name in dict.fromkeys(score.name for row in scores.values() for score in row):
        label = escape(name)
        for letter, row in scores.items():
            for score in [score for score in row if score.name == name]:
                counts = (f"{score.n:,}" if score.n else "", f"{score.step:,}" if score.step is not None else "")
                table.add_row(label, letter, *_format_interval(score), *counts)
                label = ""
    return table


def _format_interval(score: HeldOut) -> tuple[str, str]:
    factor, digits, unit = (100, ".1f", " %") if score.is_rate else (1, ".4g", "")
    value = f"{factor * score.value:{digits}}{unit}"
    if score.interval is None:
        return value, "-"
    low, high = score.interval
    return value, f"{factor * low:{digits}} to {factor * high:{digits}}"


def curve_tables(points: Mapping[str, Sequence[tuple[int, float]]], width: int) -> list[Table]:
    """Return tables of values by step, with as many runs in each as the width holds."""
    steps, tables = matching_steps(list(points.values())), []
    letters, fit = list(points), max(1, (width - 10) // 11)
    for first in range(0, len(letters), fit):
        part = letters[first : first + fit]
        table = _table(Column("step", min_width=8), *(Column(letter, min_width=9) for letter in part))
        for step in steps:
            values = [dict(points[letter]).get(step) for letter in part]
            table.add_row(f"{step:,}", *("" if value is None else f"{value:.4g}" for value in values))
        tables.append(table)
    return tables
