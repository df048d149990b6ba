"""`hrm-align headroom --model M --data FILE --rewards R`: measure the difficulty of prompts as pass@k of a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hrm_align.commands.common import (
    CommandParser,
    add_schema_options,
    add_token_limits,
    check_save,
    load,
    read_examples,
    read_schema_options,
)
from hrm_align.config.arguments import RewardEntry
from hrm_align.data.tokenize import select_answerable_prompts
from hrm_align.evaluation.passk import PassRates, measure_pass_rates
from hrm_align.files import replace_file
from hrm_align.output import emit, results
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from hrm_align.rollouts.local import Decoding


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser(
        "headroom",
        "Measure how often a model solves each prompt: pass@k, and the share of groups with zero reward variance.",
    )
    parser.add_argument("--data", required=True, help="prompts, in any format that training reads")
    add_schema_options(parser)
    parser.add_argument("--split", help="split of a directory or a Hub id (default test; files have no splits)")
    parser.add_argument("--condition", help="condition of rows that name none (default direct)")
    parser.add_argument(
        "--rewards",
        action="append",
        required=True,
        type=RewardEntry,
        metavar="NAME|MAPPING",
        help="a reward, as in a recipe; may be repeated",
    )
    parser.add_argument("--samples", type=int, default=8, help="answers per prompt (default 8)")
    parser.add_argument("--limit", type=int, help="use at most this many prompts")
    parser.add_argument("--max_new_tokens", type=int, default=256, help="longest answer, in tokens (default 256)")
    parser.add_argument("--temperature", type=float, default=1.0, help="temperature of the sampling (default 1)")
    add_token_limits(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampling (default 0)")
    parser.add_argument("--save", help="write each prompt's pass rate to this new file, for `headroom:` in a recipe")
    arguments = parser.parse_args(argv)
    decoding = Decoding(arguments.max_new_tokens, arguments.temperature, arguments.top_k, arguments.top_p)
    check_save(arguments.save)
    # Read rewards and rows before the model, so that an error in them is reported at once.
    specs = [RewardSpec.of(entry) for entry in arguments.rewards]
    rows = read_examples(arguments.data, arguments.condition, arguments.split, **read_schema_options(arguments))
    examples = rows[: arguments.limit]
    with RewardSuite(specs) as suite:
        model, tokenizer = load(arguments)
        room = model.config.max_position_embeddings - decoding.max_new_tokens
        prompts, _ = select_answerable_prompts(examples, tokenizer, room, max_dropped_fraction=0.5)
        difficulty = measure_pass_rates(model, tokenizer, prompts, suite, decoding, arguments.samples, arguments.seed)
    if arguments.save:
        lines = [json.dumps(row) + "\n" for row in difficulty.rows()]
        replace_file(Path(arguments.save), lambda file: file.write("".join(lines).encode()))
    if arguments.json:
        emit(json.dumps(difficulty.to_dict()))
        return
    show(difficulty)


def show(difficulty: PassRates) -> None:
    """Print pass@k, the number of prompts in each band of pass rates, and the share of groups without a training signal."""
    report, console = difficulty.to_dict(), Console(file=results())
    passes = ", ".join(f"{name} {100 * value:.1f} %" for name, value in report.items() if name.startswith("pass@"))
    console.print(f"{report['prompts']} prompts, {report['samples']} samples each: {passes}", highlight=False)
    table = Table("solved", "prompts")
    for band, count in report["bands"].items():
        table.add_row(band, str(count))
    console.print(table)
    console.print(
        f"{100 * report['without_signal']:.0f} % of the groups have zero reward variance and give no training signal. "
        "In a recipe, set `headroom`, min_pass_rate and max_pass_rate to leave such prompts out, or max_resamples to replace "
        "such groups.",
        highlight=False,
    )
