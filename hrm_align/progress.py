"""Progress on standard error: stages of a run, and in long loops a bar (on a terminal) or a line every ten seconds (elsewhere).

    with stage("reading rows.jsonl") as reading:     reading rows.jsonl
        for row in reading.track(rows): ...          reading rows.jsonl: 40,000 rows in 4.1 s

Code of the library calls `stage` and `track` wherever work may be long. They print nothing unless a command has called
`show_progress`; only the main process prints. While bars are on a terminal, everything else that is printed appears above them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

WIDTH = 80  # columns of every line that a run prints, except for paths and commands that are longer
LONG = 1.0  # seconds after which the end of a stage is printed, and a bar is drawn
EVERY = 10.0  # seconds between two lines of a long loop where standard error is no terminal
REDRAW = 0.2  # seconds between two drawings of the bars, each of which takes half a millisecond

_OFF, _LOOPS, _STAGES = range(3)  # what is printed: nothing; long loops; long loops and stages
_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")  # the variables that accelerate reads
_level = _OFF

Item = TypeVar("Item")


@contextmanager
def show_progress(stages: bool = False) -> Iterator[None]:
    """Print the progress of long loops in this context, and with `stages` also the beginning and end of each stage."""
    global _level
    before, _level = _level, max(_level, _STAGES if stages else _LOOPS)
    try:
        yield
    finally:
        _level = before


def say(text: str) -> None:
    """Print a line of a run to standard error, folded between words to `WIDTH` columns; silent outside `show_progress`."""
    if _level == _STAGES and is_main():
        print(fold(text), file=sys.stderr, flush=True)


def fold(text: str) -> str:
    """Fold a line between words to `WIDTH` columns; a longer word, such as a path, stays whole."""
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def is_main() -> bool:
    """Return whether this is the main process of its run, by the launcher's environment variables."""
    return next((os.environ[name] for name in _RANKS if name in os.environ), "0") == "0"


