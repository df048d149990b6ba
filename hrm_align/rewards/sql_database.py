"""Read-only access to the database of a row, and the same query on tables that are read in another order.

A table has no order. Where a query leaves something open, such as which of two equal rows a LIMIT keeps, SQLite decides by
the order in which it reads the rows. `Database.reordered` runs a query with its tables replaced by views that give the same
rows in another order: every such result is as correct as the first. `PRAGMA reverse_unordered_selects` alone is not
enough: SQLite ignores it for queries with ORDER BY or GROUP BY. This file imports only the standard library.
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

MAX_ROWS = 100_000  # result rows of a reference
MAX_VALUE_BYTES = 100_000  # size of a string, a blob or a row
STEPS_PER_CHECK = 1000
OPEN_DATABASES = 32
DIGITS = 12  # significant digits of a float that are compared: a sum depends on the order of its terms
WANTED_VALUES = 50  # values of a completion that may decide an order
WANTED_ROWS = 1000  # more than there can be rows among `WANTED_VALUES`

PRAGMA = "PRAGMA reverse_unordered_selects"
# Sort keys of the views; "hrm_n" is the position of a row. Two steps, since one keeps the order of every third row, say.
ORDERS = (
    '"hrm_n" DESC',
    '"hrm_n" * 2654435761 % 4294967296 * 69069 % 1000003',
    '"hrm_n" * 1640531527 % 4294967296 * 40503 % 1000033',
    '"hrm_n" * 3266489917 % 4294967296 * 30269 % 1000037',
)
FIRST, LAST = '"hrm_rank" DESC, "hrm_n" DESC', '"hrm_rank", "hrm_n"'  # sort keys with `wanted`

ROW_IDS = {"rowid", "_rowid_", "oid"}
READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
FAILURES = (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError)

_COMMENT = r"--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*(?:\*/|$)"
_SELECT = re.compile(rf"(?:\s|{_COMMENT})*(?:SELECT|WITH)\b", re.IGNORECASE)
_QUOTED = rf"""'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|{_COMMENT}"""
_QUOTED_TEXT = re.compile(_QUOTED)
_PARENTHESES = re.compile(r"\([^()]*\)")
_DISTINCT = re.compile(rf"(?P<same>{_QUOTED}|\bIS\s+(?:NOT\s+)?DISTINCT\b)|\bDISTINCT\b", re.IGNORECASE)

Row = tuple[Any, ...]


def unquoted_text(query: str) -> str:
    """Return a query without its quoted texts, quoted names and comments."""
    return _QUOTED_TEXT.sub(" ", query)


def is_ordered(query: str) -> bool:
    """Return whether a query has an ORDER BY outside all parentheses, quotes and comments."""
    text, replaced = unquoted_text(query), 1
    while replaced:
        text, replaced = _PARENTHESES.subn(" ", text)
    return re.search(r"\bORDER\s+BY\b", text, re.IGNORECASE) is not None


def without_distinct(query: str) -> str:
    """Return a query without its DISTINCT keywords, also those inside `COUNT(DISTINCT ...)`."""
    return _DISTINCT.sub(lambda match: match["same"] or " ", query)


def _allow_only_reads(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in READS else sqlite3.SQLITE_DENY


def _deny_other_files(action: int, *_: object) -> int:
    return sqlite3.SQLITE_DENY if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH) else sqlite3.SQLITE_OK


def _round_floats(value: object) -> object:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@lru_cache(maxsize=OPEN_DATABASES)
def open_database(path: str, _changed_ns: int, _size: int) -> Database:
    """Open a database, unless the same unchanged file is already open."""
    return Database(path)


