"""Shared by the commands: argument parsers, loading of the model, reading of rows, checks of options.

Slow imports stand inside the functions that need them, so that commands without a model start at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_type_hints

from hrm_align.config.checks import CommandLine
from hrm_align.config.yaml_file import mapping_or_text
from hrm_align.data.damage import describe_damage
from hrm_align.errors import UserError
from hrm_align.progress import fold

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from hrm_align.data.examples import DataCounts, Example
    from hrm_align.evaluation.best_of import Chooser, Sampling
    from hrm_align.rollouts.engine import Decoding

Options = TypeVar("Options")


class _UserErrorParser(CommandLine):
    """Argument parser of a command."""

    def add_json_option(self) -> None:
        """Add --json, which every command has."""
        self.add_argument("--json", action="store_true", help="print JSON for programs")


class PathParser(_UserErrorParser):
    """Argument parser of a command without `--model`."""

    def __init__(self, name: str, description: str):
        super().__init__(name, description)
        self.add_json_option()


class CommandParser(_UserErrorParser):
    """Argument parser of a command that runs a model: --model, --dtype, --device and --json."""

    def __init__(self, name: str, description: str, needs_model: bool = True):
        from hrm_align.models.loading import AUTO, DTYPES

        super().__init__(name, description)
        self.add_argument("--model", required=needs_model, help="checkpoint folder, Hub id, or `tiny`")
        self.add_argument(
            "--dtype",
            default=AUTO,
            choices=[*DTYPES, AUTO],
            metavar="DTYPE",
            help="float32, bfloat16 or float16 (default auto: the dtype of the checkpoint)",
        )
        self.add_argument("--device", help="cpu, cuda, mps (default: the accelerator if there is one)")
        self.add_json_option()


def add_options(parser: argparse.ArgumentParser, options: type) -> None:
    """Add a flag for each field of a dataclass with a help text; the field's metadata are keywords of `add_argument`."""
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
    """Build a dataclass from the arguments of the same names as its fields."""
    return options(**{field.name: getattr(arguments, field.name) for field in fields(cast(Any, options))})


def add_adapter_option(parser: argparse.ArgumentParser) -> None:
    """Add --adapter, for commands that can run several adapters of one base."""
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="[NAME=]FOLDER",
        help="apply an adapter to the model; may be repeated, and each adapter is then run in turn",
    )


def add_token_limits(parser: argparse.ArgumentParser) -> None:
    """Add --top_p and --top_k, for commands that sample."""
    parser.add_argument(
        "--top_p",
        type=float,
        default=1.0,
        help="sample from the most probable tokens that together have this probability (default 1: all)",
    )
    parser.add_argument("--top_k", type=int, default=0, help="sample from the K most probable tokens (default 0: all)")


def check_token_limits(arguments: argparse.Namespace, samples: bool, remedy: str) -> None:
    """Refuse --top_p and --top_k where they have no effect.

    Args:
        arguments: arguments of a command with these options.
        samples: whether the command samples.
        remedy: what makes it sample.

    Raises:
        UserError: if one of them is set and nothing is sampled.
    """
    if not samples and (arguments.top_p != 1 or arguments.top_k):
        raise UserError(f"--top_p and --top_k have no effect on greedy decoding: {remedy}, or leave them out.")


def read_decoding(arguments: argparse.Namespace) -> Decoding:
    """Return the settings in --max_new_tokens, --temperature, --top_p and --top_k; a temperature of 0 is greedy decoding.

    Raises:
        UserError: for a value out of its range, or one without an effect.
    """
    from hrm_align.rollouts.engine import Decoding

    check_token_limits(arguments, arguments.temperature != 0, "add --temperature 1")
    if arguments.temperature == 0:
        return Decoding(arguments.max_new_tokens, greedy=True)
    return Decoding(arguments.max_new_tokens, arguments.temperature, arguments.top_k, arguments.top_p)


def add_sampling_options(parser: argparse.ArgumentParser, measure: str) -> None:
    """Add --top_p, --top_k, --n, --vote and --rank_by, which `read_sampling` reads together with --temperature and --seed.

    Args:
        parser: parser of a command with --temperature and --seed.
        measure: option of the command that measures confidence.
    """
    add_token_limits(parser)
    parser.add_argument(
        "--n", type=int, default=1, help=f"sample this many answers to each prompt, for --vote, --rank_by or {measure}"
    )
    parser.add_argument(
        "--vote",
        action="store_true",
        help="take the answer that most of the --n samples give, as the grader reads them",
    )
    parser.add_argument(
        "--rank_by",
        type=mapping_or_text,
        metavar="REWARD",
        help="take the best of the --n answers by a reward model (`hrm-align reward`), named by its folder, or by a reward that needs "
        "no reference: '{name: length, most: 60}'",
    )


