"""Streaming SFT through the recipe: the losses of map-style data, exact resume, and the settings that need all rows."""

import json
import random
import shutil

import pytest
import torch

from hrm_align.errors import UserError
from hrm_align.trainers.sft_config import parse_sft
from tests.trainers.recipe_runs import arguments, sft, write_rows
from tests.trainers.resume.conftest import _one_thread  # noqa: F401  (sums of another number of threads end in other bits)
from tests.trainers.resume.runs import STABILISED, assert_same, curve, forked, is_told_to_stop, resumed_step, tensors

STREAM = ("--streaming", "true")
IN_ORDER = ("--train_sampling_strategy", "sequential")
ACCUMULATED = (
    *STABILISED,
    "--per_device_train_batch_size",
    "2",
    "--gradient_accumulation_steps",
    "2",
    "--max_length",
    "64",
)
PACKED = ("--packing", "true", "--packing_shard_rows", "16")
LOOSE = ("--max_bad_fraction", "0.1", "--max_dropped_fraction", "0.1")
WORKERS = ("--dataloader_num_workers", "2", "--dataloader_multiprocessing_context", "fork")


def some_rows(number: int) -> list[dict]:
    rng = random.Random(0)
    lengths = [100 if n % 40 == 7 else rng.choice([1, 2, 5, 12]) for n in range(number)]  # 100 words are too long
    return [
        {"prompt": f"say {n}", "response": " ".join(rng.choices(["red", "oak"], k=k))} for n, k in enumerate(lengths)
    ]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", some_rows(300))
    path.write_text(path.read_text().replace('"response": "oak"', '"response": null', 1))
    return path


def losses(out) -> list[float]:
    return [record["loss"] for record in curve(out).values()]


@pytest.mark.parametrize("flags", [(), PACKED], ids=["padded", "packed"])
def test_streamed_rows_give_the_losses_and_weights_of_map_style_data(rows, tmp_path, flags):
    flags = (*ACCUMULATED, *LOOSE, "--neftune_noise_alpha", "5", *flags)
    sft(tmp_path / "map", rows, *flags, *IN_ORDER)
    sft(tmp_path / "stream", rows, *flags, *STREAM)
    assert losses(tmp_path / "stream") == losses(tmp_path / "map") and len(losses(tmp_path / "map")) == 8
    ours, theirs = tensors(tmp_path / "stream"), tensors(tmp_path / "map")
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    for name in ("model.safetensors", "checkpoint-8/health.safetensors"):
        assert (tmp_path / "stream" / name).read_bytes() == (tmp_path / "map" / name).read_bytes()


def test_a_streamed_run_is_resumed_to_the_bit_and_counts_its_rows(rows, tmp_path):
    flags = (*ACCUMULATED, *LOOSE, *PACKED, *STREAM, "--shuffle_buffer", "40")
    sft(tmp_path / "whole", rows, *flags)
    for stop in (2, 6):
        checkpoint = str(tmp_path / f"whole/checkpoint-{stop}")
        sft(tmp_path / "run", rows, *flags, "--resume_from_checkpoint", checkpoint)
        assert_same(tmp_path / "run", tmp_path / "whole", after=stop)
        records = [json.loads((tmp_path / out / "run/data.json").read_text()) for out in ("run", "whole")]
        assert records[0] == records[1]
        shutil.rmtree(tmp_path / "run")
    train = records[0]["train"]
    assert train["streamed"] and train["kept"] > 0 and train["dropped"]["by_reason"]["too_long"] > 0
    assert train["rows_bad"] == 1 and train["datasets"][0]["first_bad"] == [
        f"{rows}:{bad_line(rows)}: `response` must be text: got null"
    ]
    bad = [json.loads(line) for line in (tmp_path / "whole/run/quarantine_train.jsonl").read_text().splitlines()]
    assert [row["source"] for row in bad] == [f"{rows}:{bad_line(rows)}"]
    assert (tmp_path / "whole/checkpoint-2/stream.json").is_file()


def bad_line(rows) -> int:
    return next(n for n, line in enumerate(rows.read_text().splitlines(), start=1) if "null" in line)


@pytest.mark.campaign
def test_two_processes_with_two_workers_are_stopped_and_resumed_to_the_bit(rows, tmp_path):
    log, flags = tmp_path / "log", (*ACCUMULATED, *LOOSE, *PACKED)
    assert forked(log, sft, tmp_path / "map", rows, *flags, *IN_ORDER, ranks=2) == [0, 0], log.read_text()[-3000:]
    flags += (*STREAM, *WORKERS, "--save_steps", "100")
    assert forked(log, is_told_to_stop, "1", 3, tmp_path / "run", rows, *flags, ranks=2) == [75, 75], log.read_text()[
        -3000:
    ]
    latest = ("--resume_from_checkpoint", "latest")
    assert forked(log, sft, tmp_path / "run", rows, *flags, *latest, ranks=2) == [0, 0], log.read_text()[-3000:]
    assert resumed_step(tmp_path / "run") == 4
    assert losses(tmp_path / "run") == losses(tmp_path / "map")
    ours, theirs = tensors(tmp_path / "run"), tensors(tmp_path / "map")
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.campaign
def test_bad_rows_end_a_run_with_their_place_in_all_processes(rows, tmp_path):
    log = tmp_path / "log"
    codes = forked(log, sft, tmp_path / "run", rows, *ACCUMULATED, *STREAM, *WORKERS, ranks=2)
    assert codes == [2, 2] and log.read_text().count(f"rows.jsonl:{bad_line(rows)}: `response` must be text") == 1, (
        log.read_text()
    )


