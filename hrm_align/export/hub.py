"""Upload an exported folder to the Hub in one commit, or show what would be uploaded, without a network or a token.

Pushes are atomic: after an interruption the repository holds either the old or the new version. The setting `push_to_hub` of a
recipe replaces the trainer's own uploads by one checked export at the end of the run.
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

from hrm_align.errors import Interrupted, RunError, Terminated, UserError
from hrm_align.export.card import named_card, rename_card
from hrm_align.export.folder import CARD, PUBLICATION, digests, is_allowed, require_clean
from hrm_align.export.parity import ParityReport
from hrm_align.files import free_backup, is_partial
from hrm_align.models.loading import TINY
from hrm_align.signals import call_in_thread

# The base class of all errors of the HTTP library that the Hub client uses (requests or httpx).
_HTTPError: type[Exception] = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")

logger = logging.getLogger(__name__)

WAITS = (1, 4, 15)  # seconds before each retry
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
_REASONS = {
    401: "your token is missing, wrong or expired. Run `hf auth login`, or set HF_TOKEN",
    403: "your token has no write access. Use a token with write access to this owner's repositories",
    404: "the owner or repository does not exist, or your token has no access to it. Check the name and the token",
    409: "the repository is in a conflicting state. Check the repository on the Hub",
    412: "somebody else changed the repository during the push. Check what changed, and push again",
    413: "a file is larger than the Hub accepts. Export with a smaller --max_shard_size",
}


def check_repo_id(name: str, option: str = "--push") -> str:
    """Return the name of a repository unchanged, after checking it.

    Args:
        name: `OWNER/NAME`.
        option: the option or setting to name in the error.

    Raises:
        UserError: if the name is not a valid `OWNER/NAME`.
    """
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UserError(f"invalid value for {option}: {name!r} ({error}). Use OWNER/NAME.") from None
    if name.count("/") != 1:
        raise UserError(f"invalid value for {option}: {name!r} has no owner. Use OWNER/NAME.")
    return name


def check_export(folder: Path, forced: bool = False) -> dict[str, Any]:
    """Check that an exported folder is unchanged and may be published, and return its record (export.json).

    Args:
        folder: exported folder.
        forced: accept a folder that does not reproduce its run's answers.

    Raises:
        UserError: if the folder is not an export, was changed after the export, contains a secret or a file that may not be
            published, or does not reproduce its run's answers and `forced` is not set.
    """
    try:
        record = dict(json.loads((folder / PUBLICATION).read_text(encoding="utf-8")))
        parity, recorded_digests = ParityReport.of(record["parity"]), record["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{folder} is not an exported folder, or its {PUBLICATION} is damaged. Export the run again."
        ) from None
    unexpected = [
        path.name
        for path in folder.iterdir()
        if not (path.is_file() and not path.is_symlink() and (is_allowed(path.name) or is_partial(path.name)))
    ]
    if unexpected:
        raise UserError(
            f"{folder} contains files that are not part of an export: {', '.join(sorted(unexpected)[:5])}. Export the run again."
        )
    if digests(folder) != recorded_digests:
        raise UserError(f"the weights in {folder} were changed after the export. Export the run again.")
    if not parity.is_same and not forced:
        raise UserError(
            f"{folder} does not reproduce the answers of its run. Export with another --dtype, or push with --force parity."
        )
    require_clean(folder)
    return record


@dataclass(frozen=True)
class Pushed:
    """A finished push: the URL of its commit, and whether the repository is private."""

    url: str
    private: bool

    @property
    def visibility(self) -> str:
        """Visibility of the repository, in a word."""
        return "private" if self.private else "public"


def check_push(folder: Path, repo_id: str, forced: bool = False) -> None:
    """Check what can be known about a push without the Hub. The arguments and errors are those of `push`."""
    check_repo_id(repo_id)
    record = check_export(folder, forced)
    if record.get("form") == "adapter" and record.get("base_model") in (None, TINY):
        raise UserError(
            "the adapter cannot be used without its base, which is not on the Hub. Export the run with --merged."
        )


def describe_push(folder: Path, repo_id: str, private: bool | None, forced: bool = False) -> dict[str, Any]:
    """Check a folder as a push does, and return what the push would upload. Nothing is changed.

    Args:
        folder: exported folder.
        repo_id: `OWNER/NAME`.
        private: as in `push`.
        forced: as in `push`.

    Returns:
        `repository`, `files` (bytes by name), `bytes`, `visibility`, `token` (whether one was found) and `card` (its text).

    Raises:
        UserError: as `push`, for what can be known without the Hub.
    """
    check_push(folder, repo_id, forced)
    changed = {name: text.encode() for name, text in named_card(folder, repo_id).items()}
    names = sorted(path.name for path in folder.iterdir() if is_allowed(path.name))
    sizes = {name: len(changed[name]) if name in changed else (folder / name).stat().st_size for name in names}
    return {
        "repository": repo_id,
        "files": sizes,
        "bytes": sum(sizes.values()),
        "visibility": "public" if private is False else "private",
        "token": get_token() is not None,
        "card": changed[CARD].decode() if CARD in changed else (folder / CARD).read_text(encoding="utf-8"),
    }


def format_push(plan: dict[str, Any]) -> list[str]:
    """Return the lines that show a plan of `describe_push`."""
    width = max(len(name) for name in plan["files"])
    lines = [f"  {name:{width}}  {size:>13,} bytes" for name, size in plan["files"].items()]
    return [
        f"dry run: nothing is uploaded; a push would commit these files to {plan['repository']}:",
        *lines,
        f"  {len(plan['files'])} files, {plan['bytes']:,} bytes",
        f"visibility: {plan['visibility']} if the push makes the repository; an existing repository keeps its visibility (a dry run does not "
        "ask the Hub)",
        *(
            []
            if plan["token"]
            else ["token: none was found, and the push needs one: run `hf auth login`, or set HF_TOKEN"]
        ),
        f"card ({CARD}):",
        plan["card"],
    ]


def push(folder: Path, repo_id: str, private: bool | None = None, forced: bool = False) -> Pushed:
    """Upload an exported folder in one commit, which also deletes the files of an earlier export that the folder lacks.

    Temporary failures are retried; files that were uploaded before a connection broke are not sent again. The token comes
    from the Hub client.

    Args:
        folder: exported folder; its card is changed to load `repo_id`.
        repo_id: `OWNER/NAME`; the repository is created if it does not exist, and keeps its visibility if it does.
        private: None to create a private repository; True to also refuse an existing public repository; False to create a public one.
        forced: push a folder that does not reproduce its run's answers.

    Returns:
        The commit, and the visibility of the repository.

    Raises:
        UserError: as `check_export`; also for an invalid name, a missing token or permission, or a public repository.
        RunError: if the Hub cannot be reached or refuses the push. The repository then holds its old or its new version.
    """
    check_push(folder, repo_id, forced)
    try:
        rename_card(folder, repo_id)
    except OSError as error:
        raise UserError(
            f"cannot write the name {repo_id} into {folder / CARD} ({error.strerror}). Copy the folder to a place where you may write."
        ) from None
    for wait in (*WAITS, None):
        try:
            return call_in_thread(_commit, HfApi(), folder, repo_id, private)
        except (KeyboardInterrupt, Interrupted, Terminated) as stop:
            stop.add_note(_describe_unpublished(folder, repo_id, f"{stop or 'Ctrl-C'} came before its end"))
            raise
        except LocalTokenNotFoundError:
            raise UserError(f"cannot push to {repo_id}: {_REASONS[401]}.") from None
        except OfflineModeIsEnabled:
            raise RunError(_describe_unpublished(folder, repo_id, "HF_HUB_OFFLINE is set")) from None
        except (_HTTPError, OSError, RuntimeError, ValueError) as error:
            # The client wraps an error during an upload in a RuntimeError, and raises ValueError for a card that the Hub refuses.
            wrapped = isinstance(error, RuntimeError) and isinstance(error.__cause__, _HTTPError)
            cause = error.__cause__ if wrapped else error
            assert cause is not None
            response = cause.response if isinstance(cause, HfHubHTTPError) else None
            reason = _describe_failure(cause, response)
            if response is not None and response.status_code in (401, 403, 404):
                raise UserError(f"cannot push to {repo_id}: {reason}.") from None
            # A JSONDecodeError is a garbled response, which may succeed when retried.
            is_invalid = isinstance(cause, ValueError) and not isinstance(cause, json.JSONDecodeError)
            is_permanent = is_invalid or (response is not None and response.status_code not in _TEMPORARY)
            if wait is None or is_permanent:
                raise RunError(_describe_unpublished(folder, repo_id, reason)) from None
            wait = _choose_wait(response, wait)
        logger.warning(
            "the push to %s failed: %s. It is retried in %d s; there is nothing to do.", repo_id, reason, wait
        )
        time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _describe_failure(error: BaseException, response: Any) -> str:
    """Return the cause of a failed push in words; `response` is the Hub's HTTP response, None if there was none."""
    if response is not None:
        return _REASONS.get(response.status_code, f"the Hub returned HTTP status {response.status_code}")
    if isinstance(error, ValueError):
        return f"the Hub client refuses the folder ({' '.join(str(error).split())[:200]})"
    return f"the Hub cannot be reached ({type(error).__name__})"


