"""Trainer mixin for safe checkpoints: saved atomically, verified on resume, restored completely."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from peft import PeftModel
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers.trainer import TRAINER_STATE_NAME, TRAINING_ARGS_NAME
from transformers.utils import SAFE_WEIGHTS_NAME
from transformers.utils import logging as transformers_logging

from hrm_align import progress
from hrm_align.errors import RunError
from hrm_align.models.adapter_record import write_record
from hrm_align.models.adapters import WEIGHTS, Adapter, check_tensors, fill_adapter
from hrm_align.models.loading import load_config
from hrm_align.models.sharding import all_finite, gather, reshard
from hrm_align.models.weight_files import is_plain, load_weights, save_weights
from hrm_align.run_folder import EMA_FOLDER, STAGING, write_preempted_record
from hrm_align.trainers.checkpoints import (
    SEALED,
    checkpoints_in,
    make_local_stage,
    publish,
    publish_files,
    publish_sealed,
    rotate,
    seal,
)
from hrm_align.trainers.fully_sharded import load_sharded, save_sharded
from hrm_align.trainers.preemption import Preemptible
from hrm_align.trainers.resume import checkpoint_to_resume
from hrm_align.trainers.same_run import check_checkpoint

logger = logging.getLogger(__name__)

_WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)  # what torch and safetensors raise on a full disk


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Hide Transformers' progress bar over weight shards, which `save_weights` does not write."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


class SafeCheckpoints(Preemptible):
    """Mixin that saves checkpoints atomically, verifies them on resume, and restores everything they hold.

    Raises:
        UserError: if the checkpoint to resume from is missing or damaged, or does not fit this run (`check_checkpoint`).
        RunError: if weights are not finite, or the disk is full.
    """

    _staging: Path | None = None

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train; `resume_from_checkpoint` is a folder, or `latest` for the newest intact checkpoint.

        A `Path` is not verified again: it comes from `checkpoint_to_resume`.
        """
        if not isinstance(resume_from_checkpoint, Path):
            resume_from_checkpoint = checkpoint_to_resume(resume_from_checkpoint, self._run_dir)
        if not resume_from_checkpoint:
            return super().train(None, *args, **kwargs)
        self._newest = resume_from_checkpoint.resolve()
        bare = self.accelerator.unwrap_model(self.model)
        check_checkpoint(resume_from_checkpoint, bare, self.processing_class, self.args.ema_decay)
        start = json.loads((resume_from_checkpoint / "trainer_state.json").read_text())["global_step"]
        result = super().train(str(resume_from_checkpoint), *args, **kwargs)
        if self.state.global_step == start:
            logger.warning("%s is at the last step, %d, so nothing was trained. To train further, raise max_steps or "
                           "num_train_epochs.", resume_from_checkpoint, start)  # fmt: skip
        return result

    @property
    def _run_dir(self) -> Path:
        return Path(str(self.args.output_dir))

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or super()._get_output_dir(trial))

    # Saving -------------------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        final = self._checkpoint
        stage = self._find_local_stage(final) if self._is_preempted else None
        with progress.stage(f"saving {final.name}"), self._stage_folder(final, True, stage) as staged:
            super()._save_checkpoint(model, trial)
            self._name_best(final)  # on every process, because every process loads the best model at the end
            if self.args.should_save:
                self._save_stabilisers(staged)
                self.state.save_to_json(str(staged / TRAINER_STATE_NAME))
        self._after_save()
        if self.args.should_save:
            best = self.state.best_model_checkpoint
            rotate(self._run_dir, self.args.save_total_limit, final, Path(best) if best else None)

    def _find_local_stage(self, final: Path) -> Path | None:
        """Return a folder on this machine's own disk to save into first; None to save into output_dir directly.

        None if the processes run on several machines, if the disk is too full, or if the folder cannot be used.
        """
        if int(os.environ.get("LOCAL_WORLD_SIZE", self.args.world_size)) < self.args.world_size:
            return None
        stage = None
        try:
            folder = make_local_stage(self._run_dir, self.args.preemption_dir)
            stage = folder if shutil.disk_usage(folder).free > self._bytes_needed(resumable=True) else None
        except OSError as error:
            logger.warning("%s is saved directly into --output_dir, which may take longer than the scheduler waits: %s. Set "
                           "--preemption_dir to a folder on a local disk.", final.name, error)  # fmt: skip
        chosen: Path | None = broadcast_object_list([stage])[0]  # the main process decides: all write into one folder
        return chosen

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the trained weights, and the averaged weights in `ema/`, each file atomically."""
        if _internal_call:  # part of a checkpoint, inside `_stage_folder`
            self._save_weights(output_dir)
            return
        target = Path(output_dir or self._run_dir)
        with self._stage_folder(None) as staged:
            self._save_weights(str(staged))
            if self.args.should_save:
                target.mkdir(parents=True, exist_ok=True)
                publish_files(staged, target)
        if self.average is not None:
            with self.average.applied(), self._stage_folder(target / EMA_FOLDER) as staged:
                self._save_weights(str(staged))

    def _save_weights(self, output_dir: str | None) -> None:
        if self.is_fsdp_enabled:
            self._save(output_dir, gather(self._saved_tensors(), keep=self.args.should_save))
        else:
            super().save_model(output_dir, _internal_call=True)

    def _saved_tensors(self) -> dict[str, Tensor]:
        """Return the tensors of a checkpoint by their module names: all weights, or only the adapter's."""
        state = self.model.state_dict()
        if not isinstance(self.model, PeftModel):
            return state
        trained = {name for name, weight in self.model.named_parameters() if weight.requires_grad}
        return {name: tensor for name, tensor in state.items() if name in trained}

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the quickstart of TRL's model card would apply a causal mask to the prompt."""

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        bare = self.accelerator.unwrap_model(self.model)
        # Transformers would fuse all weights in memory, which doubles the memory of the model.
        whole = state_dict if self.is_fsdp_enabled else None
        has_all = state_dict is None or whole is not None
        streamed = has_all and output_dir is not None and not self.is_deepspeed_enabled and is_plain(bare)
        with _no_progress_bar() if streamed else nullcontext():
            super()._save(output_dir, {} if streamed else state_dict)
        if self.args.should_save and output_dir is not None:
            (Path(output_dir) / TRAINING_ARGS_NAME).unlink(
                missing_ok=True
            )  # a pickle; run/resolved.yaml has the settings
        if streamed and self.args.should_save:
            save_weights(bare.state_dict() if whole is None else whole, Path(str(output_dir)) / SAFE_WEIGHTS_NAME)
        # Every process calls this; Transformers creates the folder only on the process that saves.
        if self.args.should_save and isinstance(bare, PeftModel) and output_dir is not None:
            write_record(bare, Path(output_dir))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        crc32 = torch.serialization.get_crc32_options()
        torch.serialization.set_crc32_options(False)  # as slow as writing, and the manifest has a SHA-256
        try:
            if self.is_fsdp_enabled:
                save_sharded(self.optimizer, self.lr_scheduler, Path(output_dir), keep=self.args.should_save)
            else:
                super()._save_optimizer_and_scheduler(output_dir)
        finally:
            torch.serialization.set_crc32_options(crc32)

    @contextmanager
    def _stage_folder(self, final: Path | None, resumable: bool = False, stage: Path | None = None) -> Iterator[Path]:
        """Yield a temporary folder to write into; afterwards the main process publishes it as `final`.

        With `stage`, the temporary folder is in there, and it is sealed before it is copied to output_dir.
        """
        if self.is_fsdp_enabled:
            reshard(self.model)
        self._check_finite()
        staging = stage or self._run_dir / STAGING
        staged = staging / (final.name if final else "final")
        needed = self._bytes_needed(resumable)
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)  # leftovers of a run that was killed while it saved
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
            if self.args.should_save and not (staged / SEALED).exists():  # the next start publishes a sealed folder
                shutil.rmtree(staging, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def _publish_preempted(self, staged: Path) -> None:
        """Record where the checkpoint is, seal it, and publish it, in this order, because a kill may come at any moment."""
        write_preempted_record(self._run_dir, self.state.global_step, staged)  # the next start looks for nothing else
        seal(staged)
        publish_sealed(staged, self._run_dir)

    def _save_stabilisers(self, staged: Path) -> None:
        if self.args.include_num_input_tokens_seen == "no":  # otherwise Transformers counts in its own way
            # TRL does not save its token count, which would start at zero in a resumed run.
            self.state.num_input_tokens_seen = max(self.state.num_input_tokens_seen, self._total_train_tokens)
        if self.average is not None:
            self.average.save(staged)
        if self.health is not None:
            self.health.save(staged)

    def _name_best(self, final: Path) -> None:
        """Set the path of the best checkpoint in output_dir: Transformers has set the path in the staging folder."""
        best = self._run_dir / f"checkpoint-{self.state.best_global_step}"
        if best == final or best.is_dir():  # otherwise the best step was not saved: keep the previous best
            self.state.best_model_checkpoint = str(best)

    def _check_finite(self) -> None:
        finite = all_finite(weight for weight in self.model.parameters() if weight.requires_grad)
        if self.is_fsdp_enabled:  # each process has checked its own shards
            finite = bool(self.accelerator.gather(torch.tensor([finite], device=self.accelerator.device)).all())
        if not finite:
            raise RunError(
                f"after step {self.state.global_step} some weights are not finite; nothing was saved. "
                f"{self._last_checkpoint()} Start a new run with its weights as --model_name_or_path and a lower --learning_rate."
            )

    def _bytes_needed(self, resumable: bool) -> int:
        """Return the bytes of the saved weights, or of a checkpoint to resume from; 1 % and 1 MiB for small files."""
        bare = self.accelerator.unwrap_model(self.model)
        has_base = not isinstance(bare, PeftModel)  # an adapter is saved without its base
        tensors = [weight for weight in bare.parameters() if weight.requires_grad or has_base]
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
                f"{self._last_checkpoint()} Free some disk space, or lower --save_total_limit, and resume with "
                "--resume_from_checkpoint latest."
            )

    def _last_checkpoint(self) -> str:
        saved = checkpoints_in(self._run_dir)
        return f"{saved[0]} is untouched." if saved else "No checkpoint was saved before."

    # Resuming -----------------------------------------------------------------------------------------------------

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        # Saved weights have fused keys. The stock code loads them with strict=False into split modules, which silently
        # leaves 14 of 19 tensors unchanged (transformers #48805).
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
        if self._is_preempted:  # it is loaded at the end of the resumed run
            return
        best = str(self.state.best_model_checkpoint)
        self._load_from_checkpoint(best)
        if self.average is not None:
            self.average.load(Path(best))

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # A run stopped after its last step: the stock loop would train one more step before it compares the step count.
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **kwargs)
