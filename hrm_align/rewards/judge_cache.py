"""Verdicts of a judge on disk, shared by processes and by later runs, and the tokens that the judge has used.

A SQLite file in the folder of the run. It holds hashes of requests with their scores, and no texts.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from hrm_align.errors import UserError

FILE = "judge.sqlite"
BUSY_SECONDS = 3.0  # time to wait for another process that writes
FLUSH_SECONDS = 1.0  # time between two transactions, each of which waits for the disk
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
        self._scores: dict[str, float] = {}  # not written yet
        self._tokens: dict[str, tuple[int, int]] = {}  # not written yet
        self._flushed = time.monotonic()
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
        """Return the stored score of a request, or None."""
        row = self._select("SELECT score FROM verdicts WHERE key = ?", key)
        return None if row is None else row[0]

    def add(self, key: str, score: float) -> None:
        """Store a score with the next `flush`. A score that another process stored before stays."""
        self._scores[key] = score
        self._flush_if_due()

    def add_tokens(self, judge: str, prompt: int, completion: int) -> None:
        """Count tokens of a judge."""
        before = self._tokens.get(judge, (0, 0))
        self._tokens[judge] = (before[0] + min(prompt, MOST_TOKENS), before[1] + min(completion, MOST_TOKENS))
        self._flush_if_due()

    def count_tokens(self, judge: str) -> tuple[int, int]:
        """Return the prompt tokens and the completion tokens of a judge, of all processes and runs with this file."""
        row = self._select("SELECT prompt, completion FROM spent WHERE judge = ?", judge) or (0, 0)
        prompt, completion = self._tokens.get(judge, (0, 0))
        return row[0] + prompt, row[1] + completion

    def flush(self) -> None:
        """Write what was added. After an error, continue in memory."""
        if not self._scores and not self._tokens:
            return
        try:
            self._write()
        except sqlite3.Error as error:
            self._continue_in_memory(error)
            self._write()
        self._scores, self._tokens, self._flushed = {}, {}, time.monotonic()

    def _write(self) -> None:
        tokens = [(judge, *counts) for judge, counts in self._tokens.items()]
        with self._database:  # one transaction
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", self._scores.items())
            self._database.executemany(
                "INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT (judge) DO UPDATE SET prompt = prompt + excluded.prompt, "
                "completion = completion + excluded.completion",
                tokens,
            )

    def _flush_if_due(self) -> None:
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def _select(self, statement: str, value: str) -> tuple[Any, ...] | None:
        try:
            return self._database.execute(statement, (value,)).fetchone()
        except sqlite3.Error as error:
            self._continue_in_memory(error)
            return None

    def _continue_in_memory(self, error: sqlite3.Error) -> None:
        self.failure = self.failure or f"{type(error).__name__}: {error}"[:200]
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self._database.executescript(_TABLES)
