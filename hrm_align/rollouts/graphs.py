"""Decoding with CUDA graphs: each step has fixed shapes and is replayed with one launch per token instead of thousands.

A graph repeats the same kernels on the same memory. All values that change from token to token are therefore in tensors
at fixed addresses: the tokens, their positions, the KV-cache slot of the next token, and the mask of slots that are
still empty. As without a graph, completions that have ended are removed and a full cache grows. Both change shapes,
after which a new graph is captured.

A replayed step still runs each of its small kernels. The operations between the matrix products of a block (norm,
rotary embedding, activation, softmax) are therefore compiled, each separately and for all sizes.

On a CPU the same steps run uncaptured and uncompiled, which is not faster, but makes them testable.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.hrm_text import modeling_hrm_text

from hrm_align.errors import UserError
from hrm_align.models.attention import BY_DOCUMENT, PER_DOCUMENT, PLAN, placeholder_mask
from hrm_align.models.compile import reason_not_to_compile
from hrm_align.models.lm_head import get_bare_model
from hrm_align.models.prefix_mask import CACHE
from hrm_align.models.rounding import attention
from hrm_align.models.varlen import cast_like_autocast
from hrm_align.rollouts.kv_cache import SharedCache, SharedLayer, attend_shared
from hrm_align.rollouts.writers import SharedPromptState

ROOM = 64  # initial KV-cache slots per completion
GROWTH = (
    1.5  # factor by which a full cache grows: 12 captures for 3,072 tokens, and at most a third of the slots are empty
)
COMPILED_ON = ("cuda",)  # device types on which the pieces of a block are compiled


# Pieces of a block ----------------------------------------------------------------------------------------------------


def _normed(states: Tensor, eps: float) -> Tensor:
    """Compute `HrmTextRMSNorm`, (..., hidden) to (..., hidden)."""
    exact = states.float()
    return (exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + eps)).type_as(states)


def _gated(gate: Tensor, up: Tensor, act: Callable[[Tensor], Tensor]) -> Tensor:
    """Compute the input of `HrmTextMLP`'s down projection, (..., intermediate)."""
    return act(gate) * up


