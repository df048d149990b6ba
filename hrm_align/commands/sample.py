"""`hrm-align sample --model M --data FILE --match GRADER --output ROWS`: make a data set of a model's own graded answers."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hrm_align.commands.common import (
    CommandParser,
    add_schema_options,
    add_token_limits,
    describe_left_out,
    load,
    name_entry,
    print_warnings,
    read_counted,
    read_decoding,
    read_examples,
    read_schema_options,
)
from hrm_align.commands.sample_report import describe_rows, describe_settings, report
from hrm_align.config.arguments import RewardEntry
from hrm_align.config.recipe_files import find_recipe, locate, shipped_recipes
from hrm_align.config.yaml_file import read_yaml
from hrm_align.data.damage import describe_damage
from hrm_align.data.examples import NO_CONDITION, REFERENCES, DataCounts, Example
from hrm_align.errors import Terminated, UserError
from hrm_align.evaluation.chunk_files import ChunkedFile
from hrm_align.evaluation.drawing import Context, Drawer
from hrm_align.evaluation.evaluate import last_turns
from hrm_align.evaluation.grading import DEADLINE_SECONDS, ROW_SECONDS, check_references, get_suite
from hrm_align.evaluation.selecting import ALL, BEST, RIGHT, Selection, select_rows
from hrm_align.progress import counting, is_main
from hrm_align.rendering import parse_condition
from hrm_align.rewards.base import RewardSpec, check_match, match_names
from hrm_align.rewards.suite import RewardSuite
from hrm_align.rollouts.engine import MAX_RUNNING

CHUNK_ANSWERS = 256  # answers of a chunk, which is written as a whole: the most that a kill loses

DESCRIPTION = """\
Draw answers to prompts, grade them, and write the chosen ones as a data set: rows for SFT, or with
--pairs preference rows. A killed run continues where it was if it is started again, and ends with
the same file."""
EXAMPLES = """\
examples:
  hrm-align sample --model runs/mine --data train.jsonl --match math --n 8 --output drawn.jsonl
  hrm-align sft --config tiny/sft --model_name_or_path runs/mine --datasets drawn.jsonl --output_dir runs/next

  hrm-align sample --model runs/mine --data train.jsonl --match math --pairs --match_lengths --output pairs.jsonl
  hrm-align sample --model runs/mine --data train.jsonl --rewards tiny/math_grpo --keep best --output best.jsonl

  several processes, each with a share of the prompts:
  accelerate launch --num_processes 8 --module hrm_align.cli sample --model M --data FILE --match math --output FILE
  hrm-align sample --shard 1/4 ... on the first of four machines with one file system, 2/4 on the second, ..."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    arguments = _parser().parse_args(argv)
    output, (shard, shards) = Path(arguments.output), read_shard(arguments.shard)
    selection, decoding = read_selection(arguments), read_decoding(arguments)
    if decoding.greedy and arguments.n > 1:
        raise UserError(
            f"invalid value for --temperature: 0 draws the same answer {arguments.n} times. Use a number above 0, or --n 1."
        )
    check_output(output)
    # Read rewards and rows before the model, so that an error in them is reported at once.
    specs = read_rewards(arguments, selection)
    examples, data = read_prompts(arguments)
    context = read_context(arguments.system_file, arguments.examples, arguments.shots, arguments.draw_condition)
    chunks = split_chunks(examples, arguments.n)
    own = range(shard, len(chunks), shards)
    is_launched = shards > 1 and arguments.shard is None
    if is_launched and arguments.device is None:
        arguments.device = own_device()
    model, tokenizer = load(arguments)
    settings = describe_settings(arguments, model, examples, specs, selection, context)
    file = ChunkedFile(output, settings, len(chunks))
    card = file.check()
    if card is None:
        with _graders(arguments, specs) as suite:
            sampling = {"n": arguments.n, "seed": arguments.seed, "batch_size": arguments.batch_size}
            drawer = Drawer(model, tokenizer, suite, decoding, context=context, **sampling)
            left = file.missing(own)
            if suite is not None and arguments.match:
                check_references(arguments.match, suite, [example for number in left for example in chunks[number]])
            file.begin()
            draw_chunks(drawer, chunks, file, left, selection)
    if is_launched and not is_main():
        return
    if card is None:
        if is_launched:
            file.wait()
        made = {"model": str(arguments.model), "data": data, "device": str(model.device)}
        card = file.finish(lambda parts: describe_rows(parts, arguments.n, made))
    report(card, file, as_json=arguments.json)


