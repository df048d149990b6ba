"""Costs of the health metrics, and for comparison of an optimizer step and of an update of the weight average."""

from __future__ import annotations

import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from study.meters import SKIPPED, StepClock
from study.runs import Study, make_trainer
from study.settings import count_documents
from study.tables import median_and_range, table
from torch import nn

from hrm_align.trainers.mixin import PROBE_SHARE
from hrm_align.trainers.monitor import HealthMonitor
from stabilisers.averages import DECAYS

ROUNDS = 6


def probe_interval(logging_steps: int) -> int:
    """Return the steps from one probe to the next by the trainer's rule, for a probe as large as a batch."""
    return math.ceil(1 / (3 * PROBE_SHARE * logging_steps)) * logging_steps


PROBE_EVERY = probe_interval(1)


class EveryOther(HealthMonitor):
    """A health monitor that measures only every second step and records the CPU time of its parts.

    Steps with and without health metrics alternate in one run, because two runs differ in time by more than health costs.
    """

    def __init__(self, model: nn.Module):
        self.spent: dict[str, float] = defaultdict(float)  # CPU seconds in this step; set before the hooks are made
        self.steps: list[dict[str, float]] = []
        super().__init__(model)

    def begin_step(self, measuring: bool, probing: bool) -> None:
        """Measure this step only if the step before was not measured."""
        active = len(self.steps) % 2 == 1
        self.spent = defaultdict(float)
        self.steps.append(self.spent)
        super().begin_step(measuring and active, probing and active)

    def _timed(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            if not self._measuring:
                return work(*args)
            started = time.thread_time()
            result = work(*args)
            self.spent[part] += time.thread_time() - started
            return result

        return run

    def _record_residual(self, stack: str) -> Any:
        return self._timed("residual RMS of 8 passes", super()._record_residual(stack))

    def _record_outputs(self, *args: Any) -> None:
        self._timed("entropy and accuracy of answers", super()._record_outputs)(*args)

    def measure_gradients(self, clipped_by: float) -> None:
        """Measure gradients and count the CPU time."""
        self._timed("gradient norms, sample of weights", super().measure_gradients)(clipped_by)

    def end_step(self) -> dict[str, float]:
        """End the step and count the CPU time; the probe is counted separately."""
        probe, self.probe = self.probe, None
        measured = self._timed("update ratios", super().end_step)()
        self.probe = probe
        if measured and probe is not None and self._probing:
            started = time.thread_time()
            measured["probe_kl"] = probe.divergence(self.model)
            self.spent["probe"] = time.thread_time() - started
        return measured


def time_health(study: Study, steps: int) -> dict[str, Any]:
    """Return the CPU seconds of each step of a run, and of the parts of the health metrics in each step."""
    clock = StepClock()
    rows = study.settings[0].rows(0, count_documents(steps))
    model = study.settings[0].start(0)
    trainer = make_trainer(model, study.tokenizer, rows, steps, callbacks=[clock], logging_steps=1)
    assert trainer.health is not None
    trainer.health.detach()
    trainer.health = monitor = EveryOther(model)
    trainer.train()
    return {"seconds": clock.seconds, "parts": monitor.steps[: len(clock.seconds)]}


def time_update(study: Study, times: int) -> dict[str, Any]:
    """Return the median CPU seconds of optimizer steps and of a weight-average update, which take turns."""
    work: dict[str, Callable[[], object]] = {}
    rows = study.settings[0].rows(0, count_documents(1))
    for name in ("adamw_torch_fused", "adam_atan2"):
        model = study.settings[0].start(0)
        trainer = make_trainer(model, study.tokenizer, rows, 1, optim=name, ema_decay=DECAYS[-1])
        for weight in model.parameters():
            weight.grad = torch.randn_like(weight)
        work[name] = trainer.create_optimizer().step
        assert trainer.average is not None
        work["ema_decay"] = trainer.average.update
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(times):
        for name, step in work.items():
            started = time.thread_time()
            step()
            seconds[name].append(time.thread_time() - started)
    return {name: statistics.median(own) for name, own in seconds.items()}


def health(study: Study) -> list[str]:
    """Return the table of the time that health metrics add to a step, and of the updates of weights and average."""
    steps = SKIPPED + ROUNDS * PROBE_EVERY + 1
    measured = study.records.measured({"time": "health", "steps": steps}, partial(time_health, study, steps))
    seconds, parts = measured["seconds"], measured["parts"]
    windows = [slice(at, at + PROBE_EVERY) for at in range(SKIPPED, steps - PROBE_EVERY, PROBE_EVERY)]
    shares = [health_shares(seconds[window], parts[window]) for window in windows]
    rows = [[name, median_and_range([100 * share[name] for share in shares])] for name in shares[0]]
    update = study.records.measured({"time": "update"}, partial(time_update, study, 200))
    plain = statistics.median(s for s, part in zip(seconds, parts, strict=True) if not part)
    rows += [
        [f"`{name}`", f"{100 * update[name] / plain:.2f}"] for name in ("ema_decay", "adamw_torch_fused", "adam_atan2")
    ]
    return table(["CPU time", f"% of a step of {1000 * plain:.0f} ms"], rows)


def health_shares(seconds: Sequence[float], parts: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the CPU time of health metrics as a share of a step without them, in a round of steps with one probe."""
    pairs = list(zip(seconds, parts, strict=True))
    plain = statistics.median(own for own, spent in pairs if not spent)
    logged = [(own, spent) for own, spent in pairs if spent]
    names = [name for name in logged[0][1] if name != "probe"]
    shares = {name: statistics.median(spent[name] for _, spent in logged) / plain for name in names}
    every_step, probe = sum(shares.values()), sum(spent.get("probe", 0.0) for spent in parts) / plain
    with_it = statistics.median(own for own, spent in logged if "probe" not in spent)
    return {
        **shares,
        f"probe, one step in {PROBE_EVERY}": probe / PROBE_EVERY,
        "**all, logged every step**": every_step + probe / PROBE_EVERY,
        "**all, logged every 10 steps**": every_step / 10 + probe / probe_interval(10),
        "steps with it against the steps between, without the probe": with_it / plain - 1,
    }
