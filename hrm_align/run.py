"""A run of a recipe: it claims or resumes its folder, trains under preemption, saves, and publishes.

with open_run(recipe) as run:
    data = run.read_data()
    ...
    run.train(trainer, data)
    run.publish(max_new_tokens)

One process claims the folder and finds the checkpoint to go on from, and all of them hear the same. To its end the run listens
to the signals that ask it to stop.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from rich.console import Console
from transformers import TrainerCallback, TrainingArguments, set_seed

from hrm_align.config.arguments import DataArguments
from hrm_align.config.parser import resolved
from hrm_align.data.dataset import DatasetSpec, drawn, load_examples, split_by_content
from hrm_align.data.examples import Example, RunData
from hrm_align.errors import Interrupted, Preempted, RunError, UserError, some
from hrm_align.estimates.batch import settle_batch
from hrm_align.export.hub import FinalPush
from hrm_align.models.loading import load_config
from hrm_align.models.lora import parameters_told
from hrm_align.output import results_only
from hrm_align.rewards.preflight import PreflightReport, preflight
from hrm_align.rewards.suite import RewardSuite
from hrm_align.run_folder import PREEMPTED, check_folder, write_json, write_records
from hrm_align.trainers.callbacks import ClaimWatch, MetricsFile, Preemption, follow_launcher, prepare_trackers
from hrm_align.trainers.claim import Claim, claimed, sees_claim
from hrm_align.trainers.evals import ForgettingGuard, report_guard
from hrm_align.trainers.resume import AUTO, check_same_run, checkpoint_to_resume

SEEN_WITHIN = 15.0  # seconds, in which a network file system shows a new file


@dataclass(frozen=True)
class Run:
    """An open run.

    Attributes:
        recipe: as parsed.
        settings: every key of it with its value, for the record.
        push: what is to be published at the end; None for nothing.
        folder: its output_dir.
        resumed: the checkpoint that it goes on from, verified; None for a run from the start.
        claim: on the folder, held by the main process; None on the others.
        preemption: what it does with signals.
    """

    recipe: Any
    settings: dict[str, Any]
    push: FinalPush | None
    folder: Path
    resumed: Path | None
    claim: Claim | None
    preemption: Preemption

    @property
    def callbacks(self) -> list[TrainerCallback]:
        """For its trainer: the claim is watched, metrics.jsonl written, and a signal becomes a checkpoint."""
        metrics = MetricsFile(self.folder / "metrics.jsonl", self.resumed)
        return [ClaimWatch(self.claim), metrics, self.preemption]

    def read_data(self) -> RunData:
        """The rows of the recipe. Raises UserError if they, or the settings, are not those of the run that is resumed."""
        data = read_data(self.recipe.data, self.recipe.training.seed, self.folder / "run")
        check_same_run(self.resumed, self.settings, data.account, PartialState().num_processes)
        return data

    def check_rewards(self, suite: RewardSuite, prompts: Sequence[Example]) -> PreflightReport | None:
        """Grade answers whose reward is known, and stop before a run that would be rewarded for nothing, or for anything.

        Returns:
            The report, for `train`; None on other processes, or where the recipe asks for none.

        Raises:
            UserError: as `PreflightReport.require`.
        """
        rewards = self.recipe.rewards
        if not rewards.preflight_samples or not PartialState().is_main_process:
            return None
        report = preflight(suite, prompts, limit=rewards.preflight_samples, seed=self.recipe.training.seed)
        Console().print(report.table())
        report.require(rewards.max_ungraded_fraction)
        return report

    def train(
        self,
        trainer: Any,
        data: RunData,
        guard: ForgettingGuard | None = None,
        checked: PreflightReport | None = None,
    ) -> None:
        """Record the run, train, save, and score its guard sets before and after.

        Args:
            trainer: with `callbacks`.
            data: of `read_data`, with what became of its rows.
            guard: sets that must not be forgotten; None for none.
            checked: of `check_rewards`.

        Raises:
            Preempted: if a signal asked the run to stop; it has saved.
        """
        is_main = PartialState().is_main_process
        if is_main:
            self.check_claim()
            write_records(self.folder / "run", self.settings, data.account)
            if checked is not None:
                write_json(self.folder / "run" / "preflight.json", checked.to_dict())
            for line in (*summary_of(trainer.model, data), *warnings_of(data, self.recipe.training)):
                print(line)
        if guard is not None:
            trainer.call_with_model(guard.before)
        trainer.train(resume_from_checkpoint=self.resumed)
        self.preemption.raise_if_asked(self.folder, trainer.state.global_step)
        trainer.save_model(str(self.folder))
        trainer.save_state()
        if guard is not None:
            report = trainer.call_interruptibly(guard.after)
            if is_main:
                Console().print(report_guard(report, self.folder / "run"))

    def publish(self, max_new_tokens: int) -> None:
        """Say where the run is saved, and push it where the recipe asks for that.

        Args:
            max_new_tokens: longest answer when the export is compared with the run.
        """
        if not PartialState().is_main_process:
            return
        print(f"saved {self.folder}; score it: hrm-align evaluate --model {self.folder} --data HELD_OUT_ROWS")
        if self.push is not None:
            self.push.publish(self.folder, max_new_tokens)

    def check_claim(self) -> None:
        """Raise RunError if another run has taken the folder over."""
        if self.claim is not None:
            self.claim.check()


def read_data(data: DataArguments, seed: int, quarantine: Path) -> RunData:
    """Read every row, strictly; hold out what the recipe says.

    Args:
        data: the recipe's keys.
        seed: chooses rows where a share of them is asked for.
        quarantine: folder that gets the malformed rows, `quarantine_train.jsonl` and so on.

    Raises:
        UserError: as `load_examples`.
    """
    account: dict[str, Any] = {}

    def read(specs: Sequence[DatasetSpec], name: str) -> list[Example]:
        examples, counts = load_examples(
            specs,
            default_condition=data.condition,
            seed=seed,
            max_bad_fraction=data.max_bad_fraction,
            quarantine=quarantine / f"quarantine_{name}.jsonl",
        )
        account[name] = counts.to_dict()
        return examples

    train = read(data.specs(), "train")
    if data.eval_datasets:
        held_out = read(data.eval_specs(), "eval")
    else:
        train, held_out = split_by_content(train, data.eval_fraction)
    if data.replay_datasets:
        train += drawn(read(data.replay_specs(), "replay"), data.replay_fraction, len(train), seed)
        account["replay"]["share"] = data.replay_fraction
    guard = {spec.path: read([spec], f"guard_{number}") for number, spec in enumerate(data.guard_specs(), start=1)}
    return RunData(train, held_out, guard, account)


def warnings_of(run: RunData, args: TrainingArguments) -> list[str]:
    """What is to be said of the held-out rows: that nothing looks at them, or that they are learnt as well."""
    said = []
    if run.held_out and args.eval_strategy == "no" and not args.eval_on_start:
        said.append(f"{len(run.held_out)} held-out documents are never looked at: set --eval_strategy.")
    learnt = {*map(_text_of, run.train)}
    both = sum(_text_of(example) in learnt for example in run.held_out)
    if both:
        said.append(f"{both} of {len(run.held_out)} held-out documents are trained on too: their scores say little.")
    return said


def _text_of(example: Example) -> tuple[str, ...]:
    return (*(f"{message.role}: {message.content}" for message in example.messages), example.reference)


def summary_of(model: Any, data: RunData) -> list[str]:
    """What is trained, and on how much, for people."""
    lines = [parameters_told(model) or "all parameters are trained"]
    for name, part in data.account.items():
        if "kept" in part:
            lines.append(f"{name}: {part['kept']} kept, dropped: {part['dropped']['by_reason'] or 'none'}")
    return lines


@contextmanager
def open_run(recipe: Any) -> Iterator[Run]:
    """Claim `output_dir`, before anything is read for the run or written there, until the run ends in whatever way.

    Then the batch is settled (`auto_batch`), the seed set and the trackers started.

    Args:
        recipe: as parsed; its training has `output_dir`, `resume_from_checkpoint`, `preemption_dir` and `preemption_signal`.

    Raises:
        UserError: on the main process, if another run has the folder, if it holds what may not be written over, or if there
            is no such checkpoint. The other processes exit with the same code and say nothing.
        RunError: the same, if the checkpoint of a preempted run cannot be copied.
        Preempted: if a signal came when only the scores of the guard sets were missing.
    """
    args = recipe.training
    state, folder, asked = PartialState(), Path(str(args.output_dir)), args.resume_from_checkpoint
    preemption = Preemption(args.preemption_signal)
    follow_launcher()
    with ExitStack() as closing:
        closing.enter_context(results_only())  # a run's result is its folder: what it says goes to standard error
        claim, resumed, refusal = None, None, None
        if state.is_main_process:
            try:
                claim = closing.enter_context(claimed(folder, patient=asked == AUTO))
                closing.enter_context(_released_by_signals(claim))
                resumed = checkpoint_to_resume(asked, folder, args.preemption_dir)
                check_folder(folder, resumed, started_again=asked == AUTO)
                (folder / "run" / PREEMPTED).unlink(missing_ok=True)  # what it told is settled
            except (UserError, RunError) as error:
                refusal = error
        token = claim.owner.token if claim is not None else ""
        code = 0 if refusal is None else 2 if isinstance(refusal, UserError) else 1
        resumed, token, code = broadcast_object_list([resumed, token, code])
        if not code and (apart := _machines_apart(folder, token)):
            code = 2
            refusal = UserError(
                f"--output_dir {folder} is not one folder: {some(apart)} cannot see what {socket.gethostname()} writes there. "
                "Give the path of a file system that all machines share."
            )
        if code:
            state.wait_for_everyone()  # none may leave while another still waits for its answer
            if refusal is not None and state.is_main_process:
                raise refusal
            sys.exit(code)
        try:
            with preemption:
                if getattr(args, "auto_batch", False):
                    _settle_batch(recipe, resumed)
                settings, push = resolved(recipe), FinalPush.requested(args)
                set_seed(args.seed)
                prepare_trackers(args.report_to, folder)
                yield Run(recipe, settings, push, folder, resumed, claim, preemption)
        except Interrupted as stop:
            raise Preempted(f"{folder} is saved, but for the scores of its guard sets after training.") from stop


def _settle_batch(recipe: Any, resumed: Path | None) -> None:
    config = load_config(str(recipe.model.model_name_or_path), recipe.model.model_revision)
    decided = settle_batch(recipe, config, resumed)
    if PartialState().is_main_process:
        print(decided)


def _machines_apart(folder: Path, token: str) -> list[str]:
    """The names of the machines on which the main process's claim is not to be seen, the same on every process."""
    if int(os.environ.get("LOCAL_WORLD_SIZE", PartialState().num_processes)) >= PartialState().num_processes:
        return []
    end = time.monotonic() + SEEN_WITHIN
    while not (is_seen := sees_claim(folder / "run", token)) and time.monotonic() < end:
        time.sleep(0.2)
    return sorted({host for host, seen in gather_object([(socket.gethostname(), is_seen)]) if not seen})


@contextmanager
def _released_by_signals(claim: Claim) -> Iterator[None]:
    """Let signals that end this process at once, as SIGTERM does outside of training, remove the claim first."""

    def end(number: int, frame: FrameType | None) -> None:
        claim.release()  # does nothing in a forked worker
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    taken = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            if signal.getsignal(number) is end:
                signal.signal(number, signal.SIG_DFL)
