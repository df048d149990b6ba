"""Run a recipe: claim or resume its output folder, train, save, and publish.

with open_run(recipe) as run:
    data = run.read_data()
    ...
    run.train(trainer, data)
    run.publish(max_new_tokens)

The main process claims the folder and chooses the checkpoint to resume from; it broadcasts both to the other processes. While the
run is open, SIGTERM (and `preemption_signal`) make it save a checkpoint and stop.
"""

from __future__ import annotations

import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from datasets import disable_progress_bars as disable_datasets_bars
from rich.console import Console
from transformers import TrainerCallback, set_seed
from transformers.utils.logging import disable_progress_bar as disable_transformers_bars

from hrm_align.config.arguments import DataArguments
from hrm_align.config.parser import resolved
from hrm_align.data.damage import describe_damage
from hrm_align.data.dataset import load_examples
from hrm_align.data.examples import ANSWERS, Example, RunData, to_rows
from hrm_align.data.forks import limit_processes
from hrm_align.data.specs import DatasetSpec
from hrm_align.data.splits import drawn, split_by_content
from hrm_align.data.stream_counts import Limits, to_record
from hrm_align.data.streaming import open_stream
from hrm_align.data.table import Examples
from hrm_align.errors import Interrupted, Preempted, RunError, UserError, join_names
from hrm_align.estimates.batch import settle_batch
from hrm_align.export.hub import FinalPush
from hrm_align.models.loading import load_config
from hrm_align.models.lora import describe_parameters
from hrm_align.output import results_only
from hrm_align.progress import say, show_progress, stage
from hrm_align.rewards.preflight import PreflightReport, preflight
from hrm_align.rewards.suite import RewardSuite
from hrm_align.run_folder import HELD_OUT, PREEMPTED, check_folder, write_json, write_records
from hrm_align.signals import called_last, leaving_at_once, terminable
from hrm_align.trainers.callbacks import ClaimWatch, MetricsFile, Preemption, follow_launcher
from hrm_align.trainers.claim import Claim, claimed, sees_claim
from hrm_align.trainers.epoch import Epoch
from hrm_align.trainers.evals import ForgettingGuard, find_eval_problems, report_guard
from hrm_align.trainers.launch import describe_launch, one_message
from hrm_align.trainers.resume import AUTO, checkpoint_to_resume
from hrm_align.trainers.same_run import check_checkpoint, check_same_run
from hrm_align.trainers.trackers import prepare_trackers

logger = logging.getLogger(__name__)

SEEN_WITHIN = 15.0  # seconds a network file system may take until another machine sees a new file


