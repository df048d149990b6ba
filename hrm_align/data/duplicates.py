"""Find rows that repeat an earlier row, exactly or nearly, and held-out rows whose text is in the training set.

    "What is 2+3?  It is 5."  and  "what is 2 3 it is 5"   are the same words: an exact duplicate
    two long rows that differ in a word or two              share most sequences of 5 words: a near duplicate

Words are compared without case, ASCII punctuation and white space. Near duplicates are found by MinHash (Broder 1997,
"On the resemblance and containment of documents"): the share of equal minima estimates the share of common sequences.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from zlib import crc32

import numpy as np

from hrm_align.data.examples import Example

NAMED_ROWS = 5
MAX_EXACT, MAX_NEAR = 1_000_000, 100_000  # rows that later ones are compared with, so that memory stays bounded
MAX_BYTES = 200_000  # of a row that are compared for near duplicates and overlap
SEQUENCE, LEAST_SEQUENCES = 5, 8  # words of a sequence; shorter rows have no near duplicates
BANDS, BAND_ROWS, LEAST_EQUAL = 4, 4, 13  # of the 16 minima of two near duplicates, at least 13 are equal
OVERLAP_WORDS, OVERLAP_SHARE = 13, 0.5

_DROPPED = bytes(code for code in range(128) if not chr(code).isalnum())
_FOLD = bytes.maketrans(_DROPPED + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b" " * len(_DROPPED) + b"abcdefghijklmnopqrstuvwxyz")
_FACTORS = np.random.default_rng(0).integers(1, 2**63, 32, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_HIGH = np.uint64(32)


def words_of_row(text: str) -> list[bytes]:
    """Split a text into its words, without case, ASCII punctuation and white space."""
    return text.encode("utf-8", "surrogatepass").translate(_FOLD).split()


def _fold(text: str) -> bytes:
    """Return the words of a text, joined by single spaces; for a text of megabytes ten times as fast as to split it."""
    folded = text.encode("utf-8", "surrogatepass").translate(_FOLD)
    while b"  " in folded:
        folded = folded.replace(b"  ", b" ")
    return folded.strip(b" ")


def sequences(words: Sequence[bytes], size: int) -> np.ndarray:
    """Return a hash of each sequence of `size` words, (n - size + 1,) of 64 bits; empty for fewer words."""
    count = len(words) - size + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    hashes = np.fromiter(map(crc32, words), np.uint64, len(words))
    total = np.zeros(count, np.uint64)
    for place in range(size):
        total += hashes[place : place + count] * _FACTORS[place]
    return total ^ (total >> _HIGH)


@dataclass
class Duplicates:
    """Rows that repeat an earlier row.

    Args:
        rows: number of rows that were added.
        exact: number of rows with the same words as an earlier one.
        near: number of rows, not exact ones, that share most sequences of 5 words with an earlier one.
        first: the first pairs of each kind, `file:line: repeats file:line`.
    """

    rows: int = 0
    exact: int = 0
    near: int = 0
    first: dict[str, list[str]] = field(default_factory=lambda: {"exact": [], "near": []})
    _seen: dict[bytes, str] = field(default_factory=dict, repr=False)
    _bands: list[dict[bytes, int]] = field(default_factory=lambda: [{} for _ in range(BANDS)], repr=False)
    _minima: list[tuple[str, bytes]] = field(default_factory=list, repr=False)

    def add(self, examples: Sequence[Example]) -> None:
        """Compare one row, given as its examples, with the earlier ones, and remember the row."""
        last = examples[-1]
        rejected = [last.rejected.content] if last.rejected is not None else []
        folded = _fold("\n".join([*(m.content for m in last.messages), last.reference, *rejected]))
        self.rows += 1
        key = blake2b(folded, digest_size=8).digest()
        earlier = self._seen.get(key)
        if earlier is not None:
            self.exact += 1
            self._name("exact", last.source, earlier)
            return
        if len(self._seen) < MAX_EXACT:
            self._seen[key] = last.source
        self._compare(last.source, folded.split(None, MAX_BYTES // 5)[: MAX_BYTES // 5])

    def _compare(self, source: str, words: list[bytes]) -> None:
        """Find a near duplicate of a row, by its first words, among the earlier ones, and remember a row without one."""
        hashes = sequences(words, SEQUENCE)
        if len(hashes) < LEAST_SEQUENCES:
            return
        minima = ((hashes[:, None] * _FACTORS[: BANDS * BAND_ROWS]) >> _HIGH).min(axis=0).astype(np.uint32)
        raw, width = minima.tobytes(), 4 * BAND_ROWS
        keys = [raw[start : start + width] for start in range(0, len(raw), width)]
        for band, key in zip(self._bands, keys, strict=True):
            earlier = band.get(key)
            if earlier is None:
                continue
            other, theirs = self._minima[earlier]
            if int((np.frombuffer(theirs, np.uint32) == minima).sum()) >= LEAST_EQUAL:
                self.near += 1
                self._name("near", source, other)
                return
        if len(self._minima) < MAX_NEAR:
            self._minima.append((source, raw))
            for band, key in zip(self._bands, keys, strict=True):
                band.setdefault(key, len(self._minima) - 1)

    def _name(self, kind: str, source: str, earlier: str) -> None:
        if len(self.first[kind]) < NAMED_ROWS:
            self.first[kind].append(f"{source}: repeats {earlier}")

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and the first pairs as plain JSON values."""
        return {"exact": self.exact, "near": self.near, "first": {k: v for k, v in self.first.items() if v}}


