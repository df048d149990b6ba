"""`hrm-align rewards [NAME --data FILE]`: list the rewards, or grade given answers with one of them."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hrm_align.commands.common import (
    PathParser,
    add_schema_options,
    describe_left_out,
    name_entry,
    print_warnings,
    read_counted,
    read_examples,
    read_schema_options,
)
from hrm_align.data.dataset import check_bad_rows
from hrm_align.data.examples import Example
from hrm_align.data.named_readers import FORMATS
from hrm_align.data.readers import BadRow
from hrm_align.data.schemas import COLUMNS
from hrm_align.data.sources import read_rows
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import last_turns
from hrm_align.output import emit, results
from hrm_align.rendering import Message
from hrm_align.rewards.base import GRADERS, add_usage, list_options, reward_class
from hrm_align.rewards.preflight import PreflightReport, preflight
from hrm_align.rewards.scoring import BATCH_ROWS, KINDS, Fault
from hrm_align.rewards.suite import RewardSpec, RewardSuite

ANSWER_FIELDS = (
    "generated",
    "completion",
)  # fields of a row with the answer; `hrm-align evaluate --save` writes the first
MOST_VALUES = 8  # reward values with a line of their own in the table


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = PathParser("rewards", "List the rewards, or grade given answers with one of them.")
    parser.add_argument("name", nargs="?", help="name of a reward; without a name, all rewards are listed")
    parser.add_argument("--data", help="rows with their references, or a file that `hrm-align evaluate --save` wrote")
    parser.add_argument(
        "--completions",
        help="JSONL file of answers in the order of the rows, or the field of the rows that holds the answers",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the reward, as in a recipe; may be repeated",
    )
    parser.add_argument("--file", help="Python file of a custom reward")
    parser.add_argument("--function", help="function in --file (default reward)")
    add_schema_options(parser)
    parser.add_argument("--split", help="split of a directory or a Hub id (default test)")
    parser.add_argument(
        "--preflight", action="store_true", help="check the reward: grade the references, and corrupted copies of them"
    )
    parser.add_argument("--limit", type=int, help="use at most this many rows")
    parser.add_argument(
        "--deadline", type=float, default=10.0, help=f"seconds allowed for {BATCH_ROWS} rows (default 10)"
    )
    arguments = parser.parse_args(argv)
    if arguments.name is None and arguments.file is None and arguments.function is None:
        if arguments.data is not None:
            raise UserError(
                f"no reward is named to grade --data {arguments.data}. Name one of {', '.join(GRADERS)}, or give --file."
            )
        emit(json.dumps(listing())) if arguments.json else show_listing()
        return
    spec = read_reward_spec(arguments)
    if arguments.data is None:
        raise UserError(f"the reward {spec.label} has no rows to grade. Name rows with --data.")
    if arguments.preflight and arguments.completions is not None:
        raise UserError(
            "--preflight grades the references of the rows, so --completions has no effect. Leave out one of them."
        )
    if arguments.preflight:
        options = read_schema_options(arguments)
        allowed = options.pop("max_bad_fraction")
        # The report of the preflight names the damaged rows.
        rows, counts = read_counted([name_entry(arguments.data, arguments.split, **options)], None, allowed)
        print_warnings(describe_left_out(counts))
        examples = last_turns(rows)
    else:
        completions, examples = read_answers(arguments)
        completions, examples = completions[: arguments.limit], examples[: arguments.limit]
    with RewardSuite([spec], deadline=arguments.deadline) as suite:
        if arguments.preflight:
            show_preflight(preflight(suite, examples, limit=arguments.limit), arguments.json)
        else:
            show_grades(grade(suite, completions, examples), arguments.json)


def read_reward_spec(arguments: argparse.Namespace) -> RewardSpec:
    """Build the reward that the arguments name. Raises UserError for invalid arguments."""
    if arguments.name is not None and arguments.file is not None:
        raise UserError(
            f"a reward is given twice, by the name {arguments.name} and by --file {arguments.file}. Use one of them."
        )
    if arguments.function is not None and arguments.file is None:
        raise UserError(f"--function {arguments.function} needs the Python file that defines it. Add --file.")
    entry: dict[str, Any] = {"name": arguments.name} if arguments.file is None else {"file": arguments.file}
    if arguments.function is not None:
        entry["function"] = arguments.function
    for words in arguments.option:
        key, equals, value = words.partition("=")
        if not equals or not key or key in (*entry, "weight", "label"):
            raise UserError(
                f"invalid value for --option: {words}. Write an option of the reward as KEY=VALUE, such as tolerance=0.01."
            )
        entry[key] = _parse_value(value, words)
    return RewardSpec.of(entry)


def _parse_value(text: str, words: str) -> Any:
    """Parse an option's value as YAML, as in a recipe; the values of `pattern` and `rubric` are taken as text."""
    if words.startswith(("pattern=", "rubric=")):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"invalid value for --option: {words} is not valid YAML. Put the value in quotes.") from None


