"""Pool of reward workers: every request gets a reply or a typed failure by its deadline, even after a crash or hang."""

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

from hrm_align.processes import REPLY_BYTES, WorkerLost, WorkerProcess, forget_after_fork
from hrm_align.rewards.worker_groups import WorkerGroup

# Limit for loading rewards: of all workers of a new pool, of a replacement, and of all replacements in one run. A file that imports
# torch and transformers took 8 seconds on two cores that five other processes used.
START_SECONDS = 60.0
QUICK_SECONDS = 0.5  # a start up to this long counts towards the deadline of a run, like any work of the pool
SEND_SECONDS = 2.0  # limit for sending a new worker its first message
FAILED_STARTS = 3  # failed starts in a row, in one run, after which a group is skipped until the next run
ROW_BYTES = 1_000  # bytes of a reply allowed for each row


@dataclass(frozen=True, eq=False)
class Request:
    """Rows for one reward.

    Args:
        group: index of the worker group.
        reward: index of the reward in the group.
        rows: JSON objects that the reward reads, one for each row.
        seconds: time limit for the reply.
        tag: any value of the caller, unused here.
        extract: whether the reply shall contain the extracted text of each completion.
        doubt: whether the reply shall contain doubts about the references, and no values.
    """

    group: int
    reward: int
    rows: list[dict[str, Any]]
    seconds: float
    tag: Any = None
    extract: bool = False
    doubt: bool = False


@dataclass(frozen=True)
class Reply:
    """Result of a request: a body, or a kind of failure (`hrm_align.rewards.scoring.KINDS`) with its detail."""

    body: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""
    detail: str = ""


class StartError(Exception):
    """The workers of a group cannot be started. `group` is the index of the group."""

    def __init__(self, group: int, detail: str):
        super().__init__(detail)
        self.group, self.detail = group, detail


class _Worker(WorkerProcess):
    """Worker process that has received its first message, and is `ready` once its rewards are loaded.

    Standard input of the process is the lifeline to its guardian: when standard input closes, the guardian kills the
    worker and all processes that the worker started.

    Args:
        group: index of the worker group.
        start: first message; `hrm_align.rewards.worker_main` defines the format.
    """

    def __init__(self, group: int, start: Mapping[str, Any]):
        main = str(Path(__file__).with_name("worker_main.py"))
        super().__init__([sys.executable, "-I", "-S", main], lifeline=True)
        self.group = group
        self.ready = False
        self.start_deadline = time.monotonic() + START_SECONDS
        self.warnings: list[str] = []  # warnings of the rewards, available once the worker is ready
        self.request: Request | None = None
        self.request_deadline = 0.0
        with suppress(WorkerLost):  # `read_reply` raises again for a worker that has ended
            self.send_request({"path": sys.path, **start}, SEND_SECONDS)

    def send_rows(self, request: Request, seconds: float) -> None:
        """Send the rows of a request within a time limit.

        Raises:
            WorkerLost: if the rows cannot be sent in time.
        """
        max_bytes = REPLY_BYTES + ROW_BYTES * len(request.rows)
        message = {"reward": request.reward, "rows": request.rows}
        if request.doubt:
            message["doubt"] = True
        if request.extract:  # the reply repeats parts of the completions
            message["extract"] = True
            max_bytes += sum(len(json.dumps(row["completion"])) for row in request.rows)
        self.send_request(message, seconds, max_bytes)

    def read_reply(self) -> dict[str, Any] | None:
        """Return the reply, or None if the reply is incomplete. The reply to the first message sets `ready` instead.

        Raises:
            WorkerLost: if the worker has ended, its rewards cannot be loaded, or its output is not a reply.
        """
        message = self.receive_reply()
        if message is None or self.ready:
            return message
        if "fault" in message:
            raise WorkerLost("died", str(message["fault"]))
        self.ready, self.warnings = True, [str(warning) for warning in message.get("warnings", [])]
        return None


