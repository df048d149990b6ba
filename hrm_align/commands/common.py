"""What the commands share: a parser that speaks in sentences, the model, the rows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

import torch
from transformers import HrmTextForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from hrm_align.data.example import Example
from hrm_align.data.mixture import DatasetSpec, load_examples
from hrm_align.errors import UserError
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.rendering import DEFAULT_CONDITION, parse_condition


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
    """The parser of a command that reads files and loads no model."""

    def __init__(self, name: str, description: str):
        super().__init__(name, description)
        self.add_json_option()


class CommandParser(_SentenceParser):
    """The parser of a command that runs a model."""

    def __init__(self, name: str, description: str):
        super().__init__(name, description)
        self.add_argument("--model", required=True, help="checkpoint folder, Hub id, or `tiny`")
        self.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16 (default float32)")
        self.add_argument("--device", help="cpu, cuda, mps (default: the accelerator if there is one)")
        self.add_json_option()


def load(arguments: argparse.Namespace) -> tuple[HrmTextForCausalLM, PreTrainedTokenizerFast]:
    """The model and tokenizer that the arguments name, on their device."""
    disable_progress_bar()  # the output is for reading
    device = arguments.device
    if device is None:
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    try:
        torch.empty(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:100]
        raise UserError(f"--device {device} cannot be used here ({reason}): leave it out, or use cpu.") from None
    return load_model_and_tokenizer(arguments.model, dtype=arguments.dtype, device=device)


def read_examples(path: str, condition: str | None = None, split: str | None = None) -> list[Example]:
    """The rows of a file, directory or Hub id, strictly read.

    Args:
        path: what to read.
        condition: for rows that name none.
        split: of a directory or Hub id; default `test`, so that nobody scores the rows that were trained on.
    """
    spec = DatasetSpec(path=path)
    if not Path(path).is_file():
        spec.split = split or "test"
    if condition is not None:
        parse_condition(condition)
    default = DEFAULT_CONDITION if condition is None else condition
    return load_examples([spec], default_condition=default)[0]


def at_least(value: int, least: int, option: str) -> int:
    """The value of an option, checked against its least one."""
    if value < least:
        raise UserError(f"{option} is {value}: it must be {least} or more.")
    return value
