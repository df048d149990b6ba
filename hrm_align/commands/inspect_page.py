"""The page of `hrm-align inspect --html`: statistics of all rows, and a sample of rows as coloured tokens with their mask.

One self-contained file. Texts of rows are embedded as JSON in which `<` is escaped, and are shown as text only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from hrm_align.commands.inspect_stats import Statistics, sample_rows
from hrm_align.errors import UserError
from hrm_align.models.intervals import visible_intervals
from hrm_align.rendering import CONDITION_TOKENS, get_renderer

SAMPLE = 200  # rows of the page
LARGEST = 4_000_000  # bytes of the rows of the page; rows that would exceed them are left out, and counted on the page
ROW_TOKENS = 4096  # tokens of a row that the page shows; the rest is counted


def check_page(path: str | None) -> None:
    """Raise UserError unless a page can be written to a new file of this name."""
    if path is None:
        return
    if Path(path).exists():
        raise UserError(f"the file of --html, {path}, already exists and is not overwritten. Name a new file.")
    if not Path(path).absolute().parent.is_dir():
        raise UserError(f"cannot write --html {path}: there is no folder {Path(path).parent}. Create the folder first.")


def write_page(
    path: str, documents: Dataset, tokenizer: PreTrainedTokenizerFast, statistics: Statistics, notes: dict[str, Any]
) -> None:
    """Write the page.

    Args:
        path: the new file.
        documents: the documents, as from `tokenize`.
        tokenizer: tokenizer of the model.
        statistics: their statistics.
        notes: `data`, `seed`, `summary` (lines of text) and `warnings` (lines of text).

    Raises:
        UserError: if the file cannot be written.
    """
    drawn = sample_rows(len(documents), SAMPLE, notes["seed"])
    named = [*statistics.longest, *statistics.shortest]
    reasons = {**dict.fromkeys(drawn, "sample"), **dict.fromkeys(statistics.shortest, "shortest")}
    reasons |= dict.fromkeys(statistics.longest, "longest")
    rows, size = [], 0
    for index in dict.fromkeys([*named, *drawn]):  # named rows first, so that the limit leaves out sampled ones
        row = {**describe_row(documents[index], tokenizer), "index": index, "why": reasons[index]}
        size += len(_embedded(row))
        if size > LARGEST:
            break
        rows.append(row)
    rows.sort(key=lambda row: row["index"])
    shown = {row["index"] for row in rows}
    data = {
        **notes,
        "statistics": asdict(statistics),
        "rows": rows,
        "sampled": len(drawn),
        "left_out": sum(index not in shown for index in reasons),
    }
    template = files("hrm_align").joinpath("commands/inspect_page.html").read_text(encoding="utf-8")
    try:
        Path(path).write_text(template.replace("{DATA}", _embedded(data)), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write --html {path} ({error.strerror}). Name another file.") from None


def _embedded(data: dict[str, Any]) -> str:
    """Return JSON that can stand in a page: no tag begins in it."""
    return json.dumps(data).replace("<", "\\u003c")


def describe_row(row: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return what the page shows of a document: texts and kinds of its tokens, and the last key that each token sees.

    The kinds are one letter a token: `c` condition, `x` control, `p` prefix, `r` response. `last` is that of the training mask.
    """
    renderer, ids = get_renderer(tokenizer), row["input_ids"]
    is_prefix = (torch.arange(len(ids)) < row["prefix_length"]).long()
    seen = visible_intervals(torch.tensor([ids]), renderer.layout, token_type_ids=is_prefix[None])
    shown = ids[:ROW_TOKENS]
    conditions = {tokenizer.convert_tokens_to_ids(token) for token in CONDITION_TOKENS.values()}
    control = set(tokenizer.added_tokens_decoder)
    kinds = [
        "c" if token in conditions else "x" if token in control else "p" if place < row["prefix_length"] else "r"
        for place, token in enumerate(shown)
    ]
    return {
        "source": row["source"],
        "condition": row["condition"] or "none",
        "prefix": row["prefix_length"],
        "length": len(ids),
        "tokens": token_texts(shown, tokenizer),
        "kinds": "".join(kinds),
        "first": seen.first[0, : len(shown)].tolist(),
        "last": seen.last[0, : len(shown)].tolist(),
    }


def token_texts(ids: Sequence[int], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Decode each token; a character of several tokens stands at the last of them, and the others are empty."""
    texts: list[str] = []
    waiting: list[int] = []
    for token in ids:
        waiting.append(token)
        text = str(tokenizer.decode(waiting))
        if text.endswith("\ufffd") and len(waiting) < 4:
            texts.append("")
            continue
        texts.append(text)
        waiting = []
    return texts


def fold_counts(counts: Iterable[tuple[Any, int]]) -> str:
    """Join counts for a line of text: `direct 3, cot 1`."""
    return ", ".join(f"{name} {count:,}" for name, count in counts)
