"""Write files and folders atomically: write to a temporary name, flush to disk, rename.

After a kill at any moment, the path holds either the old content or the complete new content.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hrm_align.errors import UserError

CLAIM = "claim.json"  # lock file in `output_dir/run`, which a run writes at its start and removes at its end


@contextmanager
def new_folder(target: Path, needed: int) -> Iterator[Path]:
    """Yield a temporary folder to write into; at the end flush it and rename it to `target`.

    Args:
        target: path of the new folder; it must not exist, or be an empty folder.
        needed: bytes that will be written, compared with the free space.

    Raises:
        UserError: if the target is not empty, or cannot be written.
    """
    target = target.expanduser().absolute()
    check_new(target)
    partial = target.with_name(f".{target.name}.partial")  # leftovers of a killed process are deleted
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        check_space(partial, needed)
        yield partial
        flush_tree(partial)
        os.replace(partial, target)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror or error}): choose another folder.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_new(target: Path) -> None:
    """Refuse a path that exists, unless it is an empty folder. Raises UserError."""
    target = target.expanduser()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{target} already exists, and nothing is overwritten: choose a new folder.")


def replace_file(path: Path, write: Callable[[BinaryIO], object], keep: bool = True) -> None:
    """Write a file atomically; the old file is kept as `<name>.bak`.

    Args:
        path: path of the file.
        write: function that writes the content into a file opened for binary writing.
        keep: whether to keep the old file as a backup.

    Raises:
        OSError: if writing fails; the old file is unchanged then.
    """
    partial = path.with_name(f".{path.name}.partial")  # leftovers of a killed process are overwritten
    try:
        with partial.open("wb") as file:
            write(file)
        flush(partial)
        if path.exists():
            shutil.copymode(path, partial)
            if keep:
                _back_up(path)
        os.replace(partial, path)
        flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def replace_json(path: Path, document: dict[str, Any], keep: bool = True) -> None:
    """Write a JSON document with `replace_file`, indented as Transformers writes it."""
    replace_text(path, json_text(document), keep)


def replace_text(path: Path, text: str, keep: bool = True) -> None:
    """Write a text with `replace_file`, in UTF-8."""
    replace_file(path, lambda file: file.write(text.encode()), keep)


def json_text(document: dict[str, Any]) -> str:
    """Return a JSON document as the text that `replace_json` writes."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def is_partial(name: str) -> bool:
    """Return whether a file of this name is a temporary file that a killed `replace_file` has left behind."""
    return name.startswith(".") and name.endswith(".partial")


def _back_up(path: Path) -> None:
    """Hard-link the file to a backup name, or copy it if the file system has no hard links."""
    backup = free_backup(path)
    try:
        os.link(path, backup)
    except OSError:
        copy = path.with_name(f".{backup.name}.partial")
        shutil.copy2(path, copy)
        copy.rename(backup)


def free_backup(path: Path) -> Path:
    """Return the first of `<name>.bak`, `<name>.bak.1`, ... that does not exist: no backup is ever overwritten."""
    names = itertools.chain([f"{path.name}.bak"], (f"{path.name}.bak.{n}" for n in itertools.count(1)))
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


def check_space(folder: Path, needed: int) -> None:
    """Raise UserError if a folder's disk has less than `needed` bytes (and 64 MiB) free."""
    free = shutil.disk_usage(folder).free
    if free < needed + (1 << 26):
        raise UserError(
            f"{folder} needs {needed / 1e9:.1f} GB of free space and has {free / 1e9:.1f}: free some space, or choose a folder "
            "on another disk."
        )


def flush(path: Path) -> None:
    """Flush a file or folder to disk (fsync)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_tree(folder: Path) -> None:
    """Flush a folder and all files below it to disk (fsync)."""
    for path in [*folder.rglob("*"), folder]:
        flush(path)
