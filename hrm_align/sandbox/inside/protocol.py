"""What the trainer tells its zygote first, the limits of a job, and how bytes are written."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one job, all its calls together, may use.

    Args:
        characters: length of the program's text.
        cpu_seconds: of the processor; whole ones, as the kernel counts.
        wall_seconds: of the clock. The longer of the two, or a busy computer grades otherwise than an idle one.
        memory_bytes: of address space. Python itself takes some 30 million.
        output_bytes: of its answer, as JSON. What it prints is discarded and not counted.
    """

    characters: int = 20_000
    cpu_seconds: int = 2
    wall_seconds: float = 10.0
    memory_bytes: int = 512 * 2**20
    output_bytes: int = 2**20


def write_all(descriptor: int, data: bytes) -> None:
    """`os.write`, until everything is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