@dataclass(frozen=True)
class Run:
    """An open run: its recipe, its output folder, and the claim on that folder.

    Attributes:
        recipe: the parsed recipe.
        settings: every setting of the recipe with its value, as written to run/resolved.yaml.
        push: what to upload to the Hub at the end; None to upload nothing.
        folder: output_dir.
        resumed: the verified checkpoint to resume from; None for a run from the start.
        claim: the claim on the folder on the main process; None on the other processes.
        preemption: callback that turns a signal into a checkpoint and an early stop.
        changed: sentences on settings that differ from those of the resumed run, from `read_data`.
    """

    recipe: Any
    settings: dict[str, Any]
    push: FinalPush | None
    folder: Path
    resumed: Path | None
    claim: Claim | None
    preemption: Preemption
    changed: list[str] = field(default_factory=list)

    @property
    def callbacks(self) -> list[TrainerCallback]:
        """Callbacks for the trainer: check the claim, write metrics.jsonl, save and stop after a signal."""
        metrics = MetricsFile(self.folder / "metrics.jsonl", self.resumed, self.changed)
        return [ClaimWatch(self.claim), metrics, self.preemption]

    def read_data(self, kind: str = ANSWERS) -> RunData:
        """Read the rows of the recipe. Raises UserError if rows or settings differ from those of the resumed run.

        Args:
            kind: `answers`, `pairs` or `labels`, as in `load_examples`.
        """
        training = self.recipe.training
        streaming = bool(getattr(training, "streaming", False))
        data = read_data(self.recipe.data, training.seed, self.folder / "run", streaming, self.resumed, kind)
        with one_message():
            self.changed[:] = check_same_run(self.resumed, self.settings, data.counts, PartialState().num_processes)
        if PartialState().is_main_process:
            for sentence in self.changed:
                logger.warning(sentence)
        return data

    def check_rewards(self, suite: RewardSuite, prompts: Sequence[Example]) -> PreflightReport | None:
        """Grade answers whose reward is known in advance, and fail if the rewards give other values.

        Returns:
            The report, to pass to `train`; None on processes other than the main one, or if `preflight_samples` is 0.

        Raises:
            UserError: see `PreflightReport.require`.
        """
        rewards = self.recipe.rewards
        if not rewards.preflight_samples or not PartialState().is_main_process:
            return None
        with stage(f"checking the rewards on {min(rewards.preflight_samples, len(prompts))} rows"):
            report = preflight(suite, prompts, limit=rewards.preflight_samples, seed=self.recipe.training.seed)
        Console().print(report.render())
        report.require(rewards.max_ungraded_fraction)
        return report

    def train(
        self,
        trainer: Any,
        data: RunData,
        guard: ForgettingGuard | None = None,
        checked: PreflightReport | None = None,
    ) -> None:
        """Write the run's records, train, save, and score the guard sets before and after.

        Args:
            trainer: built with `callbacks`.
            data: returned by `read_data`.
            guard: data sets whose scores should not drop; None for none.
            checked: returned by `check_rewards`.

        Raises:
            UserError: if no step can be taken, because a step takes more rows than there are.
            RunError: if training has ended without an optimizer step; nothing is saved then.
            Preempted: if a signal stopped the run; a checkpoint has been saved.
        """
        is_main, epoch = PartialState().is_main_process, Epoch.of(trainer)
        with one_message():
            epoch.check()
            if self.resumed is not None:
                model = trainer.accelerator.unwrap_model(trainer.model)
                check_checkpoint(self.resumed, model, trainer.processing_class, trainer.args.ema_decay)
        data.counts["epoch"] = epoch.to_dict()
        launch = describe_launch(trainer, self.settings)
        if is_main:
            self.check_claim()
            split_off = to_rows(data.held_out) if self.recipe.data.eval_fraction else []
            write_records(self.folder / "run", self.settings, launch, data.counts, split_off)
            if checked is not None:
                write_json(self.folder / "run" / "preflight.json", checked.to_dict())
            lines = [*summarize_run(trainer.model, data), *filter(None, [str(epoch)])]
            for line in (*lines, *find_eval_problems(data, self.recipe.training)):
                say(line)
        if guard is not None:
            with stage("scoring the guard sets before training"):
                trainer.call_with_model(guard.before)
        trainer.train(resume_from_checkpoint=self.resumed)
        if data.stream is not None and is_main:  # the rows are counted while they are read
            data.counts["train"] = trainer.stream_record()
            write_json(self.folder / "run" / "data.json", data.counts)
            for line in summarize_run(trainer.model, data)[1:]:
                say(line)
        self.preemption.raise_if_preempted(self.folder, trainer.state.global_step)
        with stage("saving the model"):
            trainer.save_model(str(self.folder))
            trainer.save_state()
        if guard is not None:
            with stage("scoring the guard sets after training"):
                report = trainer.call_interruptibly(guard.after)
            if is_main:
                Console().print(report_guard(report, self.folder / "run"))

    def publish(self, max_new_tokens: int = 0) -> None:
        """Print where the run is saved, and push it to the Hub if the recipe requests that.

        Args:
            max_new_tokens: longest completion, in tokens, when the export is compared with the run; unused for a reward model.

        Raises:
            Preempted: if a signal comes before the run is published.
        """
        if not PartialState().is_main_process:
            return
        has_rows = self.recipe.data.eval_datasets or (self.folder / "run" / HELD_OUT).is_file()
        rows = "" if has_rows else " --data HELD_OUT_ROWS"
        say(f"saved {self.folder}")
        folder = shlex.quote(str(self.folder))
        ranking = f"rank answers with it: hrm-align generate --model MODEL --prompt PROMPT --n 8 --rank_by {folder}"
        print(ranking if self.recipe.KIND == "reward" else f"score it: hrm-align evaluate {folder}{rows}")
        if self.push is None:
            return
        try:
            with leaving_at_once():
                self.push.publish(self.folder, max_new_tokens)
        except Interrupted:
            raise Preempted(
                f"{self.folder} is saved and was not published to {self.push.repo_id}. To publish it, run the same command with "
                "--resume_from_checkpoint latest."
            ) from None

    def check_claim(self) -> None:
        """Raise RunError if another run has taken over the folder."""
        if self.claim is not None:
            self.claim.check()


