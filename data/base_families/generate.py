"""Write train.jsonl and test.jsonl of the tiny base's own tasks, byte for byte the same on every run.

    python data/base_families/generate.py

One row:

    {"instruction": "1:27 plus 19 minutes is?", "response": "27+19=46, so 1:46", "condition": "cot", "group": "calendar"}

test.jsonl is a guard against forgetting: held-out questions of the families on which the base is above chance.
train.jsonl is for replay: the first rows that the base's own training drew, families, levels and conditions as they
came.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

# The other generators stand alone. This one has to draw what the base was trained on, and a copy of those tasks would
# drift from them, so it takes them from where scripts/make_tiny_base.py does. They are no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import base_tasks

TRAIN_SEED = 0  # of scripts/make_tiny_base.py
TRAIN_ROWS = 4000
TEST_SEEDS = {"direct": 2, "cot": 3}  # one seed would ask both conditions the same; 1 is the base's own score
TEST_ROWS_A_CELL = 10  # for each family, level and condition
DRAWN_A_CELL = 2 * TEST_ROWS_A_CELL  # small families ask some questions under both seeds
AT_CHANCE = ("counting", "lookup", "recall")  # hrm_align/models/tiny/README.md: there is nothing to forget

Row = dict[str, str]


def row(drawn: Row) -> Row:
    """A row of `base_tasks` in the columns of the shipped data; its group is the family, without the level."""
    family, _ = drawn["group"].split("/")
    return {
        "instruction": drawn["prompt"],
        "response": drawn["response"],
        "condition": drawn["condition"],
        "group": family,
    }


def replay_rows() -> list[Row]:
    """The first rows of the base's main training stage, without those whose prompt came before."""
    found: dict[str, Row] = {}
    for drawn in base_tasks.training_rows(TRAIN_SEED, 2 * TRAIN_ROWS):
        found.setdefault(drawn["prompt"], row(drawn))
        if len(found) == TRAIN_ROWS:
            break
    return list(found.values())


def guard_rows() -> list[Row]:
    """As many held-out rows of each guarded family, level and condition, no prompt twice, in random order."""
    found: dict[str, Row] = {}
    for condition, seed in TEST_SEEDS.items():
        counts: Counter[str] = Counter()
        for drawn in base_tasks.test_rows(seed, DRAWN_A_CELL, condition):
            made, cell = row(drawn), drawn["group"]
            if made["group"] in AT_CHANCE or drawn["prompt"] in found or counts[cell] == TEST_ROWS_A_CELL:
                continue
            found[drawn["prompt"]] = made
            counts[cell] += 1
    shuffle = Random("guard rows").random  # so that `evaluate --limit` asks a little of everything
    return sorted(found.values(), key=lambda _: shuffle())


def write(name: str, rows: Iterable[Row]) -> None:
    lines = [json.dumps(made) + "\n" for made in rows]
    Path(__file__).with_name(f"{name}.jsonl").write_text("".join(lines), encoding="ascii", newline="\n")


def main() -> None:
    write("train", replay_rows())
    write("test", guard_rows())


if __name__ == "__main__":
    main()