class WorkerPool:
    """Reward workers: started together, replaced when they die or exceed a time limit, and stopped by `close`.

    Only one call at a time is allowed. In a forked process the pool starts its own workers.

    Args:
        groups: the worker groups.

    Raises:
        StartError: if a worker cannot load its rewards.
    """

    def __init__(self, groups: Sequence[WorkerGroup]):
        self._groups = list(groups)
        self._workers: list[_Worker] = []
        self._ending: list[_Worker] = []
        self.idle_losses: list[
            tuple[int, WorkerLost]
        ] = []  # (index of the group, failure of a worker without a request)
        self.slow_groups = set[int]()  # groups whose last start exceeded its limit: the next run does not wait for them
        forget_after_fork(self)
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def run(
        self, requests: Iterable[Request], seconds: float, handle_reply: Callable[[Request, Reply], Iterable[Request]]
    ) -> float:
        """Process all requests and their follow-up requests. Returns when all have a reply, or at the deadline.

        Args:
            requests: each request gets exactly one reply.
            seconds: deadline for all requests. A request that is waiting or running at the deadline gets a reply of the
                kind `skipped`; a running request of a group with `own_deadline` continues. Time in which requests wait for a
                worker that loads its rewards does not count, if it is longer than `QUICK_SECONDS`, up to `START_SECONDS`.
            handle_reply: called with each request and its reply; returns follow-up requests.

        Returns:
            The seconds that did not count.
        """
        run = _Run(self, requests, time.monotonic() + seconds, handle_reply)
        self._start_missing()
        try:
            while run.unfinished:
                if not run.is_open() and not run.skip_unfinished():
                    break
                run.dispatch()
                for worker in self._readable(run.next_deadline() - time.monotonic()):
                    run.handle_output(worker)
                run.replace_late()
        finally:  # after Ctrl-C, a late reply must not become the reply to a request of the next run
            for worker in self.busy():
                self.replace(worker, restart=False)
        return run.left_out

    def close(self) -> None:
        """Stop all workers and the processes that they started. The pool can be used again."""
        for worker in self._workers:
            worker.close_channel()
        for worker in self._workers + self._ending:
            worker.stop()
        self._workers, self._ending = [], []

    def forget(self) -> None:
        """Drop the workers in a forked process, since they belong to the parent."""
        self._workers, self._ending = [], []

    def replace(self, worker: _Worker, restart: bool = True) -> None:
        """End a worker and, with `restart`, start a new one in the same group."""
        self._workers.remove(worker)
        worker.close_channel()
        self._ending.append(worker)
        if restart:
            self._workers.append(_Worker(worker.group, self._groups[worker.group].start))

    def has_own_deadline(self, group: int) -> bool:
        """Return whether the deadline of a run does not apply to a group."""
        return self._groups[group].own_deadline

    @property
    def warnings(self) -> list[str]:
        """Warnings of the rewards, without duplicates."""
        return list(dict.fromkeys(warning for worker in self._workers for warning in worker.warnings))

    def idle(self) -> list[_Worker]:
        """Return the workers that are ready and have no request."""
        return [worker for worker in self._workers if worker.ready and worker.request is None]

    def busy(self) -> list[_Worker]:
        """Return the workers that have a request."""
        return [worker for worker in self._workers if worker.request is not None]

    def loading(self) -> list[_Worker]:
        """Return the workers that have not loaded their rewards yet."""
        return [worker for worker in self._workers if not worker.ready]

    def _start_missing(self) -> None:
        """Replace workers that ended since the last run, and start workers until every group is complete."""
        self._ending = [worker for worker in self._ending if not worker.ended]
        for worker in self._readable(0):
            try:
                worker.read_reply()
            except WorkerLost as loss:
                self.idle_losses.append((worker.group, loss))
                self.replace(worker)
        present = Counter(worker.group for worker in self._workers)
        for index, group in enumerate(self._groups):
            for _ in range(group.workers - present[index]):
                self._workers.append(_Worker(index, group.start))

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        self._start_missing()
        while loading := self.loading():
            if time.monotonic() > end:
                raise StartError(loading[0].group, _too_slow())
            for worker in self._readable(end - time.monotonic()):
                try:
                    worker.read_reply()
                except WorkerLost as loss:
                    raise StartError(worker.group, loss.detail) from None

    def _readable(self, seconds: float) -> list[_Worker]:
        """Wait at most `seconds` and return the workers that have written something or have ended."""
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker, selectors.EVENT_READ, worker)
            return [key.data for key, _ in selector.select(max(0.0, seconds))]


def _too_slow() -> str:
    return f"loading takes more than {START_SECONDS:.3g} seconds"


