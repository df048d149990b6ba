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
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import PreTrainedTokenizerFast

from hrm_align.data.damage import DamageReport
from hrm_align.data.dataset import DatasetSpec, choose_schema, read_examples
from hrm_align.data.examples import DatasetCounts
from hrm_align.data.packing import pack_in_shards
from hrm_align.data.readers import BadRow
from hrm_align.data.stream_counts import Counts, Limits, count_rows, merge
from hrm_align.data.stream_sources import Source, is_remote, open_source, pin_revision
from hrm_align.data.tokenize import Dropped, usable_document
from hrm_align.errors import UserError
from hrm_align.rendering import get_renderer

CHUNK_ROWS = 64
UNPACKED_WINDOW = 256  # documents that are neither shuffled nor packed: a resumed run tokenizes at most so many again
STREAM_STATE = "stream.json"

State = dict[str, Any]
Gather = Callable[[list[Any]], list[Any]]  # accelerate's `gather_object`: the items of all processes, in their order


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


def open_stream(
    specs: Sequence[DatasetSpec], condition: str, seed: int, limits: Limits, resumed: Path | None = None
) -> StreamPlan:
    """Open data sets for streaming, and choose their schemas from their first rows.

    Args:
        specs: the data sets.
        condition: condition for rows and data sets without one.
        seed: seed of the draws of a mixture.
        limits: shares of rows that may be unusable.
        resumed: checkpoint to resume from, whose commits of Hub data sets are used.

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
        remote = is_remote(spec)
        pinned = saved[number] if number < len(saved) else None
        revisions.append((pinned or pin_revision(spec)) if remote else None)
        source = open_source(spec, revisions[-1])
        schema, unused = choose_schema(spec, _rows(source))
        schemas.append(schema)
        record = DatasetCounts(spec.path, schema, unused_columns=unused, local=not remote)
        record.fingerprint = source.fingerprint()
        counts.append({**vars(record), **({"revision": revisions[-1]} if remote else {})})
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


# Chunks ---------------------------------------------------------------------------------------------------------------


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


class _Mixture:
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


class _Chunks(IterableDataset):
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
        try:
            mixture, number = _Mixture(self._plan, self._cursor), 0
            while True:
                if number % readers == own:
                    cursor = mixture.cursor()
                    yield _tokenize(self._plan, cursor, *mixture.take())
                else:
                    mixture.skip()
                number += 1
        except UserError as error:  # raised where the chunks of all processes meet
            while True:
                yield Chunk(cursor, error=str(error))


def _tokenize(plan: StreamPlan, cursor: State, rows: list[tuple[int, bool, Any]], ends: bool) -> Chunk:
    assert plan.tokenizer is not None
    renderer = get_renderer(plan.tokenizer)
    chunk = Chunk(cursor, counts=[{} for _ in plan.specs], ends=ends)
    for number, is_first_pass, row in rows:
        outcome = read_examples(row, plan.specs[number], plan.schemas[number], plan.conditions[number])
        damage, dropped, kept = DamageReport(), Dropped(), 0
        for example in outcome if isinstance(outcome, list) else ():
            document = usable_document(example, renderer, plan.max_length, dropped)
            if document is not None:
                chunk.documents.append((numpy.array(document.input_ids, dtype=numpy.int32), document.prefix_length))
                kept += 1
        if not is_first_pass:
            continue
        if isinstance(outcome, BadRow):
            chunk.bad.append(outcome)
        else:
            damage.add(outcome)
        merge(chunk.counts[number], count_rows(outcome, damage, dropped, kept))
    return chunk


def _itself(item: Any) -> Any:
    return item


# Windows and batches --------------------------------------------------------------------------------------------------


@dataclass
class _Window:
    start: State  # the cursor of its first chunk, documents of that chunk before it, its number, and the counts before it
    rows: list[dict[str, Any]]
    ends: bool  # whether the pass ends behind it


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
        state = self._states[batches] if batches in self._states else self._start
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
        mixture = _Mixture(self.plan, None).cursor()
        chunks = (chunk for chunk in _Chunks(self.plan, {**mixture, "pass": of_pass}))
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
                    raise UserError("no example is left to train on: no row of the data sets can be used. Check the rows.")
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
            found = [next(own)] if self._process < readers else []
            for chunk in found if self._gather is None else self._gather(found):
                yield self._count(_raise_error(chunk))

    def _load_chunks(self, cursor: State | None, readers: int) -> Iterator[Chunk]:
        import torch

        workers = dict(self._workers)
        if self.plan.is_remote and workers.get("num_workers"):
            workers["num_workers"] = 1
        # A generator of its own leaves that of the run alone, whose draws are those of a run without streaming.
        chunks, own = _Chunks(self.plan, cursor, self._process, readers), torch.Generator()
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
        self.plan.limits.check(self.counts, is_all=chunk.ends and not chunk.cursor["pass"], max_length=self.plan.max_length)
        return chunk


KEPT_STATES = 4096  # batches; a checkpoint is at most two optimizer steps behind the batches that were read


def _raise_error(chunk: Chunk) -> Chunk:
    if chunk.error is not None:
        raise UserError(chunk.error)
    return chunk