def is_terminal() -> bool:
    """Return whether standard error is a terminal on which a bar can be drawn."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown")


class Stage:
    """A stage under way: `track` counts what it has done.

    Args:
        what: description, such as `reading rows.jsonl`.
    """

    def __init__(self, what: str):
        self.what, self.unit = what, ""
        self._done = 0
        self._total: int | None = None
        self._start = time.monotonic()
        self._bar: Bar | None = None
        self._due = self._start + (LONG if is_terminal() else EVERY) if _level and is_main() else float("inf")

    @property
    def seconds(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self._start

    def track(self, items: Iterable[Item], unit: str = "rows", total: int | None = None) -> Iterator[Item]:
        """Yield the items, and count them.

        Args:
            items: what the stage works through.
            unit: name of the items.
            total: number of the items, if `items` has no length.
        """
        self.begin(len(items) if total is None and isinstance(items, Sized) else total, unit)
        try:
            for item in items:
                yield item
                self.advance()
        finally:
            self.close()

    def begin(self, total: int | None, unit: str) -> None:
        """Set the total of the count, None if unknown, and the name of what is counted."""
        self._total, self.unit = total, unit

    def advance(self, count: int = 1) -> None:
        """Add to the count."""
        self._done += count
        now = time.monotonic()
        if now < self._due:
            return
        detail = f"{self._done:,}" + (f" of {self._total:,}" if self._total is not None else "") + f" {self.unit}"
        if self.seconds > LONG:
            detail += f", {self._done / self.seconds:,.0f} a second"
        if is_terminal():
            self._bar = self._bar or Bar(self.what, self._total)
            self._bar.update(self._done, detail)
            self._due = now + REDRAW
        else:
            print(fold(f"{self.what}: {detail} after {self.seconds:.0f} s"), file=sys.stderr, flush=True)
            self._due = now + EVERY

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def summary(self) -> str:
        """Return the line at the end of the stage: its count, if that was not known before, and its seconds."""
        counted = f"{self._done:,} {self.unit} in " if self._done and self._total is None else ""
        return f"{self.what}: {counted}{self.seconds:.1f} s"


@contextmanager
def stage(what: str) -> Iterator[Stage]:
    """Print that a stage of a run begins, and when it ends, if it took longer than `LONG` seconds."""
    say(what)
    begun = Stage(what)
    try:
        yield begun
    finally:
        begun.close()
    if begun.seconds >= LONG:
        say(begun.summary())


def track(items: Iterable[Item], what: str, unit: str = "rows", total: int | None = None) -> Iterator[Item]:
    """Yield the items; a loop that takes long shows a bar on a terminal, and elsewhere a line every `EVERY` seconds."""
    return Stage(what).track(items, unit, total)


@contextmanager
def counting(what: str, total: int | None, unit: str) -> Iterator[Stage]:
    """As `track`, for work that is not a loop over items: the caller counts with `advance`."""
    begun = Stage(what)
    begun.begin(total, unit)
    try:
        yield begun
    finally:
        begun.close()


class Bar:
    """A bar below everything else that is printed on a terminal. Draws nothing where standard error is no terminal.

    Args:
        what: description at the left of the bar.
        total: count at which the bar is full; None if unknown.
    """

    def __init__(self, what: str, total: int | None = None):
        self._bars = _bars_on_screen() if is_terminal() else None
        self._task: Any = self._bars.add(what, total) if self._bars else None

    def update(self, done: int, detail: str) -> None:
        """Set the count, and the text at the right of the bar."""
        if self._bars is not None:
            self._bars.progress.update(self._task, completed=done, detail=detail)
            self._bars.draw()

    def close(self) -> None:
        """Remove the bar; a second call does nothing."""
        if self._bars is not None:
            self._bars.remove(self._task)
            self._bars = None


class _Bars:
    """The bars on the terminal. While they are drawn, standard output, standard error and loggers write above them.

    The caller's thread draws them. Rich's own thread may draw between the measuring and the writing of a line that is printed
    above, and erase the line when the number of bars has just changed.
    """

    def __init__(self) -> None:
        self.progress = _build_progress()
        direct = sys.stderr
        self.progress.start()
        self.progress.console.show_cursor(True)  # a killed process must not leave the terminal without its cursor
        self._redirected = [(handler, handler.setStream(sys.stderr)) for handler in _handlers_of(direct)]
        self._drawn = 0.0  # time of the last drawing

    def add(self, what: str, total: int | None) -> Any:
        self._drawn = 0.0
        return self.progress.add_task(what, total=total, detail="")

    def draw(self) -> None:
        """Draw the bars, at most once in `REDRAW` seconds."""
        now = time.monotonic()
        if now - self._drawn >= REDRAW:
            self._drawn = now
            self.progress.refresh()

    def remove(self, task: Any) -> None:
        global _on_screen
        self.progress.remove_task(task)
        self.progress.refresh()
        if not self.progress.tasks:
            self.progress.stop()
            self._restore_handlers()
            _on_screen = None

    def leave_to_parent(self) -> None:
        """Restore the streams in a forked process, which must not draw the bars of its parent."""
        self._restore_handlers()
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            setattr(sys, name, getattr(stream, "rich_proxied_file", stream))

    def _restore_handlers(self) -> None:
        for handler, stream in self._redirected:
            if stream is not None:
                handler.setStream(stream)
        self._redirected = []


_on_screen: _Bars | None = None


def _bars_on_screen() -> _Bars:
    global _on_screen
    if _on_screen is None:
        _on_screen = _Bars()
    return _on_screen


def _build_progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    what = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=36))
    bar = BarColumn(None, table_column=Column(ratio=1))
    detail = TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=True))
    console = Console(stderr=True)
    columns = (what, bar, detail, TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, auto_refresh=False, expand=True)


def _handlers_of(stream: Any) -> list[logging.StreamHandler[Any]]:
    """Return the handlers of all loggers that write to a stream."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = {handler for logger in loggers if isinstance(logger, logging.Logger) for handler in logger.handlers}
    return [h for h in handlers if isinstance(h, logging.StreamHandler) and h.stream is stream]


def _leave_bars_to_parent() -> None:
    global _on_screen
    if _on_screen is not None:
        with contextlib.suppress(Exception):  # a forked process must start, whatever the state of its streams
            _on_screen.leave_to_parent()
        _on_screen = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_bars_to_parent)
