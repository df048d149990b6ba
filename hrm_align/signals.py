"""What SIGTERM and SIGHUP do to this process: end a command with its cleanup, or leave work that a training need not finish.

    with terminable():              # a command: `Terminated` is raised in it, and afterwards the signal ends the process
        with leaving_at_once():     # work that a training does not finish after a signal: `request_leave` raises here
            evaluate()

The signal handlers themselves run between two instructions of the main thread, and also while it waits or sleeps.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, SimpleNamespace
from typing import NoReturn, TypeVar

from hrm_align.errors import Interrupted, Terminated

CLEANUP_SECONDS = 3  # time for a terminated command to remove its files and end its child processes

TURN_SECONDS = 0.1  # longest time in which a call in a thread does not look at signals

Result = TypeVar("Result")

# handler: of the enclosing `terminable`; is_ending: whether this process ends anyway, so that further signals are ignored;
# wants_to_leave, may_leave: of `leaving_at_once`; last: functions to call before an end without cleanup; left: calls of
# `call_in_thread` that were left.
_STATE = SimpleNamespace(handler=None, is_ending=False, wants_to_leave=False, may_leave=False, last=[], left=[])


# The end of a command --------------------------------------------------------------------------------------------------


@contextmanager
def terminable(*more: signal.Signals) -> Iterator[None]:
    """End the process at SIGTERM, SIGHUP and other signals like Ctrl-C does, by an exception, so that cleanup code runs.

    A second signal during the cleanup is ignored. A cleanup that takes longer than `CLEANUP_SECONDS`, for example because a
    library waits for its threads, is cut off. Inside another `terminable`, only the signals are added. On processes of a
    launcher other than the main one signals end the process at once: they have nothing to clean up, and a process that waits
    in a collective call could not run a handler.

    Args:
        more: signals besides SIGTERM and SIGHUP. A signal that is ignored or handled already is left alone.

    Raises:
        Terminated: in the block, at a signal. Afterwards the same signal ends the process, as if it had not been handled.
    """
    is_main = threading.current_thread() is threading.main_thread() and os.environ.get("RANK", "0") == "0"
    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP, *more) if signal.getsignal(number) == signal.SIG_DFL]
    handled = wanted if is_main else []
    is_outermost = bool(handled) and _STATE.handler is None
    if is_outermost:
        _STATE.is_ending, _STATE.handler = False, _terminator()
    for number in handled:
        signal.signal(number, _STATE.handler)
    try:
        yield
    finally:
        received = _STATE.handler.received if is_outermost else None
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
        if is_outermost:
            _STATE.handler = None
        if received is not None:
            _end_by(received)


def _terminator() -> Callable[[int, FrameType | None], None]:
    """Return the signal handler of a command; its attribute `received` is the number of the first signal."""
    process = os.getpid()

    def terminate(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # a fork, such as a worker of a data loader
            _end_by(number)
        if _STATE.is_ending:
            return
        _STATE.is_ending, terminate.received = True, number  # type: ignore[attr-defined]
        signal.signal(signal.SIGALRM, cut_off)
        signal.alarm(CLEANUP_SECONDS)
        raise Terminated(number)

    def cut_off(*_: object) -> None:
        for function in _STATE.last:
            with suppress(Exception):
                function()
        _end_by(terminate.received)  # type: ignore[attr-defined]

    terminate.received = None  # type: ignore[attr-defined]
    return terminate


def ignore_further_signals() -> None:
    """Ignore the signals of `terminable` from now on: this process is ending already, with an exit code of its own."""
    _STATE.is_ending = True


@contextmanager
def called_last(function: Callable[[], object]) -> Iterator[None]:
    """Call a function even if a signal ends the process without cleanup."""
    _STATE.last.append(function)
    try:
        yield
    finally:
        _STATE.last.remove(function)


def _end_by(number: int) -> NoReturn:
    """End this process as if the signal had not been handled."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # not reached, unless the signal is blocked


# Work that is not finished after a signal -------------------------------------------------------------------------------


def request_leave() -> None:
    """Raise Interrupted if this process is inside `leaving_at_once`; otherwise at the next start of such work."""
    _STATE.wants_to_leave = True
    if _STATE.may_leave:
        _STATE.may_leave = False
        raise Interrupted


def withdraw_leave() -> None:
    """Forget the request of `request_leave`."""
    _STATE.wants_to_leave = _STATE.may_leave = False


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Run work that `request_leave` ends at any moment, also while it waits for another process.

    The work must not contain collective calls, which all processes have to make alike, and must not change what a checkpoint
    contains.

    Raises:
        Interrupted: at a request, or at once if there was one before.
    """
    outer = _STATE.may_leave
    try:
        _STATE.may_leave = True
        if _STATE.wants_to_leave:
            raise Interrupted
        yield
    finally:
        _STATE.may_leave = outer and not _STATE.wants_to_leave


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: setattr(_STATE, "may_leave", False))


# Calls that wait for threads --------------------------------------------------------------------------------------------


def call_in_thread(function: Callable[..., Result], *args: object) -> Result:
    """Call a function whose library waits for threads of its own, such as an upload, so that a signal or Ctrl-C ends the wait.

    Returns or raises what the function returns or raises.
    """
    from concurrent.futures import Future, wait

    done: Future[Result] = Future()

    def call() -> None:
        try:
            done.set_result(function(*args))
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    _STATE.left.append(done)
    try:
        # In turns: the system may deliver a signal to another thread, which does not wake this one.
        while not wait([done], timeout=TURN_SECONDS).done:
            pass
        return done.result()
    finally:
        if done.done():
            _STATE.left.remove(done)


def finish_exit(code: int) -> None:
    """Keep a second SIGTERM from changing the exit code of a process that ends, and do not wait for calls that were left.

    With a call of `call_in_thread` that was left, the process exits here, because Python would wait for the threads of its
    library.
    """
    atexit.register(
        signal.signal, signal.SIGTERM, signal.SIG_IGN
    )  # called first; a process that continues is not changed
    if all(call.done() for call in _STATE.left):
        return
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
