"""A proof of the mask on one's own rows: edit a token, and see which logits move."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hrm_align.models.rounding import measure_floor
from hrm_align.rendering import Document, Layout

ROW_TOKENS = 1024  # of documents that are packed together
COMPARED_TOKENS = 256  # of logits at a time
ROUNDING_DOCUMENTS = 2  # on which rounding is measured

Track = Callable[[list[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Proof:
    """The largest movement of a logit in each experiment, over all documents.

    Args:
        documents: how many were tried.
        leak: of logits before an edited answer token. Must be exactly 0.
        bidirectional: of logits before an edited prompt token: the control, which must move by more than rounding does.
        packing_leak: of one document's logits when its neighbour in a packed row is edited. Must be exactly 0.
        rounding: what two kernels that both are right differ by.
    """

    documents: int
    leak: float
    bidirectional: float
    packing_leak: float
    rounding: float

    @property
    def holds(self) -> bool:
        """Whether nothing moved that must not, and the control moved."""
        return self.leak == 0 and self.packing_leak == 0 and self.bidirectional > self.rounding


@torch.no_grad()
def prove(model: PreTrainedModel, documents: Sequence[Document], track: Track = iter) -> Proof:
    """Edit the middle of every answer, and of every prompt in a packed row, and compare logits.

    The comparison is exact: two runs differ in nothing but edited tokens, so a logit that cannot see them is computed from
    the same numbers in the same order.

    A document is run five times: twice alone, as it is and with its answer edited; three times packed, as it is, with its
    own prompt edited (the control, and its neighbours must rest), and with its neighbours' prompts edited (it must rest).

    Args:
        model: an HRM-Text under the prefix mask, in eval mode.
        documents: prompt and response. A one-token prompt is skipped in the control.
        track: goes through the experiments, and may show how far it has come (`rich.progress.track`).
    """
    end_id = Layout.of(model.config).prefix_end
    experiments = [partial(_alone, model, document, end_id) for document in documents]
    experiments += [partial(_packed, model, row, end_id) for row in _rows(documents)]
    moved = [experiment() for experiment in track(experiments)]
    leak, bidirectional, packing_leak = (max(column) for column in zip(*moved, strict=True))
    rounding = measure_floor(model, documents[:ROUNDING_DOCUMENTS]).absolute
    return Proof(len(documents), leak, bidirectional, packing_leak, rounding)


class _Moved(NamedTuple):
    """What an experiment found, as in `Proof`."""

    leak: float = 0.0
    bidirectional: float = 0.0
    packing_leak: float = 0.0


def _alone(model: PreTrainedModel, document: Document, end_id: int) -> _Moved:
    ids, prefix = torch.tensor(document.input_ids), document.prefix_length
    in_answer = prefix + (len(ids) - prefix) // 2
    before, after = (_logits(model, [row]) for row in (ids, _edit(ids, in_answer, end_id)))
    return _Moved(leak=_distance(before[:in_answer], after[:in_answer]))


def _packed(model: PreTrainedModel, row: Sequence[Document], end_id: int) -> _Moved:
    """Edit the prompts of every other document, then those of the rest."""
    whole = [torch.tensor(document.input_ids) for document in row]
    edited = [_edit(ids, document.prefix_length // 2, end_id) for ids, document in zip(whole, row, strict=True)]
    lengths = [len(ids) for ids in whole]
    before = _logits(model, whole).split(lengths)
    bidirectional, packing_leak = [0.0], [0.0]
    for turn in (0, 1):
        is_edited = [number % 2 == turn for number in range(len(row))]
        chosen = [new if edit else old for old, new, edit in zip(whole, edited, is_edited, strict=True)]
        after = _logits(model, chosen).split(lengths)
        for document, edit, old, new in zip(row, is_edited, before, after, strict=True):
            if edit:
                in_prompt = document.prefix_length // 2
                bidirectional.append(_distance(old[:in_prompt], new[:in_prompt]))
            else:
                packing_leak.append(_distance(old, new))
        del after
    return _Moved(bidirectional=max(bidirectional), packing_leak=max(packing_leak))


def _rows(documents: Sequence[Document]) -> list[list[Document]]:
    """Neighbours to pack, at least two a row; a document that is the only one is its own neighbour."""
    rows: list[list[Document]] = []
    length = 0
    for document in documents:
        length += len(document.input_ids)
        if not rows or (len(rows[-1]) > 1 and length > ROW_TOKENS):
            rows.append([])
            length = len(document.input_ids)
        rows[-1].append(document)
    if rows and len(rows[-1]) == 1:
        alone = rows.pop()
        rows = [*rows[:-1], rows[-1] + alone] if rows else [alone * 2]
    return rows


def _logits(model: PreTrainedModel, row: Sequence[Tensor]) -> Tensor:
    """(tokens, vocab) logits of one document, or of several that are packed."""
    device = next(model.parameters()).device
    positions = torch.cat([torch.arange(len(ids)) for ids in row])[None].to(device) if len(row) > 1 else None
    ids = torch.cat(list(row))[None].to(device)
    return model(input_ids=ids, position_ids=positions, use_cache=False).logits[0]


def _edit(ids: Tensor, position: int, end_id: int) -> Tensor:
    """The ids with one token exchanged for another of the same document. The end of the prompt stays where it is."""
    if ids[position] == end_id:
        position -= 1
    others = ids[(ids != ids[position]) & (ids != end_id)]
    edited = ids.clone()
    edited[position] = others[len(others) // 2]
    return edited


def _distance(before: Tensor, after: Tensor) -> float:
    """The largest difference, without a float32 copy of all logits; infinite where one is no number."""
    largest = 0.0
    for old, new in zip(before.split(COMPARED_TOKENS), after.split(COMPARED_TOKENS), strict=True):
        if not torch.equal(old, new):
            difference = (old.float() - new.float()).abs().max().item()
            largest = max(largest, math.inf if math.isnan(difference) else difference)
    return largest
