"""`hrm-align evaluate RUN`, or `--model M --data FILE`: generate and grade answers to held-out rows."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hrm_align.commands.common import (
    CommandParser,
    add_adapter_option,
    add_sampling_options,
    add_schema_options,
    asked_in_turn,
    check_save,
    check_token_limits,
    load,
    read_entries,
    read_examples,
    read_sampling,
    read_schema_options,
)
from hrm_align.data.examples import REFERENCES, Example
from hrm_align.errors import UserError, join_names
from hrm_align.evaluation.calibration import BINS, COVERAGES, Calibration, Estimate
from hrm_align.evaluation.evaluate import Evaluation, evaluate, few_shot, last_turns
from hrm_align.evaluation.grading import grade_with
from hrm_align.evaluation.scores import TOTAL, Score, group_cell
from hrm_align.models.prefix_mask import causal_prompt
from hrm_align.output import emit, results
from hrm_align.rewards.base import RewardSpec, check_match, match_names, metric_name
from hrm_align.rewards.json_rewards import grade_fields
from hrm_align.rewards.reading import read_json
from hrm_align.run_folder import open_source
from hrm_align.run_history.picture import check_picture, draw_calibration


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser(
        "evaluate",
        "Generate and grade answers to held-out rows; print scores with 95 % confidence intervals. RUN is scored on its own "
        "held-out rows with its own grader, unless --data and --match name others.",
        needs_model=False,
    )
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="output_dir of a run, or a checkpoint of it; or give --model"
    )
    parser.add_argument("--data", help="rows to answer, in any format that training reads (default: those of RUN)")
    add_schema_options(parser)
    parser.add_argument("--split", help="split of a directory or a Hub id (default test; files have no splits)")
    parser.add_argument("--condition", help="condition of all rows (default: the condition of each row, else direct)")
    parser.add_argument(
        "--few_shot", type=int, default=0, help="number of solved examples in the prompt: 0, or 2 to 8 (default 0)"
    )
    parser.add_argument(
        "--few_shot_data", help="rows to draw the solved examples from (default: the other rows of --data)"
    )
    parser.add_argument("--match", help=f"grader: {', '.join(match_names())} (default: the grader of RUN, or exact)")
    parser.add_argument(
        "--schema", help="with --match json: also grade against this JSON schema (any draft), and by field"
    )
    parser.add_argument("--limit", type=int, help="use at most this many rows of each data set")
    parser.add_argument("--max_new_tokens", type=int, help="longest answer, in tokens (default: as in RUN, or 256)")
    parser.add_argument("--batch_size", type=int, default=64, help="prompts per batch (default 64)")
    parser.add_argument(
        "--causal_prompt",
        action="store_true",
        help="apply a causal mask to the prompt, to measure the effect of the prefix mask",
    )
    parser.add_argument("--save", help="write every prompt, answer and grade to this new JSONL file")
    parser.add_argument(
        "--calibration",
        action="store_true",
        help="also report how well the probability of an answer, and with --n the agreement of samples, predicts that it is correct",
    )
    parser.add_argument(
        "--png",
        help="with --calibration: also draw reliability and risk-coverage curves into this new file (.png, .svg, .pdf)",
    )
    add_sampling_options(parser, "--calibration")
    parser.add_argument("--temperature", type=float, default=1.0, help="temperature of the --n answers (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the --n answers (default 0)")
    add_adapter_option(parser)
    arguments = parser.parse_args(argv)
    entries = _complete(arguments)
    check_save(arguments.save)
    if arguments.png is not None:
        if not arguments.calibration or len(arguments.adapter) > 1:
            raise UserError("--png draws the calibration of one model: add --calibration, and at most one --adapter.")
        check_picture(Path(arguments.png))
    check_match(arguments.match, "--match")
    if arguments.schema and not arguments.match.startswith("json"):
        raise UserError(
            f"--schema needs the grader json, and --match is {arguments.match}. Add --match json, or leave --schema out."
        )
    schema_reward = RewardSpec.of({"name": "json_schema", "schema": arguments.schema}) if arguments.schema else None
    # Read the rows before the model, so that an error in them is reported at once.
    schema, solved_examples = read_schema_options(arguments), arguments.few_shot_data
    if arguments.data:
        sets = [read_examples(arguments.data, arguments.condition, arguments.split, kind=REFERENCES, **schema)]
    else:
        allowed = schema["max_bad_fraction"]
        sets = [read_entries([entry], arguments.condition, allowed, REFERENCES) for entry in entries]
    rows = [example for examples in sets for example in last_turns(examples)]
    chosen = [example for examples in sets for example in last_turns(examples)[: arguments.limit]]
    pool = last_turns(read_examples(solved_examples, **schema)) if solved_examples else rows
    examples = few_shot(chosen, pool, arguments.few_shot)
    model, tokenizer = load(arguments)
    sampling, chooser = read_sampling(arguments, arguments.match, "--calibration")
    check_token_limits(arguments, sampling is not None, "sample several answers with --n 8")
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
                sampling=sampling,
                chooser=chooser,
                calibrate=arguments.calibration,
            )
    several = len(results) > 1
    if arguments.save:
        lines = [
            json.dumps({**({"adapter": name} if several else {}), **sample}, ensure_ascii=False) + "\n"
            for name, result in results.items()
            for sample in result.samples
        ]
        Path(arguments.save).write_text("".join(lines), encoding="utf-8")
    if arguments.png is not None:
        (first, *_) = results.values()
        draw_calibration(first.calibration, Path(arguments.png))
    if arguments.json:
        settings = {name: getattr(arguments, name) for name in ("model", "data", "condition", "few_shot")}
        settings["data"] = settings["data"] or join_names([entry["path"] for entry in entries])
        if sampling is not None:
            settings |= {name: getattr(arguments, name) for name in ("vote", "temperature", "top_p", "top_k", "seed")}
            settings |= {"best_of" if chooser else "samples": arguments.n, "rank_by": arguments.rank_by}
        settings["mask"] = "causal" if arguments.causal_prompt else "prefix"
        reports = {
            name: result.to_dict() | _grade_fields(result, examples, schema_reward) for name, result in results.items()
        }
        emit(json.dumps({**({"adapters": reports} if several else reports[next(iter(reports))]), **settings}))
        return
    for name, result in results.items():
        show(result, title=name if several else None)
        if schema_reward is not None:
            show_fields(_grade_fields(result, examples, schema_reward)["json"])


def _complete(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Fill in the options that RUN decides: model, grader and longest answer.

    Returns:
        The run's held-out data sets, to be read if --data names no others.

    Raises:
        UserError: if neither RUN nor --model is given, both are, or there are no rows.
    """
    if (arguments.run is None) == (arguments.model is None):
        problem = (
            "name either RUN or --model, not both" if arguments.run else "name the output_dir of a run, or --model"
        )
        raise UserError(f"{problem} (see hrm-align evaluate --help).")
    entries: list[dict[str, Any]] = []
    match, longest = "exact", None
    if arguments.run is not None:
        source = open_source(arguments.run)
        entries, settings = source.held_out, source.settings
        if arguments.max_bad_fraction is None:
            arguments.max_bad_fraction = settings.get("max_bad_fraction")
        match = source.match if source.match in match_names() else match
        longest = settings.get("max_new_tokens") or settings.get("max_completion_length")
        arguments.model = str(source.folder)
    if not arguments.data and not entries:
        where = f"{arguments.run} has no record of held-out rows" if arguments.run else "--data is missing"
        raise UserError(f"{where}: name the rows to answer with --data FILE.")
    if not arguments.data and any((arguments.split, arguments.columns, arguments.format, arguments.ignore_columns)):
        raise UserError(
            "--split, --columns, --format and --ignore_columns describe the rows of --data: add --data, or leave them out."
        )
    arguments.match = arguments.match or match
    if arguments.max_new_tokens is None:
        arguments.max_new_tokens = longest or 256
    return entries


