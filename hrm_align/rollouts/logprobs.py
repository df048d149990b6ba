"""Log-probabilities of given answers, computed as in training and as in sampling, and two faster ways for training.

Shared prompts: the rows of a rollout (a prompt and an answer each) become packs of groups: prompt, answer, answer, ...,
where each answer has the positions that it has in a row of its own. The prefix mask recognises further answers by these
positions (`models.intervals`). Log-probabilities and gradients are the same as for separate rows.

Trimmed chunks: rows are scored in chunks of similar length, without the padding columns that are common to a chunk. A
rollout is padded to its longest prompt and its longest answer, which are seldom in the same row: for word problems 4 of
10 positions are padding, and HRM-Text runs 8 stack passes on each of them.
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
from hrm_align.models.attention import BY_DOCUMENT
from hrm_align.models.prefix_mask import CACHE
from hrm_align.rendering import Document
from hrm_align.rollouts.kv_cache import left_pad


@torch.no_grad()
def response_logprobs(model: PreTrainedModel, documents: Sequence[Document]) -> list[Tensor]:
    """Compute log-probabilities of each document's response as in training: one right-padded batch, no cache.

    Args:
        model: an HRM-Text.
        documents: prompts and responses.

    Returns:
        For each document a float32 tensor (response tokens,), in nats, end token included.
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
    """Compute the same log-probabilities as in sampling: a left-padded prefill, then one step per token with a cache.

    Args:
        model: an HRM-Text.
        documents: prompts and responses.

    Returns:
        For each document a float32 tensor (response tokens,), in nats, end token included.
    """
    device = next(model.parameters()).device
    prompts = [d.input_ids[: d.prefix_length] for d in documents]
    answers = [d.input_ids[d.prefix_length :] for d in documents]
    ids, mask = (tensor.to(device) for tensor in left_pad(prompts, model.generation_config.pad_token_id))
    # Prefill; positions are counted from each prompt's own start, as in `generate`.
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True)
    # One step per token; shorter answers repeat their last token, and the extra scores are cut off below.
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
    """Absolute differences of the sampler's and the trainer's log-probabilities over all response tokens, in nats."""

    max_difference: float
    mean_difference: float
    tokens: int


def parity(model: PreTrainedModel, documents: Sequence[Document]) -> Parity:
    """Compare `cached_logprobs` with `response_logprobs` on the same documents."""
    trained = torch.cat(response_logprobs(model, documents))
    sampled = torch.cat(cached_logprobs(model, documents))
    difference = (trained - sampled).abs()
    return Parity(difference.max().item(), difference.mean().item(), len(difference))


CHUNK_TOKENS = 4096  # tokens of a chunk of groups that is scored in one forward


@dataclass(frozen=True)
class Group:
    """A prompt (tokens,) and its answers, (tokens,) each, with the answers' rows in the rollout."""

    prompt: Tensor
    answers: list[Tensor]
    rows: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + sum(map(len, self.answers))


@dataclass(frozen=True)
class Pack:
    """Groups as model inputs.

    Args:
        input_ids, attention_mask, position_ids: (rows of the pack, seq).
        tokens_to_score: (answer tokens,), for every answer token, in the order of `rows`, the index of the token before
            it in the flattened `input_ids`.
        rows: rows of the rollout whose answers are in the pack.
        counts: (rows of the pack, seq), how many rows of the rollout share a token; 0 for padding.
    """

    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    tokens_to_score: Tensor
    rows: list[int]
    counts: Tensor


def group_rows(ids: Tensor, mask: Tensor, answer_width: int) -> list[Group]:
    """Group the rows of a rollout by equal prompts; the rows of a group need not be next to each other.

    Args:
        ids: (rows, seq), prompts padded on the left and answers on the right.
        mask: (rows, seq), 1 for a token. Rows with a completely masked answer are left out.
        answer_width: width of the answers: the number of last columns that belong to them.
    """
    present = mask.bool()
    prompts = [row[selected] for row, selected in zip(ids[:, :-answer_width], present[:, :-answer_width], strict=True)]
    answers = [row[selected] for row, selected in zip(ids[:, -answer_width:], present[:, -answer_width:], strict=True)]
    return group_answers(prompts, answers)