def _graders(arguments: argparse.Namespace, specs: Sequence[RewardSpec]) -> AbstractContextManager[RewardSuite | None]:
    """Return the workers that grade; None without rewards."""
    workers = arguments.reward_workers
    if arguments.match:
        return nullcontext(get_suite(arguments.match, workers))
    if not specs:
        return nullcontext()
    return RewardSuite(specs, workers=workers, deadline=DEADLINE_SECONDS, row_seconds=ROW_SECONDS)


def split_chunks(examples: Sequence[Example], n: int) -> list[Sequence[Example]]:
    """Split the prompts into chunks, which do not depend on the number of processes."""
    size = max(1, CHUNK_ANSWERS // n)
    return [examples[start : start + size] for start in range(0, len(examples), size)]


def draw_chunks(
    drawer: Drawer,
    chunks: Sequence[Sequence[Example]],
    file: ChunkedFile,
    left: Sequence[int],
    selection: Selection,
) -> None:
    """Draw, grade and write chunks.

    Args:
        drawer: draws the answers.
        chunks: the prompts of all chunks.
        file: where chunks are written.
        left: numbers of the chunks to draw.
        selection: which answers become rows.
    """
    total = sum(len(chunks[number]) for number in left) * drawer.n
    with counting("drawing answers", total, "answers") as drawn, saved_chunks(file):
        for number in left:
            first = number * len(chunks[0])  # all chunks but the last have the same size
            draws = drawer.draw(chunks[number], first, drawn.advance)
            rows, tally = select_rows(chunks[number], draws, selection, drawer.is_graded)
            file.write(number, rows, asdict(tally))


@contextmanager
def saved_chunks(file: ChunkedFile) -> Iterator[None]:
    """Add to a signal how the file is continued."""
    try:
        yield
    except (KeyboardInterrupt, Terminated) as stop:
        done = file.chunks - len(file.missing(range(file.chunks)))
        stop.add_note(
            f"{done} of {file.chunks} chunks are saved in {file.folder}. Run the same command again to continue."
        )
        raise


def _parser() -> CommandParser:
    parser = CommandParser("sample", DESCRIPTION)
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EXAMPLES
    parser.add_argument("--data", required=True, help="prompts, in any format that training reads")
    add_schema_options(parser)
    parser.add_argument("--split", help="split of a directory or a Hub id (default train; files have no splits)")
    parser.add_argument(
        "--skip",
        type=int,
        default=0,
        help="leave out this many prompts at the start, to draw from others in each round",
    )
    parser.add_argument("--limit", type=int, help="use at most this many prompts")
    parser.add_argument("--condition", help="condition of all rows (default: the condition of each row, else direct)")
    parser.add_argument("--output", required=True, metavar="ROWS", help="file to write, whose name ends in .jsonl")
    parser.add_argument("--match", help=f"grader: {', '.join(match_names())}")
    parser.add_argument(
        "--rewards",
        action="append",
        default=[],
        type=RewardEntry,
        metavar="NAME|MAPPING|RECIPE",
        help="instead of --match: a reward, as in a recipe, or the rewards of a recipe; may be repeated",
    )
    parser.add_argument("--n", type=int, default=8, help="answers per prompt (default 8)")
    parser.add_argument(
        "--keep",
        default=RIGHT,
        choices=[RIGHT, BEST, ALL],
        help="right: the answers that the grader accepts; best: the one with the highest reward; all: every answer, also "
        "without a grader (default right)",
    )
    parser.add_argument(
        "--pairs",
        action="store_true",
        help="write preference rows (prompt, chosen, rejected): with --keep right a correct answer against a wrong one, with "
        "--keep best the best against the worst",
    )
    parser.add_argument(
        "--match_lengths",
        action="store_true",
        help="of the possible pairs take those whose lengths are closest, so that length does not explain the preference",
    )
    parser.add_argument(
        "--min_score_gap", type=float, help="the rewards of a pair differ by more than this (default 0)"
    )
    parser.add_argument("--min_reward", type=float, help="lowest reward of an answer, in pairs of the chosen one")
    parser.add_argument("--distinct", action="store_true", help="leave out answers that repeat one to the same prompt")
    parser.add_argument(
        "--max_per_prompt", type=int, help="most rows of a prompt (default: 1 with best and pairs, else all)"
    )
    parser.add_argument("--max_new_tokens", type=int, default=256, help="longest answer, in tokens (default 256)")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="temperature of the sampling, 0 for greedy decoding (default 1)"
    )
    add_token_limits(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampling (default 0)")
    parser.add_argument(
        "--batch_size", type=int, default=MAX_RUNNING, help=f"answers at the same time (default {MAX_RUNNING})"
    )
    parser.add_argument("--reward_workers", type=int, default=2, help="processes that grade (default 2)")
    parser.add_argument("--system_file", metavar="FILE", help="system text to draw under, which the rows do not have")
    parser.add_argument(
        "--examples", metavar="FILE", help="solved examples to draw under, which the rows do not have; needs --shots"
    )
    parser.add_argument("--shots", type=int, default=0, help="number of these examples, the first of the file")
    parser.add_argument("--draw_condition", help="condition to draw under, instead of the condition of the rows")
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="draw the I-th of N shares of the prompts (default: that of the launcher's process)",
    )
    return parser


