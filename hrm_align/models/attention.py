"""Per-document attention: no scores between documents are computed, where a dense mask computes and discards them.

A batch is cut into runs: documents, further answers to a document's prompt (see `intervals`), and padding. Each run is
one call of PyTorch's `scaled_dot_product_attention`; for a further answer, the prompt's keys and values are put before
the answer's own. The cost grows with the lengths of the documents, not of the rows, so that rows may be as long as
memory allows.

`attn_implementation: per_document` selects this attention; `varlen` does the same in two calls per batch (see
`varlen`). Calls with a cache, which decode one token at a time, use the usual mask, unless the caller passes a plan
(`rollouts.kv_cache`).
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

from hrm_align.models import varlen
from hrm_align.models.intervals import Intervals
from hrm_align.models.varlen import VARLEN

PER_DOCUMENT = "per_document"
BY_DOCUMENT = (PER_DOCUMENT, VARLEN)  # implementations that take a plan and compute no scores between documents
PLAN = "attention_plan"  # keyword argument with which the plan reaches the attention
DENSE_ROW = 256  # tokens; for rows up to this length a dense mask is faster (docs/results/speed.md)


def placeholder_mask() -> Tensor:
    """Return a placeholder mask, (1, 1, 1, 1), for calls with a plan: Transformers uses a 4-D mask as given and builds none."""
    return torch.empty(1, 1, 1, 1)


class Plan(Protocol):
    """Attention plan of a batch: computes the attention of one layer without a mask."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, dropout: float) -> Tensor:
        """Compute attention from (batch, heads, seq, dim) to (batch, seq, heads, dim); every layer of every pass calls it."""


@dataclass(frozen=True)
class Run:
    """Consecutive query tokens whose attention is computed in one call.

    Args:
        mask: (tokens, keys) bool; None for padding, whose tokens attend only to themselves.
        document: number of the run whose prompt's keys are put before the run's own keys; None for no such keys.
        prompt_length: length of that prompt, in tokens.
    """

    mask: Tensor | None
    document: int | None = None
    prompt_length: int = 0


@dataclass(frozen=True)
class Runs:
    """Plan of a batch that is cut into runs.

    Args:
        lengths: number of tokens in each run, in the order of the flattened rows.
        runs: the runs.
    """

    lengths: list[int]
    runs: list[Run]

    @torch.compiler.disable  # one call per document: every batch would need a new compilation
    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, dropout: float) -> Tensor:
        """Call PyTorch's attention once per run (see `Plan`)."""
        queries, keys, values = (_split_runs(states, self.lengths) for states in (query, key, value))
        outputs = []
        for number, run in enumerate(self.runs):
            if run.mask is None:
                outputs.append(values[number])
                continue
            run_keys, run_values = keys[number], values[number]  # (1, heads, length, dim)
            if run.document is not None:
                run_keys = torch.cat([keys[run.document][:, :, : run.prompt_length], run_keys], dim=2)
                run_values = torch.cat([values[run.document][:, :, : run.prompt_length], run_values], dim=2)
            outputs.append(
                scaled_dot_product_attention(
                    queries[number], run_keys, run_values, attn_mask=run.mask, dropout_p=dropout, scale=scaling
                )
            )
        batch, heads, seq, dim = query.shape
        return torch.cat([output.transpose(1, 2) for output in outputs], dim=1).view(batch, seq, heads, dim)


def make_plan(implementation: str, intervals: Intervals) -> Plan | None:
    """Make the plan of a batch for an implementation of `BY_DOCUMENT`; None if the batch is to use a mask."""
    return varlen.make_plan(intervals) if implementation == VARLEN else split_into_runs(intervals)


def split_into_runs(intervals: Intervals) -> Runs | None:
    """Cut a batch into runs; None if its rows are so short that a dense mask is faster."""
    batch, seq = intervals.first.shape
    if seq <= DENSE_ROW and intervals.prompt_first is None:
        return None
    starts, documents, prompts, padding = _cuts(intervals)
    # Per run: its length, whether it is a further answer, and the number of its keys.
    lengths = [end - start for start, end in pairwise([*starts, batch * seq])]
    further = [document != start for document, start in zip(documents, starts, strict=True)]
    keys = [length + prompt * own for length, prompt, own in zip(lengths, prompts, further, strict=True)]
    # All masks are parts of one causal mask; in a document's own mask the prompt is bidirectional.
    longest = max((count for count, single in zip(keys, padding, strict=True) if not single), default=0)
    causal = torch.ones(longest, longest, dtype=torch.bool, device=intervals.first.device).tril()
    run_by_start = {start: number for number, start in enumerate(starts)}
    runs = []
    for number, (document, prompt, seen) in enumerate(zip(documents, prompts, keys, strict=True)):
        if padding[number]:
            runs.append(Run(None))
        elif further[number]:
            runs.append(Run(causal[prompt:seen, :seen], run_by_start[document], prompt))
        else:
            mask = causal[:seen, :seen].clone()
            mask[:prompt, :prompt] = True
            runs.append(Run(mask))
    return Runs(lengths, runs)


def _cuts(intervals: Intervals) -> tuple[list[int], list[int], list[int], list[bool]]:
    """Find the runs of a batch.

    Returns:
        For every run: its first token, the first token of its document (both as indices into the flattened rows), the
            length of
        the document's prompt, and whether the run is padding.
    """
    first, last, prompt_first, _ = intervals
    seq = first.shape[1]
    index = torch.arange(seq, device=first.device).expand_as(first)
    begins = first if prompt_first is None else torch.where(prompt_first >= 0, prompt_first, first)
    padding = (begins == index) & (last == index)
    padding[:, :-1] &= begins[:, 1:] != index[:, :-1]  # a prompt of one token sees only itself too, but is no padding
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
    """Attention function for Transformers: use the plan if there is one, otherwise sdpa with the mask.

    Args:
        module: the attention layer.
        query, key, value: (batch, heads, seq, dim).
        attention_mask: (batch, 1, seq, keys), without a plan.
        scaling: factor of the scores.
        dropout: probability of dropout on the attention weights.
        kwargs: further keywords of Transformers, among them the plan under `PLAN`.

    Returns:
        Output (batch, seq, heads, dim), and None for the attention weights.
    """
    plan: Plan | None = kwargs.pop(PLAN, None)
    if plan is not None:
        return plan.attend(query, key, value, scaling, dropout), None
    return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)


def _split_runs(states: Tensor, lengths: list[int]) -> list[Tensor]:
    """Split (batch, heads, seq, dim) into one (1, heads, length, dim) per run."""
    batch, heads, seq, dim = states.shape
    flat = states.transpose(1, 2).reshape(1, batch * seq, heads, dim)
    return [part.transpose(1, 2) for part in flat.split(lengths, dim=1)]


def register() -> None:
    """Register the implementations with Transformers under their names."""
    for name in BY_DOCUMENT:
        AttentionInterface.register(name, per_document_attention)
        AttentionMaskInterface.register(name, sdpa_mask)
