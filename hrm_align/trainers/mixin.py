"""Mixin for all trainers of this package: backward horizon, optimizer, averaged weights, health metrics, stop at NaN.

It stands before TRL's trainer in the bases: `class SFTTrainer(SafeCheckpoints, Stabilised, trl.SFTTrainer)`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import RandomSampler
from transformers import HrmTextConfig, TrainerCallback
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl.trainer.utils import RepeatSampler

from hrm_align.config.arguments import StabiliserArguments
from hrm_align.data.packing import EpochSeededSampler, LengthSampler, read_lengths
from hrm_align.errors import RunError, UserError
from hrm_align.models.compile import compile_blocks
from hrm_align.models.ema import WeightAverage
from hrm_align.models.lm_head import expose_adapted_head, get_bare_model, score_responses_only
from hrm_align.models.recurrence import Horizon, HorizonSchedule, check_bp_steps, official, to_l_bp_cycles
from hrm_align.trainers.callbacks import HEALTH, append_json_line
from hrm_align.trainers.checkpoints import checkpoints_in
from hrm_align.trainers.console import replace_console
from hrm_align.trainers.fully_sharded import FullySharded
from hrm_align.trainers.launch import check_precision
from hrm_align.trainers.monitor import HealthMonitor, Probe, logger
from hrm_align.trainers.optim import AdamAtan2, check_rates, set_rates
from hrm_align.trainers.step_means import WholeStepMetrics, sum_over_processes
from hrm_align.trainers.trackers import guard_trackers

START_SHARE = 0.5  # share of the weights before the first step in the averaged weights, above which a run warns
PROBE_ROWS = 4
PROBE_SHARE = 0.004  # largest share of the time between two logs for the probe, if a forward is a third of a step
PROBE_PROCESSES = 4  # up to so many processes, the interval of the probe does not depend on their number


def custom_optimizer(args: Any) -> tuple[type[torch.optim.Optimizer], dict[str, Any]] | None:
    """Return class and arguments of Adam-atan2; None for an optimizer that Transformers creates."""
    if args.optim != StabiliserArguments.ADAM_ATAN2:
        return None
    return AdamAtan2, {"lr": args.learning_rate, "betas": (args.adam_beta1, args.adam_beta2)}


def horizon_schedule(args: Any, config: HrmTextConfig, total_steps: int) -> HorizonSchedule:
    """Return the schedule of the backward horizon; by default the official fine-tuning horizon throughout.

    Raises:
        UserError: if the model has no such horizon, or bp_min_steps is above bp_max_steps.
    """
    key = "bp_steps" if args.bp_steps is not None else "bp_max_steps"
    given = getattr(args, key)
    most = official(config) if given is None else given
    least = args.bp_min_steps if args.bp_min_steps is not None else most
    check_bp_steps(most, config, key)
    check_bp_steps(least, config, "bp_min_steps")
    if least > most:
        raise UserError(
            f"--bp_min_steps {least} is above --bp_max_steps {most}: a warm-up can only lengthen the horizon."
        )
    return HorizonSchedule(least, most, round(args.bp_warmup_ratio * total_steps))


def check_stabilisers(args: Any) -> None:
    """Refuse settings that contradict each other.

    Raises:
        UserError: naming the settings.
    """
    if args.bp_steps is not None and (args.bp_min_steps is not None or args.bp_max_steps is not None):
        raise UserError("--bp_steps sets a constant horizon: leave it out to use --bp_min_steps and --bp_max_steps.")
    check_rates(args.module_learning_rates or {})
    if not 0.0 <= args.bp_warmup_ratio <= 1.0:
        raise UserError(
            f"invalid value for --bp_warmup_ratio: {args.bp_warmup_ratio}. Use a share of the steps, from 0 to 1."
        )
    if args.ema_for_evaluation and args.ema_decay is None:
        raise UserError("--ema_for_evaluation needs averaged weights: set --ema_decay, such as 0.999.")
    if args.activation_checkpointing and (args.activation_checkpointing_kwargs or {}).get("use_reentrant"):
        raise UserError(
            "reentrant activation checkpointing silently gives wrong gradients (with an adapter on two processes, or a short "
            "horizon): leave use_reentrant out of --activation_checkpointing_kwargs."
        )


def warn_of_start_share(decay: float, steps: int) -> None:
    """Warn of an average that consists mostly of the weights before the first step.

    Args:
        decay: decay of the average (`models.ema.WeightAverage`), which has no warm-up.
        steps: optimizer steps of the whole run, those before a resume included.
    """
    share = decay**steps
    if share <= START_SHARE:
        return
    shorter = 1 - min(0.9, float(f"{1 - 0.01 ** (1 / steps):.1g}"))  # the start weighs about 1 %
    logger.warning("with --ema_decay %g and %d optimizer steps, the averaged weights in ema/ are %.0f %% the weights before the "
                   "first step: use --ema_decay %g, or train for more steps.", decay, steps, 100 * share, shorter)  # fmt: skip


def check_warmup(args: Any, steps: int) -> None:
    """Check that the warm-up of the learning rate is not longer than a run of so many steps.

    A recipe keeps its warm-up where a flag or a small data set makes the run short: that is a warning.

    Raises:
        UserError: if the warm-up was given as a flag.
    """
    if args.get_warmup_steps(steps) <= steps:
        return
    remedy = "use fewer steps, or a share of them below 1."
    if args.warmup_is_a_flag:
        raise UserError(
            f"invalid value for --warmup_steps: {args.warmup_steps:g}. The run has {steps} steps, so the learning rate would "
            f"never reach --learning_rate: {remedy}"
        )
    logger.warning(
        "warmup_steps is %g, and the run has %d steps, so the learning rate reaches %.0f %% of learning_rate: %s",
        args.warmup_steps, steps, 100 * steps / args.warmup_steps, remedy,
    )  # fmt: skip


class Stabilised(WholeStepMetrics, FullySharded):
    """Mixin with the settings of `StabiliserArguments`.

    Raises:
        RunError: if a loss or gradient is not finite (before the optimizer step), or a step has no trained token.
    """

    def __init__(self, *, args: Any, **kwargs: Any):
        check_stabilisers(args)
        expose_adapted_head(kwargs.get("model"))
        super().__init__(args=args, **kwargs)
        check_precision(self)
        if args.score_responses_only:
            self._score_responses_only()
        if args.compile_blocks:
            compile_blocks(self.accelerator.unwrap_model(self.model))
        self.optimizer_cls_and_kwargs = custom_optimizer(args)  # not all of TRL's trainers take this as an argument
        bare = self.accelerator.unwrap_model(self.model)
        if args.ema_decay is not None and self.is_fsdp_enabled:
            raise UserError(
                "--ema_decay is not supported under FSDP, which shards the weights: leave one of the two out."
            )
        self.average = WeightAverage(bare, args.ema_decay) if args.ema_decay is not None else None
        self.health = HealthMonitor(bare) if args.health else None
        self._horizon: Horizon | None = None
        self._loss_is_finite, self._probe_every = True, 1
        self._updates = 0  # optimizer steps that changed weights, in this process
        self.add_callback(_AfterOptimizerStep(self))
        self._console = replace_console(self)
        guard_trackers(self)
        horizon_schedule(args, bare.config, 1)  # raises for an invalid horizon before any data is read

    def _score_responses_only(self) -> None:
        for model in (self.model, getattr(self, "ref_model", None)):
            if model is not None:
                score_responses_only(get_bare_model(self.accelerator.unwrap_model(model)))

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Create the optimizer, with the learning rates of `module_learning_rates`."""
        is_new = self.optimizer is None
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        if is_new and self.args.module_learning_rates:
            set_rates(optimizer, self.model if model is None else model, self.args.module_learning_rates)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        """Create the schedule of the learning rate. Raises UserError as `check_warmup` does."""
        check_warmup(self.args, num_training_steps)
        return super().create_scheduler(num_training_steps, optimizer)

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        try:
            result = super()._inner_training_loop(*args, **kwargs)
            self._check_updates()
            return result
        finally:
            if self._horizon is not None:
                self._horizon.detach()
                self._horizon = None
            if self.health is not None:
                self.health.detach()
            if self._console is not None:
                self._console.close()

    def _check_updates(self) -> None:
        """Raise RunError if training has ended without an update; a resumed run may be at its last step already."""
        is_done = self.state.global_step == self._initial_global_step > 0
        if self._updates or is_done or getattr(self, "_is_preempted", False):
            return
        steps = self.state.global_step - self._initial_global_step
        if steps:
            raise RunError(
                f"all {steps} optimizer steps were skipped, because gradients overflowed in fp16, so no weight has changed and "
                "nothing is saved. Use --bf16 true, or float32."
            )
        raise RunError(
            "the run took no optimizer step, so no weight has changed and nothing is saved. Compare the rows in run/data.json "
            "with the rows of a step (per_device_train_batch_size x gradient_accumulation_steps x processes)."
        )

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: Any) -> tuple[list, Any]:
        """Return the batches of the next optimizer step, and prepare that step."""
        batches, trained_tokens = super().get_batch_samples(epoch_iterator, num_batches, device)
        if batches:
            self._begin_step(batches, trained_tokens)
        return batches, trained_tokens

    def _begin_step(self, batches: list[Any], trained_tokens: Any) -> None:
        step = self.state.global_step + 1
        if trained_tokens is not None and int(trained_tokens) == 0:
            raise RunError(
                f"step {step} trains no token: every label of its {len(batches)} batches is masked. Check the rows with "
                "`hrm-align inspect`, and remove prompts without an answer."
            )
        self._loss_is_finite = True
        self.means["train"].begin_step()
        self._set_horizon(step)
        if self.health is not None:
            self._begin_health(self.health, step, batches)

    def _begin_health(self, health: HealthMonitor, step: int, batches: list[Any]) -> None:
        if health.probe is None:
            self._make_probe(health, batches)
        interval = max(1, int(self.state.logging_steps or 1))
        logged = step % interval == 0
        first = step == 1 and self.args.logging_first_step
        health.begin_step(logged or first, probing=logged and (step // interval) % self._probe_every == 0)

    def _set_horizon(self, step: int) -> None:
        bare = self.accelerator.unwrap_model(self.model)
        bp_steps = horizon_schedule(self.args, bare.config, self.state.max_steps).at(step)
        if self._horizon is None:
            self._horizon = Horizon(bare, bp_steps)
        self._horizon.set(bp_steps)
        # The checkpoint stores the horizon as the port's L_bp_cycles, which includes at least all H passes: use the nearest.
        config = bare.config
        config.L_bp_cycles = to_l_bp_cycles(max(bp_steps, config.H_cycles + 1), config)
        self._note(bp_steps=bp_steps)

    def _make_probe(self, health: HealthMonitor, batches: list[Any]) -> None:
        rows: Any = self.eval_dataset if self.eval_dataset is not None else self.train_dataset
        stream = getattr(self, "stream", None)
        if stream is not None and self.eval_dataset is None:
            rows = stream.first_rows(PROBE_ROWS)
        if not hasattr(rows, "__getitem__"):
            return
        batch = self._probe_batch([rows[index] for index in range(min(PROBE_ROWS, len(rows)))])
        if batch is None:
            return
        of_process = torch.stack([part["attention_mask"].sum().cpu() for part in batches]).sum()
        of_step = float(sum_over_processes(of_process[None]))  # the same interval for all splits of a step
        share = PROBE_SHARE * of_step * max(1, int(self.state.logging_steps or 1))
        is_shared_by = max(1.0, self.accelerator.num_processes / PROBE_PROCESSES)
        self._probe_every = math.ceil(int(batch["attention_mask"].sum()) / 3 / share * is_shared_by)
        health.probe = Probe(batch, self.compute_loss_context_manager, health.first_logprobs)
        if health.probe.reference is None:  # take the model before this step as the reference
            health.probe.divergence(self.accelerator.unwrap_model(self.model))

    def _probe_batch(self, rows: list[Any]) -> dict[str, Tensor] | None:
        """Collate rows, with labels, for the probe of the health monitor; None for a trainer without labels."""
        batch: dict[str, Tensor] = self.data_collator(rows)
        return batch if "labels" in batch else None

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """Run one forward and backward. A loss that is not finite raises at the step's end, where all processes meet."""
        loss = super().training_step(*args, **kwargs)
        self._loss_is_finite = self._loss_is_finite and bool(torch.isfinite(loss))
        return loss

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        value = float(norm) if norm is not None else 0.0
        if not (self._loss_is_finite and math.isfinite(value)):
            self._stop_at_nan()
        if self.health is not None:
            limit = self.args.max_grad_norm
            self.health.measure_gradients(min(1.0, limit / (value + 1e-6)) if limit > 0 else 1.0)
        return norm

    def _stop_at_nan(self) -> None:
        saved = checkpoints_in(Path(str(self.args.output_dir)))
        last = f"The last checkpoint, {saved[0]}, is finite." if saved else "No checkpoint was saved before."
        raise RunError(
            f"the {'gradient' if self._loss_is_finite else 'loss'} of step {self.state.global_step + 1} is not finite, so "
            f"the run has stopped before the optimizer step. {last} Start a new run with its weights as --model_name_or_path and a "
            "lower --learning_rate, resume in bf16 rather than fp16, or start again without the rows of that step."
        )

    def after_optimizer_step(self) -> None:
        """Update the averaged weights, and log the health metrics of the step."""
        if not self.accelerator.optimizer_step_was_skipped:
            self._updates += 1
            if self.average is not None:
                self.average.update()
        if self.health is None:
            return
        measured = self.health.end_step()
        self._note(**{f"{HEALTH}{name}": value for name, value in measured.items()})
        if measured:
            self._report_alarms(self.state.global_step + 1, measured)

    def _report_alarms(self, step: int, measured: dict[str, float]) -> None:
        """Report new alarms on health metrics of a step, on the main process."""
        if self.health is None or not self.is_world_process_zero():
            return
        for sentence in self.health.alarms.check(step, measured):
            logger.warning(sentence)
            append_json_line(Path(str(self.args.output_dir)) / "run" / "alarms.jsonl", {"alarm": sentence})

    def _note(self, **values: float) -> None:
        """Add values to the metrics that TRL averages into the next log record."""
        for name, value in values.items():
            self._metrics["train"][name].append(value)

    def evaluated_weights(self) -> AbstractContextManager[None]:
        """Context in which the model has the weights to evaluate: the averaged ones if `ema_for_evaluation` is set."""
        if self.average is None or not self.args.ema_for_evaluation:
            return nullcontext()
        return self.average.applied()

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        sampler = super()._get_train_sampler(*args, **kwargs)
        if isinstance(sampler, LengthGroupedSampler):
            rows = args[0] if args and args[0] is not None else self.train_dataset
            sampler = LengthSampler(read_lengths(rows, self.args.length_column_name), sampler.batch_size)
        shuffles = isinstance(sampler, LengthSampler | RandomSampler) or (
            isinstance(sampler, RepeatSampler) and sampler.shuffle
        )
        if not shuffles:
            return sampler
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return EpochSeededSampler(sampler, seed, epoch=lambda: int(self.state.epoch or 0))


class _AfterOptimizerStep(TrainerCallback):
    """Calls `after_optimizer_step`: the trainer has no overridable method between the optimizer step and the log."""

    def __init__(self, trainer: Stabilised):
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, *rest: Any, **kwargs: Any) -> None:
        if self._trainer.average is not None and state.is_world_process_zero:
            warn_of_start_share(self._trainer.average.decay, state.max_steps)

    def on_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self._trainer.after_optimizer_step()
