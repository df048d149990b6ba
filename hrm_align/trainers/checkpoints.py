"""Atomic checkpoint folders: write to a temporary folder, hash, flush to disk, rename.

A checkpoint is written into `.saving/checkpoint-N`. Then `manifest.json` lists every file with its size and SHA-256, everything is
flushed, and one rename makes it `checkpoint-N`. A kill at any moment leaves either the old state or the new; `find_damage` detects
files that were damaged on disk later.

A preempted run has only seconds. It writes its checkpoint to this machine's own disk (`make_local_stage`), and `seal` lists the files with
their sizes. `publish_sealed` then copies, hashes and publishes the checkpoint, in the same process or at the next start.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hrm_align._version import __version__
from hrm_align.files import flush, flush_tree, replace_json
from hrm_align.run_folder import STAGING

MANIFEST = "manifest.json"
SEALED = "sealed.json"
_REPLACED = ".replaced"
_NAME = re.compile(r"checkpoint-(\d+)")
_BLOCK = 1 << 22  # bytes hashed at a time; other threads run meanwhile
_FILES_AT_A_TIME = 4


def checkpoints_in(output_dir: Path) -> list[Path]:
    """Return the `checkpoint-N` folders of a run, the newest (largest N) first."""
    return sorted(
        (p for p in output_dir.glob("checkpoint-*") if _NAME.fullmatch(p.name)), key=checkpoint_step, reverse=True
    )


def checkpoint_step(checkpoint: Path) -> int:
    """Return the optimizer step of a `checkpoint-N` folder."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def write_manifest(folder: Path) -> None:
    """Write manifest.json: every file below a folder with its size in bytes and its SHA-256."""
    files = _files_below(folder)
    with _start_hashing(files) as digests:
        _write_digests(folder, {path: digests[path].result() for path in files})


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (MANIFEST, SEALED))


def _write_digests(folder: Path, digests: Mapping[Path, str]) -> None:
    listed = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digest}
        for path, digest in digests.items()
    }
    (folder / MANIFEST).write_text(_manifest(__version__, listed), encoding="utf-8")


def _manifest(version: str, files: dict[str, Any]) -> str:
    """Return the text of a manifest; it ends with a digest of itself, so that damage to the manifest is detected too."""
    content = {"hrm_align": version, "files": files}
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return json.dumps({**content, "sha256": digest}, indent=1) + "\n"


def find_damage(folder: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None if every listed file is as it was written."""
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        content = json.loads(text)
        expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in content["files"].items()}
        if text != _manifest(content["hrm_align"], content["files"]):
            raise ValueError
    except FileNotFoundError:
        return f"it has no {MANIFEST}: it was never finished, or not written by hrm_align"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"its {MANIFEST} is damaged"
    paths = {name: folder / name for name in expected}
    try:
        for name, path in paths.items():  # compare all sizes first, which is fast
            if path.stat().st_size != expected[name][0]:
                return f"{name} has {path.stat().st_size} bytes instead of {expected[name][0]}"
        with _start_hashing(paths.values()) as digests:
            for name, path in paths.items():
                if digests[path].result() != expected[name][1]:
                    return f"{name} is not what was written (its SHA-256 differs)"
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"
    return None


def publish(staged: Path, final: Path) -> None:
    """Publish a complete folder under its final name: manifest, flush, rename.

    Args:
        staged: the complete folder, on the same file system.
        final: the final path; a damaged folder there is replaced, and deleted afterwards.
    """
    with ThreadPoolExecutor(1) as pool:
        flushed = pool.submit(flush_tree, staged)  # flush while hashing
        write_manifest(staged)
        flushed.result()
    _rename_to(staged, final)


def _rename_to(staged: Path, final: Path) -> None:
    """Rename a complete folder to its final name; a damaged folder with that name is deleted afterwards."""
    flush(staged / MANIFEST)
    flush(staged)
    replaced = staged.with_name(f"{staged.name}{_REPLACED}")
    if final.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        final.rename(replaced)
    staged.rename(final)
    flush(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def make_local_stage(output_dir: Path, preemption_dir: str | Path | None = None) -> Path:
    """Return the folder on this machine's own disk for checkpoints of a preempted run; create it if needed.

    Args:
        output_dir: output_dir of the run.
        preemption_dir: parent of such folders; by default the temporary folder (`TMPDIR`).

    Raises:
        OSError: if the folder cannot be created, or belongs to another user, who could plant a checkpoint there.
    """
    folder = Path(preemption_dir or tempfile.gettempdir()) / _stage_name(output_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_stage(folder, output_dir):
        raise OSError(errno.EPERM, "the folder is writable by other users, or not this user's", str(folder))
    return folder


def _stage_name(output_dir: Path) -> str:
    return f"hrm_align-{os.getuid()}-{hashlib.sha256(str(output_dir.resolve()).encode()).hexdigest()[:16]}"


def is_stage(folder: Path, output_dir: Path) -> bool:
    """Return whether `make_local_stage` created this folder for the run, so that no other user can have written into it."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
    return is_own and folder.name == _stage_name(output_dir)


def seal(folder: Path) -> None:
    """Flush a checkpoint and list its files with their sizes; from then on any process can publish it."""
    flush_tree(folder)
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files_below(folder)}
    replace_json(folder / SEALED, {"hrm_align": __version__, "bytes": sizes}, keep=False)


