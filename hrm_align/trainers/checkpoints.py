"""Checkpoint folders that are whole or absent: written aside, hashed, flushed to disk, renamed.

A checkpoint is written into `.saving/checkpoint-N`. When every file is there, `manifest.json` lists each with its bytes
and SHA-256, all of it is flushed, and one rename makes it `checkpoint-N`. A kill at any moment leaves either the old
state or the new; what a disk has damaged since, `check_whole` finds before a run goes on from it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

from hrm_align._version import __version__

MANIFEST = "manifest.json"
STAGING = ".saving"
_NAME = re.compile(r"checkpoint-(\d+)")
_BLOCK = 1 << 20


def checkpoints_in(output_dir: Path) -> list[Path]:
    """The `checkpoint-N` folders of a run, the newest (largest N) first."""
    found = [(int(m[1]), path) for path in output_dir.glob("checkpoint-*") if (m := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def write_manifest(folder: Path) -> None:
    """List every file below a folder with its size in bytes and SHA-256."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    listed = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in files
    }
    content = {"hrm_align": __version__, "files": listed}
    (folder / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def check_whole(folder: Path) -> str | None:
    """What is wrong with a checkpoint, in words, or None if every listed file is as it was written."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in files.items()}
    except FileNotFoundError:
        return f"it has no {MANIFEST}: it was never finished, or not written by hrm_align"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"its {MANIFEST} is damaged"
    for name, (size, digest) in expected.items():
        path = folder / name
        try:
            if path.stat().st_size != size:
                return f"{name} has {path.stat().st_size} bytes instead of {size}"
            if _sha256(path) != digest:
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
    write_manifest(staged)
    flush(staged)
    replaced = staged.with_name(f"{staged.name}.replaced")
    if final.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        final.rename(replaced)
    staged.rename(final)
    _flush_one(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def publish_files(staged: Path, into: Path) -> None:
    """Move the files of a finished folder into another, each by one rename, `config.json` last.

    A folder without `config.json` is no checkpoint to anyone, so a kill in the middle leaves nothing half-new to load
    where there was nothing before.
    """
    flush(staged)
    for path in sorted(staged.iterdir(), key=lambda path: path.name == "config.json"):
        path.replace(into / path.name)
    _flush_one(into)


def rotate(output_dir: Path, limit: int | None, keep: Path | None = None) -> None:
    """Delete the oldest checkpoints until `limit` are left; the newest and `keep` always stay."""
    if not limit or limit < 0:
        return
    found = checkpoints_in(output_dir)
    kept = {path.resolve() for path in (*found[:1], *([keep] if keep else []))}
    spare = [path for path in found if path.resolve() not in kept]
    for path in spare[max(0, limit - len(kept)) :]:
        # Renamed first: a kill in the middle of a deletion must not leave half a checkpoint under its name.
        doomed = output_dir / STAGING / f"{path.name}.deleted"
        doomed.parent.mkdir(exist_ok=True)
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def flush(folder: Path) -> None:
    """Make the operating system write a folder and all files below it to disk."""
    for path in [*folder.rglob("*"), folder]:
        _flush_one(path)


def _flush_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
