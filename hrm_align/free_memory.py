"""The memory that a run may take: of its GPU, or of a machine or container that its processes share."""

from __future__ import annotations

import math
import os
from pathlib import Path

import psutil
import torch
from accelerate import PartialState

USED = 0.9  # of what is free; the rest is the allocator's, and what CUDA loads
# Where a container's limit stands, what it holds, and how much of that is cache that goes when it is needed.
CONTAINERS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
CONTROL_GROUPS = Path("/sys/fs/cgroup")


def free_memory(use_cpu: bool) -> int:
    """Bytes that a run may take on its device: on a GPU what is free there, on a CPU this process's share of it."""
    if torch.cuda.is_available() and not use_cpu:
        return int(USED * torch.cuda.mem_get_info(PartialState().device)[0])
    together = int(os.environ.get("LOCAL_WORLD_SIZE", PartialState().num_processes))  # processes that share it
    return int(USED * min(psutil.virtual_memory().available, _left_to_the_container()) / together)


def _left_to_the_container() -> float:
    """Bytes below the limit of a container, which the machine's own figure does not show; infinite without one."""
    for limit, held, statistics, cache in CONTAINERS:
        path = CONTROL_GROUPS / limit
        if path.is_file() and (most := path.read_text().strip()).isdigit():  # "max" is none
            counted = dict(line.split() for line in (CONTROL_GROUPS / statistics).read_text().splitlines())
            used = int((CONTROL_GROUPS / held).read_text()) - int(counted.get(cache, 0))
            return max(0, int(most) - used)
    return math.inf
