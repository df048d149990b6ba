"""Kills, full disks and processes that meet: no half entry of the cache is ever used."""

import ctypes
import os
import random
import resource
import signal
import subprocess
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest

from hrm_align.data import cache, dataset, table, tokenize
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.encode import DocumentEncoder
from hrm_align.data.examples import RunData
from hrm_align.data.tokenize import tokenized
from hrm_align.errors import RunError, UserError
from hrm_align.models.loading import load_tokenizer
from tests.data.test_cache import write


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny")


def in_child(work):
    """Run a function in a forked process, which ends afterwards; return the process id."""
    child = os.fork()
    if not child:
        code = 1
        with suppress(BaseException):
            work()
            code = 0
        os._exit(code)
    return child


@pytest.mark.parametrize("moment", [0, 130, 399, "flush", "rename"])
def test_a_killed_preparation_leaves_nothing_that_is_taken_for_whole(tmp_path, monkeypatch, moment):
    path = write(tmp_path / "rows.jsonl", 400)
    spec = DatasetSpec(path, format="messages")
    monkeypatch.setattr(table, "CHUNK", 64)

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def work():
        if moment == "flush":
            cache.flush_tree = die
        elif moment == "rename":
            cache.os.replace = die
        else:
            seen = iter(range(1000))
            write_row = table.RowWriter.add
            dataset.RowWriter.add = lambda self, row: die() if next(seen) == moment // 7 else write_row(self, row)
        load_examples([spec], max_bad_fraction=1, on_disk=True)

    _, status = os.waitpid(in_child(work), 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert [entry.whole for entry in cache.entries()] == [False]
    examples, _ = load_examples([spec], max_bad_fraction=1, on_disk=True)
    assert [*examples] == load_examples([spec], max_bad_fraction=1)[0]
    assert [entry.whole for entry in cache.entries()] == [True], "what the killed process left is removed"


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path):
    spec = DatasetSpec(write(tmp_path / "rows.jsonl", 400), format="messages")

    def work(limit):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(UserError, match="HRM_ALIGN_CACHE"):
            load_examples([spec], max_bad_fraction=1, on_disk=True)

    for limit in (0, 10, 3000, 20_000):
        _, status = os.waitpid(in_child(lambda limit=limit: work(limit)), 0)
        assert status == 0, limit
        assert not cache.entries(), limit


