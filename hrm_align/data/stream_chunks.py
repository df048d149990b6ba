"""Chunks of a stream: consecutive rows of a mixture of data sets, read and tokenized by the worker whose turn it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy
from torch.utils.data import IterableDataset, get_worker_info
from transformers import PreTrainedTokenizerFast

from hrm_align.data.damage import DamageReport
from hrm_align.data.dataset import read_examples
from hrm_align.data.encode import DocumentEncoder
from hrm_align.data.length_bound import longest_text
from hrm_align.data.readers import BadRow
from hrm_align.data.specs import DatasetSpec
from hrm_align.data.stream_counts import Counts, Limits, count_rows, merge
from hrm_align.data.stream_sources import Source, open_source
from hrm_align.data.tokenize import Dropped
from hrm_align.errors import UserError
from hrm_align.rendering import get_renderer

CHUNK_ROWS = 64

State = dict[str, Any]  # plain JSON


@dataclass
class StreamPlan:
    """What is streamed: data sets with their schemas and conditions.

    Args:
        specs: the data sets. With weights, each row is drawn from one of them, and a data set begins again at its end;
            without, they follow one another.
        schemas: name of the schema of each.
        conditions: condition of rows without one, of each.
        revisions: commit of each that is on the Hub, otherwise None.
        seed: seed of the draws.
        limits: shares of rows that may be unusable.
        counts: records of the data sets for run/data.json, before any row is counted.
        tokenizer: tokenizer of the model; set by `tokenized`.
        max_length: longest document in tokens; set by `tokenized`.
    """

    specs: list[DatasetSpec]
    schemas: list[str | None]
    conditions: list[str]
    revisions: list[str | None]
    seed: int
    limits: Limits
    counts: list[dict[str, Any]]
    tokenizer: PreTrainedTokenizerFast | None = None
    max_length: int = 0

    @property
    def weights(self) -> list[float] | None:
        """Weights of the data sets; None if they follow one another."""
        weights = [spec.weight for spec in self.specs]
        return None if None in weights else weights  # type: ignore[return-value]

    @property
    def is_remote(self) -> bool:
        """Whether a data set is on the Hub, so that one worker of one process reads for all."""
        return any(self.revisions)


@dataclass
class Chunk:
    """Consecutive rows of a stream, tokenized.

    Args:
        cursor: place of the first row.
        documents: token ids (tokens,) int32 and prefix length of each document.
        counts: counts of the rows for each data set.
        bad: rows that cannot be used.
        ends: whether the data sets end here, so that the next chunk begins them again.
        error: sentence of the error that ended reading.
    """

    cursor: State
    documents: list[tuple[numpy.ndarray, int]] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    ends: bool = False
    error: str | None = None
    before: list[Counts] = field(default_factory=list)  # counts of all chunks before it


class Mixture:
    """The rows of all data sets of a plan, chunk by chunk, from a cursor on."""

    def __init__(self, plan: StreamPlan, cursor: State | None):
        self._plan, self._weights = plan, plan.weights
        self._sources = [open_source(*pair) for pair in zip(plan.specs, plan.revisions, strict=True)]
        self._begins = [source.place() for source in self._sources]
        cursor = cursor or {"pass": 0, "chunk": 0, "at": 0, "rounds": [0] * len(plan.specs), "places": self._begins}
        self._pass, self._chunk, self._at = cursor["pass"], cursor["chunk"], cursor["at"]
        self._rounds = list(cursor["rounds"])
        for source, place in zip(self._sources, cursor["places"], strict=True):
            source.seek(place)

    def cursor(self) -> State:
        """Return the place of the next chunk."""
        places = [source.place() for source in self._sources]
        own = {"pass": self._pass, "chunk": self._chunk, "at": self._at}
        return {**own, "rounds": list(self._rounds), "places": places}

    def take(self) -> tuple[list[tuple[int, bool, Any]], bool]:
        """Read a chunk: data set, whether it is its first pass, and row; and whether the pass ends with this chunk."""
        read, ends = self._pass_over(lambda source, count: source.take(count), len)
        return [(number, first, row) for number, first, rows in read for row in rows], ends

    def skip(self) -> None:
        """Pass over a chunk."""
        self._pass_over(lambda source, count: source.skip(count), int)

    def _pass_over(self, move: Callable[[Source, int], Any], size: Callable[[Any], int]) -> tuple[list, bool]:
        if self._weights is None:
            return self._in_turn(move, size)
        moved = []
        for number in random.Random(f"{self._plan.seed} {self._chunk}").choices(
            range(len(self._weights)), self._weights, k=CHUNK_ROWS
        ):
            result = move(self._sources[number], 1)
            if not size(result):
                self._rounds[number] += 1
                self._sources[number].seek(self._begins[number])
                result = move(self._sources[number], 1)
            moved.append((number, not self._rounds[number], result))
        self._chunk += 1
        return moved, False

    def _in_turn(self, move: Callable[[Source, int], Any], size: Callable[[Any], int]) -> tuple[list, bool]:
        moved, missing = [], CHUNK_ROWS
        while missing and self._at < len(self._sources):
            result = move(self._sources[self._at], missing)
            moved.append((self._at, not self._pass, result))
            missing -= size(result)
            self._at += bool(missing)
        self._chunk += 1
        ends = self._at == len(self._sources)
        if ends:
            self._pass, self._at = self._pass + 1, 0
            for source, place in zip(self._sources, self._begins, strict=True):
                source.seek(place)
        return moved, ends


class Chunks(IterableDataset):
    """The chunks of one process, in a DataLoader: worker w of process p tokenizes chunk n if n is p + processes x w modulo all.

    Args:
        plan: what is streamed.
        cursor: place of chunk 0; None for the beginning.
        process: number of this process among those that read.
        processes: number of processes that read.
    """

    def __init__(self, plan: StreamPlan, cursor: State | None, process: int = 0, processes: int = 1):
        self._plan, self._cursor, self._process, self._processes = plan, cursor, process, processes

    def __iter__(self) -> Iterator[Chunk]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        own, readers = self._process + self._processes * worker, self._processes * workers
        cursor: State = {}
        assert self._plan.tokenizer is not None
        renderer = get_renderer(self._plan.tokenizer)
        encoder = DocumentEncoder(renderer, longest_text(renderer.encoder, self._plan.max_length))
        try:
            mixture, number = Mixture(self._plan, self._cursor), 0
            while True:
                if number % readers == own:
                    cursor = mixture.cursor()
                    yield _tokenize(self._plan, encoder, cursor, *mixture.take())
                else:
                    mixture.skip()
                number += 1
        except UserError as error:  # raised where the chunks of all processes meet
            while True:
                yield Chunk(cursor, error=str(error))


def _tokenize(
    plan: StreamPlan, encoder: DocumentEncoder, cursor: State, rows: list[tuple[int, bool, Any]], ends: bool
) -> Chunk:
    chunk = Chunk(cursor, counts=[{} for _ in plan.specs], ends=ends)
    outcomes = [
        read_examples(row, plan.specs[number], plan.schemas[number], plan.conditions[number]) for number, _, row in rows
    ]
    encoded = encoder.encode([example for outcome in outcomes if isinstance(outcome, list) for example in outcome])
    lengths, prefixes = (encoded.column(name).to_numpy().tolist() for name in ("length", "prefix_length"))
    offsets = encoded.column("input_ids").offsets.to_numpy()
    ids = encoded.column("input_ids").values.to_numpy().astype(numpy.int32)
    at = 0
    for (number, is_first_pass, _), outcome in zip(rows, outcomes, strict=True):
        damage, dropped, trained = DamageReport(), Dropped(), 0
        for example in outcome if isinstance(outcome, list) else ():
            if 0 < lengths[at] <= plan.max_length:
                chunk.documents.append((ids[offsets[at] : offsets[at + 1]], prefixes[at]))
                trained += 1
            else:
                dropped.add("too_long" if lengths[at] else "empty_response", example.source)
            at += 1
        if not is_first_pass:
            continue
        if isinstance(outcome, BadRow):
            chunk.bad.append(outcome)
        elif outcome:
            damage.add(outcome)
        merge(chunk.counts[number], count_rows(outcome, damage, dropped, trained))
    return chunk
