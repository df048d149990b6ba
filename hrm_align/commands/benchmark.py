"""`hrm-align benchmark --model M [--tasks gsm8k,math]`: run public benchmarks as the official evaluation does, or compare two runs."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hrm_align._version import __version__
from hrm_align.commands.common import CommandParser, at_least, load, print_warnings
from hrm_align.commands.sample import own_device, read_shard, saved_chunks
from hrm_align.errors import UserError
from hrm_align.evaluation.benchmark_scoring import Answerer, check_grader, compare, describe
from hrm_align.evaluation.benchmarks import BENCHMARKS, PAPER, Benchmark, Question, read_questions
from hrm_align.evaluation.chunk_files import ChunkedFile, card_path
from hrm_align.models.adapter_record import fingerprint
from hrm_align.output import emit, results
from hrm_align.progress import counting, is_main
from hrm_align.rendering import parse_condition

CHUNK_QUESTIONS = 64  # questions of a chunk, which is written as a whole: the most that a kill loses
FORMAT = 1  # of rows and prompts; files of another format are not continued

DESCRIPTION = """\
Run public benchmarks with the prompts, conditions and solved examples of the official evaluation of
HRM-Text, and print the scores beside the published ones. Or compare the answers of two runs."""
EXAMPLES = """\
examples:
  hrm-align benchmark --model sapientinc/HRM-Text-1B --out results/base
  hrm-align benchmark --model runs/mine --tasks gsm8k,arc_challenge --data my/benchmarks --limit 200 --out results/mine
  hrm-align benchmark --model runs/mine --tasks gsm8k --data gsm8k=test.jsonl --conditions direct cot synth,cot
  hrm-align benchmark --compare results/base results/mine

  several processes, each with a share of the questions:
  accelerate launch --num_processes 8 --module hrm_align.cli benchmark --model M --out DIR"""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    arguments = _parser().parse_args(argv)
    if arguments.compare:
        compare_folders(arguments)
        return
    if not arguments.model:
        raise UserError("name a model with --model, or two folders of --out with --compare.")
    tasks, data = read_tasks(arguments.tasks), read_data(arguments.data)
    conditions = [",".join(parse_condition(condition)) for condition in arguments.conditions or ()]
    shard, shards = read_shard(None)
    if arguments.out is None and shards > 1:
        raise UserError("several processes share their answers in a folder. Name one with --out.")
    # Read the rows before the model, so that an error in them is reported at once.
    for name in tasks:
        check_grader(name)
    questions = {name: read_questions(name, find_data(name, data), arguments.limit) for name in tasks}
    if shards > 1 and arguments.device is None:
        arguments.device = own_device()
    model, tokenizer = load(arguments)
    answerer = Answerer(model, tokenizer, at_least(arguments.batch_size, 1, "--batch_size"), arguments.max_new_tokens)
    cards: list[dict[str, Any]] = []
    with nullcontext(arguments.out) if arguments.out else tempfile.TemporaryDirectory() as out:
        folder = make_folder(Path(out))
        for name in tasks:
            for condition in conditions or [BENCHMARKS[name].condition]:
                card = run_cell(
                    arguments, model, answerer, folder, (name, condition, *questions[name]), (shard, shards)
                )
                cards += [card] if card is not None else []
    if is_main():
        report(cards, arguments.json)


def _parser() -> CommandParser:
    parser = CommandParser("benchmark", DESCRIPTION, needs_model=False)
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EXAMPLES
    parser.add_argument(
        "--tasks",
        default=",".join(PAPER),
        help=f"names with commas between them (default: the eight of the paper); also {', '.join(t for t in BENCHMARKS if t not in PAPER)}",
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="DIR|TASK=PATH",
        help="local copies: a folder with a folder for each task, or the file or folder of one task; may be repeated (default: the Hub)",
    )
    parser.add_argument(
        "--conditions",
        nargs="+",
        metavar="CONDITION",
        help="run each task under each of these conditions (default: the condition of the official evaluation)",
    )
    parser.add_argument("--limit", type=int, help="use at most this many questions of each task, evenly spread")
    parser.add_argument(
        "--max_new_tokens", type=int, help="longest answer, in tokens (default: the rest of the context, as officially)"
    )
    parser.add_argument("--batch_size", type=int, default=16, help="prompts per batch (default 16)")
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder of answers and scores, in which a killed run is continued (default: none are kept)",
    )
    parser.add_argument(
        "--compare", nargs=2, metavar=("BEFORE", "AFTER"), help="compare two folders of --out, question by question"
    )
    return parser


# --- Options


def read_tasks(text: str) -> list[str]:
    """Return the names of --tasks. Raises UserError for an unknown one."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in BENCHMARKS:
            raise UserError(f"invalid value for --tasks: {name}. Use {', '.join(BENCHMARKS)}.")
    if not names:
        raise UserError(f"--tasks names no task. Use {', '.join(BENCHMARKS)}.")
    return names