def read_data(
    data: DataArguments,
    seed: int,
    quarantine: Path | None,
    streaming: bool = False,
    resumed: Path | None = None,
    kind: str = ANSWERS,
) -> RunData:
    """Read and validate all rows of a recipe; split off the held-out rows.

    Args:
        data: the data settings of the recipe.
        seed: seed for choosing rows where only a share of a data set is used.
        quarantine: folder for malformed rows; they are written to `quarantine_train.jsonl` and so on. None to write none.
        streaming: whether training rows are read while training runs: only the first ones are read here.
        resumed: checkpoint to resume from, whose place in streamed rows is used.
        kind: kind of the rows, as in `load_examples`; guard sets have answers in any case.

    Raises:
        UserError: see `load_examples`; for streamed preference rows; and for more rows with damaged text than `max_damaged_fraction`.
    """
    counts: dict[str, Any] = {}
    if streaming and kind != ANSWERS:
        raise UserError("streaming reads answers only, and not preference rows. Leave --streaming out.")

    def load(specs: Sequence[DatasetSpec], name: str, kind: str = kind) -> Sequence[Example]:
        examples, loaded = load_examples(
            specs,
            default_condition=data.condition,
            seed=seed,
            max_bad_fraction=data.max_bad_fraction,
            quarantine=None if quarantine is None else quarantine / f"quarantine_{name}.jsonl",
            on_disk=True,
            kind=kind,
        )
        counts[name] = loaded.to_dict()
        for line in loaded.describe_unused():
            say(line)
        warnings = describe_damage(loaded.damage, loaded.rows_read, whole=False)
        if loaded.rows_damaged > data.max_damaged_fraction * loaded.rows_read:
            raise UserError(
                f"{loaded.rows_damaged:,} of {loaded.rows_read:,} rows have damaged text; at most {data.max_damaged_fraction:.1%} are "
                "allowed:\n" + "\n".join(warnings) + "\nFix the rows, or raise --max_damaged_fraction."
            )
        for line in warnings:
            say(line)
        return examples

    stream = None
    if streaming:
        limits = Limits(data.max_bad_fraction, data.max_damaged_fraction, data.max_dropped_fraction)
        stream = open_stream(data.specs(), data.condition, seed, limits, resumed, broadcast_object_list)
        counts["train"] = to_record([{} for _ in stream.specs], stream.counts)
    train: Sequence[Example] = [] if streaming else load(data.specs(), "train")
    held_out: Sequence[Example] = []
    if data.eval_datasets:
        held_out = load(data.eval_specs(), "eval")
    elif not streaming:
        examples = len(train)
        train, held_out = split_by_content(train, data.eval_fraction)
        if data.eval_fraction and not (train and held_out):
            side = "none" if train else "all"
            raise UserError(
                f"eval_fraction {data.eval_fraction} holds out {side} of the {examples} examples, which are split by the hash of "
                "their first message: use another fraction, or name held-out rows in eval_datasets."
            )
    if data.replay_datasets:
        replay = drawn(load(data.replay_specs(), "replay"), data.replay_fraction, len(train), seed)
        train = train + replay if isinstance(train, Examples) and isinstance(replay, Examples) else [*train, *replay]
        counts["replay"]["share"] = data.replay_fraction
    guard = {
        spec.path: load([spec], f"guard_{number}", ANSWERS) for number, spec in enumerate(data.guard_specs(), start=1)
    }
    return RunData(train, held_out, guard, counts, stream)


def summarize_run(model: Any, data: RunData) -> list[str]:
    """Return lines to print: the number of trained parameters, and the rows used and dropped of each data set."""
    lines = [describe_parameters(model) or "all parameters are trained"]
    for name, part in data.counts.items():
        if "kept" in part:
            dropped = ", ".join(f"{count:,} {reason}" for reason, count in part["dropped"]["by_reason"].items())
            lines.append(f"{name}: {part['kept']:,} kept, dropped: {dropped or 'none'}")
    return lines


