"""Checkpoints that a kill, a full disk or a flipped bit cannot turn into a silent loss: a mixin over TRL's trainers."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from accelerate.utils import broadcast_object_list
from peft import PeftModel
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, Trainer
from transformers.trainer import TRAINER_STATE_NAME
from transformers.utils import SAFE_WEIGHTS_NAME
from transformers.utils import logging as transformers_logging

from hrm_align.errors import Interrupted, RunError, UserError
from hrm_align.models.adapter_record import write_record
from hrm_align.models.adapters import WEIGHTS, Adapter, check_tensors, fill_adapter
from hrm_align.models.loading import load_config
from hrm_align.models.sharding import all_finite, gather, reshard
from hrm_align.models.weight_files import is_plain, load_weights, save_weights
from hrm_align.run_folder import EMA_FOLDER, STAGING, note_preempted
from hrm_align.trainers.callbacks import Preemption
from hrm_align.trainers.checkpoints import (
    SEALED,
    checkpoints_in,
    publish,
    publish_files,
    publish_sealed,
    rotate,
    seal,
    stage_of,
)
from hrm_align.trainers.fully_sharded import load_sharded, save_sharded
from hrm_align.trainers.resume import checkpoint_to_resume

logger = logging.getLogger(__name__)

_Base: Any = Trainer if TYPE_CHECKING else object

Result = TypeVar("Result")

_WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)  # what torch and safetensors make of a full disk


@contextmanager
def _silent_bar() -> Iterator[None]:
    """Without Transformers' bar over the shards it writes, of which there are none."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


