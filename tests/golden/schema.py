"""Write `hrm_align/config/schema.json` from the dataclasses of recipes and the parsers of commands.

python -m tests.golden.schema
"""

import argparse
import json
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any
from unittest.mock import patch

from hrm_align.cli import COMMANDS
from hrm_align.config.parser import RecipeParser
from hrm_align.config.rules import KINDS, recipe_kind
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
        settings[action.dest] = known
    return {
        "example": kind.example,
        "everyday": list(kind.everyday),
        "flags": sorted(flag for action in parser._actions for flag in action.option_strings),
        "settings": settings,
    }


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
                    commands[" ".join(words)] = {"help": parser.format_help(), "flags": flags}
    return commands


if __name__ == "__main__":
    FILE.write_text(json.dumps(generated(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{FILE} written", file=sys.stderr)
