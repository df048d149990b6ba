"""Measure how large a fault must be to matter, on fixed documents with a forward that shares no code with the checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hrm_align.rendering import Document, get_renderer
from hrm_align.rollouts.local import generate
from tests.parity.faults import adapted_layers

CHANGED = 0.01  # share of greedy tokens that change
MOVED = 0.02  # mean change of log-probabilities, in nats
ANSWER = 8  # tokens
TYPED = 4  # last prompt tokens that wrongly have token type 0
LARGEST = 1e4  # the search for a size ends here
STEPS = 5  # bisection steps within a factor of four

ROOT = Path(__file__).parents[3]


def short_prompts(number: int) -> list[str]:
    """Return the shortest single-turn questions of the shipped chat rows."""
    lines = (ROOT / "data/chat/test.jsonl").read_text(encoding="utf-8").splitlines()
    talks = [json.loads(line)["messages"] for line in lines]
    alone = [talk[0]["content"] for talk in talks if len(talk) == 2 and talk[0]["role"] == "user"]
    return sorted(alone, key=len)[:number]


def make_documents(model: Any, tokenizer: Any, questions: Sequence[str], tokens: int = ANSWER) -> list[Document]:
    """Return documents of questions with the model's greedy answers."""
    render = get_renderer(tokenizer)
    prompts = [render.prompt(question, "direct") for question in questions]
    answers = generate(model, prompts, max_new_tokens=tokens)
    return [Document([*prompt, *answer], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]


@dataclass(frozen=True)
class Spoilt:
    """The fault of a forward; the defaults mean no fault.

    Args:
        ahead: subtracted from the attention scores of prompt tokens on later prompt tokens.
        last: apply `ahead` only to scores on this many last prompt tokens; None for all.
        shift: added to the positions of answer tokens.
    """

    ahead: float = 0.0
    last: int | None = None
    shift: float = 0.0


@torch.no_grad()
def compute_logits(model: Any, documents: Sequence[Document], spoilt: Spoilt = Spoilt()) -> list[Tensor]:
    """Compute the logits of each document's answer tokens in one padded batch.

    Returns:
        For each document, logits (answer tokens, vocab).
    """
    longest = max(len(document.input_ids) for document in documents)
    ids_BS = torch.tensor([[*d.input_ids, *[0] * (longest - len(d.input_ids))] for d in documents])
    place = torch.arange(longest)
    query, key = place[:, None], place[None, :]
    masks, positions = [], []
    for document in documents:
        prompt = document.prefix_length
        both = (query < prompt) & (key < prompt)
        mask = torch.full((longest, longest), torch.finfo(torch.float32).min)
        mask[(key <= query) | both] = 0.0
        first = 0 if spoilt.last is None else prompt - spoilt.last
        mask[both & (key > query) & (key >= first)] = -spoilt.ahead
        masks.append(mask)
        positions.append(place + spoilt.shift * (place >= prompt))
    logits_BSV = model(
        input_ids=ids_BS,
        attention_mask=torch.stack(masks)[:, None],
        position_ids=torch.stack(positions),
        use_cache=False,
    ).logits
    rows = zip(logits_BSV, documents, strict=True)
    return [row[d.prefix_length - 1 : len(d.input_ids) - 1] for row, d in rows]


def effect(right: Sequence[Tensor], wrong: Sequence[Tensor], documents: Sequence[Document]) -> float:
    """Return the effect of a fault, relative to an effect that matters.

    1 means that the fault changes 1 % of greedy tokens, or log-probabilities by 0.02 nats on average.

    Args:
        right: logits (answer tokens, vocab) of each document without the fault.
        wrong: the same with the fault.
        documents: the documents.
    """
    one, two = torch.cat(list(right)), torch.cat(list(wrong))
    ids = torch.cat([torch.tensor(d.input_ids[d.prefix_length :]) for d in documents])[:, None]
    moved = (one.log_softmax(-1).gather(-1, ids) - two.log_softmax(-1).gather(-1, ids)).abs().mean()
    changed = (one.argmax(-1) != two.argmax(-1)).float().mean()
    return max(float(moved) / MOVED, float(changed) / CHANGED)


def smallest(effect_of: Callable[[float], float], start: float) -> float | None:
    """Return the smallest size with an effect of 1, within 4 %; None if no size up to `LARGEST` has such an effect."""
    low = high = start
    while effect_of(high) < 1:
        low, high = high, high * 4
        if high > LARGEST:
            return None
    while low == high or effect_of(low) >= 1:
        low, high = low / 4, low
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if effect_of(middle) >= 1 else (middle, high)
    return high


def measure_sizes(adapted: Any, documents: Sequence[Document], layer: str, starts: dict[str, float]) -> dict[str, Any]:
    """Measure the smallest size that matters of each fault.

    Args:
        adapted: a base with an adapter; the adapter is disabled for faults that do not concern a merge.
        documents: questions with greedy answers of the adapted model.
        layer: the layer that a faulty merge leaves out.
        starts: for each fault, the size at which the search begins.

    Returns:
        The size of each fault; None if no size matters.
    """
    bare = adapted.get_base_model()
    with adapted.disable_adapter():
        alone = compute_logits(bare, documents)
    whole = compute_logits(adapted, documents)

    def spoilt(**changes: Any) -> float:
        with adapted.disable_adapter():
            return effect(alone, compute_logits(bare, documents, Spoilt(**changes)), documents)

    def scaled(size: float) -> float:
        with factor_on(adapted, "", 1 + size):
            return effect(whole, compute_logits(adapted, documents), documents)

    def left_out(size: float) -> float:
        with factor_on(adapted, layer, size):
            there = compute_logits(adapted, documents)
        with factor_on(adapted, layer, 0.0):
            return effect(there, compute_logits(adapted, documents), documents)

    measured: dict[str, Callable[[float], float]] = {
        "causal prompt": lambda size: spoilt(ahead=size),
        "token types": lambda size: spoilt(ahead=size, last=TYPED),
        "shifted positions": lambda size: spoilt(shift=size),
        "adapter scale": scaled,
        "one layer unmerged": left_out,
    }
    return {name: smallest(measured[name], start) for name, start in starts.items()}


@contextmanager
def factor_on(model: Any, part: str, factor: float) -> Iterator[None]:
    """Multiply the scale of the adapter layers with `part` in their name, within the context."""
    layers = [layer for name, layer in adapted_layers(model).items() if part in name]
    before = [dict(layer.scaling) for layer in layers]
    for layer in layers:
        layer.scaling.update({adapter: scale * factor for adapter, scale in layer.scaling.items()})
    try:
        yield
    finally:
        for layer, scaling in zip(layers, before, strict=True):
            layer.scaling.update(scaling)
