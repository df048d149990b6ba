"""Per-document attention in two FlashAttention calls, through `torch.nn.attention.varlen` (PyTorch 2.11 or newer, on a GPU).

FlashAttention has no prefix mask, but two calls give the same result: one without a mask for the prompts, and a causal
one for the responses. For `a a A A | b b b B` (lower case: prefix, upper case: response):

    no mask      a a | A A | b b b | B       used of its output:  a a . . b b b .
    causal       a a A A | b b b B           used of its output:  . . A A . . . B

Both calls take all tokens in their order, so that nothing is copied. The responses in the first call, whose output is not
used, are cut into pieces of `PIECE` tokens, so that they cost little.

A further answer to a prompt (see `intervals`) has the keys of that prompt and its own, which are not next to each other. In
a batch with such answers, the calls take copies of the queries and keys that they need:

    first call, no mask      queries  a a | b b b      keys  a a | b b b
    second call, causal      queries  A A | B          keys  a a A A | b b b B

In a causal call with fewer queries than keys, positions are aligned at the end, so that a response token attends to its
prompt and to the response up to itself.

`attn_implementation: varlen` selects this attention. FlashAttention computes in half precision on a GPU only. With
float32 products, or on a CPU, the same sequences run one by one through `scaled_dot_product_attention`, which is
correct and slow.
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
PIECE = 128  # tokens: the queries of a block of FlashAttention


@dataclass(frozen=True)
class Sequences:
    """Boundaries of the sequences of one attention call.

    Args:
        query_starts, key_starts: (sequences + 1,) int32, start of each sequence in the call's queries and keys, and the
            end.
        longest: upper bound of a sequence's length in tokens: the length of a row, so that compiled code is valid for
            all batches (a bound that is too high costs almost nothing).
        causal: whether a query attends to keys up to its own position, aligned at the end; otherwise to all keys.
    """

    query_starts: Tensor
    key_starts: Tensor
    longest: int
    causal: bool


@dataclass(frozen=True)
class InPlace:
    """Plan of a batch without further answers: two calls over all tokens in their order.

    Args:
        pieces: prompts, and responses in pieces.
        documents: whole documents; each padding token is one, so that its output is its own value.
        is_prompt: (batch * seq, 1, 1) bool, tokens that use the output of the first call.
    """

    pieces: Sequences
    documents: Sequences
    is_prompt: Tensor

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, dropout: float) -> Tensor:
        """Compute attention of one layer from (batch, heads, seq, dim) to (batch, seq, heads, dim)."""
        batch, heads, seq, dim = query.shape
        states = [_flatten(cast_like_autocast(part)) for part in (query, key, value)]  # (batch * seq, heads, dim) each
        kernel = _kernel(states[0], dropout)
        bidirectional, causal = (kernel(*states, call, scaling, dropout) for call in (self.pieces, self.documents))
        return torch.where(self.is_prompt, bidirectional, causal).view(batch, seq, heads, dim)


@dataclass(frozen=True)
class Gathered:
    """An attention call on copies of some tokens.

    Args:
        queries, keys: (n,) and (m,) int64, indices into the flattened (batch * seq) tokens; a key may be in several
            sequences.
        sequences: boundaries of the sequences in them.
    """

    queries: Tensor
    keys: Tensor
    sequences: Sequences


@dataclass(frozen=True)
class TwoCalls:
    """Plan of a batch with further answers: a call for prompts, then a call for responses.

    The output of tokens that attend only to themselves, such as padding, is their own value.
    """

    prompts: Gathered
    responses: Gathered

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, dropout: float) -> Tensor:
        """Compute attention of one layer from (batch, heads, seq, dim) to (batch, seq, heads, dim)."""
        batch, heads, seq, dim = query.shape
        # T: flattened batch * seq tokens, N: heads, D: dim
        query_TND, key_TND, value_TND = (_flatten(cast_like_autocast(states)) for states in (query, key, value))
        output_TND = value_TND
        for call in (self.prompts, self.responses):
            if len(call.queries) == 0:
                continue
            kernel = _kernel(query_TND, dropout)
            chosen = query_TND[call.queries], key_TND[call.keys], value_TND[call.keys]
            attended = kernel(*chosen, call.sequences, scaling, dropout)
            output_TND = output_TND.index_copy(0, call.queries, attended.to(output_TND.dtype))
        return output_TND.view(batch, seq, heads, dim)


def make_plan(intervals: Intervals) -> InPlace | TwoCalls:
    """Make the plan of a batch. Synchronises with the device, once or twice per batch."""
    return _in_place(intervals) if intervals.prompt_first is None else _two_calls(intervals)


def _in_place(intervals: Intervals) -> InPlace:
    first_BS, last_BS, _, _ = intervals
    batch, seq = first_BS.shape
    index_BS = torch.arange(seq, device=first_BS.device).expand(batch, seq)  # B: batch, S: seq
    response_BS = last_BS.gather(1, first_BS) + 1  # column in which the response of each token's document begins
    is_prompt_BS = index_BS < response_BS
    begins_BS = first_BS == index_BS
    within_BS = index_BS - response_BS  # place in the response
    opens_BS = begins_BS | (~is_prompt_BS & (within_BS % PIECE == 0))
    documents, pieces = (_boundaries(starts) for starts in (begins_BS, opens_BS))
    return InPlace(
        Sequences(pieces, pieces, seq, False),
        Sequences(documents, documents, seq, True),
        is_prompt_BS.flatten()[:, None, None],
    )


def _boundaries(starts_BS: Tensor) -> Tensor:
    """Convert a mask of first tokens (batch, seq) to their places in the flattened tokens, (n + 1,) int32, and the end."""
    places = starts_BS.flatten().nonzero().flatten()
    return torch.nn.functional.pad(places, (0, 1), value=starts_BS.numel()).int()


def _two_calls(intervals: Intervals) -> TwoCalls:
    first_BS, last_BS, prompt_first_BS, _ = intervals
    batch, seq = first_BS.shape
    device = first_BS.device
    index_BS = torch.arange(seq, device=device).expand(batch, seq)
    row_BS = torch.arange(batch, device=device)[:, None] * seq
    # B: batch, S: seq. Column in which the document of each token begins; for a further answer, that of its prompt.
    begins_BS = first_BS if prompt_first_BS is None else torch.where(prompt_first_BS >= 0, prompt_first_BS, first_BS)
    prompt_end_BS = last_BS.gather(1, begins_BS)
    sees_itself_BS = (begins_BS == index_BS) & (last_BS == index_BS)  # padding, or a prompt of one token
    is_prompt_BS = (first_BS == begins_BS) & (index_BS <= prompt_end_BS) & ~sees_itself_BS
    is_response_BS = ~is_prompt_BS & ~sees_itself_BS

    # First call: the tokens of all prompts, as queries and as keys.
    prompts = is_prompt_BS.flatten().nonzero().flatten()
    prompt_counts = _run_lengths((first_BS + row_BS).flatten()[prompts])
    responses = is_response_BS.flatten().nonzero().flatten()
    # Second call: one sequence per response. Responses are distinguished by the column in which their own tokens begin, which
    # `first` has only for further answers.
    own_BS = torch.where(first_BS == begins_BS, prompt_end_BS + 1, first_BS)
    own = (own_BS + row_BS).flatten()[responses]
    response_counts = _run_lengths(own)
    starts = own[_starts(response_counts)[:-1].long()] if len(responses) else own
    prompt_starts = (begins_BS + row_BS).flatten()[starts]
    prompt_lengths = (prompt_end_BS - begins_BS + 1).flatten()[starts]
    keys, key_counts = _response_keys(starts, response_counts, prompt_starts, prompt_lengths)
    return TwoCalls(
        Gathered(prompts, prompts, Sequences(_starts(prompt_counts), _starts(prompt_counts), seq, False)),
        Gathered(responses, keys, Sequences(_starts(response_counts), _starts(key_counts), seq, True)),
    )


def _run_lengths(marks: Tensor) -> Tensor:
    """Return the lengths of runs of equal consecutive values, (runs,)."""
    return torch.unique_consecutive(marks, return_counts=True)[1]


def _starts(counts: Tensor) -> Tensor:
    """Convert lengths (n,) to starts (n + 1,), int32; the last entry is the end."""
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0)).int()


def _response_keys(
    starts: Tensor, counts: Tensor, prompt_starts: Tensor, prompt_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """List the keys of each response: those of its prompt, then its own.

    Args:
        starts, counts: (responses,), first token and length of each response.
        prompt_starts, prompt_lengths: (responses,), the same of its prompt.

    Returns:
        Indices of the keys of all responses (keys,), and the number of keys of each response (responses,).
    """
    totals = prompt_lengths + counts
    sequence = torch.repeat_interleave(totals)
    number = torch.arange(len(sequence), device=starts.device) - _starts(totals)[:-1].long()[sequence]
    in_response = number - prompt_lengths[sequence]  # below 0 for keys of the prompt
    keys = torch.where(in_response < 0, prompt_starts[sequence] + number, starts[sequence] + in_response)
    return keys, totals


def _flatten(states: Tensor) -> Tensor:
    """Reshape (batch, heads, seq, dim) to (batch * seq, heads, dim)."""
    batch, heads, seq, dim = states.shape
    return states.transpose(1, 2).reshape(batch * seq, heads, dim)


def cast_like_autocast(states: Tensor) -> Tensor:
    """Cast to autocast's dtype, since the rotary embedding returns float32.

    Autocast does not cast the inputs of the kernels here, and attention would cast a cache's states again for each token.
    """
    device = states.device.type
    return states.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else states


def _kernel(query: Tensor, dropout: float) -> Callable[..., Tensor]:
    """Choose FlashAttention if it supports the states and the dropout (it has none), otherwise the calls one by one."""
    return _flash if query.is_cuda and query.dtype in HALF and not dropout else _one_by_one


def _flash(query: Tensor, key: Tensor, value: Tensor, call: Sequences, scaling: float | None, dropout: float) -> Tensor:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        raise UserError(
            f"attn_implementation: varlen needs PyTorch 2.11, and this is {torch.__version__}. Update PyTorch, or use sdpa."
        ) from None
    window = (-1, 0) if call.causal else (-1, -1)  # visible keys to the left and right, -1 for all; aligned at the end
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


@torch.compiler.disable  # one call per sequence: every batch would need another graph
def _one_by_one(
    query: Tensor, key: Tensor, value: Tensor, call: Sequences, scaling: float | None, dropout: float
) -> Tensor:
    """Compute the same attention with one call of PyTorch's attention per sequence; (tokens, heads, dim)."""
    query_lengths, key_lengths = (starts.diff().tolist() for starts in (call.query_starts, call.key_starts))
    outputs: list[Tensor] = []
    parts: Any = (query.split(query_lengths), key.split(key_lengths), value.split(key_lengths))
    for queries, keys, values in zip(*parts, strict=True):
        mask = None
        if call.causal:
            offset = len(keys) - len(queries)
            mask = torch.ones(len(queries), len(keys), dtype=torch.bool, device=query.device).tril(offset)
        q, k, v = (states.transpose(0, 1)[None] for states in (queries, keys, values))  # (1, heads, n, dim) each
        attended = scaled_dot_product_attention(q, k, v, mask, dropout, scale=scaling)
        outputs.append(attended[0].transpose(0, 1))
    return torch.cat(outputs)
