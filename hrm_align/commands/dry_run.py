"""`--dry_run` of a training recipe: do everything that a run does before its second step, show it, and write nothing.

    with dry_run(recipe) if args.dry_run else open_run(recipe) as run:
        ...

`DryRun` stands in for `Run`, so that a recipe is the same code with and without `--dry_run`: it reads all rows, tokenizes a
sample, checks the rewards, loads the model, shows rows and mask, estimates memory and time, and takes one optimizer step in a
temporary folder.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from rich.console import Console
from transformers import TrainerCallback, set_seed
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from hrm_align.commands.estimate import estimate_recipe
from hrm_align.commands.estimate import show as show_estimate
from hrm_align.commands.inspect import show_proof, show_row
from hrm_align.config.parser import resolved
from hrm_align.data.examples import ANSWERS, Example, RunData
from hrm_align.data.packing import IGNORED, PaddedCollator
from hrm_align.export.hub import FinalPush
from hrm_align.models.intervals import Intervals, visible_intervals
from hrm_align.models.perturbation import prove
from hrm_align.models.reward_loading import as_language_model
from hrm_align.output import emit, results, results_only
from hrm_align.progress import show_progress
from hrm_align.rendering import Document, Layout, get_renderer
from hrm_align.rewards.preflight import PreflightReport
from hrm_align.rewards.suite import RewardSuite
from hrm_align.run import Run, hide_bars_of_libraries, read_data, settle_auto_batch, summarize_run
from hrm_align.run_folder import check_folder
from hrm_align.trainers.callbacks import Preemption, follow_launcher
from hrm_align.trainers.epoch import Epoch
from hrm_align.trainers.evals import find_eval_problems
from hrm_align.trainers.launch import one_message
from hrm_align.trainers.mixin import check_warmup

SAMPLE = 10_000  # training rows that are tokenized
HELD_OUT = 200  # held-out rows that are tokenized
SHOWN = 3  # rows that are shown, and on which the mask is verified
COMPLETION_TOKENS = 16  # longest completion of the one rollout of reinforcement learning
CELLS = 24  # rows and columns of the picture of the mask


@dataclass(frozen=True)
class DryRun(Run):
    """A run that writes nothing: the same interface as `Run`.

    Attributes:
        planned: the recipe as given; `recipe` has the settings of the one step.
        rows: number of training rows of the run, of which a sample is tokenized.
    """

    planned: Any = None
    rows: list[int] = field(default_factory=list)

    @property
    def callbacks(self) -> list[TrainerCallback]:
        """Callbacks for the trainer: none that writes."""
        return [self.preemption]

    def read_data(self, kind: str = ANSWERS) -> RunData:
        """Read all rows of the recipe, and return a sample of them. Raises UserError as `Run.read_data` does."""
        data = read_data(self.recipe.data, self.recipe.training.seed, None, kind=kind)
        self.rows.append(len(data.train))
        held_out = _sample(data.held_out, HELD_OUT)
        return RunData(_sample(data.train, SAMPLE), held_out, {}, data.counts)

    def check_rewards(self, suite: RewardSuite, prompts: Sequence[Example]) -> PreflightReport | None:
        """Grade answers whose reward is known in advance. Returns and raises as `Run.check_rewards` does."""
        report = super().check_rewards(suite, prompts)
        if report is not None:
            Console(file=results()).print(report.render())
        return report

    def train(self, trainer: Any, data: RunData, guard: Any = None, checked: Any = None) -> None:
        """Show rows, mask and estimate, take one optimizer step, and print what it took."""
        is_main, epoch = PartialState().is_main_process, Epoch.of(trainer)
        with one_message():
            epoch.check()
        model = trainer.accelerator.unwrap_model(trainer.model)
        if is_main:
            lines = summarize_run(trainer.model, data)
            if self.rows[0] > len(data.train):
                lines.append(
                    f"train: {self.rows[0]:,} documents, of which a sample of {len(data.train):,} was tokenized"
                )
            else:
                lines += filter(None, [str(epoch)])
            for line in (*lines, *find_eval_problems(data, self.planned.training)):
                emit(line)
            self._show_rows(trainer, model, data.train[:SHOWN])
            self._show_estimate(deepcopy(model.config), _longest_prompt(trainer, data))
        steps = _count_steps(trainer, self.planned.training, self.rows[0] / len(data.train))
        with one_message():
            check_warmup(self.planned.training, steps)
        start = time.perf_counter()
        trainer.train()
        self.preemption.raise_if_preempted(self.folder, 0)
        if is_main:
            self._show_step(trainer, time.perf_counter() - start, steps)

    def publish(self, max_new_tokens: int = 0) -> None:
        """Print that nothing was written."""
        if PartialState().is_main_process:
            emit("This was a dry run: nothing was written. To start the run, leave out --dry_run.")

    def _show_rows(self, trainer: Any, model: Any, examples: Sequence[Example]) -> None:
        tokenizer, is_reward = trainer.processing_class, self.planned.KIND == "reward"
        render, console = get_renderer(tokenizer), Console(file=results())
        answers = [(e, answer) for e in examples for answer in (e.answer, e.rejected) if answer is not None]
        documents = [render.document(e.messages, answer, e.condition) for e, answer in answers]
        for (example, _), document in zip(answers, documents, strict=True):
            row = {"input_ids": document.input_ids, "prefix_length": document.prefix_length}
            show_row({**row, "condition": example.condition, "source": example.source}, tokenizer, console)
        console.rule(style="dim")
        batch = _first_batch(trainer, documents, render.pad_id, is_reward)
        layout = Layout.of(model.config)
        seen = visible_intervals(
            batch["input_ids"],
            layout,
            batch.get("attention_mask"),
            batch.get("position_ids"),
            batch.get("token_type_ids"),
        )
        rows, width = batch["input_ids"].shape
        learnt = f", {int((batch['labels'] != IGNORED).sum()):,} of them with loss" if "labels" in batch else ""
        emit(f"first batch: {rows} x {width} tokens{learnt}; the mask of its first row, "
             f"{math.ceil(width / CELLS)} tokens a cell (# all seen, + some, . none):")  # fmt: skip
        emit(draw_mask(seen))
        show_proof(prove(as_language_model(model) if is_reward else model, documents), console)

    def _show_estimate(self, config: Any, prompt_tokens: int) -> None:
        on_gpu = not self.planned.training.use_cpu
        shared = None if self.planned.KIND == "dpo" else prompt_tokens  # the longest prompt would share too much
        show_estimate(estimate_recipe(self.planned, config, PartialState().num_processes, on_gpu, shared), on_gpu)

    def _show_step(self, trainer: Any, seconds: float, steps: int) -> None:
        """Print loss, time and memory of the step, and the time of the run where the step is like all others."""
        last: dict[str, Any] = next((log for log in reversed(trainer.state.log_history) if "loss" in log), {})
        names = ("loss", "grad_norm", "reward")
        values = ", ".join(f"{name} {float(last[name]):.4g}" for name in names if name in last)
        emit(f"one step: {values}; {seconds:.1f} s")
        if torch.cuda.is_available():
            emit(f"largest memory of the step: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
        planned = self.planned.training
        if hasattr(planned, "max_completion_length"):
            emit(f"The run takes {steps:,} steps. Its rollouts have completions of up to {planned.max_completion_length} tokens; this "
                 f"one had {COMPLETION_TOKENS} at most, so its time says nothing about theirs.")  # fmt: skip
            return
        total = seconds * planned.gradient_accumulation_steps * steps
        emit(f"The run takes {steps:,} steps: about {_duration(total)} at this rate, without evaluations. The first step "
             "is slower than the others, so this is an upper estimate.")  # fmt: skip


def _sample(examples: Sequence[Example], most: int) -> Sequence[Example]:
    """Return at most so many examples, drawn evenly and in their order."""
    if len(examples) <= most:
        return examples
    chosen = sorted(random.Random(0).sample(range(len(examples)), most))
    return [examples[index] for index in chosen]


def _longest_prompt(trainer: Any, data: RunData) -> int:
    prompt = get_renderer(trainer.processing_class).prompt
    return max(len(prompt(example.messages, example.condition)) for example in data.train)


def _first_batch(
    trainer: Any, documents: Sequence[Document], pad_id: int, is_reward: bool = False
) -> dict[str, torch.Tensor]:
    """Return the first batch of the trainer, on the CPU; of reinforcement learning the shown rows with their references."""
    batch = next(iter(trainer.get_train_dataloader()))
    if isinstance(batch, dict) and "completion_mask" in batch:  # pairs: both answers of a row
        batch = {**batch, "labels": batch["input_ids"].masked_fill(batch["completion_mask"] == 0, IGNORED)}
    if not isinstance(batch, dict) or ("labels" not in batch and not is_reward):
        rows = [{"input_ids": d.input_ids, "prefix_length": d.prefix_length} for d in documents]
        return PaddedCollator(pad_id)(rows)
    return {name: value.cpu() for name, value in batch.items() if isinstance(value, torch.Tensor)}


def draw_mask(seen: Intervals) -> str:
    """Draw which keys the queries of the first row of a batch see: a line for each block of queries, a column for each block of keys.

    Args:
        seen: intervals of a batch, (batch, seq).

    Returns:
        `#` where every query of the block sees every key, `+` where some do, `.` where none does.
    """
    width = seen.first.shape[1]
    keys = torch.arange(width)
    visible = (seen.first[0, :, None] <= keys) & (keys <= seen.last[0, :, None])  # (query, key)
    size = math.ceil(width / CELLS)
    lines = []
    for top in range(0, width, size):
        cells = [visible[top : top + size, left : left + size] for left in range(0, width, size)]
        lines.append("  " + " ".join("#" if c.all() else "+" if c.any() else "." for c in cells))
    return "\n".join(lines)


def _count_steps(trainer: Any, planned: Any, share: float) -> int:
    """Return the number of optimizer steps of the run, from the batches of the sample."""
    if planned.max_steps > 0:
        return int(planned.max_steps)
    accumulation = planned.gradient_accumulation_steps
    batches = round(len(trainer.get_train_dataloader()) * share)
    return math.ceil(math.ceil(batches / accumulation) * planned.num_train_epochs)


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


@contextmanager
def dry_run(recipe: Any) -> Iterator[DryRun]:
    """Open a run that writes nothing; the counterpart of `hrm_align.run.open_run`.

    Args:
        recipe: the parsed recipe; its training settings are changed to those of one step.

    Raises:
        UserError: if the run could not start: its folder holds files, or a setting of the push is missing.
    """
    args, state = recipe.training, PartialState()
    follow_launcher()
    with results_only(), show_progress(stages=True), TemporaryDirectory(prefix="hrm-align-dry-run-") as own:
        hide_bars_of_libraries()
        if not args.resume_from_checkpoint:
            check_folder(Path(str(args.output_dir)), None, started_again=False)
        if getattr(args, "auto_batch", False):
            settle_auto_batch(recipe, None)
        planned = deepcopy(recipe)
        push = FinalPush.requested(args)
        folder = Path(
            broadcast_object_list([own])[0]
        )  # the same on all processes: the main one may write a start model
        _take_one_step(args, folder)
        set_seed(args.seed)
        preemption = Preemption()
        with preemption:
            yield DryRun(recipe, resolved(planned), push, folder, None, None, preemption, planned=planned)
        state.wait_for_everyone()  # before the folder is removed


def _take_one_step(args: Any, folder: Path) -> None:
    """Change the settings of a run to one optimizer step without evaluations, checkpoints and trackers."""
    args.output_dir, args.max_steps, args.warmup_steps, args.logging_steps = str(folder), 1, 0, 1
    args.save_strategy, args.eval_strategy, args.eval_on_start = SaveStrategy.NO, IntervalStrategy.NO, False
    args.load_best_model_at_end, args.report_to, args.disable_tqdm = False, [], True
    if hasattr(args, "precompute_ref_log_probs"):
        args.precompute_ref_log_probs = False  # which would compute, and write, those of all rows
    if hasattr(args, "max_completion_length"):
        args.max_completion_length = min(int(args.max_completion_length), COMPLETION_TOKENS)
        args.max_resamples, args.log_samples = 0, 0
    else:
        args.gradient_accumulation_steps = 1  # one forward and backward
