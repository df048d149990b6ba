"""Checkpoint folders that are whole or absent: written aside, hashed, flushed to disk, renamed.

A checkpoint is written into `.saving/checkpoint-N`. When every file is there, `manifest.json` lists each with its bytes
and SHA-256, all of it is flushed, and one rename makes it `checkpoint-N`. A kill at any moment leaves either the old
state or the new; what a disk has damaged since, `check_whole` finds before a run goes on from it.

A run that is preempted has seconds. It writes its checkpoint to this machine's own disk (`stage_of`), and `seal` lists the
files with their sizes: from there on `publish_sealed` can copy, hash and publish it, in this process or in the next one.
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
_BLOCK = 1 << 22  # bytes hashed at a time, during which other threads run
_FILES_AT_A_TIME = 4


def checkpoints_in(output_dir: Path) -> list[Path]:
    """The `checkpoint-N` folders of a run, the newest (largest N) first."""
    return sorted((p for p in output_dir.glob("checkpoint-*") if _NAME.fullmatch(p.name)), key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """The optimizer step of a `checkpoint-N` folder."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def write_manifest(folder: Path) -> None:
    """List every file below a folder with its size in bytes and SHA-256."""
    files = _files_below(folder)
    with _hashed(files) as digests:
        _list_files(folder, {path: digests[path].result() for path in files})


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (MANIFEST, SEALED))


def _list_files(folder: Path, digests: Mapping[Path, str]) -> None:
    listed = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digest}
        for path, digest in digests.items()
    }
    (folder / MANIFEST).write_text(_manifest(__version__, listed), encoding="utf-8")


def _manifest(version: str, files: dict[str, Any]) -> str:
    """The text of a manifest, which ends in a digest of itself: a bit that flips in it is found too."""
    content = {"hrm_align": version, "files": files}
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return json.dumps({**content, "sha256": digest}, indent=1) + "\n"


def check_whole(folder: Path) -> str | None:
    """What is wrong with a checkpoint, in words, or None if every listed file is as it was written."""
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
        for name, path in paths.items():  # all sizes first: they cost nothing
            if path.stat().st_size != expected[name][0]:
                return f"{name} has {path.stat().st_size} bytes instead of {expected[name][0]}"
        with _hashed(paths.values()) as digests:
            for name, path in paths.items():
                if digests[path].result() != expected[name][1]:
                    return f"{name} is not what was written (its SHA-256 differs)"
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"
    return None


def publish(staged: Path, final: Path) -> None:
    """Make a finished folder appear under its name: manifest, flush, rename.

    Args:
        staged: the folder as written, on the same file system.
        final: its name; what stands there now (a damaged one that is written again) goes once the new one is whole.
    """
    with ThreadPoolExecutor(1) as pool:
        flushed = pool.submit(flush_tree, staged)  # the disk writes what is being hashed
        write_manifest(staged)
        flushed.result()
    _take_name(staged, final)


