"""Pictures of the prefix mask, drawn from the intervals that the package computes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hrm_align.models.intervals import Intervals, visible_intervals
from hrm_align.rendering import PUBLISHED, Layout

_WORDS = {"[": PUBLISHED.message_start, "|": PUBLISHED.prefix_end, "]": PUBLISHED.answer_end}


def drawn(tokens: Sequence[str], positions: Sequence[int] | None = None, layout: Layout = PUBLISHED) -> str:
    """A table of who sees whom: a row for each query, a column for each key, `x` where the query sees the key.

    Args:
        tokens: `[` is `<|im_start|>`, `|` is `<|im_end|>`, `]` is `<|box_end|>`; anything else is text.
        positions: of packed documents, or of several completions of one prompt; None for one document.
    """
    ids = torch.tensor([[_WORDS.get(token, 1000 + ord(token)) for token in tokens]])
    seen = visible_intervals(ids, layout, position_ids=None if positions is None else torch.tensor([list(positions)]))
    lines = ["    " + " ".join(tokens)]
    for query, token in enumerate(tokens):
        row = ["x" if _sees(seen, query, key) else "." for key in range(len(tokens))]
        lines.append(f"{token}   " + " ".join(row))
    return "\n".join(line.rstrip() for line in lines)


def _sees(seen: Intervals, query: int, key: int) -> bool:
    own = bool(seen.first[0, query] <= key <= seen.last[0, query])
    if seen.prompt_first is None or seen.prompt_last is None:
        return own
    return own or bool(seen.prompt_first[0, query] <= key <= seen.prompt_last[0, query])


# Tokens and positions of each picture on docs/concepts/prefix-mask.md.
PICTURES: dict[str, tuple[str, Sequence[int] | None]] = {
    "one document": ("[ab|xy]", None),
    "two packed documents": ("[a|x][b|yz]", (0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5)),
    "two completions of one prompt": ("[a|x]yz]", (0, 1, 2, 3, 4, 3, 4, 5)),
}
