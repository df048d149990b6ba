"""When a run is ill: thresholds on what `health` measures, and a sentence that says what to do."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

# Collapsed runs rose from 8 to 100-430; "above 3 times the start" fired at steps 5 to 12 in 8 of 8 of them and in 0 of 4
# healthy ones, while the losses still overlapped.
RESIDUAL_GROWTH = 3.0
# A first token that is close to uniform over the vocabulary, in shares of the largest entropy there is.
UNIFORM_SHARE = 0.8


@dataclass
class Alarms:
    """Compares measurements with those of the run's first step; each alarm is raised once.

    Args:
        vocab_size: of the model; the entropy of a uniform first token is its logarithm.
        start: the first measurements by name. Saved with the run, so that a resumed one compares with the true start.
        raised: names of the alarms that were raised already.
    """

    vocab_size: int
    start: dict[str, float] = field(default_factory=dict)
    raised: list[str] = field(default_factory=list)

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
        now, start = measured.get(name), self.start.get(name)
        if now is None or start is None or not start < UNIFORM_SHARE * uniform <= now:
            return {}  # a model from nothing begins by guessing: that is no collapse
        return {
            name: f"the first answer token has become a guess (entropy {now:.2f} of at most {uniform:.2f}; it began at "
            f"{start:.2f}): answers will be garbage although the loss may fall. Stop, and start again from an earlier "
            "checkpoint with a tenth of the learning rate."
        }
