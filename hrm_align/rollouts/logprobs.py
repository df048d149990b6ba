"""Log-probabilities of given answers, the way training sees them and the way sampling does; and two faster ways to them.

Shared prompts: a rollout's rows, each a prompt and an answer, become packs of groups: prompt, answer, answer, ... at the
positions that each answer has behind its prompt alone. The seam reads from the positions that every answer sees the prompt and
itself (`models.intervals`). Log-probabilities and gradients are those of separate rows.

Trimmed chunks: rows are scored in chunks of like length, without the padding that all of a chunk share. A rollout is padded to
its longest prompt and its longest answer, which are seldom the same row's: of word problems 4 slots in 10 are padding, and
HRM-Text runs 8 stack passes over each of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from hrm_align.data.packing import IGNORED, PaddedCollator
from hrm_align.models.prefix_mask import CACHE
from hrm_align.rendering import Document
from hrm_align.rollouts.kv_cache import left_padded


@torch.no_grad()
def response_logprobs(model: PreTrainedModel, documents: Sequence[Document]) -> list[Tensor]:
    """Teacher-forced log-probabilities of each document's response, end token included.

    Args:
        model: an HRM-Text, run as training runs it: one right-padded batch, no cache.
        documents: prompt and response.

    Returns:
        For each document a float32 tensor (response length), natural logarithm.
    """
    device = next(model.parameters()).device
    collate = PaddedCollator(model.generation_config.pad_token_id)
    rows = [{"input_ids": d.input_ids, "prefix_length": d.prefix_length} for d in documents]
    batch = {name: tensor.to(device) for name, tensor in collate(rows).items()}
    labels = batch.pop("labels")[:, 1:]
    logits = model(**batch, use_cache=False).logits[:, :-1].float()
    scored = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return [row[label != IGNORED].cpu() for row, label in zip(scored, labels, strict=True)]


@torch.no_grad()
def cached_logprobs(model: PreTrainedModel, documents: Sequence[Document]) -> list[Tensor]:
    """The same, as sampling computes them: a left-padded prefill, then one cached step a token."""
    device = next(model.parameters()).device
    prompts = [d.input_ids[: d.prefix_length] for d in documents]
    answers = [d.input_ids[d.prefix_length :] for d in documents]
    ids, mask = (tensor.to(device) for tensor in left_padded(prompts, model.generation_config.pad_token_id))
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)  # counted from each prompt's own start, as `generate` does
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True)
    steps = max(map(len, answers))
    padded = torch.tensor([answer + [answer[-1]] * (steps - len(answer)) for answer in answers], device=device)
    scores = []
    for step in range(steps):
        logprobs = output.logits[:, -1].float().log_softmax(-1)
        scores.append(logprobs.gather(-1, padded[:, step : step + 1]))
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        output = model(
            input_ids=padded[:, step : step + 1],
            attention_mask=mask,
            position_ids=mask.sum(dim=1, keepdim=True) - 1,
            use_cache=True,
            **{CACHE: output[CACHE]},
        )
    table = torch.cat(scores, dim=1).cpu()
    return [row[: len(answer)] for row, answer in zip(table, answers, strict=True)]


@dataclass(frozen=True)
class Parity:
    """How far the sampler's log-probabilities are from the trainer's, over all response tokens."""

    max_difference: float
    mean_difference: float
    tokens: int


def parity(model: PreTrainedModel, documents: Sequence[Document]) -> Parity:
    """Compare `cached_logprobs` with `response_logprobs` on the same documents."""
    trained = torch.cat(response_logprobs(model, documents))
    sampled = torch.cat(cached_logprobs(model, documents))
    difference = (trained - sampled).abs()
    return Parity(difference.max().item(), difference.mean().item(), len(difference))


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
        run: given a pack and its targets, what a head of `models.lm_head` gives.
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


CHUNK_ROWS = 32

# Ids and mask (rows, seq), and how many of the last positions are scored; log-probabilities and entropies (rows, kept).
Score = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor | None]]


def score_in_chunks(score: Score, ids: Tensor, mask: Tensor, kept: int) -> tuple[Tensor, Tensor | None]:
    """What `score` gives for all rows at once; 0 where a row has no token.

    Args:
        score: scores a chunk.
        ids: (rows, seq), padded on the left and on the right.
        mask: (rows, seq), 1 for a token.
        kept: how many of the last positions are scored.
    """
    order = mask.sum(dim=1).argsort(stable=True)
    logprobs, entropies = [], []
    for rows in order.split(CHUNK_ROWS):
        columns = mask[rows].any(dim=0).nonzero().flatten()
        first, last = int(columns[0]), max(int(columns[-1]) + 1, mask.shape[1] - kept + 1)  # at least one is scored
        behind = mask.shape[1] - last
        scored, entropy = score(ids[rows, first:last], mask[rows, first:last], kept - behind)
        logprobs.append(pad(scored, (0, behind)))
        if entropy is not None:
            entropies.append(pad(entropy, (0, behind)))
    back = order.argsort()
    return torch.cat(logprobs)[back], torch.cat(entropies)[back] if entropies else None
