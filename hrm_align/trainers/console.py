"""What a run prints while it trains: one aligned line for each log record, and on a terminal a bar below the lines.

       step     loss  held-out  exact_match    n      rate  tokens/s     left
    100/300    2.114                              2.9e-03    12,310     4:20
    100/300              2.521       0.0156   64

A line of reinforcement learning has the reward and its components instead of a loss. All values stand in metrics.jsonl.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback
from transformers.trainer_utils import has_length

from hrm_align.progress import Bar, Stage, stage
from hrm_align.rewards.base import metric_name
from hrm_align.trainers.log_table import Column, Table, compact, duration, print_line, significant, whole

ZERO_LOSS = 1e-6  # a policy loss below this is zero by construction: the advantages of a group sum to zero
_EVALUATED = "eval_"
# Values of an evaluation that are no scores.
_UNSCORED = (
    "loss",
    "runtime",
    "samples_per_second",
    "steps_per_second",
    "entropy",
    "mean_token_accuracy",
    "num_tokens",
    "unfinished",
    "truncated",
    "reward_std",
    "n",
)


def replace_console(trainer: Trainer) -> TrainingConsole | None:
    """Replace the progress bar and the printed dictionaries of Transformers by a `TrainingConsole`.

    Returns:
        The console; None if Transformers prints nothing of that kind, as in a notebook, which has its own display.
    """
    shows_bar = trainer.pop_callback(ProgressCallback) is not None
    prints = trainer.pop_callback(PrinterCallback) is not None
    if not (shows_bar or prints):
        return None
    console = TrainingConsole(trainer, shows_bar)
    trainer.add_callback(console)
    return console


class TrainingConsole(TrainerCallback):
    """Prints the lines of a run on the main process.

    Args:
        trainer: the trainer, which counts the tokens of all processes.
        shows_bar: whether to draw a bar on a terminal (`disable_tqdm` is not set).
    """

    def __init__(self, trainer: Any, shows_bar: bool):
        self._trainer, self._shows_bar = trainer, shows_bar
        self._clock = Clock()
        self._table = Table()
        self._rewards: list[str] = []  # names of the reward's components
        self._score: str | None = None  # name of the score of generated answers
        self._is_rl = self._has_loss = self._has_kl = self._is_training = False
        self._held_out: dict[str, float] = {}  # values of an evaluation that are not printed yet
        self._bar: Bar | None = None
        self._evaluation: Stage | None = None
        self._compiling = ExitStack()

    # Events of the training loop ----------------------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock and the bar."""
        if not state.is_world_process_zero:
            return
        self._clock, self._is_training = Clock(), True
        if self._shows_bar:
            self._bar = Bar("training", state.max_steps)
            self._bar.update(state.global_step, f"{state.global_step}/{state.max_steps}")
        if getattr(args, "generation_eval_samples", 0) and hasattr(args, "generation_eval_match"):
            self._score = metric_name(args.generation_eval_match)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Continue the clock; announce the compilation, which the first step does."""
        if not state.is_world_process_zero:
            return
        self._print_held_out(args, state)
        if not self._clock.steps:
            self._clock.start(self._tokens())
            if args.torch_compile or getattr(args, "compile_blocks", False):
                self._compiling.enter_context(stage("compiling in the first step"))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the step, and move the bar."""
        if not state.is_world_process_zero:
            return
        self._compiling.close()
        self._clock.count_step()
        if self._bar is not None:
            left = duration(self._clock.seconds_left(state.max_steps - state.global_step))
            self._bar.update(state.global_step, f"{state.global_step}/{state.max_steps}, {left} left")

    def on_prediction_step(self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **kw: Any) -> None:
        """Show the progress of an evaluation."""
        if not state.is_world_process_zero:
            return
        if self._evaluation is None:
            self._evaluation = Stage("evaluating")
            self._evaluation.begin(len(eval_dataloader) if has_length(eval_dataloader) else None, "batches")
        self._evaluation.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Print the line of a record; values of one evaluation, which are logged in turn, share a line."""
        if not (state.is_world_process_zero and logs):
            return
        if "train_runtime" in logs:
            self._print_held_out(args, state)
            self._print_end(logs)
        elif any(name.startswith(_EVALUATED) for name in logs):
            self._held_out |= {name.removeprefix(_EVALUATED): value for name, value in logs.items()}
            if "reward" in self._held_out or not self._score or self._score in self._held_out or not self._is_training:
                self._print_held_out(args, state)
        elif "learning_rate" in logs:
            self._print_held_out(args, state)
            self._print_line(args, state, logs)
        self._clock.pause()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove the bar of the evaluation, whose time is none of training."""
        self._close_evaluation()
        self._clock.pause()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave out the time of a checkpoint."""
        if state.is_world_process_zero:
            self._print_held_out(args, state)
        self._clock.pause()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove the bars."""
        if state.is_world_process_zero:
            self._print_held_out(args, state)
        self.close()

    def close(self) -> None:
        """Remove the bars, also after an error."""
        self._is_training = False
        self._compiling = ExitStack()  # a first step that failed has no time to print
        self._close_evaluation()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _close_evaluation(self) -> None:
        if self._evaluation is not None:
            self._evaluation.close()
            self._evaluation = None

    # Lines --------------------------------------------------------------------------------------------------------

    def _tokens(self) -> float:
        """Return the tokens that all processes have trained on; GRPO counts them in the trainer's state."""
        return float(getattr(self._trainer, "_total_train_tokens", 0) or self._trainer.state.num_input_tokens_seen)

    def _print_line(self, args: Any, state: Any, logs: Mapping[str, Any]) -> None:
        self._is_rl = self._is_rl or "reward" in logs
        self._has_loss = self._has_loss or not self._is_rl or abs(logs.get("loss", 0.0)) >= ZERO_LOSS
        self._has_kl = self._has_kl or "kl" in logs
        self._learn_rewards(logs, "/mean")
        tokens_a_second, seconds_a_step = self._clock.lap(self._tokens())
        cells = {
            "step": f"{state.global_step}/{state.max_steps}",
            "loss": significant(logs.get("loss")),
            "reward": compact(logs.get("reward"), 4, 7),
            "std": compact(logs.get("reward_std")),
            **{f"rewards/{name}": compact(logs.get(f"rewards/{name}/mean")) for name in self._rewards},
            "kl": significant(logs.get("kl"), 3),
            "zero var": compact(logs.get("groups/without_signal", logs.get("frac_reward_zero_std"))),
            "length": compact(logs.get("completions/mean_length"), 1),
            "rate": f"{logs['learning_rate']:.1e}",
            "tokens/s": whole(tokens_a_second),
            "s/step": compact(seconds_a_step),
            "left": duration(self._clock.seconds_left(state.max_steps - state.global_step)),
        }
        self._table.print(self._columns(args, state), cells)

    def _print_held_out(self, args: Any, state: Any) -> None:
        values, self._held_out = self._held_out, {}
        if not values:
            return
        self._is_rl = self._is_rl or "reward" in values
        self._learn_rewards(values, "")
        scores = [name for name in values if name not in (*_UNSCORED, "epoch", "reward") and "/" not in name]
        self._score = self._score or next(iter(scores), None)
        cells = {
            "step": f"{state.global_step}/{state.max_steps}" if self._is_training else f"{state.global_step}",
            "held-out": significant(values.get("reward", values.get("loss"))),
            "score": significant(values.get(self._score or "")),
            **{f"rewards/{name}": compact(values.get(f"rewards/{name}")) for name in self._rewards},
            "n": whole(values.get("n")),
        }
        self._table.print(self._columns(args, state), cells)

    def _learn_rewards(self, values: Mapping[str, Any], end: str) -> None:
        """Add the components of the reward that a record has, such as `exact` of `rewards/exact/mean`."""
        for name in values:
            component = name.removeprefix("rewards/").removesuffix(end)
            if name == f"rewards/{component}{end}" and component not in (*self._rewards, "drawn", "ungraded"):
                self._rewards.append(component)

    def _columns(self, args: Any, state: Any) -> list[Column]:
        is_evaluated = args.eval_strategy != "no" or args.eval_on_start or not self._is_training
        held_out = [Column("held-out", 8)] if is_evaluated else []
        size = [Column("n", 5, spare=7)] if is_evaluated and (self._score or self._is_rl) else []
        step, loss = Column("step", 2 * len(str(state.max_steps)) + 1), Column("loss", 8 + self._is_rl)
        if not self._is_rl:
            score = [Column(self._score, 8, name="score", elastic=True)] if is_evaluated and self._score else []
            return [step, loss, *held_out, *score, *size, Column("rate", 7), Column("tokens/s", 9), Column("left", 8)]
        return [
            step,
            *([loss] if self._has_loss else []),
            Column("reward", 7),
            Column("std", 6, spare=4),
            *held_out,
            *size,
            *(Column(name, 6, spare=1, name=f"rewards/{name}", elastic=True) for name in self._rewards),
            *([Column("kl", 8)] if self._has_kl else []),
            Column("zero var", 6, spare=2),
            Column("length", 6, spare=3),
            Column("s/step", 6, spare=5),
            Column("left", 8),
        ]

    def _print_end(self, logs: Mapping[str, Any]) -> None:
        if self._clock.steps:
            speed = f", {self._clock.tokens_a_second(self._tokens()):,.0f} tokens/s" if self._tokens() else ""
            took = duration(logs["train_runtime"])
            print_line(f"trained {self._clock.steps:,} step{'s' * (self._clock.steps > 1)} in {took}{speed}")


