"""Per-document attention in two FlashAttention calls, through `torch.nn.attention.varlen` (PyTorch 2.11 or newer, on a GPU).

FlashAttention has no prefix mask, but two calls give the same result: in the first, every prompt attends to itself
without a mask; in the second, every response attends causally to the keys of its whole document. For `a a A A | b b b
B` (lower case: prefix, upper case: response):

    first call, no mask      queries  a a | b b b      keys  a a | b b b
    second call, causal      queries  A A | B          keys  a a A A | b b b B

In a causal call with fewer queries than keys, positions are aligned at the end, so that a response token attends to its
prompt and to the response up to itself. A further answer to a prompt (see `intervals`) has the keys of that prompt and
its own.

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


@dataclass(frozen=True)
class Sequences:
    """Arguments of one attention call: its query and key tokens, and the start of each sequence among them.

    Args:
        queries, keys: (n,) and (m,) int64, indices into the flattened (batch * seq) tokens; a key may be in several
            sequences.
        query_starts, key_starts: (sequences + 1,) int32, start of each sequence in `queries` and `keys`, and the end.
        longest: upper bound of a sequence's length in tokens: the length of a row, so that compiled code is valid for
            all batches (a bound that is too high costs almost nothing).
        causal: whether a query attends to keys up to its own position, aligned at the end; otherwise to all keys.
    """

    queries: Tensor
    keys: Tensor
    query_starts: Tensor
    key_starts: Tensor
    longest: int
    causal: bool


@dataclass(frozen=True)
class TwoCalls:
    """Plan of a batch: a call for prompts, then a call for responses.

    The output of tokens that attend only to themselves, such as padding, is their own value.
    """

    prompts: Sequences
    responses: Sequences

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, dropout: float) -> Tensor:
        """Compute attention of one layer from (batch, heads, seq, dim) to (batch, seq, heads, dim)."""
        batch, heads, seq, dim = query.shape
        # T: flattened batch * seq tokens, N: heads, D: dim
        query_TND, key_TND, value_TND = (_flatten(_cast_like_autocast(states)) for states in (query, key, value))
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
    """Make the plan of a batch: the queries and keys of both calls. Synchronises with the device, once per batch."""
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
        Sequences(prompts, prompts, _starts(prompt_counts), _starts(prompt_counts), seq, False),
        Sequences(responses, keys, _starts(response_counts), _starts(key_counts), seq, True),
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


def _cast_like_autocast(states: Tensor) -> Tensor:
    """Cast to autocast's dtype: the rotary embedding returns float32, and autocast does not cast this kernel's inputs."""
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
