"""Write train.jsonl and test.jsonl of the JSON extraction data set, byte for byte the same on every run.

    python data/json_extraction/generate.py

One row:

    {"prompt": "Extract buyer, price as JSON: Mific pays 670 euros and has order number 2960.",
     "response": "{\\"buyer\\": \\"Mific\\", \\"price\\": 670}", "group": "typed"}

The keys are in the requested order; a field that the text does not have is null. No name, town, day or number of a test
answer occurs in a training answer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

SEED = 8259
TRAIN_ROWS = {"flat": 1200, "typed": 1200, "list": 1200, "missing": 1200}
TEST_ROWS = {"flat": 150, "typed": 150, "list": 150, "missing": 150}
TRAIN_SHARE = 0.7  # share of every split pool for training rows; the rest is only for test rows

WORDS: dict[str, list[Any]] = json.loads(Path(__file__).with_name("words.json").read_text(encoding="ascii"))

Item = TypeVar("Item")
Value = str | int
Pools = dict[str, Sequence[Value]]


@dataclass(frozen=True)
class Field:
    """A field of a record: its key, the pool of its values, and its clause in a sentence."""

    key: str
    pool: str
    clause: str


# Each record: the subject of its sentences, then its fields.
RECORDS = (
    (
        Field("name", "name", "{}"),
        (
            Field("city", "city", "lives in {}"),
            Field("job", "job", "works as a {}"),
            Field("age", "age", "is {} years old"),
        ),
    ),
    (
        Field("buyer", "name", "{}"),
        (
            Field("item", "item", "buys {}"),
            Field("price", "price", "pays {} euros"),
            Field("order", "order", "has order number {}"),
        ),
    ),
    (
        Field("guest", "name", "{}"),
        (
            Field("host", "name", "visits {}"),
            Field("day", "day", "arrives on {}"),
            Field("room", "room", "stays in room {}"),
        ),
    ),
)
# Pools of numbers, all from one split, so that no price of a training row is an age or a count of a test row.
NUMBER_RANGES = (("age", 11, 98), ("count", 2, 99), ("room", 100, 999), ("price", 10, 999), ("order", 1000, 9999))
NUMBERS = {pool for pool, _, _ in NUMBER_RANGES}
INSTRUCTIONS = ("Extract {keys} as JSON: {text}", "{text} Give {keys} as JSON.")


class Draw:
    """Random choices from the pools of one split, by `random()` alone, whose sequence Python guarantees for a seed."""

    def __init__(self, seed: int, pools: Pools):
        self._random = random.Random(seed).random
        self._pools = pools

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        return items[int(self._random() * len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        return sorted(items, key=lambda _: self._random())

    def value(self, pool: str) -> Value:
        return self.pick(self._pools[pool])

    def values(self, pool: str, count: int) -> list[Value]:
        """Choose distinct values of one pool."""
        chosen: dict[Value, None] = {}
        while len(chosen) < count:
            chosen[self.value(pool)] = None
        return list(chosen)


def joined(parts: Sequence[str]) -> str:
    """Join texts as `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def written(draw: Draw, subject: Field, others: Sequence[Field], values: dict[str, Value]) -> str:
    """Write a record as a sentence, a form, or a log entry."""
    form = draw.pick(("sentence", "sentence", "form", "log"))
    if form == "sentence":
        clauses = joined([field.clause.format(values[field.key]) for field in others])
        return f"{values[subject.key]} {clauses}."
    fields = draw.shuffled([subject, *others])
    if form == "form":
        return "; ".join(f"{field.key}: {values[field.key]}" for field in fields) + "."
    return "[" + " | ".join(f"{field.key} {values[field.key]}" for field in fields) + "]"


def row(draw: Draw, group: str, text: str, answer: dict[str, object]) -> dict[str, str]:
    """Make a row of the data set; the prompt requests the keys in the order of the answer."""
    prompt = draw.pick(INSTRUCTIONS).format(keys=", ".join(answer), text=text)
    return {"prompt": prompt, "response": json.dumps(answer, separators=(", ", ": ")), "group": group}


def record(draw: Draw, group: str) -> dict[str, str]:
    """Make a row that requests one or two fields of a record: strings (flat), a number (typed), an absent one (missing)."""
    subject, fields = draw.pick(RECORDS)
    size = 2 if group == "missing" or draw.chance(0.6) else 3
    given = draw.shuffled(fields)[:size]
    while group == "typed" and all(field.pool not in NUMBERS for field in given):
        given = draw.shuffled(fields)[:size]
    names = draw.values("name", 2)  # guest and host differ
    values = {subject.key: names[0]}
    values |= {field.key: names[1] if field.pool == "name" else draw.value(field.pool) for field in given}
    present = [subject, *given]
    absent = [field for field in fields if field not in given]
    strings = [field for field in present if field.pool not in NUMBERS]
    numbers = [field for field in present if field.pool in NUMBERS]
    if group == "flat" or not numbers:
        asked = draw.shuffled(strings)[: draw.pick((1, 2, 2))]
    else:
        asked = [draw.pick(numbers), *draw.shuffled(present)[: draw.pick((0, 1, 1))]]
    if group == "missing":
        asked = [draw.pick(absent), *asked[: draw.pick((1, 1, 1, 2))]]
    keys = draw.shuffled(list(dict.fromkeys(field.key for field in asked)))
    return row(draw, group, written(draw, subject, given, values), {key: values.get(key) for key in keys})


def purchase(draw: Draw, group: str) -> dict[str, str]:
    """Make a row about a purchase of several items: `items` requests their names, `counts` pairs of name and number."""
    counted = draw.chance(0.5)
    buyer, size = draw.value("name"), 2 if counted else draw.pick((2, 3))
    items, numbers = draw.values("item", size), draw.values("count", size)
    things = joined([f"{number} {item}" for item, number in zip(items, numbers, strict=True)])
    text = draw.pick((f"{buyer} buys {things}.", f"buyer: {buyer}; basket: {things}.", f"[{things} | buyer {buyer}]"))
    asked: dict[str, object] = {"counts": list(zip(items, numbers, strict=True))} if counted else {"items": items}
    if draw.chance(0.5):
        asked = {"buyer": buyer, **asked} if draw.chance(0.5) else {**asked, "buyer": buyer}
    return row(draw, group, text, asked)


BUILDERS: dict[str, Callable[[Draw, str], dict[str, str]]] = {
    "flat": record,
    "typed": record,
    "list": purchase,
    "missing": record,
}


def split_pools() -> tuple[Pools, Pools]:
    """Split the values into pools of training rows and of test rows, which are disjoint except for jobs and items."""
    cities = composed("city")
    split = {
        "name": sorted(set(composed("name")) - set(cities)),
        "city": cities,
        "day": [f"{day} {month}" for month in WORDS["month"] for day in range(1, 29)],
    }
    draw = Draw(SEED, {})
    train: Pools = {"job": WORDS["job"], "item": WORDS["item"]}
    test = dict(train)
    for pool, values in split.items():
        train[pool], test[pool] = divided(draw.shuffled(values))
    for side, numbers in zip((train, test), divided(draw.shuffled(range(2, 10_000))), strict=True):
        for pool, low, high in NUMBER_RANGES:
            side[pool] = [number for number in numbers if low <= number <= high]
    return train, test


def divided(values: list[Item]) -> tuple[list[Item], list[Item]]:
    border = int(TRAIN_SHARE * len(values))
    return values[:border], values[border:]


def composed(pool: str) -> list[str]:
    """Compose all invented names from their parts; a model would memorise fewer than thousands of names."""
    return ["".join(parts).capitalize() for parts in product(*WORDS[f"{pool}_parts"])]


def rows(draw: Draw, counts: dict[str, int]) -> list[dict[str, str]]:
    """Make rows with distinct prompts, in random order."""
    by_prompt: dict[str, dict[str, str]] = {}
    for group, count in counts.items():
        wanted = len(by_prompt) + count
        while len(by_prompt) < wanted:
            made = BUILDERS[group](draw, group)
            by_prompt.setdefault(made["prompt"], made)
    return draw.shuffled(list(by_prompt.values()))


def main() -> None:
    train, test = split_pools()
    for name, pools, counts in (("train", train, TRAIN_ROWS), ("test", test, TEST_ROWS)):
        lines = [json.dumps(made) + "\n" for made in rows(Draw(SEED + len(name), pools), counts)]
        Path(__file__).with_name(f"{name}.jsonl").write_text("".join(lines), encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
