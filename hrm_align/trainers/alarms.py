"""Alarm thresholds on the `health/...` training metrics, each with a suggested fix."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

# In collapsed runs the RMS rose from 8 to between 100 and 430. "Above 3 times the start" raised the alarm at steps 5 to 12 in 8 of
# 8 collapsed runs and in 0 of 4 healthy runs, while the losses of both still overlapped.
RESIDUAL_GROWTH = 3.0
# A first-token distribution counts as uniform if its entropy is above this share of the maximum, log(vocab_size).
UNIFORM_SHARE = 0.8
# The first token of a healthy run may pass through a uniform distribution (a base that has never begun with `{` learns JSON), but
# its loss falls meanwhile. A collapse is a loss this many nats above its best, or this many logged steps in a row.
WORSE, LOGS_IN_A_ROW = 0.5, 10


@dataclass
class Alarms:
    """Compares measurements with those of the run's first step; raises each alarm once.

    Args:
        vocab_size: vocabulary size of the model; its logarithm is the entropy of a uniform first token.
        start: the first measurement of each metric; saved with checkpoints, so a resumed run compares with the true start.
        raised: names of the alarms raised so far.
        best_first_loss: the lowest loss of the first response token so far, in nats.
        logs_uniform: number of consecutive measurements in which the first token was close to uniform.
    """

    vocab_size: int
    start: dict[str, float] = field(default_factory=dict)
    raised: list[str] = field(default_factory=list)
    best_first_loss: float = math.inf
    logs_uniform: int = 0

    def check(self, step: int, measured: dict[str, float]) -> list[str]:
        """Return the messages of new alarms at this step. The first call only stores the start values."""
        for name, value in measured.items():
            self.start.setdefault(name, value)
        alarms = {**self._check_residuals(measured), **self._check_first_token(measured)}
        new = {name: message for name, message in alarms.items() if name not in self.raised}
        self.raised += new
        return [f"step {step}: {message}" for message in new.values()]

    def _check_residuals(self, measured: dict[str, float]) -> dict[str, str]:
        alarms = {}
        for stack in ("h", "l"):
            name = f"residual_rms_{stack}"
            now, start = measured.get(name), self.start.get(name)
            if now is None or start is None or now <= RESIDUAL_GROWTH * start:
                continue
            alarms[name] = (
                f"the residual stream of the {stack.upper()} stack has grown from {start:.3g} to {now:.3g} (RMS before "
                "the final norm): the recurrence is collapsing, even if the loss falls. Stop, and start again with a tenth of "
                "the learning rate; with an adapter, set lora_alpha = lora_r."
            )
        return alarms

    def _check_first_token(self, measured: dict[str, float]) -> dict[str, str]:
        name, uniform = "first_token_entropy", math.log(self.vocab_size)
        now, start, loss = measured.get(name), self.start.get(name), measured.get("first_token_loss", math.inf)
        if now is None or start is None:
            return {}
        is_uniform = start < UNIFORM_SHARE * uniform <= now  # a model with random weights starts uniform: no collapse
        self.logs_uniform = self.logs_uniform + 1 if is_uniform else 0
        is_worse = loss > self.best_first_loss + WORSE
        self.best_first_loss = min(self.best_first_loss, loss)
        if not is_uniform or not (is_worse or self.logs_uniform >= LOGS_IN_A_ROW):
            return {}
        return {
            name: f"the distribution of the first response token is close to uniform (entropy {now:.2f} of at most "
            f"{uniform:.2f}; {start:.2f} at the start): completions will be garbage even if the loss falls. Stop, and start "
            "again from an earlier checkpoint with a tenth of the learning rate."
        }
