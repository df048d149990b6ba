"""Rows prepared on disk are the rows in memory: ids, order, counts and errors; and no half entry of the cache is ever used."""

import json
import os
import random
import time
from bisect import bisect_left, insort
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from hrm_align.data import cache, dataset, tokenize
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.encode import DocumentEncoder, splits_at_spaces
from hrm_align.data.examples import RunData
from hrm_align.data.packing import best_fit
from hrm_align.data.splits import count_overlap, drawn, split_by_content
from hrm_align.data.table import Examples
from hrm_align.data.tokenize import tokenized
from hrm_align.errors import UserError
from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import Renderer, get_renderer
from tests.command_line import run
from tests.trainers.recipe_runs import sft

CALL = {"name": "add", "arguments": {"a": 1, "b": [None, 2.5, "<|im_end|>"]}}
CONVERSATION = [
    {"role": "system", "content": "Be <|im_start|> brief."},
    {"role": "user", "content": "1 + 2,  it's\n\n 30 <|box_end|>\u00a0日本語 \U0001f600"},
    {"role": "assistant", "content": " don't ", "tool_calls": [{"function": CALL}]},
    {"role": "tool", "content": "3\t<tool_call>"},
    {"role": "assistant", "content": "three", "weight": 0},
    {"role": "user", "content": "and?"},
    {"role": "assistant", "content": "done\x1f \x85 ok"},
]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny")


def write(path, count, seed=0):
    rng = random.Random(seed)
    words = ["sun", "it's", "Moon,", "\n", "3", " ", "naïve", "x=1;", "<|im_end|>", "\t", "'s"]
    with path.open("w") as file:
        for number in range(count):
            text = " ".join(rng.choices(words, k=rng.randrange(1, 30)))
            row = {
                "prompt": f"{number % 50} {text}",
                "response": text[::-1] + " end",
                "condition": rng.choice(["cot", "direct"]),
            }
            if number % 7 == 0:
                row = {"messages": CONVERSATION, "group": f"g{number}"}
            file.write(json.dumps(row | {"grading": {"n": number}} if number % 3 else row) + "\n")
    return str(path)


def mixed_files(folder):
    pairs = [json.loads(line) for line in Path(write(folder / "all.jsonl", 400)).read_text().splitlines()]
    for name, key in (("pairs.jsonl", "prompt"), ("chats.jsonl", "messages")):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in pairs if key in row))
    return [
        DatasetSpec(str(folder / "pairs.jsonl"), fraction=1.5),
        DatasetSpec(str(folder / "chats.jsonl"), fraction=0.5),
        DatasetSpec(str(folder / "pairs.jsonl"), fraction=2, condition="synth"),
    ]


def prepare(specs, tokenizer, on_disk):
    examples, counts = load_examples(specs, seed=3, on_disk=on_disk)
    assert isinstance(examples, Examples) == on_disk
    train, held_out = split_by_content(examples, 0.2)
    replay = drawn(held_out, 0.3, len(train), 5)
    train = train + replay if on_disk else [*train, *replay]
    data = RunData(train, held_out, counts=counts.to_dict())
    return data, tokenized(data, SimpleNamespace(max_dropped_fraction=1.0), tokenizer, 60)


def test_rows_on_disk_are_those_in_memory_in_their_order(tmp_path, tokenizer, monkeypatch):
    specs = mixed_files(tmp_path)
    monkeypatch.setattr(tokenize, "CHUNK_ROWS", 50)  # so many chunks that processes encode them
    for _ in range(2):  # written, and then mapped
        stored, ids = prepare(specs, tokenizer, on_disk=True)
        plain, expected = prepare(specs, tokenizer, on_disk=False)
        assert [*stored.train] == plain.train and [*stored.held_out] == plain.held_out
        assert stored.train[-1] == plain.train[-1] and [*stored.train[3:9]] == plain.train[3:9]
        assert stored.counts == plain.counts
        for ours, theirs in zip(ids, expected, strict=True):
            assert ours.to_list() == theirs.to_list()
        assert count_overlap(stored.train, stored.held_out) == count_overlap(plain.train, plain.held_out) > 0


