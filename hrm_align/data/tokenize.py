"""Tokenization of examples: training documents, and prompts for generation.

Unusable examples (too long, no answer, no room for an answer) are dropped whole and counted with their places, never
silently truncated.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedTokenizerFast

from hrm_align.data.cache import hash_key, prepared, touch
from hrm_align.data.encode import CHUNK_ROWS, DocumentEncoder, Encoder, chunks, count_characters
from hrm_align.data.examples import Example, RunData
from hrm_align.data.forks import in_processes
from hrm_align.data.length_bound import longest_text
from hrm_align.data.table import Examples, RowTable
from hrm_align.errors import UserError
from hrm_align.progress import Stage, stage, track
from hrm_align.rendering import Renderer, get_renderer

if TYPE_CHECKING:
    from hrm_align.config.arguments import DataArguments
    from hrm_align.data.stream_chunks import StreamPlan

TOKENS = "tokens.arrow"
IDENTICAL = -1  # length of a pair whose answers have the same token ids
LEAST_BOUND = 4096  # tokens: token tables for shorter documents are the same
NAMED_ROWS = 5  # dropped rows that an error or a report lists
REMEDIES = {  # by the reason for which an example is dropped
    "too_long": "for rows that are too long, raise --max_length (now {max_length}) or shorten the rows",
    "identical_answers": "for pairs whose answers have the same token ids, remove the rows",
    "empty_response": "for rows without an answer, add the answer (rows with only a prompt are for `hrm-align grpo`)",
}


@dataclass
class Dropped:
    """Dropped examples: counts by reason, and the places of the first few of each reason."""

    counts: Counter[str] = field(default_factory=Counter)
    sources: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, source: str) -> None:
        """Count one dropped example."""
        self.counts[reason] += 1
        listed = self.sources.setdefault(reason, [])
        if len(listed) < NAMED_ROWS:
            listed.append(source)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        return "; ".join(
            f"{count} {reason} ({', '.join(self.sources[reason])}{', ...' if count > NAMED_ROWS else ''})"
            for reason, count in self.counts.items()
        )


def tokenize(
    examples: Iterable[Example], renderer: Renderer, max_length: int, max_dropped_fraction: float = 1.0
) -> tuple[Dataset, Dropped]:
    """Render examples into a data set of token ids.

    Args:
        examples: examples to render.
        renderer: renderer of the model's tokenizer.
        max_length: longest document in tokens. A longer document is dropped whole, because truncation would remove its
            end token or its question; without tokenizing it, where it certainly has more tokens (`longest_text`).
        max_dropped_fraction: largest share of examples that may be dropped without an error.

    Returns:
        A data set with the columns `input_ids` (list of int), `prefix_length` and `length` (tokens), `condition` and
        `source`; and the dropped examples, whose reasons are `empty_response` and `too_long`.

    Raises:
        UserError: if more than `max_dropped_fraction` was dropped, or no example is left.
    """
    documents = encode_documents(examples, renderer, max_length)
    return usable(documents, np.arange(len(documents)), max_length, max_dropped_fraction)


def encode_documents(
    examples: Iterable[Example], renderer: Renderer, max_length: int, make_encoder: type[Encoder] = DocumentEncoder
) -> Dataset:
    """Render all examples, those that are too long included; columns as from `tokenize`.

    The length is 0 without an answer, and `TOO_LONG` (without ids) where the characters alone show more than `max_length` tokens.
    """
    encoder = make_encoder(renderer, longest_text(renderer.encoder, max_length))
    batches = [encoder.encode(chunk) for chunk in chunks(examples)]
    return Dataset(pa.Table.from_batches(batches, encoder.schema))


def usable(
    documents: Dataset, chosen: np.ndarray, max_length: int, max_dropped_fraction: float = 1.0
) -> tuple[Dataset, Dropped]:
    """Select the documents to train on.

    Args:
        documents: documents or pairs as an encoder makes them (`DocumentEncoder`, `PairEncoder`).
        chosen: indices of documents, in the order of the examples; (n,).
        max_length, max_dropped_fraction: as in `tokenize`.

    Returns:
        The data set and the dropped examples, as from `tokenize`, with the errors of `tokenize`.
    """
    lengths = documents.data.column("length").to_numpy()[chosen]
    reasons = {
        "empty_response": lengths == 0,
        "identical_answers": lengths == IDENTICAL,
        "too_long": lengths > max_length,
    }
    dropped, sources = Dropped(), documents.data.column("source")
    for reason, rows in sorted(reasons.items(), key=lambda item: item[1].argmax() if item[1].any() else 0):
        if rows.any():
            dropped.counts[reason] = int(rows.sum())
            dropped.sources[reason] = [sources[i].as_py() for i in chosen[np.flatnonzero(rows)[:NAMED_ROWS]]]
    usable_rows = chosen[(lengths > 0) & (lengths <= max_length)]
    _check_dropped(len(usable_rows), dropped, max_length, max_dropped_fraction)
    is_all = len(usable_rows) == len(documents) and bool((np.diff(usable_rows) == 1).all())
    return documents if is_all else documents.select(usable_rows), dropped


def _check_dropped(n_used: int, dropped: Dropped, max_length: int, limit: float) -> None:
    n_dropped = dropped.counts.total()
    total = n_used + n_dropped
    if n_used and n_dropped <= limit * total:
        return
    if not n_dropped:
        raise UserError("no example is left to train on: the data set is empty. Add rows, or hold out fewer.")
    remedies = [REMEDIES[reason].format(max_length=max_length) for reason in dropped.counts]
    if n_used:  # if no example is left, allowing a larger share does not help
        share = math.ceil(1000 * n_dropped / total) / 1000
        remedies.append(f"or allow a share with --max_dropped_fraction {share:g}")
    problem = f"{n_dropped} of {total} examples cannot be used" if n_used else "no example is left to train on"
    raise UserError(f"{problem}: {dropped}. Remedy: {'; '.join(remedies)}.")


def select_answerable_prompts(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerFast,
    longest: int,
    max_dropped_fraction: float,
    ask: Callable[[Example], Example] = lambda example: example,
) -> tuple[list[Example], dict[str, Any]]:
    """Select the examples whose prompt has at most `longest` tokens; longer ones are dropped whole.

    Args:
        examples: examples to select from.
        tokenizer: tokenizer of the model.
        longest: number of the model's positions minus `max_completion_length`, in tokens.
        max_dropped_fraction: largest share of examples that may be dropped without an error.
        ask: returns the example whose prompt counts, such as one with a system text before it.

    Returns:
        The selected examples, and counts of the dropped ones by reason, for run/data.json.

    Raises:
        UserError: if more than `max_dropped_fraction` was dropped, or no example is left.
    """
    answerable, dropped, renderer = [], Dropped(), get_renderer(tokenizer)
    most_characters = longest_text(renderer.encoder, longest)
    for example in track(examples, "tokenizing prompts", total=len(examples)):
        asked = ask(example)
        fits = count_characters(asked.messages) <= most_characters
        if fits and len(renderer.prompt(asked.messages, asked.condition)) <= longest:
            answerable.append(example)
        else:
            dropped.add("too_long", example.source)
    n_dropped = len(examples) - len(answerable)
    if not answerable or n_dropped > max_dropped_fraction * len(examples):
        raise UserError(
            f"{n_dropped} of {len(examples)} prompts are longer than {longest} tokens, the model's positions minus "
            f"max_completion_length: {dropped}. Shorten the prompts, lower max_completion_length, or allow more dropped rows "
            "with max_dropped_fraction."
        )
    counts = {"by_reason": dict(dropped.counts), "first_rows": dropped.sources}
    return answerable, {"kept": len(answerable), "dropped": counts}


def tokenized(
    run: RunData, data: DataArguments, tokenizer: PreTrainedTokenizerFast, max_length: int
) -> tuple[Dataset | StreamPlan, Dataset | None]:
    """Tokenize the training and the held-out examples, and record the dropped ones in `run.counts`.

    Args:
        run: examples of the run.
        data: the recipe's data settings (`max_dropped_fraction`).
        tokenizer: tokenizer of the model.
        max_length: longest document, in tokens.

    Returns:
        The training data set and the held-out one, each as from `tokenize`; None if no example is held out. Of streamed rows
        the `StreamPlan`, which tokenizes them while training runs.

    Raises:
        UserError: as in `tokenize`.
    """
    return tokenized_with(DocumentEncoder, run, data, tokenizer, max_length)


def tokenized_with(
    encoder: type[Encoder], run: RunData, data: DataArguments, tokenizer: PreTrainedTokenizerFast, max_length: int
) -> tuple[Any, Dataset | None]:
    """Tokenize as `tokenized` with an encoder, which decides the columns: `DocumentEncoder`, `PairEncoder` or `LabelEncoder`."""
    datasets: dict[str, Any] = {}
    sequences = {
        name: examples
        for name, examples in (("train", run.train), ("eval", run.held_out))
        if examples or (name == "train" and run.stream is None)
    }
    renderer = get_renderer(tokenizer)
    if run.stream is not None:
        run.stream.tokenizer, run.stream.max_length = tokenizer, max_length
        datasets["train"] = run.stream
    on_disk = [examples for examples in sequences.values() if isinstance(examples, Examples)]
    stored = TokenTables(renderer, on_disk, max_length, encoder)
    for name, examples in sequences.items():
        rows = "held-out rows" if name == "eval" else "rows"
        with stage(f"tokenizing {len(examples):,} {rows}") as tokenizing:
            if isinstance(examples, Examples):
                documents, chosen = stored.documents(examples, tokenizing)
                datasets[name], dropped = usable(documents, chosen, max_length, data.max_dropped_fraction)
            else:
                counted = tokenizing.track(examples)
                documents = encode_documents(counted, renderer, max_length, encoder)
                chosen = np.arange(len(documents))
                datasets[name], dropped = usable(documents, chosen, max_length, data.max_dropped_fraction)
        run.counts.setdefault(name, {})["kept"] = len(datasets[name])
        run.counts[name]["dropped"] = {"by_reason": dict(dropped.counts), "first_rows": dropped.sources}
    return datasets["train"], datasets.get("eval")


class TokenTables:
    """Token ids of the examples in row tables, in tables of the cache, each written once for its rows and tokenizer.

    Args:
        renderer: renderer of the model's tokenizer.
        sequences: all sequences of examples that will be tokenized.
        max_length: longest document in tokens. Documents that have certainly more than this, rounded up to a power of two,
            are not encoded.
        encoder: encoder of the examples, which decides the columns.
    """

    def __init__(
        self,
        renderer: Renderer,
        sequences: Sequence[Examples],
        max_length: int,
        encoder: type[Encoder] = DocumentEncoder,
    ):
        self._renderer, self._bound, self._encoder = renderer, LEAST_BOUND, encoder
        while self._bound < max_length:
            self._bound *= 2
        self._used: dict[int, np.ndarray] = {}  # by id of a table: its examples that any sequence has, sorted
        self._documents: dict[int, Dataset] = {}
        for examples in sequences:
            for table, indices in zip(examples.tables, examples.by_table(), strict=True):
                self._used[id(table)] = self._used.get(id(table), np.zeros(table.examples, bool))
                self._used[id(table)][indices] = True
        self._used = {name: np.flatnonzero(used) for name, used in self._used.items()}

    def documents(self, examples: Examples, progress: Stage) -> tuple[Dataset, np.ndarray]:
        """Return documents, and the index in them of each example."""
        places, parts, before = np.empty(len(examples), np.int64), [], 0
        for number, table in enumerate(examples.tables):
            used = self._used[id(table)]
            if not len(used):
                continue
            if id(table) not in self._documents:
                self._documents[id(table)] = self._prepare(table, used, progress)
            here = examples.owners == number
            places[here] = before + np.searchsorted(used, examples.places[here])
            parts.append(self._documents[id(table)])
            before += len(used)
        return concatenate_datasets(parts), places

    def _prepare(self, table: RowTable, used: np.ndarray, progress: Stage) -> Dataset:
        encoder = self._encoder(self._renderer, longest_text(self._renderer.encoder, self._bound))
        chosen = "all" if len(used) == table.examples else sha256(used.tobytes()).hexdigest()
        key = hash_key(
            encoder.name, table.key, chosen, self._bound, sha256(self._renderer.encoder.to_str().encode()).hexdigest()
        )

        def write(folder: Path) -> dict[str, Any]:
            progress.begin(len(used), "rows")
            tasks = [used[start : start + CHUNK_ROWS] for start in range(0, len(used), CHUNK_ROWS)]
            with pa.OSFile(str(folder / TOKENS), "wb") as file, pa.ipc.new_stream(file, encoder.schema) as writer:
                for batch in in_processes(lambda rows: encoder.encode([*table.read(rows)]), tasks):
                    writer.write_batch(batch)
                    progress.advance(batch.num_rows)
                    touch()
            return {}

        folder, _ = prepared(key, f"tokens of {table.what}", 0, write)
        return Dataset.from_file(str(folder / TOKENS))
