"""Rounding floor of a model: the difference of the same logits between two correct ways to compute them.

HRM-Text runs its layers 128 times, and each pass amplifies the rounding errors of the last: with one layer per stack
two kernels differ by 6e-7 of the largest logit in float32, with the published 16 layers by 3e-5. A limit that was
measured at one depth does not apply to another, so checks that compare two models (a merge, an export, a sampler)
derive their limits from this floor.

The measurement shares no code with those checks: the model's own modules run under a mask and positions that are built
here, without a cache, and with an adapter unmerged. A fault in the prefix mask, a cache, a merge, a packed batch or a
saved file therefore cannot raise its own limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from hrm_align.models.lm_head import get_bare_model
from hrm_align.rendering import Document

DOCUMENTS, TOKENS = 8, 128  # a floor is measured on this many documents, and response tokens of each
LEAST = 1e-6  # smallest limit, as a fraction of the largest logit or in nats: the resolution of float32
# Ratio of limit and floor. Of 50 correct merges one reached 9.3 floors (47 stayed below 3.7); the smallest faults that
# matter reach 73 or more (docs/results/planted-faults.md).
FACTOR = 30


@dataclass(frozen=True)
class Floor:
    """Differences between correct ways of computation, over all measured documents.

    Args:
        logits: largest difference of two logits, divided by the largest logit.
        absolute: largest difference of two logits.
        nats: largest difference of two log-probabilities of a response token, in nats.
        mean_nats: difference of two log-probabilities, averaged over response tokens, in nats.
    """

    logits: float
    absolute: float
    nats: float
    mean_nats: float

    def limit(self, floor: float, least: float = LEAST) -> float:
        """Compute the limit of a check from one of the floors: `FACTOR` times the floor, but at least `least`."""
        return max(least, FACTOR * floor)


def rule_mask(prefix_length: int, length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Build the additive prefix mask of one document from the rule, (1, 1, query, key); `-` is the dtype's minimum:

       p p r r
    p  0 0 - -      a prefix token attends to the whole prefix,
    p  0 0 - -
    r  0 0 0 -      a response token to the prefix and to the response up to itself.
    r  0 0 0 0

    Args:
        prefix_length: tokens of the prefix.
        length: tokens of the document.
        dtype: dtype of the mask.
        device: device of the mask.
    """
    index = torch.arange(length, device=device)
    seen = (index[:, None] >= index[None, :]) | (index[None, :] < prefix_length)
    seen[:prefix_length, prefix_length:] = False
    mask = torch.zeros(1, 1, length, length, dtype=dtype, device=device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)


@torch.no_grad()
def measure_floor(model: nn.Module, documents: Sequence[Document]) -> Floor:
    """Measure the rounding floor: compute the same logits with two kernels and two batch sizes, and compare.

    Args:
        model: an HrmTextForCausalLM, or a PeftModel of one, in the precision of the check that uses the floor (under
            the caller's autocast).
        documents: prefix and response; at most `DOCUMENTS` of them, evenly spaced, are used.
    """
    bare = get_bare_model(model)
    shares, absolute, nats = [0.0], [0.0], list[Tensor]()
    with in_evaluation(model):
        for document in _evenly_spaced(documents):
            with attention(bare, "sdpa"):
                first, *others = plain_logits(model, document), plain_logits(model, document, rows=2)
            with attention(bare, "eager"):
                others.append(plain_logits(model, document))
            absolute.append(max(float((first - other).abs().max()) for other in others))
            shares.append(absolute[-1] / float(first.abs().max()))
            scores = [compute_response_logprobs(way, document) for way in (first, *others)]
            nats.append(torch.stack([(scores[0] - other).abs() for other in scores[1:]]).amax(dim=0))
    differences = torch.cat(nats)
    return Floor(max(shares), max(absolute), float(differences.max()), float(differences.mean()))


