"""Work in forked processes: apply a function to tasks, in as many processes as there are cores, with the results in order."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from hrm_align.errors import RunError

Task = TypeVar("Task")
Result = TypeVar("Result")
FEW = 4  # so many tasks or fewer are done in this process
AHEAD = 4  # tasks in flight for each process
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_function: Callable[[Any], Any]
_most: int | None = None


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_processes(most: int | None) -> None:
    """Set how many processes work at most, the setting `dataset_num_proc`; None for as many as there are cores."""
    global _most
    _most = most


def in_processes(function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
    """Yield `function(task)` of each task, in the order of the tasks.

    The processes are forks, so the function need not be importable, and what it holds is not copied. They ignore Ctrl-C, which
    the parent handles, and end with their parent. Where processes cannot be forked, everything runs in this process.

    Raises:
        RunError: if a process is killed. Errors of the function pass through.
    """
    processes = min(_most or cores(), cores())
    if len(tasks) <= FEW or processes == 1 or sys.platform != "linux":
        yield from map(function, tasks)
        return
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, context, _begin, (function, os.getpid()))
    waiting: deque[Future[Any]] = deque()
    remaining = iter(tasks)
    try:
        while True:
            waiting += [pool.submit(_call, task) for task in islice(remaining, AHEAD * processes - len(waiting))]
            if not waiting:
                return
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise RunError(
            "a process that prepares rows was killed, probably because memory ran out. Free some memory, and start again."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(function: Callable[[Any], Any], parent: int) -> None:
    global _function
    _function = function
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the cores are taken, and threads do not survive a fork
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _call(task: Any) -> Any:
    return _function(task)
