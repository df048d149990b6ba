"""Token ids of preference rows, for the trainers: pairs behind one prompt, and answers with a label.

    Example("2+2?", answer "4", rejected "5")   ->  {"prompt_ids": [6, ..., 7], "chosen_ids": [19, 11], "rejected_ids": [20, 11], ...}

`prompt_ids` end with `<|im_end|>`, and answers with `<|box_end|>`: prompt and answer together are the document of `Renderer.document`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from hrm_align.data.encode import DocumentEncoder
from hrm_align.data.examples import Example, RunData
from hrm_align.data.tokenize import IDENTICAL, tokenized_with
from hrm_align.rendering import Renderer

if TYPE_CHECKING:
    from hrm_align.config.arguments import DataArguments


class PairEncoder:
    """Encoder of pairs: the ids of the prompt, which both answers share, and of each answer.

    Args:
        renderer: renderer of the model's tokenizer.
        longest: characters above which a document has certainly too many tokens, as in `DocumentEncoder`.

    Attributes:
        schema: Arrow schema of the batches. `length` is that of the longer document; `IDENTICAL` if both answers have the same ids.
    """

    name: ClassVar[str] = "pairs"
    answers: ClassVar[tuple[str, ...]] = ("chosen_ids", "rejected_ids")

    def __init__(self, renderer: Renderer, longest: float = math.inf):
        self._encoder = DocumentEncoder(renderer, longest)
        ids = self._encoder.schema.field("input_ids").type
        number, text = pa.int32(), pa.string()
        columns = {
            "prompt_ids": ids,
            **dict.fromkeys(self.answers, ids),
            "length": number,
            "condition": text,
            "source": text,
        }
        self.schema = pa.schema([*columns.items(), *self._own_columns()])

    def _own_columns(self) -> list[tuple[str, pa.DataType]]:
        return [("margin", pa.float64())]

    def encode(self, examples: Sequence[Example]) -> pa.RecordBatch:
        """Render examples. One with a document above `longest` has no ids, and the length `TOO_LONG`."""
        documents = [self._encoder.encode(part) for part in self._documents(examples)]
        lengths = np.max([document.column("length").to_numpy() for document in documents], axis=0)
        prefixes = documents[0].column("prefix_length").to_numpy().tolist()
        ids = [document.column("input_ids") for document in documents]
        prompts: list[np.ndarray] = []
        answers: list[list[np.ndarray]] = [[] for _ in documents]
        for row, prefix in enumerate(prefixes):
            parts = [column[row].values.to_numpy() for column in ids]
            if not all(map(len, parts)):  # one document was not encoded: the row is too long
                parts = [part[:0] for part in parts]
            elif len(parts) > 1 and np.array_equal(*parts):
                lengths[row] = IDENTICAL
            prompts.append(parts[0][:prefix])
            for answer, part in zip(answers, parts, strict=True):
                answer.append(part[prefix:])
        first = documents[0]
        columns: list[Any] = [prompts, *answers, lengths, first.column("condition"), first.column("source")]
        arrays = [
            column if isinstance(column, pa.Array) else pa.array(column, field.type)
            for column, field in zip([*columns, *self._own_values(examples)], self.schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _documents(self, examples: Sequence[Example]) -> list[Sequence[Example]]:
        """Return the examples of the document of each answer."""
        return [examples, [replace(example, answer=example.rejected) for example in examples if example.rejected]]

    def _own_values(self, examples: Sequence[Example]) -> list[list[float | bool | None]]:
        return [[example.margin for example in examples]]


class LabelEncoder(PairEncoder):
    """Encoder of labelled answers: the ids of the prompt and of the answer, and the label. Arguments are those of `PairEncoder`."""

    name: ClassVar[str] = "labels"
    answers: ClassVar[tuple[str, ...]] = ("completion_ids",)

    def _own_columns(self) -> list[tuple[str, pa.DataType]]:
        return [("label", pa.bool_())]

    def _documents(self, examples: Sequence[Example]) -> list[Sequence[Example]]:
        return [examples]

    def _own_values(self, examples: Sequence[Example]) -> list[list[float | bool | None]]:
        return [[example.desirable for example in examples]]


def tokenized_pairs(
    data: RunData, args: DataArguments, tokenizer: PreTrainedTokenizerFast, max_length: int
) -> tuple[Dataset, Dataset | None]:
    """Tokenize the pairs of a run, and record the dropped ones in `data.counts`.

    Args:
        data: examples of the run, read with the kind `pairs`.
        args: the recipe's data settings (`max_dropped_fraction`).
        tokenizer: tokenizer of the model.
        max_length: longest document (prompt and one answer), in tokens. A pair with a longer one is dropped whole.

    Returns:
        The training data set and the held-out one, or None if no row is held out, with the columns `prompt_ids`, `chosen_ids`,
        `rejected_ids` (lists of int), `length` (tokens of the longer document), `condition`, `source`, and, if a row has a margin,
        `margin` (0 in rows without one).

    Raises:
        UserError: if more than `max_dropped_fraction` was dropped (`too_long`, `identical_answers`), or no pair is left.
    """
    train, held_out = tokenized_with(PairEncoder, data, args, tokenizer, max_length)
    return _with_margins(train), None if held_out is None else _with_margins(held_out)


def tokenized_labels(
    data: RunData, args: DataArguments, tokenizer: PreTrainedTokenizerFast, max_length: int
) -> tuple[Dataset, Dataset | None]:
    """Tokenize the labelled answers of a run, and record the dropped ones in `data.counts`.

    The two answers of a pair that is read as labels stand one after the other, with the same `source`.

    Args:
        data: examples of the run, read with the kind `labels`.
        args, tokenizer, max_length: as in `tokenized_pairs`.

    Returns:
        The training data set and the held-out one, or None, with the columns `prompt_ids`, `completion_ids` (lists of int), `label`
        (bool), `length` (tokens), `condition` and `source`.

    Raises:
        UserError: as in `tokenized_pairs`.
    """
    return tokenized_with(LabelEncoder, data, args, tokenizer, max_length)


def _with_margins(pairs: Dataset) -> Dataset:
    """Return pairs without the column `margin` if no row has one, and with 0 in rows without one otherwise."""
    margins = pairs["margin"][:]
    if all(margin is None for margin in margins):
        return pairs.remove_columns("margin")
    if None not in margins:
        return pairs
    return pairs.remove_columns("margin").add_column("margin", [margin or 0.0 for margin in margins])
