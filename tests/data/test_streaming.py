"""Streamed rows are the rows of map-style data, in the same batches, from any place on, in any number of processes and workers."""

import csv
import json
import random
import threading
from itertools import islice
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler, SequentialSampler

from hrm_align.data import readers, stream_sources
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.packing import pack
from hrm_align.data.stream_counts import Limits
from hrm_align.data.streaming import DocumentStream, open_stream
from hrm_align.data.tokenize import tokenize
from hrm_align.errors import UserError
from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import get_renderer

LENGTH = 64
LOOSE = Limits(max_bad_fraction=0.2, max_dropped_fraction=0.3)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny")


def made_rows(number, seed=0):
    rng = random.Random(seed)
    words = ["red", "blue", "oak"]
    lengths = [200 if n % 17 == 5 else rng.choice([1, 2, 5, 9, 20]) for n in range(number)]  # 200 words are too long
    return [{"prompt": f"say {seed} {n}", "response": " ".join(rng.choices(words, k=k))} for n, k in enumerate(lengths)]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """151 rows with blank lines, and two that are no rows."""
    lines = [json.dumps(row) for row in made_rows(149)]
    lines[30:30], lines[100:100] = ["", "{broken", "  "], ['{"prompt": "no answer"}']
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def streamed(tokenizer, specs, batch_size=4, limits=LOOSE, resumed=None, **settings):
    if not isinstance(specs, list):
        specs = [DatasetSpec(str(specs))]
    plan = open_stream(specs, "direct", 0, limits, resumed)
    plan.tokenizer, plan.max_length = tokenizer, LENGTH
    return DocumentStream(plan, batch_size, **settings)


def map_style(tokenizer, specs, passes=1, batch_size=4, processes=1, process=0, drop_last=False, shard_rows=None):
    """The batches of map-style data in file order, as accelerate deals them out."""
    if not isinstance(specs, list):
        specs = [DatasetSpec(str(specs))]
    examples, _ = load_examples(specs, default_condition="direct", max_bad_fraction=1.0)
    rows, _ = tokenize(examples, get_renderer(tokenizer), LENGTH)
    rows = pack(rows, LENGTH, shard_rows) if shard_rows else rows
    columns = ("documents", "prefix_lengths") if shard_rows else ("input_ids", "prefix_length")
    batches = BatchSampler(SequentialSampler(range(len(rows))), batch_size, drop_last)
    shard = BatchSamplerShard(batches, processes, process) if processes > 1 else batches
    return [[{name: rows[i][name] for name in columns} for i in batch] for _ in range(passes) for batch in shard]


