"""Checkpoint folders that are whole or absent: written aside, hashed, flushed to disk, renamed.

A checkpoint is written into `.saving/checkpoint-N`. When every file is there, `manifest.json` lists each with its bytes
and SHA-256, all of it is flushed, and one rename makes it `checkpoint-N`. A kill at any moment leaves either the old
state or the new; what a disk has damaged since, `check_whole` finds before a run goes on from it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hrm_align._version import __version__
from hrm_align.durable_files import flush, flush_tree

MANIFEST = "manifest.json"
STAGING = ".saving"
_REPLACED = ".replaced"
_NAME = re.compile(r"checkpoint-(\d+)")
_BLOCK = 1 << 22  # bytes hashed at a time, during which other threads run
_FILES_AT_A_TIME = 4


def checkpoints_in(output_dir: Path) -> list[Path]:
    """The `checkpoint-N` folders of a run, the newest (largest N) first."""
    return sorted((p for p in output_dir.glob("checkpoint-*") if _NAME.fullmatch(p.name)), key=_step, reverse=True)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def write_manifest(folder: Path) -> None:
    """List every file below a folder with its size in bytes and SHA-256."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    with _hashed(files) as digests:
        listed = {
            path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digests[path].result()}
            for path in files
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
    flush(staged / MANIFEST)
    flush(staged)
    replaced = staged.with_name(f"{staged.name}{_REPLACED}")
    if final.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        final.rename(replaced)
    staged.rename(final)
    flush(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


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
    spare.sort(key=lambda path: _step(path) > _step(saved))  # stable: the newest stay first
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
