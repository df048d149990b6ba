"""`hrm-align sample`: a killed run continues, processes share the prompts, and the file is the same, byte for byte."""

import os
import random
import time

import pytest

from hrm_align.cli import dispatch
from hrm_align.commands import sample as drawing_command
from hrm_align.evaluation import drawing
from hrm_align.evaluation.chunk_files import ChunkedFile
from hrm_align.models.loading import load_model_and_tokenizer
from tests.command_line import run
from tests.evaluation.sampling.runs import OPTIONS, N, counted_draws, sample
from tests.trainers.resume.runs import started


def interrupted(capsys, monkeypatch, data, output, after: int, *flags) -> str:
    """Run the command, which Ctrl-C ends in its draw after so many chunks; return its message."""
    draw, calls = drawing.Drawer.draw, iter(range(100))

    def stopped(*args):
        if next(calls) == after:
            raise KeyboardInterrupt
        return draw(*args)

    with monkeypatch.context() as patch:
        patch.setattr(drawing.Drawer, "draw", stopped)
        code, _, err = run(capsys, "sample", "--data", data, *OPTIONS, "--output", output, *flags)
    assert code == 130 and not output.exists()
    return err.splitlines()[-1]


def test_a_killed_run_continues_and_ends_with_the_same_file(capsys, monkeypatch, data, everything, tmp_path):
    output = tmp_path / "rows.jsonl"
    message = interrupted(capsys, monkeypatch, data, output, 3, "--keep", "all")
    parts = tmp_path / "rows.jsonl.parts"
    assert f"3 of 5 chunks are saved in {parts}. Run the same command again" in message
    # What a kill while writing, and a disk, may leave: a chunk under its temporary name, and one that is cut.
    (parts / ".00003.host.1.partial").write_bytes((parts / "00002").read_bytes()[:200])
    cut = parts / "00001"
    cut.write_bytes(cut.read_bytes()[:-5])
    drawn = counted_draws(monkeypatch)
    sample(capsys, data, output, "--keep", "all")
    assert drawn == [2, 6, 8], "the cut chunk, and those that were not drawn"
    assert output.read_bytes() == everything[0].read_bytes() and not parts.exists()
    card = sample(capsys, data, output, "--keep", "all")
    assert len(drawn) == 3 and card["complete"], "a finished run that is started again draws nothing"


def test_a_killed_run_between_the_file_and_its_card_is_finished(capsys, monkeypatch, data, everything, tmp_path):
    output = tmp_path / "rows.jsonl"
    publish = ChunkedFile._publish

    def killed(self, path, write):
        if path.suffix == ".json" and path.parent == tmp_path:
            raise KeyboardInterrupt
        publish(self, path, write)

    with monkeypatch.context() as patch:
        patch.setattr(ChunkedFile, "_publish", killed)
        assert run(capsys, "sample", "--data", data, *OPTIONS, "--output", output, "--keep", "all")[0] == 130
    assert output.exists() and not (tmp_path / "rows.card.json").exists()
    drawn = counted_draws(monkeypatch)
    assert sample(capsys, data, output, "--keep", "all")["answers"] == 9 * N and not drawn
    assert output.read_bytes() == everything[0].read_bytes() and not (tmp_path / "rows.jsonl.parts").exists()


def test_a_full_disk_is_one_sentence_and_loses_no_chunk(capsys, monkeypatch, data, everything, tmp_path):
    output, replace, calls = tmp_path / "rows.jsonl", os.replace, iter(range(100))

    def full(source, target):
        if next(calls) == 3:
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("hrm_align.evaluation.chunk_files.os.replace", full)
        code, _, err = run(capsys, "sample", "--data", data, *OPTIONS, "--output", output, "--keep", "all")
    assert code == 1 and "cannot be written (No space left on device)" in err and err.count("error: ") == 1
    assert {path.name for path in (tmp_path / "rows.jsonl.parts").iterdir()} == {"settings.json", "00000", "00001"}
    sample(capsys, data, output, "--keep", "all")
    assert output.read_bytes() == everything[0].read_bytes()


@pytest.fixture
def begun(capsys, monkeypatch, data, tmp_path):
    """A file whose first chunk is drawn."""
    interrupted(capsys, monkeypatch, data, tmp_path / "rows.jsonl", 1)
    return tmp_path / "rows.jsonl"


