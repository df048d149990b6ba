"""Health of preference training: what its rewards do not show, from the forwards of policy and reference.

Rewards compare two answers: accuracy and margins also rise while the model makes the chosen answers less and less probable, as long as
the rejected ones fall faster. The metrics, over all answers since the last log, as `health/...` (`eval_health/...` on held-out rows):

    chosen_logp_change, rejected_logp_change                log-probability of an answer, minus that under the reference, in nats
    chosen_token_logp_change, rejected_token_logp_change    the same per token of these answers
    chosen_length, rejected_length                          tokens of an answer, end token included
    rejected_first_token_loss                               loss of the first token of rejected answers, in nats
    rejected_first_token_accuracy                           share of these tokens that greedy decoding would produce (DPO)
    accuracy_longer, accuracy_shorter                       reward accuracy where the chosen answer is longer, and where it is shorter

The reference is the model at the start of the run, so that a change is one from the start; `reference_check` verifies this in
the first step. "Chosen" are also the desirable answers of KTO, "rejected" the undesirable ones. The first-token metrics and
`probe_kl` of `monitor` cover the chosen answers alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import Trainer

from hrm_align.data.packing import IGNORED
from hrm_align.errors import RunError
from hrm_align.trainers.callbacks import HEALTH
from hrm_align.trainers.step_means import sum_over_processes, wide

_Base: Any = Trainer if TYPE_CHECKING else object

# Largest difference between policy and reference before the first update: root mean square, in nats a token. Rounding gives 0 if both
# score the same batch; 1e-5 in float32, and up to 0.07 in bf16, if the reference has scored other batches.
REFERENCE_TOLERANCE, REFERENCE_TOLERANCE_HALF = 1e-3, 0.2
FEWEST_PAIRS = 10  # pairs since the last log, below which an accuracy by length says nothing

_SIDES = ("chosen", "rejected")
# Name of the metric -> names of its numerator and its denominator, which are sums over all answers since the last log.
_RATIOS = {
    **{f"{side}_logp_change": (f"{side}_change", f"{side}_compared") for side in _SIDES},
    **{f"{side}_token_logp_change": (f"{side}_change", f"{side}_compared_tokens") for side in _SIDES},
    **{f"{side}_length": (f"{side}_tokens", f"{side}_answers") for side in _SIDES},
    "rejected_first_token_loss": ("rejected_first_loss", "rejected_answers"),
    "rejected_first_token_accuracy": ("rejected_first_right", "rejected_first_compared"),
    "accuracy_longer": ("right_longer", "longer"),
    "accuracy_shorter": ("right_shorter", "shorter"),
}
_SUMS = sorted({name for pair in _RATIOS.values() for name in pair})


class PreferenceFigures:
    """Sums over the answers of batches, from which `drain` computes the metrics."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = defaultdict(float)  # on the device until `drain`

    def add(self, output: Any, reference: Tensor | None, chosen: Tensor, are_pairs: bool) -> None:
        """Add the answers of a batch.

        Args:
            output: output of the policy's fused head.
            reference: log-probability of each answer under the reference, (answers,), in nats; None if it is unknown.
            chosen: (answers,) bool, true for a chosen answer.
            are_pairs: whether the first half holds the chosen answers, and the second half their rejected ones.
        """
        scored, logprobs = output.label_mask.bool(), output.log_probs.detach()  # (answers, seq - 1)
        tokens = scored.sum(dim=1)  # (answers,)
        change = None if reference is None else wide(logprobs).sum(dim=1) - wide(reference)
        for side, rows in zip(_SIDES, (chosen, ~chosen), strict=True):
            self._add(f"{side}_answers", rows)
            self._add(f"{side}_tokens", tokens * rows)
            if change is not None:
                self._add(f"{side}_change", change * rows)
                self._add(f"{side}_compared", rows)
                self._add(f"{side}_compared_tokens", tokens * rows)
        first = scored & (scored.cumsum(dim=1) == 1) & ~chosen[:, None]
        self._add("rejected_first_loss", -logprobs * first)
        if output.is_top1 is not None:  # KTO does not compute it
            self._add("rejected_first_right", first & output.is_top1.bool())
            self._add("rejected_first_compared", first)
        if are_pairs and change is not None:
            self._add_pairs(change, tokens)

    def _add_pairs(self, change: Tensor, tokens: Tensor) -> None:
        """Add the pairs of a batch by the longer answer; pairs of equal lengths count for neither side."""
        margin = change.chunk(2)[0] - change.chunk(2)[1]  # (pairs,), in nats
        longer = tokens.chunk(2)[0] - tokens.chunk(2)[1]  # (pairs,), tokens
        for name, rows in (("longer", longer > 0), ("shorter", longer < 0)):
            self._add(name, rows)
            self._add(f"right_{name}", rows & (margin > 0))

    def _add(self, name: str, values: Tensor) -> None:
        self._sums[name] = self._sums[name] + wide(values).sum()

    def drain(self) -> dict[str, float]:
        """Return the metrics by name, without those that no answer has, and forget all sums. Collective."""
        parts = [torch.as_tensor(self._sums[name]).cpu().double() for name in _SUMS]
        self._sums.clear()
        sums = dict(zip(_SUMS, sum_over_processes(torch.stack(parts)).tolist(), strict=True))
        fewest = {"longer": FEWEST_PAIRS, "shorter": FEWEST_PAIRS}
        return {
            name: sums[total] / sums[count]
            for name, (total, count) in _RATIOS.items()
            if sums[count] >= fewest.get(count, 1)
        }


