"""Teachers of on-policy distillation: what a trainer asks of a teacher, and the divergence from the tokens that a server returns.

    a model in this process        hidden states and head: TRL's divergence of whole distributions, in chunks (trainers/distillation.py)
    a teacher elsewhere            `Teacher.score`: the most probable tokens of each position, and `top_divergence`

A teacher reads its own prompt and the student's completion. Only the positions of the completion are compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedTokenizerFast
from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

from hrm_align.data.examples import Example, RunData
from hrm_align.data.tokenize import select_answerable_prompts
from hrm_align.errors import UserError
from hrm_align.evaluation.drawing import Context
from hrm_align.models.adapters import is_adapter, load_named
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.progress import stage
from hrm_align.rendering import Layout

TOP_CHUNK = 1024  # completion tokens whose logits are held at a time, where a teacher is asked
_LEAST = 1e-7  # probability of all tokens that a teacher has not returned, where those returned add up to 1 or, rounded, to more


@dataclass(frozen=True)
class TopTokens:
    """Next-token distributions of a teacher at the positions of one completion, as far as the teacher returns them.

    Args:
        ids: (tokens, k) token ids, int64; row t is the distribution of completion token t, given the prompt and the tokens before t.
        logprobs: (tokens, k) their log-probabilities at temperature 1, in nats, float32. -inf fills up a row with fewer tokens, at any
            id. With k equal to the vocabulary and no -inf the distribution is whole.
    """

    ids: Tensor
    logprobs: Tensor


class Teacher(Protocol):
    """A teacher that returns log-probabilities, such as a server (`trainers/server_teacher.py`)."""

    def score(self, documents: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[TopTokens]:
        """Return the distributions at the tokens of each completion.

        Args:
            documents: token ids of the teacher's prompt, which ends with <|im_end|>, and of the student's completion, one token or
                more, with its end token if it has ended.

        Returns:
            One entry for each document, in their order, on the CPU; `k` may differ between documents.

        Raises:
            RunError: if the teacher does not answer.
        """
        ...


def top_divergence(student: Tensor, ids: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """Return the divergence (tokens,) over the tokens that a teacher returned and one outcome for all others, in nats.

    It is at most the divergence of the whole distributions, and equal to it if the teacher returned the whole vocabulary.

    Args:
        student: (tokens, vocab) logits of the student.
        ids: (tokens, k) token ids of the teacher.
        teacher: (tokens, k) their log-probabilities; -inf for no token.
        beta: 0 for the forward KL(teacher || student), 1 for the reverse KL(student || teacher), between them the generalised
            Jensen-Shannon divergence (Agarwal et al. 2024, equation 1, as in TRL).
    """
    logprobs = student.float().log_softmax(dim=-1)
    present = teacher > -math.inf
    s, t = logprobs.gather(-1, ids).where(present, 0.0), teacher.where(present, 0.0)
    covered = torch.zeros_like(logprobs).scatter_add_(-1, ids, present.to(logprobs.dtype)) > 0
    terms = _divergence_terms(s, t, beta).where(present, 0.0).sum(dim=-1)
    is_whole = covered.all(dim=-1)
    # the outcome "any other token"; of a whole distribution it does not exist, and 0 stands for its logarithm
    rest = logprobs.masked_fill(covered & ~is_whole[:, None], -math.inf).logsumexp(dim=-1).where(~is_whole, 0.0)
    missing = torch.log((1 - teacher.exp().sum(dim=-1)).clamp(min=_LEAST))
    return terms + _divergence_terms(rest, missing, beta).where(~is_whole, 0.0)


def _divergence_terms(student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """Return the summands of the divergence of two distributions, given as log-probabilities."""
    if beta == 0:
        return teacher.exp() * (teacher - student)
    if beta == 1:
        return student.exp() * (student - teacher)
    mixture = torch.logaddexp(student + math.log(1 - beta), teacher + math.log(beta))
    return beta * teacher.exp() * (teacher - mixture) + (1 - beta) * student.exp() * (student - mixture)


def top_divergence_in_chunks(
    hidden: Tensor, weight: Tensor, ids: Tensor, teacher: Tensor, beta: float
) -> tuple[Tensor, Tensor]:
    """Return `top_divergence` and the student's entropy, (tokens,) each in nats, without the logits of all tokens at once.

    Args:
        hidden: (tokens, hidden) states of the student that predict the completion tokens.
        weight: (vocab, hidden) of the student's head.
        ids, teacher, beta: as in `top_divergence`.
    """

    def of_chunk(states: Tensor, weight: Tensor, ids: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        logits = states @ weight.to(states.dtype).T
        logprobs = logits.float().log_softmax(dim=-1)
        return top_divergence(logits, ids, teacher, beta), -(logprobs.exp() * logprobs).sum(dim=-1).detach()

    parts = zip(hidden.split(TOP_CHUNK), ids.split(TOP_CHUNK), teacher.split(TOP_CHUNK), strict=True)
    results = [checkpoint(of_chunk, states, weight, *top, use_reentrant=False) for states, *top in parts]
    divergences, entropies = zip(*results, strict=True)
    return torch.cat(divergences), torch.cat(entropies)


def whole_divergence(
    hidden: Tensor, weight: Tensor, teacher_hidden: Tensor, teacher_weight: Tensor, beta: float, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return the divergence of whole distributions and the student's entropy, (tokens,) each in nats; TRL computes it in tiles.

    Args:
        hidden, weight: (tokens, hidden) and (vocab, hidden) of the student.
        teacher_hidden, teacher_weight: the same of the teacher, whose width may differ.
        beta: as in `top_divergence`.
        temperature: divisor of both models' logits.
    """
    heads = (hidden, weight, None, teacher_hidden, teacher_weight, None)
    return cast(tuple[Tensor, Tensor], ChunkedDivergenceFunction.apply(*heads, beta, temperature))


