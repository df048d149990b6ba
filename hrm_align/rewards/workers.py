"""Worker processes with deadlines: requests in, replies or typed failures out, whatever the processes do."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

from hrm_align.rewards.worker_process import Lost, WorkerProcess, wait_for

START_SECONDS = 60.0  # for all workers to load what they were told to
FAILED_STARTS = 3  # in a row, in one run; then a crew is given up until the next


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


@dataclass
class _Worker:
    crew: int
    process: WorkerProcess
    request: Request | None = None
    until: float = 0.0


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
        self._ending: list[subprocess.Popen[bytes]] = []
        self.strays: list[tuple[int, Lost]] = []  # crews of which a worker was lost while nothing was asked of it
        _POOLS.add(self)
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
            self._ending.append(worker.process.end())
        self._workers = []
        for process in self._ending:
            wait_for(process)
        self._ending = []

    def forget(self) -> None:
        """In a forked process: leave the workers to the parent."""
        for worker in self._workers:
            worker.process.forget()
        for process in self._ending:
            process.returncode = 0
        self._workers, self._ending = [], []

    def replace(self, worker: _Worker, again: bool = True) -> None:
        """End a worker and, if `again`, start another in its place."""
        self._workers.remove(worker)
        self._ending.append(worker.process.end())
        if again:
            self._workers.append(_Worker(worker.crew, WorkerProcess(self._crews[worker.crew].start)))

    @property
    def notes(self) -> list[str]:
        """The warnings of the rewards, each once."""
        return list(dict.fromkeys(note for worker in self._workers for note in worker.process.notes))

    def idle(self) -> list[_Worker]:
        """Those that could be asked something."""
        return [worker for worker in self._workers if worker.process.ready and worker.request is None]

    def busy(self) -> list[_Worker]:
        """Those that have something to answer."""
        return [worker for worker in self._workers if worker.request is not None]

    def _staff(self) -> None:
        """Bring every crew to its strength, and notice who was lost since the last run."""
        self._ending = [process for process in self._ending if process.poll() is None]
        for worker in self._readable(0):
            try:
                worker.process.receive()
            except Lost as lost:
                self.strays.append((worker.crew, lost))
                self.replace(worker)
        present = Counter(worker.crew for worker in self._workers)
        for number, crew in enumerate(self._crews):
            for _ in range(crew.workers - present[number]):
                self._workers.append(_Worker(number, WorkerProcess(crew.start)))

    def _await_all(self) -> None:
        end = time.monotonic() + START_SECONDS
        self._staff()
        while late := [worker for worker in self._workers if not worker.process.ready]:
            if time.monotonic() > end:
                raise StartError(late[0].crew, f"it takes more than {START_SECONDS:.0f} seconds to load")
            for worker in self._readable(end - time.monotonic()):
                try:
                    worker.process.receive()
                except Lost as lost:
                    raise StartError(worker.crew, lost.detail) from None

    def _readable(self, seconds: float) -> list[_Worker]:
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.process, selectors.EVENT_READ, worker)
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
                    seconds = max(0.001, min(worker.until, self.end) - now)
                    worker.process.ask(request.reward, request.rows, seconds, extract=request.extract)
                except Lost as lost:
                    self._lose(worker, lost)

    def next_limit(self) -> float:
        """When the next worker is late."""
        return min([self.end, *(worker.until for worker in self._pool.busy())])

    def hear(self, worker: _Worker) -> None:
        """Take what a worker has written."""
        try:
            body = worker.process.receive()
        except Lost as lost:
            return self._lose(worker, lost)
        if body is not None:
            assert worker.request is not None, "`receive` knows an unasked reply"
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
        if not worker.process.ready:
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


_POOLS: WeakSet[Pool] = WeakSet()


def _forget_all() -> None:
    for pool in _POOLS:
        pool.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
