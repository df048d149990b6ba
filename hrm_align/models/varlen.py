"""Attention by document in two FlashAttention calls, through `torch.nn.attention.varlen` (PyTorch 2.11 or newer, on a GPU).

FlashAttention knows no prefix mask, but two calls make one: every prompt attends to itself without a mask, and every response
attends causally to the keys of its whole document. For `a a A A | b b b B` (lower case read, upper case written):

    first call, no mask      queries  a a | b b b      keys  a a | b b b
    second call, causal      queries  A A | B          keys  a a A A | b b b B

A causal call with fewer queries than keys sees up to its own place counted from the end, which is what a response sees.
Another answer to a prompt (see `intervals`) has the keys of that prompt and its own.

`attn_implementation: varlen` switches it on. FlashAttention computes in half precision only: float32 products, and a CPU, run
the same sequences one after the other through `scaled_dot_product_attention`, which is right and slow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from hrm_align.errors import UserError
from hrm_align.models.intervals import Intervals

VARLEN = "varlen"
HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Sequences:
    """One call: which tokens are queries and which are keys, and where each sequence begins among them.

    Args:
        queries, keys: (n,) and (m,) places of tokens, counted through all rows; a key may stand in several sequences.
        query_starts, key_starts: (sequences + 1,), int32.
        longest: no sequence has more tokens. The length of a row, not of its documents: code that is compiled for one batch
            holds for the next, and a bound too high costs next to nothing.
        causal: whether a query sees keys up to its own place, counted from the end; else it sees all.
    """

    queries: Tensor
    keys: Tensor
    query_starts: Tensor
    key_starts: Tensor
    longest: int
    causal: bool


@dataclass(frozen=True)
class TwoCalls:
    """The plan of a batch: prompts, then responses. Tokens that see themselves alone, such as padding, keep their values."""

    prompts: Sequences
    responses: Sequences

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, dropout: float) -> Tensor:
        """Attention of one layer: (batch, heads, seq, dim) each, to (batch, seq, heads, dim)."""
        batch, heads, seq, dim = query.shape
        query_TND, key_TND, value_TND = (_flat(_as_computed(states)) for states in (query, key, value))
        output_TND = value_TND
        for call in (self.prompts, self.responses):
            if len(call.queries) == 0:
                continue
            kernel = _kernel(query_TND, dropout)
            chosen = query_TND[call.queries], key_TND[call.keys], value_TND[call.keys]
            attended = kernel(*chosen, call, scaling, dropout)
            output_TND = output_TND.index_copy(0, call.queries, attended.to(output_TND.dtype))
        return output_TND.view(batch, seq, heads, dim)


def two_calls(intervals: Intervals) -> TwoCalls:
    """Sort a batch's tokens into the queries and keys of both calls. Waits for the device; called once a batch."""
    first_BS, last_BS, prompt_first_BS, _ = intervals
    batch, seq = first_BS.shape
    device = first_BS.device
    index_BS = torch.arange(seq, device=device).expand(batch, seq)
    row_BS = torch.arange(batch, device=device)[:, None] * seq
    # where the document of a token begins: that of its prompt, for a further answer
    begins_BS = first_BS if prompt_first_BS is None else torch.where(prompt_first_BS >= 0, prompt_first_BS, first_BS)
    prompt_end_BS = last_BS.gather(1, begins_BS)
    sees_itself_BS = (begins_BS == index_BS) & (last_BS == index_BS)  # padding, or a prompt of one token
    is_prompt_BS = (first_BS == begins_BS) & (index_BS <= prompt_end_BS) & ~sees_itself_BS
    is_response_BS = ~is_prompt_BS & ~sees_itself_BS

    prompts = is_prompt_BS.flatten().nonzero().flatten()
    prompt_counts = _run_lengths((first_BS + row_BS).flatten()[prompts])
    responses = is_response_BS.flatten().nonzero().flatten()
    # responses differ in where their own tokens begin, which `first` holds for a further answer only
    own_BS = torch.where(first_BS == begins_BS, prompt_end_BS + 1, first_BS)
    own = (own_BS + row_BS).flatten()[responses]
    response_counts = _run_lengths(own)
    starts = own[_starts(response_counts)[:-1].long()] if len(responses) else own
    prompt_starts = (begins_BS + row_BS).flatten()[starts]
    prompt_lengths = (prompt_end_BS - begins_BS + 1).flatten()[starts]
    keys, key_counts = _behind_prompts(starts, response_counts, prompt_starts, prompt_lengths)
    return TwoCalls(
        Sequences(prompts, prompts, _starts(prompt_counts), _starts(prompt_counts), seq, False),
        Sequences(responses, keys, _starts(response_counts), _starts(key_counts), seq, True),
    )


