"""What a data set row becomes before tokenization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
