"""A data set row before tokenization, and the held-out split.

Rows are held out by their content, so that a row and its copy never end on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from hrm_align.rendering import Message, tool_call_text


@dataclass(frozen=True, slots=True)
class Example:
    """One answer to learn, with everything that is read before it.

    Args:
        messages: the prompt: system, user, tool and earlier assistant messages, in order.
        answer: the assistant message to learn; blank where the row has only a prompt.
        condition: condition tag or composite (`"direct"`, `"synth,cot"`).
        source: where the row stands: `file:line`, or `dataset[index]`.
        group: the row's own label for tables of results (its `group` or `task` column), if it has one.
        grading: what a grader needs beside the right answer (its `grading` column): a database, tests.
    """

    messages: tuple[Message, ...]
    answer: Message
    condition: str
    source: str
    group: str | None = None
    grading: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def reference(self) -> str:
        """The right answer as the decoder would print it, tool calls included."""
        calls = "".join(f"<tool_call>{tool_call_text(call)}</tool_call>" for call in self.answer.tool_calls)
        return self.answer.content + calls


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
