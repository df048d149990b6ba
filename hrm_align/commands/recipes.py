"""`hrm-align recipes list | show NAME | copy NAME DIR`: the recipes that ship with the package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hrm_align.commands.common import PathParser
from hrm_align.config.checks import kind_of
from hrm_align.config.recipe_files import find_recipe, shipped_recipes
from hrm_align.config.yaml_file import read_yaml
from hrm_align.errors import UserError
from hrm_align.output import emit

ACTIONS = ("list", "show", "copy")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = PathParser("recipes", "List the recipes that ship with the package, print one, or copy one to change it.")
    parser.add_argument("action", metavar="ACTION", help="list; show NAME; copy NAME DIR")
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of a recipe, such as tiny/sft")
    parser.add_argument("to", nargs="?", metavar="DIR", type=Path, help="folder to copy into (created if missing)")
    arguments = parser.parse_args(argv)
    action, name, to = arguments.action, arguments.name, arguments.to
    if action not in ACTIONS:
        raise UserError(f"there is no action {action!r}. Use list, show NAME, or copy NAME DIR.")
    needed = {"list": 0, "show": 1, "copy": 2}[action]
    if sum(word is not None for word in (name, to)) != needed:
        raise UserError(f"hrm-align recipes {action} takes {('no argument', 'NAME', 'NAME DIR')[needed]}.")
    if action == "list":
        show_list(arguments.json)
        return
    recipe = _shipped(name)
    if action == "show":
        text = recipe.read_text(encoding="utf-8")
        emit(json.dumps({"name": name, "text": text}) if arguments.json else text.rstrip("\n"))
        return
    copied = copy(recipe, to.expanduser())
    command = f"hrm-align {describe(recipe)['command']} --config {copied}"
    emit(json.dumps({"file": str(copied)}) if arguments.json else f"copied to {copied}; run it: {command}")


def _shipped(name: str) -> Path:
    """Return the file of a shipped recipe. Raises UserError for another name."""
    recipe = shipped_recipes().get(name.removeprefix("recipes/").removesuffix(".yaml"))
    return find_recipe(name) if recipe is None else recipe


def describe(recipe: Path) -> dict[str, str]:
    """Return the command that runs a recipe, and the first line of its comment."""
    keys = map(str, read_yaml(recipe)[1])
    first = recipe.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()
    return {"command": kind_of({*keys}, recipe.name), "about": first}


def show_list(as_json: bool) -> None:
    """Print name, command and description of every shipped recipe."""
    rows: list[dict[str, Any]] = [{"name": name, **describe(path)} for name, path in shipped_recipes().items()]
    if as_json:
        emit(json.dumps(rows))
        return
    width = max(len(row["name"]) for row in rows)
    emit("\n".join(f"{row['name']:<{width}}  {row['command']:<4}  {row['about']}" for row in rows))


def copy(recipe: Path, folder: Path) -> Path:
    """Copy a recipe into a folder, under its own file name.

    Raises:
        UserError: if the file exists, or the folder cannot be written.
    """
    target = folder / recipe.name
    if target.exists():
        raise UserError(f"{target} already exists and is not overwritten. Name another folder, or move the file away.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(recipe, target)
    except OSError as error:
        raise UserError(f"cannot write {target} ({error.strerror}). Name a folder that can be written.") from None
    return target
