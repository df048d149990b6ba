"""Grader for SQL queries: run completion and reference on the database of the row, and compare the resulting rows.

A completion may be hostile. Completions run in a separate process with read-only access (`sql_worker`). A completion
that is not a single SELECT, fails, or takes too long gets 0; it never raises an exception here, and never changes a
file. `sql_grading` has the rules by which rows are compared.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hrm_align.errors import UserError
from hrm_align.processes import WorkerLost, WorkerProcess, forget_after_fork
from hrm_align.rewards.base import Row, option
from hrm_align.rewards.reading import block_rule, read_query

REFERENCE_SECONDS = 60.0  # limit for opening the database and running the reference query
COMPLETION_SECONDS = 2.0  # limit for a completion, or `SECONDS_PER_REFERENCE` x time of the reference if that is longer
SECONDS_PER_REFERENCE = 5.0
OTHER_RUNS_SECONDS = 3.0  # limit for running the reference on reordered tables
COMPARE = ("rows", "spider")
REPLY_BYTES = 10_000_000  # large, since an error message of SQLite repeats a part of the query


class Verdict(NamedTuple):
    """Whether a query gives the rows of the reference, and why the query was stopped, if it was."""

    right: bool
    stopped: str | None = None


def sql_match(completion: str, reference: str, database: str | os.PathLike[str], compare: str = "rows") -> bool:
    """Return whether two queries give the same rows.

    The rows are the same if every row occurs equally often in both results, and in the same order if `reference` has an
    ORDER BY outside all parentheses; rows with equal sort keys may change places. Where the database leaves the rows of
    the reference open, as with a LIMIT through equal rows, each result is right. Values are compared by position, not by
    column name; 1 equals 1.0, and NULL equals NULL.

    Args:
        completion: the query to grade: one SELECT, or WITH ... SELECT.
        reference: the query whose rows are expected.
        database: a SQLite file, or a dump (SQL text that creates and fills a database). The file is never changed.
        compare: "rows"; or "spider" for the rules of Spider's test suite: both queries run without DISTINCT, and their
            columns may be in any order.

    Raises:
        UserError: if the database is missing or unreadable, or the reference fails on it.
    """
    return judge_query(completion, reference, database, compare).right


def judge_query(completion: str, reference: str, database: str | os.PathLike[str], compare: str = "rows") -> Verdict:
    """Return the verdict about a query. Arguments and errors are those of `sql_match`."""
    with _QUERIES.lock:
        reference_seconds = _expect(reference, database, compare)
        seconds = max(COMPLETION_SECONDS, SECONDS_PER_REFERENCE * reference_seconds)
        reply = _QUERIES.send_request({"completion": completion}, seconds)
        if reply is None:
            return Verdict(False, f"the query was stopped: it takes more than {seconds:.1f} seconds, or all memory")
        if not reply["open"]:
            return Verdict(reply["right"], reply["stopped"])
        reply = _QUERIES.send_request({"other_runs": True}, OTHER_RUNS_SECONDS)
        return Verdict(reply is not None and reply["right"])


def doubt_query(reference: str, database: str | os.PathLike[str], compare: str = "rows") -> tuple[str, str] | None:
    """Return kind and sentence of a doubt about a reference: no rows, or several correct results; None without a doubt.

    Raises:
        UserError: if the database is missing or unreadable, or the reference fails on it.
    """
    with _QUERIES.lock:
        _expect(reference, database, compare)
        reply = _QUERIES.send_request({"doubt": True}, OTHER_RUNS_SECONDS)
    if reply is None or reply["doubt"] is None:
        return None
    kind, sentence = reply["doubt"]
    return kind, sentence


def _expect(reference: str, database: str | os.PathLike[str], compare: str) -> float:
    """Run a reference in the process of `_QUERIES`, whose lock is held. Return its seconds; errors as in `sql_match`."""
    path = os.path.abspath(os.path.expanduser(database))
    if not os.path.isfile(path):
        raise UserError(
            f"the database {os.fspath(database)} does not exist. Use a path in `grading.database` that is relative to "
            "the folder of the data file, or an absolute path for rows of the Hub."
        )
    request = {"database": path, "reference": reference, "spider": compare == "spider"}
    reply = _QUERIES.send_request(request, REFERENCE_SECONDS)
    if reply is None:
        fault = f"the reference query takes more than {REFERENCE_SECONDS:.0f} seconds, or all memory, on {path}"
    else:
        fault = reply["fault"]
    if reply is None or fault:
        raise UserError(f"{fault}. Correct the query or the database, or leave the row out.")
    return reply["seconds"]


@dataclass(frozen=True)
class Sql:
    """1 if the query gives the same rows as the reference, on the database in `grading.database`; in the same order if
    the reference has an outer ORDER BY. Rows with equal sort keys may change places, and where the reference has several
    correct results (a LIMIT through a tie), each is right. The query is the last fenced SQL block, else the text from the
    first SELECT or WITH that starts a paragraph or stands below a colon.

    The path of the database is relative to the folder of the data file.
    """

    compare: str = option(
        "rows", "rows, or spider for the rules of Spider's test suite: columns in any order, DISTINCT ignored"
    )

    def __post_init__(self) -> None:
        if self.compare not in COMPARE:
            raise UserError(f"invalid value for compare: {self.compare!r}. Use {' or '.join(COMPARE)}.")

    def grade(self, completion: str, row: Row) -> float:
        """Return 0 or 1.

        Raises:
            UserError: for a row without a database, or whose reference query fails on its database.
        """
        return self.grade_with_reason(completion, row)[0]

    def grade_with_reason(self, completion: str, row: Row) -> tuple[float, str | None]:
        """Return 0 or 1; and the limit at which the query was stopped, if it was. Errors are those of `grade`."""
        path = _database_of(row)
        try:
            right, stopped = judge_query(read_query(completion), read_query(row.reference), path, self.compare)
        except UserError as error:
            raise UserError(f"{row.source}: {error}") from None
        return float(right), stopped and f"{row.source}: {stopped}, so it gets 0"

    def doubt_reference(self, row: Row) -> tuple[str, str] | None:
        """Return `empty` for a reference without rows, `undetermined` for several correct results, each with a sentence."""
        return doubt_query(read_query(row.reference), _database_of(row), self.compare)

    def extract_answer(self, completion: str) -> str | None:
        """Return the query (`reading.read_query`)."""
        return read_query(completion)

    def reading_rule(self, text: str) -> str:
        """Return the rule that finds the query, as in `reading.block_rule`."""
        return block_rule(text, read_query(text))

    def corrupt_reference(self, row: Row) -> str:
        """Return a query without result rows. The query gets 1 if the reference has no result rows either."""
        return "SELECT NULL WHERE 0"


def _database_of(row: Row) -> str:
    """Return the path of a row's database. Raises UserError for a row without one."""
    database = row.grading.get("database")
    if not isinstance(database, str) or not database.strip():
        raise UserError(
            f"{row.source}: no database is named, so sql cannot grade the row. "
            'Add "grading": {"database": "shop.sql"}, a dump or a SQLite file beside the data file.'
        )
    return os.path.join(os.path.dirname(row.source), os.path.expanduser(database))  # folder of `rows.jsonl:3`


class _QueryWorker:
    """Handle of the process that runs queries: started at the first request, and again after it was killed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # held from the request with the reference to the reply for its completion
        self._worker: WorkerProcess | None = None
        forget_after_fork(self)

    def send_request(self, request: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """Send a request and return its reply. Without a reply in time, kill the process and return None.

        A new process has no database and no reference; both must be sent again.
        """
        if self._worker is None or self._worker.ended:
            main = str(Path(__file__).with_name("sql_worker.py"))
            self._worker = WorkerProcess([sys.executable, "-I", "-S", main])
        worker = self._worker
        reply: dict[str, Any] | None = None
        try:
            worker.send_request(request, seconds, REPLY_BYTES)
            reply = worker.wait_for_reply()
        except WorkerLost:
            pass
        finally:
            if reply is None:  # also after Ctrl-C
                worker.stop(0)  # a process inside a query does not notice that its channel is closed
                self._worker = None
        return reply

    def forget(self) -> None:
        """Drop the lock and the worker in a forked process, since they belong to the parent."""
        self.lock, self._worker = threading.Lock(), None


_QUERIES = _QueryWorker()