def together(streams, count):
    """The first batches of each process: threads that meet where processes would exchange their chunks."""
    meet, parts, results, errors = threading.Barrier(len(streams)), {}, {}, []

    def gather_of(process):
        def gather(items):
            parts[process] = items
            meet.wait(30)
            gathered = [item for number in sorted(parts) for item in parts[number]]
            meet.wait(30)
            return gathered

        return gather

    def run(process, stream):
        try:
            stream._gather = gather_of(process)
            results[process] = list(islice(stream.batches(), count))
        except Exception as error:
            errors.append(error)
            meet.abort()

    threads = [threading.Thread(target=run, args=item) for item in enumerate(streams)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    if errors:
        raise errors[0]
    return [results[process] for process in range(len(streams))]


@pytest.mark.parametrize("settings", [{}, {"drop_last": True}, {"packing": True, "shard_rows": 10}], ids=str)
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_map_style_data_over_two_passes(tokenizer, file, settings, workers):
    known = {key: value for key, value in settings.items() if key != "packing"}
    expected = map_style(tokenizer, file, passes=2, **known)
    stream = streamed(tokenizer, file, workers={"num_workers": workers}, **settings)
    assert list(islice(stream.batches(), len(expected))) == expected


@pytest.mark.parametrize("settings", [{}, {"drop_last": True}, {"packing": True, "shard_rows": 10}], ids=str)
def test_processes_share_the_batches_as_accelerate_deals_them_out(tokenizer, file, settings):
    known = {key: value for key, value in settings.items() if key != "packing"}
    expected = [map_style(tokenizer, file, 2, processes=3, process=number, **known) for number in range(3)]
    streams = [streamed(tokenizer, file, processes=3, process=number, **settings) for number in range(3)]
    assert together(streams, len(expected[0])) == expected


PACKED = {"packing": True, "shard_rows": 10}  # small windows, so that a resumed stream begins inside the data
SHUFFLED = {"shuffle_buffer": 35, "packing": True, "shard_rows": 10}


@pytest.mark.parametrize("settings", [{}, SHUFFLED], ids=["plain", "shuffled and packed"])
def test_every_state_leads_to_the_same_batches(tokenizer, file, settings):
    whole = streamed(tokenizer, file, **settings)
    batches, states = [], [whole.state(0)]
    for batch in islice(whole.batches(), 45 if not settings else 25):  # into the second pass
        batches.append(batch)
        states.append(json.loads(json.dumps(whole.state(len(batches)))))
    for number in range(0, len(batches), 3):
        resumed = streamed(tokenizer, file, **settings)
        resumed.load_state(states[number])
        assert list(islice(resumed.batches(), len(batches) - number)) == batches[number:], f"behind {number} batches"
        assert resumed.counts == whole.counts, "rows are counted once"


def test_a_shuffled_pass_has_all_documents_in_an_order_of_its_own(tokenizer, file):
    rows = [row for batch in map_style(tokenizer, file) for row in batch]
    stream = streamed(tokenizer, file, batch_size=len(rows), shuffle_buffer=50)
    first, second = islice(stream.batches(), 2)
    in_file = [row["input_ids"] for row in rows]
    passes = [[row["input_ids"] for row in batch] for batch in (first, second)]
    assert passes[0] != in_file and passes[1] not in (in_file, passes[0])
    assert all(sorted(ids) == sorted(in_file) for ids in passes)
    assert sorted(passes[0][:50]) == sorted(in_file[:50]), "no document leaves its window"


def test_a_resumed_stream_parses_no_row_before_its_window(tokenizer, tmp_path, monkeypatch):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in made_rows(2000)))
    whole = streamed(tokenizer, path)
    batches = list(islice(whole.batches(), 440))
    resumed = streamed(tokenizer, path)
    resumed.load_state(whole.state(430))
    sources, parse = [], readers.parse_object
    monkeypatch.setattr(readers, "parse_object", lambda line: sources.append(line) or parse(line))
    monkeypatch.setattr(readers.JsonLines, "skip", None)  # nor passes over one
    assert list(islice(resumed.batches(), 10)) == batches[430:]
    assert len(sources) <= 256 + 2 * 64


def test_files_of_all_formats_are_streamed_and_resumed(tokenizer, tmp_path):
    rows = made_rows(90)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:30]))
    with open(tmp_path / "b.csv", "w", newline="") as table:
        writer = csv.DictWriter(table, ["prompt", "response"])
        writer.writeheader()
        writer.writerows(rows[30:60])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows[60:]), tmp_path / "c.parquet")
    specs = [DatasetSpec(str(tmp_path))]
    expected = map_style(tokenizer, specs, shard_rows=10)
    whole = streamed(tokenizer, specs, **PACKED)
    assert list(islice(whole.batches(), len(expected))) == expected
    for number in range(1, len(expected), 2):
        resumed = streamed(tokenizer, specs, **PACKED)
        resumed.load_state(whole.state(number))
        assert list(islice(resumed.batches(), len(expected) - number)) == expected[number:]


