"""What the trainer and its zygote say to each other: messages on a stream, and the limits of a job, which the first one carries.

A message is eight bytes of its length, then the message itself.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

_LENGTH = struct.Struct("!Q")


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


def framed(message: bytes) -> bytes:
    """A message as it is sent."""
    return _LENGTH.pack(len(message)) + message


def read_frame(receive: Callable[[int], bytes]) -> bytes | None:
    """The next message, from what gives at most so many bytes; None at the end of the stream."""
    head = _exactly(_LENGTH.size, receive)
    return None if head is None else _exactly(_LENGTH.unpack(head)[0], receive)


def write_all(descriptor: int, data: bytes) -> None:
    """`os.write`, until everything is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _exactly(size: int, receive: Callable[[int], bytes]) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        part = receive(min(size - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return bytes(data)
