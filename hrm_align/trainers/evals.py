"""Evaluations with generated answers during a run: held-out rows (SFT), rewards of greedy answers (GRPO), guard sets.

A guard set holds tasks that the base model can do. It is scored before and after the run, and a drop larger than the margin is
reported as a warning.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

from accelerate import PartialState
from peft import PeftModel
from rich.markup import escape
from rich.table import Column, Table
from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainingArguments

from hrm_align.config.arguments import DataArguments
from hrm_align.data.examples import Example, RunData
from hrm_align.data.splits import count_overlap
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import evaluate, last_turns
from hrm_align.evaluation.scores import percent
from hrm_align.rendering import get_renderer
from hrm_align.rewards.base import check_match, metric_name
from hrm_align.rewards.scoring import score_all
from hrm_align.rewards.suite import RewardSuite
from hrm_align.rollouts.distributed import share_out
from hrm_align.rollouts.local import generate
from hrm_align.run_folder import write_json
from hrm_align.trainers.callbacks import append_json_line
from hrm_align.trainers.held_out import GenerationEval

if TYPE_CHECKING:  # the trainer of another recipe takes a second to import
    from hrm_align.trainers.grpo import GreedyEval
    from hrm_align.trainers.grpo_config import GRPOArguments

logger = logging.getLogger(__name__)


def build_generation_eval(
    args: Any, room: int, tokenizer: PreTrainedTokenizerFast, held_out: Sequence[Example]
) -> GenerationEval | None:
    """Build the function that scores generated answers at each evaluation; None if `generation_eval_samples` is 0.

    Args:
        args: training settings with those of `SFTArguments` for generated answers.
        room: number of positions of the model.
        tokenizer: the model's tokenizer.
        held_out: rows to draw the evaluation sample from.

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
    count = min(args.generation_eval_samples, len(questions))
    sample = random.Random(args.seed).sample(questions, count)

    def score(model: PreTrainedModel) -> dict[str, float]:
        match, limit = args.generation_eval_match, args.max_new_tokens
        extract = args.log_samples > 0
        result = evaluate(model, tokenizer, sample, max_new_tokens=limit, match=match, share=True, extract=extract)
        if PartialState().is_main_process:
            for line in result.samples[: args.log_samples]:
                append_json_line(Path(str(args.output_dir)) / "samples.jsonl", line)
        return {metric_name(match): result.score.rate, "unfinished": result.unfinished / count, "n": count}

    return score


def comparable(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, longest: int) -> list[Example]:
    """Return the rows of `answerable` that have a reference to compare with."""
    return [example for example in answerable(examples, tokenizer, longest) if example.reference.strip()]


def answerable(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, longest: int) -> list[Example]:
    """Return the last turn of each row, where its prompt has at most `longest` tokens."""
    prompt = get_renderer(tokenizer).prompt
    return [e for e in last_turns(examples) if len(prompt(e.messages, e.condition)) <= longest]


def build_greedy_eval(
    args: GRPOArguments,
    room: int,
    tokenizer: PreTrainedTokenizerFast,
    held_out: Sequence[Example],
    suite: RewardSuite,
) -> GreedyEval | None:
    """Build the function that grades greedy answers at each evaluation; None if `generation_eval_samples` is 0.

    Args:
        args: training settings.
        room: longest prompt, in tokens: the model's positions less those of an answer.
        tokenizer: the model's tokenizer.
        held_out: rows to draw the evaluation sample from.
        suite: the rewards.

    Raises:
        UserError: if no prompt leaves room for an answer.
    """
    if not args.generation_eval_samples:
        return None
    limit, renderer = int(args.max_completion_length or 0), get_renderer(tokenizer)
    questions = answerable(held_out, tokenizer, room)
    if not questions:
        raise UserError(
            f"no held-out prompt leaves room for --max_completion_length {limit}: lower it, or set --generation_eval_samples 0."
        )
    chosen = random.Random(args.seed).sample(questions, min(args.generation_eval_samples, len(questions)))

    def score(model: PreTrainedModel) -> dict[str, float]:
        def answer_and_grade(part: Sequence[Example]) -> list[dict[str, float | None]]:
            prompts = [renderer.prompt(example.messages, example.condition) for example in part]
            answers = generate(model, prompts, max_new_tokens=limit, batch_size=128)
            scores = score_all(suite, [renderer.decode_response(ids) for ids in answers], part)
            if skipped := sum(fault.kind == "skipped" for fault in scores.faults):
                logger.warning(
                    "%d of %d reward values are missing from this evaluation, because reward workers cannot be started: check "
                    "the free memory of the machine and the reward's file.", skipped, len(part) * len(suite.names),
                )  # fmt: skip
            columns: dict[str, Sequence[float | None]] = {
                "reward": scores.totals(suite.weights),
                "truncated": [float(renderer.response_end_id not in ids) for ids in answers],
                **{f"rewards/{name}": values for name, values in scores.values.items()},
            }
            return [{name: values[row] for name, values in columns.items()} for row in range(len(part))]

        rows = share_out(chosen, answer_and_grade)
        spread = {"reward_std": _standard_deviation([row["reward"] for row in rows])}
        return {name: _mean([row[name] for row in rows]) for name in rows[0]} | spread | {"n": len(rows)}

    return score


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")


