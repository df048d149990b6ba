"""`hrm-align check-engine URL --model EXPORT`: compare an engine with the model that it serves.

Exit codes: 0 if the engine is right; 1 if it is wrong; 2 if it cannot be checked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from hrm_align.commands.common import CommandParser, at_least, load, print_warnings, read_examples
from hrm_align.errors import UserError
from hrm_align.evaluation.engine_check import Settings, check_engine
from hrm_align.output import emit
from hrm_align.rendering import DEFAULT_CONDITION, get_renderer
from hrm_align.rewards.judge_client import Names, Unanswered, read_key
from hrm_align.rollouts.http_server import HttpServer

NAMES = Names("the engine's server", "the deadline", "URL", "served_model", "api_key_env")
# Prompts without --data: `{a}` and `{b}` are numbers, so that all are different.
TEXTS = ("Add {a} and {b}.", "What is {a} minus {b}?", "copy {a} abc {b}", "Write {a} as a word.", "List {b} animals.",
         "Which is larger, {a} or {b}?", "x = {a}; x * {b} =", "Explain the number {a} in one sentence.")  # fmt: skip


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser(
        "check-engine",
        "Compare the engine at an OpenAI-compatible address with the model that it serves: greedy answers and log-probabilities, a "
        "prompt of full length, and a burst that does not fit into its memory. Prints a verdict in one line, with the flags to set.",
    )
    parser.add_argument("url", metavar="URL", help="address of the engine, such as http://localhost:8000/v1")
    parser.add_argument("--served_model", default="", help="name of the model there (default: the first that it lists)")
    parser.add_argument("--data", help="rows whose prompts are answered (default: short built-in prompts)")
    parser.add_argument("--rows", type=int, default=100, help="number of greedy answers to compare (default 100)")
    parser.add_argument("--max_new_tokens", type=int, default=64, help="longest greedy answer, in tokens (default 64)")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds that an answer may take (default 120)")
    parser.add_argument(
        "--burst", type=int, help="requests sent at once; 0 for none (default: from the engine's memory)"
    )
    parser.add_argument(
        "--engine_dtype",
        choices=["float32", "bfloat16", "float16"],
        help="dtype that the engine computes in (default: what it states, or float32)",
    )
    parser.add_argument("--api_key_env", default="", help="environment variable of the engine's API key")
    parser.set_defaults(dtype="float32")
    arguments = parser.parse_args(argv)
    at_least(arguments.rows, 1, "--rows")
    at_least(arguments.max_new_tokens, 1, "--max_new_tokens")
    key = read_key(arguments.api_key_env, NAMES) if arguments.api_key_env else ""
    server = HttpServer(arguments.url, NAMES, key, arguments.api_key_env, arguments.served_model)
    try:
        server.model = server.model or next(iter(server.models()), "") or os.path.basename(arguments.model)
    except Unanswered as failure:
        raise UserError(
            f"the server {server.url} does not answer: {failure.detail}. Start it, and check its address."
        ) from None
    examples = read_examples(arguments.data)[: arguments.rows] if arguments.data else []
    model, tokenizer = load(arguments)
    renderer = get_renderer(tokenizer)
    if arguments.data:
        prompts = [renderer.prompt(example.messages, example.condition) for example in examples]
    else:
        prompts = [renderer.prompt(text, DEFAULT_CONDITION) for text in built_in(arguments.rows)]
    room = model.config.max_position_embeddings - arguments.max_new_tokens
    fitting = [prompt for prompt in prompts if len(prompt) <= room]
    if not fitting:
        raise UserError("no prompt leaves room for an answer. Name other rows with --data, or lower --max_new_tokens.")
    if len(fitting) < len(prompts):
        left_out = f"{len(prompts) - len(fitting)} of {len(prompts)} prompts leave no room for {arguments.max_new_tokens} tokens"
        print_warnings([f"Warning: {left_out}, and are left out. Lower --max_new_tokens."])
    settings = Settings(arguments.max_new_tokens, arguments.timeout, arguments.engine_dtype, arguments.burst)
    report = check_engine(server, model, fitting, settings)
    emit(json.dumps({"url": server.url, **report.to_dict()}) if arguments.json else report.verdict)
    if report.faults:
        raise SystemExit(1)


def built_in(number: int) -> list[str]:
    """Return so many different short prompts."""
    return [TEXTS[place % len(TEXTS)].format(a=12 + place, b=3 + place // len(TEXTS)) for place in range(number)]
