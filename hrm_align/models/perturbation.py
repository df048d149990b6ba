"""Perturbation test of the prefix mask on a user's rows: change one token, and check which logits change."""

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

ROW_TOKENS = 1024  # tokens of documents that are packed into one row
COMPARED_TOKENS = 256  # tokens whose logits are compared at a time
ROUNDING_DOCUMENTS = 2  # documents on which the rounding floor is measured

Track = Callable[[list[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Proof:
    """Largest change of a logit in each experiment, over all documents.

    Args:
        documents: number of documents.
        leak: change of logits before an edited answer token; must be exactly 0.
        bidirectional: change of logits before an edited prompt token (the positive control); must exceed `rounding`.
        packing_leak: change of a document's logits if its neighbours in a packed row are edited; must be exactly 0.
        rounding: difference of two correct kernels.
    """

    documents: int
    leak: float
    bidirectional: float
    packing_leak: float
    rounding: float

    @property
    def holds(self) -> bool:
        """True if both leaks are 0 and the positive control exceeds the rounding."""
        return self.leak == 0 and self.packing_leak == 0 and self.bidirectional > self.rounding


@torch.no_grad()
def prove(model: PreTrainedModel, documents: Sequence[Document], track: Track = iter) -> Proof:
    """Edit a token in the middle of every answer, and of every prompt in a packed row, and compare logits exactly.

    Two runs differ only in the edited tokens, so that logits that do not depend on them are computed from the same
    numbers in the same order, and are equal bit by bit.

    Each document is run five times. Alone: unchanged, and with its answer edited. Packed: unchanged, with its own
    prompt edited (the positive control; its neighbours must not change), and with its neighbours' prompts edited (it
    must not change).

    Args:
        model: an HRM-Text under the prefix mask, in eval mode.
        documents: prompts and responses. A one-token prompt is skipped in the control.
        track: wrapper of the iteration over experiments, for example to show progress (`rich.progress.track`).
    """
    end_id = Layout.of(model.config).prefix_end
    experiments = [partial(_alone, model, document, end_id) for document in documents]
    experiments += [partial(_packed, model, row, end_id) for row in _rows(documents)]
    changes = [experiment() for experiment in track(experiments)]
    leak, bidirectional, packing_leak = (max(column) for column in zip(*changes, strict=True))
    rounding = measure_floor(model, documents[:ROUNDING_DOCUMENTS]).absolute
    return Proof(len(documents), leak, bidirectional, packing_leak, rounding)


class _Changes(NamedTuple):
    """Changes of logits in one experiment; fields as in `Proof`."""

    leak: float = 0.0
    bidirectional: float = 0.0
    packing_leak: float = 0.0


def _alone(model: PreTrainedModel, document: Document, end_id: int) -> _Changes:
    """Edit a token in the middle of the answer of a single document."""
    ids, prefix = torch.tensor(document.input_ids), document.prefix_length
    in_answer = prefix + (len(ids) - prefix) // 2
    before, after = (_logits(model, [row]) for row in (ids, _edit(ids, in_answer, end_id)))
    return _Changes(leak=_distance(before[:in_answer], after[:in_answer]))


def _packed(model: PreTrainedModel, row: Sequence[Document], end_id: int) -> _Changes:
    """Edit the prompts of every second document of a packed row, then the prompts of the others."""
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
    return _Changes(bidirectional=max(bidirectional), packing_leak=max(packing_leak))


def _rows(documents: Sequence[Document]) -> list[list[Document]]:
    """Group documents into rows to pack, at least two per row; a single document is packed with itself."""
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
    """Compute the logits (tokens, vocab) of one document, or of several packed documents."""
    device = next(model.parameters()).device
    positions = torch.cat([torch.arange(len(ids)) for ids in row])[None].to(device) if len(row) > 1 else None
    ids = torch.cat(list(row))[None].to(device)
    return model(input_ids=ids, position_ids=positions, use_cache=False).logits[0]


def _edit(ids: Tensor, position: int, end_id: int) -> Tensor:
    """Replace the token at `position` by another token of the document; the prefix end is never changed.

    Args:
        ids: (tokens,).
        position: index of the token; the token before it is replaced if this is the prefix end.
        end_id: id of the prefix end.
    """
    if ids[position] == end_id:
        position -= 1
    others = ids[(ids != ids[position]) & (ids != end_id)]
    edited = ids.clone()
    edited[position] = others[len(others) // 2]
    return edited


def _distance(before: Tensor, after: Tensor) -> float:
    """Return the largest absolute difference of two (tokens, vocab) tensors in chunks of tokens; infinite if one has a NaN."""
    largest = 0.0
    for old, new in zip(before.split(COMPARED_TOKENS), after.split(COMPARED_TOKENS), strict=True):
        if not torch.equal(old, new):
            difference = (old.float() - new.float()).abs().max().item()
            largest = max(largest, math.inf if math.isnan(difference) else difference)
    return largest
