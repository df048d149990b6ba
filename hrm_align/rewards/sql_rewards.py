"""Grader for SQL queries: run completion and reference on the database of the row, and compare the resulting rows.

A completion may be hostile. Completions run in a separate process with read-only access (`sql_worker`). A completion
that is not a single SELECT, fails, or takes too long gets 0; it never raises an exception here, and never changes a
file.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrm_align.errors import UserError
from hrm_align.processes import WorkerLost, WorkerProcess, forget_after_fork
from hrm_align.rewards.base import Row
from hrm_align.rewards.reading import block_rule, read_query

REFERENCE_SECONDS = 60.0  # limit for opening the database and running the reference query
COMPLETION_SECONDS = 2.0  # limit for a completion, or `SECONDS_PER_REFERENCE` x time of the reference if that is longer
SECONDS_PER_REFERENCE = 5.0
REPLY_BYTES = 10_000_000  # large, since an error message of SQLite repeats a part of the query


def sql_match(completion: str, reference: str, database: str | os.PathLike[str]) -> bool:
    """Return whether two queries give the same rows.

    The rows are the same if every row occurs equally often in both results, and in the same order if `reference` has an
    ORDER BY outside all parentheses. Values are compared by position, not by column name; 1 equals 1.0, and NULL equals
    NULL.

    Args:
        completion: the query to grade: one SELECT, or WITH ... SELECT.
        reference: the query whose rows are expected.
        database: a SQLite file, or a dump (SQL text that creates and fills a database). The file is never changed.

    Raises:
        UserError: if the database is missing or unreadable, or the reference fails on it.
    """
    path = os.path.abspath(os.path.expanduser(database))
    if not os.path.isfile(path):
        raise UserError(
            f"the database {os.fspath(database)} does not exist. Use a path in `grading.database` that is relative to "
            "the folder of the data file, or an absolute path for rows of the Hub."
        )
    with _QUERIES.lock:
        reply = _QUERIES.send_request({"database": path, "reference": reference}, REFERENCE_SECONDS)
        if reply is None:
            fault = f"the reference query takes more than {REFERENCE_SECONDS:.0f} seconds, or all memory, on {path}"
        else:
            fault = reply["fault"]
        if reply is None or fault:
            raise UserError(f"{fault}. Correct the query or the database, or leave the row out.")
        seconds = max(COMPLETION_SECONDS, SECONDS_PER_REFERENCE * reply["seconds"])
        reply = _QUERIES.send_request({"completion": completion}, seconds)
        return reply is not None and reply["right"]


@dataclass(frozen=True)
class Sql:
    """1 if the query gives the same rows as the reference, on the database in `grading.database`. The query is the last
    fenced SQL block, else the text from the first SELECT or WITH that starts a paragraph or stands below a colon.

    The path of the database is relative to the folder of the data file.
    """

    def grade(self, completion: str, row: Row) -> float:
        """Return 0 or 1.

        Raises:
            UserError: for a row without a database, or whose reference query fails on its database.
        """
        database = row.grading.get("database")
        if not isinstance(database, str) or not database.strip():
            raise UserError(
                f"{row.source}: no database is named, so sql cannot grade the row. "
                'Add "grading": {"database": "shop.sql"}, a dump or a SQLite file beside the data file.'
            )
        path = os.path.join(os.path.dirname(row.source), os.path.expanduser(database))  # folder of `rows.jsonl:3`
        try:
            return float(sql_match(read_query(completion), read_query(row.reference), path))
        except UserError as error:
            raise UserError(f"{row.source}: {error}") from None

    def extract_answer(self, completion: str) -> str | None:
        """Return the query (`reading.read_query`)."""
        return read_query(completion)

    def reading_rule(self, text: str) -> str:
        """Return the rule that finds the query, as in `reading.block_rule`."""
        return block_rule(text, read_query(text))

    def corrupt_reference(self, row: Row) -> str:
        """Return a query without result rows. The query gets 1 if the reference has no result rows either."""
        return "SELECT NULL WHERE 0"


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
