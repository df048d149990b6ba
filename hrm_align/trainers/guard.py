"""What a run must not unlearn: guard sets scored before it and after it, and a drop said out loud."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel
from rich.table import Column, Table
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.config.arguments import DataArguments
from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import evaluate
from hrm_align.evaluation.report import percent
from hrm_align.trainers.evals import comparable
from hrm_align.run_folder import write_json

logger = logging.getLogger(__name__)


class ForgettingGuard:
    """Scores guard sets by generated exact match, before and after a run.

    Args:
        sets: examples by the name of their set.
        tokenizer: of the model.
        samples: rows of each set that are asked, the same ones both times; 0 for all.
        margin: drop in exact match, from 0 to 1, that is said out loud.
        max_new_tokens: longest answer.
        positions: of the model; longer prompts are left out.
        seed: of the draw.

    Raises:
        UserError: for a set of which no prompt leaves room for an answer.
    """

    def __init__(
        self,
        sets: Mapping[str, Sequence[Example]],
        tokenizer: PreTrainedTokenizerFast,
        *,
        samples: int,
        margin: float,
        max_new_tokens: int,
        positions: int,
        seed: int = 0,
    ):
        self._tokenizer, self._margin, self._limit = tokenizer, margin, max_new_tokens
        self._sets: dict[str, list[Example]] = {}
        for name, examples in sets.items():
            found = comparable(examples, tokenizer, positions - max_new_tokens)
            if not found:
                raise UserError(f"guard_datasets: no prompt of {name} leaves room for {max_new_tokens} new tokens.")
            self._sets[name] = random.Random(seed).sample(found, min(samples or len(found), len(found)))
        self._before: dict[str, dict[str, Any]] = {}

    def _score(self, model: PreTrainedModel) -> dict[str, dict[str, Any]]:
        return {
            name: evaluate(model, self._tokenizer, examples, max_new_tokens=self._limit, share=True).to_dict()
            for name, examples in self._sets.items()
        }

    def before(self, model: PreTrainedModel) -> None:
        """Score the model that the run begins with. A resumed run scores it too, before its checkpoint is loaded."""
        self._before = self._score(model)

    def after(self, model: PreTrainedModel) -> dict[str, Any]:
        """Score the result: the table for run/guard.json, with `dropped`, the sets that fell by more than the margin."""
        after = self._score(model)
        changes = {name: after[name]["exact_match"] - self._before[name]["exact_match"] for name in after}
        return {
            "margin": self._margin,
            "sets": {
                name: {"before": self._before[name], "after": after[name], "change": changes[name]} for name in after
            },
            "dropped": [name for name, change in changes.items() if change < -self._margin],
        }


def guard_of(
    data: DataArguments,
    sets: Mapping[str, Sequence[Example]],
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerFast,
    max_new_tokens: int,
    seed: int,
) -> ForgettingGuard | None:
    """The guard over the sets that a recipe names, or None if it names none.

    Args:
        data: the recipe's keys.
        sets: examples by the name of their set.
        model: that will be trained.
        tokenizer: of the model.
        max_new_tokens: longest answer.
        seed: of the draw.

    Raises:
        UserError: as `ForgettingGuard`.
    """
    if not sets:
        return None
    return ForgettingGuard(
        sets,
        tokenizer,
        samples=data.guard_samples,
        margin=data.guard_margin,
        max_new_tokens=max_new_tokens,
        positions=model.config.max_position_embeddings,
        seed=seed,
    )


def report_guard(report: Mapping[str, Any], run: Path) -> Table:
    """Write `guard.json`, say what has dropped, and give the table to print.

    Args:
        report: of `ForgettingGuard.after`.
        run: folder of the run's records.
    """
    write_json(run / "guard.json", dict(report))
    for name in report["dropped"]:
        change = report["sets"][name]["change"]
        logger.warning(
            "%s has fallen by %.1f points in this run, more than the margin of %.1f: it is being forgotten. Mix rows like "
            "it in (replay_datasets, replay_fraction), or train less: a lower rate, a smaller adapter, fewer steps.",
            name, -100 * change, 100 * report["margin"],
        )  # fmt: skip
    names = Column("guard set", overflow="fold")  # paths: cut, they would all look alike
    table = Table(names, "before", "after", "change", title="what the base knew", title_justify="left")
    for name, scores in report["sets"].items():
        change = f"{100 * scores['change']:+.1f}"
        style = "red" if name in report["dropped"] else None
        table.add_row(name, percent(scores["before"]), percent(scores["after"]), change, style=style)
        groups = scores["after"]["groups"]
        for group in groups if len(groups) > 1 else ():
            old, new = scores["before"]["groups"][group], groups[group]
            difference = f"{100 * (new['exact_match'] - old['exact_match']):+.1f}"
            table.add_row(f"  {group}", percent(old), percent(new), difference, style="dim")
    return table