def read_sampling(arguments: argparse.Namespace, match: str, measure: str) -> tuple[Sampling | None, Chooser | None]:
    """Read the options of `add_sampling_options`, and load the reward model of --rank_by.

    Args:
        arguments: the arguments.
        match: name of the grader that reads the answers.
        measure: as in `add_sampling_options`.

    Returns:
        How answers are sampled, or None; and what chooses one of them, or None.

    Raises:
        UserError: for options that do not fit together, greedy samples, a reward that needs references, or a reward model that
            cannot be loaded.
    """
    n, rank_by = at_least(arguments.n, 1, "--n"), arguments.rank_by
    if n == 1:
        if arguments.vote or rank_by:
            given = "--vote" if arguments.vote else "--rank_by"
            raise UserError(f"{given} needs several answers to choose from: add --n 8.")
        return None, None
    if arguments.vote and rank_by:
        raise UserError("--vote and --rank_by choose an answer each: leave one of them out.")
    if not (arguments.vote or rank_by or getattr(arguments, measure.lstrip("-"))):
        raise UserError(f"--n {n} needs a use for the {n} answers: add --vote, --rank_by or {measure}.")
    if not arguments.temperature:
        raise UserError("--n answers of greedy decoding are all the same. Add --temperature 1.")
    from hrm_align.evaluation.best_of import ModelRanker, RewardRanker, Sampling
    from hrm_align.evaluation.voting import Voter
    from hrm_align.models.loading import default_device
    from hrm_align.models.reward_loading import Scorer
    from hrm_align.rewards.base import GRADERS, RewardSpec

    sampling = Sampling(n, arguments.temperature, arguments.seed, arguments.top_k, arguments.top_p)
    if arguments.vote:
        return sampling, Voter(match)
    if rank_by is None:
        return sampling, None
    if not isinstance(rank_by, str) or (rank_by in GRADERS and not Path(rank_by).exists()):
        try:
            return sampling, RewardRanker(RewardSpec.of(rank_by))
        except UserError as error:
            raise UserError(f"--rank_by: {error}") from None
    return sampling, ModelRanker(Scorer.load(rank_by, device=arguments.device or default_device()))


def add_schema_options(parser: argparse.ArgumentParser) -> None:
    """Add --columns, --format, --ignore_columns and --max_bad_fraction, which `read_schema_options` reads."""
    parser.add_argument(
        "--columns",
        type=mapping_or_text,
        metavar="MAPPING",
        help="names of the columns in your rows, as in a recipe: '{prompt: question, response: answer}'",
    )
    parser.add_argument(
        "--format",
        help="schema of the rows, such as prompt_response, or a published data set, such as gsm8k (default: detected from the columns)",
    )
    parser.add_argument(
        "--ignore_columns",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="columns to leave out, and keys of messages as messages.KEY, which would otherwise be read or refused",
    )
    parser.add_argument(
        "--max_bad_fraction",
        type=float,
        help="share of malformed rows to leave out, 0 to 1, as in a recipe (default 0)",
    )


def read_schema_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the options of `add_schema_options` as keywords of `read_examples`."""
    share = arguments.max_bad_fraction
    if share is not None and not 0 <= share <= 1:
        raise UserError(f"invalid value for --max_bad_fraction: {share:g}. Use a share between 0 and 1, such as 0.01.")
    return {
        **{name: getattr(arguments, name) for name in ("columns", "format", "ignore_columns")},
        "max_bad_fraction": share or 0.0,
    }


def load(arguments: argparse.Namespace) -> tuple[Any, PreTrainedTokenizerFast]:
    """Load the model and tokenizer that the arguments name, on the requested device.

    If --model names an adapter, its base is loaded with the adapter applied.

    Raises:
        UserError: if the device cannot be used, the model cannot be loaded, or --model and --adapter do not fit together.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar

    from hrm_align.models.adapters import is_adapter, load_adapted, load_named, named
    from hrm_align.models.loading import default_device

    disable_progress_bar()  # standard output is for results
    device = arguments.device or default_device()
    try:
        torch.empty(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:100]
        raise UserError(
            f"invalid value for --device: {device} cannot be used on this machine ({reason}). Use cpu, or leave --device out."
        ) from None
    adapters = getattr(arguments, "adapter", [])
    if not is_adapter(arguments.model):
        return load_adapted(arguments.model, named(adapters), dtype=arguments.dtype, device=device)
    if adapters:
        raise UserError(
            f"--model {arguments.model} is itself an adapter, which cannot be combined with --adapter. Give the base with --model, and "
            "every adapter with --adapter."
        )
    return load_named(arguments.model, dtype=arguments.dtype, device=device)


