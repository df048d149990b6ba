"""Worker processes with deadlines: requests in, replies or typed failures out, whatever the processes do."""

from __future__ import annotations

import json
import selectors
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hrm_align.processes import REPLY_BYTES, Lost, WorkerProcess, forget_in_forks

START_SECONDS = 60.0  # for all workers to load what they were told to
SEND_SECONDS = 2.0  # for a new worker to be told
FAILED_STARTS = 3  # in a row, in one run; then a crew is given up until the next
ROW_BYTES = 1_000  # of a reply, for each row


@dataclass(frozen=True)
class Crew:
    """Workers that have loaded the same rewards.

    Args:
        start: what each is told first, as `hrm_align.rewards.worker_main` has it.
        workers: how many.
    """

    start: Mapping[str, Any]
    workers: int = 1


@dataclass(frozen=True, eq=False)
class Request:
    """What to ask a worker.

    Args:
        crew: of the worker, by its place.
        reward: of the crew, by its place.
        rows: what the reward reads, row by row.
        seconds: it has for it.
        tag: the caller's own.
        extract: whether to tell what the reward read of each completion, too.
    """

    crew: int
    reward: int
    rows: list[dict[str, Any]]
    seconds: float
    tag: Any = None
    extract: bool = False


@dataclass(frozen=True)
class Reply:
    """What came of a request: a body, or a kind of failure (`hrm_align.rewards.suite.KINDS`) and its detail."""

    body: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""
    detail: str = ""


class StartError(Exception):
    """A crew whose workers cannot be started."""

    def __init__(self, crew: int, detail: str):
        super().__init__(detail)
        self.crew, self.detail = crew, detail


class _Worker(WorkerProcess):
    """A process that has been told to load the rewards of a crew, and soon will be `ready`.

    Its standard input is the guardian's lifeline: when that closes, the guardian kills it and all that it has started.

    Args:
        crew: by its place.
        start: what it is told first, as `hrm_align.rewards.worker_main` has it.
    """

    def __init__(self, crew: int, start: Mapping[str, Any]):
        main = str(Path(__file__).with_name("worker_main.py"))
        super().__init__([sys.executable, "-I", "-S", main], lifeline=True)
        self.crew = crew
        self.ready = False
        self.notes: list[str] = []  # warnings of its rewards, once it is ready
        self.request: Request | None = None
        self.until = 0.0
        with suppress(Lost):  # if it has ended already, `reply` tells
            self.ask({"path": sys.path, **start}, SEND_SECONDS)

    def hand(self, request: Request, seconds: float) -> None:
        """Send a request, in so many seconds. Raises Lost."""
        most = REPLY_BYTES + ROW_BYTES * len(request.rows)
        message = {"reward": request.reward, "rows": request.rows}
        if request.extract:  # the reply repeats parts of the completions
            message["extract"] = True
            most += sum(len(json.dumps(row["completion"])) for row in request.rows)
        self.ask(message, seconds, most)

    def reply(self) -> dict[str, Any] | None:
        """What has been replied; None while it is not complete, and for the process having become ready. Raises Lost."""
        message = self.receive()
        if message is None or self.ready:
            return message
        if "fault" in message:
            raise Lost("died", str(message["fault"]))
        self.ready, self.notes = True, [str(note) for note in message.get("notes", [])]
        return None


