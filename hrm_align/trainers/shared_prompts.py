"""The answers of a group behind their one prompt: it is computed once for all of them, where separate rows repeat it.

A rollout's rows, each a prompt and an answer, become packs of groups: prompt, answer, answer, ... at the positions that each
answer has behind its prompt alone. The seam reads from the positions that every answer sees the prompt and itself
(`models.intervals`). Log-probabilities and gradients are those of separate rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hrm_align.models.lm_head import IGNORED

CHUNK_TOKENS = 4096


@dataclass(frozen=True)
class Group:
    """A prompt (tokens,) and its answers, (tokens,) each, with the rows that they come from."""

    prompt: Tensor
    answers: list[Tensor]
    rows: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + sum(map(len, self.answers))


@dataclass(frozen=True)
class Pack:
    """Groups as the model takes them.

    Args:
        input_ids, attention_mask, position_ids: (rows of the pack, seq).
        tokens_to_score: for every answer token, in the order of `rows`, the place of the token before it.
        rows: of the rollout, whose answers are in the pack.
    """

    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    tokens_to_score: Tensor
    rows: list[int]


def groups_of(ids: Tensor, mask: Tensor, kept: int) -> list[Group]:
    """The groups of a rollout, rows of equal prompts together wherever they stand.

    Args:
        ids: (rows, seq), prompts padded on the left and answers on the right.
        mask: (rows, seq), 1 for a token. Rows whose answer is masked out as a whole are left out.
        kept: how many of the last positions are the answers'.
    """
    prompts, members = {}, defaultdict(list)
    for row, answer in enumerate(mask[:, -kept:].bool().any(dim=1).tolist()):
        prompt = ids[row, :-kept][mask[row, :-kept].bool()]
        key = tuple(prompt.tolist())
        prompts[key] = prompt
        if answer:
            members[key].append(row)
    answers = {key: [ids[row, -kept:][mask[row, -kept:].bool()] for row in rows] for key, rows in members.items()}
    return [Group(prompt, answers.get(key, []), members.get(key, [])) for key, prompt in prompts.items()]


def chunks(groups: Sequence[Group], tokens: int | None = CHUNK_TOKENS) -> Iterator[list[Group]]:
    """Groups of like length together, of at most so many tokens unless a single one has more; None for all at once."""
    chunk: list[Group] = []
    for group in sorted(groups, key=len):
        if chunk and tokens is not None and sum(map(len, chunk)) + len(group) > tokens:
            yield chunk
            chunk = []
        chunk.append(group)
    if chunk:
        yield chunk


def pack(groups: Sequence[Group], pad_id: int, in_one_row: bool) -> Pack:
    """Put groups into one row, or into a row each where attention computes the whole row for every token."""
    ids = [torch.cat([group.prompt, *group.answers]) for group in groups]
    positions = [_positions(group) for group in groups]
    lengths = [len(row) for row in ids]
    width = sum(lengths) if in_one_row else max(lengths)
    starts = [sum(lengths[:number]) if in_one_row else number * width for number in range(len(groups))]
    before = torch.cat([start + _before(group) for start, group in zip(starts, groups, strict=True)])
    if in_one_row:
        ids, positions = [torch.cat(ids)], [torch.cat(positions)]
    return Pack(
        pad_sequence(ids, batch_first=True, padding_value=pad_id),
        pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        pad_sequence(positions, batch_first=True),
        before,
        [row for group in groups for row in group.rows],
    )


def _positions(group: Group) -> Tensor:
    start, device = len(group.prompt), group.prompt.device
    parts = [torch.arange(start, start + len(answer), device=device) for answer in group.answers]
    return torch.cat([torch.arange(start, device=device), *parts])


def _before(group: Group) -> Tensor:
    """For every answer token the place of the token before it: the first of each answer follows the prompt."""
    places, start = [], len(group.prompt)
    for answer in group.answers:
        places.append(torch.arange(start - 1, start - 1 + len(answer), device=answer.device))
        places[-1][0] = len(group.prompt) - 1
        start += len(answer)
    return torch.cat(places) if places else torch.zeros(0, dtype=torch.long, device=group.prompt.device)


def targets_of(pack: Pack, ids: Tensor, mask: Tensor, kept: int) -> Tensor:
    """The answer tokens of a pack's rows (rows of the pack, kept), -100 where there is none."""
    rows = torch.tensor(pack.rows, dtype=torch.long, device=ids.device)
    return ids[rows, -kept:].masked_fill(mask[rows, -kept:] == 0, IGNORED)


def score_packed(
    run: Callable[[Pack, Tensor], Any],
    ids: Tensor,
    mask: Tensor,
    kept: int,
    pad_id: int,
    in_one_row: bool,
    tokens: int | None = CHUNK_TOKENS,
) -> tuple[Tensor, Tensor | None]:
    """Log-probabilities and entropies (rows, kept) of a rollout's answers, each prompt computed once.

    Args:
        run: given a pack and its targets, what a head of `models.response_head` gives.
        ids, mask, kept: see `groups_of`.
        pad_id: of padding.
        in_one_row: see `pack`.
        tokens: of a chunk, see `chunks`.

    Returns:
        0 outside of answers; the entropies None where `run` gives none.
    """
    logprobs, entropies, rows = [], [], list[int]()
    for groups in chunks(groups_of(ids, mask, kept), tokens):
        packed = pack(groups, pad_id, in_one_row)
        output = run(packed, targets_of(packed, ids, mask, kept))
        logprobs.append(output.log_probs)
        entropies.append(output.entropy)
        rows += packed.rows
    place = torch.full((len(ids),), len(rows), dtype=torch.long, device=ids.device)  # of rows that have no answer
    place[rows] = torch.arange(len(rows), device=ids.device)
    scored, spread = (None if parts[0] is None else _with_empty_row(parts)[place] for parts in (logprobs, entropies))
    return cast(Tensor, scored), spread


def _with_empty_row(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([*parts, parts[0].new_zeros(1, parts[0].shape[1])])