def group_answers(prompts: Sequence[Tensor], answers: Sequence[Tensor]) -> list[Group]:
    """Group answers by equal prompts.

    Args:
        prompts: the prompt of each row, (tokens,) each.
        answers: the answer of each row, (tokens,) each. Rows with an empty answer are left out.
    """
    distinct: dict[tuple[int, ...], Tensor] = {}
    members: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        key = tuple(prompt.tolist())
        distinct[key] = prompt
        if len(answer):
            members[key].append(row)
    return [
        Group(prompt, [answers[row] for row in members.get(key, [])], members.get(key, []))
        for key, prompt in distinct.items()
    ]


def packs_in_one_row(attn_implementation: str) -> bool:
    """Return whether an attention implementation skips blocks between documents, so that a pack is best as one row."""
    return attn_implementation in (*BY_DOCUMENT, "flex_attention")


def chunks(groups: Sequence[Group], tokens: int | None = CHUNK_TOKENS) -> Iterator[list[Group]]:
    """Split groups, sorted by length, into chunks of at most `tokens` tokens; a longer group is a chunk of its own.

    Args:
        groups: the groups.
        tokens: largest chunk; None for a single chunk.
    """
    chunk: list[Group] = []
    for group in sorted(groups, key=len):
        if chunk and tokens is not None and sum(map(len, chunk)) + len(group) > tokens:
            yield chunk
            chunk = []
        chunk.append(group)
    if chunk:
        yield chunk


def pack(groups: Sequence[Group], pad_id: int, in_one_row: bool) -> Pack:
    """Build model inputs from groups.

    Args:
        groups: the groups.
        pad_id: token id of the padding.
        in_one_row: put all groups into one row; otherwise one row per group, which is better for attention with a dense
            mask.
    """
    ids = [torch.cat([group.prompt, *group.answers]) for group in groups]
    positions = [_positions(group) for group in groups]
    counts = [_counts(group) for group in groups]
    lengths = [len(row) for row in ids]
    width = sum(lengths) if in_one_row else max(lengths)
    starts = [sum(lengths[:number]) if in_one_row else number * width for number in range(len(groups))]
    before = torch.cat([start + _previous_tokens(group) for start, group in zip(starts, groups, strict=True)])
    if in_one_row:
        ids, positions, counts = [torch.cat(ids)], [torch.cat(positions)], [torch.cat(counts)]
    return Pack(
        pad_sequence(ids, batch_first=True, padding_value=pad_id),
        pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        pad_sequence(positions, batch_first=True),
        before,
        [row for group in groups for row in group.rows],
        pad_sequence(counts, batch_first=True),
    )


def _positions(group: Group) -> Tensor:
    """Return `position_ids` (tokens,) of a group: each answer starts at the prompt's length."""
    start, device = len(group.prompt), group.prompt.device
    parts = [torch.arange(start, start + len(answer), device=device) for answer in group.answers]
    return torch.cat([torch.arange(start, device=device), *parts])


def _counts(group: Group) -> Tensor:
    """Return how many rows share each token (tokens,) of a group: all rows of the group share the prompt."""
    counts = torch.ones(len(group), dtype=torch.long, device=group.prompt.device)
    counts[: len(group.prompt)] = len(group.answers)
    return counts


def _previous_tokens(group: Group) -> Tensor:
    """Return for every answer token the index of the token before it; for the first of an answer, the prompt's last token."""
    places, start = [], len(group.prompt)
    for answer in group.answers:
        places.append(torch.arange(start - 1, start - 1 + len(answer), device=answer.device))
        places[-1][0] = len(group.prompt) - 1
        start += len(answer)
    return torch.cat(places) if places else torch.zeros(0, dtype=torch.long, device=group.prompt.device)


