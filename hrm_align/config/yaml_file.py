"""Read YAML in recipe files and in command line values. Imports nothing slow, so that errors are reported at once."""

from __future__ import annotations

import argparse
import difflib
import re
from pathlib import Path
from typing import Any

import yaml

from hrm_align.errors import UserError, join_names


class Loader(yaml.SafeLoader):
    """YAML loader with the scalars of YAML 1.2: `3e-5` is a number; `no`, `1:30` and `2024-01-01` are text. Duplicate keys fail."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping. Raises MarkedYAMLError for a duplicate key, or a key without a space after its colon."""
        seen: set[str] = set()
        for key, value in node.value:
            if str(key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"duplicate key {key.value}, keep one", problem_mark=key.start_mark)
            if node.flow_style and _lacks_a_space(key, value):
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} needs a space after its colon", problem_mark=key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _lacks_a_space(key: yaml.Node, value: yaml.Node) -> bool:
    """Return whether a pair was written as `{rate:1}`, which YAML reads as the key `rate:1` without a value."""
    plain = all(isinstance(node, yaml.ScalarNode) and node.style is None for node in (key, value))
    return plain and ":" in key.value and value.value == ""


Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", "-+0123456789."),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def mapping_or_text(word: str) -> dict[str, Any] | str:
    """Parse a command line value that may be a mapping in YAML or JSON, such as `{low: 1e-5}`.

    Args:
        word: the value; a value that does not begin with a brace is returned as text.

    Raises:
        argparse.ArgumentTypeError: for an invalid mapping; the parser adds the name of the setting.
    """
    if not word.lstrip().startswith("{"):
        return word
    try:
        mapping: dict[str, Any] = Loader(word).get_single_data()
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or getattr(error, "reason", None)
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a valid mapping ({reason}). Write '{{key: value}}'"
        ) from None
    return mapping


def list_or_words(word: str) -> list[str]:
    """Parse a command line value that may be a list in YAML or JSON, such as `[exact, {name: length, weight: 0.1}]`.

    Args:
        word: the value; a value without brackets around it, and a list that is not valid YAML, are returned as one word.

    Returns:
        The entries as separate command line values.
    """
    text = word.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return [word]
    try:
        node = Loader(text).get_single_node()
    except yaml.YAMLError:
        return [word]
    if not isinstance(node, yaml.SequenceNode):
        return [word]
    return [
        entry.value if isinstance(entry, yaml.ScalarNode) else text[entry.start_mark.index : entry.end_mark.index]
        for entry in node.value
    ]


def read_yaml(path: Path) -> tuple[yaml.MappingNode, dict[Any, Any]]:
    """Read a recipe file.

    Returns:
        The root node, whose children have line numbers, and the settings as Python values.

    Raises:
        UserError: if the file cannot be read, is not valid YAML, or is not a mapping.
    """
    text = _read_text(path)
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            line = node.start_mark.line + 1 if node else 1
            raise UserError(f"{path}:{line}: the recipe is not a mapping. Write lines of the form `key: value`.")
        return node, loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UserError(f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem}.") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{path}:{line}: not valid YAML: {error.reason}.") from None


def _read_text(path: Path) -> str:
    """Read a recipe file as text. Raises UserError, with the nearest file name if there is no such file."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text. Give the path of a YAML file after --config.") from None
    except IsADirectoryError:
        inside = join_names(sorted(file.name for file in path.glob("*.y*ml")))
        remedy = f"name a file in it ({inside})" if inside else "give the path of a YAML file"
        raise UserError(f"{path} is a folder, not a recipe file: {remedy} after --config.") from None
    except OSError as error:
        folder = path.parent
        there = folder.glob("*.y*ml") if folder.is_dir() else folder.parent.glob("*/*.y*ml")
        near = difflib.get_close_matches(str(path), sorted(map(str, there)), n=1, cutoff=0.4)
        remedy = f"did you mean {near[0]}?" if near else "give the path of a YAML file after --config."
        raise UserError(f"cannot read the recipe {path} ({error.strerror}): {remedy}") from None
