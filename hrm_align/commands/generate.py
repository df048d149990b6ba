"""`hrm-align generate --model M --prompt P`: generate one answer, or choose one of several, with the layout and mask of training."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hrm_align.commands.common import (
    CommandParser,
    add_adapter_option,
    add_sampling_options,
    asked_in_turn,
    load,
    print_warnings,
    read_decoding,
    read_sampling,
)
from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.evaluation.best_of import Answered, Candidate, answer_questions, draw_candidates
from hrm_align.evaluation.voting import measure_confidence
from hrm_align.output import emit, escape, results
from hrm_align.rendering import DEFAULT_CONDITION, Message, get_renderer, parse_condition
from hrm_align.rewards.base import check_match, match_names
from hrm_align.rollouts.local import draw_seeds


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
        "--temperature",
        type=float,
        default=0.0,
        help="0 for greedy decoding, above 0 for sampling (default 0); with --n, that of the --n answers",
    )
    parser.add_argument("--seed", type=int, help="seed of the sampling")
    add_sampling_options(parser, "--confidence")
    parser.add_argument(
        "--confidence",
        action="store_true",
        help="also print the probability of the answer, and with --n the share of the samples that are the same answer",
    )
    parser.add_argument(
        "--match",
        default="exact",
        help=f"grader that reads whether answers are the same: {', '.join(match_names())} (default exact)",
    )
    add_adapter_option(parser)
    arguments = parser.parse_args(argv)
    parse_condition(arguments.condition)
    decoding = read_decoding(arguments)
    match = check_match(arguments.match, "--match")
    model, tokenizer = load(arguments)
    sampling, chooser = read_sampling(arguments, match, "--confidence")
    system = [Message("system", arguments.system)] if arguments.system else []
    messages = (*system, Message("user", arguments.prompt))
    question = Example(messages, Message("assistant", ""), arguments.condition, "--prompt")
    prompt = get_renderer(tokenizer).prompt(question.messages, question.condition)
    room = model.config.max_position_embeddings - len(prompt)
    if room < 1:
        raise UserError(
            f"the prompt has {len(prompt)} tokens, and the model takes at most {model.config.max_position_embeddings}, answer "
            "included. Shorten the prompt."
        )
    limit = min(arguments.max_new_tokens, room)
    decoding = replace(decoding, max_new_tokens=limit)
    answers: dict[str, dict[str, Any]] = {}
    for name in asked_in_turn(model):
        if sampling is None:
            seeds = draw_seeds(1, arguments.seed) if arguments.temperature else [0]
            answered = Answered(draw_candidates(model, tokenizer, [prompt], seeds, decoding)[0], [])
        else:
            (answered,) = answer_questions(
                model, tokenizer, [question], [prompt], max_new_tokens=limit, sampling=sampling, chooser=chooser
            )
        answers[name] = _to_dict(answered.best, has_score=chooser is not None)
        if answered.samples:
            answers[name]["candidates"] = [_to_dict(one, has_score=chooser is not None) for one in answered.samples]
        if arguments.confidence:
            (confidence,) = measure_confidence(match, [question], [answered])
            token_probabilities = [math.exp(logprob) for logprob in answered.best.logprobs]
            answers[name]["confidence"] = {**confidence, "token_probabilities": token_probabilities}
    several = len(answers) > 1
    if arguments.json:
        (first, *_) = answers.values()
        emit(json.dumps({"adapters": answers} if several else first))
        return
    for name, answer in answers.items():
        text = escape(answer["text"]) if results().isatty() else answer["text"]
        emit(f"{name}: {text}" if several else text)
        if answer["finish_reason"] == "length":
            setting = "the context" if limit < arguments.max_new_tokens else "--max_new_tokens"
            print_warnings([f"the answer is cut at {limit:,} tokens ({setting})"])
        if arguments.confidence:
            emit(_describe(answer, [str(tokenizer.decode([token])) for token in answer["token_ids"]]))


def _to_dict(candidate: Candidate, has_score: bool) -> dict[str, Any]:
    values = {"text": candidate.text, "token_ids": candidate.ids, "finish_reason": candidate.finish_reason}
    return {**values, "score": candidate.score} if has_score else values


def _describe(answer: dict[str, Any], tokens: Sequence[str]) -> str:
    """Return a line on the confidence of an answer."""
    confidence = answer["confidence"]
    lowest, token = min(zip(confidence["token_probabilities"], tokens, strict=True))
    line = (
        f"probability {confidence['probability']:.3f}, per token {confidence['token_probability']:.3f} "
        f"({len(tokens)} tokens, lowest {lowest:.3f} at {token!r})"
    )
    if "agreement" not in confidence:
        return line
    n = len(answer["candidates"])
    return f"{line}; {round(confidence['agreement'] * n)} of {n} samples agree"
