"""Compare the rows of queries: which results are as correct as the one of the reference.

1. The rows of the reference, in any order, or in their order if the reference has an ORDER BY outside all parentheses.
2. If the reference is ordered: rows with equal sort keys in any order. Which rows these are is seen from runs of the
   reference on tables that are read in other orders (`sql_database.Database.reordered`).
3. If such a run gives other rows, as for a LIMIT through a tie, the reference is *undetermined*: the rows of each run
   are correct. In two more runs, the table rows that hold values of the completion are read first or last, so
   that its choice among equal rows is correct too.

So a completion is only correct with rows that SQLite might give for the reference itself.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from hrm_align.rewards.sql_database import (
    FAILURES,
    FIRST,
    LAST,
    MAX_ROWS,
    ORDERS,
    PRAGMA,
    Database,
    Row,
    is_ordered,
    open_database,
    unquoted_text,
    without_distinct,
)

FREE_STEPS = 10_000_000  # steps of SQLite's virtual machine: under a second, and the same limit on a busy computer
STEPS_PER_REFERENCE = 4  # a completion may take this many times the steps of the reference, if that is more
# For a run on reordered tables while grading: about 50,000 table rows. Without it, the reference counts as determined.
REORDERED_STEPS = 3_000_000
MATCHED_CELLS = 2_000_000  # work on the order of columns, under a second; beyond it the rows count as different
GRADING_ORDERS = 2  # reordered runs while grading; the preflight makes all of them
# What a reference has whose rows may depend on the order of the tables; others are only compared with their own rows.
_OPEN = re.compile(
    r"\b(?:LIMIT|GROUP|OVER|DISTINCT|UNION|EXCEPT|INTERSECT|random\w*|current_\w+)\b|\w\s*\(", re.IGNORECASE
)
_SELECTS = re.compile(r"\b(?:SELECT|VALUES)\b", re.IGNORECASE)
CAUSES = {
    r"\bLIMIT\b": "a LIMIT without an ORDER BY, or through rows with equal sort keys",
    r"\b(?:group_concat|string_agg|json_group_array|json_group_object)\b": "the order of the values that are joined",
    r"\bOVER\b": "a window over rows with equal sort keys",
    r"\brandom\b": "a random number",
}
OTHER_CAUSE = "a column that is neither grouped nor aggregated, or a random or current value"


class Grader:
    """Compare the rows of completions with the rows of the latest reference."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._expected: list[Row] = []
        self._given: list[Row] = []
        self._runs: list[list[Row]] | None = None

    def expect(self, path: str, reference: str, spider: bool = False) -> str | None:
        """Run the reference and store its rows.

        Args:
            path: the database.
            reference: the query.
            spider: compare as the test suite of Spider does: without DISTINCT, and with the columns in any order.

        Returns:
            An error message about the query or the database, or None.
        """
        try:
            state = os.stat(path)
            key = (path, state.st_mtime_ns, state.st_size, reference, spider)
            if key == self._key:
                return None
            self._key = ()
            self._database: Database = open_database(*key[:3])
        except (*FAILURES, OSError) as error:
            return f"cannot read the database {path} ({error})"
        self._expected, self._runs = [], None
        self._query = without_distinct(reference) if spider else reference
        try:
            for row in self._database.rows(self._query, sys.maxsize):
                self._expected.append(row)
                if len(self._expected) > MAX_ROWS:
                    return f"the reference query gives more than {MAX_ROWS:,} rows"
        except FAILURES as error:
            return f"cannot run the reference query on {path} ({error})"
        self._steps = self._database.steps
        self._limit = max(FREE_STEPS, STEPS_PER_REFERENCE * self._steps)
        self._ordered, self._spider = is_ordered(reference), spider
        self._key = key
        return None

    def matches(self, completion: str) -> tuple[bool, str | None, bool]:
        """Compare a completion with the rows of the reference.

        Returns:
            Whether the rows are the same; why the query was stopped, if it was; and whether `matches_another_run` may
            still find the rows of the completion, which are stored for that call.
        """
        self._given = []
        query = without_distinct(completion) if self._spider else completion
        try:
            given = [*islice(self._database.rows(query, self._limit), len(self._expected) + 1)]
        except FAILURES as error:
            if self._database.exceeded:
                return False, f"the query was stopped after {self._limit:,} steps of SQLite", False
            memory = isinstance(error, MemoryError)
            return False, "the query was stopped because it takes all memory" if memory else None, False
        if self._equal(given, self._expected):
            return True, None, False
        self._given = given
        return False, None, self._may_match_another_run()

    def _may_match_another_run(self) -> bool:
        given, expected = self._given, self._expected
        if given and expected and len(given[0]) != len(expected[0]):
            return False
        if _OPEN.search(unquoted_text(self._query)) or len(_SELECTS.findall(self._query)) > 1:
            return True
        return self._ordered and len(given) == len(expected) and (self._spider or Counter(given) == Counter(expected))

    def matches_another_run(self) -> bool:
        """Return whether the rows of the last completion are a correct result of the reference (rules 2 and 3)."""
        if self._runs is None:
            runs = [self._database.reordered(self._query, REORDERED_STEPS, order) for order in ORDERS[:GRADING_ORDERS]]
            if None in runs:
                runs.append(self._database.reordered(self._query, max(REORDERED_STEPS, 2 * self._steps), PRAGMA))
            self._runs = [run for run in runs if run is not None]
        other_runs = self._runs
        if self._undetermined_run(other_runs) is None:
            if not self._ordered or len(self._given) != len(self._expected):
                return False
            ties = number_ties([self._expected, *other_runs])
            given, expected = (
                [(tie, *row) for tie, row in zip(ties, rows, strict=True)] for rows in (self._given, self._expected)
            )
            return same_rows(given, expected, any_columns=self._spider, fixed=1)
        if any(self._equal(self._given, run) for run in other_runs):
            return True
        guided = (self._database.reordered(self._query, REORDERED_STEPS, at, self._given) for at in (FIRST, LAST))
        return any(run is not None and self._equal(self._given, run) for run in guided)

    def doubt(self) -> tuple[str, str] | None:
        """Return the kind of a doubt about the reference, and a sentence; None without a doubt."""
        query = " ".join(self._query.split())[:200]
        if not self._expected:
            return "empty", (
                f"the reference query gives no rows, so every query without rows gets 1: {query}. Add rows to the "
                "database, or leave the row out."
            )
        other = self._undetermined_run(self._all_runs())
        if other is None:
            return None
        missing = [*(Counter(self._expected) - Counter(other))] or [*(Counter(other) - Counter(self._expected))]
        instead = [*(Counter(other) - Counter(self._expected))] or [*(Counter(self._expected) - Counter(other))]
        text = unquoted_text(query)
        cause = next((cause for word, cause in CAUSES.items() if re.search(word, text, re.IGNORECASE)), OTHER_CAUSE)
        return "undetermined", (
            f"the reference query gives {missing[0]!r:.60} or {instead[0]!r:.60}, depending on the order in which SQLite "
            f"reads the tables ({cause}): {query}. Order by a unique key, or leave the row out; each result gets 1."
        )

    def _all_runs(self) -> Iterator[list[Row] | None]:
        """Yield the rows of the reference for each other order of the tables; None for a run beyond the limit of steps."""
        yield self._database.reordered(self._query, max(FREE_STEPS, 2 * self._steps), PRAGMA)
        for order in ORDERS:
            yield self._database.reordered(self._query, FREE_STEPS, order)

    def _undetermined_run(self, runs: Iterable[list[Row] | None]) -> list[Row] | None:
        """Return the first run whose rows differ from the expected ones as a bag; None if there is no such run."""
        expected = Counter(self._expected)
        return next((run for run in runs if run is not None and Counter(run) != expected), None)

    def _equal(self, given: Sequence[Row], expected: Sequence[Row]) -> bool:
        if self._ordered and not self._spider:
            return given == expected
        if self._ordered:  # each column keeps the order of its values, so that columns can be compared as a whole
            return len(given) == len(expected) and _columns(given) == _columns(expected)
        return same_rows(given, expected, any_columns=self._spider)


