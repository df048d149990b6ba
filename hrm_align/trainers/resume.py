"""Which checkpoint a run goes on from."""

from __future__ import annotations

from pathlib import Path

from transformers.trainer_utils import get_last_checkpoint

from hrm_align.errors import UserError

NEWEST = ("latest", "true", "True")  # `true` is what Transformers' users write


def checkpoint_to_resume(asked: str | bool | None, output_dir: Path) -> Path | None:
    """The folder that `--resume_from_checkpoint` means.

    Args:
        asked: a checkpoint's folder, `latest` (or `true`) for the newest one in `output_dir`, or nothing.
        output_dir: of the run.

    Raises:
        UserError: if there is no such checkpoint.
    """
    if not asked:
        return None
    if str(asked) not in NEWEST:
        folder = Path(str(asked))
        if not (folder / "trainer_state.json").is_file():
            raise UserError(
                f"--resume_from_checkpoint {asked} is no checkpoint (it holds no trainer_state.json): name a "
                "checkpoint-N folder, or `latest` for the newest one in --output_dir."
            )
        return folder
    found = get_last_checkpoint(str(output_dir)) if output_dir.is_dir() else None
    if found is None:
        raise UserError(
            f"--resume_from_checkpoint {asked}: {output_dir} holds no checkpoint-N folder. Start without it, or name "
            "the run's own --output_dir."
        )
    return Path(found)
