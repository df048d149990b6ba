"""Queries are graded by the rows they give; nothing a completion says can write, leave the database, or take long."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.rendering import Message
from hrm_align.rewards import sql_rewards as sql
from hrm_align.rewards.base import create
from hrm_align.rewards.sql_rewards import sql_match

DUMP = """
CREATE TABLE items (name TEXT, price REAL, shop TEXT);
INSERT INTO items VALUES ('pen', 1, 'Vela'), ('cup', 2.5, 'Mora'), ('box', 2.5, NULL), ('hat', 4, 'Vela');
CREATE TABLE shops (shop TEXT, city TEXT, rank INTEGER);
INSERT INTO shops VALUES ('Vela', 'Riga', 1), ('Mora', 'Oslo', 2);
"""


@pytest.fixture(params=["shop.sql", "shop.sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    if path.suffix == ".sql":
        path.write_text(DUMP, encoding="utf-8")
    else:
        connection = sqlite3.connect(path)
        connection.executescript(DUMP)
        connection.close()
    return path


def example(reference: str, source: Path | str, **grading: Any) -> Example:
    return Example((Message("user", "?"),), Message("assistant", reference), "direct", str(source), None, grading)


@pytest.mark.parametrize(
    "completion",
    [
        "SELECT name FROM items WHERE price > 2",
        "select i.name as thing from items i where not i.price <= 2;",
        "SELECT name FROM items WHERE price IN (2.5, 4.0) ORDER BY name DESC",
        "WITH dear AS (SELECT * FROM items WHERE price > 2) SELECT name FROM dear",
        "-- those above two\nSELECT name FROM items /* all */ WHERE price >= 2.5 ;\n",
        "SELECT name FROM items WHERE price = 4 UNION ALL SELECT name FROM items WHERE price = 2.5",
    ],
)
def test_the_same_rows_are_right_however_they_are_asked_for(database: Path, completion: str):
    assert sql_match(completion, "SELECT name FROM items WHERE price > 2", database)


@pytest.mark.parametrize(
    "completion",
    [
        "SELECT shop FROM items WHERE price > 2",  # another column
        "SELECT name FROM items WHERE price > 1000",  # no row
        "SELECT name FROM items",  # a row too many
        "SELECT name FROM items WHERE price = 4",  # rows too few
        "SELECT name, price FROM items WHERE price > 2",  # a column too many
        "SELECT NULL FROM items WHERE price > 2",
        "SELECT name FROM item WHERE price > 2",
        "SELECT name FROM items WHERE price >",
        "SELECT name FROM items WHERE price > ?",
        "name",
        "",
        "SELECT 'a\0b'",
        "SELECT '\ud800'",
    ],
)
def test_other_rows_and_failing_queries_are_wrong(database: Path, completion: str):
    assert not sql_match(completion, "SELECT name FROM items WHERE price > 2", database)


@pytest.mark.parametrize(
    "reference, completion, right",
    [
        ("SELECT name FROM items ORDER BY name", "SELECT name FROM items ORDER BY name DESC", False),
        ("SELECT name FROM items order\nby name", "SELECT name FROM items ORDER BY 1", True),
        ("SELECT name FROM items ORDER BY name", "SELECT name FROM items ORDER BY name LIMIT 3", False),
        ("SELECT name FROM items ORDER BY name LIMIT 3", "SELECT name FROM items ORDER BY name", False),
        ("SELECT name FROM items", "SELECT name FROM items ORDER BY name DESC", True),
        ("SELECT name FROM (SELECT * FROM items ORDER BY (1))", "SELECT name FROM items ORDER BY name DESC", True),
        ("SELECT name FROM items -- ORDER BY name", "SELECT name FROM items ORDER BY name DESC", True),
        ("SELECT name FROM items WHERE name <> 'it''s ORDER BY'", "SELECT name FROM items ORDER BY name DESC", True),
    ],
)
def test_order_counts_if_the_right_query_asks_for_it(database: Path, reference: str, completion: str, right: bool):
    assert sql_match(completion, reference, database) == right


def test_a_row_counts_as_often_as_it_occurs(database: Path):
    assert sql_match("SELECT price FROM items", "SELECT price FROM items", database)
    assert not sql_match("SELECT DISTINCT price FROM items", "SELECT price FROM items", database)
    twice = "SELECT shop FROM items WHERE shop > '' UNION ALL SELECT 'Mora'"  # Vela twice, Mora twice
    assert not sql_match(f"{twice} EXCEPT SELECT ''", twice, database)
    assert not sql_match(
        "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 2", "SELECT 1 UNION ALL SELECT 1 UNION ALL SELECT 2", database
    )


@pytest.mark.parametrize(
    "reference, completion, right",
    [
        ("1", "1.0", True),
        ("NULL", "NULL", True),
        ("NULL", "0", False),
        ("NULL", "''", False),
        ("1", "'1'", False),
        ("'a'", "'A'", False),
        ("'a'", "x'61'", False),  # text and blob
        ("0.1 + 0.2 + 0.3", "0.3 + 0.2 + 0.1", True),  # 0.6000000000000001 and 0.6
        ("0.6", "0.6000001", False),
        ("9007199254740993", "9007199254740992", False),  # integers are exact
        ("1, 2", "2, 1", False),
    ],
)
def test_values_are_equal_as_sql_understands_them(database: Path, reference: str, completion: str, right: bool):
    assert sql_match(f"SELECT {completion} AS other", f"SELECT {reference}", database) == right


# Each of these gives the names of all items, or would if it were let.
NO_SINGLE_SELECT = [
    "DELETE FROM items RETURNING name",
    "UPDATE items SET price = 9 RETURNING name",
    "WITH x AS (SELECT 1) DELETE FROM items RETURNING name",
    "INSERT INTO items SELECT * FROM items RETURNING name",
    "SELECT name FROM items; SELECT name FROM items",
    "SELECT name FROM items; DROP TABLE items",
    "VALUES ('pen'), ('cup'), ('box'), ('hat')",
]
WRITES = [
    *NO_SINGLE_SELECT,
    "DROP TABLE items",
    "CREATE TABLE copy AS SELECT * FROM items",
    "CREATE TEMP TABLE copy AS SELECT * FROM items",
    "ATTACH 'FOLDER/new.sqlite' AS new",
    "VACUUM INTO 'FOLDER/new.sqlite'",
    "PRAGMA journal_mode = WAL",
    "PRAGMA user_version = 7",
    "BEGIN IMMEDIATE",
    "SELECT writefile('FOLDER/new.sqlite', name) FROM items",
    "SELECT load_extension('FOLDER/new')",
]


@pytest.mark.parametrize("completion", NO_SINGLE_SELECT)
def test_only_one_select_is_right_whatever_rows_it_gives(database: Path, completion: str):
    assert not sql_match(completion, "SELECT name FROM items", database)


@pytest.mark.parametrize(
    "completion, value",
    [
        ("PRAGMA user_version", "0"),
        ("SELECT user_version FROM pragma_user_version", "0"),
        ("EXPLAIN QUERY PLAN SELECT 1", "2, 0, 0, 'SCAN CONSTANT ROW'"),
        ("SELECT length(hex(zeroblob(100000)))", "200000"),
    ],
)
def test_settings_plans_and_huge_values_cannot_be_asked_for(database: Path, completion: str, value: str):
    if "zeroblob" in completion and sys.version_info < (3, 11):
        pytest.skip("before Python 3.11 only the memory of the process is limited")
    assert not sql_match(completion, f"SELECT {value}", database)


def test_no_statement_changes_a_file(database: Path):
    before = {path.name: path.read_bytes() for path in database.parent.iterdir()}
    for completion in WRITES:
        assert not sql_match(completion.replace("FOLDER", str(database.parent)), "SELECT 'never'", database)
    assert {path.name: path.read_bytes() for path in database.parent.iterdir()} == before
    assert sql_match("SELECT COUNT(*) FROM items", "SELECT 4", database)


def test_reading_a_database_in_wal_mode_leaves_nothing_beside_it(tmp_path: Path):
    path = tmp_path / "wal.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(f"PRAGMA journal_mode = WAL; {DUMP}")
    connection.close()
    assert sql_match("SELECT name FROM items", "SELECT name FROM items", path)
    assert [file.name for file in tmp_path.iterdir()] == ["wal.sqlite"]


COUNTING = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)"
FILLER = "printf('%.*c', 9000, 'x')"


@pytest.mark.parametrize(
    "bomb",
    [
        f"{COUNTING} SELECT n FROM r",
        f"{COUNTING} SELECT COUNT(*) FROM r",
        f"{COUNTING} SELECT n FROM r ORDER BY -n",
        "SELECT COUNT(*) FROM " + ", ".join(f"items i{n}" for n in range(40)),
        "SELECT randomblob(2000000000)",
        "SELECT zeroblob(2000000000)",
        f"SELECT replace({FILLER}, 'x', {FILLER})",
        f"{COUNTING} SELECT group_concat({FILLER}) FROM r",
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    ],
)
def test_a_query_without_end_is_wrong_within_its_steps(database: Path, bomb: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sql, "COMPLETION_SECONDS", 60.0)  # so that it is not the clock that stops it
    start = time.monotonic()
    assert not sql_match(bomb, "SELECT 1", database)
    assert time.monotonic() - start < 20


DOUBLED = ", ".join(f"a{n} AS (SELECT 1 FROM a{n - 1}, a{n - 1})" for n in range(1, 27))
HANGING = f"WITH a0 AS (SELECT 1), {DOUBLED} SELECT 1 FROM a26 LIMIT 1"  # 2 ** 26 copies before its first step


def test_a_query_that_sqlite_cannot_stop_costs_its_process_and_nothing_else(
    database: Path, monkeypatch: pytest.MonkeyPatch
):
    assert sql_match("SELECT 1", "SELECT 1", database)
    monkeypatch.setattr(sql, "COMPLETION_SECONDS", 0.5)
    start = time.monotonic()
    assert not sql_match(HANGING, "SELECT 1", database)
    assert time.monotonic() - start < 10
    monkeypatch.undo()
    assert sql_match("SELECT name FROM items", "SELECT name FROM items", database)


def test_a_query_that_fails_does_not_cost_the_process(database: Path, monkeypatch: pytest.MonkeyPatch):
    assert sql_match("SELECT 1", "SELECT 1", database)
    monkeypatch.setattr(subprocess, "Popen", None)  # another one cannot be started
    for completion in ("SELECT", "SELECT name FROM item", "PRAGMA user_version", "SELECT 'a\0b'", "SELECT '\ud800'"):
        assert not sql_match(completion, "SELECT 1", database)
    assert sql_match("SELECT 1", "SELECT 1", database)


def test_threads_get_the_verdicts_of_their_own_queries(database: Path):
    def verdict(number: int) -> bool:
        return sql_match(f"SELECT {number}", f"SELECT {number - number % 2}", database)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(verdict, range(80))) == [True, False] * 40


def test_the_path_counts_from_the_folder_of_the_data_file(database: Path):
    folder = database.parent / "rows"
    folder.mkdir()
    for source in (folder / "train.jsonl:12", f"{folder}/train.parquet[3]"):
        row = example("SELECT name FROM items", source, database=f"../{database.name}")
        assert create("sql", {}).grade("SELECT name FROM items", row)
        assert not create("sql", {}).grade("SELECT shop FROM items", row)
    assert create("sql", {}).grade("SELECT 1", example("SELECT 1", "owner/name[train][3]", database=str(database)))


@pytest.mark.parametrize(
    "reference, grading, sentence",
    [
        ("SELECT 1", {}, "rows.jsonl:7: no database is named"),
        ("SELECT 1", {"database": " "}, "no database is named"),
        ("SELECT 1", {"database": "none.sql"}, "rows.jsonl:7: there is no database .*none.sql"),
        ("SELECT 1", {"database": "broken.sql"}, "broken.sql cannot be read .*syntax error"),
        ("SELECT 1", {"database": "attaching.sql"}, "attaching.sql cannot be read .*not authorized"),
        ("SELECT thing FROM items", {"database": "shop.sql"}, "cannot be run on .*no such column: thing"),
        ("DELETE FROM items", {"database": "shop.sql"}, "cannot be run on .*no SELECT"),
        ("WITH x AS (SELECT 1) DELETE FROM items", {"database": "shop.sql"}, "cannot be run on .*not authorized"),
        (f"{COUNTING} SELECT n FROM r LIMIT 100001", {"database": "shop.sql"}, "more than 100,000 rows"),
    ],
)
def test_a_row_that_cannot_be_graded_says_why(tmp_path: Path, reference: str, grading: dict[str, Any], sentence: str):
    (tmp_path / "shop.sql").write_text(DUMP)
    (tmp_path / "broken.sql").write_text("CREATE THING;")
    (tmp_path / "attaching.sql").write_text(f"ATTACH '{tmp_path}/new.sqlite' AS new; CREATE TABLE new.t (a);")
    with pytest.raises(UserError, match=sentence):
        create("sql", {}).grade("SELECT 1", example(reference, tmp_path / "rows.jsonl:7", **grading))
    assert not (tmp_path / "new.sqlite").exists()


def test_a_right_query_that_does_not_end_is_an_error_and_no_hang(database: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sql, "REFERENCE_SECONDS", 1.0)
    with pytest.raises(UserError, match="takes more than 1 seconds"):
        sql_match("SELECT 1", f"{COUNTING} SELECT COUNT(*) FROM r", database)


def test_an_error_of_sqlite_is_told_whole_however_long_the_query(database: Path):
    with pytest.raises(UserError, match=r"no such column: x{20000}"):
        sql_match("SELECT 1", f"SELECT {'x' * 20_000}", database)


def test_an_interrupted_query_leaves_no_verdict_for_the_next(database: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sql, "COMPLETION_SECONDS", 60.0)
    assert sql_match("SELECT 1", "SELECT 1", database)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            sql_match(HANGING, "SELECT 1", database)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert sql_match("SELECT 1", "SELECT 1", database)


def test_a_dump_that_has_changed_is_read_again(tmp_path: Path):
    path = tmp_path / "shop.sql"
    path.write_text(DUMP)
    assert sql_match("SELECT 4", "SELECT COUNT(*) FROM items", path)
    path.write_text(DUMP + "DELETE FROM items WHERE price = 4;")
    assert sql_match("SELECT 3", "SELECT COUNT(*) FROM items", path)
