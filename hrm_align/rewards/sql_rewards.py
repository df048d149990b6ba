"""The reward for queries: the rows that the reference gives, on the row's own database.

A completion may be hostile or merely absurd. It is run in a process that can only read (`sql_worker`), and is wrong if it
is anything but one SELECT, fails, or takes too long; it is never an exception, and never changes a file.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrm_align.errors import UserError
from hrm_align.processes import Lost, WorkerProcess, forget_in_forks
from hrm_align.rewards.base import Row
from hrm_align.rewards.text_rewards import visible

REFERENCE_SECONDS = 60.0  # for opening the database and running the right query
COMPLETION_SECONDS = 2.0  # or `SECONDS_PER_REFERENCE` times what the right query took, if that is longer
SECONDS_PER_REFERENCE = 5.0
REPLY_BYTES = 10_000_000  # an error of SQLite repeats a part of the query


def sql_match(completion: str, reference: str, database: str | os.PathLike[str]) -> bool:
    """Compare the rows of two queries.

    They are the same if every row occurs as often in both, and in the same order if `reference` has an ORDER BY of its
    own. Values count by their place, not by the name of their column; 1 equals 1.0, and NULL equals NULL.

    Args:
        completion: the query to grade: one SELECT, or WITH ... SELECT.
        reference: the query whose rows are expected.
        database: a file of SQLite, or a dump: SQL text that creates and fills one. Neither is ever changed.

    Raises:
        UserError: if the database is missing or unreadable, or the reference fails on it.
    """
    path = os.path.abspath(os.path.expanduser(database))
    if not os.path.isfile(path):
        raise UserError(
            f"there is no database {os.fspath(database)}: `grading.database` counts from the folder of the data file, "
            "and rows of the Hub need an absolute path."
        )
    with _QUERIES.lock:
        reply = _QUERIES.ask({"database": path, "reference": reference}, REFERENCE_SECONDS)
        if reply is None:
            fault = f"the right query takes more than {REFERENCE_SECONDS:.0f} seconds, or all memory, on {path}"
        else:
            fault = reply["fault"]
        if reply is None or fault:
            raise UserError(f"{fault}: correct the query, or leave the row out.")
        seconds = max(COMPLETION_SECONDS, SECONDS_PER_REFERENCE * reply["seconds"])
        reply = _QUERIES.ask({"completion": completion}, seconds)
        return reply is not None and reply["right"]


@dataclass(frozen=True)
class Sql:
    """1 for a query that gives the rows of the reference, on the database that `grading.database` names.

    The path counts from the folder of the data file.
    """

    def grade(self, completion: str, row: Row) -> float:
        """0 or 1. Raises UserError for a row without a database, or whose own query fails on it."""
        database = row.grading.get("database")
        if not isinstance(database, str) or not database.strip():
            raise UserError(
                f"{row.source}: no database is named, so sql cannot grade the row: "
                'add "grading": {"database": "shop.sql"}, a dump or a SQLite file beside the data file.'
            )
        path = os.path.join(os.path.dirname(row.source), os.path.expanduser(database))  # of `rows.jsonl:3`
        try:
            return float(sql_match(visible(completion), row.reference, path))
        except UserError as error:
            raise UserError(f"{row.source}: {error}") from None

    def extracted(self, completion: str) -> str | None:
        """The query: the text after all thinking."""
        return visible(completion)

    def corrupted(self, row: Row) -> str:
        """A query that finds nothing. It passes where the reference finds nothing either, as any such query would."""
        return "SELECT NULL WHERE 0"


class _Queries:
    """The process that runs the queries: started when first asked, and again after it was killed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # over a reference and its completion
        self._worker: WorkerProcess | None = None
        forget_in_forks(self)

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """The reply, or None if there is none in time; then the process is dead, and knows nothing any more."""
        if self._worker is None or self._worker.ended:
            main = str(Path(__file__).with_name("sql_worker.py"))
            self._worker = WorkerProcess([sys.executable, "-I", "-S", main])
        worker = self._worker
        reply: dict[str, Any] | None = None
        try:
            worker.ask(request, seconds, REPLY_BYTES)
            reply = worker.wait()
        except Lost:
            pass
        finally:
            if reply is None:  # after a Ctrl-C, too
                worker.stop(0)  # a query that hangs does not see the end of its channel
                self._worker = None
        return reply

    def forget(self) -> None:
        """In a forked process: leave the parent's to the parent."""
        self.lock, self._worker = threading.Lock(), None


_QUERIES = _Queries()
