"""Held-out examples and replay: which examples of a mixture are for evaluation, and which of another are mixed in.

Examples are held out by a hash of their content, so that copies of a row are either all trained on or all held out.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np

from hrm_align.data.examples import Example
from hrm_align.data.table import Examples, split_hash


def drawn(replay: Sequence[Example], share: float, others: int, seed: int) -> Sequence[Example]:
    """Draw replay examples up to a share of the whole mixture. Every example is drawn once before any is drawn again.

    Args:
        replay: examples to draw from.
        share: fraction of all examples, replay included, that are replay; 0 to below 1.
        others: number of examples that are not replay.
        seed: seed of the draw.
    """
    wanted = round(others * share / (1 - share))
    copies, rest = divmod(wanted, len(replay))
    drawn = [*range(len(replay))] * copies + random.Random(seed).sample(range(len(replay)), rest)
    return replay.select(replay.indices[drawn]) if isinstance(replay, Examples) else [replay[index] for index in drawn]


def split_by_content(examples: Sequence[Example], fraction: float) -> tuple[Sequence[Example], Sequence[Example]]:
    """Split examples into training and held-out ones.

    The split depends only on a hash of the first message that is not a system message. All turns of a conversation and
    all repetitions of a prompt are therefore on the same side, in every run.

    Args:
        examples: examples to split.
        fraction: share to hold out, 0 to 1; met to within sampling error.

    Returns:
        The training examples and the held-out examples, both in the given order.
    """
    limit = math.ceil(fraction * 2**64)
    if isinstance(examples, Examples):
        held_out = examples.column("split") < limit if limit < 2**64 else np.ones(len(examples), bool)
        return examples.select(examples.indices[~held_out]), examples.select(examples.indices[held_out])
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        sides[split_hash(example) < limit].append(example)
    return sides


def count_overlap(train: Sequence[Example], held_out: Sequence[Example]) -> int:
    """Return the number of held-out examples whose messages and reference are also in the training set."""
    if isinstance(train, Examples) and isinstance(held_out, Examples):
        return int(np.isin(held_out.column("content"), train.column("content")).sum())
    train_keys = {*map(_content_key, train)}
    return sum(_content_key(example) in train_keys for example in held_out)


def _content_key(example: Example) -> tuple[str, ...]:
    return (*(f"{message.role}: {message.content}" for message in example.messages), example.reference)
