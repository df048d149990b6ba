"""Data sources: resolve a path (file, directory, glob pattern or Hub data set) and read its rows."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from glob import glob, has_magic
from itertools import chain
from typing import Any

from hrm_align.data.data_file import COMPRESSIONS, REFUSED, DataFile, members
from hrm_align.data.readers import SUFFIXES, BadRow, Row, data_suffix, read_file
from hrm_align.errors import UserError

# Files or glob patterns of one data set; a mapping has them by split, as in `datasets.load_dataset`.
DataFiles = str | Sequence[str] | Mapping[str, str | Sequence[str]]

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_BUILDERS = ("json", "csv", "parquet")  # TRL's users name local files as `load_dataset("json", data_files=...)`
_NOTES = ("dataset_dict.json", "dataset_info.json", "dataset_infos.json")  # files of `datasets` that have no rows
CARD_SUFFIX = ".card.json"  # end of the names of files about data files, which have no rows
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
        path: a file (.jsonl, .ndjson, .json, .csv, .tsv, .parquet, .arrow or .feather, each also with .gz, .bz2, .xz or
            .zst), or a .zip archive of them; a directory, from which the data files of one split are read, or a folder
            that `datasets.save_to_disk` has written; a pattern (`data/*.jsonl`); or a Hub id `owner/name`. A path that
            exists on disk takes precedence over a Hub id.
        name: configuration of a Hub data set.
        split: split, or slice of a split, of a Hub data set. In a directory or a .zip archive: the files whose name
            contains the split (test.jsonl, test-00001.parquet); for `train`, if no name contains it, the files whose
            name contains no split.
        data_files: files or patterns inside the directory or the Hub data set.
        revision: branch, tag or commit of a Hub data set.

    Returns:
        The rows, file by file in sorted order. Blank lines are skipped, but count in line numbers.

    Raises:
        UserError: at once if the data do not exist; during reading, if a file is empty or unreadable.
    """
    path = os.path.expanduser(path)
    files = local_files(path, split, data_files)
    if files is None:
        return _hub_rows(path, name, split, data_files, revision)
    if name or revision:
        raise UserError(f"`name` and `revision` apply to Hub data sets, and {path} is local. Leave them out.")
    return chain.from_iterable([read_file(file) for file in data_files_in(files, split)])


def data_files_in(files: list[str], split: str) -> list[DataFile]:
    """List files and, in their place, the members of zip archives that have rows of a split."""
    return [DataFile(file, member) for file in files for member in _members(file, split)]


def local_files(path: str, split: str, data_files: DataFiles | None) -> list[str] | None:
    """List the files that a path names; None if the path is a Hub id.

    Raises:
        UserError: if no file matches, or if `split` or `data_files` do not apply to the path.
    """
    if os.path.isdir(path):
        saved = None if data_files else _saved_dataset(path, split)
        if saved is not None:
            return saved
        return _match_patterns(data_files, split, path) if data_files else _list_directory(path, split)
    if data_files and path in _BUILDERS:
        return _match_patterns(data_files, split, "")
    if os.path.exists(path):
        if data_files or (split not in ("train", _split_in_name(path)) and data_suffix(path) != ".zip"):
            raise UserError(
                f"`split` {split!r} and `data_files` do not apply to {path}, which is a file. Leave them out."
            )
        return [path]
    if has_magic(path):
        return _match_patterns(path, split, "")
    if _HUB_ID.fullmatch(path) and data_suffix(path) not in (*SUFFIXES, *REFUSED):
        return None
    raise UserError(
        f"file not found: {path}{_nearest_name(path)}. Check the path: it counts from the current directory."
    )


def _match_patterns(patterns: DataFiles, split: str, directory: str) -> list[str]:
    if isinstance(patterns, Mapping):
        if split not in patterns:
            raise UserError(f"`data_files` has no split {split!r}. Set `split` to one of {', '.join(patterns)}.")
        patterns = patterns[split]
    elif split != "train":
        raise UserError(
            f"`split` {split!r} does not apply to {patterns}, which are files without splits. Leave `split` out, or make "
            "`data_files` a mapping from split to files."
        )
    files: list[str] = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        pattern = os.path.join(directory, os.path.expanduser(pattern))
        exact = os.path.isfile(pattern)  # a file may be called data[1].jsonl
        matches = [pattern] if exact else sorted(filter(os.path.isfile, glob(pattern, recursive=True)))
        if not matches:
            raise UserError(f"no file matches {pattern}{_nearest_name(pattern)}. Check the pattern.")
        files += matches
    return files


