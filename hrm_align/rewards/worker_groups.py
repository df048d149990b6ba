"""Which rewards share worker processes: the ones that grade row by row share a group, and each other one has its own."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hrm_align.rewards.base import BatchGrader, RewardSpec, create_grader


@dataclass(frozen=True)
class WorkerGroup:
    """Workers that load the same rewards.

    Args:
        start: first message to each worker; `hrm_align.rewards.worker_main` defines the format.
        workers: number of workers.
        own_deadline: whether only `Request.seconds` limits a running request of the group, and not the deadline of a run.
    """

    start: Mapping[str, Any]
    workers: int = 1
    own_deadline: bool = False


def batch_limit(spec: RewardSpec) -> float | None:
    """Return the time limit of a reward that grades all rows at once; None for other rewards."""
    grader = create_grader(spec.name, spec.options) if spec.file is None else None
    return grader.batch_seconds if isinstance(grader, BatchGrader) else None


def build_worker_groups(
    specs: Sequence[RewardSpec], workers: int, batches: Collection[int], here: Collection[int], folder: str | None
) -> tuple[list[WorkerGroup], list[tuple[int, int]]]:
    """Build one worker group for all built-in rewards that grade row by row, and one for each other reward in workers.

    Args:
        specs: the rewards.
        workers: number of workers of the first group.
        batches: indices of the rewards that grade all rows at once.
        here: indices of the rewards that run in this process, not in workers.
        folder: folder of the run, for these rewards.

    Returns:
        The groups; and for each reward its location: the index of its group, and its index in that group (-1 for `here`).
    """
    alone = {*batches, *here}
    shared = [spec for index, spec in enumerate(specs) if spec.file is None and index not in alone]
    groups = [WorkerGroup({"rewards": [(spec.name, dict(spec.options)) for spec in shared]}, workers)] if shared else []
    locations, used = [], 0
    for index, spec in enumerate(specs):
        if index in here:
            locations.append((-1, -1))
        elif index in batches:
            start: dict[str, Any] = {"rewards": [(spec.name, dict(spec.options))], "folder": folder}
            locations.append((len(groups), 0))
            groups.append(WorkerGroup(start, own_deadline=True))
        elif spec.file is None:
            locations.append((0, used))
            used += 1
        else:
            locations.append((len(groups), 0))
            groups.append(WorkerGroup({"file": os.path.abspath(spec.file), "function": spec.name}))
    return groups, locations
