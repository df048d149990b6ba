"""Batches from documents: best-fit packing into rows of `max_length` tokens, collators, and the order of the rows.

Packing never cuts a document. Labels are not shifted: the model and TRL shift them. Every batch has these tensors, all
of shape (batch, seq) and int64:

    input_ids       the tokens, padded on the right
    attention_mask  1 on tokens, 0 on padding
    token_type_ids  1 on the prefix, 0 on the response and the padding
    labels          the response and its end token; -100 elsewhere
    position_ids    packed rows only: counted from 0 in each document, which separates the documents in the attention mask

The order of the rows is a function of seed and epoch, so that a resumed run gets the same order as an uninterrupted
run.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import Sampler


def best_fit(lengths: Sequence[int] | np.ndarray, capacity: int) -> list[list[int]]:
    """Assign documents to rows by best-fit decreasing.

    Documents are placed from the longest to the shortest, each into the fullest row that has room for it. This uses at
    most 11/9 of the fewest possible rows (Johnson 1974), and fills rows to 99.7 % on the length mix of fine-tuning
    data.

    Args:
        lengths: length of each document in tokens, none above `capacity`.
        capacity: tokens per row.

    Returns:
        For each row the indices of its documents. Deterministic.
    """
    rows: list[list[int]] = []
    spaces: list[int] = []  # the numbers of free tokens that a row has, sorted
    with_space: dict[int, list[int]] = {}  # rows by free tokens; a heap, because the earliest row is taken
    sizes = np.asarray(lengths, np.int64)
    for index, length in zip(*(column.tolist() for column in _descending(sizes)), strict=True):
        at = bisect_left(spaces, length)
        if at == len(spaces):
            rows.append([])
            free, row = capacity, len(rows) - 1
        else:
            free = spaces[at]
            row = heappop(with_space[free])
            if not with_space[free]:
                del spaces[at], with_space[free]
        rows[row].append(index)
        free -= length
        if free not in with_space:
            insort(spaces, free)
            with_space[free] = []
        heappush(with_space[free], row)
    return rows


def _descending(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices from the largest size to the smallest, equal sizes in their order, and the sizes in that order."""
    order = np.argsort(-sizes, kind="stable")
    return order, sizes[order]


def pack_in_shards(
    lengths: Sequence[int] | np.ndarray, capacity: int, shard_rows: int | None = None
) -> list[list[int]]:
    """Assign documents to rows, each `shard_rows` consecutive documents apart from the others; None for all together.

    A row depends only on the documents of its shard, so that rows which are streamed are packed alike.
    Args and return as in `best_fit`.
    """
    size = shard_rows or max(len(lengths), 1)
    rows: list[list[int]] = []
    for start in range(0, len(lengths), size):
        rows += [[start + index for index in row] for row in best_fit(lengths[start : start + size], capacity)]
    return rows


def pack(documents: Dataset, max_length: int, shard_rows: int | None = None) -> Dataset:
    """Pack tokenized documents into rows.

    Args:
        documents: data set with the columns `input_ids` and `prefix_length`, as `tokenize` returns it.
        max_length: tokens per row.
        shard_rows: number of consecutive documents that are packed together, as in `pack_in_shards`.

    Returns:
        A data set that reads token ids when a row is taken, with the columns `documents` (list of lists of ids) and `prefix_lengths` (list of int), with one
        entry per document, and `length` (tokens in the row).
    """
    has_lengths = "length" in documents.column_names
    lengths = read_lengths(documents) if has_lengths else np.array([len(ids) for ids in documents["input_ids"][:]])
    rows = pack_in_shards(lengths, max_length, shard_rows)
    totals = [int(lengths[row].sum()) for row in rows]
    # Each row has the places of its documents, whose ids are read when a batch is made.
    packed = Dataset(pa.table({"documents": pa.array(rows, pa.list_(pa.int64())), "length": totals}))
    return packed.with_transform(_RowReader(documents))


