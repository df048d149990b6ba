"""The process that runs queries for `hrm_align.rewards.sql_rewards`: it holds the databases, and may be killed at any time.

Requests and replies are lines of JSON over its standard input (`hrm_align.processes`), in this order, each with its `"id"`:

    {"database": "shop.sql", "reference": "SELECT ..."}  ->  {"fault": null, "seconds": 0.001}
    {"completion": "SELECT ..."}                         ->  {"right": true}, any number of times

A query can make SQLite itself take hours (twenty common table expressions, each reading the one before twice, are
copied a million times before the first step is run), so a limit inside the process is not enough. This file uses the
standard library alone: it is run by its path, and starts in some 30 ms.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

MAX_ROWS = 100_000  # of a right answer
MAX_VALUE_BYTES = 100_000  # of a string, a blob or a row
MEMORY_BYTES = 2 * 2**30
FREE_STEPS = 10_000_000  # of SQLite's machine, under a second; steps, not seconds, so that a busy computer grades alike
STEPS_PER_REFERENCE = 4  # or so many times what the right query took
STEPS_PER_CHECK = 1000
OPEN_DATABASES = 32
DIGITS = 12  # of a float: a sum depends on the order of its terms

READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
FAILURES = (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError)

_COMMENT = r"--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/"
_SELECT = re.compile(rf"(?:\s|{_COMMENT})*(?:SELECT|WITH)\b", re.IGNORECASE)
_QUOTED = re.compile(rf"""'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|{_COMMENT}""")
_PARENTHESES = re.compile(r"\([^()]*\)")

Row = tuple[Any, ...]


def is_ordered(query: str) -> bool:
    """Whether the rows of a query come in an order that it asks for: an ORDER BY outside of all parentheses."""
    text, found = _QUOTED.sub(" ", query), 1
    while found:
        text, found = _PARENTHESES.subn(" ", text)
    return re.search(r"\bORDER\s+BY\b", text, re.IGNORECASE) is not None


def _only_reads(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in READS else sqlite3.SQLITE_DENY


def _no_other_file(action: int, *_: object) -> int:
    return sqlite3.SQLITE_DENY if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH) else sqlite3.SQLITE_OK


def _comparable(value: object) -> object:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


@lru_cache(maxsize=OPEN_DATABASES)
def _opened(path: str, _changed_ns: int, _size: int) -> Database:
    return Database(path)


class Database:
    """A database that can only be read: a file of SQLite, or a dump (SQL text) built in memory."""

    def __init__(self, path: str):
        with open(path, "rb") as file:
            is_dump = not file.read(16).startswith(b"SQLite format 3\0")
        if is_dump:
            self._connection = sqlite3.connect(":memory:")
            self._connection.set_authorizer(_no_other_file)
            self._connection.executescript(Path(path).read_text(encoding="utf-8"))
        else:
            # SQLite writes beside a file that it only reads, unless told that nobody changes it.
            quiet = not any(os.path.exists(path + suffix) for suffix in ("-wal", "-journal"))
            uri = f"{Path(path).resolve().as_uri()}?mode=ro" + "&immutable=1" * quiet
            self._connection = sqlite3.connect(uri, uri=True)
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.execute("PRAGMA temp_store = MEMORY")
        self._connection.set_authorizer(_only_reads)
        self._connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        if sys.version_info >= (3, 11):
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        self._connection.set_progress_handler(self._check, STEPS_PER_CHECK)
        self.steps, self._limit = 0, 0

    def _check(self) -> bool:
        self.steps += STEPS_PER_CHECK
        return self.steps > self._limit

    def rows(self, query: str, limit: int) -> Iterator[Row]:
        """The rows of one SELECT that takes at most `limit` steps.

        Raises:
            FAILURES: for a statement that fails, writes, is none or is several, and past a limit.
        """
        if not _SELECT.match(query):
            raise ValueError("it is no SELECT")
        self.steps, self._limit = 0, limit
        for row in self._connection.execute(query):
            yield tuple(map(_comparable, row))


class Grader:
    """Compares the rows of completions with those of the reference that was named last."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._expected: list[Row] = []

    def expect(self, path: str, reference: str) -> str | None:
        """Run the reference; what is wrong with it or with the database, if anything is."""
        try:
            state = os.stat(path)
            key = (path, state.st_mtime_ns, state.st_size, reference)
            if key == self._key:
                return None
            self._key = ()
            self._database = _opened(*key[:3])
        except (*FAILURES, OSError) as error:
            return f"the database {path} cannot be read ({error})"
        self._expected = []
        try:
            for row in self._database.rows(reference, sys.maxsize):
                self._expected.append(row)
                if len(self._expected) > MAX_ROWS:
                    return f"the right query gives more than {MAX_ROWS:,} rows"
        except FAILURES as error:
            return f"the right query cannot be run on {path} ({error})"
        self._limit = max(FREE_STEPS, STEPS_PER_REFERENCE * self._database.steps)
        self._ordered = is_ordered(reference)
        self._key = key
        return None

    def right(self, completion: str) -> bool:
        """Whether a completion gives the expected rows; reading stops at the first row that is one too many."""
        try:
            rows = self._database.rows(completion, self._limit)
            if self._ordered:
                return all(row == next(rows, None) for row in self._expected) and next(rows, None) is None
            missing = Counter(self._expected)
            for row in rows:
                missing[row] -= 1
                if missing[row] < 0:
                    return False
            return not any(missing.values())
        except FAILURES:
            return False


def _limit_this_process() -> None:
    """No file may be written, and memory is bounded, where the system can do so."""
    for name in ("SIGINT", "SIGTERM"):  # it ends when its parent does
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, value in ((resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, MEMORY_BYTES)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def main() -> None:
    """Answer requests until the other end closes."""
    _limit_this_process()
    grader = Grader()
    channel = socket.socket(fileno=0)
    for line in channel.makefile("r", encoding="ascii", newline="\n"):
        request = json.loads(line)
        if "completion" in request:
            reply: dict[str, object] = {"right": grader.right(request["completion"])}
        else:
            start = time.monotonic()
            reply = {"fault": grader.expect(request["database"], request["reference"])}
            reply["seconds"] = time.monotonic() - start
        channel.sendall(json.dumps({"id": request["id"], **reply}).encode("ascii") + b"\n")


if __name__ == "__main__":
    main()
