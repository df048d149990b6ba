"""Examples as prompts to be answered: the ones that leave room for an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerFast

from hrm_align.data.examples import Example
from hrm_align.data.tokenize import Dropped
from hrm_align.errors import UserError
from hrm_align.rendering import renderer_of


def answerable_prompts(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, longest: int, max_dropped_fraction: float
) -> tuple[list[Example], dict[str, Any]]:
    """The examples whose prompt has at most `longest` tokens; a longer one is dropped whole, because cut it would lose
    its question.

    Args:
        examples: as read.
        tokenizer: of the model.
        longest: positions of the model, less those of the answer.
        max_dropped_fraction: share above which it is an error.

    Returns:
        The prompts, and what became of the others, for run/data.json.

    Raises:
        UserError: if more was dropped, or nothing is left.
    """
    kept, dropped, render = [], Dropped(), renderer_of(tokenizer)
    for example in examples:
        if len(render.prompt(example.messages, example.condition)) <= longest:
            kept.append(example)
        else:
            dropped.add("too_long", example.source)
    if not kept or len(examples) - len(kept) > max_dropped_fraction * len(examples):
        raise UserError(
            f"{len(examples) - len(kept)} of {len(examples)} prompts are longer than {longest} tokens, which is what the "
            f"answer (max_completion_length) leaves of the model's positions: {dropped}. Shorten one of them, or allow "
            "more to be dropped with max_dropped_fraction."
        )
    return kept, {"kept": len(kept), "dropped": {"by_reason": dict(dropped.counts), "first_rows": dropped.sources}}
