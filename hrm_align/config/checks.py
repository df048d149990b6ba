"""Checks that need the schema alone: names, types, choices, ranges and dependencies of settings, without importing torch.

    check_words("sft", ["--config", "r.yaml", "--max_steps", "abc"])  # UserError: command line: max_steps: invalid int value: 'abc'.

A mistake in a recipe or a command line is reported here, within a fraction of a second. `hrm_align.config.parser` calls the same
check first, so that a mistake has one message. The rules are data, generated from the trainers' tables into schema.json.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from hrm_align.config.bounds import FINITE, OPTIONS, Bound
from hrm_align.config.recipe_files import find_recipe
from hrm_align.config.schema import GRPO, MOVED, kind_of, recipe_help, schema
from hrm_align.config.yaml_file import list_or_words, mapping_or_text, read_yaml
from hrm_align.errors import UserError
from hrm_align.output import emit

COMMAND_LINE = "command line"  # the place of a flag, in errors
FEW_CHOICES = 8  # an error lists up to so many choices; of more choices it names the nearest
_NEGATIVE = re.compile(r"^-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$|^-(inf|nan)$")  # argparse itself takes -1e-5 for a flag


@dataclass(frozen=True)
class Setting:
    """A value that a recipe gives, and its place: `file:line`, or `command line`."""

    value: Any
    where: str


class StrictParser(argparse.ArgumentParser):
    """An argument parser of settings whose errors name the setting and its place. It can be combined with `HfArgumentParser`."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._negative_number_matcher = _NEGATIVE

    def read(self, words: Sequence[str], where: str) -> tuple[dict[str, Setting], list[str]]:
        """Parse flags.

        Args:
            words: command line arguments.
            where: the place to name in errors: `command line` or `file:line`.

        Returns:
            The settings that were given, and the arguments that belong to no setting.

        Raises:
            UserError: for an invalid value.
        """
        unset = object()  # the default, which no given setting can equal
        blank = argparse.Namespace(**{action.dest: unset for action in self._actions})
        try:
            namespace, rest = self.parse_known_args(words, blank)
        except argparse.ArgumentError as error:
            key = (error.argument_name or "").split("/")[0].lstrip("-")
            raise UserError(f"{where}: {key}: {_end_sentence(error.message + _remedy(error.message))}") from None
        return {k: Setting(v, where) for k, v in vars(namespace).items() if v is not unset}, rest

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Convert the values of a setting; a list may be one value in YAML, `[a, {name: b}]`, as in a recipe file."""
        if action.nargs in ("+", "*") and len(arg_strings) == 1:
            arg_strings = list_or_words(arg_strings[0])
        return super()._get_values(action, arg_strings)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Check a value against its choices; where there are many, name the nearest one instead of all."""
        choices = [str(choice) for choice in action.choices or ()]
        if len(choices) <= FEW_CHOICES or value in action.choices:  # type: ignore[operator]
            return super()._check_value(action, value)
        near = difflib.get_close_matches(str(value), choices, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"use a choice that --help lists, such as {choices[0]}"
        raise argparse.ArgumentError(action, f"invalid choice: {value!r}: {remedy}")


def _remedy(message: str) -> str:
    """Return what to do about an error of argparse that names the value alone; empty for other errors."""
    remedies = {
        "invalid int value": "Use a whole number",
        "invalid float value": "Use a number",
        "invalid true or false": "Use true or false",
        "expected one argument": "Write the value after the setting",
        "expected at least one argument": "Write one value or more after the setting",
    }
    return next((f". {remedy}" for start, remedy in remedies.items() if message.startswith(start)), "")


def _end_sentence(message: str) -> str:
    """Return a message with a full stop, unless it is a question."""
    return message if message.endswith("?") else message.rstrip(".") + "."


def _truth(word: str) -> bool:
    """Convert a word to a truth value, as Transformers does."""
    if word.lower() in ("yes", "true", "t", "y", "1"):
        return True
    if word.lower() in ("no", "false", "f", "n", "0"):
        return False
    raise argparse.ArgumentTypeError(f"invalid true or false value: {word!r}")


# How the types of schema.json are read; any other type is text.
_TYPES: Mapping[str, Any] = {
    **{"int": int, "number": float, "bool": _truth},
    **dict.fromkeys(("mapping", "Dataset", "Reward"), mapping_or_text),
}
_IN_WORDS = {
    "int": "a whole number",
    "number": "a number",
    "bool": "true or false",
    "mapping": "a mapping",
    "text": "text",
}


@cache
def settings_parser(kind: str) -> StrictParser:
    """Return a parser of a recipe's flags, built from the schema."""
    parser = StrictParser(allow_abbrev=False, exit_on_error=False, add_help=False, prog=f"hrm-align {kind}")
    parser.add_argument("--config")
    recipe = schema()["recipes"][kind]
    for name, known in recipe["settings"].items():
        spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
        options = {"type": _TYPES.get(known["type"], str), "choices": known.get("choices"), "nargs": known.get("nargs")}
        parser.add_argument(*spellings, dest=name, const=True if known.get("nargs") == "?" else None, **options)
        negated = [flag for flag in (f"--no_{name}", f"--no-{name.replace('_', '-')}") if flag in recipe["flags"]]
        if negated:
            parser.add_argument(*negated, dest=name, action="store_false")
    return parser


def check_words(kind: str, argv: Sequence[str]) -> bool:
    """Print help, or check all flags and the recipe file against the schema.

    Args:
        kind: kind of the recipe, such as `sft`.
        argv: the command line arguments after the command.

    Returns:
        Whether help was printed, so that nothing remains to do.

    Raises:
        UserError: for the first mistake, with its place (`file:line` or `command line`) and the remedy.
    """
    if {"-h", "--help", "--help-all"} & {*argv}:
        emit(recipe_help(kind, whole="--help-all" in argv))
        return True
    known = schema()["recipes"][kind]["flags"]
    for name in (word.partition("=")[0] for word in argv):
        if name.startswith("--") and name != "--config" and (name not in known or _setting_name(name) in MOVED):
            require(kind, _setting_name(name), COMMAND_LINE)
    parser = settings_parser(kind)
    flags, rest = parser.read(argv, COMMAND_LINE)
    config = flags.pop("config", None)
    settings = (_read_file(parser, kind, find_recipe(config.value)) if config else {}) | flags
    if rest:
        raise UserError(f"{COMMAND_LINE}: unexpected argument {rest[0]!r}. Use --setting value.")
    check_values(kind, settings)
    warn_of_repeated(parser, argv)
    return False


def keys_given(argv: Sequence[str]) -> set[str]:
    """Return the names of all settings in flags and file, known or not. Raises UserError for an unreadable file."""
    names = {_setting_name(word.partition("=")[0]) for word in argv if word.startswith("--")}
    config = settings_parser(GRPO).read(argv, COMMAND_LINE)[0].get("config") if "config" in names else None
    return (names - {"config"}) | ({*map(str, read_yaml(find_recipe(config.value))[1])} if config else set())


def kind_given(argv: Sequence[str]) -> str:
    """Return the kind of the recipe that flags and file give, as `kind_of` finds it. Raises UserError for an unreadable file."""
    config = [
        word.partition("=")[2] or following
        for word, following in pairwise([*argv, ""])
        if word.partition("=")[0] == "--config"
    ]
    return kind_of(keys_given(argv), config[-1] if config else "")


def _setting_name(flag: str) -> str:
    return flag[2:].replace("-", "_")


def require(kind: str, key: str, where: str) -> None:
    """Raise UserError unless a setting exists. The message does not show the value, which may be a secret."""
    if hint := MOVED.get(key):
        raise UserError(f"{where}: unknown setting {key}: {hint}.")
    settings = schema()["recipes"][kind]["settings"]
    if key in settings:
        return
    for other, recipe in schema()["recipes"].items():
        if key in recipe["settings"]:
            raise UserError(f"{where}: {key} is a setting of hrm-align {other}, not of {kind}. Leave it out.")
    near = difflib.get_close_matches(key.lower().replace("-", "_"), settings, n=1)
    remedy = f"did you mean {near[0]}?" if near else "use a name that --help-all lists."
    raise UserError(f"{where}: unknown setting {key}: {remedy}")


def _read_file(parser: StrictParser, kind: str, path: Path) -> dict[str, Setting]:
    """Read the settings of a recipe file, each with its `file:line`. Raises UserError for the first mistake."""
    node, values = read_yaml(path)
    places = [(str(key.value), value, f"{path}:{key.start_mark.line + 1}") for key, value in node.value]
    for key, _, where in places:
        require(kind, key, where)
    settings: dict[str, Setting] = {}
    for key, value_node, where in places:
        if isinstance(value_node, yaml.ScalarNode) and value_node.tag != "tag:yaml.org,2002:null":
            settings |= parser.read([f"--{key}={value_node.value}"], where)[0]  # converted like the value of a flag
        else:
            settings[key] = Setting(values[key], where)
            _check_structure(key, schema()["recipes"][kind]["settings"][key], settings[key])
    return settings


def _check_structure(key: str, known: Mapping[str, Any], setting: Setting) -> None:
    """Check that a setting may be empty, a list or a mapping. Raises UserError if not."""
    value = setting.value
    structure = "null" if value is None else "list" if isinstance(value, list) else "mapping"
    if structure not in known.get("accepts", ()):
        given = {"null": "empty", "list": "a list", "mapping": "a mapping"}[structure]
        expected = _IN_WORDS.get(known["type"], "a list of entries")
        raise UserError(f"{setting.where}: invalid value for {key}: {given}. Use {expected}.")
    if isinstance(value, list) and known["type"] in ("Dataset", "Reward"):
        bare = {"Dataset": "path", "Reward": "name"}[known["type"]]
        for index, entry in enumerate(value):
            if not isinstance(entry, (str, dict)):
                raise UserError(
                    f"{setting.where}: invalid value for {key}[{index}]: {entry!r}. Use a {bare} or a mapping of settings."
                )


def check_values(kind: str, settings: Mapping[str, Setting]) -> None:
    """Check values against the rules of the schema: refused values, ranges, missing settings, settings without an effect.

    Args:
        kind: kind of the recipe, such as `sft`.
        settings: the settings that were given.

    Raises:
        UserError: for the first mistake.
    """
    known = schema()["recipes"][kind]["settings"]
    for key, setting in settings.items():
        if (refused := known[key].get("refused")) and setting.value not in refused["accepted"]:
            raise UserError(f"{setting.where}: {key} cannot be set to this value: {refused['reason']}.")
        if known[key]["type"] in ("int", "number") and not isinstance(setting.value, list):
            bound = Bound(**known[key]["bound"]) if "bound" in known[key] else FINITE
            if fault := bound.fault(setting.value):
                raise UserError(
                    f"{setting.where}: invalid value for {key}: {setting.value}. The value must be {fault}."
                )
    for key, rule in known.items():
        if "required" in rule and not settings.get(key, Setting(None, "")).value:
            where = settings[key].where if key in settings else "recipe"
            raise UserError(f"{where}: {key} is missing. {rule['required']}.")
    for key in settings:
        for controller, values in known[key].get("needs", {}).items():
            _check_effect(key, controller, values, settings, known)
    _check_warmup(settings)


def _check_effect(
    key: str, controller: str, values: list[Any], settings: Mapping[str, Setting], known: Mapping[str, Any]
) -> None:
    """Raise UserError for a setting that has no effect because of another setting.

    A file that gives both settings is accepted, because the records of runs are such files; so is an effect that is switched off
    explicitly, as in `--save_steps 5 --save_strategy no`.
    """
    given, other = settings[key], settings.get(controller)
    if given.value in (None, False) or given.value == known[key]["default"]:
        return
    value = known[controller]["default"] if other is None else other.value
    if (value in values) if values else value not in (None, False, 0):
        return
    if other is not None and (given.where != COMMAND_LINE or other.value in (None, False, 0, "no")):
        return
    if values:
        raise UserError(
            f"{given.where}: {key} has no effect while {controller} is {value}. Set {controller} to {values[0]}, or leave "
            f"{key} out."
        )
    raise UserError(f"{given.where}: {key} has no effect without {controller}. Set {controller}, or leave {key} out.")


def _check_warmup(settings: Mapping[str, Setting]) -> None:
    """Check that the warm-up of the learning rate is not longer than the run, where max_steps gives its length.

    The warm-up of a file whose run a flag shortens is checked by `hrm_align.trainers.mixin.check_warmup`.
    """
    steps = settings["max_steps"].value if "max_steps" in settings else -1
    warmup = settings.get("warmup_steps")
    if warmup is None or not 0 < steps < warmup.value:
        return
    if warmup.where == COMMAND_LINE or settings["max_steps"].where != COMMAND_LINE:
        raise UserError(
            f"{warmup.where}: invalid value for warmup_steps: {warmup.value:g}. The run has max_steps {steps}, so the learning rate "
            "would never reach learning_rate: use fewer steps, or a share of them below 1."
        )


def _actions_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the action of each flag of a parser."""
    return {flag: action for action in parser._actions for flag in action.option_strings}


def warn_of_repeated(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Print a warning for each setting that two flags give, because only the last flag applies."""
    actions = _actions_of(parser)
    given: dict[str, list[str]] = {}
    for place, word in enumerate(argv):
        name, equals, value = word.partition("=")
        action = actions.get(name)
        if action is not None and type(action).__name__ != "_AppendAction":  # an option that may be repeated
            following = argv[place + 1 : place + 2]
            takes = following and following[0] not in actions and action.nargs != 0
            given.setdefault(action.dest, []).append(value if equals else following[0] if takes else name)
    for dest, values in given.items():
        if len(values) > 1:
            _warn(
                f"{dest} is given {len(values)} times on the command line ({', then '.join(values)}), and the last one applies. "
                "Leave the others out."
            )


@cache  # one warning for one mistake, although both the command line and the recipe's parser check the words
def _warn(text: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(f"warning: {text}", file=sys.stderr)


class CommandLine(argparse.ArgumentParser):
    """An argument parser of a command that raises UserError where argparse would exit, and checks the ranges of numbers."""

    def __init__(self, name: str, description: str = ""):
        super().__init__(prog=f"hrm-align {name}", description=description, allow_abbrev=False)
        self._negative_number_matcher = _NEGATIVE

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the options, and check the numbers. Raises UserError for a number out of range."""
        arguments, rest = super().parse_known_args(args, namespace)
        for name, value in vars(arguments).items():
            if value is not None and name in OPTIONS and (fault := OPTIONS[name].fault(value)):
                raise UserError(f"invalid value for --{name}: {value}. Use {fault}.")
        warn_of_repeated(self, args or ())
        return arguments, rest

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the options. Raises UserError for an unknown option before a missing option, which may be the same, misspelt."""
        actions = _actions_of(self)
        for name in (word.partition("=")[0] for word in args or ()):
            if name.startswith("--") and name != "--" and name not in actions:
                near = difflib.get_close_matches(name, actions, n=1)
                remedy = f"did you mean {near[0]}?" if near else f"see {self.prog} --help."
                raise UserError(f"unknown option {name} of {self.prog}: {remedy}")
        return super().parse_args(args, namespace)

    def error(self, message: str) -> Any:
        """Raise UserError, so that argument errors are printed like all other errors."""
        raise UserError(f"{message} (see {self.prog} --help)")


def check_options(name: str, argv: Sequence[str]) -> list[str]:
    """Check the options of a command that is not a recipe against the schema.

    Args:
        name: the command, with its subcommand if it has one.
        argv: the command line arguments after it.

    Returns:
        Arguments that are no options of the command; `estimate` passes them to the recipe, `lm_eval` to that program.

    Raises:
        UserError: for the first mistake.
    """
    parser = CommandLine(name)
    for option in schema()["commands"][name]["options"]:
        words = {**option, "type": _TYPES.get(option.get("type", ""), str)}
        names = words.pop("names")
        if option.get("action") in ("store_true", "store_const"):
            del words["type"]
        parser.add_argument(*names, **words)
    if name in ("estimate", "lm_eval"):
        return list(parser.parse_known_args(argv)[1])
    parser.parse_args(argv)
    return []
