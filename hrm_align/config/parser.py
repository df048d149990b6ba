"""Parse a recipe from a YAML file and command line flags, strictly, and write the resolved settings back.

    recipe = parse(SFT, ["--config", "recipes/tiny/sft.yaml", "--learning_rate", "1e-3"])
    recipe.model, recipe.lora, recipe.data, recipe.training  # ModelArguments, LoraArguments, ...

`HfArgumentParser` converts the types, for the file as for the flags. This module adds strict errors with `file:line`: for settings
that are misspelt, renamed, duplicated, of the wrong type, or not supported by the trainer. `recipe_files` looks up recipe names and
relative paths.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml
from transformers import HfArgumentParser

from hrm_align.config.arguments import Entry
from hrm_align.config.checks import COMMAND_LINE, Setting, StrictParser, check_words
from hrm_align.config.launcher import check_launcher
from hrm_align.config.recipe_files import absolute, find_recipe, locate
from hrm_align.config.rules import (
    ADAPTER_KEYS,
    RecipeKind,
    check_recipe,
    check_runnable,
    failing,
    first_sentence,
    recipe_kind,
)
from hrm_align.config.schema import schema
from hrm_align.config.yaml_file import mapping_or_text, read_yaml
from hrm_align.errors import UserError, join_names


class RecipeParser(StrictParser, HfArgumentParser):
    """Parser of the settings of a recipe kind, for command line flags and for values of the recipe file."""

    def __init__(self, kind: RecipeKind):
        schema: tuple[Any, ...] = kind.schema
        super().__init__(schema, allow_abbrev=False, exit_on_error=False, add_help=False, prog=f"hrm-align {kind.name}")
        self.add_argument("--config", metavar="RECIPE", help="The recipe; flags override it.")
        self.kind = kind
        self.hints = {name: hint for cls in schema for name, hint in get_type_hints(cls).items()}
        self.hints = {f.name: self.hints[f.name] for cls in schema for f in fields(cls) if f.init}
        hidden = kind.hidden
        for action in self._actions:
            if _may_be_mapping(self.hints.get(action.dest)):
                action.type = mapping_or_text
            if action.dest in hidden:
                action.help = argparse.SUPPRESS


def _may_be_mapping(hint: Any) -> bool:
    """Return whether a type hint includes dict."""
    return any((get_origin(kind) or kind) is dict for kind in (hint, *get_args(hint)))


def parse(kind: RecipeKind, argv: Sequence[str], to_run: bool = True) -> Any:
    """Parse `--config FILE [--key value ...]`; flags override the file.

    Args:
        kind: the kind of recipe.
        argv: the command line arguments after the command.
        to_run: whether the recipe will be run on this machine; its trackers and optimizer must then be installed.

    Returns:
        An instance of `kind.recipe`.

    Raises:
        UserError: for the first mistake, with its place (`file:line` or `command line`) and the remedy.
    """
    if check_words(kind.name, argv):
        raise SystemExit(0)
    parser = RecipeParser(kind)
    flags, rest = parser.read(argv, COMMAND_LINE)
    for word in rest:
        _check_release(parser, word.partition("=")[0].removeprefix("--").replace("-", "_"), COMMAND_LINE)
        raise UserError(f"command line: unexpected argument {word!r}. Use --setting value.")
    config = flags.pop("config", None)
    settings = (_read_file(parser, find_recipe(config.value)) if config else {}) | flags
    recipe = kind.recipe(*(_build(cls, settings) for cls in kind.schema))
    check_recipe(kind, recipe, settings)
    recipe.training.warmup_is_a_flag = "warmup_steps" in flags
    if to_run:
        check_runnable(recipe.training, failing(settings))
        check_launcher(recipe.training, settings, failing(settings))
    if recipe.model.attn_implementation is None:
        recipe.model.attn_implementation = "per_document" if recipe.training.use_cpu else "sdpa"
    return recipe


def resolved(recipe: Any) -> dict[str, Any]:
    """Return every setting with its value, as plain data that YAML can store and `parse` can read back in any folder.

    Local paths are absolute.
    Left out are old names, settings that are always refused (such as tokens), and without `use_peft` the settings of adapters.
    """
    hidden = recipe_kind(recipe.KIND).hidden
    if not recipe.lora.use_peft:
        hidden |= set(ADAPTER_KEYS)
    parts = vars(recipe).values()
    return {
        f.name: absolute(f.name, _to_plain_data(getattr(p, f.name)))
        for p in parts
        for f in fields(p)
        if f.init and f.name not in hidden
    }


def _to_plain_data(value: Any) -> Any:
    """Convert enums, dataclasses, mappings and sequences to YAML's types; any other object becomes its text."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return _to_plain_data(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _to_plain_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain_data(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def _read_file(parser: RecipeParser, path: Path) -> dict[str, Setting]:
    """Read the settings of a recipe file, each with its `file:line`. Raises UserError for the first mistake."""
    node, values = read_yaml(path)
    settings: dict[str, Setting] = {}
    for key_node, value_node in node.value:
        key, where = str(key_node.value), f"{path}:{key_node.start_mark.line + 1}"
        _check_release(parser, key, where)
        if isinstance(value_node, yaml.ScalarNode) and value_node.tag != "tag:yaml.org,2002:null":
            settings |= parser.read([f"--{key}={value_node.value}"], where)[0]  # converted like the value of a flag
        else:
            settings[key] = Setting(_structured(values[key], parser.hints[key]), where)
        try:
            settings[key] = Setting(locate(key, settings[key].value, path), where)
        except UserError as error:
            raise UserError(f"{where}: {key}: {error}") from None
    return settings


