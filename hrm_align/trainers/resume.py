"""Which checkpoint a run goes on from: a whole one, or an error; never a damaged one in silence."""

from __future__ import annotations

import logging
from pathlib import Path

from hrm_align.errors import UserError
from hrm_align.trainers.checkpoints import check_whole, checkpoints_in, restore_replaced

logger = logging.getLogger(__name__)

AUTO = "auto"
NEWEST = ("latest", "true", "True")  # `true` is what Transformers' users write
# Without one of these a run would go on, but as another run: Transformers drops an optimizer without a word.
_NEEDED = ("trainer_state.json", "optimizer.pt", "scheduler.pt")


def checkpoint_to_resume(asked: str | bool | None, output_dir: Path) -> Path | None:
    """The folder that `--resume_from_checkpoint` means, verified against its manifest.

    Args:
        asked: a checkpoint's folder, `latest` (or `true`) for the newest whole one in `output_dir`, `auto` for that or, where
            there is no checkpoint at all, a start; or nothing.
        output_dir: of the run.

    Raises:
        UserError: if there is no such checkpoint, or the one asked for is not whole.
    """
    if not asked:
        return None
    restore_replaced(output_dir)
    if asked == AUTO and not checkpoints_in(output_dir):
        return None
    if asked == AUTO or str(asked) in NEWEST:
        return _newest_whole(output_dir, str(asked))
    folder = Path(str(asked))
    if not folder.is_dir():
        raise UserError(
            f"--resume_from_checkpoint {asked} is no checkpoint: name a checkpoint-N folder, or `latest` for the newest "
            "whole one in --output_dir."
        )
    if fault := _fault(folder):
        raise UserError(
            f"--resume_from_checkpoint {asked} cannot be resumed: {fault}. Name an older checkpoint, or `latest` for the "
            "newest whole one; to start anew from its weights, give it as --model_name_or_path."
        )
    return folder


def _newest_whole(output_dir: Path, asked: str) -> Path:
    faults = []
    for folder in checkpoints_in(output_dir):
        fault = _fault(folder)
        if fault is None:
            return folder
        faults.append(f"{folder.name}: {fault}")
        logger.warning("%s is passed over: %s", folder, fault)
    if faults:
        raise UserError(
            f"--resume_from_checkpoint {asked}: no checkpoint in {output_dir} is whole ({'; '.join(faults)})."
        )
    raise UserError(
        f"--resume_from_checkpoint {asked}: {output_dir} holds no checkpoint-N folder. Start without it, or with "
        "`auto`, which begins where there is none; or name the run's own --output_dir."
    )


def _fault(folder: Path) -> str | None:
    fault = check_whole(folder)
    if fault is None and (missing := [name for name in _NEEDED if not (folder / name).is_file()]):
        fault = f"it holds no {missing[0]}"
        if missing[0] != _NEEDED[0]:
            fault += " (was it saved with --save_only_model?)"
    return fault