class PreferenceHealth(_Base):
    """Mixin before `HeldOutEvaluation` and one of TRL's trainers for pairs or labelled answers: metrics, alarms, and the reference check.

    Raises:
        RunError: in the first step, if `reference_check` is set and the reference is not the model that the run starts from.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        self._figures = {"train": PreferenceFigures(), "eval": PreferenceFigures()}
        self._is_scoring_other_rows = False
        super().__init__(*args, **kwargs)
        if self.health is not None and self.args.reference_check:
            self.health.alarms.start["chosen_logp_change"] = 0.0  # the first log may have several steps

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        is_first = self._mode == "train" and self.state.global_step == 0
        if self.health is None and not (is_first and self.args.reference_check):
            return super()._compute_loss(model, inputs, return_outputs)
        chosen, are_pairs = _chosen_rows(inputs)
        with self._captured(chosen) as outputs:
            loss = super()._compute_loss(model, inputs, return_outputs)
        policy, *others = outputs
        reference = wide(others[0].log_probs).sum(dim=1) if others else self._precomputed(inputs)
        if is_first and self.args.reference_check and reference is not None:
            self._check_reference(policy, reference)
        if self.health is not None and self._has_own_rows:
            self._figures[self._mode].add(policy, reference, chosen, are_pairs)
        return loss

    @contextmanager
    def _captured(self, chosen: Tensor) -> Iterator[list[Any]]:
        """Collect the outputs of the fused heads of policy and reference, in this order; the monitor sees chosen answers only."""
        outputs: list[Any] = []

        def capture(model: nn.Module, args: Any, output: Any) -> None:
            if getattr(output, "label_mask", None) is not None and not self._is_scoring_other_rows:
                outputs.append(output)

        models = [model for model in (self.model, self.ref_model) if model is not None]
        handles = [self.accelerator.unwrap_model(model).register_forward_hook(capture) for model in models]
        if self.health is not None:
            self.health.answers_to_count = chosen
        try:
            yield outputs
        finally:
            for handle in handles:
                handle.remove()
            if self.health is not None:
                self.health.answers_to_count = None

    def _compute_kl_logps(self, *args: Any) -> Any:
        """Score KTO's mismatched answers, which are not those of the batch."""
        self._is_scoring_other_rows = True
        try:
            return super()._compute_kl_logps(*args)
        finally:
            self._is_scoring_other_rows = False

    def _precomputed(self, inputs: Mapping[str, Any]) -> Tensor | None:
        """Return the reference's precomputed log-probabilities, (answers,); None if `ld_alpha` has weighted their tokens."""
        if getattr(self.args, "ld_alpha", None) is not None:
            return None
        if "ref_logps" in inputs:
            return inputs["ref_logps"]
        return torch.cat([inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]])

    def _check_reference(self, policy: Any, reference: Tensor) -> None:
        """Compare policy and reference before the first update. Collective, so that all processes stop."""
        change = wide(policy.log_probs).sum(dim=1) - wide(reference)
        squares, tokens = sum_over_processes(
            torch.stack([change.square().sum(), wide(policy.label_mask).sum()])
        ).tolist()
        difference = math.sqrt(squares / max(tokens, 1.0))
        is_half = self.accelerator.mixed_precision != "no" or self.model.dtype != torch.float32
        tolerance = REFERENCE_TOLERANCE_HALF if is_half else REFERENCE_TOLERANCE
        if not difference <= tolerance:
            raise RunError(
                f"the reference is not the model that the run starts from: before the first update, their log-probabilities of "
                f"the same answers differ by {difference:.3g} nats a token, where rounding gives at most {tolerance:g}, so all rewards "
                "would be measured from another model. Leave the settings of the reference model out, and delete precomputed "
                "log-probabilities; to train against another reference on purpose, set --reference_check false."
            )

    def _probe_batch(self, rows: list[Any]) -> dict[str, Tensor] | None:
        """Collate rows for `probe_kl`: their chosen answers, with labels."""
        batch = self.data_collator(rows)
        chosen, _ = _chosen_rows(batch)
        if not chosen.any():
            return None
        selected = {name: batch[name][chosen] for name in ("input_ids", "attention_mask")}
        labels = selected["input_ids"].masked_fill(batch["completion_mask"][chosen] == 0, IGNORED)
        return {**selected, "labels": labels}

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log a record with the metrics of the answers since the last one, and report alarms. Every process must call it."""
        mode = self._mode
        figures = self._figures[mode].drain()
        for name, value in figures.items():
            self._metrics[mode][f"{HEALTH}{name}"].append(value)
        super().log(logs, *args, **kwargs)
        if mode == "train" and figures:
            self._report_alarms(self.state.global_step, figures)


def _chosen_rows(batch: Mapping[str, Any]) -> tuple[Tensor, bool]:
    """Return which answers of a batch are chosen, (answers,) bool, and whether the batch holds pairs."""
    if "label" in batch:
        return torch.as_tensor(batch["label"], device=batch["input_ids"].device).bool(), False
    rows = len(batch["input_ids"])
    return torch.arange(rows, device=batch["input_ids"].device) < rows // 2, True
