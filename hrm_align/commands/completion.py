"""`hrm-align completion SHELL`: print a script that completes commands and their options in bash, zsh or tcsh."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import shtab

from hrm_align.config.schema import schema
from hrm_align.errors import UserError
from hrm_align.output import emit


def main(argv: Sequence[str]) -> None:
    """Print the completion script of a shell."""
    if len(argv) != 1 or argv[0] not in shtab.SUPPORTED_SHELLS:
        raise UserError(
            f"invalid shell for completion: {' '.join(argv) or 'none given'}. Name one of {', '.join(shtab.SUPPORTED_SHELLS)}, as in "
            'eval "$(hrm-align completion bash)".'
        )
    emit(shtab.complete(command_line(), shell=argv[0]))


def command_line() -> argparse.ArgumentParser:
    """Return a parser of the whole command line, for shtab."""
    known = schema()
    parser = argparse.ArgumentParser(prog="hrm-align")
    commands = parser.add_subparsers()
    for name, recipe in known["recipes"].items():
        options = commands.add_parser(name, add_help=False, help=name)
        options.add_argument("--config").complete = shtab.FILE  # type: ignore[attr-defined]
        for flag in ["--help", "--help-all", *(f"--{setting}" for setting in recipe["settings"])]:
            choices = recipe["settings"].get(flag.removeprefix("--"), {}).get("choices")
            options.add_argument(flag, choices=choices)
    groups: dict[str, Any] = {}
    for name, command in known["commands"].items():
        group, _, subcommand = name.partition(" ")
        if subcommand:
            options = groups[group].add_parser(subcommand, add_help=False, help=subcommand)
        else:
            options = commands.add_parser(name, add_help=False, help=name)
            if any(other.startswith(f"{name} ") for other in known["commands"]):
                groups[name] = options.add_subparsers()
        for flag in command["flags"]:
            options.add_argument(flag)
    return parser