def _list_directory(path: str, split: str) -> list[str]:
    names = [name for name in sorted(os.listdir(path)) if not name.startswith("._")]  # files of macOS about files
    return [os.path.join(path, name) for name in _choose_split(names, split, f"the directory {path}")]


def _members(path: str, split: str) -> list[str | None]:
    """List the members of a zip archive that have rows of a split; [None] for any other file."""
    if data_suffix(path) != ".zip":
        return [None]
    names = members(path)
    files = [name for name in names if data_suffix(name) in SUFFIXES and data_suffix(name) != ".zip"]
    if len(files) == 1:
        return [*files]
    return [
        *_choose_split(names, (_split_in_name(path) or split) if split == "train" else split, f"the archive {path}")
    ]


def _choose_split(names: list[str], split: str, where: str) -> list[str]:
    """Choose the data files of one split: a test set or a word list beside the training set must not be trained on."""
    notes = [name for name in names if os.path.basename(name) in _NOTES or name.endswith(CARD_SUFFIX)]
    files = [name for name in names if data_suffix(name) in SUFFIXES and name not in notes]
    of_split = [file for file in files if _split_in_name(file) == split]
    chosen = of_split or [file for file in files if split == "train" and _split_in_name(file) is None]
    if not files:
        packed = f", also with {', '.join(COMPRESSIONS)}"
        raise UserError(f"no data file in {where}. Data files end in {', '.join(SUFFIXES)}{packed}.")
    if not chosen:
        splits = ", ".join(sorted({_split_in_name(file) or "train" for file in files}))
        raise UserError(f"no split {split!r} in {where}. Set `split` to {splits}, or name the files.")
    return chosen


def _saved_dataset(path: str, split: str) -> list[str] | None:
    """List the files of a folder that `datasets.save_to_disk` has written; None for any other folder.

    Raises:
        UserError: if the folder lacks the split or a file, or if its notes cannot be read.
    """
    has_splits, has_rows, has_info = (
        os.path.isfile(os.path.join(path, name)) for name in ("dataset_dict.json", "state.json", "dataset_info.json")
    )
    try:
        if has_splits:
            splits = _read_note(os.path.join(path, "dataset_dict.json"))["splits"]
            if split not in splits:
                raise UserError(f"no split {split!r} in the directory {path}. Set `split` to {', '.join(splits)}.")
            return _saved_dataset(os.path.join(path, split), "train") or _list_directory(
                os.path.join(path, split), "train"
            )
        if not (has_rows and has_info):
            return None
        state = _read_note(os.path.join(path, "state.json"))
        files = [os.path.join(path, item["filename"]) for item in state["_data_files"]]
        saved_split = state.get("_split")
        reordered = state.get("_indices_data_files") or state.get("_indices_files")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no whole folder of save_to_disk ({error!r}). Save the data set again.") from None
    if reordered:
        raise UserError(f"{path} was saved by an old `datasets` with an order of its own. Load and save it again.")
    if split not in ("train", saved_split):
        raise UserError(f"no split {split!r} in the directory {path}, which has one split. Leave `split` out.")
    missing = [file for file in files if not os.path.isfile(file)]
    if missing:
        raise UserError(f"{missing[0]} is missing, which {path}/state.json names. Copy the folder again.")
    return files


def _read_note(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _split_in_name(path: str) -> str | None:
    stem = os.path.basename(path).split(".")[0]
    return next((_SPLIT_WORDS[word] for word in re.split(r"[-_]", stem) if word in _SPLIT_WORDS), None)


def _nearest_name(path: str) -> str:
    directory, name = os.path.split(path)
    if not os.path.isdir(directory or "."):
        return f" (the directory {directory} does not exist either)"
    names = get_close_matches(name, os.listdir(directory or "."), n=1, cutoff=0.5)
    return f" (did you mean {os.path.join(directory, names[0])}?)" if names else ""


def _hub_rows(
    path: str, name: str | None, split: str, data_files: DataFiles | None, revision: str | None
) -> Iterator[Row | BadRow]:
    import datasets

    try:
        rows = datasets.load_dataset(path, name, split=split, data_files=data_files, revision=revision)
    except Exception as error:  # network, Hub and builders raise many unrelated types
        detail = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        raise UserError(
            f"no local path {path}{_nearest_name(path)}, and the Hub data set of that name cannot be loaded "
            f"({detail}). Check the name and the network, or give the path of a copy on disk."
        ) from error
    from hrm_align.data.arrow_files import restore_row

    schema = rows.features.arrow_schema
    return (restore_row(row, f"{path}[{split}][{index}]", schema, parsed=True) for index, row in enumerate(rows))
