"""Trainers as arms: a turn is an optimizer step of the trainer's own loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import PrinterCallback, TrainerCallback

from bench.race import Turn


class _EndOfStep(TrainerCallback):
    def __init__(self, turn: Turn, tokens_so_far: Callable[[], int]):
        self._turn, self._tokens_so_far, self._tokens = turn, tokens_so_far, 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The first step begins with the first turn."""
        if state.global_step == 0:
            self._turn()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """The weights have been updated."""
        total = self._tokens_so_far()
        self._turn(total - self._tokens)
        self._tokens = total


def take_turns(trainer: Any, turn: Turn, tokens_so_far: Callable[[], int]) -> None:
    """Train, a step a turn, until the race is over.

    Args:
        trainer: one of Transformers'.
        turn: of the arm.
        tokens_so_far: useful ones, since the training began.
    """
    trainer.pop_callback(PrinterCallback)
    trainer.add_callback(_EndOfStep(turn, tokens_so_far))
    trainer.train()
