"""The rounding floor of a model: how far two right ways of computing the same logits differ.

HRM-Text runs its layers 128 times, and each pass enlarges what the last one rounded: at one layer a stack two kernels differ
by 6e-7 of the largest logit in float32, at the published 16 layers by 3e-5. A limit that was measured at one depth says
nothing at another, so checks of one model against another (a merge, an export, a sampler) take theirs from here.

What is compared here shares no code with what those checks judge: the model's own modules run under a mask that is drawn
here, with positions counted here, without a cache, an adapter as it was trained. So a fault in the prefix mask, a cache, a
merge, a packed batch or a saved file cannot raise its own limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any
from unittest.mock import patch

import torch
from peft import PeftModel
from torch import Tensor, nn

from hrm_align.rendering import Document

DOCUMENTS, TOKENS = 8, 128  # on which a floor is measured: documents, and response tokens of each
LEAST = 1e-6  # of the largest logit, and nats: what float32 itself resolves
# Between a floor and a limit. Of 50 honest merges one reached 9.3 floors (47 stayed below 3.7), and the smallest faults that matter
# give 73 and more (scripts/README.md).
FACTOR = 30


@dataclass(frozen=True)
class Floor:
    """How far right ways of computing differ, over all documents measured.

    Args:
        logits: largest difference of two logits, over the largest logit.
        absolute: largest difference of two logits.
        nats: largest difference of two log-probabilities of a response token.
        mean_nats: the same, the mean over response tokens.
    """

    logits: float
    absolute: float
    nats: float
    mean_nats: float

    def limit(self, floor: float, least: float = LEAST) -> float:
        """What a check allows, for one of the three floors: `FACTOR` times as much, and `least` at least."""
        return max(least, FACTOR * floor)


def drawn_mask(prefix_length: int, length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Who sees whom in one document, additive, (1, 1, query, key):

       p p r r
    p  0 0 - -      prefix tokens see the whole prefix,
    p  0 0 - -
    r  0 0 0 -      response tokens the prefix and what stands before them.
    r  0 0 0 0
    """
    index = torch.arange(length, device=device)
    seen = (index[:, None] >= index[None, :]) | (index[None, :] < prefix_length)
    seen[:prefix_length, prefix_length:] = False
    mask = torch.zeros(1, 1, length, length, dtype=dtype, device=device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)


@torch.no_grad()
def measure_floor(model: nn.Module, documents: Sequence[Document]) -> Floor:
    """Compute the same logits by two kernels and in two shapes of a batch, and compare.

    Args:
        model: an HrmTextForCausalLM, or a PeftModel of one, in the precision in which a check will run it (under the
            caller's autocast).
        documents: prefix and response; at most `DOCUMENTS` of them, evenly chosen, are computed.
    """
    bare: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    shares, absolute, nats = [0.0], [0.0], list[Tensor]()
    with in_evaluation(model):
        for document in _chosen(documents):
            with attention(bare, "sdpa"):
                first, *others = plain_logits(model, document), plain_logits(model, document, rows=2)
            with attention(bare, "eager"):
                others.append(plain_logits(model, document))
            absolute.append(max(float((first - other).abs().max()) for other in others))
            shares.append(absolute[-1] / float(first.abs().max()))
            scores = [response_logprobs_of(way, document) for way in (first, *others)]
            nats.append(torch.stack([(scores[0] - other).abs() for other in scores[1:]]).amax(dim=0))
    apart = torch.cat(nats)
    return Floor(max(shares), max(absolute), float(apart.max()), float(apart.mean()))


@torch.no_grad()
def cost_of_rounding(model: nn.Module, documents: Sequence[Document], dtype: torch.dtype) -> float:
    """How far log-probabilities move, in nats and on average, where products are computed in `dtype` (by autocast).

    Args:
        model: in float32.
        documents: as for `measure_floor`.
        dtype: bfloat16 or float16.
    """
    bare: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    device, nats = next(model.parameters()).device.type, list[Tensor]()
    with in_evaluation(model), attention(bare, "sdpa"):
        for document in _chosen(documents):
            exact = response_logprobs_of(plain_logits(model, document), document)
            with torch.autocast(device, dtype=dtype, cache_enabled=False):
                rounded = response_logprobs_of(plain_logits(model, document), document)
            nats.append((exact - rounded).abs())
    return float(torch.cat(nats).mean())


