"""What the commands share: a parser that speaks in sentences, the model, the rows."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast, get_type_hints

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from hrm_align.config.yaml_file import mapping_or_text
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.models.adapters import BASE, base_of, is_adapter, load_adapted, named, open_adapter
from hrm_align.models.loading import AUTO, default_device
from hrm_align.rendering import DEFAULT_CONDITION, parse_condition

Options = TypeVar("Options")
ADAPTER = "adapter"  # the name of one that was given as --model


class _SentenceParser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are UserErrors, for a command of that name."""

    def __init__(self, name: str, description: str):
        super().__init__(prog=f"hrm-align {name}", description=description, allow_abbrev=False)

    def add_json_option(self) -> None:
        """The option that every command takes."""
        self.add_argument("--json", action="store_true", help="print JSON for programs")

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting, so that every mistake takes the same way out."""
        raise UserError(f"{message} (see {self.prog} --help)")


class PathParser(_SentenceParser):
    """The parser of a command that names files, and no `--model`."""

    def __init__(self, name: str, description: str):
        super().__init__(name, description)
        self.add_json_option()


class CommandParser(_SentenceParser):
    """The parser of a command that runs a model."""

    def __init__(self, name: str, description: str):
        super().__init__(name, description)
        self.add_argument("--model", required=True, help="checkpoint folder, Hub id, or `tiny`")
        self.add_argument(
            "--dtype", default=AUTO, help="float32, bfloat16 or float16 (default auto: what the checkpoint is saved in)"
        )
        self.add_argument("--device", help="cpu, cuda, mps (default: the accelerator if there is one)")
        self.add_json_option()


def add_options(parser: argparse.ArgumentParser, options: type) -> None:
    """A flag for each field of a dataclass that has a help text, under its name; its metadata are argparse's keywords."""
    hints = get_type_hints(options)
    how: dict[Any, dict[str, Any]] = {
        bool: {"action": "store_true"},
        list[str]: {"action": "append"},
        int: {"type": int},
    }
    for field in fields(options):
        if "help" in field.metadata:
            default = field.default if field.default_factory is MISSING else field.default_factory()
            settings = how.get(hints[field.name], {}) | {"default": default, **field.metadata}
            parser.add_argument(f"--{field.name}", **settings)


def options_from(arguments: argparse.Namespace, options: type[Options]) -> Options:
    """The dataclass, filled from the arguments of the same names."""
    return options(**{field.name: getattr(arguments, field.name) for field in fields(cast(Any, options))})


def add_adapter_option(parser: argparse.ArgumentParser) -> None:
    """The option of commands that can ask several adapters of one base in turn."""
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="[NAME=]FOLDER",
        help="put an adapter on the model; given several times, each is asked in turn",
    )


def add_schema_options(parser: argparse.ArgumentParser) -> None:
    """The options for rows in a schema of one's own; `schema_of` reads them."""
    parser.add_argument(
        "--columns",
        type=mapping_or_text,
        metavar="MAPPING",
        help="rows in your own columns, as in a recipe: '{prompt: question, response: answer}'",
    )
    parser.add_argument(
        "--format", help="schema of the rows, such as prompt_response (default: found by their columns)"
    )


def schema_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the options of `add_schema_options` say, for `read_examples`."""
    return {"columns": arguments.columns, "format": arguments.format}


def load(arguments: argparse.Namespace) -> tuple[Any, PreTrainedTokenizerFast]:
    """The model and tokenizer that the arguments name, on their device.

    A `--model` that is an adapter stands for it and its base.
    """
    disable_progress_bar()  # the output is for reading
    device = arguments.device or default_device()
    try:
        torch.empty(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:100]
        raise UserError(f"--device {device} cannot be used here ({reason}): leave it out, or use cpu.") from None
    words = getattr(arguments, "adapter", [])
    if not is_adapter(arguments.model):
        return load_adapted(arguments.model, named(words), dtype=arguments.dtype, device=device)
    if words:
        raise UserError(f"--model {arguments.model} is an adapter itself: name its base there, and it with --adapter.")
    adapter = open_adapter(arguments.model)
    return load_adapted(base_of(adapter), {ADAPTER: adapter}, dtype=arguments.dtype, device=device)


def asked_in_turn(model: Any) -> Iterator[str]:
    """The names of a model's adapters, each switched on while its turn lasts; `base` for a model without one."""
    if not isinstance(model, PeftModel):
        yield BASE
        return
    for name in list(model.peft_config):
        model.set_adapter(name)
        yield name


def read_examples(path: str, condition: str | None = None, split: str | None = None, **schema: Any) -> list[Example]:
    """The rows of a file, directory or Hub id, strictly read.

    Args:
        path: what to read.
        condition: for rows that name none.
        split: of a directory or Hub id; default `test`, so that nobody scores the rows that were trained on.
        schema: `columns` and `format`, as in `DatasetSpec`.
    """
    spec = DatasetSpec(path=path, **schema)
    if not Path(path).is_file():
        spec.split = split or "test"
    if condition is not None:
        parse_condition(condition)
    default = DEFAULT_CONDITION if condition is None else condition
    return load_examples([spec], default_condition=default)[0]


def check_save(path: str | None) -> None:
    """Refuse a `--save` that cannot become a new file, before the work."""
    if path is None:
        return
    if Path(path).exists():
        raise UserError(f"--save {path} exists already, and nothing is written over: name a new file.")
    if not Path(path).parent.is_dir():
        raise UserError(f"--save {path}: there is no folder {Path(path).parent}: make it, or name a file elsewhere.")


def at_least(value: int, least: int, option: str) -> int:
    """The value of an option, checked against its least one."""
    if value < least:
        raise UserError(f"{option} is {value}: it must be {least} or more.")
    return value
