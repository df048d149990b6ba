"""`hrm-align headroom --model M --data FILE --reward R`: how often a model solves each prompt, before it is trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hrm_align.commands.common import (
    CommandParser,
    add_schema_options,
    at_least,
    check_save,
    load,
    read_examples,
    schema_of,
)
from hrm_align.config.arguments import RewardEntry
from hrm_align.data.tokenize import answerable_prompts
from hrm_align.evaluation.passk import Headroom, measure_headroom
from hrm_align.output import emit, results
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from hrm_align.rollouts.local import Decoding


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser("headroom", "How often a model solves each prompt: pass@k, and the groups that would teach.")
    parser.add_argument("--data", required=True, help="prompts, in any format that training reads")
    add_schema_options(parser)
    parser.add_argument("--split", help="of a directory or a Hub id (default test, of a file: all of it)")
    parser.add_argument("--condition", help="of rows that name none (default direct)")
    parser.add_argument(
        "--rewards",
        action="append",
        required=True,
        type=RewardEntry,
        metavar="NAME|MAPPING",
        help="as in a recipe; may be given several times",
    )
    parser.add_argument("--samples", type=int, default=8, help="answers to each prompt (default 8)")
    parser.add_argument("--limit", type=int, help="only the first so many prompts")
    parser.add_argument("--max_new_tokens", type=int, default=256, help="longest answer, in tokens (default 256)")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the sampling (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling (default 0)")
    parser.add_argument("--save", help="write each prompt's pass rate to this new file, for `headroom:` in a recipe")
    arguments = parser.parse_args(argv)
    at_least(arguments.samples, 1, "--samples")
    decoding = Decoding(at_least(arguments.max_new_tokens, 1, "--max_new_tokens"), arguments.temperature)
    check_save(arguments.save)
    specs = [RewardSpec.of(entry) for entry in arguments.rewards]
    rows = read_examples(arguments.data, arguments.condition, arguments.split, **schema_of(arguments))
    examples = rows[: arguments.limit]
    with RewardSuite(specs) as suite:
        model, tokenizer = load(arguments)
        room = model.config.max_position_embeddings - decoding.max_new_tokens
        prompts, _ = answerable_prompts(examples, tokenizer, room, max_dropped_fraction=0.5)
        found = measure_headroom(model, tokenizer, prompts, suite, decoding, arguments.samples, arguments.seed)
    if arguments.save:
        lines = [json.dumps(row) + "\n" for row in found.rows()]
        Path(arguments.save).write_text("".join(lines), encoding="utf-8")
    if arguments.json:
        emit(json.dumps(found.to_dict()))
        return
    show(found)


def show(found: Headroom) -> None:
    """Print pass@k, how many prompts are solved how often, and what that means for a run."""
    told, console = found.to_dict(), Console(file=results())
    passes = ", ".join(f"{name} {100 * value:.1f} %" for name, value in told.items() if name.startswith("pass@"))
    console.print(f"{told['prompts']} prompts, {told['samples']} samples each: {passes}", highlight=False)
    table = Table("solved", "prompts")
    for band, count in told["bands"].items():
        table.add_row(band, str(count))
    console.print(table)
    console.print(
        f"{100 * told['without_signal']:.0f} % of the groups would teach nothing: all of their answers are paid alike. "
        "In a recipe, `headroom` with min_pass_rate and max_pass_rate leaves such prompts out, and max_resamples replaces "
        "their groups.",
        highlight=False,
    )