def _chosen(documents: Sequence[Document]) -> list[Document]:
    number = min(DOCUMENTS, len(documents))
    return [documents[i * len(documents) // number] for i in range(number)]


def plain_logits(model: nn.Module, document: Document, rows: int = 1, longest: int | None = TOKENS) -> Tensor:
    """Logits (tokens, vocab), float32, that predict a document's response tokens, under `drawn_mask`.

    No seam, no cache, no padding.

    Args:
        model: as for `measure_floor`.
        document: what is read.
        rows: copies of it in the batch, which make other shapes of the same products.
        longest: response, in tokens; what stands behind is left out. None for all of it.
    """
    weight, start = next(model.parameters()), document.prefix_length
    length = len(document.input_ids) if longest is None else min(len(document.input_ids), start + longest)
    ids = torch.tensor([document.input_ids[:length]] * rows, device=weight.device)
    dtype = weight.dtype if weight.is_floating_point() else torch.float32
    mask = drawn_mask(start, length, dtype, weight.device).expand(rows, -1, -1, -1)
    positions = torch.arange(length, device=weight.device).expand(rows, -1)
    run: Any = model
    output = run(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=length - start + 1
    )
    return output.logits[0, :-1].float()


def response_logprobs_of(logits: Tensor, document: Document) -> Tensor:
    """Log-probabilities (tokens), nats, of a document's response tokens from the logits of `plain_logits`."""
    start = document.prefix_length
    ids = torch.tensor(document.input_ids[start : start + len(logits)], device=logits.device)
    return logits.log_softmax(-1).gather(-1, ids[:, None])[:, 0]


@torch.no_grad()
def tie_margin(model: nn.Module, document: Document, other: Sequence[int]) -> float | None:
    """How far apart two tokens' logits are where another greedy response parts from a document's; None where it does not.

    Two right ways of computing choose differently between tokens that are closer than rounding: that is no other model.

    Args:
        model: as for `measure_floor`.
        document: prefix, and a greedy response to it.
        other: ids of the other response.
    """
    start = document.prefix_length
    own = document.input_ids[start:]
    for place, (one, two) in enumerate(zip_longest(own, other)):
        if one == two:
            continue
        if one is None or two is None:
            return float("inf")  # one went on where the other had ended: no tie
        read = Document([*document.input_ids[: start + place], one], start)
        with in_evaluation(model):
            logits = plain_logits(model, read, longest=None)[-1]
        return float((logits[one] - logits[two]).abs())
    return None


@contextmanager
def attention(model: Any, implementation: str) -> Iterator[None]:
    """Another attention implementation for a while; `model` is an HrmTextForCausalLM."""
    before = model.config._attn_implementation
    model.set_attn_implementation(implementation)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def in_float32(*models: nn.Module) -> Iterator[None]:
    """Weights and arithmetic of models in float32 for a while, whatever precision a run computes in.

    Weights in half precision are held twice meanwhile, and every `torch.autocast` of the process does nothing: accelerate
    enters one inside of the forward that it wraps, where no context of a caller reaches.
    """
    held = [
        (weight, weight.data)
        for model in models
        for weight in model.parameters()
        if weight.dtype in (torch.bfloat16, torch.float16)
    ]
    try:
        for weight, data in held:
            weight.data = data.float()
        with (
            patch.object(torch.autocast, "__enter__", lambda context: context),
            patch.object(torch.autocast, "__exit__", lambda context, *raised: None),
        ):
            yield
    finally:
        for weight, data in held:
            weight.data = data


@contextmanager
def in_evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while: no dropout."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
