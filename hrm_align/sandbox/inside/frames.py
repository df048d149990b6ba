"""Messages on a stream: eight bytes of length, then the message."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

_LENGTH = struct.Struct("!Q")


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
