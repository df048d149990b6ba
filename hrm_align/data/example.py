"""What a data set row becomes before tokenization."""

from __future__ import annotations

from dataclasses import dataclass

from hrm_align.rendering import Message


@dataclass(frozen=True, slots=True)
class Example:
    """One answer to learn, with everything that is read before it.

    Args:
        messages: the prompt: system, user, tool and earlier assistant messages, in order.
        answer: the assistant message to learn.
        condition: condition tag or composite (`"direct"`, `"synth,cot"`).
        source: where the row stands: `file:line`, or `dataset[index]`.
        group: the row's own label for tables of results (its `group` or `task` column), if it has one.
    """

    messages: tuple[Message, ...]
    answer: Message
    condition: str
    source: str
    group: str | None = None
