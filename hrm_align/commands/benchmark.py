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

from hrm_align._version import __version__
from hrm_align.commands.benchmark_report import compare_folders, report
from hrm_align.commands.common import CommandParser, at_least, load
from hrm_align.commands.sample import own_device, read_shard, saved_chunks
from hrm_align.errors import UserError
from hrm_align.evaluation.benchmark_scoring import Answerer, check_grader, describe
from hrm_align.evaluation.benchmarks import BENCHMARKS, PAPER, Benchmark, Question, read_questions
from hrm_align.evaluation.chunk_files import ChunkedFile
from hrm_align.models.adapter_record import fingerprint
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
        before, after = arguments.compare
        compare_folders(before, after, as_json=arguments.json)
        return
    if not arguments.model:
        raise UserError("name a model with --model, or two folders of --out with --compare.")
    for option in ("limit", "max_new_tokens", "batch_size"):
        if (value := getattr(arguments, option)) is not None:
            at_least(value, 1, f"--{option}")
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
    answerer = Answerer(model, tokenizer, arguments.batch_size, arguments.max_new_tokens)
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
        if left or is_main():  # otherwise the file may be complete by now
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
