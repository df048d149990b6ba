"""The proof that `inspect` prints: right where the mask is right, and each of its numbers moves when the mask leaks."""

import pytest
import torch

from hrm_align.models import prefix_mask
from hrm_align.models.intervals import Intervals, visible_intervals
from hrm_align.models.perturbation import prove
from hrm_align.rendering import Document
from tests.parity.reference import document, small_model


@pytest.fixture
def documents():
    return [Document(document(n, m).tolist(), n + 2) for n, m in ((7, 5), (4, 6), (9, 3))]


@pytest.mark.numeric
def test_the_proof_holds_under_the_mask(documents):
    proof = prove(small_model(), documents)
    assert proof.holds and proof.leak == proof.packing_leak == 0 and proof.bidirectional > 1e-3


def sees_the_future(*args):
    first, last, *_ = visible_intervals(*args)
    return Intervals(first, torch.full_like(last, last.shape[1] - 1))


def sees_the_row_before(*args):
    first, last, *_ = visible_intervals(*args)
    return Intervals(torch.zeros_like(first), last)


def sees_only_the_past(*args):
    first, last, *_ = visible_intervals(*args)
    return Intervals(first, torch.arange(last.shape[1]).expand_as(last))


@pytest.mark.numeric
@pytest.mark.parametrize(
    "fault, number",
    [(sees_the_future, "leak"), (sees_the_row_before, "packing_leak"), (sees_only_the_past, "bidirectional")],
)
def test_each_number_betrays_its_fault(documents, monkeypatch, fault, number):
    monkeypatch.setattr(prefix_mask, "visible_intervals", fault)
    proof = prove(small_model(), documents)
    assert not proof.holds
    value = getattr(proof, number)
    assert value == 0 if number == "bidirectional" else value > 1e-3
