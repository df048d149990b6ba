"""Trainers as arms of a race: a turn is one or a few optimizer steps of the trainer's own loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import PrinterCallback, TrainerCallback

from bench.race import Turn


class _EndOfStep(TrainerCallback):
    def __init__(self, turn: Turn, tokens_so_far: Callable[[], int], steps: int):
        self._turn, self._tokens_so_far, self._steps, self._tokens = turn, tokens_so_far, steps, 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Wait for the first turn before the first step."""
        if state.global_step == 0:
            self._turn()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the turn after every `steps` updates of the weights."""
        if state.global_step % self._steps:
            return
        total = self._tokens_so_far()
        self._turn(total - self._tokens)
        self._tokens = total


def take_turns(trainer: Any, turn: Turn, tokens_so_far: Callable[[], int], steps: int = 1) -> None:
    """Train until the race is over.

    Args:
        trainer: a Transformers trainer.
        turn: the arm's connection to the race.
        tokens_so_far: returns the number of useful tokens since training began.
        steps: optimizer steps of a turn.
    """
    trainer.pop_callback(PrinterCallback)
    trainer.add_callback(_EndOfStep(turn, tokens_so_far, steps))
    trainer.train()
