"""`hrm-align evaluate --model M --data FILE`: graded answers to held-out rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hrm_align.commands.common import (
    CommandParser,
    add_adapter_option,
    add_schema_options,
    asked_in_turn,
    at_least,
    check_save,
    load,
    read_examples,
    schema_of,
)
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import Evaluation, Score, evaluate, few_shot, last_turns
from hrm_align.models.prefix_mask import causal_prompt
from hrm_align.output import emit, results
from hrm_align.rewards.base import check_match, match_names, metric_name
from hrm_align.rewards.json_rewards import grade_fields, read_schema
from hrm_align.rewards.text_rewards import visible

ALL = "all"  # the row of the total, and the group of rows that name none


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser("evaluate", "Graded answers to held-out rows, with 95 % intervals.")
    parser.add_argument("--data", required=True, help="rows to ask, in any format that training reads")
    add_schema_options(parser)
    parser.add_argument("--split", help="of a directory or a Hub id (default test, of a file: all of it)")
    parser.add_argument("--condition", help="ask every row under this condition (default: the row's own, else direct)")
    parser.add_argument("--few_shot", type=int, default=0, help="solved examples in the prompt: 0, or 2 to 8")
    parser.add_argument("--few_shot_data", help="where they are drawn from (default: the other rows of --data)")
    parser.add_argument("--match", default="exact", help=f"grader: {', '.join(match_names())} (default exact)")
    parser.add_argument("--schema", help="with --match json: grade against this JSON schema and by field, too")
    parser.add_argument("--limit", type=int, help="ask only the first so many rows")
    parser.add_argument("--max_new_tokens", type=int, default=256, help="longest answer, in tokens (default 256)")
    parser.add_argument("--batch_size", type=int, default=64, help="prompts a batch (default 64)")
    parser.add_argument("--causal_prompt", action="store_true", help="run the prompt causally: what the mask is worth")
    parser.add_argument("--save", help="write every question, answer and its grade to this new JSONL file")
    add_adapter_option(parser)
    arguments = parser.parse_args(argv)
    for option, least in (("limit", 1), ("max_new_tokens", 1), ("batch_size", 1)):
        if getattr(arguments, option) is not None:
            at_least(getattr(arguments, option), least, f"--{option}")
    check_save(arguments.save)
    check_match(arguments.match, "--match")
    if arguments.schema and arguments.match != "json":
        raise UserError(f"--schema grades JSON, and --match is {arguments.match}: add --match json.")
    json_schema = read_schema(Path(arguments.schema)) if arguments.schema else None
    schema, solved = schema_of(arguments), arguments.few_shot_data
    rows = last_turns(read_examples(arguments.data, arguments.condition, arguments.split, **schema))
    pool = last_turns(read_examples(solved, **schema)) if solved else rows
    examples = few_shot(rows[: arguments.limit], pool, arguments.few_shot)
    model, tokenizer = load(arguments)
    results: dict[str, Evaluation] = {}
    for name in asked_in_turn(model):
        with causal_prompt(model) if arguments.causal_prompt else nullcontext():
            results[name] = evaluate(
                model,
                tokenizer,
                examples,
                condition=arguments.condition,
                max_new_tokens=arguments.max_new_tokens,
                batch_size=arguments.batch_size,
                match=arguments.match,
                extract=arguments.save is not None,
            )
    several = len(results) > 1
    if arguments.save:
        lines = [
            json.dumps({**({"adapter": name} if several else {}), **sample}, ensure_ascii=False) + "\n"
            for name, result in results.items()
            for sample in result.samples
        ]
        Path(arguments.save).write_text("".join(lines), encoding="utf-8")
    if arguments.json:
        settings = {name: getattr(arguments, name) for name in ("model", "data", "condition", "few_shot")}
        settings["mask"] = "causal" if arguments.causal_prompt else "prefix"
        told = {name: result.to_dict() | _fields(result, json_schema) for name, result in results.items()}
        emit(json.dumps({**({"adapters": told} if several else told[next(iter(told))]), **settings}))
        return
    for name, result in results.items():
        show(result, title=name if several else None)
        if json_schema is not None:
            show_fields(_fields(result, json_schema)["json"])


def _fields(result: Evaluation, schema: Draft202012Validator | None) -> dict[str, Any]:
    if schema is None:
        return {}
    pairs = [(visible(sample["generated"]), sample["expected"]) for sample in result.samples]
    return {"json": grade_fields(pairs, schema).to_dict()}


def show_fields(report: dict[str, Any]) -> None:
    """Print how many answers the schema allows, and the share of right ones of each field."""
    n = report["n"]
    table = Table("field", "right", "n", title=f"{report['schema_valid']} of {n} valid under the schema")
    for name, part in report["fields"].items():
        table.add_row(escape(name), f"{100 * part['correct'] / part['n']:.1f} %", str(part["n"]))
    Console(file=results()).print(table)


def show(result: Evaluation, title: str | None = None) -> None:
    """Print the table of groups and the first wrong answers."""
    console = Console(file=results())
    metric = metric_name(result.score.grader).replace("_", " ")
    table = Table("group", metric, "95 % interval", "n", title=title and escape(title), title_justify="left")
    for name, score in sorted(result.groups.items() if result.groups.keys() != {ALL} else ()):
        table.add_row(escape(name), *_cells(score))
    table.add_section()
    table.add_row(ALL, *_cells(result.score), style="bold")
    console.print(table)
    if result.unfinished:
        console.print(f"{result.unfinished} answers had no end token within --max_new_tokens; they count as wrong.")
    for sample in [sample for sample in result.samples if not sample["correct"]][:3]:
        console.print(f"\n{sample['source']}", style="dim", markup=False, highlight=False)
        for label, key in (("asked", "prompt"), ("expected", "expected"), ("answered", "generated")):
            console.print(f"  {label:<9}{sample[key]}", markup=False, highlight=False)


def _cells(score: Score) -> tuple[str, str, str]:
    low, high = score.interval
    return f"{100 * score.rate:.1f} %", f"{100 * low:.1f} to {100 * high:.1f}", str(score.n)
