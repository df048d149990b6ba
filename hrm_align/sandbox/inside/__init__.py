"""What runs in the sandbox's own processes: the standard library alone, so that they start in a tenth of a second.

A zygote forks a child for each job; the child gives up its rights and only then reads the program. The trainer's side is
one folder up: nothing here imports `hrm_align`, and the two share no more than the limits of a job and a few constants.
"""

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