def _columns(rows: Sequence[Row]) -> Counter[tuple[object, ...]]:
    return Counter(zip(*rows, strict=True))


def number_ties(runs: Sequence[Sequence[Row]]) -> list[int]:
    """Return for each position the number of its tie: positions between which rows change place from run to run.

    Args:
        runs: ordered results with the same rows.

    >>> number_ties([["a", "b", "c", "d"], ["a", "c", "b", "d"]])
    [0, 1, 1, 2]
    """
    first, *others = runs
    differences: list[Counter[Row]] = [Counter() for _ in others]
    ties, number = [], 0
    for position, row in enumerate(first):
        ties.append(number)
        for difference, other in zip(differences, others, strict=True):
            for changed, change in ((row, 1), (other[position], -1)):
                difference[changed] += change
                if not difference[changed]:
                    del difference[changed]
        number += not any(differences)
    return ties


def same_rows(given: Sequence[Row], expected: Sequence[Row], any_columns: bool = False, fixed: int = 0) -> bool:
    """Return whether every row occurs equally often in two results.

    Args:
        given: rows of a completion.
        expected: rows of the reference.
        any_columns: whether the columns of `given` may stand in any order, the same for all rows.
        fixed: number of first columns that keep their place.
    """
    if len(given) != len(expected):
        return False
    if not any_columns or not given:
        return Counter(given) == Counter(expected)
    if len(given[0]) != len(expected[0]):
        return False
    return _ColumnMatch([*zip(*given, strict=True)], [*zip(*expected, strict=True)]).match(fixed)


class _ColumnMatch:
    """Search for the order of columns in which two results have the same rows, within `MATCHED_CELLS`."""

    def __init__(self, given: Sequence[Row], expected: Sequence[Row]):
        self._given, self._expected = given, expected
        values = [frozenset(Counter(column).items()) for column in given]
        self._candidates = [
            [place for place, known in enumerate(values) if known == frozenset(Counter(column).items())]
            for column in expected
        ]
        self._cells = 0

    def match(self, fixed: int) -> bool:
        """Return whether there is such an order; the first `fixed` columns keep their place."""
        rows = len(self._given[0])
        for place in range(fixed):
            self._candidates[place] = [place]
        return self._extend(0, [0] * rows, [0] * rows, set())

    def _extend(self, depth: int, given: list[int], expected: list[int], used: set[int]) -> bool:
        """Match the expected columns from `depth` on.

        Args:
            depth: number of columns that are matched.
            given: for each row of `given`, a number for its values in the matched columns.
            expected: the same for the rows of `expected`, with the same numbers for the same values.
            used: matched columns of `given`.
        """
        if depth == len(self._expected):
            return True
        numbers: dict[tuple[int, object], int] = {}
        longer = [numbers.setdefault(pair, len(numbers)) for pair in zip(expected, self._expected[depth], strict=True)]
        bag = Counter(longer)
        self._cells += len(longer)
        tried: set[Row] = set()
        for place in self._candidates[depth]:
            column = self._given[place]
            if place in used or column in tried:
                continue
            if self._cells > MATCHED_CELLS:
                return False
            tried.add(column)
            self._cells += len(column)
            numbered = [numbers.get(pair, -1) for pair in zip(given, column, strict=True)]
            if Counter(numbered) == bag and self._extend(depth + 1, numbered, longer, used | {place}):
                return True
        return False
