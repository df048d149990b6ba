"""Rows for `hrm-align inspect`: those of a file with the options of the command, or with `--config` those that a recipe trains on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

from hrm_align.commands.common import name_entry, read_counted, read_examples, read_schema_options
from hrm_align.commands.recipes import describe
from hrm_align.config.parser import parse
from hrm_align.config.recipe_files import find_recipe
from hrm_align.config.rules import recipe_kind
from hrm_align.data.dataset import detect_kind, load_examples
from hrm_align.data.examples import ANSWERS, LABELS, PAIRS, DataCounts, Example
from hrm_align.data.specs import DatasetSpec
from hrm_align.data.splits import drawn, split_by_content
from hrm_align.errors import UserError

KINDS_OF_ROWS = {"dpo": PAIRS, "reward": PAIRS, "kto": LABELS}  # by command; the other recipes read answers
# Options whose values a recipe states itself.
_OF_DATA = ("columns", "format", "ignore_columns", "max_bad_fraction", "condition", "kind", "held_out")
_DEFAULTS = {"max_length": 4096, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}


@dataclass
class InspectedRows:
    """Rows to show.

    Args:
        kind: `answers`, `pairs` or `labels`.
        examples: the training rows.
        counts: counts of the rows that were read.
        held_out: held-out rows, to find those that are also among the training rows.
    """

    kind: str
    examples: list[Example]
    counts: DataCounts
    held_out: Sequence[Example] = field(default_factory=list)


def read_rows(arguments: argparse.Namespace) -> InspectedRows:
    """Read the rows that the arguments name, and fill in the defaults of `--model`, `--max_length` and the batch.

    Raises:
        UserError: if DATA and --config are both given or both missing, for options that a recipe states itself, and as
            `load_examples` does.
    """
    if (arguments.data is None) == (arguments.config is None):
        raise UserError(
            "give either rows or a recipe: `hrm-align inspect DATA --model MODEL`, or `hrm-align inspect --config FILE`."
        )
    rows = _rows_of_file(arguments) if arguments.config is None else _rows_of_recipe(arguments)
    for name, value in _DEFAULTS.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return rows


def _rows_of_file(arguments: argparse.Namespace) -> InspectedRows:
    if arguments.model is None:
        raise UserError("--model is missing: name the checkpoint whose tokenizer and mask the rows are shown with.")
    schema = read_schema_options(arguments)
    share = schema.pop("max_bad_fraction")
    entry = name_entry(arguments.data, default_split="train", **schema)
    kind = arguments.kind or detect_kind(DatasetSpec.from_dict(entry))
    if kind != ANSWERS and (arguments.html or arguments.held_out):
        option = "--html" if arguments.html else "--held_out"
        raise UserError(f"{option} does not apply to preference rows. Leave it out.")
    examples, counts = read_counted([entry], arguments.condition, share, kind)
    held_out = read_examples(arguments.held_out, **schema, max_bad_fraction=share) if arguments.held_out else []
    return InspectedRows(kind, examples, counts, held_out)


def _rows_of_recipe(arguments: argparse.Namespace) -> InspectedRows:
    """Read the rows as a run of the recipe does: all its data sets, the held-out rows split off, and replayed rows added."""
    if given := [f"--{name}" for name in _OF_DATA if getattr(arguments, name) is not None]:
        raise UserError(
            f"{given[0]} does not apply to a recipe, which states it itself. Leave it out, or change the recipe."
        )
    command = describe(find_recipe(arguments.config))["command"]
    kind = KINDS_OF_ROWS.get(command, ANSWERS)
    if kind != ANSWERS and arguments.html:
        raise UserError("--html does not apply to preference rows. Leave it out.")
    recipe = parse(recipe_kind(command), ["--config", arguments.config], to_run=False)
    data, training = recipe.data, recipe.training
    arguments.model = arguments.model or recipe.model.model_name_or_path
    for name in _DEFAULTS:
        if getattr(arguments, name) is None:
            setattr(arguments, name, getattr(training, name, None))

    def load(specs: Sequence[DatasetSpec]) -> tuple[list[Example], DataCounts]:
        share = data.max_bad_fraction
        examples, counts = load_examples(
            specs, default_condition=data.condition, seed=training.seed, max_bad_fraction=share, kind=kind
        )
        return [*examples], counts

    examples, counts = load(data.specs())
    held_out: Sequence[Example] = load(data.eval_specs())[0] if data.eval_datasets else []
    if not held_out and data.eval_fraction:
        train, held_out = split_by_content(examples, data.eval_fraction)
        examples = [*train]
    if data.replay_datasets:
        examples += drawn(load(data.replay_specs())[0], data.replay_fraction, len(examples), training.seed)
    return InspectedRows(kind, examples, counts, held_out)
