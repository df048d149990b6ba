"""Attention document by document: what lies between documents is not computed, where a dense mask computes and discards it.

A batch is cut into runs: documents, further answers to a document's prompt (see `intervals`), and padding. Each run is one
call of PyTorch's `scaled_dot_product_attention`; further answers have the prompt's keys and values put before their own. The
cost grows with the documents' lengths, not with the row's, so that rows may be as long as memory allows.

`attn_implementation: per_document` switches it on; `varlen` does the same in two calls a batch (see `varlen`). Calls with a cache,
where one token is written at a time, take the usual mask, unless the caller brings a plan of its own (`rollouts.kv_cache`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from hrm_align.models.intervals import Intervals
from hrm_align.models.varlen import VARLEN, two_calls

PER_DOCUMENT = "per_document"
BY_DOCUMENT = (PER_DOCUMENT, VARLEN)  # implementations that take a plan and compute nothing between documents
PLAN = "attention_plan"  # the keyword in which it reaches the attention
DENSE_ROW = 256  # tokens; up to here cutting takes longer than it saves (scripts/README.md)


def instead_of_a_mask() -> Tensor:
    """What a call with a plan passes as its mask: of four dimensions, so that it is taken as given and none is built."""
    return torch.empty(1, 1, 1, 1)


class Plan(Protocol):
    """Computes the attention of one layer, all of (batch, heads, seq, dim), to (batch, seq, heads, dim)."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, dropout: float) -> Tensor:
        """Called by every layer of every pass."""


@dataclass(frozen=True)
class Run:
    """Tokens that are attended for in one call.

    Args:
        mask: bool (tokens, keys), or None for padding, each token of which sees itself alone.
        document: number of the run whose prompt comes before the own keys; None where nothing does.
        prompt_length: of that prompt, in tokens.
    """

    mask: Tensor | None
    document: int | None = None
    prompt_length: int = 0


@dataclass(frozen=True)
class Runs:
    """A batch cut into runs: their lengths in tokens, counted through all rows, and what they are."""

    lengths: list[int]
    runs: list[Run]

    @torch.compiler.disable  # as many calls as there are documents: a compiler would start again with every batch
    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, dropout: float) -> Tensor:
        """One call of PyTorch's attention for each run (see `Plan`)."""
        queries, keys, values = (_cut(states, self.lengths) for states in (query, key, value))
        outputs = []
        for number, run in enumerate(self.runs):
            if run.mask is None:
                outputs.append(values[number])
                continue
            seen, read = keys[number], values[number]
            if run.document is not None:
                seen = torch.cat([keys[run.document][:, :, : run.prompt_length], seen], dim=2)
                read = torch.cat([values[run.document][:, :, : run.prompt_length], read], dim=2)
            outputs.append(
                scaled_dot_product_attention(
                    queries[number], seen, read, attn_mask=run.mask, dropout_p=dropout, scale=scaling
                )
            )
        batch, heads, seq, dim = query.shape
        return torch.cat([output.transpose(1, 2) for output in outputs], dim=1).view(batch, seq, heads, dim)


def plan_of(implementation: str, intervals: Intervals) -> Plan | None:
    """How one of `BY_DOCUMENT` attends in a batch; None where it takes a mask instead."""
    return two_calls(intervals) if implementation == VARLEN else runs_of(intervals)


def runs_of(intervals: Intervals) -> Runs | None:
    """Cut a batch into its runs, or None where its rows are so short that a dense mask is faster."""
    batch, seq = intervals.first.shape
    if seq <= DENSE_ROW and intervals.prompt_first is None:
        return None
    starts, documents, prompts, padding = _cuts(intervals)
    lengths = [end - start for start, end in pairwise([*starts, batch * seq])]
    further = [document != start for document, start in zip(documents, starts, strict=True)]
    keys = [length + prompt * own for length, prompt, own in zip(lengths, prompts, further, strict=True)]
    longest = max((count for count, single in zip(keys, padding, strict=True) if not single), default=0)
    causal = torch.ones(longest, longest, dtype=torch.bool, device=intervals.first.device).tril()
    number_of = {start: number for number, start in enumerate(starts)}
    runs = []
    for number, (document, prompt, seen) in enumerate(zip(documents, prompts, keys, strict=True)):
        if padding[number]:
            runs.append(Run(None))
        elif further[number]:
            runs.append(Run(causal[prompt:seen, :seen], number_of[document], prompt))
        else:
            mask = causal[:seen, :seen].clone()
            mask[:prompt, :prompt] = True
            runs.append(Run(mask))
    return Runs(lengths, runs)


def _cuts(intervals: Intervals) -> tuple[list[int], list[int], list[int], list[bool]]:
    """Of every run: where it starts, where its document does, the length of that one's prompt, whether it is padding.

    Places are counted through all rows.
    """
    first, last, prompt_first, _ = intervals
    seq = first.shape[1]
    index = torch.arange(seq, device=first.device).expand_as(first)
    begins = first if prompt_first is None else torch.where(prompt_first >= 0, prompt_first, first)
    padding = (begins == index) & (last == index)
    padding[:, :-1] &= begins[:, 1:] != index[:, :-1]  # a prompt of one token is none
    key = torch.where(padding, -1, first)
    change = torch.ones_like(padding)
    change[:, 1:] = key[:, 1:] != key[:, :-1]
    starts = change.flatten().nonzero().flatten()
    begins = begins.flatten()[starts]
    documents = starts // seq * seq + begins
    prompts = last.flatten()[documents] - begins + 1
    return starts.tolist(), documents.tolist(), prompts.tolist(), padding.flatten()[starts].tolist()


def per_document_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The attention function that Transformers calls; all of shape (batch, heads, seq, dim).

    Returns:
        (batch, seq, heads, dim), and no weights.
    """
    plan: Plan | None = kwargs.pop(PLAN, None)
    if plan is not None:
        return plan.attend(query, key, value, scaling, dropout), None
    return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)


def _cut(states: Tensor, lengths: list[int]) -> list[Tensor]:
    """(batch, heads, seq, dim) to one (1, heads, length, dim) for each run."""
    batch, heads, seq, dim = states.shape
    flat = states.transpose(1, 2).reshape(1, batch * seq, heads, dim)
    return [part.transpose(1, 2) for part in flat.split(lengths, dim=1)]


def register() -> None:
    """Make the implementations known to Transformers under their names."""
    for name in BY_DOCUMENT:
        AttentionInterface.register(name, per_document_attention)
        AttentionMaskInterface.register(name, sdpa_mask)
