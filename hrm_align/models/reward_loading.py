"""Load a reward model, to train it or to score answers with it.

scorer = Scorer.load("runs/my-reward")
scorer.score([([Message("user", "Add 2 and 3.")], "5", "direct")])  # [1.3]
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import HrmTextForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from hrm_align.errors import UserError
from hrm_align.models.adapters import base_name, is_adapter, load_adapters, open_adapter
from hrm_align.models.loading import load_as, load_config, load_tokenizer, store_control_tokens
from hrm_align.models.recurrence import get_backbone
from hrm_align.models.reward_model import SCORE, HrmTextForSequenceClassification
from hrm_align.rendering import Message, get_renderer

WEIGHT = f"{SCORE}.weight"
START_STD = 0.1  # standard deviation of the scores of a new head: small, so that the first loss is near log 2
BATCH_SIZE = 32  # documents that are scored together

Answered = tuple[Iterable[Message | Mapping[str, Any]], str, str]  # messages of the prompt, answer, condition


def load_reward_model(
    name: str, *, seed: int = 0, revision: str | None = None, **kwargs: Any
) -> HrmTextForSequenceClassification:
    """Load a reward model, or a language model with a new score head in place of its output head.

    Args:
        name: folder, Hub id, or `tiny`.
        seed: seed of a new head, which does not change the global random state.
        revision: Hub revision.
        kwargs: further keywords of `load_model`.

    Raises:
        UserError: as in `load_model`.
    """
    config = load_config(name, revision)
    config.num_labels = 1
    with _without_warnings():
        model, lacks = load_as(
            HrmTextForSequenceClassification, name, config, revision=revision, may_lack=(WEIGHT,), **kwargs
        )
    if lacks:
        start = torch.empty(model.score.weight.shape)
        # The backbone ends in a norm, so that a hidden state has about the length sqrt(hidden).
        start.normal_(std=START_STD / math.sqrt(start.shape[1]), generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            model.score.weight.copy_(start)
    reward_model: HrmTextForSequenceClassification = model
    return reward_model


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence Transformers' warning of a new head; missing weights are an error here."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


def load_reward_model_and_tokenizer(
    name: str, *, tokenizer_name: str | None = None, **kwargs: Any
) -> tuple[HrmTextForSequenceClassification, PreTrainedTokenizerFast]:
    """Load a reward model and its tokenizer, as `load_model_and_tokenizer` does for a language model.

    Args:
        name: folder, Hub id, or `tiny`.
        tokenizer_name: folder or Hub id of the tokenizer, if it is not that of the model.
        kwargs: further keywords of `load_reward_model`.
    """
    tokenizer = load_tokenizer(tokenizer_name or name, None if tokenizer_name else kwargs.get("revision"))
    model = load_reward_model(name, **kwargs)
    store_control_tokens(model, tokenizer, tokenizer_name or name)
    return model, tokenizer


def as_language_model(model: Any) -> HrmTextForCausalLM:
    """Return a language model with the backbone of a reward model, to check the mask by logits; its head is the embedding.

    Args:
        model: a reward model, or an adapter around one.
    """
    backbone = get_backbone(model)
    with torch.device("meta"):
        language_model = HrmTextForCausalLM(backbone.config)
    language_model.model, language_model.lm_head.weight = backbone, backbone.embed_tokens.weight
    return language_model.eval()


class Scorer:
    """A frozen reward model with its tokenizer. The same answers in the same call get the same scores, bit by bit.

    Args:
        model: a reward model, or an adapter around one.
        tokenizer: its tokenizer.
        batch_size: documents that are scored together.
    """

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerFast, batch_size: int = BATCH_SIZE):
        self.model = model.eval().requires_grad_(False)
        self._render, self._batch_size = get_renderer(tokenizer), batch_size

    @classmethod
    def load(cls, name: str, *, batch_size: int = BATCH_SIZE, **kwargs: Any) -> Scorer:
        """Load a trained reward model or an adapter of one.

        Args:
            name: folder or Hub id of a reward model, or folder of an adapter.
            batch_size: documents that are scored together.
            kwargs: further keywords of `load_model`.

        Raises:
            UserError: as in `load_model` and `load_adapters`, or for a checkpoint without a score head.
        """
        if is_adapter(name):
            adapter = open_adapter(name)
            base = base_name(adapter)
            model, tokenizer = load_reward_model_and_tokenizer(base, **kwargs)
            return cls(load_adapters(model, base, {"reward": adapter}), tokenizer, batch_size)
        if HrmTextForSequenceClassification.__name__ not in (load_config(name).architectures or ()):
            raise UserError(
                f"{name} is not a reward model: it has no score head. Train one with `hrm-align reward`, or name one."
            )
        return cls(*load_reward_model_and_tokenizer(name, **kwargs), batch_size)

    def score(self, answered: Sequence[Answered]) -> list[float | None]:
        """Return the score of each answer; None for a document that is longer than the model's positions."""
        documents = [self._render.document(*parts).input_ids for parts in answered]
        room = int(self.model.config.max_position_embeddings)
        fitting = [index for index, ids in enumerate(documents) if len(ids) <= room]
        fitting.sort(key=lambda index: len(documents[index]))  # documents of like length share a batch
        scores: list[float | None] = [None] * len(documents)
        for start in range(0, len(fitting), self._batch_size):
            batch = fitting[start : start + self._batch_size]
            values = self._score_batch([documents[index] for index in batch]).tolist()
            for index, value in zip(batch, values, strict=True):
                scores[index] = value
        return scores

    @torch.no_grad()
    def _score_batch(self, documents: Sequence[Sequence[int]]) -> Tensor:
        """Return the scores (batch,) of documents, in float32."""
        device = next(self.model.parameters()).device
        rows = [torch.tensor(ids) for ids in documents]
        ids = pad_sequence(rows, batch_first=True, padding_value=self._render.pad_id).to(device)  # (batch, seq)
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).to(device)
        with torch.autocast(device.type, enabled=False):  # a rollout may run under the trainer's half precision
            logits: Tensor = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits  # (batch, 1)
        return logits[:, 0].float()
