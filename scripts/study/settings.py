"""The settings of a study: a fresh tiny model on a few families of `base_tasks`, or the embedded base on the shipped data sets."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from random import Random

import base_tasks
from datasets import Dataset
from make_tiny_base import ROWS_A_STEP, TOKENS_A_ROW, make_examples, new_model
from transformers import HrmTextForCausalLM, PreTrainedTokenizerFast

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.tokenize import tokenize
from hrm_align.evaluation.evaluate import last_turns
from hrm_align.models.loading import resolve
from hrm_align.rendering import get_renderer

FAMILIES = ("multiplication", "comparison", "boolean")  # families that a fresh model begins to learn within 240 steps
SHIPPED = ("data/chat", "data/json_extraction")
HELD_OUT_ROWS = 400
TOKENS_A_DOCUMENT = 30  # less than the mean, so that there are always enough rows


@dataclass(frozen=True)
class Setting:
    """A model and data to train: the initial model by seed, training rows by seed and number, and held-out rows."""

    name: str
    source: str  # digest of the file that the initial model is made from
    rate: float
    start: Callable[[int], HrmTextForCausalLM]
    rows: Callable[[int, int], Dataset]
    held_out: Dataset


def digest(name: str) -> str:
    """Return the first eight hexadecimal digits of the SHA-256 of a file of the embedded base."""
    return hashlib.sha256((Path(resolve("tiny")) / name).read_bytes()).hexdigest()[:8]


def count_documents(steps: int) -> int:
    """Return how many documents fill a number of steps."""
    return steps * ROWS_A_STEP * TOKENS_A_ROW // TOKENS_A_DOCUMENT


def family_rows(tokenizer: PreTrainedTokenizerFast, seed: int, n: int) -> Dataset:
    """Return tokenized training rows of the families in `FAMILIES`."""
    return tokenize(make_examples(base_tasks.training_rows(seed, n, FAMILIES)), get_renderer(tokenizer), TOKENS_A_ROW)[
        0
    ]


def scratch(tokenizer: PreTrainedTokenizerFast) -> Setting:
    """Return the setting of a fresh model on the families in `FAMILIES`."""
    tests = [
        row
        for condition in ("direct", "cot")
        for row in base_tasks.test_rows(1, HELD_OUT_ROWS // (4 * len(FAMILIES)), condition)
        if row["group"].split("/")[0] in FAMILIES
    ]
    held_out, _ = tokenize(make_examples(tests), get_renderer(tokenizer), TOKENS_A_ROW)
    start, rows = partial(new_model, tokenizer), partial(family_rows, tokenizer)
    return Setting("scratch", digest("tokenizer.json"), 2e-3, start, rows, held_out)


def fine_tuning(
    base: HrmTextForCausalLM, tokenizer: PreTrainedTokenizerFast, name: str = "SFT", folders: Sequence[str] = SHIPPED
) -> Setting:
    """Return the setting of the embedded base on shipped data sets, in equal parts."""
    render = get_renderer(tokenizer)

    def examples(split: str) -> list[list]:
        return [[*load_examples([DatasetSpec(path=f"{folder}/{split}.jsonl")])[0]] for folder in folders]

    train = examples("train")

    def rows(seed: int, n: int) -> Dataset:
        drawn = [Random(seed).sample(part, min(len(part), n // len(folders))) for part in train]
        return tokenize(chain.from_iterable(drawn), render, TOKENS_A_ROW)[0]

    tests = [Random(0).sample(last_turns(part), HELD_OUT_ROWS // len(folders)) for part in examples("test")]
    held_out, _ = tokenize(chain.from_iterable(tests), render, TOKENS_A_ROW)
    return Setting(name, digest("model.safetensors"), 3e-3, lambda seed: copy.deepcopy(base), rows, held_out)