def _commit(api: HfApi, folder: Path, repo_id: str, private: bool | None) -> Pushed:
    """Create the repository if needed, and commit the folder's files."""
    api.whoami()  # fails for a missing token first; later calls would report a missing repository instead
    api.create_repo(repo_id, private=private is not False, exist_ok=True)  # no effect on a repository that exists
    info = api.model_info(repo_id)
    assert isinstance(info, ModelInfo)
    if private and not info.private:
        raise UserError(
            f"--private: the repository {repo_id} already exists and is public. Make it private on the Hub, or use another name."
        )
    names = sorted(path.name for path in folder.iterdir() if is_allowed(path.name))
    stale = [name for name in api.list_repo_files(repo_id, revision=info.sha) if is_allowed(name) and name not in names]
    commit = api.create_commit(
        repo_id,
        [
            *(CommitOperationAdd(name, str(folder / name)) for name in names),
            *(CommitOperationDelete(name) for name in stale),
        ],
        commit_message="Export by hrm_align",
        parent_commit=info.sha,  # the Hub refuses the commit if the repository has changed since
    )
    return Pushed(str(commit.commit_url), bool(info.private))


def _choose_wait(response: Any, wait: int) -> int:
    """Return the seconds to wait: the Hub's Retry-After header, at most 120, or else `wait`."""
    header = response.headers.get("retry-after", "") if response is not None else ""
    return min(int(header), 120) if header.isdecimal() else wait


