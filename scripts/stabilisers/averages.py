"""Runs with several weight averages, so that decays are compared on the same weights."""

from __future__ import annotations

from typing import Any

from study.runs import Study, make_trainer, score
from study.settings import Setting, count_documents
from transformers import TrainerCallback

from hrm_align.models.ema import WeightAverage

DECAYS = (0.99, 0.999)


class StabiliserStudy(Study):
    """A study that also scores the weight averages of an arm with `ema_decay`, each under the key of its decay."""

    def train(self, setting: Setting, keys: dict[str, Any], steps: int, seed: int) -> dict[str, Any]:
        """Train one seed, and score its weights and its averages."""
        model = setting.start(seed)
        rows = setting.rows(seed, count_documents(steps))
        extra = [WeightAverage(model, decay) for decay in DECAYS[:-1]] if "ema_decay" in keys else []
        follow = [FollowWeights(average) for average in extra]
        trainer = make_trainer(model, self.tokenizer, rows, steps, seed, callbacks=follow, **keys)
        trainer.train()
        result: dict[str, Any] = score(model, self.tokenizer, setting.held_out)
        averages = [*extra, trainer.average] if trainer.average is not None else []
        for average in averages:
            with average.applied():
                result[str(average.decay)] = score(model, self.tokenizer, setting.held_out)
        return result


class FollowWeights(TrainerCallback):
    """Callback that updates a second average in the same run, beside the average of `ema_decay`."""

    def __init__(self, average: WeightAverage):
        self._average = average

    def on_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self._average.update()
