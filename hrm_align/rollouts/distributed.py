"""Distribute work that needs no collective calls among the processes of a run: evaluations, and the grading of their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from accelerate import PartialState
from accelerate.utils import gather_object

from hrm_align.errors import Interrupted, RunError
from hrm_align.signals import leaving_at_once

Item = TypeVar("Item")
Result = TypeVar("Result")


def share_out(items: Sequence[Item], work: Callable[[Sequence[Item]], Sequence[Result]]) -> list[Result]:
    """Distribute work among the processes of a run, and gather all results on each of them.

    All processes must call this function with the same items. If the work of one fails, the call raises on all of them.

    Args:
        items: items of the work; process k of n gets the items k, k + n, k + 2n, ...
        work: function that returns one result per item; results are pickled.

    Returns:
        The results in the order of the items.

    Raises:
        Interrupted: if the work of any process was interrupted.
        RunError: if the work of another process failed; a process raises its own error unchanged.
    """
    state = PartialState()
    count = state.num_processes
    if count == 1:
        return list(work(items))
    part, own, failure = items[state.process_index :: count], list[Result](), None
    try:
        with leaving_at_once():
            own = list(work(part)) if part else []
    except (
        Exception,
        Interrupted,
    ) as error:  # raised again below, after the other processes know, which would wait otherwise
        failure = error
    report = None if failure is None else (isinstance(failure, Interrupted), f"{type(failure).__name__}: {failure}")
    parts = gather_object([(own, report)])
    if failure is not None:
        raise failure
    results: list[Result] = [None] * len(items)  # type: ignore[list-item]
    for number, (part_results, fault) in enumerate(parts):
        if fault is not None:
            raise Interrupted if fault[0] else RunError(f"process {number} has failed: {fault[1]}")
        results[number::count] = part_results
    return results


def call_on_all(work: Callable[[], Result]) -> Result:
    """Call a function on every process of a run; if one of the calls fails or is interrupted, raise on all of them."""
    results = share_out(range(PartialState().num_processes), lambda part: [work() for _ in part])
    return results[PartialState().process_index]
