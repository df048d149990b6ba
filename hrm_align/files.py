"""Files and folders that are whole or absent: written aside, flushed to disk, renamed.

A kill at any moment leaves what was there before or what was to be there, never half of it under its name.
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


@contextmanager
def new_folder(target: Path, needed: int) -> Iterator[Path]:
    """A folder to write into that takes its name in one rename when all is written and flushed.

    Args:
        target: its name; nothing may stand there but an empty folder.
        needed: bytes that will be written, checked against the free space.

    Raises:
        UserError: if something is there, or it cannot be written.
    """
    target = target.expanduser().absolute()
    check_new(target)
    partial = target.with_name(f".{target.name}.partial")  # a killed run's is begun again
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        check_space(partial, needed)
        yield partial
        flush_tree(partial)
        os.replace(partial, target)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_new(target: Path) -> None:
    """Refuse a folder in which something stands. Raises UserError."""
    target = target.expanduser()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{target} is there already, and nothing is written over: name a new folder.")


def replace_file(path: Path, write: Callable[[BinaryIO], object], keep: bool = True) -> None:
    """Write a file aside, flush it, and rename it; what stood there is kept as `<name>.bak`.

    Args:
        path: its name.
        write: gets the file, open for writing bytes.
        keep: false to keep no such copy.

    Raises:
        OSError: if the disk refuses; what stood there is not lost then.
    """
    partial = path.with_name(f".{path.name}.partial")  # a killed run's is written over
    try:
        with partial.open("wb") as file:
            write(file)
        flush(partial)
        if path.exists():
            shutil.copymode(path, partial)
            if keep:
                _keep(path)
        os.replace(partial, path)
        flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def replace_json(path: Path, document: dict[str, Any], keep: bool = True) -> None:
    """The same for a JSON document, indented as Transformers writes it."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    replace_file(path, lambda file: file.write(text.encode()), keep)


def is_partial(name: str) -> bool:
    """Whether a file of this name is what a kill has left of a `replace_file`: the file itself is whole beside it."""
    return name.startswith(".") and name.endswith(".partial")


def _keep(path: Path) -> None:
    """Give the present file a second name, at no cost; where the file system has no links, copy it."""
    backup = free_backup(path)
    try:
        os.link(path, backup)
    except OSError:
        copied = path.with_name(f".{backup.name}.partial")
        shutil.copy2(path, copied)
        copied.rename(backup)


def free_backup(path: Path) -> Path:
    """The first of `<name>.bak`, `<name>.bak.1`, ... that nothing has yet: no backup is ever written over."""
    names = itertools.chain([f"{path.name}.bak"], (f"{path.name}.bak.{n}" for n in itertools.count(1)))
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold."""
    free = shutil.disk_usage(folder).free
    if free < needed + (1 << 26):
        raise UserError(f"{folder} needs {needed / 1e9:.1f} GB of free space and has {free / 1e9:.1f}: make room.")


def flush(path: Path) -> None:
    """Make the operating system write a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_tree(folder: Path) -> None:
    """Make the operating system write a folder and all files below it to disk."""
    for path in [*folder.rglob("*"), folder]:
        flush(path)
