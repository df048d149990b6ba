"""Evaluation on held-out rows: means over all of them instead of means over batches, and the score of generated answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel, Trainer

from hrm_align.trainers.step_means import StepMeans

_Base: Any = Trainer if TYPE_CHECKING else object

# A function that scores generated answers of a model: metric values by name. Called at each evaluation, on every process.
GenerationEval = Callable[[PreTrainedModel], dict[str, float]]


class HeldOutEvaluation(_Base):
    """Mixin before `SafeCheckpoints` and `Stabilised`; `prediction_step` adds the loss of a batch to `means["eval"]`.

    Attributes:
        generation_eval: function that scores generated answers; None for none. Set before the base's constructor runs.
    """

    generation_eval: GenerationEval | None = None

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate like Transformers, with the means of `means["eval"]`, which do not depend on the batches."""
        self.means["eval"] = StepMeans()  # an interrupted evaluation may have left some
        output = super().evaluation_loop(*args, **kwargs)
        assert output.metrics is not None
        for name, (value, *_) in self.means["eval"].drain().items():
            output.metrics[f"{kwargs.get('metric_key_prefix', 'eval')}_{name}"] = value
        return output

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Loss on the held-out rows and, with `generation_eval`, the score of generated answers."""
        with self.evaluated_weights():
            metrics: dict[str, float] = super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
            if self.generation_eval is not None:
                scored = self.call_interruptibly(self.generation_eval)
                generated = {f"{metric_key_prefix}_{name}": value for name, value in scored.items()}
                self.log(dict(generated))
                metrics |= generated
        return metrics
