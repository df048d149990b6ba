"""`hrm-align inspect DATA --model M`: show rows as training documents, and verify the prefix mask on them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from datasets import Dataset
from rich.console import Console
from rich.text import Text
from transformers import PreTrainedTokenizerFast

from hrm_align.commands.common import (
    CommandParser,
    add_schema_options,
    describe_left_out,
    load,
    name_entry,
    print_warnings,
    read_counted,
    read_examples,
    read_schema_options,
)
from hrm_align.data.damage import describe_damage
from hrm_align.data.duplicates import describe_duplicates
from hrm_align.data.packing import PaddedCollator
from hrm_align.data.tokenize import Dropped, tokenize
from hrm_align.evaluation.evaluate import last_turns
from hrm_align.models.loading import load_tokenizer
from hrm_align.models.perturbation import Proof, prove
from hrm_align.output import emit, results
from hrm_align.progress import fold, track
from hrm_align.rendering import Document, get_renderer

PROVED_ROWS = 16


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser("inspect", "Show your rows as training documents, and verify the prefix mask on them.")
    parser.add_argument("data", help="rows, in any format that training reads")
    add_schema_options(parser)
    parser.add_argument("--condition", help="condition of rows that name none (default direct)")
    parser.add_argument("--max_length", type=int, default=4096, help="longest document kept, in tokens (default 4096)")
    parser.add_argument("--rows", type=int, default=3, help="number of rows to show (default 3; --json prints all)")
    parser.add_argument("--held_out", help="held-out rows, to name those whose text is also in DATA")
    parser.add_argument("--no_proof", action="store_true", help="show the rows only, without loading the model")
    arguments = parser.parse_args(argv)
    schema = read_schema_options(arguments)
    share = schema.pop("max_bad_fraction")
    entry = name_entry(arguments.data, default_split="train", **schema)
    examples, counts = read_counted([entry], arguments.condition, share)
    tokenizer = load_tokenizer(arguments.model)
    documents, dropped = tokenize(examples, get_renderer(tokenizer), arguments.max_length)
    problems = describe_left_out(counts) + describe_damage(counts.damage, counts.rows_read)
    held_out = read_examples(arguments.held_out, **schema, max_bad_fraction=share) if arguments.held_out else []
    problems += describe_duplicates(last_turns(examples), last_turns(held_out))
    if arguments.json:
        print_json(documents)
        print_warnings(problems)
        return
    console = Console(file=results())
    for row in documents.select(range(min(arguments.rows, len(documents)))):
        show_row(row, tokenizer, console)
    summarise(documents, dropped, len(last_turns(examples)), console)
    for line in problems:
        console.print(fold(line), markup=False, highlight=False, soft_wrap=True)
    if not arguments.no_proof:
        model, _ = load(arguments)
        chosen = documents.select(range(min(PROVED_ROWS, len(documents))))
        rows = [Document(row["input_ids"], row["prefix_length"]) for row in chosen]
        show_proof(prove(model, rows, progress_bar), console)


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


def summarise(documents: Dataset, dropped: Dropped, rows: int, console: Console) -> None:
    """Print the number of documents and tokens, and the share of tokens with loss."""
    prefix_tokens, total = sum(documents["prefix_length"]), sum(map(len, documents["input_ids"]))
    console.rule(style="dim")
    console.print(
        "[blue]prefix[/]: bidirectional attention   [green underline]response[/]: causal attention, with loss"
    )
    console.print(
        f"{rows} rows, {len(documents)} documents: {total} tokens, {total - prefix_tokens} of them with loss "
        f"({100 * (total - prefix_tokens) / total:.0f} %); longest document {max(map(len, documents['input_ids']))} tokens"
    )
    if dropped.counts:
        console.print(f"dropped: {dropped}", markup=False)


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
