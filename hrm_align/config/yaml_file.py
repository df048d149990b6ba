"""YAML as a recipe has it, in a file and in one word of the command line."""

from __future__ import annotations

import argparse
import re
from typing import Any

import yaml


class Loader(yaml.SafeLoader):
    """YAML 1.2's plain scalars: `3e-5` is a number; `no`, `1:30` and `2024-01-01` are text. A key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, value in node.value:
            if str(key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} stands twice, keep one", problem_mark=key.start_mark)
            if node.flow_style and _lacks_a_space(key, value):
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} needs a space behind its colon", problem_mark=key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _lacks_a_space(key: yaml.Node, value: yaml.Node) -> bool:
    """Whether a pair is `{rate:1}`, which YAML takes for a key `rate:1` without a value."""
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
    """Read a word that may be a mapping, `{low: 1e-5}`, as a recipe's file would; JSON is YAML too.

    Args:
        word: from the command line; one that does not begin with a brace is text.

    Raises:
        argparse.ArgumentTypeError: for a mapping that cannot be read; a parser adds the name of the setting.
    """
    if not word.lstrip().startswith("{"):
        return word
    try:
        mapping: dict[str, Any] = Loader(word).get_single_data()
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or getattr(error, "reason", None)
        raise argparse.ArgumentTypeError(f"{word!r} is no mapping ({reason}): write '{{key: value}}'") from None
    return mapping
