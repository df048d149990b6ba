"""Write train.jsonl and test.jsonl of the look-up data set, byte for byte the same on every run.

    python data/lookup/generate.py

One row:

    {"instruction": "On which shelf is K47?", "response": "shelf D3", "condition": "direct", "group": "shelf"}

The table (`catalogue()`) is in no prompt, so that the model has to memorise it. Every fact of a test row is in training
rows with other wordings; the combination of fact and wording is held out.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeVar

SEED = 4711
ENTRIES = 72
HELD_OUT = {"single": 2, "pair": 1}  # wordings of every fact, and of every pair of facts, that are only for test rows
UNKNOWN_TRAIN, UNKNOWN_TEST = 300, 60
UNKNOWN = "not in the catalogue"

MATERIALS = ("brass", "copper", "glass", "nylon", "rubber", "steel")
PARTS = (
    "adapter", "bearing", "clamp", "coupling", "filter", "flange", "gasket", "hose", "nozzle", "piston", "pump", "valve",
)  # fmt: skip
HAZARDS = ("none", "sharp", "heavy", "oily", "fragile")

# Questions for each attribute, and for two attributes at once.
QUESTIONS = {
    "name": ("What is {code}?", "Which part is {code}?", "What is {code} called?", "Which part has the code {code}?"),
    "shelf": ("Where is {code}?", "On which shelf is {code}?", "Where do I find {code}?", "Where is {code} kept?"),
    "price": ("How much is {code}?", "What does {code} cost?", "What do I pay for {code}?", "How costly is {code}?"),
    "hazard": ("Is {code} dangerous?", "Which hazard has {code}?", "What is the risk of {code}?", "Is {code} safe?"),
}
FRAMES = (
    "What is the {attribute} of {code}?",
    "Give the {attribute} of {code}.",
    "I need the {attribute} of {code}.",
    "Please tell me the {attribute} of {code}.",
    "Look up {code}: {attribute}.",
    "Catalogue entry {code}: {attribute}?",
    "For {code}, state the {attribute}.",
    "{code}, {attribute}?",
)
PAIRS = ("What are the {one} and {two} of {code}?", "Give the {one} and the {two} of {code}.", "{code}: {one}, {two}?")

Item = TypeVar("Item")


@dataclass(frozen=True)
class Entry:
    """An entry of the catalogue. `price` is in cents."""

    code: str
    name: str
    shelf: str
    price: int
    hazard: str

    def answer(self, attribute: str) -> str:
        return {
            "name": self.name,
            "shelf": f"shelf {self.shelf}",
            "price": f"{self.price} cents",
            "hazard": f"hazard {self.hazard}",
        }[attribute]


class Draw:
    """Random choices by `random()` alone, whose sequence Python guarantees for a seed."""

    def __init__(self, seed: int):
        self._random = random.Random(seed).random

    def pick(self, items: Sequence[Item]) -> Item:
        return items[int(self._random() * len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        return sorted(items, key=lambda _: self._random())


def catalogue() -> tuple[list[Entry], list[str]]:
    """Make the entries of the catalogue, and codes of the same form without an entry."""
    draw = Draw(SEED)
    codes = draw.shuffled([f"{letter}{number}" for letter in "HKMRTX" for number in range(10, 100)])
    names = draw.shuffled([f"{material} {part}" for material in MATERIALS for part in PARTS])
    prices = draw.shuffled(range(105, 995, 5))
    shelves = [f"{row}{place}" for row in "ABCDEF" for place in range(1, 7)]
    entries = [
        Entry(code, name, draw.pick(shelves), price, draw.pick(HAZARDS))
        for code, name, price in zip(codes[:ENTRIES], names[:ENTRIES], prices[:ENTRIES], strict=True)
    ]
    return entries, codes[ENTRIES:]


def questions(code: str, attribute: str) -> list[str]:
    """Return all questions for one attribute of a code."""
    frames = [frame.replace("{attribute}", attribute) for frame in FRAMES]
    return [frame.format(code=code) for frame in (*QUESTIONS[attribute], *frames)]


def row(instruction: str, response: str, group: str) -> dict[str, str]:
    return {"instruction": instruction, "response": response, "condition": "direct", "group": group}


def pair_row(entry: Entry, pair: str, one: str, two: str) -> dict[str, str]:
    """Make a row that requests two attributes; the answer has them in the requested order."""
    question = pair.format(one=one, two=two, code=entry.code)
    return row(question, f"{entry.answer(one)}, {entry.answer(two)}", "pair")


def known(draw: Draw, entries: Sequence[Entry]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Make training rows and test rows about the entries; some wordings of each fact are only in the test."""
    train, test = [], []
    for entry in entries:
        for attribute in QUESTIONS:
            asked = draw.shuffled(questions(entry.code, attribute))
            made = [row(question, entry.answer(attribute), attribute) for question in asked]
            test += made[: HELD_OUT["single"]]
            train += made[HELD_OUT["single"] :]
        for first, second in combinations(QUESTIONS, 2):
            orders = ((first, second), (second, first))
            made = draw.shuffled([pair_row(entry, pair, one, two) for pair in PAIRS for one, two in orders])
            test += made[: HELD_OUT["pair"]]
            train += made[HELD_OUT["pair"] :]
    return train, test


def unknown(draw: Draw, codes: Sequence[str], count: int) -> list[dict[str, str]]:
    """Make rows about codes that are not in the catalogue."""
    asked: dict[str, None] = {}
    while len(asked) < count:
        asked[draw.pick(questions(draw.pick(codes), draw.pick(list(QUESTIONS))))] = None
    return [row(question, UNKNOWN, "unknown") for question in asked]


def main() -> None:
    draw = Draw(SEED + 1)
    entries, strangers = catalogue()
    train, test = known(draw, entries)
    border = len(strangers) * 3 // 4
    train += unknown(draw, strangers[:border], UNKNOWN_TRAIN)
    test += unknown(draw, strangers[border:], UNKNOWN_TEST)
    for name, rows in (("train", train), ("test", test)):
        lines = [json.dumps(made) + "\n" for made in draw.shuffled(rows)]
        Path(__file__).with_name(f"{name}.jsonl").write_text("".join(lines), encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
