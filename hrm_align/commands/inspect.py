"""`hrm-align inspect DATA --model M` or `--config RECIPE`: show rows as training documents, and verify the prefix mask on them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from rich.console import Console
from rich.text import Text
from transformers import PreTrainedTokenizerFast

from hrm_align.commands.common import (
    CommandParser,
    add_schema_options,
    at_least,
    describe_left_out,
    load,
    print_warnings,
)
from hrm_align.commands.inspect_page import check_page, fold_counts, write_page
from hrm_align.commands.inspect_pairs import inspect_preferences
from hrm_align.commands.inspect_recipe import read_rows
from hrm_align.commands.inspect_stats import Statistics, measure, sample_rows
from hrm_align.data.damage import describe_damage
from hrm_align.data.duplicates import Duplicates, describe_duplicates
from hrm_align.data.examples import ANSWERS, KINDS
from hrm_align.data.packing import PaddedCollator
from hrm_align.data.tokenize import Dropped, encode_documents, usable
from hrm_align.evaluation.evaluate import last_turns
from hrm_align.models.loading import load_tokenizer
from hrm_align.models.perturbation import Proof, prove
from hrm_align.output import emit, results
from hrm_align.progress import fold, track
from hrm_align.rendering import Document, get_renderer

PROVED_ROWS = 16


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser(
        "inspect", "Show your rows as training documents, and verify the prefix mask on them.", needs_model=False
    )
    parser.add_argument("data", nargs="?", help="rows, in any format that training reads")
    parser.add_argument(
        "--config",
        metavar="RECIPE",
        help="show the rows that a recipe trains on, with its model and its settings, instead of DATA",
    )
    add_schema_options(parser)
    parser.add_argument(
        "--kind",
        choices=KINDS,
        help="what the rows hold: answers, pairs of a chosen and a rejected answer, or labelled answers (default: detected from the columns)",
    )
    parser.add_argument("--condition", help="condition of rows that name none (default direct)")
    parser.add_argument(
        "--max_length", type=int, help="longest document kept, in tokens (default 4096, or that of the recipe)"
    )
    parser.add_argument(
        "--rows", type=int, default=3, help="number of rows to show, drawn at random (default 3; --json prints all)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw of rows (default 0)")
    parser.add_argument(
        "--per_device_train_batch_size", type=int, help="rows of a batch, to count the steps (default 8)"
    )
    parser.add_argument(
        "--gradient_accumulation_steps", type=int, help="batches of a step, to count the steps (default 1)"
    )
    parser.add_argument("--html", metavar="FILE", help="also write a page with statistics and a sample of rows")
    parser.add_argument("--held_out", help="held-out rows, to name those whose text is also in DATA")
    parser.add_argument("--no_proof", action="store_true", help="show the rows only, without loading the model")
    arguments = parser.parse_args(argv)
    check_page(arguments.html)
    rows = read_rows(arguments)
    batch = at_least(arguments.per_device_train_batch_size, 1, "--per_device_train_batch_size")
    batch *= at_least(arguments.gradient_accumulation_steps, 1, "--gradient_accumulation_steps")
    tokenizer = load_tokenizer(arguments.model)
    if rows.kind != ANSWERS:
        pairs = inspect_preferences(arguments, rows, tokenizer)
        if not (arguments.no_proof or arguments.json):
            show_proof(prove(load(arguments)[0], pairs, progress_bar), Console(file=results()))
        return
    examples, counts = rows.examples, rows.counts
    encoded = encode_documents(examples, get_renderer(tokenizer), arguments.max_length)
    documents, dropped = usable(encoded, np.arange(len(encoded)), arguments.max_length)
    problems = describe_left_out(counts) + describe_damage(counts.damage, counts.rows_read)
    duplicates = Duplicates()
    problems += describe_duplicates(last_turns(examples), last_turns(rows.held_out), duplicates)
    statistics = measure(documents, encoded, arguments.max_length, batch)
    summary = summarise(statistics, dropped, duplicates, documents, arguments)
    if arguments.html:
        notes = {
            "data": arguments.data or arguments.config,
            "seed": arguments.seed,
            "summary": summary,
            "warnings": problems,
        }
        write_page(arguments.html, documents, tokenizer, statistics, notes)
    if arguments.json:
        print_json(documents)
        print_warnings(problems)
        return
    console = Console(file=results())
    for index in sample_rows(len(documents), arguments.rows, arguments.seed):
        show_row(documents[index], tokenizer, console)
    console.rule(style="dim")
    console.print(
        "[blue]prefix[/]: bidirectional attention   [green underline]response[/]: causal attention, with loss"
    )
    for line in summary:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for line in problems:
        console.print(fold(line), markup=False, highlight=False, soft_wrap=True)
    if not arguments.no_proof:
        model, _ = load(arguments)
        chosen = documents.select(range(min(PROVED_ROWS, len(documents))))
        proved = [Document(row["input_ids"], row["prefix_length"]) for row in chosen]
        show_proof(prove(model, proved, progress_bar), console)


def progress_bar(experiments: list[Any]) -> Iterable[Any]:
    """Show the progress of the verification if it takes long."""
    return track(experiments, "verifying the mask", "experiments")


def print_json(documents: Dataset) -> None:
    """Print one JSON object per training row, with the tensors that the collator passes to the trainer, each (length,)."""
    collate = PaddedCollator(pad_id=0)  # batches of one row, so no padding is added
    for row in documents:
        batch = collate([row])
        tensors = {name: batch[name][0].tolist() for name in ("input_ids", "token_type_ids", "labels")}
        emit(json.dumps({**tensors, "condition": row["condition"], "source": row["source"]}))


def show_row(row: dict, tokenizer: PreTrainedTokenizerFast, console: Console) -> None:
    """Print a document: the prefix in blue, the response, which gets loss, in green and underlined."""
    console.rule(Text(f"{row['source']}  condition {row['condition'] or 'none'}"), style="dim")
    prefix, response = row["input_ids"][: row["prefix_length"]], row["input_ids"][row["prefix_length"] :]
    # decode prefix and response as a whole, because a character may span several tokens
    parts = (
        Text(str(tokenizer.decode(prefix)), style="blue"),
        Text(str(tokenizer.decode(response)), "green underline"),
    )
    console.print(Text.assemble("prefix   ", parts[0], "\nresponse ", parts[1]), soft_wrap=True)


def summarise(
    statistics: Statistics,
    dropped: Dropped,
    duplicates: Duplicates,
    documents: Dataset,
    arguments: argparse.Namespace,
) -> list[str]:
    """Return the statistics as lines of text, at most 80 columns wide except for names of places."""
    share = 100 * statistics.loss_tokens / statistics.tokens
    turns = fold_counts((f"{answers} in", number) for answers, number in statistics.turns.items())
    lines = [
        f"{duplicates.rows:,} rows, {statistics.documents:,} documents: {statistics.tokens:,} tokens, "
        f"{statistics.loss_tokens:,} of them with loss ({share:.0f} %)",
        "",
        f"{'tokens':<12}{'min':>8}{'median':>8}{'mean':>10}{'p95':>8}{'max':>8}",
    ]
    for name, spread in statistics.lengths.items():
        middle = "".join(f"{spread[key]:>{width},}" for key, width in (("min", 8), ("median", 8), ("mean", 10)))
        lines.append(f"{name:<12}{middle}{spread['p95']:>8,}{spread['max']:>8,}")
    lines += ["", f"{'length':<20}{'documents':>10}"]
    bars = statistics.lengths["total"]["bars"]
    most = max((count for *_, count in bars), default=1)
    lines += [f"{f'{low:,} to {high:,}':<20}{n:>10,}  {'#' * round(40 * n / most)}".rstrip() for low, high, n in bars]
    lines += [
        "",
        f"conditions  {fold_counts(statistics.conditions.items())}",
        f"answers     {turns} rows",
        f"duplicates  {duplicates.exact:,} rows repeat an earlier row, {duplicates.near:,} nearly",
        f"longest     {_name_rows(documents, statistics.longest)}",
        f"shortest    {_name_rows(documents, statistics.shortest)}",
        f"packing     {statistics.packed_rows:,} rows of {arguments.max_length:,} tokens, "
        f"{100 * statistics.fill:.1f} % filled",
        f"an epoch    {statistics.steps:,} steps, or {statistics.packed_steps:,} with packing "
        f"(batch {arguments.per_device_train_batch_size} x {arguments.gradient_accumulation_steps})",
    ]
    return [*lines, f"dropped     {dropped}"] if dropped.counts else lines


def _name_rows(documents: Dataset, places: Sequence[int]) -> str:
    return ", ".join(f"{documents[place]['source']} ({documents[place]['length']:,})" for place in places)


def show_proof(proof: Proof, console: Console) -> None:
    """Print the verdict on the mask, and how far logits moved when tokens were edited."""
    verdict = "[green]holds[/]" if proof.holds else "[red]FAILS[/]"
    console.print(f"the mask {verdict} on {proof.documents} documents:")
    console.print(f"  editing a response token moved the logits before it by {proof.leak:.1e} (must be 0)")
    console.print(
        f"  editing a prompt token moved the logits before it by {proof.bidirectional:.1e} (must be more than rounding, "
        f"{proof.rounding:.1e})"
    )
    console.print(f"  editing a packed neighbour moved a document's logits by {proof.packing_leak:.1e} (must be 0)")