def read_selection(arguments: argparse.Namespace) -> Selection:
    """Return which answers become rows. Raises UserError for options that contradict each other."""
    names = ("keep", "pairs", "distinct", "max_per_prompt", "min_reward", "min_score_gap", "match_lengths")
    return Selection(**{name: getattr(arguments, name) for name in names})


def check_output(output: Path) -> None:
    """Raise UserError if rows cannot be written to a file of this name."""
    if output.suffix != ".jsonl":
        raise UserError(f"invalid value for --output: {output}. Use a name that ends in .jsonl.")
    if not output.parent.is_dir():
        raise UserError(
            f"cannot write --output {output}: there is no folder {output.parent}. Create the folder, or name another file."
        )


def read_rewards(arguments: argparse.Namespace, selection: Selection) -> list[RewardSpec]:
    """Return the grader of --match, or the rewards of --rewards; an empty list if no answer is graded.

    Raises:
        UserError: if both or none are given, or a recipe has no rewards.
    """
    if arguments.match and arguments.rewards:
        raise UserError("--match and --rewards both say how answers are graded. Use one of them.")
    if arguments.match:
        return [RewardSpec(check_match(arguments.match, "--match"))]
    if not arguments.rewards and (selection.needs_rewards or selection.pairs):
        raise UserError(f"--keep {selection.keep} needs a grader. Add --match or --rewards, or use --keep all.")
    entries: list[RewardEntry] = []
    for entry in arguments.rewards:
        name = str(entry.get("name"))
        is_recipe = len(entry) == 1 and (name.endswith((".yaml", ".yml")) or name in shipped_recipes())
        if not is_recipe:
            entries.append(entry)
            continue
        path = find_recipe(name)
        _, recipe = read_yaml(path)
        if not recipe.get("rewards"):
            raise UserError(f"--rewards {name}: the recipe has no rewards. Name a reward, or the recipe of a GRPO run.")
        entries += locate("rewards", [RewardEntry(reward) for reward in recipe["rewards"]], path)
    return [RewardSpec.of(entry) for entry in entries]


