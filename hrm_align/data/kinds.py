"""Kinds of examples: which rows a command reads, and the errors for rows of another kind.

`hrm-align sft`, `grpo`             answers      {"prompt", "response"}, messages and others (`schemas`)
`hrm-align dpo`, `reward`           pairs        {"chosen", "rejected"} and others (`preferences`)
`hrm-align kto`                     labels       {"prompt", "completion", "label"}, or pairs
`hrm-align evaluate`, exports       references   answers, or the chosen answers of preference rows
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hrm_align.data.columns import PREFERENCE
from hrm_align.data.examples import ANSWERS, KINDS, LABELS, PAIRS, REFERENCES, Example
from hrm_align.data.preference_readers import PREFERENCE_FORMATS
from hrm_align.data.preferences import PREFERENCE_SCHEMAS, SCORED, LeftOut
from hrm_align.data.schemas import Schema, detect_format
from hrm_align.errors import UserError

if TYPE_CHECKING:
    from hrm_align.data.specs import DatasetSpec

UNDESIRABLE = "an undesirable answer, which is no reference"
_COMMANDS = {ANSWERS: "`hrm-align sft`", PAIRS: "`hrm-align dpo` and `hrm-align reward`", LABELS: "`hrm-align kto`"}
_NEEDED = {
    PAIRS: "a better and a worse answer: map them with --columns '{chosen: BETTER, rejected: WORSE}'",
    LABELS: "a label for each answer, or pairs: map them with --columns '{completion: ANSWER, label: IS_GOOD}'",
}


def is_read_as(schema: Schema, kind: str) -> bool:
    """Return whether the rows of a schema can be read as a kind of examples: their own, labels made of pairs, or any as references."""
    return schema.kind == kind or (schema.kind, kind) == (PAIRS, LABELS) or kind == REFERENCES


def check_kind(spec: DatasetSpec, kind: str) -> None:
    """Raise UserError if the `format` or the `min_score_gap` of a data set is for rows of another kind."""
    if kind not in (*KINDS, REFERENCES):
        raise ValueError(f"unknown kind of examples: {kind}")
    if kind == ANSWERS:
        check_gap(spec, ANSWERS)
    if spec.format is None:
        return
    schema = PREFERENCE_FORMATS.get(spec.format)
    if schema is None and kind in (PAIRS, LABELS):
        raise UserError(f"{spec.path}: {_describe_other(f'the format {spec.format}', ANSWERS, kind)}")
    if schema is not None and not is_read_as(schema, kind):
        raise UserError(f"{spec.path}: {_describe_other(f'the format {spec.format}', schema.kind, kind)}")


def check_gap(spec: DatasetSpec, own: str) -> None:
    """Raise UserError if a data set has a `min_score_gap` and its rows have a kind (`own`) without scores."""
    if spec.min_score_gap is not None and own != PAIRS:
        raise UserError(
            f"`min_score_gap` of {spec.path} applies to answers with scores only, and its rows have none. Leave it out."
        )


def detect_schema(columns: set[str], kind: str) -> str:
    """Return the name of the schema that fits a set of column names and a kind of examples: `pairs`, `labels` or `references`.

    Raises:
        UserError: if no schema or several schemas fit.
    """
    if kind == REFERENCES and kind_of_columns(columns) == ANSWERS:
        return detect_format(columns)
    fitting = [name for name, schema in PREFERENCE_SCHEMAS.items() if columns.issuperset(schema.required)]
    usable = [name for name in fitting if is_read_as(PREFERENCE_SCHEMAS[name], kind)]
    if len(usable) == 1:
        return usable[0]
    listed = f"the columns {', '.join(sorted(columns)) or '(none)'}"
    if usable:
        raise UserError(
            f"{listed} fit the schemas {' and '.join(usable)}. Set `format` to one of them, and leave the columns of the other out "
            "with `ignore_columns`."
        )
    if fitting:
        raise UserError(_describe_other(listed, LABELS, kind))
    try:
        detect_format(columns)
    except UserError:
        known = [
            f"{name} ({', '.join(schema.required)})"
            for name, schema in PREFERENCE_SCHEMAS.items()
            if is_read_as(schema, kind)
        ]
        raise UserError(
            f"{listed} fit no preference schema. {_needs(kind)}. The schemas are {'; '.join(known)}."
        ) from None
    raise UserError(_describe_other(listed, ANSWERS, kind))


def kind_of_columns(columns: set[str]) -> str:
    """Return the kind of examples that a set of column names is that of."""
    fitting = [
        schema.kind
        for name, schema in PREFERENCE_SCHEMAS.items()
        if columns.issuperset(schema.required) and name != SCORED
    ]
    return next(iter(fitting), ANSWERS)  # a score beside one answer is metadata, unless the rows are read as pairs


def _describe_other(what: str, own: str, kind: str) -> str:
    """Return the error for rows of another kind than a command reads."""
    if kind == ANSWERS:
        return f"{what} is that of preference rows: {PREFERENCE}."
    verb = "are" if what.startswith("the columns") else "is"
    named = {ANSWERS: "answers to imitate", LABELS: "labelled answers", PAIRS: "pairs"}[own]
    return f"{what} {verb} for {named}, for which there is {_COMMANDS[own]}. {_needs(kind)}."


def _needs(kind: str) -> str:
    return f"{_COMMANDS[kind]} need{'' if ' and ' in _COMMANDS[kind] else 's'} {_NEEDED[kind]}"


def of_kind(examples: list[Example], kind: str) -> list[Example]:
    """Return the examples of one preference row as a kind; the pairs of a row become a desirable and an undesirable answer.

    As references they become the chosen or desirable answer. Of several pairs of ranked answers, the first has the best and the worst.
    """
    if not examples or kind == PAIRS or (examples[0].rejected is None and examples[0].desirable is None):
        return examples
    first = examples[0]
    if kind == REFERENCES:
        if first.desirable is False:
            raise LeftOut(UNDESIRABLE)
        return [replace(first, rejected=None, desirable=None, margin=None)]
    if first.rejected is None:
        return examples
    good = replace(first, rejected=None, desirable=True, margin=None)
    return [good, replace(good, answer=first.rejected, desirable=False)]
