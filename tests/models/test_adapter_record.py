"""A fingerprint names the weights of a base: the same on every machine, in every precision, at every size."""

import hashlib

import pytest
import torch

from hrm_align.models.adapter_record import fingerprint
from hrm_align.models.loading import load_model


class Weights:
    """A model in as far as a fingerprint reads one."""

    def __init__(self, **tensors):
        self._tensors = tensors

    def state_dict(self):
        return self._tensors


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_recorded_fingerprint_of_the_tiny_base_holds(dtype):
    """Adapters that were trained on it carry this one."""
    assert fingerprint(load_model("tiny", dtype=dtype)) == "e34ec7b1fcd81595"


@pytest.mark.parametrize("rows", [2**13, 2**20], ids=["2^26 entries", "2^33 entries"])
def test_entries_are_evenly_spaced_at_any_size(rows):
    """Rows are all alike and their entries all different (expanded: no memory), so a place that is off by one is seen."""
    columns = 2**13
    row = torch.arange(columns).to(torch.int16).view(torch.bfloat16).float().nan_to_num(0.5)
    expected, last = hashlib.sha256(b"embedding"), rows * columns - 1
    for i in range(256):  # in exact arithmetic
        entry = row[i * last // 255 % columns]
        expected.update(entry.to(torch.bfloat16).float().numpy().tobytes())
    assert fingerprint(Weights(embedding=row.expand(rows, columns))) == expected.hexdigest()[:16]


def test_every_sampled_entry_counts_at_the_end_of_a_large_tensor():
    """The index of the last entry of 2^25 + 1 is exact; float32 would round it to another entry, or beyond the tensor."""
    tensor = torch.zeros(2**25 + 1, dtype=torch.bfloat16)
    before = fingerprint(Weights(embedding=tensor))
    tensor[-1] = 1
    assert fingerprint(Weights(embedding=tensor)) != before