def _describe_unpublished(folder: Path, repo_id: str, reason: str) -> str:
    """Return the error message of a push that failed for good."""
    return (
        f"the push to {repo_id} failed: {reason}. The repository holds either its old or the new version. The exported folder "
        f"remains in {folder}; push again with `hrm-align export {folder} --push {repo_id}`."
    )


EXPORT_FOLDER = "export"  # name of the folder, below the output_dir of the run


@dataclass(frozen=True)
class FinalPush:
    """The repository to which a run is pushed when it has ended."""

    repo_id: str
    private: bool | None  # as in `push`

    @classmethod
    def requested(cls, args: Any) -> FinalPush | None:
        """Read `push_to_hub` and turn it off in the trainer, which would upload pickled settings and optimizer states.

        Args:
            args: settings of the trainer; `push_to_hub` is False afterwards.

        Returns:
            The push to do at the end of the run; None if no push is requested.

        Raises:
            UserError: if `hub_model_id` or the Hub token is missing, so that the push would fail at the end of the run.
        """
        if not args.push_to_hub:
            return None
        args.push_to_hub = False
        if not args.hub_model_id:
            raise UserError(
                "hub_model_id is missing, and push_to_hub needs it. Set hub_model_id to the repository, OWNER/NAME."
            )
        if get_token() is None:
            raise UserError(
                "push_to_hub needs a Hub token, and none was found. Run `hf auth login`, set HF_TOKEN, or leave push_to_hub out."
            )
        return cls(check_repo_id(args.hub_model_id, "hub_model_id"), args.hub_private_repo)

    def publish(self, run: Path, max_new_tokens: int) -> None:
        """Export a finished run into its own folder and push the export. A failure is logged and does not fail the run.

        Args:
            run: output_dir of the run.
            max_new_tokens: longest answer, in tokens, when the run and the export are compared.
        """
        from hrm_align.export.pipeline import ExportOptions, export

        folder = run / EXPORT_FOLDER
        try:
            if folder.exists():  # an export from before the run was resumed
                folder.rename(free_backup(folder))
            export(ExportOptions(str(run), folder, max_new_tokens=max_new_tokens, push=self.repo_id))
            pushed = push(folder, self.repo_id, self.private)
            print(f"published in the {pushed.visibility} repository {self.repo_id}: {pushed.url}")
        except (UserError, RunError) as error:
            logger.warning("the run was not published: %s The run itself is saved in %s.", error, run)
        except Exception:  # such as out of memory; the training itself has succeeded
            logger.exception(
                "the run was not published. The run itself is saved in %s; export it again with `hrm-align export %s --to DIR`.",
                run,
                run,
            )