class Clock:
    """Time and tokens of the training steps of this process, without evaluations and checkpoints.

    Attributes:
        steps: number of optimizer steps.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._mark = time.perf_counter()  # training time up to here has been counted
        self._seconds = self._first = 0.0
        self._tokens_at_start = 0.0
        self._lap = (0, 0.0, 0.0)  # steps, seconds and tokens at the last log

    def start(self, tokens: float) -> None:
        """Begin to count, before the first step; `tokens` were trained before, by the run that is resumed."""
        self._mark, self._tokens_at_start = time.perf_counter(), tokens
        self._lap = (0, 0.0, tokens)

    def count_step(self) -> None:
        """Count a step that has ended."""
        now = time.perf_counter()
        self._seconds += now - self._mark
        self._mark = now
        self.steps += 1
        if self.steps == 1:
            self._first = self._seconds

    def pause(self) -> None:
        """Leave out the time since the last step ended."""
        self._mark = time.perf_counter()

    def lap(self, tokens: float) -> tuple[float | None, float | None]:
        """Return tokens a second and seconds a step since the last call; None where nothing was counted."""
        steps, seconds, before = self._lap
        self._lap = (self.steps, self._seconds, tokens)
        took = self._seconds - seconds
        if self.steps == steps or not took:
            return None, None
        return (tokens - before) / took if tokens > before else None, took / (self.steps - steps)

    def tokens_a_second(self, tokens: float) -> float:
        """Return tokens a second since the start."""
        return (tokens - self._tokens_at_start) / self._seconds if self._seconds else 0.0

    def seconds_left(self, steps: int) -> float | None:
        """Estimate the training time of further steps; the first step, which warms up or compiles, counts only while alone."""
        if not self.steps:
            return None
        mean = (self._seconds - self._first) / (self.steps - 1) if self.steps > 1 else self._seconds
        return steps * mean