def pad_top_tokens(answers: Sequence[TopTokens], width: int) -> tuple[Tensor, Tensor]:
    """Return ids and log-probabilities of a batch, (batch, width, k) each; padding has the log-probability -inf."""
    most = max(answer.ids.shape[1] for answer in answers)
    ids = torch.zeros(len(answers), width, most, dtype=torch.long)
    logprobs = torch.full((len(answers), width, most), -math.inf)
    for row, answer in enumerate(answers):
        tokens, k = answer.ids.shape
        ids[row, :tokens, :k], logprobs[row, :tokens, :k] = answer.ids, answer.logprobs
    return ids, logprobs


# The recipe's teacher and prompts -------------------------------------------------------------------------------------


def load_teacher(recipe: Any, student: Any, tokenizer: PreTrainedTokenizerFast) -> Any:
    """Load the model of `teacher_model_name_or_path`, an adapter with its base; None if the teacher is the start of the run.

    Args:
        recipe: a distillation recipe.
        student: the model to train.
        tokenizer: its tokenizer.

    Raises:
        UserError: as in `load_model`, or if the teacher has other tokens than the student.
    """
    if recipe.training.teaches_itself:
        return None
    args, name = recipe.training, str(recipe.training.teacher_model_name_or_path)
    loading = {"dtype": args.teacher_dtype, "attn_implementation": recipe.model.attn_implementation}
    with stage(f"loading the teacher {name}"):
        if is_adapter(name):
            teacher, others = load_named(name, **loading)
        else:
            revision = args.teacher_model_revision
            teacher, others = load_model_and_tokenizer(name, revision=revision, **loading)
    check_same_tokens(name, (teacher, others), (student, tokenizer))
    return teacher


def check_same_tokens(
    name: str, teacher: tuple[Any, PreTrainedTokenizerFast], student: tuple[Any, PreTrainedTokenizerFast]
) -> None:
    """Raise UserError if a teacher's tokens, or their number, or its control tokens are not those of the student.

    Args:
        name: name of the teacher.
        teacher, student: models and their tokenizers.
    """
    theirs, ours = teacher[1].get_vocab(), student[1].get_vocab()
    differing = sorted(theirs.items() ^ ours.items(), key=lambda item: item[1])
    sizes = [model.config.vocab_size for model, _ in (teacher, student)]
    layouts = [Layout.of(model.config) for model, _ in (teacher, student)]
    if differing:
        what = (
            f"the token {differing[0][0]!r} is {theirs.get(differing[0][0])} there and {ours.get(differing[0][0])} here"
        )
    elif sizes[0] != sizes[1]:
        what = f"it predicts {sizes[0]:,} tokens, and the student {sizes[1]:,}"
    elif layouts[0] != layouts[1]:
        what = f"its control tokens are {tuple(layouts[0])}, and the student's {tuple(layouts[1])}"
    else:
        return
    raise UserError(
        f"invalid value for teacher_model_name_or_path: {name} does not have the student's tokens ({what}), and the divergence compares "
        "the probabilities of the same tokens: use a teacher with the student's tokenizer, or its answers (`hrm-align sample`)."
    )


def select_prompts(
    recipe: Any, data: RunData, tokenizer: PreTrainedTokenizerFast, student: Any, teacher: Any, context: Context
) -> tuple[list[Example], list[Example]]:
    """Select the training and the held-out prompts that leave room for a completion, of the student's and of the teacher's prompt.

    Args:
        recipe: a distillation recipe.
        data: the run's examples; counts of dropped prompts are added to `data.counts`.
        tokenizer: the student's tokenizer.
        student: the model to train.
        teacher: the teacher; its positions count if it is a model, otherwise those of the student.
        context: what the teacher's prompts have and the student's do not.

    Raises:
        UserError: for more dropped prompts than `max_dropped_fraction`, or a row to which the context does not apply.
    """
    longest, share = int(recipe.training.max_completion_length), recipe.data.max_dropped_fraction
    own = student.config.max_position_embeddings - longest
    theirs = getattr(teacher, "config", student.config).max_position_embeddings - longest
    selected = []
    for name, examples in (("prompts", data.train), ("eval_prompts", data.held_out)):
        usable: list[Example] = []
        if examples:
            usable, data.counts[name] = select_answerable_prompts(examples, tokenizer, own, share)
            counts = select_answerable_prompts(usable, tokenizer, theirs, share, context.apply)
            usable, data.counts[f"teacher_{name}"] = counts
        selected.append(usable)
    return selected[0], selected[1]