def _check_release(parser: RecipeParser, key: str, where: str) -> None:
    """Raise UserError for a setting that is in the schema but, under the installed Transformers or TRL, not in the dataclasses."""
    if key in schema()["recipes"][parser.kind.name]["settings"] and key not in parser.hints:
        installed = ", ".join(f"{package} {version(package)}" for package in schema()["made_with"])
        expected = ", ".join(f"{package} {release}" for package, release in schema()["made_with"].items())
        raise UserError(
            f"{where}: the setting {key} exists in {expected}, but not in the installed {installed}. Leave it out, or install "
            "these releases."
        )


def _structured(value: Any, hint: Any) -> Any:
    """Convert the entries of a list of the file to the type of the setting; null, mappings and other lists stay as they are."""
    lists = [kind for kind in (hint, *get_args(hint)) if get_origin(kind) is list]
    (kind,) = get_args(lists[0])[:1] if lists else (None,)
    is_entry = isinstance(kind, type) and issubclass(kind, Entry)
    return [kind(entry) for entry in value] if is_entry and isinstance(value, list) else value


# Errors that the dataclasses of Transformers and TRL raise for invalid settings or missing packages.
_REFUSALS = (ValueError, TypeError, OSError, ImportError)


def _build(cls: type, settings: Mapping[str, Setting]) -> Any:
    """Build a dataclass from the settings that were given. Raises UserError that names the settings at fault."""
    given = {f.name: settings[f.name] for f in fields(cls) if f.init and f.name in settings}
    try:
        return _instantiate(cls, given)
    except _REFUSALS as error:
        raise UserError(_describe_refusal(cls, given, error)) from None


def _instantiate(cls: type, given: Mapping[str, Setting]) -> Any:
    return cls(**{key: setting.value for key, setting in given.items()})


def _describe_refusal(cls: type, given: Mapping[str, Setting], error: Exception) -> str:
    """Return the error message for an error that does not name the settings at fault."""
    keys, reason = _find_settings_at_fault(cls, given, error), first_sentence(error)
    if not keys:
        return f"the settings of this recipe cannot be combined: {reason}."
    key, where = keys[0], given[keys[0]].where
    if others := [f"{other} ({given[other].where})" for other in keys[1:]]:
        return f"{where}: {key} cannot be combined with {join_names(others)}: {reason}."
    if isinstance(error, ImportError):
        return (
            f"{where}: {key} needs a package that is not installed ({reason}). Install the package, or leave {key} out."
        )
    return f"{where}: {key}: {reason}."


def _find_settings_at_fault(cls: type, given: Mapping[str, Setting], error: Exception) -> list[str]:
    """Return the settings without which the error does not occur: each is left out in turn and the dataclass built again."""
    if isinstance(error, OSError):
        named = [key for key, setting in given.items() if str(setting.value) == str(error.filename)]
        if named:
            return named
    without = {key: _try(cls, {k: v for k, v in given.items() if k != key}) for key in given}
    fixing = [key for key in given if without[key] is None]
    return fixing or [key for key in given if without[key] != str(error)]


def _try(cls: type, given: Mapping[str, Setting]) -> str | None:
    """Build a dataclass. Returns the text of the error; None if there was none."""
    try:
        _instantiate(cls, given)
    except _REFUSALS as error:
        return str(error)
    return None
