"""Decoding in fixed shapes, replayed as a CUDA graph: one launch a token, where a token of the published model takes thousands.

A graph repeats the same kernels on the same memory. So all that changes from token to token stands in tensors that stay where
they are: the tokens, their positions, the place at which keys and values are written, and which places hold none yet. Answers
that end are taken out, and room that is used up grows, as without a graph; both change shapes, and a graph is captured anew.

A replayed step still runs each of its small kernels. What stands between the products of a block (norm, rotary embedding,
activation, softmax) is therefore compiled, piece by piece and for all sizes at once.

On a CPU the same steps run uncaptured and uncompiled: nothing is faster there, but what would be captured can be tested.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any
from unittest.mock import patch

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.hrm_text import modeling_hrm_text

from hrm_align.errors import UserError
from hrm_align.models.attention import BY_DOCUMENT, PER_DOCUMENT, PLAN, instead_of_a_mask
from hrm_align.models.compile import reason_not_to_compile
from hrm_align.models.prefix_mask import CACHE
from hrm_align.models.rounding import attention
from hrm_align.rollouts.kv_cache import SharedCache, SharedLayer, as_read, attend_shared
from hrm_align.rollouts.writers import SharedPrompts

ROOM = 64  # tokens of an answer for which there is room at first
GROWTH = 1.5  # of the room; 12 captures for 3,072 tokens, and at most a third of the places read in vain
COMPILED_ON = ("cuda",)


# Pieces of a block ----------------------------------------------------------------------------------------------------


def _normed(states: Tensor, eps: float) -> Tensor:
    """As `HrmTextRMSNorm`."""
    exact = states.float()
    return (exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + eps)).type_as(states)


def _gated(gate: Tensor, up: Tensor, act: Callable[[Tensor], Tensor]) -> Tensor:
    """What `HrmTextMLP` projects down."""
    return act(gate) * up


@cache
def _compiled(piece: Callable[..., Any]) -> Callable[..., Any]:
    """For all sizes; of 1 and more, with and without a mask and so on, a variant each."""
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    return torch.compile(piece, dynamic=True)


@cache
def _why_uncompiled(device: torch.device) -> str | None:
    reason = reason_not_to_compile(device)
    if reason is not None:
        warnings.warn(f"cuda_graphs: kernels are not fused, which makes decoding slower: {reason}", stacklevel=2)
    return reason


@contextmanager
def _in_few_kernels(device: torch.device) -> Iterator[None]:
    """Blocks run their compiled pieces, on devices of `COMPILED_ON` that can compile."""
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
        patch.object(RoomyCache, "attention", staticmethod(_compiled(attend_shared))),
    ):
        yield


# Cache ----------------------------------------------------------------------------------------------------------------


class RoomyLayer(SharedLayer):
    """Of one stack pass: the prompts' keys and values, and those of answers, (answers, heads, room, dim)."""

    place: Tensor  # (1,), where the next token is written; the same for all layers

    def make_room(self, answers: int, room: int) -> None:
        """Hold answers of no token yet. Zeros: what is hidden is multiplied by a weight of 0, which NaN would survive."""
        self.begin_answers(answers)
        self.keys, self.values = (_longer(states, room) for states in (self.keys, self.values))

    def grow(self, room: int) -> None:
        """Hold the same in longer tensors."""
        self._roomy = None
        self.keys, self.values = (_longer(states, room) for states in (self.keys, self.values))

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Read the prompts, or write one token of each answer; returns all places, written or not."""
        if self.prompts is None:
            return super().update(key_states, value_states, *args, **kwargs)
        assert self.keys is not None and self.values is not None
        self.keys.index_copy_(2, self.place, as_read(key_states))
        self.values.index_copy_(2, self.place, as_read(value_states))
        return self.keys, self.values


class RoomyCache(SharedCache):
    """The cache of prompts and their answers at fixed places. See `SharedCache`."""

    layer_class = RoomyLayer

    def begin_answers(self) -> None:
        """The prompts have been read: what comes is one token for every answer."""
        self._room, self._written = ROOM, 0
        self._place = torch.zeros(1, dtype=torch.long, device=self.prompt_of.device)
        for layer in self.layers:
            layer.make_room(len(self.prompt_of), ROOM)
            layer.place = self._place
        self._hide()

    def has_room(self) -> bool:
        """Make room for one more token; whether there was some, so that a graph of the step still holds."""
        if self._written < self._room:
            return True
        self._room = -(-int(GROWTH * self._room) // 8) * 8
        for layer in self.layers:
            layer.grow(self._room)
        self._hide()
        return False

    def _hide(self) -> None:
        self._index = torch.arange(self._room, device=self._place.device)[None, None, None]
        self.beyond = self._index > self._place

    @property
    def state(self) -> tuple[Tensor, ...]:
        """What a step changes apart from keys and values, which a repeated step overwrites with the same."""
        return (self._place,)

    def begin_step(self) -> None:
        """Let the place that is written next be seen. Part of what is captured."""
        torch.gt(self._index, self._place, out=self.beyond)

    def end_step(self) -> None:
        """Move on to the next place. Part of what is captured."""
        self._place.add_(1)

    def count(self) -> None:
        """A step has run or was replayed."""
        self._written += 1


# Writer ---------------------------------------------------------------------------------------------------------------


class CapturedAnswers(SharedPrompts):
    """Answers that are written by a step in fixed shapes. See `Writer`.

    Args:
        model: an HrmTextForCausalLM in eval mode, or a PeftModel of one, under any attention: it reads the prompts by its own,
            and tokens of answers by that of `SharedCache`.
        prompts: token ids; equal ones next to each other are read once.
    """

    cache_class = RoomyCache
    _cache: RoomyCache

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]]):
        super().__init__(model, prompts)
        self._bare: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        self._graph: Any = None
        self._is_ready = False
        self._settle(self._positions)

    def _settle(self, positions: Tensor) -> None:
        """Take new places in memory, for so many answers: a captured graph no longer fits."""
        self._positions = positions.clone()
        self._tokens = torch.zeros_like(self._positions)[:, None]
        self._is_ready = False

    def write(self, tokens: Tensor) -> None:
        """See `Writer`. `logits` are overwritten by the next call."""
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
        """One token of every answer. No shape depends on how many were written, and nothing waits for the device."""
        self._cache.begin_step()
        has_plan = self._bare.config._attn_implementation in BY_DOCUMENT
        by_plan = nullcontext() if has_plan else attention(self._bare, PER_DOCUMENT)
        with by_plan, _in_few_kernels(self._tokens.device):
            written = self._model(
                input_ids=self._tokens,
                attention_mask=instead_of_a_mask(),
                position_ids=self._positions[:, None],
                use_cache=True,
                **{CACHE: self._cache, PLAN: self._cache},
            )
        self._output = written.logits[:, -1]
        self._positions.add_(1)
        self._cache.end_step()

    def _capture(self) -> None:
        """Run a step aside, so that libraries allocate and kernels load, undo it, and record it.

        The last graph lives until the next one stands, whose memory it hands over.
        """
        state = (self._positions, *self._cache.state)
        before = [tensor.clone() for tensor in state]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            self._step()
        torch.cuda.current_stream().wait_stream(aside)
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)
        graph = torch.cuda.CUDAGraph()
        pool = None if self._graph is None else self._graph.pool()
        try:
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                self._step()
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"cuda_graphs: the decoding step cannot be captured ({reason}). A hook of yours that reads a value on the host "
                "would be a cause: take it off while answers are drawn, or leave cuda_graphs out."
            ) from error
        self._graph, self._is_ready = graph, True


def _longer(states: Tensor | None, room: int) -> Tensor:
    """The same states at the front of so many places; the others are zeros."""
    assert states is not None
    answers, heads, length, dim = states.shape
    longer = states.new_zeros(answers, heads, room, dim)
    longer[:, :, :length] = states
    return longer
