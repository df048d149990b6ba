"""References that leave their rows open: named by the preflight, and every result that SQLite may give is right."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest

from hrm_align.rewards import sql_rewards as sql
from hrm_align.rewards.base import create_grader
from hrm_align.rewards.preflight import preflight
from hrm_align.rewards.sql_database import is_ordered
from hrm_align.rewards.sql_grading import number_ties, same_rows
from hrm_align.rewards.sql_rewards import judge_query, sql_match
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from tests.command_line import run
from tests.rewards.rows import row

# Of each schema: file, table, unique column, column with ties of three rows and more, its lowest value, another table to join.
SCHEMAS = {
    "plain.sql": ("birds", "bird", "weight", "CREATE TABLE {t} ({u} TEXT, {k} REAL);"),
    "keyed.sql": ("ships", "hull", "crew", "CREATE TABLE {t} (id INTEGER PRIMARY KEY, {u} TEXT UNIQUE, {k} INTEGER);"),
    "no_rowid.sql": ("Lamp List", "watt name", "price", 'CREATE TABLE "{t}" ("{u}" TEXT PRIMARY KEY, {k} INTEGER) WITHOUT ROWID;'),
    "indexed.sqlite": ("roads", "road", "lanes", "CREATE TABLE {t} ({u} TEXT, {k} INTEGER); CREATE INDEX i ON {t} ({k});"),
}  # fmt: skip
NAMES = [f"{letter}{number}" for number in (1, 2) for letter in "kmabzq"]
TIED = [
    'SELECT "{u}" FROM "{t}" ORDER BY {k} LIMIT 1',
    'SELECT "{u}" FROM "{t}" ORDER BY {k} DESC LIMIT 2',
    'SELECT "{u}", {k} FROM "{t}" WHERE {k} = 1 ORDER BY {k} LIMIT 1',
    'SELECT "{u}" FROM "{t}" LIMIT 1',
    'SELECT * FROM "{t}" WHERE {k} > 1 LIMIT 3',
    'SELECT "{u}" FROM "{t}" ORDER BY {k} LIMIT 2 OFFSET 1',
    'SELECT "{u}" FROM "{t}" LIMIT 4, 3',
    'SELECT "{u}" FROM "{t}" WHERE "{u}" = (SELECT "{u}" FROM "{t}" ORDER BY {k} LIMIT 1)',
    'SELECT count(*) FROM "{t}" WHERE "{u}" < (SELECT "{u}" FROM "{t}" ORDER BY {k} DESC LIMIT 1)',
    'SELECT "{u}" FROM (SELECT * FROM "{t}" ORDER BY {k} LIMIT 2) ORDER BY "{u}"',
    'WITH first AS (SELECT "{u}" FROM "{t}" LIMIT 2) SELECT "{u}" FROM first',
    'SELECT {k}, "{u}" FROM "{t}" GROUP BY {k}',
    'SELECT "{u}", count(*) FROM "{t}"',
    'SELECT "{u}", max({k}) FROM "{t}"',
    'SELECT {k}, "{u}" FROM "{t}" GROUP BY {k} HAVING count(*) > 1 ORDER BY {k}',
    'SELECT group_concat("{u}") FROM "{t}"',
    'SELECT {k}, group_concat("{u}", \'; \') FROM "{t}" GROUP BY {k} ORDER BY {k}',
    'SELECT json_group_array("{u}") FROM "{t}" WHERE {k} = 1',
    'SELECT "{u}", row_number() OVER (ORDER BY {k}) FROM "{t}"',
    'SELECT "{u}", lag("{u}") OVER (PARTITION BY {k} ORDER BY {k}) FROM "{t}"',
    'SELECT "{u}" FROM (SELECT "{u}", row_number() OVER (PARTITION BY {k} ORDER BY {k}) AS n FROM "{t}") WHERE n = 1',
    'SELECT DISTINCT {k} FROM "{t}" LIMIT 1',
    'SELECT DISTINCT substr("{u}", 2) FROM "{t}" WHERE {k} = 1 ORDER BY {k} LIMIT 1',
    'SELECT a."{u}" FROM "{t}" a JOIN "{t}" b ON a.{k} = b.{k} ORDER BY a.{k} LIMIT 1',
    'SELECT "{u}" FROM "{t}" WHERE {k} = 1 UNION ALL SELECT * FROM (SELECT "{u}" FROM "{t}" LIMIT 1)',
    'select "{u}" -- the first\nfrom "{t}" order by length("{u}") limit 1',
]
DETERMINED = [
    'SELECT "{u}" FROM "{t}"',
    'SELECT * FROM "{t}"',
    'SELECT "{u}" FROM "{t}" ORDER BY {k}',
    'SELECT "{u}" FROM "{t}" ORDER BY "{u}" LIMIT 1',
    'SELECT "{u}" FROM "{t}" ORDER BY {k}, "{u}" LIMIT 2 OFFSET 1',
    'SELECT {k} FROM "{t}" ORDER BY {k} LIMIT 2',
    'SELECT "{u}" FROM "{t}" WHERE {k} = 1 ORDER BY {k} LIMIT 50',
    'SELECT {k}, count(*), max("{u}") FROM "{t}" GROUP BY {k}',
    'SELECT "{u}", {k} FROM "{t}" GROUP BY "{u}"',
    'SELECT {k}, min("{u}") AS least FROM "{t}" GROUP BY {k} ORDER BY count(*) DESC',
    'SELECT max("{u}"), {k} FROM "{t}"',
    'SELECT group_concat("{u}") FROM (SELECT "{u}" FROM "{t}" ORDER BY "{u}")',
    'SELECT group_concat("{u}") FROM "{t}" WHERE "{u}" = \'k1\'',
    'SELECT "{u}", rank() OVER (ORDER BY {k}) FROM "{t}"',
    'SELECT "{u}", row_number() OVER (ORDER BY {k}, "{u}") FROM "{t}"',
    'SELECT "{u}", sum({k}) OVER (ORDER BY {k}) FROM "{t}"',
    'SELECT DISTINCT {k} FROM "{t}"',
    'SELECT DISTINCT {k} FROM "{t}" ORDER BY {k} DESC LIMIT 2',
    'SELECT "{u}" FROM "{t}" WHERE {k} = (SELECT {k} FROM "{t}" ORDER BY {k} LIMIT 1)',
    'SELECT a."{u}", b."{u}" FROM "{t}" a JOIN "{t}" b ON a.{k} = b.{k} AND a."{u}" < b."{u}"',
    'SELECT "{u}" FROM "{t}" WHERE {k} = \'1\' UNION SELECT \'x\' ORDER BY 1',
    'SELECT sum({k} * 0.1), avg({k}), total({k} / 3.0) FROM "{t}"',
    'WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 5) SELECT n FROM r',
    'SELECT 5 LIMIT 1',
    'SELECT "{u}" FROM "{t}" EXCEPT SELECT "{u}" FROM "{t}" WHERE {k} = 2',
]  # fmt: skip


def create(folder: Path) -> None:
    for file, (table, unique, key, ddl) in SCHEMAS.items():
        values = ", ".join(f"('{name}', {1 + index % 3})" for index, name in enumerate(NAMES))
        dump = ddl.format(t=table, u=unique, k=key) + f'INSERT INTO "{table}" ("{unique}", {key}) VALUES {values};'
        if file.endswith(".sqlite"):
            connection = sqlite3.connect(folder / file)
            connection.executescript(dump)
            connection.close()
        else:
            (folder / file).write_text(dump)


def references(folder: Path, queries: list[str]) -> list:
    filled = [
        (file, query.format(t=table, u=unique, k=key))
        for file, (table, unique, key, _) in SCHEMAS.items()
        for query in queries
    ]
    return [row(query, f"{folder}/rows.jsonl:{line}", database=file) for line, (file, query) in enumerate(filled, 1)]


def test_all_references_with_several_correct_results_are_named_and_no_other(tmp_path: Path):
    create(tmp_path)
    tied, determined = references(tmp_path, TIED), references(tmp_path, DETERMINED)
    assert len(tied) >= 100 and len(determined) >= 100
    with RewardSuite([RewardSpec("sql")]) as suite:
        report = preflight(suite, tied)
        clean = preflight(suite, determined)
    assert (report.failing, report.rewards["sql"].counts, clean.failing, clean.rewards["sql"].doubts) == (0, {}, 0, {})
    lines = report.rewards["sql"].doubts["undetermined"]
    missing = {example.source for example in tied} - {line.partition(": ")[0] for line in lines}
    assert not missing and len(lines) == len(tied)


def test_the_preflight_prints_the_row_the_query_and_what_to_do(capsys, tmp_path: Path):
    create(tmp_path)
    queries = [
        "SELECT bird FROM birds ORDER BY weight LIMIT 1",
        "SELECT bird FROM birds",
        "SELECT bird FROM birds WHERE weight > 9",
    ]
    lines = [json.dumps({"prompt": "?", "response": query, "grading": {"database": "plain.sql"}}) for query in queries]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines[:2]) + "\n")
    code, out, _ = run(capsys, "rewards", "sql", "--data", path, "--preflight")
    text = " ".join(out.split())
    assert code == 0 and "sql: warning: the reference has several correct results in 1 of 2 rows" in text
    assert "the reference query gives ('k1',) or ('b2',)" in text and queries[0] in text
    warning, remedy, _ = text.partition("Order by a unique key, or leave the row out")
    assert remedy and "rows.jsonl:2" not in warning
    path.write_text("\n".join(lines) + "\n")
    code, out, _ = run(capsys, "rewards", "sql", "--data", path, "--preflight", "--json")
    report = json.loads(out)["rewards"]["sql"]
    assert code == 2 and report["counts"] == {"corrupted_passes": 1}
    (empty,) = report["doubts"]["empty"]
    assert "rows.jsonl:3: the reference query gives no rows, so every query without rows gets 1" in empty


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    create(tmp_path)
    return tmp_path / "plain.sql"  # weight 1: k1, b1, k2, b2; weight 2: m1, z1, m2, z2; weight 3: a1, q1, a2, q2


@pytest.mark.parametrize(
    "reference, right, wrong",
    [
        ("SELECT bird FROM birds ORDER BY weight LIMIT 1", ["'k1'", "'b1'", "'k2'", "'b2'"], ["'m1'", "'a1'", "NULL"]),
        ("SELECT bird, weight FROM birds ORDER BY weight DESC LIMIT 1", ["'q1', 3", "'a2', 3"], ["'q1', 2", "'z1', 2"]),
        ("SELECT bird FROM birds WHERE weight = 2 LIMIT 1", ["'m1'", "'z2'", "'m2'"], ["'k1'"]),
        ("SELECT weight, bird FROM birds GROUP BY weight HAVING weight = 1", ["1, 'b2'", "1, 'k2'"], ["1, 'm1'"]),
        ("SELECT bird, count(*) FROM birds", ["'m1', 12", "'q2', 12"], ["'m1', 11", "'m3', 12"]),
        ("SELECT group_concat(bird) FROM birds WHERE weight = 1", ["'b2,k2,b1,k1'"], ["'k1,b1,k2'", "'k1,b1,k2,k2'"]),
    ],
)  # fmt: skip
def test_each_result_that_the_database_may_give_is_right_and_no_other(
    birds: Path, reference: str, right: list[str], wrong: list[str]
):
    for values in right:
        assert sql_match(f"SELECT {values}", reference, birds), values
    for values in wrong:
        assert not sql_match(f"SELECT {values}", reference, birds), values
    assert not sql_match(f"SELECT {right[0]} UNION ALL SELECT {right[0]}", reference, birds)
    assert not sql_match("SELECT 1 WHERE 0", reference, birds)


def test_several_rows_through_a_tie_are_any_of_the_tied_ones(birds: Path):
    reference = "SELECT bird FROM birds ORDER BY weight LIMIT 3"
    tied = ["k1", "b1", "k2", "b2"]
    for chosen in permutations(tied, 3):
        assert sql_match(" UNION ALL ".join(f"SELECT '{name}'" for name in chosen), reference, birds)
    for chosen in (["k1", "b1", "m1"], ["k1", "k1", "b1"], ["k1", "b1"]):
        assert not sql_match(" UNION ALL ".join(f"SELECT '{name}'" for name in chosen), reference, birds)


def test_rows_with_equal_sort_keys_change_places_and_others_do_not(birds: Path):
    reference = "SELECT bird FROM birds ORDER BY weight"
    for order in ("weight, bird", "weight, bird DESC", "weight, substr(bird, 2), bird"):
        assert sql_match(f"SELECT bird FROM birds ORDER BY {order}", reference, birds)
    for order in ("bird", "weight DESC", "weight = 2, weight", "weight < 2, bird"):
        assert not sql_match(f"SELECT bird FROM birds ORDER BY {order}", reference, birds)
    assert sql_match("SELECT weight FROM birds ORDER BY 1", "SELECT weight FROM birds ORDER BY weight, bird", birds)
    assert not sql_match(
        "SELECT bird FROM birds ORDER BY weight", "SELECT bird FROM birds ORDER BY weight, bird", birds
    )


def test_the_row_id_of_a_view_is_no_other_result(birds: Path):
    reference = "SELECT rowid, bird FROM birds WHERE weight = 1"
    assert sql_match("SELECT rowid, bird FROM birds WHERE weight < 2", reference, birds)
    assert not sql_match("SELECT NULL, bird FROM birds WHERE weight = 1", reference, birds)
    row_id = row(reference, f"{birds.parent}/rows.jsonl:1", database="plain.sql")
    assert create_grader("sql", {}).doubt_reference(row_id) is None  # type: ignore[attr-defined]


def test_generated_columns_and_collations_stay_what_they_are(tmp_path: Path):
    path = tmp_path / "t.sql"
    path.write_text(
        "CREATE TABLE t (a TEXT COLLATE NOCASE, b INTEGER, c AS (b + 1)); INSERT INTO t VALUES ('x', 1), ('Y', 2), ('z', 3);"
        "CREATE VIEW v AS SELECT a, c FROM t;"
    )
    for query in (
        "SELECT * FROM t",
        "SELECT a FROM t WHERE a = 'X'",
        "SELECT a FROM t WHERE b = '2'",
        "SELECT * FROM v ORDER BY a",
    ):
        row_of_query = row(query, f"{tmp_path}/rows.jsonl:1", database="t.sql")
        assert create_grader("sql", {}).doubt_reference(row_of_query) is None  # type: ignore[attr-defined]
    assert create_grader("sql", {}).doubt_reference(
        row("SELECT a FROM v LIMIT 1", f"{tmp_path}/rows.jsonl:1", database="t.sql")
    )  # type: ignore[attr-defined]


def test_order_by_counts_outside_parentheses_quotes_and_comments():
    for query in (
        "SELECT a FROM t /* ORDER BY b",
        "SELECT a FROM t -- ORDER BY b",
        'SELECT "ORDER BY" FROM t',
        "SELECT ' order by '",
    ):
        assert not is_ordered(query)
    for query in ("WITH c AS (SELECT a FROM t ORDER BY b) SELECT a FROM c", "SELECT rank() OVER (ORDER BY b) FROM t"):
        assert not is_ordered(query)
    assert not is_ordered("SELECT rank() OVER w FROM t WINDOW w AS (ORDER BY (b))")
    for query in (
        "SELECT a FROM t UNION SELECT b FROM u ORDER BY 1",
        "SELECT a FROM t order/**/by (b)",
        "SELECT a FROM t ORDER\nBY b LIMIT 1",
    ):
        assert is_ordered(query)


def test_ties_are_numbered_by_what_changes_place():
    assert number_ties([list("abcde"), list("acbde"), list("abced")]) == [0, 1, 1, 2, 2]
    assert number_ties([list("abc"), list("cba")]) == [0, 0, 0]
    assert number_ties([list("aab")]) == [0, 1, 2]


# --- As Spider's test suite compares


@pytest.mark.parametrize(
    "reference, completion, right",
    [
        ("SELECT bird, weight FROM birds", "SELECT weight, bird FROM birds", True),
        ("SELECT bird, weight FROM birds ORDER BY bird", "SELECT weight, bird FROM birds ORDER BY 2", True),
        ("SELECT bird, weight FROM birds ORDER BY bird", "SELECT weight, bird FROM birds ORDER BY 2 DESC", False),
        ("SELECT bird, weight FROM birds ORDER BY weight", "SELECT weight, bird FROM birds ORDER BY 1, 2 DESC", True),
        ("SELECT bird FROM birds ORDER BY weight LIMIT 1", "SELECT 'b2'", True),
        ("SELECT weight FROM birds", "SELECT DISTINCT weight FROM birds", True),
        ("SELECT DISTINCT weight FROM birds", "SELECT weight FROM birds", True),
        ("SELECT DISTINCT weight FROM birds", "SELECT weight FROM birds GROUP BY weight", False),
        ("SELECT count(DISTINCT weight) FROM birds", "SELECT count(weight) FROM birds", True),
        ("SELECT bird FROM birds WHERE weight IS NOT DISTINCT FROM 1", "SELECT bird FROM birds WHERE weight = 1", True),
        ("SELECT 'DISTINCT' FROM birds", "SELECT '' FROM birds", False),
        ("SELECT bird, weight FROM birds", "SELECT bird FROM birds", False),
        ("SELECT bird, weight FROM birds", "SELECT bird, weight, 1 FROM birds", False),
        ("SELECT 1, 2 UNION ALL SELECT 2, 1", "SELECT 1, 1 UNION ALL SELECT 2, 2", False),  # in each row another order
    ],
)
def test_spider_ignores_the_order_of_columns_and_distinct(birds: Path, reference: str, completion: str, right: bool):
    assert sql_match(completion, reference, birds, "spider") == right
    if "FROM birds ORDER BY" not in reference and "DISTINCT FROM" not in reference and right:
        assert not sql_match(completion, reference, birds) or "count" in reference


def result_eq(given: list[tuple], expected: list[tuple]) -> bool:
    """Compare unordered results by trying every order of columns, as the definition says."""
    if not given or not expected or len(given[0]) != len(expected[0]):
        return not given and not expected
    orders = permutations(range(len(given[0])))
    return any(Counter(tuple(row[at] for at in order) for row in given) == Counter(expected) for order in orders)


def test_columns_are_matched_as_trying_every_order_does():
    rng, equal = random.Random(0), 0
    for _ in range(2000):
        columns, size = rng.randint(1, 4), rng.randint(0, 5)
        expected = [tuple(rng.choice((0, 1, None, "a")) for _ in range(columns)) for _ in range(size)]
        order = rng.sample(range(columns), columns)
        given = [tuple(values[at] for at in order) for values in rng.sample(expected, size)]
        if given and rng.random() < 0.6:  # one value of one row changes place or kind
            place, column = rng.randrange(size), rng.randrange(columns)
            given[place] = (*given[place][:column], rng.choice((0, 1)), *given[place][column + 1 :])
        equal += (right := result_eq(given, expected))
        assert same_rows(given, expected, any_columns=True) == right, (given, expected)
    assert 600 < equal < 1900


def test_columns_that_are_hard_to_tell_apart_cost_bounded_time():
    """Points as rows, lines of a polygon as columns: one polygon of 60 sides is no two of 30, but each part looks alike."""

    def polygons(*sizes: int) -> list[tuple]:
        starts = [sum(sizes[:place]) for place in range(len(sizes))]
        lines = [
            (start + at, start + (at + 1) % size)
            for start, size in zip(starts, sizes, strict=True)
            for at in range(size)
        ]
        random.Random(0).shuffle(lines)
        return [tuple(int(point in line) for line in lines) for point in range(sum(sizes))]

    start = time.monotonic()
    assert not same_rows(polygons(30, 30), polygons(60), any_columns=True)
    assert time.monotonic() - start < 8


# --- Limits


def test_a_query_that_exceeds_a_limit_gets_0_with_the_limit(birds: Path, monkeypatch: pytest.MonkeyPatch):
    endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
    graded = row("SELECT 1", f"{birds.parent}/rows.jsonl:1", database="plain.sql")
    with RewardSuite([RewardSpec("sql")], workers=1) as suite:
        scores = suite.score([endless, "SELECT 2", "SELECT 1", "SELECT"], [graded] * 4)
    assert scores.values["sql"] == [0.0, 0.0, 1.0, 0.0] and not scores.faults
    why = f"{graded.source}: the query was stopped after 10,000,000 steps of SQLite, so it gets 0"
    assert scores.why["sql"] == {0: why}
    monkeypatch.setattr(sql, "COMPLETION_SECONDS", 0.05)
    right, stopped = judge_query(endless, "SELECT 1", birds)
    assert not right and stopped is not None and "it takes more than 0.1 seconds" in stopped


def test_a_query_that_fails_is_no_result_of_any_run(birds: Path):
    """In some orders this reference gives no row, as a failing query does."""
    reference = "SELECT weight FROM birds WHERE weight = 1 GROUP BY weight HAVING bird = 'k1'"
    assert sql_match("SELECT 1 WHERE 0", reference, birds)
    for completion in ("SELECT none FROM birds", "DELETE FROM birds", "", "SELECT"):
        assert not sql_match(completion, reference, birds)