def asked_in_turn(model: Any) -> Iterator[str]:
    """Yield the name of each adapter of a model while this adapter is active; `base` for a model without adapters."""
    from peft import PeftModel

    from hrm_align.models.adapters import BASE

    if not isinstance(model, PeftModel):
        yield BASE
        return
    for name in list(model.peft_config):
        model.set_adapter(name)
        yield name


def read_examples(path: str, condition: str | None = None, split: str | None = None, **options: Any) -> list[Example]:
    """Read the rows of a file, directory or Hub id.

    Args:
        path: file, directory or Hub id.
        condition: condition of rows that name none.
        split: split of a directory or Hub id.
        options: `default_split`, as in `name_entry`; `max_bad_fraction` and `kind`, as in `read_entries`; `columns`, `format` and
            `ignore_columns`, as in `DatasetSpec`.

    Raises:
        UserError: for more malformed rows than `max_bad_fraction`; the first ones are named.
    """
    max_bad_fraction, kind = options.pop("max_bad_fraction", 0.0), options.pop("kind", "answers")
    return read_entries([name_entry(path, split, **options)], condition, max_bad_fraction, kind)


def name_entry(path: str, split: str | None = None, default_split: str = "test", **schema: Any) -> dict[str, Any]:
    """Return a file, directory or Hub id as an entry of `datasets`.

    Args:
        path: file, directory or Hub id.
        split: split of a directory or Hub id.
        default_split: split if `split` is None; `test`, so that rows of the training split are not scored by mistake.
        schema: `columns`, `format` and `ignore_columns`, as in `DatasetSpec`.
    """
    is_file = Path(path).is_file()
    if is_file and split is not None:
        raise UserError(f"--split {split} applies to a directory or a Hub id, and {path} is a file. Leave --split out.")
    return {"path": path, **({} if is_file else {"split": split or default_split}), **schema}


def read_entries(
    entries: Sequence[Mapping[str, Any]],
    condition: str | None = None,
    max_bad_fraction: float = 0.0,
    kind: str = "answers",
) -> list[Example]:
    """Read the rows of entries of `datasets`, and print on standard error which rows and columns are left out, and damaged text.

    Args:
        entries: mappings with the keys of `DatasetSpec`.
        condition: condition of rows that name none.
        max_bad_fraction: share of malformed rows that may be left out.
        kind: kind of the examples, as in `load_examples`.
    """
    examples, counts = read_counted(entries, condition, max_bad_fraction, kind)
    print_warnings(describe_left_out(counts) + describe_damage(counts.damage, counts.rows_read))
    return examples


def print_warnings(lines: Sequence[str]) -> None:
    """Print lines on standard error, folded."""
    for line in lines:
        print(fold(line), file=sys.stderr)


def read_counted(
    entries: Sequence[Mapping[str, Any]],
    condition: str | None = None,
    max_bad_fraction: float = 0.0,
    kind: str = "answers",
) -> tuple[list[Example], DataCounts]:
    """Read the rows of entries of `datasets` as `read_entries` does, with their counts; nothing is printed."""
    from hrm_align.data.dataset import load_examples
    from hrm_align.data.specs import DatasetSpec
    from hrm_align.rendering import DEFAULT_CONDITION, parse_condition

    if condition is not None:
        parse_condition(condition)
    default = DEFAULT_CONDITION if condition is None else condition
    specs = [DatasetSpec.from_dict(entry) for entry in entries]
    examples, counts = load_examples(specs, default_condition=default, max_bad_fraction=max_bad_fraction, kind=kind)
    return [*examples], counts


def describe_left_out(counts: DataCounts) -> list[str]:
    """Return lines on the columns that are not used, on rows of weight 0, and on malformed rows; an empty list without any."""
    return counts.describe_unused() + describe_bad_rows(counts)


def describe_bad_rows(counts: DataCounts) -> list[str]:
    """Return a warning on malformed rows that are left out, and the first of them; an empty list without such rows."""
    if not counts.rows_bad:
        return []
    first = [f"  {row}" for part in counts.datasets for row in part.first_bad]
    more = [f"  and {counts.rows_bad - len(first):,} more"] if counts.rows_bad > len(first) else []
    line = f"Warning: {counts.rows_bad:,} of {counts.rows_read:,} rows cannot be used and are left out:"
    return [line, *first, *more]


def check_save(path: str | None) -> None:
    """Raise UserError if the file of --save exists or cannot be created."""
    if path is None:
        return
    if Path(path).exists():
        raise UserError(f"the file of --save, {path}, already exists and is not overwritten. Name a new file.")
    if not Path(path).parent.is_dir():
        raise UserError(
            f"cannot write --save {path}: there is no folder {Path(path).parent}. Create the folder, or name another file."
        )


def at_least(value: int, least: int, option: str) -> int:
    """Return the value of an option; raise UserError if it is below `least`."""
    if value < least:
        raise UserError(f"invalid value for {option}: {value}. Use {least} or more.")
    return value