@cache
def _compiled(piece: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function for all sizes; there are separate variants for size 1, with and without a mask, and so on."""
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    return torch.compile(piece, dynamic=True)


@cache
def _why_uncompiled(device: torch.device) -> str | None:
    reason = reason_not_to_compile(device)
    if reason is not None:
        warnings.warn(
            f"cuda_graphs: decoding is slower, because kernels cannot be compiled and fused ({reason.removesuffix('.')}). "
            "Install these for full speed.",
            stacklevel=2,
        )
    return reason


@contextmanager
def _in_few_kernels(device: torch.device) -> Iterator[None]:
    """Run blocks with compiled pieces in a `with` block, if the device is in `COMPILED_ON` and can compile."""
    if device.type not in COMPILED_ON or _why_uncompiled(device) is not None:
        yield
        return
    normed, gated = _compiled(_normed), _compiled(_gated)
    rotated = _compiled(modeling_hrm_text.apply_rotary_pos_emb)
    norm, mlp = modeling_hrm_text.HrmTextRMSNorm, modeling_hrm_text.HrmTextMLP
    with (
        patch.object(norm, "forward", lambda self, states: normed(states, self.eps)),
        patch.object(
            mlp,
            "forward",
            lambda self, states: self.down_proj(gated(self.gate_proj(states), self.up_proj(states), self.act_fn)),
        ),
        patch.object(modeling_hrm_text, "apply_rotary_pos_emb", rotated),
        patch.object(FixedCache, "attention", staticmethod(_compiled(attend_shared))),
    ):
        yield


# Cache ----------------------------------------------------------------------------------------------------------------


class FixedLayer(SharedLayer):
    """KV cache of one stack pass: keys and values of the prompts, and of completions in fixed slots.

    The completions' keys and values are (answers, heads, room, dim).
    """

    place: Tensor  # (1,), slot of the next token; all layers share this tensor

    def make_room(self, answers: int, room: int) -> None:
        """Allocate empty slots for completions. Zeros, because hidden slots are multiplied by 0, which NaN would survive."""
        self.begin_answers(answers)
        self.keys, self.values = (_extend(states, room) for states in (self.keys, self.values))

    def grow(self, room: int) -> None:
        """Move the completions' keys and values to tensors with more slots."""
        self._roomy = None
        self.keys, self.values = (_extend(states, room) for states in (self.keys, self.values))

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Prefill the prompts, or write one token of each completion; returns all slots, written or not.

        Args:
            key_states, value_states: (prompts, heads, seq, dim), or (answers, heads, 1, dim).

        Returns:
            Keys and values, (prompts, heads, seq, dim), or (answers, heads, room, dim).
        """
        if self.prompts is None:
            return super().update(key_states, value_states, *args, **kwargs)
        assert self.keys is not None and self.values is not None
        self.keys.index_copy_(2, self.place, cast_like_autocast(key_states))
        self.values.index_copy_(2, self.place, cast_like_autocast(value_states))
        return self.keys, self.values


class FixedCache(SharedCache):
    """KV cache of prompts and their completions in slots at fixed addresses. See `SharedCache`."""

    layer_class = FixedLayer

    def begin_answers(self) -> None:
        """Start decoding after the prefill: from now on each call adds one token to every completion."""
        self._room, self._written = ROOM, 0
        self._place = torch.zeros(1, dtype=torch.long, device=self.prompt_of.device)
        for layer in self.layers:
            layer.make_room(len(self.prompt_of), ROOM)
            layer.place = self._place
        self._hide()

    def has_room(self) -> bool:
        """Make room for one more token; returns whether there was room, so that a captured step remains valid."""
        if self._written < self._room:
            return True
        self._room = -(-int(GROWTH * self._room) // 8) * 8
        for layer in self.layers:
            layer.grow(self._room)
        self._hide()
        return False

    def _hide(self) -> None:
        """Allocate `beyond`, (1, 1, 1, room) bool, the mask of empty slots."""
        self._index = torch.arange(self._room, device=self._place.device)[None, None, None]
        self.beyond = self._index > self._place

    @property
    def state(self) -> tuple[Tensor, ...]:
        """Tensors that a step changes, without keys and values: a repeated step overwrites those with the same values."""
        return (self._place,)

    def begin_step(self) -> None:
        """Unhide the slot of the next token. Part of the captured step."""
        torch.gt(self._index, self._place, out=self.beyond)

    def end_step(self) -> None:
        """Advance to the next slot. Part of the captured step."""
        self._place.add_(1)

    def count(self) -> None:
        """Count a step that has run or was replayed."""
        self._written += 1


# Writer ---------------------------------------------------------------------------------------------------------------


class CapturedState(SharedPromptState):
    """Batched decoding state whose steps have fixed shapes and are captured as CUDA graphs. See `Writer`.

    Args:
        model: an HrmTextForCausalLM in eval mode, or a PeftModel of one. The prefill uses the model's own attention
            implementation, whichever that is; decoding uses the attention of `SharedCache`.
        prompts: token ids; consecutive equal prompts are prefilled once.
    """

    cache_class = FixedCache
    _cache: FixedCache

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]]):
        super().__init__(model, prompts)
        self._bare = get_bare_model(model)
        self._graph: Any = None
        self._is_ready = False
        self._settle(self._positions)

    def _settle(self, positions: Tensor) -> None:
        """Allocate the tensors of a step for these positions (answers,); invalidates a captured graph."""
        self._positions = positions.clone()
        self._tokens = torch.zeros_like(self._positions)[:, None]
        self._is_ready = False

    def write(self, tokens: Tensor) -> None:
        """See `Writer`. The next call overwrites `logits`."""
        if not self._cache.has_room():
            self._is_ready = False
        self._tokens.copy_(tokens[:, None])
        if not self._tokens.is_cuda:
            self._step()
        else:
            if not self._is_ready:
                self._capture()
            self._graph.replay()
        self._cache.count()
        self.logits = self._output

    def keep(self, answers: Tensor) -> None:
        """See `Writer`."""
        self._cache.keep(answers)
        self._settle(self._positions[answers])

    def _step(self) -> None:
        """Run one decoding step. No shape depends on the number of written tokens, and nothing synchronises with the device."""
        self._cache.begin_step()
        has_plan = self._bare.config._attn_implementation in BY_DOCUMENT
        by_plan = nullcontext() if has_plan else attention(self._bare, PER_DOCUMENT)
        with by_plan, _in_few_kernels(self._tokens.device):
            output = self._model(
                input_ids=self._tokens,  # (answers, 1)
                attention_mask=placeholder_mask(),
                position_ids=self._positions[:, None],
                use_cache=True,
                **{CACHE: self._cache, PLAN: self._cache},
            )
        self._output = output.logits[:, -1]  # (answers, vocab)
        self._positions.add_(1)
        self._cache.end_step()

    def _capture(self) -> None:
        """Capture the decoding step as a CUDA graph.

        The old graph is kept until the new one is captured, which uses the same memory pool.
        """
        # Warm up on a side stream (libraries allocate, kernels load), and undo the step's changes.
        state = (self._positions, *self._cache.state)
        before = [tensor.clone() for tensor in state]
        side_stream = torch.cuda.Stream()
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            self._step()
        torch.cuda.current_stream().wait_stream(side_stream)
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)
        # Capture.
        graph = torch.cuda.CUDAGraph()
        pool = None if self._graph is None else self._graph.pool()
        try:
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                self._step()
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"cuda_graphs: the decoding step cannot be captured ({reason}). If a hook of yours reads a tensor's value on "
                "the CPU, remove the hook during sampling; otherwise leave cuda_graphs out."
            ) from error
        self._graph, self._is_ready = graph, True


def _extend(states: Tensor | None, room: int) -> Tensor:
    """Copy states (answers, heads, length, dim) to the front of a zero tensor (answers, heads, room, dim)."""
    assert states is not None
    answers, heads, length, dim = states.shape
    longer = states.new_zeros(answers, heads, room, dim)
    longer[:, :, :length] = states
    return longer
