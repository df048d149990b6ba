"""What a path stands for: a file, a directory, a pattern of files, or a data set of the Hub; and its rows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from glob import glob, has_magic
from itertools import chain

from hrm_align.data.readers import SUFFIXES, BadRow, Row, read_file, suffix_of
from hrm_align.errors import UserError

# The files, or patterns of files, of one data set; by split where it is a mapping, as in `datasets.load_dataset`.
DataFiles = str | Sequence[str] | Mapping[str, str | Sequence[str]]

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_BUILDERS = ("json", "csv", "parquet")  # `load_dataset("json", data_files=...)` is how TRL's users name local files
_SPLIT_WORDS = dict.fromkeys(("validation", "valid", "val", "dev"), "validation") | {"train": "train", "test": "test"}


def read_rows(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    split: str = "train",
    data_files: DataFiles | None = None,
    revision: str | None = None,
) -> Iterator[Row | BadRow]:
    """Read every row of a file, a directory, a pattern of files, or a data set of the Hub.

    Args:
        path: a file (.jsonl, .ndjson, .json, .csv or .tsv, each also with .gz, or .parquet); a directory, of which the
            data files of one split are read; a pattern (`data/*.jsonl`); or a Hub id `owner/name`. What exists on disk
            wins over the Hub.
        name: the configuration of a Hub data set.
        split: split of a Hub data set, or a slice of one. In a directory, the files that carry its name (test.jsonl,
            test-00001.parquet); if none carries the name of `train`, those that carry no split's name.
        data_files: files or patterns inside the directory or the Hub data set.
        revision: branch, tag or commit of a Hub data set.

    Returns:
        The rows, file by file in sorted order. Lines that are blank are no rows, but count as lines.

    Raises:
        UserError: at once if the data cannot be found; while reading, if a file is empty or unreadable.
    """
    path = os.path.expanduser(path)
    files = local_files(path, split, data_files)
    if files is None:
        return _hub_rows(path, name, split, data_files, revision)
    if name or revision:
        raise UserError(f"{path} is local: `name` and `revision` are for data sets of the Hub, so leave them out.")
    return chain.from_iterable([read_file(file) for file in files])


def local_files(path: str, split: str, data_files: DataFiles | None) -> list[str] | None:
    """The files that a path stands for, or None for a data set of the Hub."""
    if os.path.isdir(path):
        return _of_patterns(data_files, split, path) if data_files else _of_directory(path, split)
    if data_files and path in _BUILDERS:
        return _of_patterns(data_files, split, "")
    if os.path.exists(path):
        if data_files or split not in ("train", _split_of(path)):
            raise UserError(f"{path} is a file: it has no `split` {split!r} and no `data_files`, so leave them out.")
        return [path]
    if has_magic(path):
        return _of_patterns(path, split, "")
    if _HUB_ID.fullmatch(path) and suffix_of(path) not in SUFFIXES:
        return None
    raise UserError(f"there is no file {path}{_nearest(path)}: check the path, from the directory you start in.")


def _of_patterns(patterns: DataFiles, split: str, directory: str) -> list[str]:
    if isinstance(patterns, Mapping):
        if split not in patterns:
            raise UserError(f"`data_files` has no split {split!r}, only {', '.join(patterns)}: set one of those.")
        patterns = patterns[split]
    elif split != "train":
        raise UserError(f"{patterns} names files, not their `split` {split!r}: leave that out, or name them by split.")
    found: list[str] = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        pattern = os.path.join(directory, os.path.expanduser(pattern))
        exact = os.path.isfile(pattern)  # a file may be called data[1].jsonl
        matches = [pattern] if exact else sorted(filter(os.path.isfile, glob(pattern, recursive=True)))
        if not matches:
            raise UserError(f"no file matches {pattern}{_nearest(pattern)}: check the pattern.")
        found += matches
    return found


def _of_directory(path: str, split: str) -> list[str]:
    files = [os.path.join(path, name) for name in sorted(os.listdir(path)) if suffix_of(name) in SUFFIXES]
    # Reading them all would train on the test set, or on a word list, that lies beside the training set.
    named = [file for file in files if _split_of(file) == split]
    chosen = named or [file for file in files if split == "train" and _split_of(file) is None]
    if not files:
        raise UserError(f"the directory {path} holds no data file: the suffixes are {', '.join(SUFFIXES)}.")
    if not chosen:
        names = ", ".join(sorted({_split_of(file) or "train" for file in files}))
        raise UserError(f"the directory {path} holds no split {split!r}, only {names}: set `split` or name the files.")
    return chosen


def _split_of(path: str) -> str | None:
    stem = os.path.basename(path).split(".")[0]
    return next((_SPLIT_WORDS[word] for word in re.split(r"[-_]", stem) if word in _SPLIT_WORDS), None)


def _nearest(path: str) -> str:
    directory, name = os.path.split(path)
    if not os.path.isdir(directory or "."):
        return f" (nor a directory {directory})"
    names = get_close_matches(name, os.listdir(directory or "."), n=1, cutoff=0.5)
    return f" (the nearest name is {os.path.join(directory, names[0])})" if names else ""


def _hub_rows(
    path: str, name: str | None, split: str, data_files: DataFiles | None, revision: str | None
) -> Iterator[Row | BadRow]:
    import datasets

    try:
        rows = datasets.load_dataset(path, name, split=split, data_files=data_files, revision=revision)
    except Exception as error:  # the network, the Hub and each builder raise types of their own
        detail = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        raise UserError(
            f"{path} is neither a local path{_nearest(path)} nor a data set that could be loaded from the Hub "
            f"({detail}): check the name and the network, or give the path of a copy on disk."
        ) from error
    return (Row(row, f"{path}[{split}][{index}]") for index, row in enumerate(rows))