@pytest.mark.campaign
@pytest.mark.numeric
@pytest.mark.parametrize("flags", [(), ("--packing", "true", "--packing_shard_rows", "1000")], ids=["padded", "packed"])
def test_20000_rows(tmp_path, flags):
    rows = write_rows(tmp_path / "rows.jsonl", some_rows(20_000))
    size = "64" if not flags else "16"
    flags = (*flags, "--max_length", "64", "--learning_rate", "1e-3", "--logging_steps", "1", "--save_strategy", "no", "--health", "false",
             "--per_device_train_batch_size", size, "--num_train_epochs", "1")  # fmt: skip
    sft(tmp_path / "map", rows, *flags, *IN_ORDER)
    steps = max(curve(tmp_path / "map"))
    sft(tmp_path / "stream", rows, *flags, *STREAM, *WORKERS, "--max_steps", str(steps))
    assert losses(tmp_path / "stream") == pytest.approx(losses(tmp_path / "map"), abs=1e-6)


# Settings that need all rows ------------------------------------------------------------------------------------------

REFUSED = {
    "no max_steps": (("--max_steps", "-1"), "streaming needs max_steps"),
    "a share held out": (("--eval_fraction", "0.1"), "eval_fraction holds out a share of all rows.* eval_datasets"),
    "replay": (("--replay_datasets", "{data}", "--replay_fraction", "0.1"), "replay_datasets is a share .* `weight`"),
    "a fraction": (
        ("--datasets", "{{path: {data}, fraction: 0.5}}"),
        "`fraction`, which is a share of all rows.* `weight`",
    ),
    "a weight missing": (("--datasets", "{{path: {data}, weight: 2}}", "{data}"), "`weight` for some data sets only"),
    "a weight of held-out rows": (("--eval_datasets", "{{path: {data}, weight: 2}}"), "eval_datasets has a `weight`"),
    "length grouping": (
        ("--train_sampling_strategy", "group_by_length"),
        "group_by_length, which needs all rows: use sequential",
    ),
    "epochs": (("--save_strategy", "epoch"), "save_strategy is epoch, and a stream has no epochs"),
    "skipping": (("--ignore_data_skip", "true"), "ignore_data_skip does not apply"),
    "dry run": (("--dry_run", "true"), "dry_run reads all rows"),
    "split batches": (("--accelerator_config", "{{split_batches: true}}"), "accelerator_config"),
}


@pytest.mark.parametrize("flags, message", REFUSED.values(), ids=REFUSED)
def test_what_streaming_cannot_do_is_refused_before_anything_is_read(rows, tmp_path, flags, message):
    steps = () if "--save_strategy" in flags else ("--save_steps", "2")
    words = arguments(
        tmp_path / "run", rows, "--max_steps", "8", *steps, *STREAM, *(flag.format(data=rows) for flag in flags)
    )
    with pytest.raises(UserError, match=message):
        parse_sft(words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--shuffle_buffer", "10"), "shuffle_buffer applies to streamed rows"),
        (("--datasets", "{{path: {data}, weight: 2}}"), "datasets has a `weight`"),
    ],
)
def test_settings_of_streaming_are_refused_without_it(rows, tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        parse_sft(arguments(tmp_path / "run", rows, *(flag.format(data=rows) for flag in flags)))


def test_a_checkpoint_without_a_place_is_not_resumed_as_a_stream(rows, tmp_path):
    sft(tmp_path / "map", rows, *ACCUMULATED, *LOOSE, *IN_ORDER)
    (tmp_path / "map/run/resolved.yaml").unlink()
    with pytest.raises(UserError, match=r"holds no stream.json, .* resume it without streaming"):
        sft(
            tmp_path / "run",
            rows,
            *ACCUMULATED,
            *LOOSE,
            *STREAM,
            "--resume_from_checkpoint",
            str(tmp_path / "map/checkpoint-4"),
        )


def test_streamed_rows_are_packed_in_shards_of_a_size_that_the_record_names(rows, tmp_path):
    recipe = parse_sft(arguments(tmp_path / "run", rows, *STREAM, "--max_steps", "2", "--packing", "true"))
    assert recipe.training.packing_shard_rows == 1000 and recipe.training.train_sampling_strategy == "sequential"
