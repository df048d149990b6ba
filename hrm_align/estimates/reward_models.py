"""Memory of reward models that score the answers of a rollout (`rewards: [{name: reward_model, model: ...}]`).

They are loaded into the trainer's process, on its device, and score a batch at a time without gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import HrmTextConfig

from hrm_align.config.arguments import LoraArguments, ModelArguments
from hrm_align.estimates.activations import Linear, empty_model, forward_temporaries
from hrm_align.models.adapters import base_name, is_adapter, open_adapter
from hrm_align.models.attention import DENSE_ROW
from hrm_align.models.loading import AUTO, DTYPES, load_config
from hrm_align.rewards.base import RewardSpec, create_grader
from hrm_align.rewards.model_rewards import RewardModel


@dataclass(frozen=True)
class Scoring:
    """Bytes of the reward models of a run.

    Args:
        weights: weights of all models.
        batch: temporaries of the largest batch.
    """

    weights: int = 0
    batch: int = 0


NO_SCORING = Scoring()


def count_scoring(rewards: Sequence[RewardSpec], answers: int, length: int, on_gpu: bool) -> Scoring:
    """Count the reward models among a run's rewards.

    Args:
        rewards: rewards of the run.
        answers: answers that are scored at a time.
        length: tokens of a document: prompt and answer.
        on_gpu: whether the models are on a GPU; on a CPU attention runs document by document.

    Raises:
        UserError: if a model's config cannot be read.
    """
    weights = batch = 0
    for spec in rewards:
        grader = create_grader(spec.name, spec.options) if spec.name == "reward_model" and spec.file is None else None
        if isinstance(grader, RewardModel):
            adapter = open_adapter(grader.model) if is_adapter(grader.model) else None
            config = load_config(grader.model if adapter is None else base_name(adapter))
            size, held, temporaries = _measure(config, grader.dtype)
            weights += held
            if adapter is not None:
                weights += sum(path.stat().st_size for path in adapter.folder.glob("adapter_model*"))
            rows = min(answers, grader.batch_size)
            converted = rows if on_gpu or length <= DENSE_ROW else 1  # masks that sdpa converts to numbers at a time
            masks = (rows + converted * size) * length**2
            batch = max(batch, temporaries.at(rows * length) + masks)
    return Scoring(weights, batch)


def _measure(config: HrmTextConfig, dtype: str) -> tuple[int, int, Linear]:
    """Return the bytes of a number, and of all weights, of a model, and those of a forward by its number of tokens."""
    if dtype == AUTO:
        names = {value: name for name, value in DTYPES.items()}
        dtype = names.get(getattr(config, "dtype", None) or torch.float32, "float32")
    with FakeTensorMode():
        model = empty_model(ModelArguments("", dtype=dtype), LoraArguments(), config, scores=True)
        weights = sum(weight.nbytes for weight in model.parameters())
        return DTYPES[dtype].itemsize, weights, forward_temporaries(model)
