"""`hrm-align generate --model M --prompt P`: generate one answer, or the best of several, with the layout and mask of training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hrm_align.commands.common import (
    CommandParser,
    add_adapter_option,
    add_rank_options,
    asked_in_turn,
    load,
    read_ranker,
)
from hrm_align.errors import UserError
from hrm_align.evaluation.best_of import Candidate, Question
from hrm_align.output import emit
from hrm_align.rendering import DEFAULT_CONDITION, Message, get_renderer, parse_condition
from hrm_align.rollouts.local import generate


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser("generate", "Generate the answer to one prompt.")
    parser.add_argument("--prompt", required=True, help="the prompt, as plain text")
    parser.add_argument("--system", help="a system message before the prompt")
    parser.add_argument(
        "--condition", default=DEFAULT_CONDITION, help="condition tags, joined by commas (default direct)"
    )
    parser.add_argument("--max_new_tokens", type=int, default=256, help="longest answer, in tokens (default 256)")
    parser.add_argument(
        "--temperature", type=float, default=0.0, help="0 for greedy decoding, above 0 for sampling (default 0)"
    )
    parser.add_argument("--seed", type=int, help="seed of the sampling")
    add_rank_options(parser)
    add_adapter_option(parser)
    arguments = parser.parse_args(argv)
    parse_condition(arguments.condition)
    model, tokenizer = load(arguments)
    ranker = read_ranker(arguments)
    renderer = get_renderer(tokenizer)
    system = [Message("system", arguments.system)] if arguments.system else []
    question = Question([*system, Message("user", arguments.prompt)], arguments.condition)
    prompt = renderer.prompt(*question)
    room = model.config.max_position_embeddings - len(prompt)
    if room < 1:
        raise UserError(
            f"the prompt has {len(prompt)} tokens, and the model takes at most {model.config.max_position_embeddings}, answer "
            "included. Shorten the prompt."
        )
    limit = min(arguments.max_new_tokens, room)
    answers: dict[str, dict[str, Any]] = {}
    for name in asked_in_turn(model):
        if ranker is not None:
            (ranked,) = ranker.rank(model, tokenizer, [question], max_new_tokens=limit)
            answers[name] = {**_to_dict(ranked[0]), "candidates": [_to_dict(candidate) for candidate in ranked]}
            continue
        (ids,) = generate(model, [prompt], max_new_tokens=limit, temperature=arguments.temperature, seed=arguments.seed)
        reason = "stop" if ids[-1:] == [renderer.response_end_id] else "length"
        answers[name] = {"text": renderer.decode_response(ids), "token_ids": ids, "finish_reason": reason}
    several = len(answers) > 1
    if arguments.json:
        (first, *_) = answers.values()
        emit(json.dumps({"adapters": answers} if several else first))
        return
    for name, answer in answers.items():
        emit(f"{name}: {answer['text']}" if several else answer["text"])


def _to_dict(candidate: Candidate) -> dict[str, Any]:
    ids, text, finish_reason, score = candidate
    return {"text": text, "token_ids": ids, "finish_reason": finish_reason, "score": score}
