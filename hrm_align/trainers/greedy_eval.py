"""Greedy answers to held-out prompts, paid by the rewards of a run, at each of its evaluations."""

from __future__ import annotations

import random
from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.config.arguments import GRPOArguments
from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.rendering import renderer_of
from hrm_align.rewards.suite import RewardSuite
from hrm_align.rollouts.generation import generate, share_out
from hrm_align.trainers.evals import answerable
from hrm_align.trainers.grpo import GreedyEval


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
            scores = suite.score([renderer.decode_response(ids) for ids in answers], part)
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