class _Run:
    """State of one call of `WorkerPool.run`: waiting requests of each group and failed starts.

    Attributes:
        end: deadline of the run, `time.monotonic()`.
        left_out: seconds by which `end` was moved, because requests waited for workers to load their rewards.
    """

    def __init__(
        self,
        pool: WorkerPool,
        requests: Iterable[Request],
        end: float,
        handle_reply: Callable[[Request, Reply], Iterable[Request]],
    ):
        self.end, self.left_out = end, 0.0
        self._waits_since: float | None = None  # since when requests wait for workers to load their rewards
        self._pool, self._handle_reply = pool, handle_reply
        self._waiting: dict[int, deque[Request]] = {}  # index of a group -> requests
        self._failed_starts: Counter[int] = Counter()  # index of a group -> failed starts in a row
        self._add(requests)

    @property
    def unfinished(self) -> bool:
        """Whether a request has no reply yet."""
        return any(self._waiting.values()) or bool(self._pool.busy())

    def dispatch(self) -> None:
        """Send waiting requests to the idle workers."""
        for worker in self._pool.idle():
            if queue := self._waiting.get(worker.group):
                request = worker.request = queue.popleft()
                now = time.monotonic()
                worker.request_deadline = now + request.seconds
                end = request.seconds + now if self._pool.has_own_deadline(worker.group) else self.end
                try:
                    worker.send_rows(request, max(0.001, min(worker.request_deadline, end) - now))
                except WorkerLost as loss:
                    self._handle_loss(worker, loss)

    def is_open(self) -> bool:
        """Return whether the deadline has not passed; it does not pass while requests wait for workers to load."""
        now = time.monotonic()
        waited = 0.0 if self._waits_since is None else now - self._waits_since
        if self._waits_for_loading() and self.left_out + waited < START_SECONDS:
            self._waits_since = now - waited
            return True
        self._waits_since = None
        if waited > QUICK_SECONDS:
            self.left_out += waited
            self.end += waited
        return now < self.end

    def _waits_for_loading(self) -> bool:
        """Return whether a request cannot begin because all workers of its group still load their rewards."""
        loading = {worker.group for worker in self._pool.loading()} - self._pool.slow_groups
        ready = {worker.group for worker in self._pool.idle() + self._pool.busy()}
        return any(self._waiting.get(group) for group in loading - ready)

    def next_deadline(self) -> float:
        """Return the earliest deadline of the run, of all busy workers, and of the starting workers that requests wait for."""
        deadlines = [worker.request_deadline for worker in self._pool.busy()]
        if self._waits_since is None:
            is_limited = any(self._waiting.values()) or bool(self._busy_within_deadline())
            return min([*deadlines, self.end] if is_limited else deadlines, default=self.end)
        deadlines += [worker.start_deadline for worker in self._pool.loading()]
        return min([*deadlines, self._waits_since + START_SECONDS - self.left_out])

    def handle_output(self, worker: _Worker) -> None:
        """Read the output of a worker, and handle its reply or its end."""
        try:
            body = worker.read_reply()
        except WorkerLost as loss:
            return self._handle_loss(worker, loss)
        if body is not None:
            assert worker.request is not None, "`read_reply` raises for a reply without a request"
            request, worker.request = worker.request, None
            self._finish(request, Reply(body, body.get("kind", ""), body.get("detail", "")))
        else:
            self._failed_starts[worker.group] = 0
            self._pool.slow_groups.discard(worker.group)

    def replace_late(self) -> None:
        """Replace the workers that have exceeded the time limit of their request or of their start."""
        now = time.monotonic()
        for worker in self._pool.loading():
            if now >= worker.start_deadline:
                self._pool.slow_groups.add(worker.group)
                self._handle_loss(worker, WorkerLost("timeout", _too_slow()))
        for worker in self._pool.busy():
            if now >= worker.request_deadline:
                assert worker.request is not None
                detail = f"the reward took more than {worker.request.seconds:.1f} seconds"
                self._handle_loss(worker, WorkerLost("timeout", detail))

    def skip_unfinished(self) -> bool:
        """At the deadline, reply `skipped` to all requests but the running ones with deadlines of their own, if any."""
        for worker in self._busy_within_deadline():
            self._handle_loss(worker, WorkerLost("skipped", "stopped at the deadline of all rewards"))
        self._skip([*self._waiting], "not started before the deadline of all rewards")
        return self.unfinished

    def _busy_within_deadline(self) -> list[_Worker]:
        return [worker for worker in self._pool.busy() if not self._pool.has_own_deadline(worker.group)]

    def _add(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._waiting.setdefault(request.group, deque()).append(request)

    def _finish(self, request: Request, reply: Reply) -> None:
        self._add(self._handle_reply(request, reply))

    def _handle_loss(self, worker: _Worker, loss: WorkerLost) -> None:
        """Replace a lost worker and reply to its request; skip the group after too many failed starts."""
        request = worker.request
        if not worker.ready:
            self._failed_starts[worker.group] += 1
        elif request is None:
            self._pool.idle_losses.append((worker.group, loss))
        is_slow = not worker.ready and worker.group in self._pool.slow_groups
        abandoned = is_slow or self._failed_starts[worker.group] >= FAILED_STARTS
        self._pool.replace(worker, restart=not abandoned)
        if request is not None:
            self._finish(request, Reply(kind=loss.kind, detail=loss.detail))
        if abandoned:
            self._skip([worker.group], f"the worker cannot be started again: {loss.detail}")

    def _skip(self, groups: Iterable[int], detail: str) -> None:
        for group in groups:
            while queue := self._waiting.get(group):
                self._finish(queue.popleft(), Reply(kind="skipped", detail=detail))
