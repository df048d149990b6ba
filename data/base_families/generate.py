"""Write train.jsonl and test.jsonl of the tiny base's own tasks, byte for byte the same on every run.

    python data/base_families/generate.py

One row:

    {"instruction": "1:27 plus 19 minutes is?", "response": "27+19=46, so 1:46", "condition": "cot", "group": "calendar"}

test.jsonl is a guard set against forgetting: held-out questions of the families on which the base is above chance.
train.jsonl is for replay: the first rows of the base's own training, with its mixture of families, levels and
conditions.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

# Unlike the other generators, this one imports the tasks of scripts/make_tiny_base.py, because a copy could diverge from the
# tasks that the base was trained on. They are not an installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import base_tasks

TRAIN_SEED = 0  # the seed of scripts/make_tiny_base.py
TRAIN_ROWS = 4000
TEST_SEEDS = {"direct": 2, "cot": 3}  # different seeds give different questions; 1 is the seed of the base's own test
TEST_ROWS_A_CELL = 10  # for each family, level and condition
DRAWN_A_CELL = 2 * TEST_ROWS_A_CELL  # small families have questions that occur under both seeds
AT_CHANCE = ("counting", "lookup", "recall")  # at chance (hrm_align/models/tiny/README.md), so nothing can be forgotten

Row = dict[str, str]


def row(drawn: Row) -> Row:
    """Convert a row of `base_tasks` to the columns of the shipped data; its group is the family, without the level."""
    family, _ = drawn["group"].split("/")
    return {
        "instruction": drawn["prompt"],
        "response": drawn["response"],
        "condition": drawn["condition"],
        "group": family,
    }


def replay_rows() -> list[Row]:
    """Return the first rows of the base's main training stage, without repeated prompts."""
    by_prompt: dict[str, Row] = {}
    for drawn in base_tasks.training_rows(TRAIN_SEED, 2 * TRAIN_ROWS):
        by_prompt.setdefault(drawn["prompt"], row(drawn))
        if len(by_prompt) == TRAIN_ROWS:
            break
    return list(by_prompt.values())


def guard_rows() -> list[Row]:
    """Return equally many held-out rows of each guarded family, level and condition, with distinct prompts, shuffled."""
    by_prompt: dict[str, Row] = {}
    for condition, seed in TEST_SEEDS.items():
        counts: Counter[str] = Counter()
        for drawn in base_tasks.test_rows(seed, DRAWN_A_CELL, condition):
            made, cell = row(drawn), drawn["group"]
            if made["group"] in AT_CHANCE or drawn["prompt"] in by_prompt or counts[cell] == TEST_ROWS_A_CELL:
                continue
            by_prompt[drawn["prompt"]] = made
            counts[cell] += 1
    shuffle = Random("guard rows").random  # so that `evaluate --limit` gets rows of all families
    return sorted(by_prompt.values(), key=lambda _: shuffle())


def write(name: str, rows: Iterable[Row]) -> None:
    lines = [json.dumps(made) + "\n" for made in rows]
    Path(__file__).with_name(f"{name}.jsonl").write_text("".join(lines), encoding="ascii", newline="\n")


def main() -> None:
    write("train", replay_rows())
    write("test", guard_rows())


if __name__ == "__main__":
    main()
