"""A proof of the mask on one's own rows: edit a token, and see which logits move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hrm_align.models.prefix_mask import prefix_end_id
from hrm_align.rendering import Document


@dataclass(frozen=True)
class Proof:
    """The largest movement of a logit in each experiment, over all documents.

    Args:
        documents: how many were tried.
        leak: of logits before an edited answer token. Must be exactly 0.
        bidirectional: of logits before an edited prompt token: the control, which must move.
        packing_leak: of one document's logits when its neighbour in a packed row is edited. Must be exactly 0.
    """

    documents: int
    leak: float
    bidirectional: float
    packing_leak: float

    @property
    def holds(self) -> bool:
        """Whether nothing moved that must not, and the control moved."""
        return self.leak == 0 and self.packing_leak == 0 and self.bidirectional > 0


@torch.no_grad()
def prove(model: PreTrainedModel, documents: Sequence[Document]) -> Proof:
    """Edit the middle of every answer, of every prompt, and of a packed neighbour, and compare logits.

    The comparison is exact: the two runs differ in nothing but the edited token, so a logit that cannot see it is
    computed from the same numbers in the same order.

    Args:
        model: an HRM-Text under the prefix mask, in eval mode.
        documents: prompt and response. A one-token prompt is skipped in the control.
    """
    end_id = prefix_end_id(model.config)
    leak = bidirectional = packing_leak = 0.0
    for index, document in enumerate(documents):
        ids, prefix = torch.tensor(document.input_ids), document.prefix_length
        logits = _logits(model, ids)
        in_answer, in_prompt = prefix + (len(ids) - prefix) // 2, prefix // 2
        leak = max(leak, _movement(model, logits, _edit(ids, in_answer, end_id), in_answer))
        bidirectional = max(bidirectional, _movement(model, logits, _edit(ids, in_prompt, end_id), in_prompt))
        neighbour = torch.tensor(documents[index - 1].input_ids)
        packing_leak = max(packing_leak, _packed_movement(model, neighbour, ids, end_id))
    return Proof(len(documents), leak, bidirectional, packing_leak)


def _movement(model: PreTrainedModel, logits: Tensor, edited: Tensor, before: int) -> float:
    """How far the logits before a position move when the edited ids are run."""
    return _distance(logits[:before], _logits(model, edited)[:before])


def _packed_movement(model: PreTrainedModel, neighbour: Tensor, ids: Tensor, end_id: int) -> float:
    positions = torch.cat([torch.arange(len(neighbour)), torch.arange(len(ids))])
    edited = _edit(neighbour, len(neighbour) // 2, end_id)
    before, after = (_logits(model, torch.cat([first, ids]), positions) for first in (neighbour, edited))
    return _distance(before[len(neighbour) :], after[len(neighbour) :])


def _logits(model: PreTrainedModel, ids: Tensor, positions: Tensor | None = None) -> Tensor:
    device = next(model.parameters()).device
    position_ids = None if positions is None else positions[None].to(device)
    return model(input_ids=ids[None].to(device), position_ids=position_ids, use_cache=False).logits[0].float()


def _edit(ids: Tensor, position: int, end_id: int) -> Tensor:
    """The ids with one token exchanged for another of the same document. The end of the prompt stays where it is."""
    if ids[position] == end_id:
        position -= 1
    others = ids[(ids != ids[position]) & (ids != end_id)]
    edited = ids.clone()
    edited[position] = others[len(others) // 2]
    return edited


def _distance(before: Tensor, after: Tensor) -> float:
    return (before - after).abs().max().item() if len(before) else 0.0