class Database:
    """Read-only database: a SQLite file, or a dump (SQL text) loaded into memory.

    Attributes:
        steps: steps of SQLite's virtual machine that the last query took, in units of `STEPS_PER_CHECK`.
    """

    def __init__(self, path: str):
        with open(path, "rb") as file:
            is_dump = not file.read(16).startswith(b"SQLite format 3\0")
        if is_dump:
            self._connection = sqlite3.connect(":memory:")
            self._connection.set_authorizer(_deny_other_files)
            self._connection.executescript(Path(path).read_text(encoding="utf-8"))
        else:
            # Even a read-only connection creates files beside the database, unless `immutable` rules out other writers.
            unused = not any(os.path.exists(path + suffix) for suffix in ("-wal", "-journal"))
            uri = f"{Path(path).resolve().as_uri()}?mode=ro" + "&immutable=1" * unused
            self._connection = sqlite3.connect(uri, uri=True)
        self._connection.isolation_level = None
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.execute("PRAGMA temp_store = MEMORY")
        self._connection.set_authorizer(_allow_only_reads)
        self._connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        if sys.version_info >= (3, 11):
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        self._connection.set_progress_handler(self._exceeds_limit, STEPS_PER_CHECK)
        self.steps, self._limit = 0, sys.maxsize
        self._columns: dict[str, list[str]] | None = None

    @property
    def exceeded(self) -> bool:
        """Whether the last query was stopped at its limit of steps."""
        return self.steps > self._limit

    def _exceeds_limit(self) -> bool:
        self.steps += STEPS_PER_CHECK
        return self.exceeded

    def rows(self, query: str, limit: int) -> Iterator[Row]:
        """Run one SELECT and yield its rows.

        Args:
            query: the statement.
            limit: the most steps of SQLite's virtual machine.

        Raises:
            FAILURES: if the query is not a single SELECT, fails, writes, or exceeds a limit.
        """
        if not _SELECT.match(query):
            raise ValueError("the query is not a SELECT")
        self.steps, self._limit = 0, limit
        for row in self._connection.execute(query):
            yield tuple(map(_round_floats, row))

    def reordered(self, query: str, limit: int, order: str, wanted: Iterable[Row] = ()) -> list[Row] | None:
        """Run a trusted query on tables that are read in another order.

        Args:
            query: the statement.
            limit: the most steps of SQLite's virtual machine.
            order: one of `ORDERS`, or `PRAGMA`; with `wanted`, `FIRST` or `LAST`.
            wanted: result rows. The rows of a table that share most values with one of them are read first (or last), in
                the order of the result rows.

        Returns:
            The first `MAX_ROWS` rows; None if the query reads the row id, fails on the views, or exceeds the limit.
        """
        try:
            places = [(value, place) for place, row in enumerate(wanted) for value in row if value is not None]
            with self._pragma() if order == PRAGMA else self._views(query, order, places[:WANTED_VALUES]):
                return [*islice(self.rows(query, limit), MAX_ROWS)]
        except FAILURES:
            return None

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """Allow statements that are made here, on the temporary schema."""
        self.steps, self._limit = 0, sys.maxsize
        self._connection.set_authorizer(_deny_other_files)
        self._connection.execute("PRAGMA query_only = OFF")
        try:
            yield
        finally:
            self._connection.execute("PRAGMA query_only = ON")
            self._connection.set_authorizer(_allow_only_reads)

    @contextmanager
    def _pragma(self) -> Iterator[None]:
        with self._writable():
            self._connection.execute(f"{PRAGMA} = ON")
        try:
            yield
        finally:
            with self._writable():
                self._connection.execute(f"{PRAGMA} = OFF")

    @contextmanager
    def _views(self, query: str, order: str, wanted: list[tuple[object, int]]) -> Iterator[None]:
        """Put a temporary view in front of each table whose name occurs in the query."""
        tables = [name for name in self._list_tables() if name.casefold() in query.casefold()]
        columns = {column.casefold() for names in self._list_tables().values() for column in names}
        if any(name in ROW_IDS - columns for name in re.findall(r"\w+", query.casefold())):
            raise ValueError("the query reads the row id, which is NULL in a view")
        created = []
        try:
            with self._writable():
                if wanted:
                    self._connection.execute('CREATE TEMP TABLE "hrm_wanted" ("hrm_value", "hrm_place")')
                    created.append('TABLE temp."hrm_wanted"')
                    self._connection.executemany('INSERT INTO temp."hrm_wanted" VALUES (?, ?)', wanted)
                for name in tables:
                    self._connection.execute(self._view_of(name, order, bool(wanted)))
                    created.append(f"VIEW temp.{_quote(name)}")
            yield
        finally:
            with self._writable():
                for thing in created:
                    try:
                        self._connection.execute(f"DROP {thing}")
                    except FAILURES as error:  # a view that stays would change all later results
                        raise SystemExit(f"cannot drop {thing}: {error}") from None

    def _view_of(self, name: str, order: str, wanted: bool) -> str:
        """Return the statement that creates a view of a table. LIMIT -1 keeps SQLite from ignoring its ORDER BY."""
        columns = ", ".join(map(_quote, self._list_tables()[name]))
        if wanted:
            rank = (
                f'SELECT count(*) * {WANTED_ROWS} - "hrm_place" AS "hrm_shared" FROM temp."hrm_wanted" '
                f'WHERE "hrm_value" IN ({columns}) GROUP BY "hrm_place" ORDER BY 1 DESC LIMIT 1'
            )
            computed = f', coalesce(({rank}), 0) AS "hrm_rank"'
        else:
            computed = ""
        return (
            f"CREATE TEMP VIEW {_quote(name)} AS SELECT {columns} FROM "
            f'(SELECT *, row_number() OVER () AS "hrm_n"{computed} FROM main.{_quote(name)}) ORDER BY {order} LIMIT -1'
        )

    def _list_tables(self) -> dict[str, list[str]]:
        """Return the columns of each table and view of the database."""
        if self._columns is None:
            names = "SELECT name FROM main.sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
            with self._writable():
                self._columns = {
                    name: [
                        column
                        for _, column, *_, hidden in self._connection.execute(
                            f"PRAGMA main.table_xinfo({_quote(name)})"
                        )
                        if hidden != 1  # 2 and 3 are generated columns
                    ]
                    for (name,) in self._connection.execute(names).fetchall()
                }
        return self._columns
