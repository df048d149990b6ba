"""`push_to_hub` of a training recipe: one checked export at the end of the run, instead of what the trainer would upload."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import get_token

from hrm_align.files import free_backup
from hrm_align.errors import RunError, UserError
from hrm_align.export.hub import check_repo_id

logger = logging.getLogger(__name__)

EXPORT_FOLDER = "export"  # in the run's folder


@dataclass(frozen=True)
class FinalPush:
    """Where a run is to be published when it has ended."""

    repo_id: str
    private: bool

    @classmethod
    def requested(cls, args: Any) -> FinalPush | None:
        """Take `push_to_hub` out of the trainer's hands, which would upload pickled settings and optimizer states.

        Args:
            args: of the trainer; `push_to_hub` is False afterwards.

        Returns:
            What to do at the end; None if nothing is asked.

        Raises:
            UserError: for what could not be done when the run has ended: no name, or no token.
        """
        if not args.push_to_hub:
            return None
        args.push_to_hub = False
        if not args.hub_model_id:
            raise UserError("push_to_hub needs hub_model_id: OWNER/NAME, the repository to publish in.")
        if get_token() is None:
            raise UserError("push_to_hub finds no token: run `hf auth login`, or set HF_TOKEN; or leave it out.")
        return cls(check_repo_id(args.hub_model_id, "hub_model_id"), bool(args.hub_private_repo))

    def publish(self, run: Path, max_new_tokens: int) -> None:
        """Export the run into its folder, and push it. A failure is told with the remedy and does not fail the run.

        Args:
            run: output_dir of the run, which has ended.
            max_new_tokens: longest answer when the export is asked.
        """
        from hrm_align.export.pipeline import ExportOptions, export
        from hrm_align.export.hub import push

        folder = run / EXPORT_FOLDER
        try:
            if folder.exists():  # of the run before it was resumed
                folder.rename(free_backup(folder))
            export(ExportOptions(str(run), folder, max_new_tokens=max_new_tokens, name=self.repo_id))
            print(f"published: {push(folder, self.repo_id, self.private)}")
        except (UserError, RunError) as error:
            logger.warning("the run is saved in %s, but it was not published: %s", run, error)
        except Exception:  # out of memory, say: whatever it is, the run has ended well
            logger.exception("the run is saved in %s, but it was not published; try `hrm-align export %s`", run, run)