def read_answers(arguments: argparse.Namespace) -> tuple[list[str], list[Example]]:
    """Read answers, and the examples that they answer.

    Args:
        arguments: `data`, rows with references, or a file that `hrm-align evaluate --save` wrote, which has answers too;
            `completions`, a JSONL file with one answer per row, or the field of the rows that holds the answer (default
            `generated` or `completion`); and the options for reading the rows.

    Returns:
        The answers, and an example for each.

    Raises:
        UserError: if there is not exactly one answer for each row.
    """
    data, completions = arguments.data, arguments.completions
    reading = {"split": arguments.split, **read_schema_options(arguments)}
    if completions is not None and completions.lower().endswith((".jsonl", ".ndjson", ".json", ".gz")):
        examples = last_turns(read_examples(data, **reading))
        answers = [_find_answer(row, source, None) for row, source in _read_json_rows(completions, None)]
        if len(answers) != len(examples):
            raise UserError(
                f"{completions} has {len(answers)} answers, and {data} has {len(examples)} rows. Give one answer per row."
            )
        return answers, examples
    rows = _read_json_rows(data, reading["max_bad_fraction"])
    is_saved_evaluation = all({"expected", "prompt", "source"} <= row.keys() for row, _ in rows)
    if is_saved_evaluation:
        answers = [_find_answer(row, source, completions) for row, source in rows]
        return answers, [_example_of_saved_row(row) for row, _ in rows]
    reading["ignore_columns"] = [
        *(reading["ignore_columns"] or ()),
        *_columns_of_answers(completions, arguments.format),
    ]
    examples, by_source = last_turns(read_examples(data, **reading)), {source: row for row, source in rows}
    answers = [_find_answer(by_source[example.source], example.source, completions) for example in examples]
    return answers, examples


def _columns_of_answers(name: str | None, schema: str | None) -> list[str]:
    """Return the columns of the answers to grade, without those that the schema reads."""
    read = COLUMNS if schema not in FORMATS else FORMATS[schema].columns
    return [column for column in ([name] if name is not None else ANSWER_FIELDS) if column not in read]


def _read_json_rows(path: str, max_bad_fraction: float | None) -> list[tuple[dict[str, Any], str]]:
    """Read the rows of a file with their places (`file:line`). Raises UserError for too many malformed rows."""
    rows, bad = [], []
    for row in read_rows(path):
        if isinstance(row, BadRow):
            bad.append(row)
        else:
            rows.append((row.data, row.source))
    check_bad_rows(bad, len(rows) + len(bad), max_bad_fraction)
    return rows


def _find_answer(row: dict[str, Any], source: str, name: str | None) -> str:
    """Return the answer in a row: the field `name`, or else the first of `ANSWER_FIELDS`. Raises UserError without one."""
    names = [name] if name is not None else ANSWER_FIELDS
    for key in names:
        if isinstance(row.get(key), str):
            return row[key]
    raise UserError(
        f"{source}: the row has no text field {' or '.join(names)}, only {', '.join(row)}. Name the field or the file of the "
        "answers with --completions."
    )


