"""Hold rows out by what they say, so that a row and its copy never end on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from hrm_align.data.examples import Example


def split_by_content(examples: Sequence[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """Split examples into training and held-out ones.

    The choice hangs on the first message that is read, so all turns of a conversation, and every repetition of a
    prompt, fall on the same side, in this run and in every other.

    Args:
        examples: to be split.
        fraction: the share to hold out, 0 to 1; met to within sampling error.

    Returns:
        What to train on, and what is held out, both in the order given.
    """
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        first = next((m for m in example.messages if m.role != "system"), example.messages[0])
        digest = sha256(first.content.encode("utf-8", "surrogatepass")).digest()
        sides[int.from_bytes(digest[:8], "big") < fraction * 2**64].append(example)
    return sides