def read_data(words: Sequence[str]) -> dict[str, str]:
    """Return the paths of --data by task; the folder of all tasks has the name ""."""
    paths: dict[str, str] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if equals and name not in BENCHMARKS:
            raise UserError(f"invalid value for --data: {word}. Write TASK=PATH with one of {', '.join(BENCHMARKS)}.")
        name, path = (name, path) if equals else ("", word)
        if name in paths:
            raise UserError(f"--data names {name or 'a folder of all tasks'} twice. Name it once.")
        if not name and not os.path.isdir(path):
            raise UserError(f"invalid value for --data: there is no folder {path}. Name a folder, or TASK=FILE.")
        paths[name] = path
    return paths


def find_data(name: str, paths: Mapping[str, str]) -> str | None:
    """Return the local copy of a task; None for the Hub.

    Raises:
        UserError: if the folder of all tasks has none of this name.
    """
    if name in paths:
        return paths[name]
    if "" not in paths:
        return None
    path = os.path.join(paths[""], name)
    if not os.path.isdir(path):
        raise UserError(
            f"there is no folder {path}. Put a copy of {BENCHMARKS[name].hub} there, name it with --data {name}=PATH, or leave {name} "
            "out of --tasks."
        )
    return path


def make_folder(path: Path) -> Path:
    """Make the folder of --out. Raises UserError if that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder of --out, {path} ({error.strerror}). Name another folder.") from None
    return path


# --- One task under one condition


def run_cell(
    arguments: argparse.Namespace,
    model: Any,
    answerer: Answerer,
    folder: Path,
    cell: tuple[str, str, Sequence[Question], bool],
    share: tuple[int, int],
) -> dict[str, Any] | None:
    """Answer the questions of a task under a condition; chunks that are on disk are not answered again.

    Args:
        arguments: the options.
        model: the model.
        answerer: generates and grades the answers.
        folder: folder of the files.
        cell: task, condition, questions, and whether their prompts are the official ones.
        share: number of this process, from 0, and number of processes.

    Returns:
        The card of the file; None on the other processes of a launch.
    """
    (name, condition, questions, is_official), (shard, shards) = cell, share
    benchmark = BENCHMARKS[name]
    config = model.config
    settings = {
        "format": FORMAT,
        "task": name,
        "condition": condition,
        "questions": f"{len(questions):,} prompts {_digest(questions)}",
        "model": f"weights {fingerprint(model)}, cycles {config.H_cycles} x {config.L_cycles}",
        "dtype": str(model.dtype).removeprefix("torch."),
        "max_new_tokens": arguments.max_new_tokens,
    }
    chunks = [questions[start : start + CHUNK_QUESTIONS] for start in range(0, len(questions), CHUNK_QUESTIONS)]
    file = ChunkedFile(folder / f"{name}.{condition.replace(',', '+')}.jsonl", settings, len(chunks), option="--out")
    card = file.check()
    if card is None:
        left = file.missing(range(shard, len(chunks), shards))
        file.begin()
        total = sum(len(chunks[number]) for number in left)
        with counting(f"{name}, {condition}", total, "answers") as done, saved_chunks(file):
            for number in left:
                file.write(number, *answerer.answer(name, chunks[number], condition, done.advance))
        if shards > 1 and is_main():
            file.wait()
    if not is_main():
        return None
    made = {
        "hrm_align": __version__,
        "task": name,
        "title": benchmark.title,
        "condition": condition,
        "shots": benchmark.shots,
        "prompts": _describe_prompts(benchmark, condition, is_official, arguments),
        "model": str(arguments.model),
        "revision": getattr(config, "_commit_hash", None) or f"weights {fingerprint(model)}",
        "engine": "LocalEngine",
        "device": str(model.device),
        "published": benchmark.published,
        "published_in": benchmark.published_in,
    }
    return card or file.finish(lambda parts: {**made, **describe(name, parts)})


def _describe_prompts(benchmark: Benchmark, condition: str, is_official: bool, arguments: argparse.Namespace) -> str:
    """Return `official`, or in what the run differs from the official evaluation."""
    others = [
        ("layout of hrm_align", not benchmark.is_official),
        ("other solved examples", benchmark.is_official and not is_official),
        ("other condition", benchmark.is_official and condition != benchmark.condition),
        ("a part of the questions", arguments.limit is not None),
        ("shorter answers", arguments.max_new_tokens is not None and benchmark.max_new_tokens is None),
    ]
    return ", ".join(text for text, differs in others if differs) or "official"


def _digest(questions: Sequence[Question]) -> str:
    content = [[q.prompt, q.reference, q.group, [[m.role, m.content] for m in q.messages]] for q in questions]
    return sha256(json.dumps(content).encode()).hexdigest()[:16]


# --- Reports


def report(cards: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print the scores of all tasks and conditions."""
    if as_json:
        emit(json.dumps({"results": list(cards)}))
        return
    console = Console(file=results())
    table = _table("task", "condition", "score", "95 %", "official", "published", "n", "tokens", "time")
    for card in cards:
        low, high = card["interval"]
        table.add_row(
            escape(card["title"]),
            card["condition"],
            f"{100 * card['score']:.1f}",
            f"{100 * low:.1f}-{100 * high:.1f}",
            "-" if card["official"] is None else f"{100 * card['official']:.1f}",
            "-" if card["published"] is None else f"{card['published']:.1f}",
            f"{card['n']:,}",
            _short(card["prompt_tokens"] + card["tokens"]),
            f"{card['seconds']:,.0f} s",
        )
    console.print(table)
    for line in _notes(cards):
        console.print(line, markup=False, highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < 2 else "right")
    return table


