"""The rows of a run: read, held out, mixed with replay, tokenized, and all of it accounted for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from transformers import PreTrainedTokenizerFast, TrainingArguments

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.examples import Example, split_by_content
from hrm_align.data.tokenize import tokenize
from hrm_align.rendering import renderer_of

if TYPE_CHECKING:
    from hrm_align.config.arguments import DataArguments


@dataclass
class RunData:
    """What a run learns from and is measured on.

    Args:
        train: examples to learn, replay among them.
        held_out: examples to evaluate.
        guard: examples that must not be forgotten, by the path of their data set.
        account: what became of the rows, for run/data.json.
    """

    train: list[Example]
    held_out: list[Example]
    guard: dict[str, list[Example]] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)


def read_data(data: DataArguments, seed: int, quarantine: Path) -> RunData:
    """Read every row, strictly; hold out what the recipe says.

    Args:
        data: the recipe's keys.
        seed: chooses rows where a share of them is asked for.
        quarantine: folder that gets the malformed rows, `quarantine_train.jsonl` and so on.

    Raises:
        UserError: as `load_examples`.
    """
    account: dict[str, Any] = {}

    def read(specs: Sequence[DatasetSpec], name: str) -> list[Example]:
        examples, counts = load_examples(
            specs,
            default_condition=data.condition,
            seed=seed,
            max_bad_fraction=data.max_bad_fraction,
            quarantine=quarantine / f"quarantine_{name}.jsonl",
        )
        account[name] = counts.to_dict()
        return examples

    train = read(data.specs(), "train")
    if data.eval_datasets:
        held_out = read(data.eval_specs(), "eval")
    else:
        train, held_out = split_by_content(train, data.eval_fraction)
    if data.replay_datasets:
        train += drawn(read(data.replay_specs(), "replay"), data.replay_fraction, len(train), seed)
        account["replay"]["share"] = data.replay_fraction
    guard = {spec.path: read([spec], f"guard_{number}") for number, spec in enumerate(data.guard_specs(), start=1)}
    return RunData(train, held_out, guard, account)


def drawn(replay: Sequence[Example], share: float, others: int, seed: int) -> list[Example]:
    """As many replay examples as make up a share of the whole: each once before one comes twice.

    Args:
        replay: to draw from.
        share: of all examples, replay included; 0 to below 1.
        others: examples that are no replay.
        seed: of the draw.
    """
    wanted = round(others * share / (1 - share))
    copies, rest = divmod(wanted, len(replay))
    return [*replay] * copies + random.Random(seed).sample(replay, rest)


def tokenized(
    run: RunData, data: DataArguments, tokenizer: PreTrainedTokenizerFast, max_length: int
) -> tuple[Dataset, Dataset | None]:
    """Token ids of both sets; what is dropped, and why, goes into the account.

    Raises:
        UserError: as `tokenize`.
    """
    datasets: dict[str, Dataset] = {}
    for name, examples in (("train", run.train), ("eval", run.held_out)):
        if not examples and name == "eval":
            continue
        datasets[name], dropped = tokenize(examples, renderer_of(tokenizer), max_length, data.max_dropped_fraction)
        run.account.setdefault(name, {})["kept"] = len(datasets[name])
        run.account[name]["dropped"] = {"by_reason": dict(dropped.counts), "first_rows": dropped.sources}
    return datasets["train"], datasets.get("eval")


def warnings_of(run: RunData, args: TrainingArguments) -> list[str]:
    """What is to be said of the held-out rows: that nothing looks at them, or that they are learnt as well."""
    said = []
    if run.held_out and args.eval_strategy == "no" and not args.eval_on_start:
        said.append(f"{len(run.held_out)} held-out documents are never looked at: set --eval_strategy.")
    learnt = {*map(_text_of, run.train)}
    both = sum(_text_of(example) in learnt for example in run.held_out)
    if both:
        said.append(f"{both} of {len(run.held_out)} held-out documents are trained on too: their scores say little.")
    return said


def _text_of(example: Example) -> tuple[str, ...]:
    return (*(f"{message.role}: {message.content}" for message in example.messages), example.reference)
