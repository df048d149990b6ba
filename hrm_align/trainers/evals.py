"""Generated exact match on a fixed sample of held-out rows, at each evaluation of a run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.config.arguments import SFTArguments
from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import evaluate, last_turns
from hrm_align.rendering import renderer_of
from hrm_align.trainers.callbacks import append_json_line
from hrm_align.trainers.sft import GenerationEval


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
        result = evaluate(model, tokenizer, sample, max_new_tokens=limit, match=match, share=True)
        if PartialState().is_main_process:
            for line in result.samples[: args.log_samples]:
                append_json_line(Path(str(args.output_dir)) / "samples.jsonl", line)
        return {"exact_match": result.score.rate, "unfinished": result.unfinished / wanted}

    return score


def comparable(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, longest: int) -> list[Example]:
    """Those of `answerable` that have an answer to compare with."""
    return [example for example in answerable(examples, tokenizer, longest) if example.reference.strip()]


def answerable(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, longest: int) -> list[Example]:
    """The last turn of each row whose prompt has at most so many tokens."""
    prompt = renderer_of(tokenizer).prompt
    return [e for e in last_turns(examples) if len(prompt(e.messages, e.condition)) <= longest]
