"""Recipes by name, and the files that a recipe names by a relative path.

`--config tiny/sft` names a recipe that ships with the package; `hrm-align recipes` lists them. Imports nothing slow.
"""

from __future__ import annotations

import difflib
import filecmp
import glob
import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hrm_align.errors import UserError

DATA_KEYS = ("datasets", "eval_datasets", "guard_datasets", "replay_datasets")
EMBEDDED_BASE = "tiny"  # the model that ships with the package; a folder of this name is another model
_LAUNCHER_FOLDERS = ("accelerate", "launch")
REWARD_FILES = (
    "file",
    "schema",
    "rubric",
    "cache",
)  # keys of a reward that may hold a path; a rubric may be a text, too
_FILES = ("headroom", "teacher_examples", "teacher_system_file")  # settings of one file
_BUILDERS = ("json", "csv", "parquet")  # values of `path` with which `data_files` holds the paths


@cache
def recipes_folder() -> Path:
    """Return the folder of the shipped recipes: `recipes` of a checkout, `hrm_align/recipes` of an installed package."""
    spec = find_spec("hrm_align.recipes")
    if spec is None or spec.origin is None:
        raise UserError("this installation of hrm_align lacks its recipes. Install the package again with pip.")
    return Path(spec.origin).resolve().parent


def shipped_root() -> Path:
    """Return the folder that holds the shipped `data`: of an installed package the one of its recipes, else the checkout."""
    folder = recipes_folder()
    return folder if (folder / "data").is_dir() else folder.parent


def shipped_recipes() -> dict[str, Path]:
    """Return the shipped recipes by name, such as `tiny/sft`, in alphabetical order."""
    folder = recipes_folder()
    paths = {f"{path.parent.name}/{path.stem}": path for path in folder.glob("*/*.yaml")}
    return {name: paths[name] for name in sorted(paths) if name.split("/")[0] not in _LAUNCHER_FOLDERS}


def find_recipe(config: str) -> Path:
    """Return the file that `--config` names: a file that exists, else a shipped recipe.

    Raises:
        UserError: for a name that is neither a file nor nearly one, with the nearest shipped recipe.
    """
    path = Path(config)
    if path.is_file():
        return path
    shipped = shipped_recipes()
    if config in shipped:
        return shipped[config]
    looks_like_a_file = path.suffix in (".yaml", ".yml") or path.exists()
    name = "/".join(path.with_suffix("").parts[-2:])
    near = difflib.get_close_matches(name, shipped, n=1)
    if looks_like_a_file and (path.parent.is_dir() or not near):
        return path  # reading it raises an error with the nearest file
    if near:
        raise UserError(
            f"there is no recipe file {config}: did you mean --config {near[0]}? `hrm-align recipes list` shows the names."
        )
    raise UserError(
        f"there is no recipe {config}. Give the path of a YAML file, or a name that `hrm-align recipes list` shows."
    )


def locate(key: str, value: Any, recipe: Path) -> Any:
    """Replace the relative paths in a setting of a recipe file by paths that exist from the current folder.

    Args:
        key: name of the setting.
        value: value of the setting; entries of data sets and rewards are mappings.
        recipe: the recipe file.

    Raises:
        UserError: if a path exists in two places with different content.
    """
    folder = recipe.parent
    if key in _FILES and isinstance(value, str):
        return find_file(value, folder)
    if key in DATA_KEYS and isinstance(value, list):
        return [type(entry)(_locate_data(entry, folder)) for entry in value]
    if key == "rewards" and isinstance(value, list):
        return [type(entry)(_locate_in(entry, keys_of_files(entry), folder)) for entry in value]
    return value