@contextmanager
def open_run(recipe: Any) -> Iterator[Run]:
    """Claim `output_dir` before anything is read or written, and hold the claim until the run ends or fails.

    Then choose the batch split (`auto_batch`), set the seed and start the trackers.

    Args:
        recipe: the parsed recipe; its training settings have `output_dir`, `resume_from_checkpoint`, `preemption_dir` and
            `preemption_signal`.

    Raises:
        UserError: on the main process, if another run uses the folder, if the folder holds files of another run, or if the
            checkpoint does not exist. The other processes exit with the same code and print nothing.
        RunError: likewise, if the checkpoint of a preempted run cannot be copied.
        Preempted: if a signal came after training, before the guard sets were scored.
    """
    args = recipe.training
    state, folder, requested = PartialState(), Path(str(args.output_dir)), args.resume_from_checkpoint
    preemption = Preemption(args.preemption_signal)
    follow_launcher()
    with ExitStack() as closing:
        closing.enter_context(terminable(*preemption.earlier))
        # The result of a run is its folder; everything printed goes to standard error.
        closing.enter_context(results_only())
        closing.enter_context(show_progress(stages=True))
        hide_bars_of_libraries()
        say(f"output_dir: {folder}")
        claim, resumed, refusal = None, None, None
        if state.is_main_process:
            try:
                claim = closing.enter_context(claimed(folder, patient=requested == AUTO))
                closing.enter_context(called_last(claim.release))
                resumed = checkpoint_to_resume(requested, folder, args.preemption_dir)
                check_folder(folder, resumed, started_again=requested == AUTO)
                (folder / "run" / PREEMPTED).unlink(missing_ok=True)  # that checkpoint is published or lost by now
            except (UserError, RunError) as error:
                refusal = error
        token = claim.owner.token if claim is not None else ""
        if resumed is not None:
            say(f"resuming from {resumed}")
        code = 0 if refusal is None else 2 if isinstance(refusal, UserError) else 1
        resumed, token, code = broadcast_object_list([resumed, token, code])
        if not code and (apart := _find_separate_machines(folder, token)):
            code = 2
            refusal = UserError(
                f"--output_dir {folder} is not shared by all machines: {join_names(apart)} cannot see what {socket.gethostname()} "
                "writes there. Use a path on a file system that all machines share."
            )
        if code:
            state.wait_for_everyone()  # a process that leaves early would break the collective calls of the others
            if refusal is not None and state.is_main_process:
                raise refusal
            sys.exit(code)
        try:
            with preemption:
                limit_processes(getattr(args, "dataset_num_proc", None))
                if getattr(args, "auto_batch", False):
                    settle_auto_batch(recipe, resumed)
                settings, push = resolved(recipe), FinalPush.requested(args)
                set_seed(args.seed)
                if state.is_main_process:
                    prepare_trackers(args.report_to, folder)
                yield Run(recipe, settings, push, folder, resumed, claim, preemption)
        except Interrupted as stop:
            raise Preempted(
                f"{folder} is saved; the guard sets were not scored after training. Score it with hrm-align evaluate."
            ) from stop


def hide_bars_of_libraries() -> None:
    """Hide the bars of Transformers and datasets over short work; downloads keep theirs."""
    disable_transformers_bars()
    disable_datasets_bars()


def settle_auto_batch(recipe: Any, resumed: Path | None) -> None:
    """Choose the split of a step's rows for `auto_batch`, and print the choice."""
    config = load_config(str(recipe.model.model_name_or_path), recipe.model.model_revision)
    decision = settle_batch(recipe, config, resumed)
    if PartialState().is_main_process:
        say(str(decision))


def _find_separate_machines(folder: Path, token: str) -> list[str]:
    """Return the host names of machines that do not see the main process's claim; the same list on every process."""
    if int(os.environ.get("LOCAL_WORLD_SIZE", PartialState().num_processes)) >= PartialState().num_processes:
        return []
    end = time.monotonic() + SEEN_WITHIN
    while not (is_seen := sees_claim(folder / "run", token)) and time.monotonic() < end:
        time.sleep(0.2)
    return sorted({host for host, seen in gather_object([(socket.gethostname(), is_seen)]) if not seen})
