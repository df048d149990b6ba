"""When a run is ill: thresholds on what `health` measures, and a sentence that says what to do."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

# Collapsed runs rose from 8 to 100-430; "above 3 times the start" fired at steps 5 to 12 in 8 of 8 of them and in 0 of 4
# healthy ones, while the losses still overlapped.
RESIDUAL_GROWTH = 3.0
# A first token that is close to uniform over the vocabulary, in shares of the largest entropy there is.
UNIFORM_SHARE = 0.8
# On its way from one certainty to another (a base that has never begun with `{` learns JSON) a healthy first token passes
# through such a distribution, but its loss falls then. Nats above its best, or logs in a row, that make it a collapse.
WORSE, LOGS_IN_A_ROW = 0.5, 10


@dataclass
class Alarms:
    """Compares measurements with those of the run's first step; each alarm is raised once.

    Args:
        vocab_size: of the model; the entropy of a uniform first token is its logarithm.
        start: the first measurements by name. Saved with the run, so that a resumed one compares with the true start.
        raised: names of the alarms that were raised already.
        best_first_loss: the lowest loss of the first token so far, in nats.
        logs_uniform: measurements in a row in which the first token was close to uniform.
    """

    vocab_size: int
    start: dict[str, float] = field(default_factory=dict)
    raised: list[str] = field(default_factory=list)
    best_first_loss: float = math.inf
    logs_uniform: int = 0

    def check(self, step: int, measured: dict[str, float]) -> list[str]:
        """Sentences for whatever is newly wrong at a step; the first call only remembers."""
        for name, value in measured.items():
            self.start.setdefault(name, value)
        found = {**self._residuals(measured), **self._first_token(measured)}
        new = {name: sentence for name, sentence in found.items() if name not in self.raised}
        self.raised += new
        return [f"step {step}: {sentence}" for sentence in new.values()]

    def _residuals(self, measured: dict[str, float]) -> dict[str, str]:
        found = {}
        for stack in ("h", "l"):
            name = f"residual_rms_{stack}"
            now, start = measured.get(name), self.start.get(name)
            if now is None or start is None or now <= RESIDUAL_GROWTH * start:
                continue
            found[name] = (
                f"the residual stream of the {stack.upper()} stack has grown from {start:.3g} to {now:.3g} (RMS before "
                "its norm): the recurrence is collapsing, even if the loss falls. Stop, and start again with a tenth of "
                "the learning rate; with an adapter, lora_alpha = lora_r."
            )
        return found

    def _first_token(self, measured: dict[str, float]) -> dict[str, str]:
        name, uniform = "first_token_entropy", math.log(self.vocab_size)
        now, start, loss = measured.get(name), self.start.get(name), measured.get("first_token_loss", math.inf)
        if now is None or start is None:
            return {}
        is_uniform = start < UNIFORM_SHARE * uniform <= now  # a model from nothing begins so: that is no collapse
        self.logs_uniform = self.logs_uniform + 1 if is_uniform else 0
        is_worse = loss > self.best_first_loss + WORSE
        self.best_first_loss = min(self.best_first_loss, loss)
        if not is_uniform or not (is_worse or self.logs_uniform >= LOGS_IN_A_ROW):
            return {}
        return {
            name: f"the first answer token has become a guess (entropy {now:.2f} of at most {uniform:.2f}; it began at "
            f"{start:.2f}): answers will be garbage although the loss may fall. Stop, and start again from an earlier "
            "checkpoint with a tenth of the learning rate."
        }
