"""Upload an exported folder to the Hub: one commit, whole or not at all.

`push_to_hub` of a training recipe is one checked export at the end of the run, instead of the trainer's own uploads.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelInfo, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from hrm_align.errors import RunError, UserError
from hrm_align.export.card import rename_card
from hrm_align.export.folder import CARD, PUBLICATION, digests, is_allowed, require_clean
from hrm_align.export.parity import ParityReport
from hrm_align.files import free_backup, is_partial
from hrm_align.models.loading import TINY

# What every error of the client's own HTTP library is, whichever that is.
_HTTPError: type[Exception] = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")

logger = logging.getLogger(__name__)

WAITS = (1, 4, 15)  # seconds before another try
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_REASONS = {
    401: "your token is missing, wrong or has expired: run `hf auth login`, or set HF_TOKEN",
    403: "your token may not write there: use one with write access to this owner's repositories",
    404: "there is no such owner or repository, or your token may not see it",
    409: "a repository of this name is in another state: look at it on the Hub",
    412: "somebody else has just written to it: look at what changed, and push again",
    413: "a file is larger than the Hub takes: export with a smaller --max_shard_size",
}


def check_repo_id(name: str, option: str = "--push") -> str:
    """The name, if it is one that the Hub takes.

    Raises:
        UserError: for anything but `OWNER/NAME`.
    """
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UserError(f"{option} {name!r} is no name of a repository ({error}): write OWNER/NAME.") from None
    if name.count("/") != 1:
        raise UserError(f"{option} {name!r} names no owner: write OWNER/NAME.")
    return name


def check_export(folder: Path, forced: bool = False) -> dict[str, Any]:
    """The record of an exported folder that is still what was proven.

    Raises:
        UserError: for a folder that is no export, has changed since, holds what must not leave, or answers otherwise than its
            run and is not forced.
    """
    try:
        record = dict(json.loads((folder / PUBLICATION).read_text(encoding="utf-8")))
        parity, proven = ParityReport.of(record["parity"]), record["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{folder} is no exported folder, or its {PUBLICATION} is damaged: export again.") from None
    strange = [
        path.name
        for path in folder.iterdir()
        if not (path.is_file() and not path.is_symlink() and (is_allowed(path.name) or is_partial(path.name)))
    ]
    if strange:
        raise UserError(
            f"{folder} holds {', '.join(sorted(strange)[:5])}, which is no part of an export: export again."
        )
    if digests(folder) != proven:
        raise UserError(f"the weights in {folder} are not those that were proven when it was exported: export again.")
    if not parity.is_same and not forced:
        raise UserError(f"{folder} does not answer as its run does: export in another --dtype, or say --force parity.")
    require_clean(folder)
    return record


def push(folder: Path, repo_id: str, private: bool = False, forced: bool = False) -> str:
    """Upload the folder as one commit; files of an earlier export that are no part of it are deleted in the same commit.

    What has been uploaded before a connection broke is not sent again. The token is the one that the Hub's own client finds.

    Args:
        folder: exported. Its card is made to load `repo_id`.
        repo_id: `OWNER/NAME`; made if it is not there.
        private: make it so; refused if it is there and public.
        forced: although it answers otherwise than its run.

    Returns:
        Address of the commit.

    Raises:
        UserError: as `check_export`; or for a name, token or right that is missing, or a repository that is public.
        RunError: if the Hub cannot be reached, or refuses; nothing half is published then, and the folder stays.
    """
    check_repo_id(repo_id)
    record = check_export(folder, forced)
    if record.get("form") == "adapter" and record.get("base_model") in (None, TINY):
        raise UserError("an adapter is of no use without its base, which is not on the Hub: export it with --merged.")
    try:
        rename_card(folder, repo_id)
    except OSError as error:
        raise UserError(
            f"{folder / CARD} cannot be made to name {repo_id} ({error.strerror}): copy the folder to where you may write."
        ) from None
    for wait in (*WAITS, None):
        try:
            return _commit(HfApi(), folder, repo_id, private)
        except LocalTokenNotFoundError:
            raise UserError(f"cannot push to {repo_id}: {_REASONS[401]}.") from None
        except OfflineModeIsEnabled:
            raise RunError(_unpublished(folder, repo_id, "HF_HUB_OFFLINE is set")) from None
        except (_HTTPError, OSError, RuntimeError, ValueError) as error:
            # The client wraps what breaks an upload in a RuntimeError; a card that the Hub refuses is a ValueError.
            wrapped = isinstance(error, RuntimeError) and isinstance(error.__cause__, _HTTPError)
            cause = error.__cause__ if wrapped else error
            assert cause is not None
            response = cause.response if isinstance(cause, HfHubHTTPError) else None
            why = _why(cause, response)
            if response is not None and response.status_code in (401, 403, 404):
                raise UserError(f"cannot push to {repo_id}: {why}.") from None
            refused = isinstance(cause, ValueError) and not isinstance(
                cause, json.JSONDecodeError
            )  # of a garbled answer
            lasting = refused or (response is not None and response.status_code not in _PASSING)
            if wait is None or lasting:
                raise RunError(_unpublished(folder, repo_id, why)) from None
            wait = _asked_wait(response, wait)
        logger.warning("push to %s: %s; again in %d s", repo_id, why, wait)
        time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _why(error: BaseException, response: Any) -> str:
    if response is not None:
        return _REASONS.get(response.status_code, f"the Hub answers {response.status_code}")
    if isinstance(error, ValueError):
        return f"the Hub's client refuses it ({' '.join(str(error).split())[:200]})"
    return f"the Hub cannot be reached ({type(error).__name__})"


def _commit(api: HfApi, folder: Path, repo_id: str, private: bool) -> str:
    api.whoami()  # so that a missing token is told as one, whatever the repository
    api.create_repo(repo_id, private=private or None, exist_ok=True)
    info = api.model_info(repo_id)
    assert isinstance(info, ModelInfo)
    if private and not info.private:
        raise UserError(f"{repo_id} is there already, and public: make it private on the Hub, or choose another name.")
    ours = sorted(path.name for path in folder.iterdir() if is_allowed(path.name))
    stale = [name for name in api.list_repo_files(repo_id, revision=info.sha) if is_allowed(name) and name not in ours]
    commit = api.create_commit(
        repo_id,
        [
            *(CommitOperationAdd(name, str(folder / name)) for name in ours),
            *(CommitOperationDelete(name) for name in stale),
        ],
        commit_message="Export by hrm_align",
        parent_commit=info.sha,  # what was looked at is what is replaced
    )
    return str(commit.commit_url)


def _asked_wait(response: Any, wait: int) -> int:
    asked = response.headers.get("retry-after", "") if response is not None else ""
    return min(int(asked), 120) if asked.isdecimal() else wait


def _unpublished(folder: Path, repo_id: str, reason: str) -> str:
    return (
        f"the push to {repo_id} did not end: {reason}. What is published there is whole, the earlier state or the new one. The "
        f"exported folder stays in {folder}; push again with `hrm-align export {folder} --push {repo_id}`."
    )


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
        """Export the run into its folder, and push it. A failure is reported with the remedy and does not fail the run.

        Args:
            run: output_dir of the run, which has ended.
            max_new_tokens: longest answer when the export is asked.
        """
        from hrm_align.export.pipeline import ExportOptions, export

        folder = run / EXPORT_FOLDER
        try:
            if folder.exists():  # of the run before it was resumed
                folder.rename(free_backup(folder))
            export(ExportOptions(str(run), folder, max_new_tokens=max_new_tokens, push=self.repo_id))
            print(f"published: {push(folder, self.repo_id, self.private)}")
        except (UserError, RunError) as error:
            logger.warning("the run is saved in %s, but it was not published: %s", run, error)
        except Exception:  # out of memory, say: whatever it is, the run has ended well
            logger.exception("the run is saved in %s, but it was not published; try `hrm-align export %s`", run, run)
