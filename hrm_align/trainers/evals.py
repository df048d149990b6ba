"""Generated evaluations of a run: graded held-out answers (SFT), greedy answers graded by the rewards (GRPO), guard sets.

Guard sets hold what a run must not unlearn: they are scored before it and after it, and a drop is reported as a warning.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from peft import PeftModel
from rich.table import Column, Table
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.config.arguments import DataArguments
from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import evaluate, last_turns, percent
from hrm_align.evaluation.grading import score_all
from hrm_align.rendering import renderer_of
from hrm_align.rewards.base import check_match, metric_name
from hrm_align.rewards.suite import RewardSuite
from hrm_align.rollouts.local import generate, share_out
from hrm_align.run_folder import write_json
from hrm_align.trainers.callbacks import append_json_line
from hrm_align.trainers.grpo import GreedyEval
from hrm_align.trainers.grpo_config import GRPOArguments
from hrm_align.trainers.sft import GenerationEval
from hrm_align.trainers.sft_config import SFTArguments

logger = logging.getLogger(__name__)


def generation_eval_of(
    args: SFTArguments, room: int, tokenizer: PreTrainedTokenizerFast, held_out: Sequence[Example]
) -> GenerationEval | None:
    """What scores generated answers, as a recipe asks; None if it asks for none.

    Args:
        args: the recipe's keys.
        room: positions of the model.
        tokenizer: of the model.
        held_out: what to draw the sample from.

    Raises:
        UserError: if no prompt leaves room for an answer, or a row cannot be graded.
    """
    if not args.generation_eval_samples:
        return None
    questions = comparable(held_out, tokenizer, room - args.max_new_tokens)
    if not questions:
        raise UserError(
            f"no held-out prompt leaves room for --max_new_tokens {args.max_new_tokens} within the model's {room} tokens: "
            "lower it, or set --generation_eval_samples 0."
        )
    wanted = min(args.generation_eval_samples, len(questions))
    sample = random.Random(args.seed).sample(questions, wanted)

    def score(model: PreTrainedModel) -> dict[str, float]:
        match, limit = args.generation_eval_match, args.max_new_tokens
        shown = args.log_samples > 0
        result = evaluate(model, tokenizer, sample, max_new_tokens=limit, match=match, share=True, extract=shown)
        if PartialState().is_main_process:
            for line in result.samples[: args.log_samples]:
                append_json_line(Path(str(args.output_dir)) / "samples.jsonl", line)
        return {metric_name(match): result.score.rate, "unfinished": result.unfinished / wanted}

    return score


def comparable(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, longest: int) -> list[Example]:
    """Those of `answerable` that have an answer to compare with."""
    return [example for example in answerable(examples, tokenizer, longest) if example.reference.strip()]


def answerable(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, longest: int) -> list[Example]:
    """The last turn of each row whose prompt has at most so many tokens."""
    prompt = renderer_of(tokenizer).prompt
    return [e for e in last_turns(examples) if len(prompt(e.messages, e.condition)) <= longest]


def greedy_eval_of(
    args: GRPOArguments,
    room: int,
    tokenizer: PreTrainedTokenizerFast,
    held_out: Sequence[Example],
    suite: RewardSuite,
) -> GreedyEval | None:
    """What scores greedy answers, as a recipe asks; None if it asks for none.

    Args:
        args: the recipe's keys.
        room: longest prompt, in tokens: positions of the model, less those of an answer.
        tokenizer: of the model.
        held_out: what to draw the sample from.
        suite: the rewards.

    Raises:
        UserError: if no prompt leaves room for an answer.
    """
    if not args.generation_eval_samples:
        return None
    limit, renderer = int(args.max_completion_length or 0), renderer_of(tokenizer)
    questions = answerable(held_out, tokenizer, room)
    if not questions:
        raise UserError(f"no held-out prompt leaves room for --max_completion_length {limit}: lower it.")
    chosen = random.Random(args.seed).sample(questions, min(args.generation_eval_samples, len(questions)))

    def score(model: PreTrainedModel) -> dict[str, float]:
        def answer_and_grade(part: Sequence[Example]) -> list[dict[str, float | None]]:
            prompts = [renderer.prompt(example.messages, example.condition) for example in part]
            answers = generate(model, prompts, max_new_tokens=limit, batch_size=128)
            scores = score_all(suite, [renderer.decode_response(ids) for ids in answers], part)
            if skipped := sum(fault.kind == "skipped" for fault in scores.faults):
                logger.warning(
                    "%d of %d values of the rewards are missing from this evaluation, because their workers cannot be started: "
                    "look at the memory of the machine and at the reward's file.", skipped, len(part) * len(suite.names),
                )  # fmt: skip
            columns: dict[str, Sequence[float | None]] = {
                "reward": scores.totals(suite.weights),
                "truncated": [float(renderer.response_end_id not in ids) for ids in answers],
                **{f"rewards/{name}": values for name, values in scores.values.items()},
            }
            return [{name: values[row] for name, values in columns.items()} for row in range(len(part))]

        rows = share_out(chosen, answer_and_grade)
        return {name: _mean([row[name] for row in rows]) for name in rows[0]}

    return score


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")


class ForgettingGuard:
    """Scores the answers to guard sets, before and after a run.

    Args:
        sets: examples by the name of their set.
        tokenizer: of the model.
        samples: rows of each set that are asked, the same ones both times; 0 for all.
        margin: drop in the score, from 0 to 1, beyond which a warning is given.
        max_new_tokens: longest answer.
        positions: of the model; longer prompts are left out.
        match: the grader: one of `hrm_align.rewards.base.match_names`.
        seed: of the draw.

    Raises:
        UserError: for an unknown grader, or a set of which no prompt leaves room for an answer.
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
        match: str = "exact",
        seed: int = 0,
    ):
        self._tokenizer, self._margin, self._limit = tokenizer, margin, max_new_tokens
        self._match = check_match(match, "guard_match")
        self._sets: dict[str, list[Example]] = {}
        for name, examples in sets.items():
            found = comparable(examples, tokenizer, positions - max_new_tokens)
            if not found:
                raise UserError(f"guard_datasets: no prompt of {name} leaves room for {max_new_tokens} new tokens.")
            self._sets[name] = random.Random(seed).sample(found, min(samples or len(found), len(found)))
        self._before: dict[str, dict[str, Any]] = {}

    def _score(self, model: PreTrainedModel) -> dict[str, dict[str, Any]]:
        settings: dict[str, Any] = {"max_new_tokens": self._limit, "match": self._match, "share": True}
        return {
            name: evaluate(model, self._tokenizer, examples, **settings).to_dict()
            for name, examples in self._sets.items()
        }

    def before(self, model: PreTrainedModel) -> None:
        """Score the model that the run begins with. A resumed run scores it too, before its checkpoint is loaded."""
        self._before = self._score(model)

    def after(self, model: PreTrainedModel) -> dict[str, Any]:
        """Score the result: the table for run/guard.json, with `dropped`, the sets that fell by more than the margin."""
        after = self._score(model)
        changes = {name: after[name]["score"] - self._before[name]["score"] for name in after}
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
        match=data.guard_match,
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
            difference = f"{100 * (new['score'] - old['score']):+.1f}"
            table.add_row(f"  {group}", percent(old), percent(new), difference, style="dim")
    return table
