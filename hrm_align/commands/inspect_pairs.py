"""`hrm-align inspect` of preference rows: both answers behind their prompt, their lengths, and the mask on each document."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from rich.console import Console
from rich.text import Text
from transformers import PreTrainedTokenizerFast

from hrm_align.commands.common import describe_left_out, print_warnings
from hrm_align.commands.inspect_page import fold_counts
from hrm_align.commands.inspect_recipe import InspectedRows
from hrm_align.commands.inspect_stats import sample_rows, spread_of
from hrm_align.data.damage import describe_damage
from hrm_align.data.duplicates import Duplicates, describe_duplicates
from hrm_align.data.examples import PAIRS, DataCounts
from hrm_align.data.packing import PaddedCollator
from hrm_align.data.preference_tokens import LabelEncoder, PairEncoder
from hrm_align.data.tokenize import Dropped, encode_documents, usable
from hrm_align.evaluation.evaluate import last_turns
from hrm_align.output import emit, results
from hrm_align.progress import fold
from hrm_align.rendering import Document, get_renderer

STYLES = {"chosen": "green underline", "rejected": "red underline", "completion": "green underline"}


def inspect_preferences(
    arguments: argparse.Namespace, inspected: InspectedRows, tokenizer: PreTrainedTokenizerFast
) -> list[Document]:
    """Print the rows, their statistics and the warnings about them.

    Args:
        arguments: the options of `hrm-align inspect`.
        inspected: pairs or labelled answers.
        tokenizer: tokenizer of the model.

    Returns:
        The documents of all answers, on which the mask can be verified.
    """
    encoder = PairEncoder if inspected.kind == PAIRS else LabelEncoder
    examples, counts = inspected.examples, inspected.counts
    encoded = encode_documents(examples, get_renderer(tokenizer), arguments.max_length, encoder)
    rows, dropped = usable(encoded, np.arange(len(encoded)), arguments.max_length)
    problems = describe_left_out(counts) + describe_damage(counts.damage, counts.rows_read)
    duplicates = Duplicates()
    problems += describe_duplicates(last_turns(examples), last_turns(inspected.held_out), duplicates)
    names = [column.removesuffix("_ids") for column in encoder.answers]
    if arguments.json:
        for row in rows:
            emit(json.dumps(describe_row(row, names)))
        print_warnings(problems)
    else:
        console = Console(file=results())
        for index in sample_rows(len(rows), arguments.rows, arguments.seed):
            show_row(rows[index], names, tokenizer, console)
        console.rule(style="dim")
        legend = "   ".join(f"[{STYLES[name]}]{name}[/]" for name in names)
        console.print(f"[blue]prefix[/]: bidirectional attention   {legend}: causal attention, with loss")
        for line in summarise(rows, names, dropped, counts, duplicates):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        for line in problems:
            console.print(fold(line), markup=False, highlight=False, soft_wrap=True)
    return [
        Document(row["prompt_ids"] + row[f"{name}_ids"], len(row["prompt_ids"]))
        for row in rows.select(range(min(8, len(rows))))
        for name in names
    ]


def describe_row(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return a row for programs: of each answer of a pair the tensors of its document, each (length,); of a labelled answer its own."""
    collate = PaddedCollator(pad_id=0)  # batches of one row, so no padding is added
    documents = {}
    for name in names:
        ids = row["prompt_ids"] + row[f"{name}_ids"]
        batch = collate([{"input_ids": ids, "prefix_length": len(row["prompt_ids"])}])
        documents[name] = {key: batch[key][0].tolist() for key in ("input_ids", "token_type_ids", "labels")}
    tensors = documents if len(names) > 1 else documents[names[0]]
    others = {key: row[key] for key in ("label", "margin") if row.get(key) is not None}
    return {**tensors, **others, "condition": row["condition"], "source": row["source"]}


def show_row(row: dict[str, Any], names: Sequence[str], tokenizer: PreTrainedTokenizerFast, console: Console) -> None:
    """Print the prefix in blue, and the answers, which get loss, underlined: chosen and labelled ones in green, rejected in red."""
    label = {True: "  desirable", False: "  undesirable"}.get(row.get("label", ""), "")
    console.rule(Text(f"{row['source']}  condition {row['condition'] or 'none'}{label}"), style="dim")
    lines = [Text.assemble(f"{'prefix':<11}", (str(tokenizer.decode(row["prompt_ids"])), "blue"))]
    for name in names:
        lines.append(Text.assemble(f"{name:<11}", (str(tokenizer.decode(row[f"{name}_ids"])), STYLES[name])))
    console.print(Text("\n").join(lines), soft_wrap=True)


def summarise(
    rows: Dataset, names: Sequence[str], dropped: Dropped, counts: DataCounts, duplicates: Duplicates
) -> list[str]:
    """Return the statistics as lines of text."""
    lengths = {name: [len(ids) for ids in rows[f"{name}_ids"]] for name in ("prompt", *names)}
    lengths["total"] = rows["length"][:]
    tokens = sum(map(sum, (lengths[name] for name in names)))
    pairs_of = "pairs", "`hrm-align dpo` and `hrm-align reward` (and `hrm-align kto`)"
    what, commands = pairs_of if len(names) > 1 else ("labelled answers", "`hrm-align kto`")
    lines = [
        f"{counts.rows_read:,} rows, {len(rows):,} {what}: {tokens:,} tokens with loss",
        f"preference rows, for {commands}",
        "",
        f"{'tokens':<12}{'min':>8}{'median':>8}{'mean':>10}{'p95':>8}{'max':>8}",
    ]
    for name, values in lengths.items():
        spread = spread_of(values)
        cells = "".join(f"{spread[key]:>{width},}" for key, width in (("min", 8), ("median", 8), ("mean", 10)))
        lines.append(f"{name:<12}{cells}{spread['p95']:>8,}{spread['max']:>8,}")
    if len(names) > 1:
        pairs = [*zip(lengths["chosen"], lengths["rejected"], strict=True)]
        longer = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
        lines += ["", f"longer      chosen in {longer[0]:,} pairs, rejected in {longer[1]:,}"]
    else:
        desirable = sum(rows["label"])
        lines += ["", f"labels      desirable {desirable:,}, undesirable {len(rows) - desirable:,}"]
    conditions: dict[str, int] = {}
    for condition in rows["condition"]:
        conditions[condition or "none"] = conditions.get(condition or "none", 0) + 1
    lines += [
        f"conditions  {fold_counts(sorted(conditions.items(), key=lambda item: -item[1]))}",
        f"duplicates  {duplicates.exact:,} rows repeat an earlier row, {duplicates.near:,} nearly",
    ]
    return [*lines, f"dropped     {dropped}"] if dropped.counts else lines