CHANGES = {
    "seed": (("--seed", 1), "seed 0, now 1"),
    "temperature": (("--temperature", "0.7"), "temperature 1.2, now 0.7"),
    "several": (("--top_p", "0.9", "--keep", "best"), "keep right, now best; top_p 1.0, now 0.9"),
    "fewer rows": (("--limit", 5), "data 9 rows"),
    "another condition": (("--condition", "cot"), "data 9 rows"),
    "another grader": (("--match", "numeric"), "rewards ["),
}


def test_changed_settings_are_refused_by_name(capsys, data, begun):
    before = {path: path.read_bytes() for path in begun.parent.rglob("*") if path.is_file()}
    for flags, named in CHANGES.values():
        code, _, err = run(capsys, "sample", "--data", data, *OPTIONS, *flags, "--output", begun)
        last = err[err.index("error: ") :]
        assert code == 2 and f"{begun}.parts was begun with other settings: {named}" in last and "--output" in last
    assert {path: path.read_bytes() for path in begun.parent.rglob("*") if path.is_file()} == before


def test_a_changed_model_is_refused_and_a_finished_file_is_not_overwritten(capsys, data, begun, tmp_path):
    model, tokenizer = load_model_and_tokenizer("tiny")
    model.model.embed_tokens.weight.data *= 1.01
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "trained")
    words = ("sample", "--data", data, *OPTIONS, "--output", begun)
    code, _, err = run(capsys, *words, "--model", tmp_path / "trained")
    assert code == 2 and "other settings: model weights " in err
    sample(capsys, data, begun)
    made = begun.read_bytes()
    code, _, err = run(capsys, *words, "--seed", 3)
    assert code == 2 and f"{begun} exists and was made with other settings: seed 0, now 3" in err
    begun.write_bytes(made + b'{"mine": 1}\n')
    code, _, err = run(capsys, *words)
    assert code == 2 and f"{begun}, already exists and is not overwritten" in err
    assert begun.read_bytes().endswith(b'{"mine": 1}\n')


@pytest.mark.parametrize("way", ["shards", "launcher"])
def test_shares_of_the_prompts_make_the_same_file(capsys, monkeypatch, data, everything, tmp_path, way):
    output = tmp_path / "rows.jsonl"
    drawn = counted_draws(monkeypatch)
    for number in (3, 2, 1):
        words = ["sample", "--data", data, *OPTIONS, "--output", output, "--keep", "all"]
        if way == "shards":
            words += ["--shard", f"{number}/3"]
        else:
            monkeypatch.setenv("RANK", str(number - 1))
            monkeypatch.setenv("WORLD_SIZE", "3")
        code, out, err = run(capsys, *words)
        assert code == 0, err
        assert output.exists() == (number == 1)
        assert ("chunks are done" in out) == (way == "shards" and number > 1)
        assert ("rows from 9 of 9 prompts" in " ".join(out.split())) == (number == 1)
    assert sorted(drawn) == [0, 2, 4, 6, 8] and drawn[0] == 4, "each chunk once, by its own share"
    assert output.read_bytes() == everything[0].read_bytes()


def in_small_chunks(words) -> None:
    """Run the command in a process of its own."""
    drawing_command.CHUNK_ANSWERS = 2 * N
    dispatch(words)


@pytest.mark.campaign
def test_two_processes_of_a_launcher_that_are_killed_make_the_same_file(data, everything, tmp_path):
    """Three times, at random moments while another chunk is written; the fourth start ends."""
    output, moments = tmp_path / "rows.jsonl", random.Random(0)
    words = [str(word) for word in ["sample", "--data", data, *OPTIONS, "--output", output, "--keep", "all"]]

    def chunks() -> int:
        return len([*(tmp_path / "rows.jsonl.parts").glob("0*")])

    for attempt in range(4):
        before = chunks()
        processes = started(tmp_path / "log", in_small_chunks, words, ranks=2)
        while chunks() == before and all(process.is_alive() for process in processes):
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.1))
        for process in processes:
            if attempt < 3:
                process.kill()
            process.join(120)
    assert [process.exitcode for process in processes] == [0, 0], (tmp_path / "log").read_text()[-2000:]
    assert output.read_bytes() == everything[0].read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"rows.jsonl", "rows.card.json", "log"}
