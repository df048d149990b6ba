"""Trainer mixin that leaves evaluations and rollouts after a signal, saves a checkpoint, and stops.

`hrm_align.trainers.callbacks.Preemption` receives the signals. A training step, and a checkpoint that is being saved, are finished.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import nn
from transformers import Trainer

from hrm_align.errors import Interrupted
from hrm_align.run_folder import write_preempted_record
from hrm_align.trainers.callbacks import Preemption

_Base: Any = Trainer if TYPE_CHECKING else object

Result = TypeVar("Result")


class Preemptible(_Base):
    """Mixin that stops a run soon after a signal, with a checkpoint of its last step."""

    control: Any  # Transformers' TrainerControl
    _newest: Path | None = None  # the checkpoint that this run has resumed from, or has saved last

    @property
    def _preemption(self) -> Preemption | None:
        return next((c for c in self.callback_handler.callbacks if isinstance(c, Preemption)), None)

    @property
    def _is_preempted(self) -> bool:
        return self._preemption is not None and self._preemption.agreed

    @property
    def _checkpoint(self) -> Path:
        """Where a checkpoint of the current step is saved."""
        return Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"

    @property
    def _is_saved(self) -> bool:
        """Whether there is a checkpoint of the current step."""
        return self._newest == self._checkpoint.resolve()

    def interruptible(self, model: nn.Module, is_shared: bool = False) -> AbstractContextManager[None]:
        """Context for work that a signal may interrupt: `Preemption.interruptible`, or nothing without that callback."""
        return nullcontext() if self._preemption is None else self._preemption.interruptible(model, is_shared)

    def call_interruptibly(self, function: Callable[[Any], Result]) -> Result:
        """Call `call_with_model` for work that a signal may interrupt."""

        def call(model: Any) -> Result:
            with self.interruptible(model, is_shared=True):
                return function(model)

        result: Result = self.call_with_model(call)
        return result

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Train; after a signal that interrupted an evaluation or a rollout, save a checkpoint and stop."""
        try:
            return super()._inner_training_loop(*args, **kwargs)
        except Interrupted:
            assert self._preemption is not None
            self._preemption.agreed = True
            if self.state.global_step > 0 and not self._is_saved:
                self._save_checkpoint(self.model, trial=None)
                self.control = self.callback_handler.on_save(self.args, self.state, self.control)
            elif self.state.global_step > 0:
                self._record_preemption()
            self.control = self.callback_handler.on_train_end(self.args, self.state, self.control)
            return None

    def _evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        try:
            return cast(dict[str, float], super()._evaluate(*args, **kwargs))
        except Interrupted:
            if self.state.global_step in (0, self._initial_global_step):  # before the first step of this start
                raise
            self.control.should_save, self.control.should_training_stop = not self._is_saved, True
            self._record_preemption()
            return {}

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate without changing the random state of training.

        A checkpoint at an epoch's end may be saved before that epoch's evaluation. The evaluation's data loader draws a
        seed, so dropout in the uninterrupted run would differ from dropout in the resumed run.
        """
        alone = self.args.world_size == 1  # several processes leave their evaluation together, between two batches
        with torch.random.fork_rng(devices=[]), self.interruptible(self.model) if alone else nullcontext():
            return super().evaluate(*args, **kwargs)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        # An interrupted evaluation has no metrics; with `save_strategy: best`, True makes the trainer save.
        if not metrics and self._is_preempted:
            return not self._is_saved
        return bool(super()._determine_best_metric(metrics, trial))

    def _after_save(self) -> None:
        """Stop after a signal, even if the signal came during the save."""
        self._newest = self._checkpoint.resolve()
        if self._preemption is not None and self._preemption.agree():
            self.control.should_training_stop = True
        self._record_preemption()

    def _record_preemption(self) -> None:
        """Write run/preempted.json if the run is preempted and its step is saved."""
        if self._is_preempted and self._is_saved and self.args.should_save:
            write_preempted_record(Path(str(self.args.output_dir)), self.state.global_step, None)