def describe_duplicates(
    rows: Iterable[Example], held_out: Sequence[Example], duplicates: Duplicates | None = None
) -> list[str]:
    """Return a warning, and the first rows, for rows that repeat an earlier one and for held-out rows that rows repeat.

    Args:
        rows: the last example of each row.
        held_out: the last example of each held-out row; empty to compare the rows among themselves only.
        duplicates: the rows are added to it, for a caller that needs the counts.
    """
    rows, duplicates = [*rows], Duplicates() if duplicates is None else duplicates
    for example in rows:
        duplicates.add([example])
    overlap = find_overlap(rows, held_out)
    parts = (
        (duplicates.exact, len(rows), "rows repeat the words of an earlier row", duplicates.first["exact"]),
        (duplicates.near, len(rows), "rows are nearly an earlier row", duplicates.first["near"]),
        (overlap["exact"], len(held_out), "held-out rows are among the rows", overlap["first"].get("exact", [])),
        (
            overlap["overlapping"],
            len(held_out),
            f"held-out prompts share half of their {OVERLAP_WORDS}-word sequences with the rows",
            overlap["first"].get("overlapping", []),
        ),
    )
    lines = []
    for count, total, what, first in parts:
        if count:
            lines += [f"Warning: {count:,} of {total:,} {what}:", *(f"  {place}" for place in first)]
            lines += [f"  and {count - len(first):,} more"] if count > len(first) else []
    return lines


def find_overlap(train: Iterable[Example], held_out: Sequence[Example]) -> dict[str, Any]:
    """Count the held-out rows whose text is in the training rows.

    A held-out prompt overlaps if at least half of its sequences of 13 words (as in Brown et al. 2020, appendix C) stand
    in training prompts. Sequences that several held-out prompts share, such as an instruction, do not count.

    Args:
        train: training examples.
        held_out: held-out examples, one for each row.

    Returns:
        `{"exact": number of held-out rows whose words, prompt and answer, are those of a training row, "overlapping":
        number of further ones that overlap, "first": their first places by kind}`.
    """
    prompts = [_sequences_of_prompt(example) for example in held_out]
    known, counts = np.unique(
        np.concatenate([np.unique(p) for p in prompts] or [np.empty(0, np.uint64)]), return_counts=True
    )
    known = known[counts == 1]
    covered = np.zeros(len(known), bool)
    keys = [_key(example) for example in held_out]
    wanted, repeated = set(keys), set()
    for example in train:
        if (key := _key(example)) in wanted:
            repeated.add(key)
        if len(known) and len(theirs := _sequences_of_prompt(example)):
            places = np.searchsorted(known, theirs)
            places[places == len(known)] = 0
            covered[places[known[places] == theirs]] = True
    report: dict[str, Any] = {"exact": 0, "overlapping": 0, "first": {}}
    for example, key, prompt in zip(held_out, keys, prompts, strict=True):
        places = np.searchsorted(known, prompt) if len(known) else np.empty(0, np.int64)
        places[places == len(known)] = 0
        places = places[known[places] == prompt] if len(known) else places
        share = covered[places].mean() if len(places) else 0
        if key in repeated or share >= OVERLAP_SHARE:
            kind = "exact" if key in repeated else "overlapping"
            report[kind] += 1
            named = report["first"].setdefault(kind, [])
            if len(named) < NAMED_ROWS:
                named.append(example.source)
    return report


def _key(example: Example) -> bytes:
    texts = [*(m.content for m in example.messages), example.reference]
    return blake2b(_fold("\n".join(texts)), digest_size=8).digest()


def _sequences_of_prompt(example: Example) -> np.ndarray:
    text = "\n".join(message.content for message in example.messages if message.role != "system")
    return sequences(words_of_row(text[:MAX_BYTES]), OVERLAP_WORDS)
