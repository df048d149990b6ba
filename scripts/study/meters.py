"""Measure time and memory on a busy machine: arms take turns step by step, and each peak has a fresh process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

from transformers import TrainerCallback

from hrm_align.trainers.sft import SFTTrainer

SKIPPED = 2  # first steps of a timed run, which allocate memory and do not count


class StepClock(TrainerCallback):
    """Callback that times the steps of a trainer except the last one, and calls `pause` between two steps.

    A step lasts until the next step begins, so its time includes metrics, logging and fetching the next batch.
    """

    def __init__(self, pause: Callable[[], object] = lambda: None):
        self._pause = pause
        self._started: float | None = None
        self.seconds: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        if self._started is not None:
            self.seconds.append(time.thread_time() - self._started)
        self._pause()
        self._started = time.thread_time()


def take_turns(trainers: Sequence[SFTTrainer]) -> list[list[float]]:
    """Train several trainers for the same number of steps, in turn one step of each.

    Returns:
        For each trainer, the CPU seconds of its steps.
    """
    gates = [threading.Semaphore(0) for _ in trainers]

    def pass_on(index: int) -> None:
        gates[(index + 1) % len(gates)].release()
        gates[index].acquire()

    clocks = [StepClock(partial(pass_on, index)) for index in range(len(trainers))]

    def train(index: int) -> None:
        trainers[index].add_callback(clocks[index])
        gates[index].acquire()
        try:
            trainers[index].train()
        except BaseException:
            for gate in gates:  # release all trainers, so that none waits for the failed one
                gate.release(1_000_000)
            raise
        gates[(index + 1) % len(gates)].release()

    with ThreadPoolExecutor(len(trainers)) as pool:
        running = [pool.submit(train, index) for index in range(len(trainers))]
        gates[0].release()
        for future in running:
            future.result()
    return [clock.seconds for clock in clocks]


def in_fresh_process(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run a function in a child of a process that has only imported the libraries. Returns the result."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["hrm_align.trainers.sft"])
    with context.Pool(1) as pool:
        return pool.apply(work)