def newest_sealed(folders: Iterable[Path]) -> Path | None:
    """Return the complete sealed checkpoint of the latest step in these folders; None if there is none."""
    sealed = [path for folder in folders if folder.is_dir() for path in checkpoints_in(folder) if _is_sealed(path)]
    return max(sealed, key=checkpoint_step, default=None)


def _is_sealed(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / SEALED).read_text(encoding="utf-8"))["bytes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def publish_sealed(sealed: Path, output_dir: Path) -> Path:
    """Move a sealed checkpoint into a run's folder.

    Renames it on the same file system as `output_dir`, otherwise copies it. Can be repeated after a kill at any moment.

    Returns:
        The folder of the published checkpoint.

    Raises:
        OSError: if writing fails; the sealed checkpoint is untouched then.
    """
    staged, final = output_dir / STAGING / sealed.name, output_dir / sealed.name
    staged.parent.mkdir(parents=True, exist_ok=True)
    if sealed.resolve() != staged.resolve():
        shutil.rmtree(staged, ignore_errors=True)  # an unfinished copy
        if sealed.stat().st_dev == staged.parent.stat().st_dev:
            sealed.rename(staged)
        else:
            _write_digests(staged, {staged / name: digest for name, digest in _copy_files(sealed, staged)})
            flush_tree(staged)
            _rename_to(staged, final)
            shutil.rmtree(sealed, ignore_errors=True)
            return final
    publish(staged, final)
    (final / SEALED).unlink()  # last: a kill during hashing must leave the checkpoint sealed
    return final


def _copy_files(folder: Path, into: Path) -> Iterator[tuple[str, str]]:
    """Copy every file below a folder; yield the relative path and the SHA-256 of each."""
    for path in _files_below(folder):
        name = path.relative_to(folder)
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        yield name.as_posix(), copy_file(path, into / name)


def copy_file(source: Path, target: Path) -> str:
    """Copy a file and flush it to disk. Returns the SHA-256 of the copied bytes."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while block := reader.read(_BLOCK):
            digest.update(block)
            writer.write(block)
    flush(target)
    return digest.hexdigest()


def restore_replaced(output_dir: Path) -> None:
    """Restore a checkpoint that was being replaced, if a kill came between the two renames of the replacement."""
    for path in (output_dir / STAGING).glob(f"checkpoint-*{_REPLACED}"):
        final = output_dir / path.name.removesuffix(_REPLACED)
        if not final.exists():
            with suppress(OSError):  # another process of the run may have restored it already
                path.rename(final)


def publish_files(staged: Path, into: Path) -> None:
    """Move the files of a complete folder into another, one rename each, the config last.

    A folder without `config.json` (or `adapter_config.json`) is not loaded as a checkpoint, so a kill halfway leaves nothing
    that loads with missing files.
    """
    flush_tree(staged)
    for path in sorted(staged.iterdir(), key=lambda path: path.name in ("config.json", "adapter_config.json")):
        path.replace(into / path.name)
    flush(into)


def rotate(output_dir: Path, limit: int | None, saved: Path, best: Path | None = None) -> None:
    """Delete checkpoints until `limit` are left; `saved`, the newest one, and `best` are never deleted.

    Checkpoints of later steps than `saved` are deleted first: the run has resumed from before them. Then the oldest.
    """
    if not limit or limit < 0:
        return
    protected = {path.resolve() for path in (saved, *([best] if best else []))}
    spare = [path for path in checkpoints_in(output_dir) if path.resolve() not in protected]
    spare.sort(key=lambda path: checkpoint_step(path) > checkpoint_step(saved))  # stable sort: newer ones stay first
    for path in spare[max(0, limit - len(protected)) :]:
        # Renamed first: a kill during the deletion must not leave half a checkpoint under its name.
        doomed = output_dir / STAGING / f"{path.name}.deleted"
        doomed.parent.mkdir(exist_ok=True)
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


@contextmanager
def _start_hashing(paths: Iterable[Path]) -> Iterator[dict[Path, Future[str]]]:
    """Yield futures of the SHA-256 of files, several at a time; at the end hashes that were not started are cancelled."""
    pool = ThreadPoolExecutor(_FILES_AT_A_TIME)
    try:
        yield {path: pool.submit(_sha256, path) for path in paths}
    finally:
        pool.shutdown(cancel_futures=True)


def _sha256(path: Path) -> str:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()
