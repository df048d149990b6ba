"""What a check reports: what is wrong, what to do about it, and the mend where there is one.

Where two settings contradict each other and the weights cannot tell which is right, nothing is guessed: the finding has
no mend and says what to look up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hrm_align.models.doctor.checkpoint import Checkpoint

GONE = object()  # the value of a key that is to be removed


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Args:
        check: which check found it, a word for programs.
        problem: what, and in which file.
        remedy: what to do about it.
        mend: does it, in memory; None where nobody but the user can.
    """

    check: str
    problem: str
    remedy: str
    mend: Callable[[Checkpoint], None] | None = None


Findings = Iterator[Finding]


def mendable(check: str, document: str, problem: str, **values: Any) -> Finding:
    """A finding that setting keys of a document mends."""
    return Finding(check, f"{document}: {problem}", f"{_shown(values)}.", set_keys(document, **values))


def set_keys(document: str, **values: Any) -> Callable[[Checkpoint], None]:
    """A mend that sets keys of a document, or removes those that are `GONE`."""

    def apply(checkpoint: Checkpoint) -> None:
        content = checkpoint.documents.setdefault(document, {})
        for key, value in values.items():
            content.pop(key, None)
            if value is not GONE:
                content[key] = value

    return apply


def _shown(values: dict[str, Any]) -> str:
    gone = [f"remove {key}" for key, value in values.items() if value is GONE]
    return ", ".join([*gone, *(f"set {key} to {value}" for key, value in values.items() if value is not GONE)])
