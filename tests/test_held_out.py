"""The rows that `eval_fraction` holds out: saved, scored by `evaluate RUN`, and measured by `export RUN`."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.examples import to_rows
from hrm_align.export import parity
from hrm_align.run_folder import open_source
from tests.command_line import run
from tests.export import stock_process
from tests.trainers.recipe_runs import sft, write_rows

WORDS = ("sun", "owl", "fig", "elm", "ivy", "oak", "bay", "sea", "sky", "dew", "fox", "bee")
CALL = {"name": "look", "arguments": {"word": "sun", "n": [1, None]}}
ROWS = [
    {"prompt": "copy sun", "response": "sun", "condition": "synth,cot", "group": "copies"},
    {"prompt": "no condition", "response": "x"},
    {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"},
                  {"role": "user", "content": "c?"}, {"role": "assistant", "content": "d"}]},
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "first", "weight": 0},
                  {"role": "user", "content": " spaced \u2028 line"}, {"role": "assistant", "content": "last"}]},
    {"messages": [{"role": "user", "content": "look"}, {"role": "assistant", "content": "", "tool_calls": [CALL]},
                  {"role": "tool", "content": "found"}, {"role": "assistant", "content": "ok"}],
     "tools": [{"type": "function", "function": {"name": "look"}}], "grading": {"tests": [[1], 2], "call": "f"}},
    {"prompt": "query", "response": "SELECT 1", "grading": {"database": "shop.sql"}},
]  # fmt: skip


def same(example):
    """An example without its place, and without the database's path, which becomes absolute."""
    grading = {key: value for key, value in example.grading.items() if key != "database"}
    return (example.messages, example.answer, example.condition, example.group, grading)


@pytest.mark.parametrize("condition", ["direct", ""])
def test_saved_rows_read_back_as_the_same_examples(condition, tmp_path):
    (tmp_path / "shop.sql").write_text("CREATE TABLE t (a)")
    read = []
    for number, row in enumerate(ROWS):
        file = write_rows(tmp_path / f"{number}.jsonl", [row])
        read += load_examples([DatasetSpec(path=str(file))], default_condition=condition)[0]
    assert len(read) == 8
    saved = write_rows(
        tmp_path / "held_out.jsonl", to_rows([*read, read[0]])
    )  # a row that `fraction` repeats is saved once
    again, _ = load_examples([DatasetSpec(path=str(saved), condition="")])
    assert [same(example) for example in again] == [same(example) for example in read]
    assert again[-1].grading["database"] == str(tmp_path / "shop.sql")
    assert [json.loads(line)["source"] for line in saved.read_text().splitlines()][1] == str(tmp_path / "1.jsonl:1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one step that held out a part of its rows."""
    folder = tmp_path_factory.mktemp("held_out")
    rows = [{"prompt": f"count {word} {n}", "response": str(n), "group": word} for word in WORDS for n in range(12)]
    data = write_rows(folder / "rows.jsonl", rows)
    flags = ("--max_length", "64", "--max_steps", "1", "--save_strategy", "no", "--max_new_tokens", "6")
    sft(folder / "run", data, *flags, "--eval_fraction", "0.2", "--generation_eval_match", "numeric",
        "--eval_strategy", "no", "--condition", "")  # fmt: skip
    return folder / "run"


def test_a_run_saves_what_it_held_out_and_its_last_line_is_a_command_that_works(trained, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(parity, "subprocess", SimpleNamespace(run=stock_process.run))
    held_out = [json.loads(line) for line in (trained / "run/held_out.jsonl").read_text().splitlines()]
    kept = json.loads((trained / "run/data.json").read_text())["train"]["examples"]
    assert 10 < len(held_out) < kept == 12 * len(WORDS)
    (entry,) = open_source(str(trained)).held_out
    examples, _ = load_examples([DatasetSpec.from_dict(entry)])
    assert {example.condition for example in examples} == {""}  # as trained, not the default of commands
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "evaluate", trained, "--json")
    report = json.loads(out)
    assert code == 0, err
    assert (report["n"], report["grader"], report["data"]) == (
        len(held_out),
        "numeric",
        str(trained / "run/held_out.jsonl"),
    )
    others = ("--match", "exact", "--max_new_tokens", "2", "--limit", "3")
    assert json.loads(run(capsys, "evaluate", trained, *others, "--json")[1])["n"] == 3
    code, out, err = run(
        capsys, "export", trained, "--to", tmp_path / "e", "--limit", "4", "--max_new_tokens", "6", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["after"]["n"] == 4
    assert "run/held_out.jsonl" in (tmp_path / "e/README.md").read_text()


@pytest.mark.parametrize("words, named", [
    ((), "output_dir of a run, or --model"),
    (("RUN", "--model", "tiny"), "not both"),
    (("--model", "tiny"), "--data"),
    (("RUN", "--split", "test"), "--data"),
    (("nowhere",), "no folder nowhere"),
])  # fmt: skip
def test_what_evaluate_needs_is_one_sentence(words, named, trained, capsys):
    words = [str(trained) if word == "RUN" else word for word in words]
    code, out, err = run(capsys, "evaluate", *words)
    assert (code, out, err.count("\n")) == (2, "", 1) and named in err


def test_a_run_without_held_out_rows_asks_for_some(tmp_path, capsys):
    data = write_rows(tmp_path / "rows.jsonl", [{"prompt": "copy sun", "response": "sun"}] * 2)
    sft(tmp_path / "run", data, "--max_length", "64", "--max_steps", "1", "--save_strategy", "no")
    assert f"evaluate {tmp_path / 'run'} --data HELD_OUT_ROWS" in capsys.readouterr().err
    code, _, err = run(capsys, "evaluate", tmp_path / "run")
    assert code == 2 and "--data FILE" in err
    code, out, _ = run(capsys, "evaluate", tmp_path / "run", "--data", data, "--max_new_tokens", "2", "--json")
    assert code == 0 and json.loads(out)["n"] == 2


def test_evaluation_sets_of_a_recipe_are_the_held_out_rows(tmp_path, capsys, monkeypatch):
    data = write_rows(tmp_path / "rows.jsonl", [{"prompt": "copy sun", "response": "sun"}] * 2)
    held = write_rows(tmp_path / "held.jsonl", [{"question": f"copy {word}", "answer": word} for word in WORDS])
    entry = "{path: held.jsonl, fraction: 0.5, columns: {prompt: question, response: answer}}"
    monkeypatch.chdir(tmp_path)
    sft(tmp_path / "run", data, "--max_length", "64", "--max_steps", "1", "--save_strategy", "no", "--max_new_tokens", "2",
        "--eval_datasets", entry)  # fmt: skip
    assert not (tmp_path / "run/run/held_out.jsonl").exists()
    monkeypatch.chdir(Path("/"))
    report = json.loads(run(capsys, "evaluate", tmp_path / "run", "--json")[1])
    assert (report["n"], report["data"]) == (len(WORDS), str(held))  # all rows, also those that `fraction` leaves out


def test_a_fraction_that_holds_out_no_row_is_refused(tmp_path, capsys):
    data = write_rows(tmp_path / "rows.jsonl", [{"prompt": "copy sun", "response": "sun"}] * 2)
    words = ("sft", "--model_name_or_path", "tiny", "--datasets", data, "--output_dir", tmp_path / "run")
    for fraction, side in (("0.001", "none"), ("0.999", "all")):
        code, _, err = run(capsys, *words, "--eval_fraction", fraction)
        assert code == 2 and f"eval_fraction {fraction} holds out {side} of the 2 examples" in err
    assert not (tmp_path / "run/model.safetensors").exists()
