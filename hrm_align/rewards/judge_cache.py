"""Verdicts of a judge on disk, shared by processes and by later runs, and the tokens that the judge has used.

A SQLite file in the folder of the run. It holds hashes of requests with their scores, and no texts.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from hrm_align.errors import UserError

FILE = "judge.sqlite"
BUSY_SECONDS = 3.0  # time to wait for another process that writes
MOST_TOKENS = 2**40  # of one answer: no server that counts right states more

_TABLES = """
CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, score REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (judge TEXT PRIMARY KEY, prompt INTEGER NOT NULL, completion INTEGER NOT NULL);
"""


class JudgeCache:
    """Scores by the hash of their request, and tokens by judge.

    Args:
        folder: folder of the file; None keeps everything in memory.

    Attributes:
        failure: description of an error after which the cache continued in memory; blank without one.

    Raises:
        UserError: if the file cannot be opened or is damaged.
    """

    failure = ""

    def __init__(self, folder: str | None):
        path = ":memory:" if folder is None else str(Path(folder) / FILE)
        try:
            if folder is not None:
                Path(folder).mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            self._database.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise UserError(
                f"the cache of verdicts {path} cannot be opened ({error}). Remove the file, or name another folder with `cache`."
            ) from None

    def get(self, key: str) -> float | None:
        """Return the score of a request, or None."""
        row = self._execute("SELECT score FROM verdicts WHERE key = ?", key)
        return None if row is None else row[0]

    def insert(self, key: str, score: float) -> float:
        """Store a score; return the stored score, which may be that of another process that was first."""
        self._execute("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", key, score)
        stored = self.get(key)
        return score if stored is None else stored

    def add_tokens(self, judge: str, prompt: int, completion: int) -> None:
        """Count tokens of a judge."""
        self._execute(
            "INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT (judge) DO UPDATE SET prompt = prompt + excluded.prompt, "
            "completion = completion + excluded.completion",
            judge,
            min(prompt, MOST_TOKENS),
            min(completion, MOST_TOKENS),
        )

    def count_tokens(self, judge: str) -> tuple[int, int]:
        """Return the prompt tokens and the completion tokens of a judge, of all processes and runs with this file."""
        row = self._execute("SELECT prompt, completion FROM spent WHERE judge = ?", judge)
        return (0, 0) if row is None else (row[0], row[1])

    def _execute(self, statement: str, *values: str | float) -> tuple[Any, ...] | None:
        """Execute a statement and return its first row. After an error, continue in memory."""
        try:
            return self._database.execute(statement, values).fetchone()
        except sqlite3.Error as error:
            self.failure = self.failure or f"{type(error).__name__}: {error}"[:200]
            self._database = sqlite3.connect(":memory:", isolation_level=None)
            self._database.executescript(_TABLES)
            return self._database.execute(statement, values).fetchone()
