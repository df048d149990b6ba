"""The sandbox: a pool of confined workers that passed their self-test, and the jobs that they run."""

from __future__ import annotations

import selectors
import threading
from collections import Counter, deque
from collections.abc import Iterable

from hrm_align.errors import RunError, UserError
from hrm_align.processes import WorkerLost, forget_after_fork
from hrm_align.sandbox.inside import Limits
from hrm_align.sandbox.jobs import AnyJob, Outcome
from hrm_align.sandbox.self_test import Targets, choose, find_fault
from hrm_align.sandbox.worker import Worker

MAX_TRIES = 2  # a job whose worker fails is tried this many times


class Sandbox:
    """Run untrusted programs, each job in a process of its own without access to files, network or other processes.

        with Sandbox() as sandbox:
            (outcome,) = sandbox.run([Job("def double(a): return a * 2", "double", [[21]])])
        assert outcome.values == [42]

    A program can import the modules in `inside.program.MODULES`, which are loaded before the program starts. The
    program cannot open files or start threads or processes; its clock is in UTC, and its printed output is discarded. A
    sandbox can be used from several threads. A forked process gets workers of its own.

    Args:
        limits: limits of one job.
        backend: name of the confinement in `worker.BACKENDS`; by default the first that passes its self-test.
        workers: number of jobs that run at the same time.

    Attributes:
        backend: name of the confinement in use.
        passed_over: for each backend that was tried before and failed, a sentence that states the problem.
        counts: kind of outcome -> number of jobs.
        replaced: number of workers that failed and were replaced.

    Raises:
        UserError: if no backend passes its self-test on this system, or a setting is invalid. Programs never run with a
            weaker confinement.
    """

    def __init__(self, limits: Limits | None = None, backend: str | None = None, workers: int = 2):
        self.limits = _check_limits(limits or Limits())
        if workers < 1:
            raise UserError(f"invalid value for workers of the sandbox: {workers}. Use 1 or more.")
        self.counts: Counter[str] = Counter()
        self.replaced = 0
        self._size, self._lock, self._closed = workers, threading.Lock(), False
        self._workers: list[Worker] = []
        self._backend, self.passed_over = choose(self.limits, backend)
        self.backend = self._backend.name
        forget_after_fork(self)
        try:
            self._start_missing()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers; the processes of programs are not included."""
        return [worker.pid for worker in self._workers]

    def run(self, jobs: Iterable[AnyJob]) -> list[Outcome]:
        """Run jobs and return their outcomes, in the order of the jobs. A failing program never raises an exception.

        Raises:
            UserError: if an argument is not a JSON value, or the sandbox is closed.
            RunError: if workers cannot be started any more.
        """
        jobs = list(jobs)
        outcomes: dict[int, Outcome] = {}
        valid: dict[int, AnyJob] = {}
        for index, job in enumerate(jobs):
            if len(job.source) > self.limits.characters:
                message = f"the program has more than {self.limits.characters} characters"
                outcomes[index] = Outcome("refused", message=message)
            else:
                job.request()  # raises for invalid arguments before any job runs
                valid[index] = job
        with self._lock:
            try:
                outcomes |= self._run(valid)
            except BaseException:  # after Ctrl-C, a late reply must not become the reply to a job of the next call
                self._stop_workers()
                raise
            self.counts.update(outcome.kind for outcome in outcomes.values())
        return [outcomes[index] for index in range(len(jobs))]

    def close(self) -> None:
        """Stop all processes. Must not be called while another thread is in `run`."""
        self._closed = True
        self._stop_workers()

    def _run(self, jobs: dict[int, AnyJob]) -> dict[int, Outcome]:
        """Run jobs on all workers.

        Args:
            jobs: index of a job -> the job.

        Returns:
            Index of a job -> its outcome.
        """
        outcomes: dict[int, Outcome] = {}
        waiting, losses = deque(jobs), Counter[int]()
        busy: dict[Worker, int] = {}  # worker -> index of its job
        while waiting or busy:
            self._start_missing()
            for worker in self._workers:
                if waiting and worker not in busy:
                    busy[worker] = waiting.popleft()
                    worker.send_job(jobs[busy[worker]])
            for worker in _wait_for_any(busy):
                index = busy.pop(worker)
                try:
                    outcomes[index] = jobs[index].parse(*worker.result())
                except WorkerLost as loss:
                    self._remove(worker)
                    losses[index] += 1
                    if losses[index] < MAX_TRIES:
                        waiting.appendleft(index)
                    else:
                        outcomes[index] = Outcome("lost", message=str(loss))
        return outcomes

    def _start_missing(self) -> None:
        """Start missing workers and test them before their first job. After an exception, no worker may be used.

        Raises:
            UserError: if the sandbox is closed.
            RunError: if a worker does not start, or fails its self-test.
        """
        if self._closed:
            raise UserError("the sandbox is closed. Create another sandbox.")
        tested = len(self._workers)
        if tested == self._size:
            return
        try:
            # All workers are started before the first test, so that they start in parallel.
            while len(self._workers) < self._size:
                self._workers.append(Worker(self._backend, self.limits))
            with Targets(self.limits) as targets:
                faults = [find_fault(worker, targets) for worker in self._workers[tested:]]
        except WorkerLost as loss:
            faults = [str(loss)]
        if fault := next(filter(None, faults), None):
            raise RunError(
                f"the sandbox ({self.backend}) passed its self-test before, and a new worker does not: {fault}. "
                "Check what changed on this system, then run again."
            )

    def _remove(self, worker: Worker) -> None:
        worker.stop()
        self._workers.remove(worker)
        self.replaced += 1

    def _stop_workers(self) -> None:
        while self._workers:
            self._workers.pop().stop()

    def forget(self) -> None:
        """Drop lock and workers in a forked process, since they belong to the parent; `run` starts new workers."""
        self._lock, self._workers = threading.Lock(), []


def _check_limits(limits: Limits) -> Limits:
    for name, value in vars(limits).items():
        if not value > 0:
            raise UserError(f"invalid value for {name} of the sandbox: {value}. Use a number above 0.")
        if not isinstance(value, int) and name != "wall_seconds":
            raise UserError(f"invalid value for {name} of the sandbox: {value}. Use a whole number.")
    if limits.memory_bytes < 2**27:
        raise UserError(f"invalid value for memory_bytes of the sandbox: {limits.memory_bytes}. Use {2**27} or more.")
    return limits


def _wait_for_any(workers: Iterable[Worker]) -> list[Worker]:
    """Wait until a worker has written a reply or is overdue, and return all such workers."""
    workers = list(workers)
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker, selectors.EVENT_READ, worker)
        while True:
            readable = [key.data for key, _ in selector.select(1.0)]
            if ready := readable or [worker for worker in workers if worker.overdue]:
                return ready