class Pool:
    """Workers that are started at once, replaced when they are late or dead, and all ended by `close`.

    One call at a time. In a forked process the pool starts workers of its own.

    Args:
        crews: the workers there are.

    Raises:
        StartError: if a worker cannot load its rewards.
    """

    def __init__(self, crews: Sequence[Crew]):
        self._crews = list(crews)
        self._workers: list[_Worker] = []
        self._ending: list[_Worker] = []
        self.strays: list[tuple[int, Lost]] = []  # crews of which a worker was lost while nothing was asked of it
        forget_in_forks(self)
        try:
            self._await_all()
        except BaseException:
            self.close()
            raise

    def run(
        self, requests: Iterable[Request], seconds: float, answered: Callable[[Request, Reply], Iterable[Request]]
    ) -> None:
        """Ask all requests, and those that follow from their replies. Returns when all are answered, or in `seconds`.

        Args:
            requests: each is answered exactly once.
            seconds: for all of them. What was not asked by then, or cut short, is answered as `skipped`.
            answered: called with each reply; what it returns is asked, too.
        """
        run = _Run(self, requests, time.monotonic() + seconds, answered)
        self._staff()
        try:
            while run.open and time.monotonic() < run.end:
                run.hand_out()
                for worker in self._readable(run.next_limit() - time.monotonic()):
                    run.hear(worker)
                run.cut_late()
            run.give_up()
        finally:  # Ctrl-C: its replies must not be taken for the next run's
            for worker in self.busy():
                self.replace(worker, again=False)

    def close(self) -> None:
        """End all workers and what they have started. The pool may be used again."""
        for worker in self._workers:
            worker.end()
        for worker in self._workers + self._ending:
            worker.stop()
        self._workers, self._ending = [], []

    def forget(self) -> None:
        """In a forked process: leave the workers to the parent."""
        self._workers, self._ending = [], []

    def replace(self, worker: _Worker, again: bool = True) -> None:
        """End a worker and, if `again`, start another in its place."""
        self._workers.remove(worker)
        worker.end()
        self._ending.append(worker)
        if again:
            self._workers.append(_Worker(worker.crew, self._crews[worker.crew].start))

    @property
    def notes(self) -> list[str]:
        """The warnings of the rewards, each once."""
        return list(dict.fromkeys(note for worker in self._workers for note in worker.notes))

    def idle(self) -> list[_Worker]:
        """Those that could be asked something."""
        return [worker for worker in self._workers if worker.ready and worker.request is None]

    def busy(self) -> list[_Worker]:
        """Those that have something to answer."""
        return [worker for worker in self._workers if worker.request is not None]

    def _staff(self) -> None:
        """Bring every crew to its strength, and notice who was lost since the last run."""
        self._ending = [worker for worker in self._ending if not worker.ended]
        for worker in self._readable(0):
            try:
                worker.reply()
            except Lost as lost:
                self.strays.append((worker.crew, lost))
                self.replace(worker)
        present = Counter(worker.crew for worker in self._workers)
        for number, crew in enumerate(self._crews):
            for _ in range(crew.workers - present[number]):
                self._workers.append(_Worker(number, crew.start))

    def _await_all(self) -> None:
        end = time.monotonic() + START_SECONDS
        self._staff()
        while late := [worker for worker in self._workers if not worker.ready]:
            if time.monotonic() > end:
                raise StartError(late[0].crew, f"it takes more than {START_SECONDS:.0f} seconds to load")
            for worker in self._readable(end - time.monotonic()):
                try:
                    worker.reply()
                except Lost as lost:
                    raise StartError(worker.crew, lost.detail) from None

    def _readable(self, seconds: float) -> list[_Worker]:
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker, selectors.EVENT_READ, worker)
            return [key.data for key, _ in selector.select(max(0.0, seconds))]


class _Run:
    """The requests of one call of `Pool.run`."""

    def __init__(
        self,
        pool: Pool,
        requests: Iterable[Request],
        end: float,
        answered: Callable[[Request, Reply], Iterable[Request]],
    ):
        self.end = end
        self._pool, self._answered = pool, answered
        self._waiting: dict[int, deque[Request]] = {}
        self._failed_starts: Counter[int] = Counter()
        self._add(requests)

    @property
    def open(self) -> bool:
        """Whether anything is left to ask or to hear."""
        return any(self._waiting.values()) or bool(self._pool.busy())

    def hand_out(self) -> None:
        """Ask the idle workers what is waiting."""
        for worker in self._pool.idle():
            if queue := self._waiting.get(worker.crew):
                request = worker.request = queue.popleft()
                now = time.monotonic()
                worker.until = now + request.seconds
                try:
                    worker.hand(request, max(0.001, min(worker.until, self.end) - now))
                except Lost as lost:
                    self._lose(worker, lost)

    def next_limit(self) -> float:
        """When the next worker is late."""
        return min([self.end, *(worker.until for worker in self._pool.busy())])

    def hear(self, worker: _Worker) -> None:
        """Take what a worker has written."""
        try:
            body = worker.reply()
        except Lost as lost:
            return self._lose(worker, lost)
        if body is not None:
            assert worker.request is not None, "`reply` knows an unasked one"
            request, worker.request = worker.request, None
            self._answer(request, Reply(body, body.get("kind", ""), body.get("detail", "")))
        else:
            self._failed_starts[worker.crew] = 0

    def cut_late(self) -> None:
        """Replace the workers that have passed their limits."""
        now = time.monotonic()
        for worker in self._pool.busy():
            if now >= worker.until:
                assert worker.request is not None
                self._lose(worker, Lost("timeout", f"it took more than {worker.request.seconds:.1f} seconds"))

    def give_up(self) -> None:
        """At the deadline: answer whatever has no answer."""
        for worker in self._pool.busy():
            self._lose(worker, Lost("skipped", "the deadline of all rewards had passed before it was done"))
        self._skip([*self._waiting], "the deadline of all rewards had passed before it was asked")

    def _add(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._waiting.setdefault(request.crew, deque()).append(request)

    def _answer(self, request: Request, reply: Reply) -> None:
        self._add(self._answered(request, reply))

    def _lose(self, worker: _Worker, lost: Lost) -> None:
        request = worker.request
        if not worker.ready:
            self._failed_starts[worker.crew] += 1
        elif request is None:
            self._pool.strays.append((worker.crew, lost))
        given_up = self._failed_starts[worker.crew] >= FAILED_STARTS
        self._pool.replace(worker, again=not given_up)
        if request is not None:
            self._answer(request, Reply(kind=lost.kind, detail=lost.detail))
        if given_up:
            self._skip([worker.crew], f"its worker cannot be started again ({lost.detail})")

    def _skip(self, crews: Iterable[int], detail: str) -> None:
        for crew in crews:
            while queue := self._waiting.get(crew):
                self._answer(queue.popleft(), Reply(kind="skipped", detail=detail))
