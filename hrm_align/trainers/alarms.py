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

# Preference training. The chosen answers have fallen if an answer is this many nats less probable than at the start (1 nat: 0.37
# times as probable), and a token this many, in some logs in a row. (The second bound is for long answers.)
CHOSEN_FALL, CHOSEN_TOKEN_FALL, LOGS_FALLEN = 1.0, 0.05, 3
# Length explains the margin if the rewards prefer the chosen answer where it is the longer one (or the shorter one), and in fewer
# than half of the other pairs, that is, less often than by chance. A correlation of length difference and margin shows nothing: a
# sum over more tokens is larger.
CHANCE, ACCURACY_GAP = 0.5, 0.3


@dataclass
class Alarms:
    """Compares measurements with those of the run's first step; raises each alarm once.

    Args:
        vocab_size: vocabulary size of the model; its logarithm is the entropy of a uniform first token.
        start: the first measurement of each metric; saved with checkpoints, so a resumed run compares with the true start.
        raised: names of the alarms raised so far.
        best_first_loss: the lowest loss of the first response token so far, in nats.
        logs_uniform: number of consecutive measurements in which the first token was close to uniform.
        logs_fallen, logs_by_length: the same for chosen answers that have fallen, and for a margin that length explains.
    """

    vocab_size: int
    start: dict[str, float] = field(default_factory=dict)
    raised: list[str] = field(default_factory=list)
    best_first_loss: float = math.inf
    logs_uniform: int = 0
    logs_fallen: int = 0
    logs_by_length: int = 0

    def check(self, step: int, measured: dict[str, float]) -> list[str]:
        """Return the messages of new alarms at this step. The first call only stores the start values."""
        for name, value in measured.items():
            self.start.setdefault(name, value)
        alarms = {
            **self._check_residuals(measured),
            **self._check_first_token(measured),
            **self._check_chosen(measured),
            **self._check_lengths(measured),
        }
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

    def _check_chosen(self, measured: dict[str, float]) -> dict[str, str]:
        name = "chosen_logp_change"
        if name not in measured:
            return {}
        fall = self.start[name] - measured[name]
        per_token = fall / measured["chosen_length"]
        has_fallen = fall > CHOSEN_FALL and per_token > CHOSEN_TOKEN_FALL
        self.logs_fallen = self.logs_fallen + 1 if has_fallen else 0
        if self.logs_fallen < LOGS_FALLEN:
            return {}
        return {
            name: f"the chosen answers have become less probable than at the start, by {fall:.2f} nats an answer ({per_token:.2f} "
            f"a token), for {LOGS_FALLEN} logs in a row: the model unlearns the answers that it is meant to give, even if reward "
            "accuracy and margins rise. Stop, and start again with sft beside the loss of DPO (loss_type: [sigmoid, sft]), or with "
            "a tenth of the learning rate."
        }

    def _check_lengths(self, measured: dict[str, float]) -> dict[str, str]:
        accuracies = {side: measured.get(f"accuracy_{side}") for side in ("longer", "shorter")}
        longer, shorter = accuracies.values()
        if longer is None or shorter is None:
            return {}
        is_by_length = min(longer, shorter) < CHANCE and abs(longer - shorter) > ACCURACY_GAP
        self.logs_by_length = self.logs_by_length + 1 if is_by_length else 0
        if self.logs_by_length < LOGS_FALLEN:
            return {}
        return {
            "accuracy_by_length": f"length explains the margin: the rewards prefer the chosen answer in {100 * longer:.0f} % of the "
            f"pairs where it is longer, and in {100 * shorter:.0f} % of those where it is shorter, for {LOGS_FALLEN} logs in a row, so "
            f"that the model learns to write {'longer' if longer > shorter else 'shorter'} answers. Stop, and balance the lengths of "
            "the pairs, or divide rewards by length (loss_type: [sigmoid_norm, sft])."
        }
