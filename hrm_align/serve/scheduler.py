"""The thread that runs the engine: jobs from any thread join the running batch between two steps.

scheduler = Scheduler(models, max_running=32, max_queue=256)
job = scheduler.submit("tiny", requests, deliver)  # deliver([(0, Event(...)), ...]) once a step, in the engine's thread
scheduler.cancel(job)                              # nothing more is delivered
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hrm_align.rollouts.engine import Event, Handle, Request
from hrm_align.serve.models import ServedModels, StepFault

LOG = logging.getLogger("hrm_align.serve")
LASTING_FAULTS = 3  # steps that fail one after the other, after which the engine counts as broken

# Batches of changing sizes leave holes in glibc's heap, which only malloc_trim gives back to the system, in 4 to 10 ms: 0.02 % of
# the time of these steps (16 requests to the tiny base, three runs).
TRIM_STEPS = 500
_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None

Delivery = (
    list[tuple[int, Event]] | Exception
)  # new tokens, each with the number of its completion; or why the job has ended


class QueueFull(Exception):
    """The queue has no room for another job."""


class Closed(Exception):
    """The server stops."""


@dataclass(eq=False)
class Job:
    """Completions that are drawn for one request of a client, each of which is a request to the engine.

    Args:
        model: name of the model.
        requests: one request per completion, of one seed each; equal prompts are prefilled once.
        deliver: called in the engine's thread.
    """

    model: str
    requests: Sequence[Request]
    deliver: Callable[[Delivery], None]
    handles: dict[Handle, int] = field(default_factory=dict)  # running completions, with their numbers
    is_over: bool = False


class Scheduler:
    """Queue of jobs, and the thread that steps the engine.

    Args:
        models: models; used by this thread alone.
        max_running: completions that run at the same time; further jobs wait.
        max_queue: jobs that wait at most.

    Attributes:
        faults: steps that have failed one after the other.
        steps: steps so far.
    """

    def __init__(self, models: ServedModels, *, max_running: int, max_queue: int):
        self._models, self.max_running, self.max_queue = models, max_running, max_queue
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._stopping: list[tuple[Job, Sequence[int] | None]] = []  # jobs to cancel, or completions of them
        self._owners: dict[Handle, Job] = {}
        self._is_closed = False
        self.faults = self.steps = 0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """Number of completions that run."""
        return len(self._owners)

    @property
    def waiting(self) -> int:
        """Number of jobs that wait."""
        return len(self._waiting)

    @property
    def is_well(self) -> bool:
        """Whether the engine answers."""
        return self._thread.is_alive() and self.faults < LASTING_FAULTS

    def submit(self, model: str, requests: Sequence[Request], deliver: Callable[[Delivery], None]) -> Job:
        """Queue a job of at most `max_running` completions.

        Raises:
            QueueFull: if `max_queue` jobs wait already.
            Closed: after `close`.
        """
        job = Job(model, requests, deliver)
        with self._changed:
            if self._is_closed:
                raise Closed
            self._waiting.append(job)
            if len(self._waiting) - len(self._startable()) > self.max_queue:
                self._waiting.pop()
                raise QueueFull
            self._changed.notify()
        return job

    def cancel(self, job: Job, completions: Sequence[int] | None = None) -> None:
        """End a job, or completions of it. Ended jobs are ignored."""
        with self._changed:
            if completions is None:
                job.is_over = True
                if job in self._waiting:
                    self._waiting.remove(job)
            self._stopping.append((job, completions))
            self._changed.notify()

    def close(self) -> None:
        """End all jobs, and the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._is_closed or self._owners or self._waiting or self._stopping):
                    self._changed.wait()
                if self._is_closed:
                    break
                stopping, self._stopping = self._stopping, []
                for job, completions in stopping:
                    self._end(job, job.handles.copy(), completions)
                for job in self._startable():
                    self._waiting.popleft()
                    self._start(job)
            if self._owners:
                self._step()
        ended = {*self._owners.values(), *self._waiting}
        self._owners.clear()
        self._waiting.clear()
        for job in ended:
            self._deliver(job, Closed())
        self._models.close()

    def _startable(self) -> list[Job]:
        """Return the first jobs of the queue for which there is room."""
        startable: list[Job] = []
        claimed = self.running
        for job in self._waiting:
            claimed += len(job.requests)
            if claimed > self.max_running:
                break
            startable.append(job)
        return startable

    def _start(self, job: Job) -> None:
        try:
            for number, request in enumerate(job.requests):
                handle = self._models.submit(job.model, request)
                job.handles[handle], self._owners[handle] = number, job
        except Exception as error:
            self._fail([job], error)

    def _step(self) -> None:
        """Make one token of every running completion, and deliver the tokens."""
        self.steps += 1
        if self.steps % TRIM_STEPS == 0 and _TRIM is not None:
            _TRIM(0)
        try:
            events: Iterable[Event] = self._models.step()
            self.faults = 0
        except StepFault as fault:
            self.faults += 1
            events = fault.events
            self._fail({self._owners[handle] for handle in fault.handles if handle in self._owners}, fault)
        except Exception as error:
            self.faults += 1
            events = ()
            self._fail({*self._owners.values()}, error)
        made: dict[Job, list[tuple[int, Event]]] = {}
        for event in events:
            if (job := self._owners.get(event.handle)) is None:
                continue
            made.setdefault(job, []).append((job.handles[event.handle], event))
            if event.finish is not None:
                del job.handles[event.handle], self._owners[event.handle]
        for job, delivery in made.items():
            self._deliver(job, delivery)

    def _fail(self, jobs: Iterable[Job], error: Exception) -> None:
        """End jobs because of an error."""
        LOG.error("the engine failed", exc_info=error)
        for job in [*jobs]:
            self._end(job, job.handles.copy())
            self._deliver(job, error)

    def _end(self, job: Job, handles: dict[Handle, int], completions: Sequence[int] | None = None) -> None:
        """Cancel completions of a job that still run; all of them for None."""
        for handle, number in handles.items():
            if completions is None or number in completions:
                self._models.cancel(handle)
                del job.handles[handle], self._owners[handle]

    def _deliver(self, job: Job, delivery: Delivery) -> None:
        if job.is_over:
            return
        try:
            job.deliver(delivery)
        except Exception as error:  # the client's event loop has ended
            LOG.error("an answer could not be delivered", exc_info=error)