def test_the_ids_of_a_batch_are_those_of_one_document_after_another(tmp_path, tokenizer):
    render = get_renderer(tokenizer)
    examples, _ = load_examples(mixed_files(tmp_path))
    encoder = DocumentEncoder(render)
    for _ in range(2):  # the second time from remembered words
        batch = encoder.encode(examples).to_pylist()
        for row, example in zip(batch, examples, strict=True):
            document = render.document(example.messages, example.answer, example.condition)
            assert (row["input_ids"], row["prefix_length"]) == (document.input_ids, document.prefix_length)


def test_a_tokenizer_that_may_join_words_is_not_cut_at_spaces(tokenizer):
    state = json.loads(get_renderer(tokenizer).encoder.to_str())
    byte_level = state["pre_tokenizer"]["pretokenizers"][1]
    for change in (
        {"pre_tokenizer": None},
        {"pre_tokenizer": byte_level | {"use_regex": False}},
        {"pre_tokenizer": byte_level | {"add_prefix_space": True}},
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}},
        {"normalizer": {"type": "NFKC"}},
    ):
        assert not splits_at_spaces(Tokenizer.from_str(json.dumps(state | change)))
    assert splits_at_spaces(Tokenizer.from_str(json.dumps(state)))


def test_ids_of_a_large_vocabulary_are_four_bytes(tokenizer, tmp_path):
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["model"]["vocab"] |= {f"unused {n}": n for n in range(512, 66_000)}
    backend = Tokenizer.from_str(json.dumps(state))
    backend.add_tokens(["<far>"])
    large = PreTrainedTokenizerFast(tokenizer_object=backend)
    for given, size in ((tokenizer, 16), (large, 32)):
        render = Renderer(given)
        assert str(DocumentEncoder(render).schema.field("input_ids").type.value_type) == f"uint{size}"
    examples, _ = load_examples([DatasetSpec(write(tmp_path / "a.jsonl", 5), format="messages")], max_bad_fraction=1)
    assert (
        DocumentEncoder(Renderer(large)).encode(examples).to_pylist()
        == DocumentEncoder(Renderer(tokenizer)).encode(examples).to_pylist()
    )


def test_what_is_unchanged_is_not_read_again(tmp_path, tokenizer, monkeypatch):
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"prompt": f"copy {n}", "response": "sun"}) + "\n" for n in range(20)]
    path.write_text("".join(lines))
    reads = []
    monkeypatch.setattr(dataset, "read_rows", lambda *a, read=dataset.read_rows, **k: reads.append(a) or read(*a, **k))
    data = RunData(load_examples([DatasetSpec(str(path))], on_disk=True)[0], [])
    settings = SimpleNamespace(max_dropped_fraction=1.0)
    tokenized(data, settings, tokenizer, 60)
    with monkeypatch.context() as context:
        context.setattr(DocumentEncoder, "encode", None)
        again = RunData(load_examples([DatasetSpec(str(path), fraction=1)], seed=9, on_disk=True)[0], [])
        assert len(tokenized(again, settings, tokenizer, 30)[0]) == 20
    assert len(reads) == 1
    load_examples([DatasetSpec(str(path))], default_condition="cot", on_disk=True)
    assert len(reads) == 2
    path.write_text("".join(lines[:-1]) + lines[-1].replace("sun", "sum"))
    assert load_examples([DatasetSpec(str(path))], on_disk=True)[0][-1].answer.content == "sum"
    assert len(reads) == 3


def test_another_half_of_the_rows_has_its_own_ids(tmp_path, tokenizer):
    spec, settings = (
        DatasetSpec(write(tmp_path / "rows.jsonl", 90), format="messages", fraction=0.5),
        SimpleNamespace(max_dropped_fraction=1.0),
    )
    for seed in (1, 2):
        both = [load_examples([spec], seed=seed, max_bad_fraction=1, on_disk=on_disk)[0] for on_disk in (True, False)]
        ours, theirs = (tokenized(RunData(examples, []), settings, tokenizer, 600)[0] for examples in both)
        assert ours.to_list() == theirs.to_list()


def test_a_conversation_is_held_out_by_its_first_message_after_the_system_message(tmp_path):
    spec = DatasetSpec(write(tmp_path / "rows.jsonl", 1), format="messages")
    examples, _ = load_examples([spec], on_disk=True)
    digest = sha256(CONVERSATION[1]["content"].encode()).digest()
    assert examples.column("split").tolist() == [int.from_bytes(digest[:8], "big")] * 2