def _take_name(staged: Path, final: Path) -> None:
    """Rename a whole folder; a damaged one that has the name goes afterwards."""
    flush(staged / MANIFEST)
    flush(staged)
    replaced = staged.with_name(f"{staged.name}{_REPLACED}")
    if final.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        final.rename(replaced)
    staged.rename(final)
    flush(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def stage_of(output_dir: Path, preemption_dir: str | Path | None = None) -> Path:
    """The folder on this machine's own disk for checkpoints of a run that is preempted.

    Args:
        output_dir: of the run.
        preemption_dir: where such folders stand; by default the temporary folder (`TMPDIR`).

    Raises:
        OSError: if it cannot be made, or belongs to another user: who could plant a checkpoint there.
    """
    folder = Path(preemption_dir or tempfile.gettempdir()) / _stage_name(output_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_stage(folder, output_dir):
        raise OSError(errno.EPERM, "it is not a folder of this user alone", str(folder))
    return folder


def _stage_name(output_dir: Path) -> str:
    return f"hrm_align-{os.getuid()}-{hashlib.sha256(str(output_dir.resolve()).encode()).hexdigest()[:16]}"


def is_stage(folder: Path, output_dir: Path) -> bool:
    """Whether this is a folder that `stage_of` has made for a run: nobody else can have written into it."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return is_own and folder.name == _stage_name(output_dir)


def seal(folder: Path) -> None:
    """Flush a checkpoint and list its files with their sizes: from here on it can be published by any process."""
    flush_tree(folder)
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files_below(folder)}
    replace_json(folder / SEALED, {"hrm_align": __version__, "bytes": sizes}, keep=False)


def newest_sealed(folders: Iterable[Path]) -> Path | None:
    """The sealed checkpoint of the latest step below some folders, if there is one with every file."""
    found = [path for folder in folders if folder.is_dir() for path in checkpoints_in(folder) if _is_sealed(path)]
    return max(found, key=step_of, default=None)


def _is_sealed(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / SEALED).read_text(encoding="utf-8"))["bytes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def publish_sealed(sealed: Path, output_dir: Path) -> Path:
    """Make a sealed checkpoint appear in a run's folder, and delete it where it was.

    On the file system of `output_dir` it is renamed, otherwise copied. May be done again after a kill at any moment.

    Returns:
        the checkpoint's folder.

    Raises:
        OSError: from the disk; the sealed checkpoint is untouched then.
    """
    staged, final = output_dir / STAGING / sealed.name, output_dir / sealed.name
    staged.parent.mkdir(parents=True, exist_ok=True)
    if sealed.resolve() != staged.resolve():
        shutil.rmtree(staged, ignore_errors=True)  # a copy that a kill has cut off
        if sealed.stat().st_dev == staged.parent.stat().st_dev:
            sealed.rename(staged)
        else:
            _list_files(staged, {staged / name: digest for name, digest in _copied(sealed, staged)})
            flush_tree(staged)
            _take_name(staged, final)
            shutil.rmtree(sealed, ignore_errors=True)
            return final
    publish(staged, final)
    (final / SEALED).unlink()  # not before: a kill while it is hashed must leave it sealed
    return final


def _copied(folder: Path, into: Path) -> Iterator[tuple[str, str]]:
    """Copy every file below a folder; yields the name of each, and its SHA-256."""
    for path in _files_below(folder):
        name = path.relative_to(folder)
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        yield name.as_posix(), copy_file(path, into / name)


def copy_file(source: Path, target: Path) -> str:
    """Copy a file to a disk. Returns the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while block := reader.read(_BLOCK):
            digest.update(block)
            writer.write(block)
    flush(target)
    return digest.hexdigest()


def restore_replaced(output_dir: Path) -> None:
    """Give a checkpoint its name back if a kill came between the two renames that replace it by a newer one."""
    for path in (output_dir / STAGING).glob(f"checkpoint-*{_REPLACED}"):
        final = output_dir / path.name.removesuffix(_REPLACED)
        if not final.exists():
            with suppress(OSError):  # another process of the run was quicker
                path.rename(final)


def publish_files(staged: Path, into: Path) -> None:
    """Move the files of a finished folder into another, each by one rename, the config last.

    A folder without `config.json` (an adapter's: `adapter_config.json`) is no checkpoint to anyone, so a kill in the
    middle leaves nothing half-new to load where there was nothing before.
    """
    flush_tree(staged)
    for path in sorted(staged.iterdir(), key=lambda path: path.name in ("config.json", "adapter_config.json")):
        path.replace(into / path.name)
    flush(into)


def rotate(output_dir: Path, limit: int | None, saved: Path, best: Path | None = None) -> None:
    """Delete checkpoints until `limit` are left; `saved`, the one just written, and `best` always stay.

    Those of later steps go first: the run has fallen back behind them, because they are damaged or not wanted. Then the
    oldest.
    """
    if not limit or limit < 0:
        return
    kept = {path.resolve() for path in (saved, *([best] if best else []))}
    spare = [path for path in checkpoints_in(output_dir) if path.resolve() not in kept]
    spare.sort(key=lambda path: step_of(path) > step_of(saved))  # stable: the newest stay first
    for path in spare[max(0, limit - len(kept)) :]:
        # Renamed first: a kill in the middle of a deletion must not leave half a checkpoint under its name.
        doomed = output_dir / STAGING / f"{path.name}.deleted"
        doomed.parent.mkdir(exist_ok=True)
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


@contextmanager
def _hashed(paths: Iterable[Path]) -> Iterator[dict[Path, Future[str]]]:
    """The SHA-256 of files, several at a time; what nobody waits for any more is not begun."""
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
