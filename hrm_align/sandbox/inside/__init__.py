"""Code that runs inside the sandbox; imports only the standard library, so that a process starts in 0.1 seconds.

A zygote forks a child for each job. The child confines itself and only then parses the program. The code of the
trainer's side is one folder up. Nothing here imports `hrm_align`; both sides share only the limits of a job and a few
constants.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of one job, for all its calls together.

    Args:
        characters: length of the program's text.
        cpu_seconds: processor time, in whole seconds, since the kernel counts whole seconds.
        wall_seconds: wall-clock time. Should be longer than `cpu_seconds`; otherwise a program may pass on an idle
            computer and fail on a busy one.
        memory_bytes: address space, of which Python itself takes about 30 million bytes.
        output_bytes: size of the answer as JSON. Printed output is discarded and not counted.
    """

    characters: int = 20_000
    cpu_seconds: int = 2
    wall_seconds: float = 10.0
    memory_bytes: int = 512 * 2**20
    output_bytes: int = 2**20
