"""How far a model has moved from where its run began, on fixed rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from hrm_align.models.recurrence import backbone_of
from hrm_align.models.sharding import call_inside_forward

MAX_POSITIONS = 128  # in nats over the whole vocabulary each: 16 MB for the 1B model in half precision


class Probe:
    """KL divergence of the first model's next-token distributions from the present one's, on response tokens.

    Args:
        batch: collated rows with labels; the first `MAX_POSITIONS` response tokens count.
        autocast: the context of the trainer's own forward.
        reference: log-probabilities (positions, vocab) of a resumed run's first model; None takes those of the first call.
    """

    def __init__(
        self,
        batch: dict[str, Tensor],
        autocast: Callable[[], AbstractContextManager],
        reference: Tensor | None = None,
    ):
        self._autocast = autocast
        self._batch = {name: tensor for name, tensor in batch.items() if name != "labels"}
        self._chosen = _chosen_positions(batch["labels"])
        fits = reference is not None and len(reference) == int(self._chosen.sum())
        self.reference = reference if fits else None

    @torch.no_grad()
    def divergence(self, model: nn.Module) -> float:
        """Mean KL(first || now) in nats a token. Draws nothing from a random state."""
        now = self._log_probabilities(model)
        if self.reference is None:
            self.reference = now.half()
        first = self.reference.to(now.device).float()
        return float((first.exp() * (first - now)).sum(dim=-1).mean())

    def _log_probabilities(self, model: nn.Module) -> Tensor:
        was_training = model.training
        model.eval()
        try:
            with self._autocast():
                logits = call_inside_forward(model, self._logits)
        finally:
            model.train(was_training)
        return logits.float().log_softmax(dim=-1)

    def _logits(self, model: nn.Module) -> Tensor:
        device = next(model.parameters()).device
        batch = {name: tensor.to(device) for name, tensor in self._batch.items()}
        hidden = backbone_of(model)(**batch, use_cache=False).last_hidden_state[:, :-1]
        head = model.get_output_embeddings()  # type: ignore[operator]
        logits: Tensor = head(hidden[self._chosen.to(device)])
        return logits


def _chosen_positions(labels: Tensor) -> Tensor:
    """Positions (batch, seq - 1) whose next token is a response token, the first `MAX_POSITIONS` of them."""
    trained = labels[:, 1:] != -100
    count = trained.flatten().long().cumsum(dim=0).view_as(trained)
    return trained & (count <= MAX_POSITIONS)