def keys_of_files(reward: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of a reward that name files; a rubric is the name of a file if it ends as one."""
    rubric = str(reward.get("rubric", ""))
    is_file = rubric.endswith((".md", ".txt")) and "\n" not in rubric
    keys = REWARD_FILES if is_file else tuple(key for key in REWARD_FILES if key != "rubric")
    return (*keys, "model") if reward.get("name") == "reward_model" else keys


def _locate_data(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Locate the `path` of a data set; with a builder such as `path: json`, its `data_files`."""
    if entry.get("path") not in _BUILDERS:
        return _locate_in(entry, ("path",), folder)
    files = entry.get("data_files")
    if isinstance(files, Mapping):
        files = {split: _locate_each(value, folder) for split, value in files.items()}
    elif files is not None:
        files = _locate_each(files, folder)
    return {**entry, **({} if files is None else {"data_files": files})}


def _locate_each(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_locate_each(item, folder) for item in value]
    return find_file(value, folder) if isinstance(value, str) else value


def _locate_in(entry: Mapping[str, Any], keys: tuple[str, ...], folder: Path) -> dict[str, Any]:
    return {key: _locate_each(value, folder) if key in keys else value for key, value in entry.items()}


def find_file(path: str, folder: Path) -> str:
    """Find a relative path of a recipe: beside the recipe, in the current folder, or among the shipped data.

    Args:
        path: a file, directory, or pattern of files; a Hub id or a path that exists nowhere is returned unchanged.
        folder: folder of the recipe.

    Returns:
        The path as written if it is found in the current folder, else an absolute path.

    Raises:
        UserError: if the path exists in two of these places with different content.
    """
    if not path or os.path.isabs(os.path.expanduser(path)):
        return path
    places = [os.path.join(os.path.abspath(folder), path), path, os.path.join(shipped_root(), path)]
    present = [place for place in places if any(_files(place))]
    if not present:
        return path
    first = present[0]
    for other in present[1:]:
        if not _have_same_content(first, other):
            raise UserError(
                f"{path} is ambiguous: {os.path.abspath(first)} and {os.path.abspath(other)} exist, with "
                "different content. Write the absolute path of one of them."
            )
    return path if os.path.realpath(first) == os.path.realpath(path) else first


def _files(place: str) -> Iterator[str]:
    """Yield the files that a path names: itself, those below a directory, or those that match a pattern."""
    if os.path.isfile(place):
        yield place
    elif os.path.isdir(place):
        for top, _, names in os.walk(place):
            yield from (os.path.join(top, name) for name in sorted(names))
    elif glob.has_magic(place):
        yield from filter(os.path.isfile, sorted(glob.glob(place, recursive=True)))


def _have_same_content(first: str, other: str) -> bool:
    if os.path.realpath(first) == os.path.realpath(other):
        return True
    pairs = list(_files(first)), list(_files(other))
    if [os.path.basename(file) for file in pairs[0]] != [os.path.basename(file) for file in pairs[1]]:
        return False
    return all(filecmp.cmp(a, b, shallow=False) for a, b in zip(*pairs, strict=True))


def absolute(key: str, value: Any) -> Any:
    """Make the local paths in a setting absolute, as plain data for run/resolved.yaml; Hub ids and other values stay."""
    if key == "output_dir":
        return _absolute_path(value, must_exist=False)
    if key in ("model_name_or_path", "teacher_model_name_or_path", "tokenizer_name_or_path", *_FILES):
        return value if value == EMBEDDED_BASE else _absolute_path(value)
    if not isinstance(value, list):
        return value
    if key in DATA_KEYS:
        return [_absolute_data(entry) for entry in value]
    if key == "rewards":
        return [{k: _absolute_path(v) if k in keys_of_files(entry) else v for k, v in entry.items()} for entry in value]
    return value


def _absolute_data(entry: Mapping[str, Any]) -> dict[str, Any]:
    if entry.get("path") not in _BUILDERS:
        return {key: _absolute_path(value) if key == "path" else value for key, value in entry.items()}
    files = entry.get("data_files")
    if isinstance(files, Mapping):
        files = {split: _absolute_path(value) for split, value in files.items()}
    return {**entry, **({} if files is None else {"data_files": _absolute_path(files)})}


def _absolute_path(value: Any, must_exist: bool = True) -> Any:
    if isinstance(value, list):
        return [_absolute_path(item, must_exist) for item in value]
    if not isinstance(value, str) or not value:
        return value
    path = os.path.expanduser(value)
    is_local = not must_exist or os.path.exists(path) or any(_files(path))
    return os.path.abspath(path) if is_local else value
