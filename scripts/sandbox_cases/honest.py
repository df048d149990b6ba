"""Honest programs as jobs: fifty functions, each with several random arguments.

The source text of a function is the program. The expected results are computed in this process with the function itself.
"""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Callable
from random import Random
from typing import Any

from hrm_align.sandbox import Job

from . import honest_programs as programs

CALLS = 3  # calls of each program in a job


def honest_jobs(rounds: int, seed: int = 0) -> list[tuple[Job, list[Any]]]:
    """Return jobs and, for each, the expected results of its calls."""
    jobs = []
    for index in range(rounds):
        for function, kinds in _TAKES.items():
            rng = Random(f"{seed} {index} {function.__name__}")
            arguments = [[_DRAW[kind](rng) for kind in kinds.split()] for _ in range(CALLS)]
            with contextlib.redirect_stdout(None):
                expected = [function(*json.loads(json.dumps(given))) for given in arguments]
            jobs.append((Job(inspect.getsource(function), function.__name__, arguments), expected))
    return jobs


_DRAW: dict[str, Callable[[Random], Any]] = {
    "int": lambda rng: rng.randrange(-999, 1000),
    "count": lambda rng: rng.randrange(1, 25),
    "float": lambda rng: rng.uniform(-100, 100),
    "ints": lambda rng: [rng.randrange(-50, 51) for _ in range(rng.randrange(1, 40))],
    "floats": lambda rng: [rng.uniform(-9, 9) for _ in range(rng.randrange(2, 20))],
    "text": lambda rng: " ".join(_word(rng) for _ in range(rng.randrange(1, 12))),
    "words": lambda rng: [_word(rng) for _ in range(rng.randrange(1, 15))],
    "table": lambda rng: {_word(rng): rng.randrange(100) for _ in range(rng.randrange(1, 12))},
    "grid": lambda rng: [[rng.randrange(9) for _ in range(4)] for _ in range(4)],
    "date": lambda rng: f"20{rng.randrange(10, 40)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
}


def _word(rng: Random) -> str:
    return "".join(rng.choice("abcdeéñöß水aeiou") for _ in range(rng.randrange(1, 9)))


# The kinds of each function's arguments, as named in `_DRAW`.
_TAKES: dict[Callable[..., Any], str] = {
    programs.add: "int int",
    programs.polynomial: "int ints",
    programs.divisors: "count",
    programs.primes: "count",
    programs.factorial: "count",
    programs.fibonacci: "count",
    programs.collatz: "int",
    programs.summary_statistics: "floats",
    programs.greatest: "ints",
    programs.as_fraction: "int int",
    programs.with_decimals: "int int",
    programs.in_base: "int count",
    programs.bits: "int",
    programs.rounded: "float count",
    programs.backwards: "text",
    programs.capitals: "text",
    programs.letters: "text",
    programs.is_palindrome: "text",
    programs.caesar: "text int",
    programs.run_lengths: "text",
    programs.numbers_in: "text int",
    programs.replaced: "text",
    programs.split_by: "text",
    programs.normal_form: "text",
    programs.wrapped: "text",
    programs.edit_distance: "text text",
    programs.digest: "text",
    programs.encoded: "text",
    programs.unique: "ints",
    programs.sorted_by: "words",
    programs.merge_sort: "ints",
    programs.smallest: "ints count",
    programs.places: "ints int",
    programs.running: "ints",
    programs.subsets: "words",
    programs.permuted: "words",
    programs.best_sum: "ints",
    programs.two_sum: "ints int",
    programs.transposed: "grid",
    programs.multiplied: "grid grid",
    programs.shortest_path: "grid",
    programs.queens: "count",
    programs.inverted: "table",
    programs.round_trip: "table",
    programs.days_between: "date date",
    programs.bank_account: "ints",
    programs.shapes: "float float",
    programs.generated: "count",
    programs.careful: "ints count",
    programs.matched: "int",
}
