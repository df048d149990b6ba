"""The proof that `inspect` prints: right where the mask is right, and each of its numbers moves when the mask leaks."""

import dataclasses

import pytest
import torch

from hrm_align.models import perturbation, prefix_mask
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
def test_a_control_that_moves_by_rounding_alone_proves_nothing(documents):
    """What moves by as little as two right kernels differ has not been seen by the prompt."""
    proof = prove(small_model(), documents)
    assert 0 < proof.rounding < 1e-4 * proof.bidirectional
    assert not dataclasses.replace(proof, bidirectional=proof.rounding).holds


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


def sees_the_row_behind(*args):
    """The first document of a row sees the second's prompt: `last` runs on through it."""
    first, last, *_ = visible_intervals(*args)
    starts = first[0].unique()
    if len(starts) > 1:
        last = last.clone()
        last[:, : starts[1]] = last[:, starts[1]].unsqueeze(1)
    return Intervals(first, last)


def test_both_neighbours_are_edited(documents, monkeypatch):
    """What only the later document of a pair gives away is found too."""
    monkeypatch.setattr(prefix_mask, "visible_intervals", sees_the_row_behind)
    proof = prove(small_model(), documents[:2])
    assert not proof.holds and proof.packing_leak > 1e-3 and proof.leak == 0


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_document_is_run_five_times(documents, count):
    """Twice alone and three times packed: one by itself is packed with itself."""
    model, lengths = small_model(), []
    chosen = (documents * 2)[:count]

    def count_tokens(module, args, kwargs):
        if kwargs.get("attention_mask") is None:  # else rounding is being measured, under a drawn mask
            lengths.append(kwargs["input_ids"].shape[1])

    model.register_forward_pre_hook(count_tokens, with_kwargs=True)
    assert prove(model, chosen).holds
    total = sum(len(document.input_ids) for document in chosen)
    assert sum(lengths) == (8 if count == 1 else 5) * total and len(lengths) == 2 * count + 3


def test_long_documents_are_packed_in_pairs(monkeypatch):
    monkeypatch.setattr(perturbation, "ROW_TOKENS", 20)
    long = [Document(document(7, 5).tolist(), 9) for _ in range(5)]
    assert [len(row) for row in perturbation._rows(long)] == [2, 3], "none is left alone"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_proof_is_exact_in_half_precision(documents, dtype):
    proof = prove(small_model().to(dtype), documents)
    assert proof.holds and proof.leak == proof.packing_leak == 0


def test_logits_that_are_no_numbers_prove_nothing(documents):
    model = small_model()
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    assert not prove(model, documents).holds