def test_bad_rows_are_named_again_from_the_cache(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "response": "b"}\n{"prompt": "a"}\n{broken\n')
    errors = []
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            load_examples([DatasetSpec(str(path))], max_bad_fraction=0, quarantine=tmp_path / "bad.jsonl", on_disk=True)
        errors.append((str(caught.value), (tmp_path / "bad.jsonl").read_text()))
    assert errors[0] == errors[1] and f"{path}:3" in errors[0][0]
    assert len(cache.entries()) == 1


def test_rows_that_json_cannot_hold_stay_in_memory(tmp_path):
    import datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {"prompt": ["a"], "response": ["b"], "grading": [{"day": datetime.date(2026, 1, 2)}]}
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    examples, _ = load_examples([DatasetSpec(str(tmp_path / "rows.parquet"))], on_disk=True)
    assert examples[0].grading == {"day": datetime.date(2026, 1, 2)}
    assert not cache.entries()


@pytest.mark.parametrize("most", [1, 2])
def test_dataset_num_proc_is_the_number_of_processes(tmp_path, monkeypatch, most):
    path, encode, seen = write(tmp_path / "rows.jsonl", 200), DocumentEncoder.encode, tmp_path / "seen"

    def encoded(*arguments):
        with seen.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.02)
        return encode(*arguments)

    monkeypatch.setattr(tokenize, "CHUNK_ROWS", 3)
    monkeypatch.setattr("hrm_align.data.forks.cores", lambda: 3)
    monkeypatch.setattr(DocumentEncoder, "encode", encoded)
    sft(tmp_path / "run", path, "--max_steps", "1", "--dataset_num_proc", str(most), "--max_bad_fraction", "1")
    processes = set(seen.read_text().split())
    assert len(processes) == most and (str(os.getpid()) in processes) == (most == 1)


def test_the_cache_is_listed_and_cleared(tmp_path, capsys):
    load_examples([DatasetSpec(write(tmp_path / "a.jsonl", 20), format="messages")], max_bad_fraction=1, on_disk=True)
    code, out, _ = run(capsys, "cache", "list")
    (entry,) = cache.entries()
    assert code == 0 and f"{entry.folder.name} " in out and out.rstrip().endswith("a.jsonl")
    assert run(capsys, "cache", "clear", "--unused_days", "1")[1].startswith("removed 0")
    assert run(capsys, "cache", "clear", "nothing")[0] == 2
    code, out, _ = run(capsys, "cache", "clear", "--json")
    assert code == 0 and json.loads(out)["removed"] == [entry.folder.name] and not cache.entries()


def best_fit_by_search(lengths, capacity):
    rows, space = [], []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        at = bisect_left(space, (lengths[index], -1))
        if at == len(space):
            rows.append([])
            free, row = capacity, len(rows) - 1
        else:
            free, row = space.pop(at)
        rows[row].append(index)
        insort(space, (free - lengths[index], row))
    return rows


@pytest.mark.parametrize("capacity", [7, 100, 1024])
def test_packing_places_documents_as_a_search_through_all_rows(capacity):
    rng = random.Random(capacity)
    lengths = [min(capacity, 1 + int(rng.lognormvariate(3, 1.2))) for _ in range(2000)]
    assert best_fit(lengths, capacity) == best_fit_by_search(lengths, capacity)


def test_rows_are_kept_in_memory_where_no_cache_can_be_written(tmp_path, monkeypatch):
    path, blocked, said = tmp_path / "rows.jsonl", tmp_path / "file", []
    monkeypatch.setattr(cache, "say", said.append)
    path.write_text('{"prompt": "a", "response": "b"}')
    blocked.write_text("")
    monkeypatch.setenv("HRM_ALIGN_CACHE", str(blocked))
    examples, _ = load_examples([DatasetSpec(str(path))], on_disk=True)
    assert [example.answer.content for example in examples] == ["b"] and isinstance(examples, list)
    assert "rows are kept in memory, because" in said[0] and "HRM_ALIGN_CACHE" in said[0]


def test_columns_that_carry_meaning_are_refused_at_every_start(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "response": "b", "label": false}')
    for _ in range(2):  # the second start reads the table that the first has written
        with pytest.raises(UserError, match=r"`label` \(.*rows.jsonl:1, 1 row\)(.|\n)*--ignore_columns label"):
            load_examples([DatasetSpec(str(path))], on_disk=True)
