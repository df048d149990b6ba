"""The sandbox: workers behind a wall that has been tested, and jobs handed to them."""

from __future__ import annotations

import selectors
import threading
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from hrm_align.errors import RunError, UserError
from hrm_align.processes import Lost, forget_in_forks
from hrm_align.sandbox.inside import Limits
from hrm_align.sandbox.jobs import Job, Outcome, outcome_of
from hrm_align.sandbox.self_test import Targets, choose, fault_of
from hrm_align.sandbox.worker import Worker

MOST_TRIES = 2  # of a job whose worker is lost


class Sandbox:
    """Runs programs that nobody has read, each in a process of its own that can compute and do nothing else.

        with Sandbox() as sandbox:
            (outcome,) = sandbox.run([Job("def double(a): return a * 2", "double", [[21]])])
        assert outcome.values == [42]

    A program can import what `inside.program.MODULES` lists, which is loaded before it starts; it opens no file, starts
    no thread or process, and sees a clock in UTC. What it prints is discarded. It is safe to use from several threads; a
    forked process gets workers of its own.

    Args:
        limits: what one job may use.
        backend: the wall, by its name in `worker.BACKENDS`; by default the first that passes its self-test.
        workers: jobs that run at the same time.

    Attributes:
        backend: the name of the wall that is used.
        passed_over: what is wrong with those that come before it, a sentence each.
        counts: how many jobs had which kind of outcome.
        replaced: how many workers were lost and started anew.

    Raises:
        UserError: if no wall holds on this system, or a setting is wrong. There is no weaker way to run programs.
    """

    def __init__(self, limits: Limits | None = None, backend: str | None = None, workers: int = 2):
        self.limits = _checked(limits or Limits())
        if workers < 1:
            raise UserError(f"workers is {workers}: a sandbox needs at least 1.")
        self.counts: Counter[str] = Counter()
        self.replaced = 0
        self._size, self._lock, self._closed = workers, threading.Lock(), False
        self._workers: list[Worker] = []
        self._backend, self.passed_over = choose(self.limits, backend)
        self.backend = self._backend.name
        forget_in_forks(self)
        try:
            self._fill()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The processes that it has started; none of them is a program's."""
        return [worker.pid for worker in self._workers]

    def run(self, jobs: Iterable[Job]) -> list[Outcome]:
        """The outcome of each job, in their order. No program can make this raise.

        Raises:
            UserError: if an argument is no JSON value, or the sandbox is closed.
            RunError: if workers cannot be started any more.
        """
        jobs = list(jobs)
        outcomes: dict[int, Outcome] = {}
        requests = {}
        for index, job in enumerate(jobs):
            if len(job.source) > self.limits.characters:
                message = f"the program has more than {self.limits.characters} characters"
                outcomes[index] = Outcome("refused", message=message)
            else:
                requests[index] = job.request()
        with self._lock:
            try:
                outcomes |= self._run(requests, [len(job.arguments) for job in jobs])
            except BaseException:  # Ctrl-C: a reply to these jobs must not be taken for one to the next
                self._empty()
                raise
            self.counts.update(outcome.kind for outcome in outcomes.values())
        return [outcomes[index] for index in range(len(jobs))]

    def close(self) -> None:
        """End all processes. Nothing is left: no file was made. Not to be called while another thread is in `run`."""
        self._closed = True
        self._empty()

    def _run(self, requests: dict[int, bytes], calls: Sequence[int]) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        waiting, losses = deque(requests), Counter[int]()
        busy: dict[Worker, int] = {}
        while waiting or busy:
            self._fill()
            for worker in self._workers:
                if waiting and worker not in busy:
                    busy[worker] = waiting.popleft()
                    worker.hand(requests[busy[worker]])
            for worker in _ready(busy):
                index = busy.pop(worker)
                try:
                    outcomes[index] = outcome_of(*worker.result(), calls[index])
                except Lost as loss:
                    self._drop(worker)
                    losses[index] += 1
                    if losses[index] < MOST_TRIES:
                        waiting.appendleft(index)
                    else:
                        outcomes[index] = Outcome("lost", message=str(loss))
        return outcomes

    def _fill(self) -> None:
        """Start the workers that are missing, and test them before they see a program. If it raises, none may be used."""
        if self._closed:
            raise UserError("the sandbox is closed: make another one.")
        known = len(self._workers)
        if known == self._size:
            return
        try:
            while len(self._workers) < self._size:  # all of them first: they start side by side
                self._workers.append(Worker(self._backend, self.limits))
            with Targets(self.limits) as targets:
                faults = [fault_of(worker, targets) for worker in self._workers[known:]]
        except Lost as loss:
            faults = [str(loss)]
        if fault := next(filter(None, faults), None):
            raise RunError(f"the sandbox ({self.backend}) held before and does not now: {fault}.")

    def _drop(self, worker: Worker) -> None:
        worker.stop()
        self._workers.remove(worker)
        self.replaced += 1

    def _empty(self) -> None:
        while self._workers:
            self._workers.pop().stop()

    def forget(self) -> None:
        """In a forked process: leave the workers to the parent, and start others when they are needed."""
        self._lock, self._workers = threading.Lock(), []


def _checked(limits: Limits) -> Limits:
    for name, value in vars(limits).items():
        if not value > 0:
            raise UserError(f"{name} is {value}: a limit of the sandbox must be more than 0.")
        if not isinstance(value, int) and name != "wall_seconds":
            raise UserError(f"{name} is {value}: it must be a whole number.")
    if limits.memory_bytes < 2**27:
        raise UserError(f"memory_bytes is {limits.memory_bytes}: Python needs {2**27} at least.")
    return limits


def _ready(workers: Iterable[Worker]) -> list[Worker]:
    """Those that have answered or are overdue; waits for one."""
    workers = list(workers)
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker, selectors.EVENT_READ, worker)
        while True:
            answered = [key.data for key, _ in selector.select(1.0)]
            if ready := answered or [worker for worker in workers if worker.overdue]:
                return ready
