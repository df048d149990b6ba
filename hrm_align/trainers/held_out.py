"""Evaluation on held-out rows: means over all of them instead of means over batches, and the score of generated answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
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
    _has_own_rows = True  # whether the held-out batch of this process has rows that count

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate like Transformers, with the means of `means["eval"]`, which do not depend on the batches."""
        self.means["eval"] = StepMeans()  # an interrupted evaluation may have left some
        try:
            output = super().evaluation_loop(*args, **kwargs)
        finally:
            self._has_own_rows = True
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

    def _drop_repeated_rows(self, inputs: Mapping[str, Any], documents: int = 1) -> dict[str, Any]:
        """Leave out the rows with which accelerate fills up the last batches, so that all processes have equally many.

        A process without rows of its own keeps one, because every process must call each forward; `_has_own_rows` is then false.

        Args:
            inputs: held-out batch, tensors (rows, ...) or (documents * rows, ...).
            documents: 2 if the batch has pairs: the chosen documents of all its rows, then the rejected ones.
        """
        state, size = self.accelerator.gradient_state, self.args.eval_batch_size
        self._has_own_rows = True
        if not state.end_of_dataloader or state.remainder <= 0:
            return dict(inputs)
        rows = len(inputs["input_ids"]) // documents
        count = min(max(state.remainder - self.accelerator.process_index * size, 0), rows)
        self._has_own_rows = count > 0
        return {
            name: torch.cat([part[: max(count, 1)] for part in tensor.split(rows)]) for name, tensor in inputs.items()
        }

    def _add_weighted(self, appended: Mapping[str, Sequence[float]], weights: Mapping[str, Tensor]) -> None:
        """Add TRL's metrics of a micro-batch to the means.

        Args:
            appended: values by name. In training, TRL's value is the mean over the micro-batches of all processes.
            weights: weights of the micro-batch by name; the other metrics are totals.
        """
        for name, (value, *_) in appended.items():
            if name in weights:
                weight = weights[name] * self._has_own_rows
                self.means[self._mode].add(name, value * weight, weight)
            else:
                self._metrics[self._mode][name] = [value]

    @contextmanager
    def _without_gathering(self) -> Iterator[None]:
        """Let TRL compute the metrics of a held-out batch for this process alone: processes may differ in their number of rows."""
        if self._mode == "train":
            yield
            return
        accelerator: Any = self.accelerator
        accelerator.gather = accelerator.gather_for_metrics = lambda values: values
        try:
            yield
        finally:
            del accelerator.gather, accelerator.gather_for_metrics