def _example_of_saved_row(row: dict[str, Any]) -> Example:
    """Build the example of a row that `hrm-align evaluate --save` wrote."""
    message = Message("user", str(row["prompt"]))
    grading = row.get("grading") or {}
    return Example(
        (message,), Message("assistant", row["expected"]), "direct", row["source"], row.get("group"), grading
    )


def grade(suite: RewardSuite, completions: Sequence[str], examples: Sequence[Example]) -> dict[str, Any]:
    """Grade answers with the only reward of a suite. Returns `reward, n, graded, mean, values, faults, first_fault, why`.

    For a judge the result also has `usage`: requests, tokens and cost.
    """
    values: list[float | None] = []
    faults: list[Fault] = []
    usage: dict[str, dict[str, float]] = {}
    why = ""
    for start in range(0, len(completions), BATCH_ROWS):
        part = slice(start, start + BATCH_ROWS)
        scores = suite.score(completions[part], examples[part])
        values += scores.values[suite.names[0]]
        faults += scores.faults
        usage = add_usage(usage, scores.usage)
        why = why or next(iter(scores.why.get(suite.names[0], {}).values()), "")
    numbers = [value for value in values if value is not None]
    first: dict[str, str | None] = {}
    for kind in KINDS:
        details = (f"{fault.source or 'all rows'}: {fault.detail}" for fault in faults if fault.kind == kind)
        first[kind] = next(details, None)
    return {
        "reward": suite.names[0],
        "n": len(values),
        "graded": len(numbers),
        "mean": sum(numbers) / len(numbers) if numbers else None,
        "values": {f"{value:g}": count for value, count in Counter(sorted(numbers)).items()},
        "faults": dict(Counter(fault.kind for fault in faults)),
        "first_fault": {kind: detail for kind, detail in first.items() if detail is not None},
        "why": why,
        **({"usage": usage[suite.names[0]]} if usage else {}),
    }


def show_grades(grades: dict[str, Any], as_json: bool) -> None:
    """Print the result of `grade`."""
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
    for line in [grades["why"], *grades["first_fault"].values(), describe_usage(grades.get("usage", {}))]:
        if line:
            console.print(line, markup=False, highlight=False)


def describe_usage(usage: Mapping[str, float]) -> str:
    """Return what a judge used, such as `64 requests, 0 cached, 12,800 prompt_tokens`; "" for no usage."""
    return ", ".join(f"{count:,.6g} {name}" for name, count in usage.items())


def show_preflight(report: PreflightReport, as_json: bool) -> None:
    """Print the result of a preflight. Raises UserError (exit code 2) if a row fails, or a judge has no pairs."""
    if as_json:
        emit(json.dumps(report.to_dict()))
    else:
        Console(file=results()).print(report.render())
    for name, pairs in report.pairs.items():
        if not as_json:
            emit(f"{name}: {describe_usage(pairs.usage) or 'nothing used'}")
        if not pairs.pairs:
            raise UserError(
                f"the rows have no pairs for the preflight of {name}. Give references, or grading.better and grading.worse."
            )
    report.require(None)


def listing() -> list[dict[str, Any]]:
    """Return `name, description, options` of every reward."""
    rewards = []
    for name in GRADERS:
        kind = reward_class(name)
        options = [{"name": key, "default": default, "help": text} for key, default, text in list_options(kind)]
        rewards.append({"name": name, "description": " ".join((kind.__doc__ or "").split()), "options": options})
    return rewards


def show_listing() -> None:
    """Print the rewards and their options."""
    table = Table("reward", "description", "options", show_lines=True)
    for reward in listing():
        options = "\n".join(f"{option['name']}: {option['help']}" for option in reward["options"])
        table.add_row(reward["name"], escape(reward["description"]), escape(options))
    console = Console(file=results())
    console.print(table)
    console.print(
        "For a custom reward use --file mine.py --function reward, with `def reward(prompts, completions, **columns)` in mine.py.",
        markup=False,
    )