def _short(number: int) -> str:
    return f"{number / 1e6:.1f}M" if number >= 1e6 else f"{number / 1e3:.1f}k" if number >= 1e3 else str(number)


def _notes(cards: Sequence[Mapping[str, Any]]) -> list[str]:
    first = cards[0]
    lines = [
        f"model {first['model']}, {first['revision']}; engine {first['engine']} on {first['device']}; hrm_align {first['hrm_align']}",
        "score: share of right answers by hrm_align's graders. official: the rule of the official evaluation, which made the published "
        "scores of HRM-Text-1B.",
    ]
    sources: dict[str, list[str]] = {}
    for card in cards:
        if card["published_in"]:
            sources.setdefault(card["published_in"], []).append(card["title"])
    lines += [f"published ({where}): {', '.join(dict.fromkeys(titles))}" for where, titles in sources.items()]
    for card in cards:
        facts = [
            (card["prompts"] != "official", f"not as in the official evaluation ({card['prompts']})"),
            (
                card["too_long"],
                f"{card['too_long']:,} prompts leave no room for an answer and count as wrong (first {', '.join(card['first_too_long'])})",
            ),
            (card["unfinished"], f"{card['unfinished']:,} answers did not end, and were graded as they are"),
            (card["invalid"], f"{card['invalid']:,} answers state nothing that the official rule reads"),
        ]
        if shown := [text for is_so, text in facts if is_so]:
            lines.append(f"{card['title']}, {card['condition']}: {'; '.join(shown)}.")
    return lines


def compare_folders(arguments: argparse.Namespace) -> None:
    """Print what changed between two folders of --out, task by task."""
    before, after = (_read_cards(Path(folder)) for folder in arguments.compare)
    shared = [cell for cell in before if cell in after]
    if not shared:
        raise UserError(
            f"{arguments.compare[0]} and {arguments.compare[1]} have no task under the same condition in common."
        )
    alone = [
        f"{task} ({condition})"
        for task, condition in dict.fromkeys([*before, *after])
        if (task, condition) not in shared
    ]
    if alone:
        print_warnings([f"Warning: {', '.join(alone)} stands in one of the folders only, and is left out."])
    cells = []
    for task, condition in shared:
        old, new = before[task, condition], after[task, condition]
        if old["settings"]["questions"] != new["settings"]["questions"]:
            raise UserError(
                f"{task} ({condition}) was run on other questions: {old['settings']['questions']} and {new['settings']['questions']}. Run "
                "both with the same --data and --limit."
            )
        changes = compare(_read_rows(old["path"]), _read_rows(new["path"]))
        cells.append({"task": task, "title": old["title"], "condition": condition, **changes})
    if arguments.json:
        emit(json.dumps({"before": arguments.compare[0], "after": arguments.compare[1], "results": cells}))
        return
    console = Console(file=results())
    table = _table("task", "condition", "before", "after", "change", "95 %", "learned", "forgotten", "n")
    for cell in cells:
        low, high = cell["interval"]
        table.add_row(
            cell["title"],
            cell["condition"],
            f"{100 * cell['before']:.1f}",
            f"{100 * cell['after']:.1f}",
            f"{100 * cell['difference']:+.1f}",
            f"{100 * low:+.1f} to {100 * high:+.1f}",
            f"{cell['learned']:,}",
            f"{cell['forgotten']:,}",
            f"{cell['n']:,}",
        )
    console.print(table)
    for cell in cells:
        if cell["forgotten"]:
            first = ", ".join(cell["forgotten_rows"][:3])
            console.print(f"{cell['title']}, forgotten: first {first}", markup=False, highlight=False)


def _read_cards(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the cards of a folder of --out by task and condition, each with the `path` of its rows."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}. Name a folder of --out.")
    cards: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        try:
            card = json.loads(card_path(path).read_text(encoding="utf-8"))
            cards[card["task"], card["condition"]] = {**card, "path": path}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    if not cards:
        raise UserError(
            f"{folder} has no finished task. Name a folder of --out, or run the command that fills it again."
        )
    return cards


def _read_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