def get_targets(pack: Pack, ids: Tensor, mask: Tensor, answer_width: int) -> Tensor:
    """Return the answer tokens of a pack's rows, (rows of the pack, answer_width), with -100 in padding."""
    rows = torch.tensor(pack.rows, dtype=torch.long, device=ids.device)
    return ids[rows, -answer_width:].masked_fill(mask[rows, -answer_width:] == 0, IGNORED)


def score_packed(
    run: Callable[[Pack, Tensor], Any],
    ids: Tensor,
    mask: Tensor,
    answer_width: int,
    pad_id: int,
    in_one_row: bool,
    tokens: int | None = CHUNK_TOKENS,
) -> tuple[Tensor, Tensor | None]:
    """Compute log-probabilities and entropies of a rollout's answers, with one forward per distinct prompt.

    Args:
        run: function of a pack and its targets (rows of the pack, answer_width); returns the output of a head of
            `models.lm_head`.
        ids, mask, answer_width: as in `group_rows`.
        pad_id: token id of the padding.
        in_one_row: as in `pack`.
        tokens: as in `chunks`.

    Returns:
        Log-probabilities and entropies, (rows, answer_width), 0 in padding; None for entropies if `run` returns none.
    """
    logprobs, entropies, rows = [], [], list[int]()
    for groups in chunks(group_rows(ids, mask, answer_width), tokens):
        packed = pack(groups, pad_id, in_one_row)
        output = run(packed, get_targets(packed, ids, mask, answer_width))
        logprobs.append(output.log_probs)
        entropies.append(output.entropy)
        rows += packed.rows
    # Back to the order of the rollout; rows without an answer get an additional row of zeros.
    place = torch.full((len(ids),), len(rows), dtype=torch.long, device=ids.device)
    place[rows] = torch.arange(len(rows), device=ids.device)
    scored, entropy = (None if parts[0] is None else _append_zero_row(parts)[place] for parts in (logprobs, entropies))
    return cast(Tensor, scored), entropy


def _append_zero_row(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([*parts, parts[0].new_zeros(1, parts[0].shape[1])])


CHUNK_ROWS = 32  # rows of a chunk that `score_in_chunks` scores in one forward

# From ids and mask (rows, seq) and the number of scored last columns to log-probabilities and entropies (rows, answer_width).
Score = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor | None]]


def score_in_chunks(score: Score, ids: Tensor, mask: Tensor, answer_width: int) -> tuple[Tensor, Tensor | None]:
    """Score rows in chunks of similar length without their common padding; the results equal those of a single call.

    Args:
        score: function that scores a chunk.
        ids: (rows, seq), padded on the left and on the right.
        mask: (rows, seq), 1 for a token.
        answer_width: number of last columns that are scored.

    Returns:
        Log-probabilities and entropies, (rows, answer_width), 0 in the trimmed padding; None for entropies if `score`
        returns none.
    """
    order = mask.sum(dim=1).argsort(stable=True)
    logprobs, entropies = [], []
    for rows in order.split(CHUNK_ROWS):
        columns = mask[rows].any(dim=0).nonzero().flatten()
        first, last = (
            int(columns[0]),
            max(int(columns[-1]) + 1, mask.shape[1] - answer_width + 1),
        )  # at least one scored column
        trimmed = mask.shape[1] - last
        scored, entropy = score(ids[rows, first:last], mask[rows, first:last], answer_width - trimmed)
        logprobs.append(pad(scored, (0, trimmed)))
        if entropy is not None:
            entropies.append(pad(entropy, (0, trimmed)))
    inverse = order.argsort()
    return torch.cat(logprobs)[inverse], torch.cat(entropies)[inverse] if entropies else None