def _standard_deviation(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return stdev(known) if len(known) > 1 else float("nan")


class ForgettingGuard:
    """Scores answers to guard sets before and after a run.

    Args:
        sets: examples by the name of their set.
        tokenizer: the model's tokenizer.
        samples: number of rows of each set to use, the same ones before and after; 0 for all.
        margin: drop of the score, from 0 to 1, above which a warning is given.
        max_new_tokens: longest answer, in tokens.
        positions: number of positions of the model; longer prompts are skipped.
        match: name of the grader, one of `hrm_align.rewards.base.match_names`.
        seed: seed for choosing the rows.

    Raises:
        UserError: for an unknown grader, or if no prompt of a set leaves room for an answer.
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
            usable = comparable(examples, tokenizer, positions - max_new_tokens)
            if not usable:
                raise UserError(
                    f"guard_datasets: no prompt of {name} leaves room for {max_new_tokens} new tokens: lower "
                    "--max_new_tokens (--max_completion_length in GRPO), or leave the set out."
                )
            self._sets[name] = random.Random(seed).sample(usable, min(samples or len(usable), len(usable)))
        self._before: dict[str, dict[str, Any]] = {}

    def _score(self, model: PreTrainedModel) -> dict[str, dict[str, Any]]:
        settings: dict[str, Any] = {"max_new_tokens": self._limit, "match": self._match, "share": True}
        return {
            name: evaluate(model, self._tokenizer, examples, **settings).to_dict()
            for name, examples in self._sets.items()
        }

    def before(self, model: PreTrainedModel) -> None:
        """Score the base model. A resumed run scores the base model too, before its checkpoint is loaded."""
        self._before = self._score(model)

    def after(self, model: PreTrainedModel) -> dict[str, Any]:
        """Score the trained model. Returns the content of run/guard.json; `dropped` lists sets below the margin."""
        after = self._score(model)
        changes = {name: after[name]["score"] - self._before[name]["score"] for name in after}
        return {
            "margin": self._margin,
            "sets": {
                name: {"before": self._before[name], "after": after[name], "change": changes[name]} for name in after
            },
            "dropped": [name for name, change in changes.items() if change < -self._margin],
        }


def build_guard(
    data: DataArguments,
    sets: Mapping[str, Sequence[Example]],
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerFast,
    max_new_tokens: int,
    seed: int,
) -> ForgettingGuard | None:
    """Build the guard over the sets of `guard_datasets`; None without such sets.

    Args:
        data: data settings of the recipe.
        sets: examples by the name of their set.
        model: the model to train.
        tokenizer: the model's tokenizer.
        max_new_tokens: longest answer, in tokens.
        seed: seed for choosing the rows.

    Raises:
        UserError: see `ForgettingGuard`.
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
    """Write `guard.json`, warn about sets whose score has dropped, and return a table to print.

    Args:
        report: returned by `ForgettingGuard.after`.
        run: folder of the run's records.
    """
    write_json(run / "guard.json", dict(report))
    for name in report["dropped"]:
        change = report["sets"][name]["change"]
        logger.warning(
            "the score on guard set %s dropped by %.1f points, more than the margin of %.1f: the model is forgetting it. Mix "
            "similar rows in (replay_datasets, replay_fraction), or train less: a lower rate, a smaller adapter, fewer steps.",
            name, -100 * change, 100 * report["margin"],
        )  # fmt: skip
    names = Column("guard set", overflow="fold")  # folded, because truncated paths would look the same
    table = Table(names, "before", "after", "change", title="scores on guard sets", title_justify="left")
    for name, scores in report["sets"].items():
        change = f"{100 * scores['change']:+.1f}"
        style = "red" if name in report["dropped"] else None
        table.add_row(escape(name), percent(scores["before"]), percent(scores["after"]), change, style=style)
        groups = scores["after"]["groups"]
        for group in groups if len(groups) > 1 else ():
            old, new = scores["before"]["groups"][group], groups[group]
            difference = f"{100 * (new['score'] - old['score']):+.1f}"
            table.add_row(f"  {escape(group)}", percent(old), percent(new), difference, style="dim")
    return table


def find_eval_problems(run: RunData, args: TrainingArguments) -> list[str]:
    """Return warnings about the held-out rows: if no evaluation uses them, or if the training set contains them."""
    warnings = []
    if run.held_out and args.eval_strategy == "no" and not args.eval_on_start:
        warnings.append(
            f"Nothing evaluates the {len(run.held_out)} held-out documents: add --eval_strategy steps --eval_steps 100."
        )
    overlap = count_overlap(run.train, run.held_out) if run.held_out else 0
    if overlap:
        warnings.append(
            f"{overlap} of {len(run.held_out)} held-out documents are also in the training set, so their scores mean little: "
            "remove them from one of the two sets."
        )
    return warnings