def read_prompts(arguments: argparse.Namespace) -> tuple[list[Example], dict[str, Any]]:
    """Read the rows to answer, and return them with the counts of the data set for the card."""
    schema = read_schema_options(arguments)
    allowed = schema.pop("max_bad_fraction")
    entry = name_entry(arguments.data, arguments.split, default_split="train", **schema)
    rows, counts = read_counted([entry], arguments.condition, allowed, REFERENCES)
    if is_main():
        print_warnings(describe_left_out(counts) + describe_damage(counts.damage, counts.rows_read))
    examples = skip_prompts(last_turns(rows), arguments.skip)[: arguments.limit]
    if arguments.condition is not None:
        condition = ",".join(parse_condition(arguments.condition))
        examples = [replace(example, condition=condition) for example in examples]
    if is_main() and not all(example.condition for example in examples):
        print_warnings([f"{arguments.output}: {NO_CONDITION}"])
    return examples, _describe_data(entry, counts, examples)


def skip_prompts(examples: list[Example], skip: int) -> list[Example]:
    """Return the prompts after the first `skip` ones. Raises UserError if none are left, or the number is negative."""
    if not 0 <= skip < len(examples):
        raise UserError(
            f"invalid value for --skip: {skip}. There are {len(examples):,} prompts, so use 0 to {len(examples) - 1}."
        )
    return examples[skip:]


def _describe_data(entry: Mapping[str, Any], counts: DataCounts, examples: Sequence[Example]) -> dict[str, Any]:
    (part,) = counts.datasets
    read = {
        "format": part.format,
        "rows_read": part.rows_read,
        "rows_bad": part.rows_bad,
        "fingerprint": part.fingerprint,
    }
    return {**{key: value for key, value in entry.items() if value is not None}, **read, "prompts": len(examples)}


def read_context(
    system_file: str | None, examples: str | None, shots: int, condition: str | None, prefix: str = "--"
) -> Context:
    """Return what the prompts have that the rows do not have.

    Args:
        system_file: file with a system text.
        examples: rows that are solved examples.
        shots: number of these examples, the first of the file.
        condition: condition to draw under.
        prefix: what stands before the names of the options in errors.

    Raises:
        UserError: for a system text that cannot be read or is empty, or for examples without their number or the reverse.
    """
    if bool(examples) != bool(shots):
        names = f"{prefix}shots, the number of examples", f"{prefix}examples, the file of the examples"
        raise UserError(f"solved examples need {names[0 if examples else 1]}. Add it, or leave the other option out.")
    if condition is not None:
        parse_condition(condition)
    system = None
    if system_file:
        try:
            system = Path(system_file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UserError(f"cannot read {prefix}system_file {system_file} ({reason}). Name a text file.") from None
        if not system:
            raise UserError(
                f"{prefix}system_file {system_file} is empty. Write the system text into it, or leave it out."
            )
    solved: list[Example] = []
    if examples:
        solved = last_turns(read_examples(examples, default_split="train"))
    for example in solved:
        if len(example.messages) != 1 or not example.reference.strip():
            raise UserError(
                f"{example.source}: {prefix}examples needs single-turn rows with an answer. Leave the row out."
            )
    return Context(system, solved, shots, condition, prefix)


def read_shard(word: str | None) -> tuple[int, int]:
    """Return the number of this share of the prompts, from 0, and the number of shares: of --shard or of the launcher.

    Raises:
        UserError: for an invalid value, or a value under a launcher of several processes.
    """
    rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if word is None:
        return rank, count
    number, slash, total = word.partition("/")
    if not (slash and number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total)):
        raise UserError(
            f"invalid value for --shard: {word}. Use the number of the share and of all shares, such as 1/4."
        )
    if count > 1:
        raise UserError(
            f"--shard {word} cannot be combined with a launcher of {count} processes, which share the prompts. Use one of them."
        )
    return int(number) - 1, int(total)


def own_device() -> str | None:
    """Return the accelerator of this process under a launcher; None on a CPU, or without a launcher."""
    import torch

    local = os.environ.get("LOCAL_RANK")
    if local is None or not torch.accelerator.is_available():
        return None
    return f"{torch.accelerator.current_accelerator()}:{local}"
