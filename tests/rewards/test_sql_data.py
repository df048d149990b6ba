"""The shipped questions about databases: made as they were, answerable, and new to whoever has learnt the training rows."""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from hrm_align.rewards.base import create_grader
from tests.rewards.test_sql_rewards import example

DATA = Path(__file__).parents[2] / "data" / "sql"
SPLITS = ("train", "test")
NAMES = re.compile(r"\b[a-z]+\b")
VALUES = re.compile(r"\b[A-Z][a-z]+\b|\b\d{2,}\b")  # 1, 2 and 3 are limits


def shipped(split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{split}.jsonl").read_text(encoding="ascii").splitlines()]


@cache
def opened(file: str) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript((DATA / file).read_text(encoding="ascii"))
    return connection


def test_the_generator_writes_the_shipped_databases(tmp_path: Path):
    for name in ("generate.py", "words.json"):
        shutil.copy(DATA / name, tmp_path)
    subprocess.run([sys.executable, "-I", "-S", tmp_path / "generate.py"], check=True, timeout=60)
    written, expected = (
        {file.name: file.read_bytes() for file in (at / "databases").iterdir()} for at in (tmp_path, DATA)
    )
    assert written == expected


def test_every_shipped_query_finds_something():
    for split in SPLITS:
        for row in shipped(split):
            file = row["grading"]["database"]
            assert file.startswith(f"databases/{split}")
            found = opened(file).execute(row["response"]).fetchall()
            assert found and found[0][0] not in (None, 0)


def test_no_table_column_or_value_of_a_test_row_occurs_in_training():
    for pattern in (NAMES, VALUES):
        train, test = (
            {word for row in shipped(split) for word in pattern.findall(f"{schema(row)} {row['response']}")}
            for split in SPLITS
        )
        assert not train & test
        assert len(test) > 250
    train, test = ({*NAMES.findall(dump), *VALUES.findall(dump)} for dump in map(all_dumps, SPLITS))
    assert not train & test


def test_a_name_of_a_test_row_is_a_new_word_of_known_letters():
    train, test = (
        {name[at : at + 3] for name in NAMES.findall(all_dumps(split)) for at in range(len(name) - 2)}
        for split in SPLITS
    )
    assert test <= train


def schema(row: dict[str, Any]) -> str:
    return row["prompt"].split(". ")[0]


def all_dumps(split: str) -> str:
    return " ".join(path.read_text(encoding="ascii") for path in sorted((DATA / "databases").glob(f"{split}*.sql")))


def corrupted(query: str, connection: sqlite3.Connection, rng: random.Random) -> list[str]:
    """The query with one mistake of each kind that it has a place for."""
    tables = re.findall(r"(?:FROM|JOIN) (\w+)", query)
    columns = {
        column: (table, kind)
        for table in tables
        for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})")
    }
    found = []
    for match in re.finditer(r"(\w+) ([=<>]) ('\w+'|\d+)", query):
        column, operator, value = match.groups()
        table, kind = columns[column]
        others = [repr(other) for (other,) in connection.execute(f"SELECT DISTINCT {column} FROM {table}")]
        value_of_another_row = rng.choice([other for other in others if other != value])
        found.append(query.replace(match[0], f"{column} {operator} {value_of_another_row}"))
        same_kind = [name for name, (_, other_kind) in columns.items() if other_kind == kind and name != column]
        found += [query.replace(match[0], f"{name} {operator} {value}") for name in same_kind[:1]]
        found += [
            query.replace(match[0], f"{column} {other} {value}")
            for other in "=<>"
            if other != operator and kind == "INTEGER"
        ]
        found.append(query.replace(match[0], "1 = 1"))
    asked = re.match(r"SELECT (?:\w+\()?(\w+|\*)", query)[1]  # type: ignore[index]
    if asked != "*":
        found.append(query.replace(asked, rng.choice([name for name in columns if name != asked]), 1))
    for old, new in (
        ("SUM", "MAX"),
        ("MAX", "MIN"),
        ("MIN", "AVG"),
        ("AVG", "SUM"),
        (" AND ", " OR "),
        (" OR ", " AND "),
    ):
        found += [query.replace(old, new)] * (old in query)
    if "ORDER BY" in query:
        found.append(query.replace(" DESC", "") if " DESC" in query else query.replace(" LIMIT", " DESC LIMIT"))
        found.append(query[:-1] + str(int(query[-1]) + 1))
    return found


def test_nineteen_of_twenty_queries_with_one_mistake_are_graded_wrong():
    rng, caught, count = random.Random(0), 0, 0
    for line, row in enumerate(shipped("test")[::5]):
        file, reference = row["grading"]["database"], row["response"]
        graded = example(reference, DATA / f"test.jsonl:{line}", database=file)
        assert create_grader("sql", {}).grade(reference, graded)
        for query in corrupted(reference, opened(file), rng):
            caught += not create_grader("sql", {}).grade(query, graded)
            count += 1
    assert count > 500
    assert caught >= 0.95 * count, f"{caught} of {count}"
