"""Write the databases, train.jsonl and test.jsonl of the text-to-SQL data set, byte for byte the same on every run.

    python data/sql/generate.py

One row:

    {"prompt": "trucks(mark, cost, garden, servant), aprons(servant, acres, season). Which cost has acres under 809?",
     "response": "SELECT cost FROM trucks JOIN aprons USING (servant) WHERE acres < 809",
     "group": "join", "grading": {"database": "databases/train20.sql"}}

Every query is run on its database when it is generated. A query is used if it returns a row, and if no query that
differs in one part (another column, aggregate or direction, an omitted condition) returns the same rows.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TypeVar

SEED = 1974
TRAIN_ROWS = {"filter": 900, "compare": 600, "aggregate": 850, "top": 500, "both": 700, "join": 750}
TEST_ROWS = {"filter": 120, "compare": 90, "aggregate": 120, "top": 80, "both": 90, "join": 100}
DATABASES = {"train": 20, "test": 5}
PAIRS = 20  # pairs of tables in every database
TEST_SHARE = 0.3  # share of the values, and largest share of the names, for test rows; the rest is only for training
RUN, SEEN = 3, 2  # every RUN consecutive letters of a test name occur in at least SEEN training names
FOLDER = Path(__file__).parent
WORDS = json.loads(FOLDER.joinpath("words.json").read_text(encoding="ascii"))

AGGREGATES = {"SUM": "total", "MAX": "largest", "MIN": "smallest", "AVG": "average"}
OPERATORS = {"=": "", ">": "over ", "<": "under "}

Item = TypeVar("Item")
Value = str | int
Pools = dict[str, list[Value]]


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

    def values(self, pool: str, count: int) -> list[Value]:
        """Choose distinct values of one pool."""
        chosen: dict[Value, None] = {}
        while len(chosen) < count:
            chosen[self.pick(self._pools[pool])] = None
        return list(chosen)

    def words(self, pool: str, count: int) -> list[str]:
        return list(map(str, self.values(pool, count)))


def literal(value: Value) -> str:
    """Write a value as an SQL literal."""
    return str(value) if isinstance(value, int) else f"'{value}'"


@dataclass(frozen=True)
class Table:
    """A table by its columns; the values of the first column are distinct."""

    name: str
    columns: dict[str, list[Value]]

    @property
    def numbers(self) -> list[str]:
        return [name for name, cells in self.columns.items() if isinstance(cells[0], int)]

    @property
    def schema(self) -> str:
        return f"{self.name}({', '.join(self.columns)})"

    @property
    def dump(self) -> str:
        columns = ", ".join(f"{name} {'INTEGER' if name in self.numbers else 'TEXT'}" for name in self.columns)
        cells = zip(*self.columns.values(), strict=True)
        rows = ",\n".join(f"({', '.join(map(literal, row))})" for row in cells)
        return f"CREATE TABLE {self.name} ({columns});\nINSERT INTO {self.name} VALUES\n{rows};\n"


Pair = tuple[Table, Table]  # the last column of the first has the name and the values of the first column of the second


@dataclass(frozen=True)
class Condition:
    """A condition such as `price > 30`, in English `price over 30`."""

    column: str
    operator: str
    value: Value

    @property
    def sql(self) -> str:
        return f"{self.column} {self.operator} {literal(self.value)}"

    @property
    def words(self) -> str:
        return f"{self.column} {OPERATORS[self.operator]}{self.value}"


@dataclass(frozen=True)
class Query:
    """A question, which can be written as prompt and as SQL."""

    tables: tuple[Table, ...]
    column: str
    conditions: tuple[Condition, ...] = ()
    joint: str = "AND"
    aggregate: str = ""
    order: str = ""
    descending: bool = False
    limit: int = 0

    @property
    def sql(self) -> str:
        first, *others = self.tables
        text = f"SELECT {f'{self.aggregate}({self.column})' if self.aggregate else self.column} FROM {first.name}"
        text += "".join(f" JOIN {other.name} USING ({next(iter(other.columns))})" for other in others)
        if self.conditions:
            text += " WHERE " + f" {self.joint} ".join(condition.sql for condition in self.conditions)
        if self.order:
            text += f" ORDER BY {self.order}{' DESC' if self.descending else ''} LIMIT {self.limit}"
        return text

    @property
    def prompt(self) -> str:
        return f"{', '.join(table.schema for table in self.tables)}. {self._question}"

    @property
    def _question(self) -> str:
        if self.order:
            which = f"{self.column} has" if self.limit == 1 else f"{self.limit} {self.column} have"
            return f"Which {which} the {'largest' if self.descending else 'smallest'} {self.order}?"
        given = f" {self.joint.lower()} ".join(condition.words for condition in self.conditions)
        if self.aggregate == "COUNT":
            return f"How many have {given}?"
        if self.aggregate:
            return f"What is the {AGGREGATES[self.aggregate]} {self.column} with {given}?"
        first, *others = self.conditions
        if not others and first.column == next(iter(self.tables[0].columns)):
            return f"What is the {self.column} of {first.value}?"
        return f"Which {self.column} has {given}?"

    def slips(self) -> Iterator[Query]:
        """Return the queries that differ in one part."""
        names = [name for table in self.tables for name in table.columns]
        numbers = [name for table in self.tables for name in table.numbers]
        for name in [] if self.aggregate == "COUNT" else numbers if self.aggregate else names:
            yield replace(self, column=name)
        for name in AGGREGATES if self.aggregate in AGGREGATES else ():
            yield replace(self, aggregate=name)
        for index, condition in enumerate(self.conditions):
            others = self.conditions[:index] + self.conditions[index + 1 :]
            yield replace(self, conditions=others)
            for operator in OPERATORS if isinstance(condition.value, int) else ():
                yield replace(self, conditions=(*others, replace(condition, operator=operator)))
        if len(self.conditions) > 1:
            yield replace(self, joint="OR" if self.joint == "AND" else "AND")
        if self.order:
            yield replace(self, descending=not self.descending)
            yield replace(self, limit=self.limit + 1)
            yield from (replace(self, order=name) for name in numbers)


def drawn(draw: Draw, table: Table, column: str, operators: str = "=<>") -> Condition:
    """Choose a condition on a column; a text column is compared for equality with one of its values."""
    operator = draw.pick(operators) if column in table.numbers else "="
    value = draw.pick(table.columns[column]) if operator == "=" else draw.values("number", 1)[0]
    return Condition(column, operator, value)


def filtered(draw: Draw, pair: Pair) -> Query:
    table = draw.pick(pair)
    key, *others = table.columns
    if draw.chance(0.4):
        return Query((table,), draw.pick(others), (drawn(draw, table, key),))
    asked, given = draw.shuffled([key, *others])[:2]
    return Query((table,), asked, (drawn(draw, table, given, "="),))


def compared(draw: Draw, pair: Pair) -> Query:
    table = draw.pick(pair)
    given = draw.pick(table.numbers)
    asked = draw.pick([name for name in table.columns if name != given])
    return Query((table,), asked, (drawn(draw, table, given, "<>"),))


def aggregated(draw: Draw, pair: Pair) -> Query:
    table = draw.pick(pair)
    asked = draw.pick(table.numbers)
    if draw.chance(0.3):
        given = draw.pick(list(table.columns)[1:])
        return Query((table,), "*", (drawn(draw, table, given, "<>"),), aggregate="COUNT")
    given = draw.pick([name for name in list(table.columns)[1:] if name != asked])
    return Query((table,), asked, (drawn(draw, table, given, "<>"),), aggregate=draw.pick(list(AGGREGATES)))


def ranked(draw: Draw, pair: Pair) -> Query:
    table = draw.pick(pair)
    order = draw.pick(table.numbers)
    asked = draw.pick([name for name in table.columns if name != order])
    return Query((table,), asked, order=order, descending=draw.chance(0.5), limit=draw.pick((1, 1, 2, 3)))


def both(draw: Draw, pair: Pair) -> Query:
    table = draw.pick(pair)
    asked, *given = draw.shuffled(list(table.columns))[:3]
    conditions = tuple(drawn(draw, table, name) for name in given)
    return Query((table,), asked, conditions, draw.pick(("AND", "AND", "OR")))


def joined(draw: Draw, pair: Pair) -> Query:
    first, second = pair
    asked, given = draw.pick(list(first.columns)[:-1]), draw.pick(list(second.columns)[1:])
    return Query(pair, asked, (drawn(draw, second, given),))


BUILDERS: dict[str, Callable[[Draw, Pair], Query]] = {
    "filter": filtered,
    "compare": compared,
    "aggregate": aggregated,
    "top": ranked,
    "both": both,
    "join": joined,
}


def filled(draw: Draw, name: str, columns: dict[str, str], sizes: Sequence[int], keys: Sequence[Value] = ()) -> Table:
    """Make a table of `sum(sizes)` rows. The values of a category occur with different frequencies, given by `sizes`."""
    count = sum(sizes)
    cells: dict[str, list[Value]] = {}
    for column, kind in columns.items():
        if kind == "category":
            categories = zip(draw.values("value", len(sizes)), sizes, strict=True)
            cells[column] = draw.shuffled([value for value, size in categories for _ in range(size)])
        elif kind == "reference":
            cells[column] = draw.shuffled([keys[index % len(keys)] for index in range(count)])
        else:
            cells[column] = draw.values(kind, count)
    return Table(name, cells)


def paired(draw: Draw, first: str, second: str) -> Pair:
    """Make two tables, of which the first refers to rows of the second."""
    key, own, *categories = draw.words("text", 4)
    numbers = draw.words("quantity", 2)
    inner = [dict(draw.shuffled([(categories[i], "category"), (numbers[i], "number")])) for i in range(2)]
    target = filled(draw, second, {key: "value", **inner[1]}, (1, 2, 3))
    columns = {own: "value", **inner[0], key: "reference"}
    return filled(draw, first, columns, (1, 2, 3, 4), target.columns[key]), target


def is_telling(query: Query, connection: sqlite3.Connection) -> bool:
    """Return whether a query returns a row, and no query that differs in one part returns the same rows."""

    def run(question: Query) -> list[tuple[Value, ...]]:
        rows = connection.execute(question.sql).fetchall()
        return rows if question.order else sorted(rows, key=repr)

    expected = run(query)
    empty = not expected or expected[0][0] in (None, 0)
    return not empty and all(run(slip) != expected for slip in query.slips() if slip != query)


def rows(draw: Draw, split: str, counts: dict[str, int]) -> list[dict[str, object]]:
    """Make rows with distinct prompts, in random order, and write their databases."""
    databases: dict[str, list[Pair]] = {}
    connections: dict[str, sqlite3.Connection] = {}
    for index in range(1, DATABASES[split] + 1):
        file = f"databases/{split}{index:02}.sql"
        names = draw.words("table", 2 * PAIRS)
        databases[file] = [paired(draw, *two) for two in zip(names[::2], names[1::2], strict=True)]
        dump = "\n".join(table.dump for pair in databases[file] for table in pair)
        FOLDER.joinpath(file).write_text(dump, encoding="ascii", newline="\n")
        connections[file] = sqlite3.connect(":memory:")
        connections[file].executescript(dump)
    made: dict[str, dict[str, object]] = {}
    for group, count in counts.items():
        wanted = len(made) + count
        while len(made) < wanted:
            file = draw.pick(list(databases))
            query = BUILDERS[group](draw, draw.pick(databases[file]))
            if is_telling(query, connections[file]):
                row: dict[str, object] = {
                    "prompt": query.prompt,
                    "response": query.sql,
                    "group": group,
                    "grading": {"database": file},
                }
                made.setdefault(query.prompt, row)
    return draw.shuffled(list(made.values()))


def split_pools() -> tuple[Pools, Pools]:
    """Split names and values into pools of training rows and of test rows."""
    draw = Draw(SEED, {})
    train, test = split_names(draw)
    values = ["".join(parts).capitalize() for parts in product(*WORDS["value_parts"])]
    for pool, items in (("value", values), ("number", range(10, 1000))):
        shuffled: list[Value] = draw.shuffled(list(items))
        border = int(TEST_SHARE * len(shuffled))
        test[pool], train[pool] = shuffled[:border], shuffled[border:]
    return train, test


def split_names(draw: Draw) -> tuple[Pools, Pools]:
    """Split the names of tables and columns; names of test rows are new words made of letter sequences seen in training."""
    names = [(pool, name) for pool in ("table", "text", "quantity") for name in WORDS[pool]]
    seen = Counter(run for _, name in names for run in runs(name))
    train: Pools = {pool: [] for pool, _ in names}
    test: Pools = {pool: [] for pool, _ in names}
    for pool, name in draw.shuffled(names):
        if len(test[pool]) < TEST_SHARE * len(WORDS[pool]) and all(seen[run] > SEEN for run in runs(name)):
            seen.subtract(runs(name))
            test[pool].append(name)
        else:
            train[pool].append(name)
    return train, test


def runs(name: str) -> set[str]:
    """Return all sequences of `RUN` consecutive letters."""
    return {name[start : start + RUN] for start in range(len(name) - RUN + 1)}


def main() -> None:
    FOLDER.joinpath("databases").mkdir(exist_ok=True)
    train, test = split_pools()
    for split, pools, counts in (("train", train, TRAIN_ROWS), ("test", test, TEST_ROWS)):
        lines = [json.dumps(row) + "\n" for row in rows(Draw(SEED + len(split), pools), split, counts)]
        FOLDER.joinpath(f"{split}.jsonl").write_text("".join(lines), encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