def _grade_fields(result: Evaluation, examples: Sequence[Example], schema_reward: RewardSpec | None) -> dict[str, Any]:
    """Grade JSON answers against a schema and by field; empty without a schema."""
    if schema_reward is None:
        return {}
    valid = grade_with(schema_reward, [sample["generated"] for sample in result.samples], examples)
    pairs = [(read_json(sample["generated"]), read_json(sample["expected"])) for sample in result.samples]
    return {"json": grade_fields(pairs, [value == 1 for value in valid]).to_dict()}


def show_fields(report: dict[str, Any]) -> None:
    """Print how many answers are valid under the schema, and the share of correct values of each field."""
    n = report["n"]
    table = Table("field", "correct", "n", title=f"{report['schema_valid']} of {n} valid under the schema")
    for name, part in report["fields"].items():
        table.add_row(escape(name), f"{100 * part['correct'] / part['n']:.1f} %", str(part["n"]))
    Console(file=results()).print(table)


def show(result: Evaluation, title: str | None = None) -> None:
    """Print the table of scores by group, and the first three wrong answers."""
    console = Console(file=results())
    metric = metric_name(result.score.grader).replace("_", " ")
    table = Table("group", metric, "95 % interval", "n", title=title and escape(title), title_justify="left")
    for name, score in sorted(result.groups.items()):
        table.add_row(escape(group_cell(name)), *_cells(score))
    table.add_section()
    table.add_row(TOTAL, *_cells(result.score), style="bold")
    console.print(table)
    if result.unfinished:
        console.print(
            f"{result.unfinished} answers did not end within --max_new_tokens and count as wrong. Raise --max_new_tokens."
        )
    if result.calibration:
        show_calibration(result.calibration, console)
    for sample in [sample for sample in result.samples if not sample["correct"]][:3]:
        console.print(f"\n{sample['source']}", style="dim", markup=False, highlight=False)
        for label, key in (("prompt", "prompt"), ("expected", "expected"), ("answer", "generated")):
            console.print(f"  {label:<9}{sample[key]}", markup=False, highlight=False)


def show_calibration(calibration: Mapping[str, Calibration], console: Console) -> None:
    """Print the measures of each confidence with their 95 % intervals, and the wrong answers among the most confident ones."""
    table = Table("calibration", *calibration, title_justify="left")
    kinds = calibration.values()
    table.add_row("mean (accuracy)", *(f"{one.confidence:.3f} ({one.accuracy:.3f})" for one in kinds))
    for label, name in ((f"ECE, {BINS} bins", "ece"), ("Brier score", "brier"), ("AUROC", "auroc"), ("AURC", "aurc")):
        table.add_row(label, *(_estimate(getattr(one, name)) for one in kinds))
        if name == "ece":
            table.add_row("  by chance, 95 %", *("{:.3f}, {:.3f}".format(*one.ece_by_chance) for one in kinds))
    table.add_section()
    for place in range(3, len(COVERAGES), 4):
        label = f"wrong of surest {100 * COVERAGES[place]:.0f} %"
        table.add_row(label, *(f"{100 * one.curve[place].risk:.1f} %" for one in kinds))
    console.print(table)


def _estimate(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "not defined"
    return f"{estimate.value:.3f}\n{estimate.low:.3f} to {estimate.high:.3f}"


def _cells(score: Score) -> tuple[str, str, str]:
    low, high = score.interval
    return f"{100 * score.rate:.1f} %", f"{100 * low:.1f} to {100 * high:.1f}", str(score.n)