@torch.no_grad()
def cost_of_rounding(model: nn.Module, documents: Sequence[Document], dtype: torch.dtype) -> float:
    """Measure the mean change of response log-probabilities, in nats, if autocast computes products in `dtype`.

    Args:
        model: a model in float32.
        documents: as for `measure_floor`.
        dtype: bfloat16 or float16.
    """
    bare = get_bare_model(model)
    device, nats = next(model.parameters()).device.type, list[Tensor]()
    with in_evaluation(model), attention(bare, "sdpa"):
        for document in _evenly_spaced(documents):
            exact = compute_response_logprobs(plain_logits(model, document), document)
            with torch.autocast(device, dtype=dtype, cache_enabled=False):
                rounded = compute_response_logprobs(plain_logits(model, document), document)
            nats.append((exact - rounded).abs())
    return float(torch.cat(nats).mean())


def _evenly_spaced(documents: Sequence[Document]) -> list[Document]:
    number = min(DOCUMENTS, len(documents))
    return [documents[i * len(documents) // number] for i in range(number)]


def plain_logits(model: nn.Module, document: Document, rows: int = 1, longest: int | None = TOKENS) -> Tensor:
    """Compute the logits (tokens, vocab), float32, that predict a document's response tokens, under `rule_mask`.

    The prefix-mask patch, a cache and padding are not involved.

    Args:
        model: as for `measure_floor`.
        document: prefix and response.
        rows: copies of the document in the batch; another number gives matrix products of other shapes.
        longest: number of response tokens to use; None for all of them.
    """
    weight, start = next(model.parameters()), document.prefix_length
    length = len(document.input_ids) if longest is None else min(len(document.input_ids), start + longest)
    ids = torch.tensor([document.input_ids[:length]] * rows, device=weight.device)
    dtype = weight.dtype if weight.is_floating_point() else torch.float32
    mask = rule_mask(start, length, dtype, weight.device).expand(rows, -1, -1, -1)
    positions = torch.arange(length, device=weight.device).expand(rows, -1)
    run: Any = model
    output = run(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=length - start + 1
    )
    return output.logits[0, :-1].float()


def compute_response_logprobs(logits: Tensor, document: Document) -> Tensor:
    """Compute log-probabilities (tokens,), nats, of a document's response tokens from the logits of `plain_logits`."""
    start = document.prefix_length
    ids = torch.tensor(document.input_ids[start : start + len(logits)], device=logits.device)
    return logits.log_softmax(-1).gather(-1, ids[:, None])[:, 0]


@torch.no_grad()
def tie_margin(model: nn.Module, document: Document, other: Sequence[int]) -> float | None:
    """Measure the logit difference of the two tokens at which two greedy responses first differ; None if they are equal.

    If the difference is below the rounding error, two correct computations of one model may choose either token.

    Args:
        model: as for `measure_floor`.
        document: prefix, and a greedy response to it.
        other: ids of the other greedy response.

    Returns:
        The absolute difference; infinite if one response ends where the other continues.
    """
    start = document.prefix_length
    own = document.input_ids[start:]
    for place, (one, two) in enumerate(zip_longest(own, other)):
        if one == two:
            continue
        if one is None or two is None:
            return float("inf")  # one response has ended: no tie
        common = Document([*document.input_ids[: start + place], one], start)
        with in_evaluation(model):
            logits = plain_logits(model, common, longest=None)[-1]
        return float((logits[one] - logits[two]).abs())
    return None


@contextmanager
def attention(model: Any, implementation: str) -> Iterator[None]:
    """Use another attention implementation in a `with` block; `model` is an HrmTextForCausalLM."""
    before = model.config._attn_implementation
    model.set_attn_implementation(implementation)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def in_float32(*models: nn.Module) -> Iterator[None]:
    """Use float32 weights and arithmetic for the models in a `with` block, whatever the run's precision.

    Weights in half precision are held twice in the block. Every `torch.autocast` of the process has no effect in it,
    because accelerate enters autocast inside the wrapped forward, where a caller cannot switch it off.
    """
    originals = [
        (weight, weight.data)
        for model in models
        for weight in model.parameters()
        if weight.dtype in (torch.bfloat16, torch.float16)
    ]
    try:
        for weight, data in originals:
            weight.data = data.float()
        with (
            patch.object(torch.autocast, "__enter__", lambda context: context),
            patch.object(torch.autocast, "__exit__", lambda context, *raised: None),
        ):
            yield
    finally:
        for weight, data in originals:
            weight.data = data


@contextmanager
def in_evaluation(model: nn.Module) -> Iterator[None]:
    """Put the model into eval mode (no dropout) in a `with` block."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