# Mixtures -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def weighted(tmp_path):
    """A data set of 300 rows, and one of 10 that is drawn from three times as often."""
    for name, number in (("many", 300), ("few", 10)):
        rows = [{"prompt": f"{name} {n}", "response": "yes"} for n in range(number)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [DatasetSpec(str(tmp_path / "many.jsonl"), weight=1), DatasetSpec(str(tmp_path / "few.jsonl"), weight=3)]


def test_a_mixture_has_its_weights_and_each_data_set_its_order(tokenizer, weighted):
    stream = streamed(tokenizer, weighted, batch_size=400)
    batch = next(stream.batches())
    prompts = [tokenizer.decode(row["input_ids"][: row["prefix_length"]]) for row in batch]
    few = [text for text in prompts if "few" in text]
    many = [text for text in prompts if "many" in text]
    assert 0.69 < len(few) / 400 < 0.81 and few[:10] == few[10:20], "the small data set begins again at its end"
    assert len(set(many)) == len(many) and len(set(few)) == 10
    assert stream.counts[1]["rows_read"] == 10, "rows are counted once"
    assert [row for row in prompts[:50] if "many" in row], "the data sets are mixed from the beginning"


def test_a_mixture_is_resumed_and_shared_exactly(tokenizer, weighted, tmp_path):
    whole = streamed(tokenizer, weighted)
    batches = list(islice(whole.batches(), 120))
    for number in (1, 50, 119):
        resumed = streamed(tokenizer, weighted)
        resumed.load_state(json.loads(json.dumps(whole.state(number))))
        assert list(islice(resumed.batches(), 120 - number)) == batches[number:]
    shared = together([streamed(tokenizer, weighted, processes=2, process=p) for p in range(2)], 60)
    assert shared == [batches[0::2], batches[1::2]]
    (tmp_path / "stream.json").write_text(json.dumps(whole.state(5)))
    other = [DatasetSpec(weighted[0].path, weight=1), DatasetSpec(weighted[1].path, weight=1)]
    with pytest.raises(UserError, match=r"weights \[1, 1\] here but \[1, 3\]"):
        streamed(tokenizer, other, resumed=tmp_path)


# What cannot be used --------------------------------------------------------------------------------------------------


def written(path: Path, *rows) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_bad_rows_stop_the_stream_where_they_are_more_than_allowed(tokenizer, tmp_path):
    good = made_rows(5)
    one = written(tmp_path / "one.jsonl", *good, "{broken", *good)
    with pytest.raises(
        UserError, match=r"1 of the 11 rows .*\n  .*one.jsonl:6: invalid JSON.*\nFix the rows, or allow a share"
    ):
        list(islice(streamed(tokenizer, one, limits=Limits()).batches(), 1))
    many = written(tmp_path / "many.jsonl", *(good * 90), *["{broken"] * 50)
    stream = streamed(tokenizer, many, limits=Limits(max_bad_fraction=0.07))
    with pytest.raises(
        UserError, match="50 of the 500 rows"
    ):  # 50 of 1000 would be allowed until the end shows the share
        list(islice(stream.batches(), 200))


def test_dropped_rows_and_empty_data_stop_the_stream(tokenizer, tmp_path):
    long = {"prompt": "say", "response": "red " * 100}
    path = written(tmp_path / "rows.jsonl", *made_rows(4), long)
    with pytest.raises(
        UserError, match=r"1 of the 5 examples .* 1 too_long \(.*rows.jsonl:5\).* raise --max_length \(now 64\)"
    ):
        list(islice(streamed(tokenizer, path, limits=Limits()).batches(), 2))
    path = written(tmp_path / "long.jsonl", long)
    with pytest.raises(UserError, match="no example is left"):
        next(streamed(tokenizer, path, limits=Limits(max_dropped_fraction=1.0)).batches())


def test_all_processes_raise_the_error_of_one(tokenizer, tmp_path):
    gone = tmp_path / "b.parquet"
    written(tmp_path / "a.jsonl", *made_rows(100))
    gone.write_bytes(b"no parquet")
    streams = [streamed(tokenizer, tmp_path, processes=2, process=number) for number in range(2)]
    with pytest.raises(UserError, match=r"b.parquet cannot be read"):
        together(streams, 50)


def test_a_json_list_is_refused(tokenizer, tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps(made_rows(3)))
    with pytest.raises(UserError, match=r"one JSON list.* Save it as .jsonl"):
        streamed(tokenizer, tmp_path / "rows.json")


# The Hub --------------------------------------------------------------------------------------------------------------


class Hub:
    """A Hub with a data set of three files, which fails where a test makes it fail."""

    def __init__(self, monkeypatch, rows):
        self.rows, self.asked, self.fails_at, self.head = rows, [], [], "commit-1"
        monkeypatch.setattr(datasets, "load_dataset", self.load)
        monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", self.info)
        monkeypatch.setattr(stream_sources, "FIRST_DELAY", 0.0)

    def info(self, path, *, revision=None, **_):
        return type("Info", (), {"sha": revision or self.head})

    def load(self, path, name, **options):
        self.asked.append((path, name, options))
        return datasets.IterableDataset.from_generator(self.generate, gen_kwargs={"parts": [0, 1, 2]})

    def generate(self, parts):
        for part in parts:
            for number in range(part, len(self.rows), 3):
                if self.fails_at and number == self.fails_at[0]:
                    self.fails_at.pop(0)
                    raise ConnectionError("reset by peer")
                yield self.rows[number]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Hub(monkeypatch, made_rows(120))


HUB = [DatasetSpec("owner/name", name="main", split="test", revision="v1")]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_hub_data_set_is_streamed_resumed_and_pinned(tokenizer, hub, workers, tmp_path):
    settings = {"workers": {"num_workers": workers}, **PACKED}
    in_order = [row for part in range(3) for row in hub.rows[part::3]]
    expected = map_style(tokenizer, written(tmp_path / "rows.jsonl", *in_order), shard_rows=10)
    whole = streamed(tokenizer, HUB, **settings)
    assert list(islice(whole.batches(), len(expected))) == expected
    assert whole.plan.counts[0]["revision"] == "v1" and not whole.plan.counts[0]["local"]
    assert hub.asked[0] == (
        "owner/name",
        "main",
        {"split": "test", "data_files": None, "revision": "v1", "streaming": True},
    )
    for number in range(1, len(expected), 4):
        resumed = streamed(tokenizer, HUB, **settings)
        resumed.load_state(json.loads(json.dumps(whole.state(number))))
        assert list(islice(resumed.batches(), len(expected) - number)) == expected[number:]


def test_a_resumed_stream_reads_the_commit_of_its_run(tokenizer, hub, tmp_path):
    specs = [DatasetSpec("owner/name")]
    stream = streamed(tokenizer, specs)
    next(stream.batches())
    (tmp_path / "stream.json").write_text(json.dumps(stream.state(1)))
    hub.head = "commit-2"
    assert streamed(tokenizer, specs, resumed=tmp_path).plan.revisions == ["commit-1"]
    assert hub.asked[-1][2]["revision"] == "commit-1"
    assert streamed(tokenizer, specs).plan.counts[0]["fingerprint"] != stream.plan.counts[0]["fingerprint"]


def test_a_broken_connection_is_opened_again_at_the_same_row(tokenizer, hub):
    stream = streamed(tokenizer, HUB)
    expected = list(islice(stream.batches(), 27))
    hub.fails_at = [0, 30, 31, 31, 31, 31, 31]  # the first row, and one that fails five times
    assert list(islice(streamed(tokenizer, HUB).batches(), 27)) == expected and not hub.fails_at
    hub.fails_at = [30] * 10
    with pytest.raises(UserError, match=r"owner/name, and .* cannot be streamed \(reset by peer\)"):
        list(islice(streamed(tokenizer, HUB).batches(), 27))


def test_only_one_process_reads_from_the_hub(tokenizer, hub):
    whole = list(islice(streamed(tokenizer, HUB).batches(), 20))
    streams = [streamed(tokenizer, HUB, processes=2, process=number) for number in range(2)]
    hub.asked.clear()
    assert together(streams, 10) == [whole[0::2], whole[1::2]] and len(hub.asked) == 1


def test_a_gated_data_set_gets_its_sentence(tokenizer, hub, monkeypatch):
    def refuse(*args, **options):
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'owner/name' is a gated dataset on the Hub. Visit ...")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(
        UserError, match=r"owner/name is gated: accept its terms on https://huggingface.co/datasets/owner/name"
    ):
        streamed(tokenizer, HUB)