@pytest.mark.parametrize("part", [0.02, 0.3, 0.55, 0.8, 0.97])
def test_a_disk_that_fills_up_leaves_no_half_entry(tmp_path, tokenizer, part):
    """Rows and tokens are prepared on a disk of its own that has room for a part of them, then on the same disk with room for all."""
    spec, disk = DatasetSpec(write(tmp_path / "rows.jsonl", 1500), format="messages"), tmp_path / "disk"
    disk.mkdir()

    def prepare():
        rows, _ = load_examples([spec], max_bad_fraction=1, on_disk=True)
        return tokenized(RunData(rows, []), SimpleNamespace(max_dropped_fraction=1.0), tokenizer, 4096)[0]["input_ids"][
            :
        ]

    expected, whole = prepare(), sum(entry.size for entry in cache.entries())

    def work():
        small_disk(disk, int(part * whole))
        os.environ["HRM_ALIGN_CACHE"] = str(disk)
        with pytest.raises(UserError, match="HRM_ALIGN_CACHE"):
            prepare()
        assert all(entry.whole for entry in cache.entries()), "what could not be finished is removed"
        subprocess.run(["mount", "-o", f"remount,size={2 * whole}", str(disk)], check=True)
        assert prepare() == expected

    if subprocess.run(["unshare", "--mount", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no permission to mount a disk in a private namespace")
    assert os.waitpid(in_child(work), 0)[1] == 0


def small_disk(folder, size):
    """Mount a disk of some bytes that this process alone sees."""
    clone_newns = 0x00020000
    assert ctypes.CDLL(None).unshare(clone_newns) == 0
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)


def test_an_entry_that_lost_its_end_is_written_again(tmp_path):
    spec = DatasetSpec(write(tmp_path / "rows.jsonl", 50), format="messages")
    load_examples([spec], max_bad_fraction=1, on_disk=True)
    (entry,) = cache.entries()
    os.truncate(entry.folder / table.ROWS, 500)
    assert not cache.entries()[0].whole
    assert len(load_examples([spec], max_bad_fraction=1, on_disk=True)[0]) == 16
    assert cache.entries()[0].whole


def test_processes_that_start_together_read_the_rows_once(tmp_path, monkeypatch):
    spec = DatasetSpec(write(tmp_path / "rows.jsonl", 100), format="messages")
    reads = tmp_path / "reads"

    def slow(*arguments, read=dataset.read_rows, **options):
        with reads.open("a") as file:
            file.write("x")
        time.sleep(0.3)
        return read(*arguments, **options)

    def work(rank):
        os.environ["RANK"] = str(rank)
        dataset.read_rows = slow
        assert len(load_examples([spec], max_bad_fraction=1, on_disk=True)[0]) == 30

    monkeypatch.setattr(cache, "POLL", 0.02)
    children = [in_child(lambda rank=rank: work(rank)) for rank in (1, 0, 2)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert reads.read_text() == "x"


def test_a_process_that_stands_still_is_named_and_one_that_died_is_replaced(tmp_path, monkeypatch):
    spec = DatasetSpec(write(tmp_path / "rows.jsonl", 20), format="messages")
    began = tmp_path / "began"

    def work():
        dataset.read_rows = lambda *a, **k: (began.touch(), time.sleep(60))
        load_examples([spec], on_disk=True)

    child = in_child(work)
    while not began.exists():
        time.sleep(0.01)
    monkeypatch.setattr(cache, "STALLED", 0.05)
    with pytest.raises(UserError, match=f"process {child} on .* no progress"):
        load_examples([spec], max_bad_fraction=1, on_disk=True)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(load_examples([spec], max_bad_fraction=1, on_disk=True)[0]) == 6


def test_a_worker_that_is_killed_ends_the_preparation(tmp_path, tokenizer, monkeypatch):
    examples, _ = load_examples(
        [DatasetSpec(write(tmp_path / "a.jsonl", 100), format="messages")], max_bad_fraction=1, on_disk=True
    )
    parent, encode = os.getpid(), DocumentEncoder.encode
    monkeypatch.setattr(tokenize, "CHUNK_ROWS", 3)
    monkeypatch.setattr("hrm_align.data.forks.cores", lambda: 2)
    monkeypatch.setattr(
        DocumentEncoder,
        "encode",
        lambda *a: os.kill(os.getpid(), signal.SIGKILL) if os.getpid() != parent else encode(*a),
    )
    with pytest.raises(RunError, match="was killed"):
        tokenized(RunData(examples, []), SimpleNamespace(max_dropped_fraction=1.0), tokenizer, 600)
    assert len(cache.entries()) == 1


@pytest.mark.campaign
def test_a_preparation_killed_at_20_random_moments_leaves_no_half_entry(tmp_path, tokenizer):
    """A process reads and tokenizes 4,000 rows in an empty cache, and is killed; then the same in what it left."""
    path, rng = write(tmp_path / "rows.jsonl", 4000), random.Random(0)

    def prepare():
        rows, _ = load_examples([DatasetSpec(path, format="messages")], max_bad_fraction=1, on_disk=True)
        documents, _ = tokenized(RunData(rows, []), SimpleNamespace(max_dropped_fraction=1.0), tokenizer, 4096)
        return [*rows], documents["input_ids"][:]

    start = time.monotonic()
    expected = prepare()
    whole = time.monotonic() - start
    interrupted = 0
    for _ in range(20):
        cache.clear(cache.entries())
        child = in_child(prepare)
        time.sleep(rng.random() * whole)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        interrupted += os.WIFSIGNALED(status)
        assert prepare() == expected
        assert all(entry.whole for entry in cache.entries()), "what the killed process left is removed"
    assert interrupted >= 10