class SafeCheckpoints(_Base):
    """Saves aside, verifies on resume, and loads everything that was saved.

    Raises:
        UserError: a checkpoint to resume from that is missing, not whole, or of another tokenizer.
        RunError: weights that are no finite numbers, or a disk without room.
    """

    control: Any  # Transformers' TrainerControl
    _staging: Path | None = None

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train; `resume_from_checkpoint` is a folder, or `latest` for the newest whole checkpoint.

        A `Path` is taken as one that `checkpoint_to_resume` has verified.
        """
        if not isinstance(resume_from_checkpoint, Path):
            resume_from_checkpoint = checkpoint_to_resume(resume_from_checkpoint, self._run_dir)
        if not resume_from_checkpoint:
            return super().train(None, *args, **kwargs)
        begun = json.loads((resume_from_checkpoint / "trainer_state.json").read_text())["global_step"]
        result = super().train(str(resume_from_checkpoint), *args, **kwargs)
        if self.state.global_step == begun:
            logger.warning("%s is at the last step, %d: nothing was left to train. To go on, raise max_steps or "
                           "num_train_epochs.", resume_from_checkpoint, begun)  # fmt: skip
        return result

    @property
    def _run_dir(self) -> Path:
        return Path(str(self.args.output_dir))

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or super()._get_output_dir(trial))

    # Saving -------------------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        final = self._run_dir / f"checkpoint-{self.state.global_step}"
        stage = self._own_disk(final) if self._is_preempted else None
        with self._written_aside(final, resumable=True, stage=stage) as staged:
            super()._save_checkpoint(model, trial)
            self._name_best(final)  # on every process: all of them load it at the end
            if self.args.should_save:
                self._save_stabilisers(staged)
                self.state.save_to_json(str(staged / TRAINER_STATE_NAME))
        if self.args.should_save:
            if self._is_preempted:
                note_preempted(self._run_dir, self.state.global_step, None)
            best = self.state.best_model_checkpoint
            rotate(self._run_dir, self.args.save_total_limit, final, Path(best) if best else None)

    @property
    def _preemption(self) -> Preemption | None:
        return next((one for one in self.callback_handler.callbacks if isinstance(one, Preemption)), None)

    @property
    def _is_preempted(self) -> bool:
        return self._preemption is not None and self._preemption.agreed

    def interruptible(self, model: nn.Module) -> AbstractContextManager[None]:
        """A context for work that a preempted run does not finish: `Preemption.interruptible`, or nothing without it."""
        return nullcontext() if self._preemption is None else self._preemption.interruptible(model)

    def call_interruptibly(self, function: Callable[[Any], Result]) -> Result:
        """`call_with_model`, for work that a preempted run does not finish."""

        def call(model: Any) -> Result:
            with self.interruptible(model):
                return function(model)

        result: Result = self.call_with_model(call)
        return result

    def _own_disk(self, final: Path) -> Path | None:
        """A folder on this machine's own disk to save into first; None where the run's folder has to do.

        That is where the processes have no disk in common, where there is no room, or where the folder is refused.
        """
        if int(os.environ.get("LOCAL_WORLD_SIZE", self.args.world_size)) < self.args.world_size:
            return None
        stage = None
        try:
            found = stage_of(self._run_dir, self.args.preemption_dir)
            stage = found if shutil.disk_usage(found).free > self._bytes_needed(resumable=True) else None
        except OSError as error:
            logger.warning("%s is saved in the run's folder at once: %s", final.name, error)
        chosen: Path | None = broadcast_object_list([stage])[0]  # the main process's choice: all write into one folder
        return chosen

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Train; work that a signal has interrupted between two steps is not finished before the checkpoint."""
        try:
            return super()._inner_training_loop(*args, **kwargs)
        except Interrupted:
            if self.state.global_step > 0:
                self._save_checkpoint(self.model, trial=None)
                self.control = self.callback_handler.on_save(self.args, self.state, self.control)
            self.control = self.callback_handler.on_train_end(self.args, self.state, self.control)
            return None

    def _evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        try:
            return cast(dict[str, float], super()._evaluate(*args, **kwargs))
        except Interrupted:
            if self.state.global_step == 0:
                raise
            self.control.should_save = self.control.should_training_stop = True
            return {}

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        if (
            not metrics and self._is_preempted
        ):  # the evaluation was interrupted; `save_strategy: best` saves where this is true
            return True
        return bool(super()._determine_best_metric(metrics, trial))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the trained weights, and the averaged ones in `ema/`, so that every file is whole or absent."""
        if _internal_call:  # part of a checkpoint, already written aside
            self._save_weights(output_dir)
            return
        target = Path(output_dir or self._run_dir)
        with self._written_aside(None) as staged:
            self._save_weights(str(staged))
            if self.args.should_save:
                target.mkdir(parents=True, exist_ok=True)
                publish_files(staged, target)
        if self.average is not None:
            with self.average.applied(), self._written_aside(target / EMA_FOLDER) as staged:
                self._save_weights(str(staged))

    def _save_weights(self, output_dir: str | None) -> None:
        if self.is_fsdp_enabled:
            self._save(output_dir, gather(self._saved_tensors(), keep=self.args.should_save))
        else:
            super().save_model(output_dir, _internal_call=True)

    def _saved_tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds, by the modules' names: all weights, or those of an adapter."""
        state = self.model.state_dict()
        if not isinstance(self.model, PeftModel):
            return state
        trained = {name for name, weight in self.model.named_parameters() if weight.requires_grad}
        return {name: tensor for name, tensor in state.items() if name in trained}

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: TRL's card shows a quickstart that runs the prompt causally."""

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        bare = self.accelerator.unwrap_model(self.model)
        # Transformers would fuse all weights in memory, which holds the model twice then.
        whole = state_dict if self.is_fsdp_enabled else None
        has_all = state_dict is None or whole is not None
        streamed = has_all and output_dir is not None and not self.is_deepspeed_enabled and is_plain(bare)
        with _silent_bar() if streamed else nullcontext():
            super()._save(output_dir, {} if streamed else state_dict)
        if streamed and self.args.should_save:
            save_weights(bare.state_dict() if whole is None else whole, Path(str(output_dir)) / SAFE_WEIGHTS_NAME)
        # Every process comes here, and Transformers makes the folder on the one that saves.
        if self.args.should_save and isinstance(bare, PeftModel) and output_dir is not None:
            write_record(bare, Path(output_dir))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        computed = torch.serialization.get_crc32_options()
        torch.serialization.set_crc32_options(False)  # takes as long as the writing, and the manifest has a SHA-256
        try:
            if self.is_fsdp_enabled:
                save_sharded(self.optimizer, self.lr_scheduler, Path(output_dir), keep=self.args.should_save)
            else:
                super()._save_optimizer_and_scheduler(output_dir)
        finally:
            torch.serialization.set_crc32_options(computed)

    @contextmanager
    def _written_aside(self, final: Path | None, resumable: bool = False, stage: Path | None = None) -> Iterator[Path]:
        """A folder to write into; afterwards, on the main process, it is published as `final`.

        With `stage`, the folder lies there and is sealed before anything of it is written into the run's folder.
        """
        if self.is_fsdp_enabled:
            reshard(self.model)
        self._check_finite()
        staging = stage or self._run_dir / STAGING
        staged = staging / (final.name if final else "final")
        needed = self._bytes_needed(resumable)
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed while it saved
            self._check_room(needed)
            staging.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        self._staging = staging
        try:
            yield staged
            self.accelerator.wait_for_everyone()
            if final is not None and self.args.should_save:
                if stage is None:
                    publish(staged, final)
                else:
                    self._publish_preempted(staged)
        except _WRITE_ERRORS as error:
            if shutil.disk_usage(self._run_dir).free >= needed:
                raise
            if stage is None:
                shutil.rmtree(staging, ignore_errors=True)
            self._check_room(needed)
            raise RunError(
                f"cannot write {needed:,} bytes to {self._run_dir}: {error}. {self._last_checkpoint()}"
            ) from error
        finally:
            self._staging = None
            if self.args.should_save and not (staged / SEALED).exists():  # sealed: the next start publishes it
                shutil.rmtree(staging, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def _publish_preempted(self, staged: Path) -> None:
        """Record where the checkpoint is, seal it, and publish it: a kill may come at any moment."""
        note_preempted(self._run_dir, self.state.global_step, staged)  # without which the next start does not take it
        seal(staged)
        publish_sealed(staged, self._run_dir)

    def _save_stabilisers(self, staged: Path) -> None:
        if self.args.include_num_input_tokens_seen == "no":  # else Transformers counts in its own way
            # TRL keeps no count of its own: that of a resumed run began at zero.
            self.state.num_input_tokens_seen = max(self.state.num_input_tokens_seen, self._total_train_tokens)
        if self.average is not None:
            self.average.save(staged)
        if self.health is not None:
            self.health.save(staged)

    def _name_best(self, final: Path) -> None:
        """Name the best checkpoint where it will stand: Transformers has looked for it in the staging folder."""
        best = self._run_dir / f"checkpoint-{self.state.best_global_step}"
        if best == final or best.is_dir():  # else the best step was not saved, and the best that was stays
            self.state.best_model_checkpoint = str(best)

    def _check_finite(self) -> None:
        finite = all_finite(weight for weight in self.model.parameters() if weight.requires_grad)
        if self.is_fsdp_enabled:  # each process has looked at its own slices
            finite = bool(self.accelerator.gather(torch.tensor([finite], device=self.accelerator.device)).all())
        if not finite:
            raise RunError(
                f"after step {self.state.global_step} the weights hold numbers that are not finite; nothing was saved. "
                f"{self._last_checkpoint()} Go on from there with a lower --learning_rate."
            )

    def _bytes_needed(self, resumable: bool) -> int:
        """Of the saved weights alone, or of a checkpoint to resume from; a little is added for the small files."""
        bare = self.accelerator.unwrap_model(self.model)
        of_base = not isinstance(bare, PeftModel)  # an adapter is saved without it
        tensors = [weight for weight in bare.parameters() if weight.requires_grad or of_base]
        if resumable:
            tensors += self.average.average.values() if self.average is not None else ()
            states = self.optimizer.state.values() if self.optimizer is not None else ()
            tensors += [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
        total = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return total + total // 100 + (1 << 20)

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self._run_dir).free
        if free < needed:
            raise RunError(
                f"no room to save in {self._run_dir}: a checkpoint takes {needed:,} bytes and {free:,} are free. "
                f"{self._last_checkpoint()} Make room, or lower --save_total_limit, and go on with "
                "--resume_from_checkpoint latest."
            )

    def _last_checkpoint(self) -> str:
        found = checkpoints_in(self._run_dir)
        return f"{found[0]} is untouched." if found else "There was no checkpoint before."

    # Resuming -----------------------------------------------------------------------------------------------------

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._check_tokenizer(Path(resume_from_checkpoint))
        # Saved weights have fused keys. The stock code loads them with strict=False into split ones: 14 of 19 tensors
        # silently stay as they were (transformers #48805).
        folder, bare = Path(resume_from_checkpoint), self.accelerator.unwrap_model(model or self.model)
        if self.is_fsdp_enabled:
            reshard(bare)
        if not (folder / "config.json").exists():
            if isinstance(bare, PeftModel) and (folder / WEIGHTS).is_file():
                check_tensors(bare, bare.active_adapters[0], Adapter(folder, {}, {}))
            if isinstance(bare, PeftModel) and self.is_fsdp_enabled:
                fill_adapter(bare, folder)
            else:
                super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        load_config(resume_from_checkpoint)
        load_weights(bare, folder)

    def _check_tokenizer(self, checkpoint: Path) -> None:
        """Refuse a tokenizer that has changed since: the rows would be other ids, and the run another run, in silence."""
        file, tokenizer = checkpoint / "tokenizer.json", self.processing_class
        if not (file.is_file() and isinstance(tokenizer, PreTrainedTokenizerFast)):
            return
        saved, ours = file.read_text(encoding="utf-8"), tokenizer.backend_tokenizer.to_str()
        if json.loads(saved)["model"] != json.loads(ours)["model"]:
            raise UserError(
                f"{checkpoint} was trained with another tokenizer than this run has loaded: the base model's files have "
                f"changed since. Go on with --tokenizer_name_or_path {checkpoint}."
            )

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not self.is_fsdp_enabled:
            super()._load_optimizer_and_scheduler(checkpoint)
        else:
            load_sharded(self.optimizer, self.lr_scheduler, Path(checkpoint))
        if checkpoint is None:
            return
        if self.average is not None:
            self.average.load(Path(checkpoint))
        if self.health is not None:
            self.health.load(Path(checkpoint))
        if self.args.include_num_input_tokens_seen == "no":
            self._total_train_tokens = self.state.num_input_tokens_seen

    def _load_best_model(self) -> None:
        best = str(self.state.best_model_checkpoint)
        self._load_from_checkpoint(best)
        if self.average is not None:
            self.average.load(Path(best))

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # A run that was stopped behind its last step: the stock loop looks at the step count only after one more.
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate, drawing nothing from the random state of training.

        A checkpoint at an epoch's end may be written before the evaluation of that epoch, whose data loader draws a
        seed: dropout behind it differed in the resumed run.
        """
        with torch.random.fork_rng(devices=[]):
            return super().evaluate(*args, **kwargs)
