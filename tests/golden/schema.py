"""Write `hrm_align/config/schema.json` from the dataclasses of recipes and the parsers of commands.

python -m tests.golden.schema
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from importlib.metadata import version
from typing import Any, get_args, get_origin
from unittest.mock import patch

from hrm_align.cli import COMMANDS
from hrm_align.config.bounds import Bound
from hrm_align.config.parser import RecipeParser
from hrm_align.config.rules import KINDS, RecipeKind, recipe_kind
from hrm_align.config.schema import FILE, HELP_WIDTH


def generated() -> dict[str, Any]:
    """Generate the schema from the dataclasses and the commands' parsers. Takes seconds."""
    others = {name: module for name, (module, _) in COMMANDS.items() if name not in (*KINDS, "completion")}
    made_with = {name: version(name) for name in ("transformers", "trl")}
    return {"made_with": made_with, "recipes": {kind: _recipe(kind) for kind in KINDS}, "commands": _commands(others)}


def _recipe(name: str) -> dict[str, Any]:
    kind, parser = recipe_kind(name), RecipeParser(recipe_kind(name))
    settings: dict[str, Any] = {}
    for action in parser._actions:
        if action.dest == "config" or action.dest in settings:  # the second one is `--no_...`
            continue
        known: dict[str, Any] = {"type": _type(action), "default": _default(action.default)}
        if action.choices:
            known["choices"] = [str(choice) for choice in action.choices]
        if action.help == argparse.SUPPRESS:
            known["hidden"] = True
        else:
            known["help"] = " ".join((action.help or "").replace("%%", "%").split())
        settings[action.dest] = known | _rules(kind, parser, action)
    return {
        "example": kind.example,
        "everyday": list(kind.everyday),
        "flags": sorted(flag for action in parser._actions for flag in action.option_strings),
        "settings": settings,
    }


def _rules(kind: RecipeKind, parser: RecipeParser, action: argparse.Action) -> dict[str, Any]:
    """Return what a setting accepts and needs, as `hrm_align.config.checks` reads it."""
    name, hint = action.dest, parser.hints[action.dest]
    origins = {get_origin(part) or part for part in (hint, *get_args(hint))}
    structures = {"null": type(None), "list": list, "mapping": dict}
    rules: dict[str, Any] = {"nargs": action.nargs} if action.nargs else {}
    if accepted := [word for word, structure in structures.items() if structure in origins]:
        rules["accepts"] = accepted
    for bound in [bound for bounds in kind.bounds for bound, names in bounds.items() if name in names]:
        rules["bound"] = _stated(bound)
    if name in kind.refused:
        accepted, reason = kind.refused[name]
        rules["refused"] = {"accepted": list(accepted), "reason": reason}
    if name in kind.needs:
        controller, values = kind.needs[name]
        rules["needs"] = {controller: list(values)}
    if name in kind.required:
        rules["required"] = kind.required[name]
    return rules


def _stated(bound: Bound) -> dict[str, Any]:
    """Return the fields of a bound that differ from their defaults."""
    return {f.name: getattr(bound, f.name) for f in fields(bound) if getattr(bound, f.name) != f.default}


def _options(parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """Return the options of a command's parser, as `hrm_align.config.checks.check_options` reads them."""
    options = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        positional = not action.option_strings
        stated: dict[str, Any] = {"names": action.option_strings or [action.dest]}
        if isinstance(action, argparse._StoreTrueAction):
            stated["action"] = "store_true"
        elif isinstance(action, argparse._StoreConstAction):
            stated |= {"action": "store_const", "const": action.const, "dest": action.dest}
        elif isinstance(action, argparse._AppendAction):
            stated["action"] = "append"
        if (kind := _type(action)) != "text":
            stated["type"] = kind
        if action.nargs not in (None, 0):
            stated["nargs"] = action.nargs
        if action.choices:
            stated["choices"] = [str(choice) for choice in action.choices]
        if action.metavar:
            stated["metavar"] = action.metavar
        if action.required and not positional:
            stated["required"] = True
        options.append(stated)
    return options


def _type(action: argparse.Action) -> str:
    name = getattr(action.type, "__name__", "text")
    plain = {"int": "int", "float": "number", "string_to_bool": "bool", "mapping_or_text": "mapping"}
    return plain.get(name, name.removesuffix("Entry") if name.endswith("Entry") else "text")


def _default(value: Any) -> Any:
    if value is None or value == [] or isinstance(value, bool | int | float | str):
        return None if value == [] else value
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


class _Captured(Exception):
    """Raised with a command's parser as its argument, to get the parser out of the command."""


def _commands(modules: Mapping[str, str]) -> dict[str, Any]:
    """Return help and flags of the commands that are not recipes, from their parsers."""

    def capture(parser: argparse.ArgumentParser, *_: Any) -> None:
        raise _Captured(parser)

    commands = {}
    with (
        patch.object(argparse.ArgumentParser, "parse_known_args", capture),
        patch.dict("os.environ", COLUMNS=str(HELP_WIDTH)),
    ):
        for name, module in modules.items():
            command: Any = import_module(module)
            subcommands = getattr(command, "SUBCOMMANDS", ())
            if subcommands:
                commands[name] = {"help": command.usage(), "flags": ["--help"]}
            for words in [[name, sub] for sub in subcommands] or [[name]]:
                try:
                    command.main(words[1:])
                except _Captured as captured:
                    parser = captured.args[0]
                    flags = sorted(flag for action in parser._actions for flag in action.option_strings)
                    options = _options(parser)
                    commands[" ".join(words)] = {"help": parser.format_help(), "flags": flags, "options": options}
    return commands


if __name__ == "__main__":
    FILE.write_text(json.dumps(generated(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{FILE} written", file=sys.stderr)