def _run_lengths(marks: Tensor) -> Tensor:
    """How often each value stands in a row."""
    return torch.unique_consecutive(marks, return_counts=True)[1]


def _starts(counts: Tensor) -> Tensor:
    """(n + 1,), int32: where sequences of these lengths begin, and where the last one ends."""
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0)).int()


def _behind_prompts(
    starts: Tensor, counts: Tensor, prompt_starts: Tensor, prompt_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """Places of each response's keys, its prompt's and then its own; and how many there are."""
    totals = prompt_lengths + counts
    sequence = torch.repeat_interleave(totals)
    number = torch.arange(len(sequence), device=starts.device) - _starts(totals)[:-1].long()[sequence]
    behind = number - prompt_lengths[sequence]
    return torch.where(behind < 0, prompt_starts[sequence] + number, starts[sequence] + behind), totals


def _flat(states: Tensor) -> Tensor:
    """(batch, heads, seq, dim) to (batch * seq, heads, dim)."""
    batch, heads, seq, dim = states.shape
    return states.transpose(1, 2).reshape(batch * seq, heads, dim)


def _as_computed(states: Tensor) -> Tensor:
    """In autocast's precision: the rotary embedding leaves float32, and this kernel is not on autocast's list."""
    device = states.device.type
    return states.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else states


def _kernel(query: Tensor, dropout: float) -> Callable[..., Tensor]:
    """FlashAttention where it computes these states; it has no dropout."""
    return _flash if query.is_cuda and query.dtype in HALF and not dropout else _one_by_one


def _flash(query: Tensor, key: Tensor, value: Tensor, call: Sequences, scaling: float | None, dropout: float) -> Tensor:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        raise UserError(
            f"attn_implementation: varlen needs PyTorch 2.11, and this is {torch.__version__}: update it, or use sdpa."
        ) from None
    window = (-1, 0) if call.causal else (-1, -1)  # keys behind and before a query's own place, counted from the end
    attended = varlen_attn(
        query.contiguous(),
        key.contiguous(),
        value.contiguous(),
        call.query_starts,
        call.key_starts,
        call.longest,
        call.longest,
        scale=scaling,
        window_size=window,
    )
    return cast(Tensor, attended)


@torch.compiler.disable  # a call a sequence: another graph with every batch
def _one_by_one(
    query: Tensor, key: Tensor, value: Tensor, call: Sequences, scaling: float | None, dropout: float
) -> Tensor:
    """The same sequences, one call of PyTorch's attention each."""
    query_lengths, key_lengths = (starts.diff().tolist() for starts in (call.query_starts, call.key_starts))
    outputs: list[Tensor] = []
    parts: Any = (query.split(query_lengths), key.split(key_lengths), value.split(key_lengths))
    for own, seen, read in zip(*parts, strict=True):
        mask = None
        if call.causal:
            mask = torch.ones(len(own), len(seen), dtype=torch.bool, device=query.device).tril(len(seen) - len(own))
        first, second, third = (states.transpose(0, 1)[None] for states in (own, seen, read))  # (1, heads, n, dim)
        attended = scaled_dot_product_attention(first, second, third, mask, dropout, scale=scaling)
        outputs.append(attended[0].transpose(0, 1))
    return torch.cat(outputs)