class _RowReader:
    """Transform of packed rows: replaces the places of documents by their ids and prefix lengths."""

    def __init__(self, documents: Dataset):
        self._documents = documents

    def __call__(self, rows: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        if "documents" not in rows:
            return dict(rows)
        places = [place for row in rows["documents"] for place in row]
        read = self._documents[places]
        ids, prefixes = iter(read["input_ids"]), iter(read["prefix_length"])
        whole = {
            "documents": [[*islice(ids, len(row))] for row in rows["documents"]],
            "prefix_lengths": [[*islice(prefixes, len(row))] for row in rows["documents"]],
        }
        return {**rows, **whole}


def read_lengths(documents: Dataset, name: str = "length") -> np.ndarray:
    """Return a column of numbers of a data set, (n,), without a Python object a row."""
    values: np.ndarray = documents.data.column(name).to_numpy()
    chosen = documents._indices  # datasets reads selected rows one by one: 15 s for a million
    return values if chosen is None else values[chosen.column(0).to_numpy()]


IGNORED = -100  # PyTorch's ignore_index
_FILL = {"attention_mask": 0, "token_type_ids": 0, "labels": IGNORED, "position_ids": 0}


@dataclass
class PaddedCollator:
    """Collator for one document per row, padded to the longest document of the batch.

    Args:
        pad_id: token id of the padding.
        pad_to_multiple_of: round the width up to a multiple of this, so that GPU kernels and compiled graphs see few
            shapes.
    """

    pad_id: int
    pad_to_multiple_of: int | None = None

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Collate rows with `input_ids` and `prefix_length` into tensors (batch, seq)."""
        tensors = [_document_tensors(row["input_ids"], row["prefix_length"]) for row in rows]
        for row in tensors:
            del row["position_ids"]
        return _pad_rows(tensors, self.pad_id, self.pad_to_multiple_of)


@dataclass
class PackedCollator:
    """Collator for several documents per row, which do not attend to each other.

    Args:
        pad_id: token id of the padding.
        pad_to_multiple_of: round the width up to a multiple of this; `max_length` makes every batch equally wide.
    """

    pad_id: int
    pad_to_multiple_of: int | None = None

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Collate rows with `documents` and `prefix_lengths` into tensors (batch, seq)."""
        tensors = []
        for row in rows:
            parts = [_document_tensors(*pair) for pair in zip(row["documents"], row["prefix_lengths"], strict=True)]
            joined = {}
            for name in parts[0]:
                joined[name] = torch.cat([part[name] for part in parts])
            tensors.append(joined)
        return _pad_rows(tensors, self.pad_id, self.pad_to_multiple_of)


@dataclass
class DocumentCollator:
    """Collator for batches of packed rows (`PackedCollator`) or of single documents (`PaddedCollator`), by their columns.

    Args:
        pad_id: token id of the padding.
        pad_to_multiple_of: round the width up to a multiple of this.
    """

    pad_id: int
    pad_to_multiple_of: int | None = None

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Collate rows, all with `documents` or all with `input_ids`, into tensors (batch, seq)."""
        collator = PackedCollator if "documents" in rows[0] else PaddedCollator
        return collator(self.pad_id, self.pad_to_multiple_of)(rows)


def _document_tensors(ids: Sequence[int], prefix_length: int) -> dict[str, Tensor]:
    """Build the tensors (seq,) of one document."""
    input_ids = torch.tensor(ids)
    is_prefix = torch.arange(len(ids)) < prefix_length
    return {
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "token_type_ids": is_prefix.long(),
        "labels": input_ids.masked_fill(is_prefix, IGNORED),
        "position_ids": torch.arange(len(ids)),
    }


def _pad_rows(rows: list[dict[str, Tensor]], pad_id: int, multiple: int | None) -> dict[str, Tensor]:
    """Pad tensors (seq,) of each row on the right and stack them to (batch, seq)."""
    width = max(len(row["input_ids"]) for row in rows)
    if multiple:
        width = -(-width // multiple) * multiple
    batch = {}
    for name in rows[0]:
        batch[name] = torch.full((len(rows), width), _FILL.get(name, pad_id))
        for index, row in enumerate(rows):
            batch[name][index, : len(row[name])] = row[name]
    return batch


class LengthSampler(Sampler[int]):
    """Rows in random order, sorted by length within groups of up to 50 batches, the longest row first.

    The order of Transformers' `LengthGroupedSampler` for the same generator, without a Python object for each of a million rows.

    Args:
        lengths: (rows,), in tokens.
        batch_size: rows of a batch.
    """

    generator: torch.Generator | None = None

    def __init__(self, lengths: np.ndarray, batch_size: int):
        self.lengths, self.batch_size = lengths.astype(np.int64), batch_size

    def __iter__(self) -> Iterator[int]:
        rows = len(self.lengths)
        group = max(1, min(rows // (4 * self.batch_size), 50)) * self.batch_size
        order = torch.randperm(rows, generator=self.generator).numpy()
        order = order[np.lexsort((-self.lengths[order], np.arange(rows) // group))]
        longest = group * int(self.lengths[order[::group]].argmax())
        order[[0, longest]] = order[[longest, 0]]
        return iter(order.tolist())

    def __len__(self) -> int:
        return len(self.lengths)


_EPOCHS = 1_000_003  # two seeds never give the same generator seed within this many epochs


class EpochSeededSampler(Sampler[int]):
    """Sampler whose order depends only on seed and epoch: wraps another sampler and gives it a generator seeded from both.

    Transformers' length-grouped and random samplers draw from the global generator, whose state in the second epoch
    depends on all draws before it: a resumed run got another row order (weights off by 1e-3).

    Args:
        sampler: sampler with an attribute `generator`.
        seed: seed of the run.
        epoch: function that returns the current epoch. A function, because `set_epoch` does not reach a sampler that a
            resumed loader has wrapped in two processes.
    """

    def __init__(self, sampler: Sampler[int], seed: int, epoch: Callable[[], int]):
        assert isinstance(sampler, Sized)
        self.sampler, self.seed, self.epoch = sampler, seed, epoch
        self._length = len(sampler)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed(self.seed * _EPOCHS + self.epoch())
        self.sampler.generator = generator  # type: ignore[attr-defined]
        return iter(self.sampler)

    def __len__(self) -> int:
        return self._length
