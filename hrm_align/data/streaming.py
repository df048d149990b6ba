"""Streams of training rows: read, tokenized and packed while training runs, never all on disk or in memory.

    rows of files -> chunks of 64 rows -> documents -> windows -> rows of a batch (documents, or packed rows) -> batches

    chunk   what one worker reads and tokenizes at a time: chunk 0 by worker 0 of process 0, chunk 1 by worker 0 of process 1, ...
            Processes exchange their chunks, so that each has all documents in the order of the files.
    window  consecutive documents that are shuffled together (`shuffle_buffer`) and packed (`packing_shard_rows`)

The order of batches is a function of the data and the settings, whatever the number of workers; batch n of all goes to process
n modulo processes, as from map-style data. A state names the chunk in which a window begins and the rows that were used since.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy
from torch.utils.data import DataLoader

from hrm_align.data.dataset import choose_schema
from hrm_align.data.examples import DatasetCounts
from hrm_align.data.packing import pack_in_shards
from hrm_align.data.readers import BadRow
from hrm_align.data.specs import DatasetSpec
from hrm_align.data.stream_chunks import Chunk, Chunks, Mixture, State, StreamPlan
from hrm_align.data.stream_counts import Counts, Limits, merge
from hrm_align.data.stream_sources import Source, is_remote, open_source, pin_revision
from hrm_align.errors import UserError

UNPACKED_WINDOW = 256  # documents that are neither shuffled nor packed: a resumed run tokenizes at most so many again
STREAM_STATE = "stream.json"

Gather = Callable[[list[Any]], list[Any]]  # accelerate's `gather_object`: the items of all processes, in their order


def open_stream(
    specs: Sequence[DatasetSpec],
    condition: str,
    seed: int,
    limits: Limits,
    resumed: Path | None = None,
    broadcast: Callable[[list[Any]], list[Any]] = list,
) -> StreamPlan:
    """Open data sets for streaming, and choose their schemas from their first rows.

    Args:
        specs: the data sets.
        condition: condition for rows and data sets without one.
        seed: seed of the draws of a mixture.
        limits: shares of rows that may be unusable.
        resumed: checkpoint to resume from, whose commits of Hub data sets are used.
        broadcast: function that returns the list of the first process, so that all processes read the same commits.

    Raises:
        UserError: if a data set cannot be streamed, or its columns fit no schema.
    """
    saved: list[str | None] = []
    if resumed is not None:
        state = read_state(resumed)
        saved, weights = state["revisions"], [spec.weight for spec in specs]
        if len(weights) == len(saved) and state["weights"] != weights:
            raise UserError(
                f"the data sets have the weights {weights} here but {state['weights']} in the run that saved {resumed}, and the resumed "
                f"run would continue with other rows: resume with the weights of that run."
            )
    schemas, revisions, counts = [], [], []
    for number, spec in enumerate(specs):
        pinned = saved[number] if number < len(saved) else None
        revisions.append((pinned or pin_revision(spec)) if is_remote(spec) else None)
    revisions = broadcast(revisions)
    for spec, revision in zip(specs, revisions, strict=True):
        source = open_source(spec, revision)
        schema, unused = choose_schema(spec, _rows(source))
        schemas.append(schema)
        record = DatasetCounts(spec.path, schema, unused_columns=unused, local=revision is None)
        record.fingerprint = source.fingerprint()
        counts.append({**vars(record), **({"revision": revision} if revision else {})})
    conditions = [condition if spec.condition is None else spec.condition for spec in specs]
    return StreamPlan(list(specs), schemas, conditions, revisions, seed, limits, counts)


def _rows(source: Source) -> Iterator[Any]:
    while rows := source.take(1):
        yield rows[0]


def read_state(checkpoint: Path) -> State:
    """Read the place of a stream in a checkpoint. Raises UserError if the checkpoint has none."""
    try:
        state: State = json.loads((checkpoint / STREAM_STATE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{checkpoint} holds no {STREAM_STATE}, so its run did not stream its rows: resume it without streaming."
        ) from None
    return state


# Windows and batches --------------------------------------------------------------------------------------------------


@dataclass
class _Window:
    """Rows of consecutive documents.

    Args:
        start: the cursor of the first chunk, the documents of that chunk before the window, the window's number, and the counts of
            all rows before that chunk.
        rows: rows as `tokenize` or `pack` return them.
        ends: whether the pass ends behind the window.
    """

    start: State
    rows: list[dict[str, Any]]
    ends: bool


class DocumentStream:
    """Batches of a stream, with the state behind each of them.

    Args:
        plan: what is streamed, with its tokenizer.
        batch_size: rows of a batch of one process.
        packing: whether rows are packed.
        shard_rows: consecutive documents that are packed together.
        shuffle_buffer: consecutive documents that are shuffled together; 0 for the order of the files.
        drop_last: whether the rows at the end of a pass that fill no batch are left out.
        seed: seed of the shuffling.
        workers: settings of the DataLoader that tokenizes, `num_workers` and others.
        processes: number of processes.
        process: number of this process.
        gather: function that exchanges lists between the processes.
        on_bad: called with the rows of a chunk that cannot be used.
    """

    def __init__(
        self,
        plan: StreamPlan,
        batch_size: int,
        *,
        packing: bool = False,
        shard_rows: int = 0,
        shuffle_buffer: int = 0,
        drop_last: bool = False,
        seed: int = 0,
        workers: Mapping[str, Any] | None = None,
        processes: int = 1,
        process: int = 0,
        gather: Gather | None = None,
        on_bad: Callable[[list[BadRow]], None] | None = None,
    ):
        self.plan, self.batch_size = plan, batch_size
        self._packing, self._shard_rows, self._shuffles = packing, shard_rows, shuffle_buffer > 0
        size = shuffle_buffer or (shard_rows if packing else UNPACKED_WINDOW)
        self._window_rows = -(-size // shard_rows) * shard_rows if packing else size
        self._drop_last, self._seed, self._workers = drop_last, seed, dict(workers or {})
        self._processes, self._process, self._gather = processes, process, gather
        self._on_bad = on_bad
        self._start: State = {"batches": 0}
        self.counts: list[Counts] = [{} for _ in plan.specs]
        self._states: dict[int, State] = {}

    # State ------------------------------------------------------------------------------------------------------------

    @property
    def batches_before(self) -> int:
        """Number of batches before the place where reading begins."""
        return int(self._start["batches"])

    def load_state(self, state: State) -> None:
        """Begin reading where a checkpoint was saved."""
        self._start = state

    def state(self, batches: int) -> State:
        """Return the state behind so many batches, one of the last that were yielded, for `load_state`."""
        state = self._states.get(batches, self._start)
        assert state["batches"] == batches
        return {**state, "revisions": self.plan.revisions, "weights": [spec.weight for spec in self.plan.specs]}

    def _remember(self, state: State) -> None:
        self._states[state["batches"]] = state
        for old in [batches for batches in self._states if batches < state["batches"] - KEPT_STATES]:
            del self._states[old]

    # Rows -------------------------------------------------------------------------------------------------------------

    def batches(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows of each batch of this process, without end.

        Raises:
            UserError: for more unusable rows than allowed, or if no row of a pass can be used; the same on all processes.
        """
        size, start = self.batch_size * self._processes, self.batch_size * self._process
        number, used = self.batches_before, self._start.get("rows", 0)
        pending: list[dict[str, Any]] = []
        for window in self._windows(self._start, self._gathered_chunks):
            for row in islice(window.rows, used, None):
                pending.append(row)
                used += 1
                if len(pending) == size:
                    number += 1
                    self._remember({**window.start, "rows": used, "batches": number})
                    yield pending[start : start + self.batch_size]
                    pending = []
            if window.ends and pending and not self._drop_last:
                number += 1
                self._remember({**window.start, "rows": len(window.rows), "batches": number})
                if self._processes > 1:  # as accelerate fills up the last batches of an epoch
                    first = self.first_rows(size, window.start["cursor"]["pass"])
                    pending += islice(cycle(first), size - len(pending))
                yield pending[start : start + self.batch_size]
            pending = [] if window.ends else pending
            used = 0

    def first_rows(self, count: int, of_pass: int = 0) -> list[dict[str, Any]]:
        """Read the first rows of a pass, in this process alone and without counting them."""
        mixture = Mixture(self.plan, None).cursor()
        chunks = (chunk for chunk in Chunks(self.plan, {**mixture, "pass": of_pass}))
        rows: list[dict[str, Any]] = []
        for window in self._windows({}, lambda _: map(_raise_error, chunks)):
            rows += window.rows
            if len(rows) >= count or window.ends:
                break
        return rows[:count]

    def _windows(self, state: State, chunks: Callable[[State], Iterator[Chunk]]) -> Iterator[_Window]:
        skip, number = state.get("skip", 0), state.get("window", 0)
        documents: list[tuple[numpy.ndarray, int]] = []
        start: State = {}
        is_empty = not skip and not number
        for chunk in chunks(state):
            before = chunk.before
            for index, document in enumerate(islice(chunk.documents, skip, None), start=skip):
                if not documents:
                    start = {"cursor": chunk.cursor, "skip": index, "window": number, "counts": before}
                documents.append(document)
                if len(documents) == self._window_rows:
                    yield _Window(start, self._to_rows(documents, start), ends=False)
                    documents, number, is_empty = [], number + 1, False
            skip = 0
            if chunk.ends:
                if is_empty and not documents:
                    raise UserError(
                        "no example is left to train on: no row of the data sets can be used. Check the rows."
                    )
                if not documents:
                    start = {"cursor": chunk.cursor, "skip": len(chunk.documents), "window": number, "counts": before}
                yield _Window(start, self._to_rows(documents, start), ends=True)
                documents, number, is_empty = [], 0, True

    def _to_rows(self, documents: list[tuple[numpy.ndarray, int]], start: State) -> list[dict[str, Any]]:
        """Shuffle and pack the documents of a window: the rows as `tokenize` or `pack` return them."""
        draw = random.Random(f"{self._seed} {start['cursor']['pass']} {start['window']}")
        if self._shuffles:
            draw.shuffle(documents)
        if not self._packing:
            return [{"input_ids": ids.tolist(), "prefix_length": prefix} for ids, prefix in documents]
        packed = pack_in_shards([len(ids) for ids, _ in documents], self.plan.max_length, self._shard_rows)
        if self._shuffles:
            draw.shuffle(packed)  # best fit begins with the longest documents
        return [
            {
                "documents": [documents[index][0].tolist() for index in row],
                "prefix_lengths": [documents[index][1] for index in row],
            }
            for row in packed
        ]

    def _gathered_chunks(self, state: State) -> Iterator[Chunk]:
        """Yield the chunks that all processes have read, in order, and count their rows."""
        self.counts = state.get("counts", self.counts)
        readers = 1 if self.plan.is_remote else self._processes
        own: Iterator[Chunk] = iter(())
        if self._process < readers:
            own = self._load_chunks(state.get("cursor"), readers)
        while True:
            chunks = [next(own)] if self._process < readers else []
            for chunk in chunks if self._gather is None else self._gather(chunks):
                yield self._count(_raise_error(chunk))

    def _load_chunks(self, cursor: State | None, readers: int) -> Iterator[Chunk]:
        import torch

        workers = dict(self._workers)
        if self.plan.is_remote and workers.get("num_workers"):
            workers["num_workers"] = 1
        # A generator of its own leaves that of the run alone, whose draws are those of a run without streaming.
        chunks, own = Chunks(self.plan, cursor, self._process, readers), torch.Generator()
        return iter(DataLoader(chunks, batch_size=None, collate_fn=_itself, generator=own, **workers))

    def _count(self, chunk: Chunk) -> Chunk:
        chunk.before = self.counts
        if any(chunk.counts):
            counts = json.loads(json.dumps(self.counts))
            for total, part in zip(counts, chunk.counts, strict=True):
                merge(total, part)
            self.counts = counts
            if chunk.bad and self._on_bad is not None:
                self._on_bad(chunk.bad)
        self.plan.limits.check(
            self.counts, is_all=chunk.ends and not chunk.cursor["pass"], max_length=self.plan.max_length
        )
        return chunk


KEPT_STATES = 4096  # batches; a checkpoint is at most two optimizer steps behind the batches that were read


def _itself(item: Any) -> Any:
    return item


def _raise_error(chunk: Chunk) -> Chunk:
    if chunk.error is not None:
        raise UserError(chunk.error)
    return chunk
