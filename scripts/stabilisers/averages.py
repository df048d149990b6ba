"""Runs that keep more than one weight average, so that decays are compared on the same weights."""

from __future__ import annotations

from typing import Any

from study.runs import Study, score, trainer_of
from study.settings import Setting, documents_for
from transformers import TrainerCallback

from hrm_align.models.ema import WeightAverage

DECAYS = (0.99, 0.999)


class StabiliserStudy(Study):
    """A study that also scores the averages of an arm with `ema_decay`, each under the name of its decay."""

    def train(self, setting: Setting, keys: dict[str, Any], steps: int, seed: int) -> dict[str, Any]:
        """Train and score one seed."""
        model = setting.start(seed)
        rows = setting.rows(seed, documents_for(steps))
        extra = [WeightAverage(model, decay) for decay in DECAYS[:-1]] if "ema_decay" in keys else []
        follow = [FollowWeights(average) for average in extra]
        trainer = trainer_of(model, self.tokenizer, rows, steps, seed, callbacks=follow, **keys)
        trainer.train()
        result: dict[str, Any] = score(model, self.tokenizer, setting.held_out)
        averages = [*extra, trainer.average] if trainer.average is not None else []
        for average in averages:
            with average.applied():
                result[str(average.decay)] = score(model, self.tokenizer, setting.held_out)
        return result


class FollowWeights(TrainerCallback):
    """A second average of the same run, beside the one that `ema_decay` keeps."""

    def __init__(self, average: WeightAverage):
        self._average = average

    def on_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self._average.update()
