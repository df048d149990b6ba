"""Time several arms that take turns, so that other load on the machine affects all of them equally.

Each arm has its own process, which waits while other arms run, so peak memory is measured separately too. An arm is a function
that sets up, calls `turn()`, and then does one piece of work between any two calls of `turn(tokens)`.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch

Arm = Callable[["Turn"], None]


class Turn:
    """The connection of an arm to the race, called at the end of each piece of work."""

    def __init__(self, connection: Connection):
        self._connection, self._started = connection, time.perf_counter()

    def __call__(self, tokens: int = 0, note: Any = None) -> None:
        """End a piece of work with `tokens` useful tokens, and wait for the next turn. The last wait ends the process."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._connection.send((time.perf_counter() - self._started, tokens, peak_memory(), note))
        if not self._connection.recv():
            raise SystemExit(0)
        self._started = time.perf_counter()


def peak_memory() -> float:
    """Return the peak memory of this process in MiB: GPU memory if there is a GPU, else resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass
class Figures:
    """The figures of an arm: seconds, useful tokens and notes of each round, and the peak memory in MiB."""

    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    notes: list[Any] = field(default_factory=list)
    peak: float = 0.0

    @property
    def rates(self) -> list[float]:
        """Useful tokens a second in each round."""
        return [tokens / seconds for tokens, seconds in zip(self.tokens, self.seconds, strict=True)]


def race(arms: Mapping[str, Arm], rounds: int, warmup: int = 1, threads: int = 2) -> dict[str, Figures]:
    """Run all arms in turn, in another order each round.

    Args:
        arms: arms by name; must be picklable, because each starts in a spawned process.
        rounds: measured pieces of work of each arm.
        warmup: pieces of work before them, which allocate memory and do not count.
        threads: CPU threads of each arm; one arm runs at a time.

    Raises:
        RuntimeError: if an arm ends early.
    """
    context, figures, ends = get_context("spawn"), {name: Figures() for name in arms}, {}
    processes = []
    try:
        for name, arm in arms.items():
            ends[name], other = context.Pipe()
            processes.append(context.Process(target=_run, args=(arm, other, threads), daemon=True))
            processes[-1].start()
            other.close()
            _receive(ends[name], name)
        for number in range(warmup + rounds):
            names = list(arms)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                ends[name].send(True)
                seconds, tokens, peak, note = _receive(ends[name], name)
                own = figures[name]
                own.peak = peak
                if number >= warmup:
                    own.seconds.append(seconds)
                    own.tokens.append(tokens)
                    own.notes.append(note)
    finally:
        for process in processes:
            process.kill()
    return figures


def _run(arm: Arm, connection: Connection, threads: int) -> None:
    torch.set_num_threads(threads)
    arm(Turn(connection))


def _receive(end: Connection, name: str) -> Any:
    try:
        return end.recv()
    except EOFError:
        raise RuntimeError(f"the arm {name!r} ended early; see its error above.") from None


def ratios(figures: Mapping[str, Figures], ours: str, theirs: str) -> list[float]:
    """Return, for each round, the useful tokens a second of `ours` divided by those of `theirs`."""
    return [a / b for a, b in zip(figures[ours].rates, figures[theirs].rates, strict=True)]


def median_and_range(values: list[float], digits: int = 2) -> str:
    """Format the median and range of values."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
