"""Streaming in a trainer: the settings it allows, and a data loader whose place is part of each checkpoint.

accelerate's loaders of iterable data would read and tokenize every row in each process and worker and, on resume, every batch
trained on so far. `DocumentStream` shares the rows out itself, and begins where the checkpoint was saved.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate.data_loader import DataLoaderShard
from accelerate.utils import gather_object
from datasets import IterableDataset as HubIterable
from torch.utils.data import IterableDataset
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from hrm_align.config.checks import Setting
from hrm_align.config.rules import Fail
from hrm_align.data.readers import BadRow
from hrm_align.data.stream_chunks import StreamPlan
from hrm_align.data.stream_counts import to_record
from hrm_align.data.streaming import STREAM_STATE, DocumentStream, read_state
from hrm_align.files import replace_json
from hrm_align.trainers.launch import one_message

SHARD_ROWS = 1000  # documents that are packed together by default; best fit fills rows to 99 % with them


def check_streaming(recipe: Any, settings: Mapping[str, Setting], fail: Fail) -> None:
    """Refuse what needs all rows at once, and set what streaming replaces: the order of rows, and the shards of packing."""
    data, training = recipe.data, recipe.training
    if not training.streaming:
        if training.shuffle_buffer:
            fail(
                "shuffle_buffer",
                "applies to streamed rows: set streaming: true, or use train_sampling_strategy: random",
            )
        return
    if training.max_steps <= 0:
        fail("streaming", "needs max_steps, because the number of streamed rows is not known: set max_steps")
    if data.eval_fraction:
        fail("eval_fraction", "holds out a share of all rows, which streaming does not read before it trains: name held-out rows in "
             "eval_datasets, or leave streaming out")  # fmt: skip
    if data.replay_datasets:
        fail("replay_datasets", "is a share of all rows, whose number streaming does not know: name the data set in datasets, and "
             "give each a `weight`")  # fmt: skip
    _check_entries(data.datasets, fail)
    for key in ("save_strategy", "eval_strategy", "logging_strategy"):
        if getattr(training, key) in (IntervalStrategy.EPOCH, SaveStrategy.EPOCH):
            fail(key, "is epoch, and a stream has no epochs: use steps")
    if training.ignore_data_skip:
        fail("ignore_data_skip", "does not apply to streamed rows, which continue at their place at once: leave it out")
    if training.auto_find_batch_size:
        fail(
            "auto_find_batch_size",
            "restarts training with other batches, and a stream does not go back: use auto_batch",
        )
    if training.dry_run:
        fail(
            "dry_run",
            "reads all rows, which streaming does not: try the run with --max_steps 1, or leave streaming out",
        )
    accelerator = training.accelerator_config
    if accelerator.split_batches or accelerator.dispatch_batches:
        fail(
            "accelerator_config",
            "splits or dispatches batches, and streamed batches are made for each process: leave it out",
        )
    strategy = training.train_sampling_strategy
    if "train_sampling_strategy" in settings and strategy != "sequential":
        fail("train_sampling_strategy", f"is {strategy}, which needs all rows: use sequential, and set shuffle_buffer to shuffle "
             "that many consecutive documents at a time")  # fmt: skip
    training.train_sampling_strategy = "sequential"
    if training.packing and training.packing_shard_rows is None:
        training.packing_shard_rows = SHARD_ROWS


def _check_entries(entries: list[Any], fail: Fail) -> None:
    weights = ["weight" in entry for entry in entries]
    if any(weights) and not all(weights):
        fail(
            "datasets",
            "has a `weight` for some data sets only: give one to each, or to none to read them one after another",
        )
    if any(float(entry.get("fraction", 1)) != 1 for entry in entries):
        fail("datasets", "has a `fraction`, which is a share of all rows, and streaming does not know their number: give each data "
             "set a `weight`, or leave streaming out")  # fmt: skip


class _Batches(IterableDataset):
    """Collated batches of a run. The batches before a checkpoint are empty: Transformers skips them one by one."""

    def __init__(self, trainer: Any, stream: DocumentStream, total: int):
        self._trainer, self._stream, self._total = trainer, stream, total

    def __iter__(self) -> Iterator[Any]:
        before = self._stream.batches_before
        for _ in range(before):
            yield None
        batches = self._stream.batches()
        for _ in range(before, self._total):
            with one_message():
                rows = next(batches)
            yield self._trainer.data_collator(rows)


def _itself(item: Any) -> Any:
    return item


class Streaming:
    """Mixin of a trainer that may train on a stream; `self.stream` is None on map-style data."""

    stream: DocumentStream | None = None

    def _open_stream(self, plan: StreamPlan, args: Any) -> HubIterable:
        """Build the stream. Returns a data set of one row, which TRL looks at in its place."""
        self._quarantine = Path(str(args.output_dir)) / "run" / "quarantine_train.jsonl"
        workers = {"num_workers": args.dataloader_num_workers}
        if args.dataloader_num_workers:
            workers |= {
                "prefetch_factor": args.dataloader_prefetch_factor,
                "multiprocessing_context": args.dataloader_multiprocessing_context,
            }
        self.stream = DocumentStream(
            plan,
            args.train_batch_size,
            packing=args.packing,
            shard_rows=args.packing_shard_rows or 0,
            shuffle_buffer=args.shuffle_buffer,
            drop_last=args.dataloader_drop_last,
            seed=args.seed if args.data_seed is None else args.data_seed,
            workers=workers,
            processes=args.world_size,
            process=args.process_index,
            gather=gather_object if args.world_size > 1 else None,
            on_bad=self._write_bad_rows if args.process_index == 0 else None,
        )
        return HubIterable.from_generator(lambda: iter([{"input_ids": [0], "prefix_length": 0}]))

    def get_train_dataloader(self) -> Any:
        """Return the loader of the training batches, which of streamed rows reads only those of this process."""
        if self.stream is None:
            return super().get_train_dataloader()  # type: ignore[misc]
        args: Any = self.args  # type: ignore[attr-defined]
        total = args.max_steps * args.gradient_accumulation_steps
        return DataLoaderShard(
            _Batches(self, self.stream, total),
            device=self.accelerator.device,  # type: ignore[attr-defined]
            batch_size=None,
            collate_fn=_itself,
            pin_memory=args.dataloader_pin_memory,
        )

    def save_stream(self, folder: Path, step: int) -> None:
        """Write the place behind a step into a checkpoint."""
        if self.stream is not None:
            state = self.stream.state(step * self.args.gradient_accumulation_steps)  # type: ignore[attr-defined]
            replace_json(folder / STREAM_STATE, state)

    def load_stream(self, checkpoint: Path, step: int) -> None:
        """Continue at the place of a checkpoint. Raises UserError if it has none."""
        if self.stream is None:
            return
        state = read_state(checkpoint)
        # The split of a step into batches may have changed since.
        batches = step * self.args.gradient_accumulation_steps  # type: ignore[attr-defined]
        self.stream.load_state({**state, "batches": batches})
        if self._quarantine.is_file() and self.args.process_index == 0:  # type: ignore[attr-defined]
            bad = sum(part.get("rows_bad", 0) for part in state.get("counts", []))
            lines = self._quarantine.read_text(encoding="utf-8").splitlines(keepends=True)
            self._quarantine.write_text("".join(lines[:bad]), encoding="utf-8")

    def stream_record(self) -> dict[str, Any]:
        """Return the counts of the rows read so far, for run/data.json."""
        assert self.stream is not None
        return to_record(self.stream.counts, self.stream.plan.counts)

    def _write_bad_rows(self, bad: list[BadRow]) -> None:
        self._quarantine.parent.mkdir(parents=True, exist_ok=True)
        with self._quarantine.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in bad)
