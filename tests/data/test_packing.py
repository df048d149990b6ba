"""Batches, written out in full."""

import random

import numpy as np
import pytest
import torch
from transformers.trainer_pt_utils import get_length_grouped_indices

from hrm_align.data.examples import Example
from hrm_align.data.packing import LengthSampler, PackedCollator, PaddedCollator, best_fit, pack
from hrm_align.data.tokenize import tokenize
from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import Message, get_renderer

A = {"input_ids": [6, 40, 7, 50, 51, 11], "prefix_length": 3}
B = {"input_ids": [6, 7, 60, 11], "prefix_length": 2}


def plain(batch):
    return {name: tensor.tolist() for name, tensor in batch.items()}


def test_a_padded_batch():
    assert plain(PaddedCollator(pad_id=5)([A, B])) == {
        "input_ids": [[6, 40, 7, 50, 51, 11], [6, 7, 60, 11, 5, 5]],
        "attention_mask": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]],
        "token_type_ids": [[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]],
        "labels": [[-100, -100, -100, 50, 51, 11], [-100, -100, 60, 11, -100, -100]],
    }


def test_a_packed_batch():
    row = {"documents": [A["input_ids"], B["input_ids"]], "prefix_lengths": [3, 2]}
    assert plain(PackedCollator(pad_id=5, pad_to_multiple_of=12)([row])) == {
        "input_ids": [[6, 40, 7, 50, 51, 11, 6, 7, 60, 11, 5, 5]],
        "attention_mask": [[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]],
        "token_type_ids": [[1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0]],
        "labels": [[-100, -100, -100, 50, 51, 11, -100, -100, 60, 11, -100, -100]],
        "position_ids": [[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 0, 0]],
    }


def test_padding_to_a_multiple():
    assert PaddedCollator(pad_id=5, pad_to_multiple_of=8)([A])["input_ids"].shape == (1, 8)


def test_best_fit_keeps_every_document_whole_and_rows_nearly_full():
    rng = random.Random(0)
    lengths = [min(1024, int(rng.lognormvariate(5.5, 0.8)) + 4) for _ in range(3000)]
    rows = best_fit(lengths, 1024)
    assert sorted(index for row in rows for index in row) == list(range(3000))
    assert all(sum(lengths[i] for i in row) <= 1024 for row in rows)
    assert sum(lengths) / (1024 * len(rows)) > 0.99


def test_best_fit_takes_the_fullest_row_that_holds_a_document():
    assert best_fit([6, 5, 4, 3, 2], 10) == [[0, 2], [1, 3, 4]]


def example(prompt, answer, source="f:1"):
    return Example((Message("user", prompt),), Message("assistant", answer), "direct", source)


def test_what_cannot_be_trained_is_dropped_by_name_and_every_kept_row_learns_its_end():
    render = get_renderer(load_tokenizer("tiny"))
    rows = [
        example("ab", "ok"),
        example("ab", "  ", "f:2"),
        example("ab" * 40, "ok", "f:3"),
        example("a", "b" * 90, "f:4"),
    ]
    documents, dropped = tokenize(rows, render, max_length=32)
    assert documents["source"] == ["f:1"]
    assert dropped.counts == {"empty_response": 1, "too_long": 2}
    assert dropped.sources == {"empty_response": ["f:2"], "too_long": ["f:3", "f:4"]}
    batch = PaddedCollator(pad_id=5)(list(documents))
    assert all(labels[labels != -100][-1] == 11 for labels in batch["labels"])


def test_packing_loses_no_token():
    render = get_renderer(load_tokenizer("tiny"))
    documents, _ = tokenize([example("ab" * i, "ok", f"f:{i}") for i in range(1, 30)], render, max_length=64)
    packed = pack(documents, 64)
    assert sum(packed["length"]) == sum(documents["length"])
    assert max(packed["length"]) <= 64


@pytest.mark.parametrize("rows", [1, 7, 8, 33, 5000])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_batches_of_like_length_are_those_of_transformers(rows, batch_size):
    lengths = np.random.default_rng(rows).integers(1, 40, rows)  # with many ties
    sampler = LengthSampler(lengths.astype(np.uint32), batch_size)
    sampler.generator, stock = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    assert [*sampler] == get_length_grouped_indices(lengths.tolist(), batch_size, generator=stock)
