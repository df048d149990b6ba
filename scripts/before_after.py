"""Show scores before and after training: the table and the picture of `make demo`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from hrm_align.evaluation.scores import get_score, percent

# The two colours differ in lightness, so the picture is readable without colour vision.
BEFORE, AFTER = "#b8c4d0", "#1f5fa8"


class BeforeAfter(NamedTuple):
    """The scores of one task before and after training, each in the form of `Score.to_dict`."""

    name: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def before_after_table(rows: Sequence[BeforeAfter], title: str) -> Table:
    """Return a table of held-out scores with 95 % intervals. The last row, the total, is bold."""
    table = Table("task", "before", "after", "n", title=title, title_justify="left")
    for index, (name, before, after) in enumerate(rows):
        last = index == len(rows) - 1
        table.add_row(name, percent(before), percent(after), str(after["n"]), style="bold" if last else None)
    return table


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the records of a `metrics.jsonl`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def find_learned(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return a row that training taught: the first that was answered wrongly before, and correctly after.

    Args:
        before: samples of an `Evaluation` of the base.
        after: samples of the trained model, for the same rows.

    Returns:
        The row's `prompt` and `expected`, and the answers of the `base` and of the `trained` model; None if there is no such row.
    """
    pairs = [(old, new) for old, new in zip(before, after, strict=True) if new["correct"] and not old["correct"]]
    if not pairs:
        return None
    old, new = next((pair for pair in pairs if pair[0]["generated"].strip()), pairs[0])  # an empty answer shows little
    return {"prompt": new["prompt"], "expected": new["expected"], "base": old["generated"], "trained": new["generated"]}


def draw_before_after(
    rows: Sequence[BeforeAfter],
    fine_tuning: Sequence[Mapping[str, Any]],
    reinforcement: Sequence[Mapping[str, Any]],
    path: Path,
) -> None:
    """Save a picture: scores with their intervals, the loss of the fine-tuning, the reward of the reinforcement learning.

    Args:
        rows: scores; each row becomes one pair of bars.
        fine_tuning: records of the fine-tuning's metrics.jsonl.
        reinforcement: records of the reinforcement learning's metrics.jsonl.
        path: the file to write, .png or .svg.
    """
    from matplotlib.figure import Figure  # not pyplot, which needs a display and keeps every figure

    figure = Figure(figsize=(13, 3.8), layout="constrained")
    scores, losses, rewards = figure.subplots(1, 3, width_ratios=(3, 2, 2))
    _draw_scores(scores, rows)
    for key, colour, label in (("loss", AFTER, "training"), ("eval_loss", "#444444", "held out")):
        _draw_curve(losses, fine_tuning, key, color=colour, label=label, marker="o" if key == "eval_loss" else None)
    losses.set(xlabel="step", ylabel="loss, nats per token", title="fine-tuning", yscale="log")
    losses.legend(frameon=False)
    _draw_curve(rewards, reinforcement, "reward", color=AFTER, marker="o")
    rewards.set(xlabel="step", ylabel="mean reward", title="reinforcement learning", ylim=(0, 1.05))
    for axis in (scores, losses, rewards):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _draw_scores(axis: Any, rows: Sequence[BeforeAfter]) -> None:
    """Draw a pair of bars per task, with intervals and values."""
    sides = (
        ("before", -0.19, BEFORE, [row.before for row in rows]),
        ("after", 0.19, AFTER, [row.after for row in rows]),
    )
    for label, offset, colour, results in sides:
        values = [100 * get_score(result) for result in results]
        errors = [
            [value - 100 * result["interval"][0] for value, result in zip(values, results, strict=True)],
            [100 * result["interval"][1] - value for value, result in zip(values, results, strict=True)],
        ]
        places = [index + offset for index in range(len(rows))]
        axis.bar(places, values, width=0.36, color=colour, label=label, yerr=errors, capsize=3, ecolor="#444444")
        for place, value, result in zip(places, values, results, strict=True):
            axis.text(place, 100 * result["interval"][1] + 1.5, f"{value:.1f}", ha="center", fontsize=9)
    axis.set_xticks(range(len(rows)), [row.name.replace(" (", "\n(") for row in rows])  # one line would leave the panel
    axis.set(ylim=(0, 122), yticks=range(0, 101, 20), ylabel="score, %", title="held-out scores, 95 % intervals")
    axis.legend(frameon=False, loc="upper left", ncols=2)


def _draw_curve(axis: Any, metrics: Sequence[Mapping[str, Any]], key: str, **style: Any) -> None:
    """Draw a metric over the steps at which it was logged."""
    points = [(record["step"], float(record[key])) for record in metrics if key in record]
    axis.plot([step for step, _ in points], [value for _, value in points], **style)
