"""`hrm-align rewards [NAME --data FILE]`: what the rewards are, and what they give for answers that you have."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hrm_align.commands.common import PathParser, add_schema_options, at_least, read_examples, schema_of
from hrm_align.data.examples import Example
from hrm_align.data.readers import BadRow
from hrm_align.data.sources import read_rows
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import last_turns
from hrm_align.output import emit, results
from hrm_align.rendering import Message
from hrm_align.rewards.base import GRADERS, options_of, reward_class
from hrm_align.rewards.preflight import BATCH_ROWS, PreflightReport, preflight
from hrm_align.rewards.suite import KINDS, Fault, RewardSpec, RewardSuite

ANSWER_FIELDS = ("generated", "completion")  # of a row: what `hrm-align evaluate --save` writes, or any other
MOST_VALUES = 8  # that are counted by themselves in the table


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = PathParser("rewards", "List the rewards, or grade answers that you have.")
    parser.add_argument("name", nargs="?", help="a reward; without one, list them")
    parser.add_argument("--data", help="rows with their right answers, or what `hrm-align evaluate --save` has written")
    parser.add_argument(
        "--completions", help="JSONL of answers in the order of the rows, or the rows' field that has them"
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="of the reward, as in a recipe"
    )
    parser.add_argument("--file", help="Python file of your own reward")
    parser.add_argument("--function", help="its function (default reward)")
    add_schema_options(parser)
    parser.add_argument("--split", help="of a directory or a Hub id (default test)")
    parser.add_argument("--preflight", action="store_true", help="grade the rows' own answers, right and corrupted")
    parser.add_argument("--limit", type=int, help="look at only so many rows")
    parser.add_argument("--deadline", type=float, default=10.0, help=f"seconds for {BATCH_ROWS} rows (default 10)")
    arguments = parser.parse_args(argv)
    if arguments.limit is not None:
        at_least(arguments.limit, 1, "--limit")
    if arguments.name is None and arguments.file is None:
        if arguments.data is not None:
            raise UserError(
                f"--data {arguments.data} is to be graded by which reward? Name one of {', '.join(GRADERS)}."
            )
        emit(json.dumps(listing())) if arguments.json else show_listing()
        return
    spec = spec_of(arguments)
    if arguments.data is None:
        raise UserError(f"the reward {spec.label} needs rows to grade: name them with --data.")
    if arguments.preflight and arguments.completions is not None:
        raise UserError("--preflight grades the rows' own answers: leave out --completions.")
    if arguments.preflight:
        examples = last_turns(read_examples(arguments.data, split=arguments.split, **schema_of(arguments)))
    else:
        completions, examples = read_answers(arguments)
        completions, examples = completions[: arguments.limit], examples[: arguments.limit]
    with RewardSuite([spec], deadline=arguments.deadline) as suite:
        if arguments.preflight:
            show_preflight(preflight(suite, examples, limit=arguments.limit), arguments.json)
        else:
            show_grades(grade(suite, completions, examples), arguments.json)


def spec_of(arguments: argparse.Namespace) -> RewardSpec:
    """The reward that the arguments name."""
    if arguments.name is not None and arguments.file is not None:
        raise UserError(f"there is a name, {arguments.name}, and a --file, {arguments.file}: give one of them.")
    if arguments.function is not None and arguments.file is None:
        raise UserError(f"--function {arguments.function} is a function of which --file?")
    entry: dict[str, Any] = {"name": arguments.name} if arguments.file is None else {"file": arguments.file}
    if arguments.function is not None:
        entry["function"] = arguments.function
    for words in arguments.option:
        key, equals, value = words.partition("=")
        if not equals or not key or key in (*entry, "weight", "label"):
            raise UserError(f"--option {words}: write an option of the reward as KEY=VALUE, such as tolerance=0.01.")
        entry[key] = _value(value, words)
    return RewardSpec.of(entry)


def _value(text: str, words: str) -> Any:
    """A number, a list or a word as a recipe would read it. A pattern is taken as it stands."""
    if words.startswith("pattern="):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--option {words}: the value is no YAML; put it in quotes.") from None


def read_answers(arguments: argparse.Namespace) -> tuple[list[str], list[Example]]:
    """Answers, and the examples that they answer.

    Args:
        arguments: `data`, rows with their right answers, or what `hrm-align evaluate --save` has written, which has both;
            `completions`, JSONL of answers, one for each row, or a field of the rows, by default `generated` or
            `completion`; and what says how to read the rows.

    Raises:
        UserError: if there is not one answer for each row.
    """
    data, completions = arguments.data, arguments.completions
    told = {"split": arguments.split, **schema_of(arguments)}
    if completions is not None and completions.lower().endswith((".jsonl", ".ndjson", ".json", ".gz")):
        examples = last_turns(read_examples(data, **told))
        answers = [_answer(row, source, None) for row, source in _rows(completions)]
        if len(answers) != len(examples):
            raise UserError(
                f"{completions} holds {len(answers)} answers and {data} {len(examples)} rows: give one each."
            )
        return answers, examples
    rows = _rows(data)
    answers = [_answer(row, source, completions) for row, source in rows]
    saved = all({"expected", "prompt", "source"} <= row.keys() for row, _ in rows)
    return answers, [_saved(row) for row, _ in rows] if saved else last_turns(read_examples(data, **told))


def _rows(path: str) -> list[tuple[dict[str, Any], str]]:
    found = []
    for row in read_rows(path):
        if isinstance(row, BadRow):
            raise UserError(f"{row.source}: {row.reason}. Mend the row.")
        found.append((row.data, row.source))
    return found


def _answer(row: dict[str, Any], source: str, name: str | None) -> str:
    wanted = [name] if name is not None else ANSWER_FIELDS
    for key in wanted:
        if isinstance(row.get(key), str):
            return row[key]
    raise UserError(
        f"{source}: there is no text `{' or '.join(wanted)}` among {', '.join(row)}: name the field, or the file, of the "
        "answers with --completions."
    )


def _saved(row: dict[str, Any]) -> Example:
    """An example of a line that `hrm-align evaluate --save` has written."""
    message = Message("user", str(row["prompt"]))
    grading = row.get("grading") or {}
    return Example(
        (message,), Message("assistant", row["expected"]), "direct", row["source"], row.get("group"), grading
    )


def grade(suite: RewardSuite, completions: Sequence[str], examples: Sequence[Example]) -> dict[str, Any]:
    """What the one reward of a suite gives: `reward, n, graded, mean, values, faults, first_fault, why`."""
    values: list[float | None] = []
    faults: list[Fault] = []
    why = ""
    for start in range(0, len(completions), BATCH_ROWS):
        part = slice(start, start + BATCH_ROWS)
        scores = suite.score(completions[part], examples[part])
        values += scores.values[suite.names[0]]
        faults += scores.faults
        why = why or next(iter(scores.why.get(suite.names[0], {}).values()), "")
    numbers = [value for value in values if value is not None]
    first = {
        kind: next((f"{f.source or 'all rows'}: {f.detail}" for f in faults if f.kind == kind), None) for kind in KINDS
    }
    return {
        "reward": suite.names[0],
        "n": len(values),
        "graded": len(numbers),
        "mean": sum(numbers) / len(numbers) if numbers else None,
        "values": {f"{value:g}": count for value, count in Counter(sorted(numbers)).items()},
        "faults": dict(Counter(fault.kind for fault in faults)),
        "first_fault": {kind: told for kind, told in first.items() if told is not None},
        "why": why,
    }


def show_grades(grades: dict[str, Any], as_json: bool) -> None:
    """Print what `grade` has found."""
    if as_json:
        emit(json.dumps(grades))
        return
    console = Console(file=results())
    mean = "" if grades["mean"] is None else f", mean {grades['mean']:.4f}"
    console.print(f"{grades['reward']}: {grades['graded']} of {grades['n']} answers graded{mean}", markup=False)
    table = Table("value", "answers")
    frequent = sorted(grades["values"].items(), key=lambda item: -item[1])
    for value, count in frequent[:MOST_VALUES]:
        table.add_row(value, str(count))
    if len(frequent) > MOST_VALUES:
        table.add_row(f"{len(frequent) - MOST_VALUES} other values", str(sum(n for _, n in frequent[MOST_VALUES:])))
    table.add_row("None: cannot be graded", str(grades["n"] - grades["graded"]))
    for kind, count in grades["faults"].items():
        table.add_row(f"fault: {kind} ({KINDS[kind]})", str(count))
    console.print(table)
    for line in [grades["why"], *grades["first_fault"].values()]:
        if line:
            console.print(line, markup=False, highlight=False)


def show_preflight(report: PreflightReport, as_json: bool) -> None:
    """Print what a preflight has found; the exit code is 2 if a row fails."""
    if as_json:
        emit(json.dumps(report.to_dict()))
    else:
        Console(file=results()).print(report.table())
    report.require(None)


def listing() -> list[dict[str, Any]]:
    """Every reward: `name, description, options`."""
    found = []
    for name in GRADERS:
        kind = reward_class(name)
        options = [{"name": key, "default": default, "help": text} for key, default, text in options_of(kind)]
        found.append({"name": name, "description": " ".join((kind.__doc__ or "").split()), "options": options})
    return found


def show_listing() -> None:
    """Print the rewards and their options."""
    table = Table("reward", "what it gives", "options", show_lines=True)
    for reward in listing():
        options = "\n".join(f"{option['name']}: {option['help']}" for option in reward["options"])
        table.add_row(reward["name"], escape(reward["description"]), escape(options))
    console = Console(file=results())
    console.print(table)
    console.print(
        "Your own: --file mine.py --function reward, for `def reward(prompts, completions, **columns)`.", markup=False
    )
