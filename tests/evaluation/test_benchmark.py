"""`hrm-align benchmark`: runs that go on, processes that share them, comparisons, and mistakes."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

import hrm_align
from hrm_align import load_tokenizer
from hrm_align.errors import UserError
from hrm_align.evaluation import benchmark_scoring
from hrm_align.evaluation.benchmarks import read_questions
from hrm_align.rendering import get_renderer
from hrm_align.rollouts.engine import Completion
from tests.command_line import run as command
from tests.evaluation import benchmark_copies as rows
from tests.evaluation.benchmark_copies import QUESTIONS, write


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """The tiny base with the 4,096 positions of HRM-Text-1B, for prompts with 25 solved examples."""
    folder = tmp_path_factory.mktemp("models") / "roomy"
    shutil.copytree(Path(hrm_align.__file__).parent / "models/tiny", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    return folder


@pytest.fixture
def benchmark(capsys, copies, model):
    def run(*flags, tasks="arc_challenge", expected=0, prints=True):
        argv = ["benchmark", "--model", model, "--tasks", tasks, "--data", copies, "--json", *flags]
        code, out, err = command(capsys, *argv)
        assert code == expected, err
        if code or not prints:
            return " ".join((err + out).split())
        return json.loads(out)["results"]

    return run


@pytest.fixture
def oracle(copies, monkeypatch):
    """An engine that knows the references of `arc_challenge` and `gsm8k`, and counts its prompts."""
    renderer, known, asked = get_renderer(load_tokenizer("tiny")), {}, Counter()
    for name in ("arc_challenge", "gsm8k"):
        for question in read_questions(name, str(copies / name))[0]:
            for condition in ("direct", "synth,cot"):
                prompt = renderer.prompt(question.prompt, condition)
                known[tuple(prompt)] = renderer.plain(question.reference)

    def run(engine, requests, **options):
        asked.update(tuple(request.prompt_ids) for request in requests)
        rooms = {len(request.prompt_ids) + request.decoding.max_new_tokens for request in requests}
        assert rooms == {3072} or {request.decoding.max_new_tokens for request in requests} == {1}
        answers = [known[tuple(request.prompt_ids)][: request.decoding.max_new_tokens] for request in requests]
        return [[Completion(ids, [0.0] * len(ids), "length")] for ids in answers]

    monkeypatch.setattr(benchmark_scoring, "run", run)
    return asked


@pytest.mark.numeric
def test_each_condition_is_run_on_each_task(benchmark, oracle):
    results = benchmark("--conditions", "direct", "synth,cot", tasks="gsm8k,arc_challenge")
    assert [(cell["task"], cell["condition"]) for cell in results] == [
        (task, condition) for task in ("gsm8k", "arc_challenge") for condition in ("direct", "synth,cot")
    ]
    for cell in results:
        assert (cell["score"], cell["n"], cell["too_long"]) == (1.0, QUESTIONS, 0)
        assert cell["interval"][0] == pytest.approx(0.839, abs=1e-3)  # Wilson, 20 of 20
    assert [cell["unfinished"] for cell in results] == [QUESTIONS, QUESTIONS, 0, 0]  # a letter needs no end token
    assert [cell["prompts"] for cell in results] == ["other condition", "official", "official", "other condition"]
    assert results[2]["official"] == 0.9 and results[2]["published"] == 81.9  # two answer keys are digits


def test_a_killed_run_goes_on_where_it_was(benchmark, tmp_path, oracle, monkeypatch):
    monkeypatch.setattr("hrm_align.commands.benchmark.CHUNK_QUESTIONS", 8)
    whole = benchmark("--out", tmp_path / "whole")
    oracle.clear()
    write_chunk = benchmark_scoring.grade

    def killed(name, texts, questions):
        if questions[0].source.endswith("[8]"):
            raise KeyboardInterrupt
        return write_chunk(name, texts, questions)

    monkeypatch.setattr(benchmark_scoring, "grade", killed)
    assert "1 of 3 chunks are saved" in benchmark("--out", tmp_path / "cut", expected=130)
    monkeypatch.setattr(benchmark_scoring, "grade", write_chunk)
    (again,) = benchmark("--out", tmp_path / "cut")
    assert sorted(oracle.values()) == [1] * 12 + [2] * 8  # only the chunk that was cut is answered twice
    without = {"seconds", "settings"}
    assert {k: v for k, v in again.items() if k not in without} == {
        k: v for k, v in whole[0].items() if k not in without
    }
    oracle.clear()
    assert benchmark("--out", tmp_path / "cut") == [again] and not oracle


def test_processes_of_a_launch_share_the_questions(benchmark, tmp_path, oracle, monkeypatch):
    monkeypatch.setattr("hrm_align.commands.benchmark.CHUNK_QUESTIONS", 8)
    alone = benchmark("--out", tmp_path / "alone")
    monkeypatch.setenv("WORLD_SIZE", "2")
    oracle.clear()
    for rank in ("1", "0"):  # in turn: the main process waits for the other
        monkeypatch.setenv("RANK", rank)
        results = (
            benchmark("--out", tmp_path / "shared")
            if rank == "0"
            else benchmark("--out", tmp_path / "shared", prints=False)
        )
        assert sum(oracle.values()) == {"1": 8, "0": QUESTIONS}[rank]  # chunk 1 of 0, 1 and 2; then the others
    assert results[0]["output"] == alone[0]["output"]
    assert "Name one with --out" in benchmark(expected=2)


@pytest.mark.numeric
def test_what_was_learned_and_forgotten(benchmark, tmp_path, capsys, oracle, monkeypatch):
    run_grade = benchmark_scoring.grade
    wrong = {"before": {1, 2, 3, 4, 5}, "after": {5, 6}}
    for folder, indices in wrong.items():

        def changed(name, texts, questions, indices=indices):
            texts = ["?" if index in indices else text for index, text in enumerate(texts)]
            return run_grade(name, texts, questions)

        monkeypatch.setattr(benchmark_scoring, "grade", changed)
        benchmark("--out", tmp_path / folder)
    code, out, err = command(capsys, "benchmark", "--compare", tmp_path / "before", tmp_path / "after", "--json")
    assert code == 0, err
    (cell,) = json.loads(out)["results"]
    assert (cell["before"], cell["after"], cell["learned"], cell["forgotten"]) == (0.75, 0.9, 4, 1)
    assert cell["difference"] == pytest.approx(0.15) and cell["forgotten_rows"][0].endswith("[6]")
    # by hand: (4.5 - 1.5) / 22 = 0.1364, sqrt(6 - 9 / 22) / 22 = 0.1075, 1.96 of it 0.2107
    assert cell["interval"] == pytest.approx([-0.0743, 0.3470], abs=1e-3)
    benchmark("--out", tmp_path / "short", "--limit", "5")
    code, _, err = command(capsys, "benchmark", "--compare", tmp_path / "before", tmp_path / "short")
    assert code == 2 and "other questions" in err


def test_a_prompt_that_does_not_fit_is_counted_and_named(benchmark, tmp_path):
    long = rows.gsm8k(0) | {"question": "pens " * 3100}
    write(tmp_path, "test.jsonl", [rows.gsm8k(1), long])
    (cell,) = benchmark("--data", f"gsm8k={tmp_path / 'test.jsonl'}", "--max_new_tokens", "4", tasks="gsm8k")
    assert cell["too_long"] == 1 and cell["first_too_long"] == [f"{tmp_path / 'test.jsonl'}:2"]
    assert cell["n"] == 2 and cell["prompts"] == "shorter answers" and cell["tokens"] <= 4


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("gsm8k", {"answer": "no number"}, "does not end in `#### number`"),
        ("math", {"solution": "no box"}, "no \\boxed answer"),
        ("gsm8k", {"question": None}, "'question' is empty"),
        ("mbpp", {"test_list": 3}, "another form"),
        ("humaneval", {"test": None}, "'test' is empty"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, capsys, name, change, says):
    write(tmp_path, "test.jsonl", [getattr(rows, name)(0), getattr(rows, name)(1) | change])
    code, _, err = command(
        capsys, "benchmark", "--model", "tiny", "--tasks", name, "--data", f"{name}={tmp_path / 'test.jsonl'}"
    )
    assert code == 2 and f"{tmp_path / 'test.jsonl'}:2: not a row of" in err and says in " ".join(err.split())


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--tasks", "gsm9k"], "invalid value for --tasks: gsm9k"),
        (["--data", "gsm9k=x"], "Write TASK=PATH"),
        (["--data", "nowhere"], "there is no folder nowhere"),
        (["--conditions", "loud"], "loud"),
        (["--tasks", "arc_challenge", "--data", "arc_challenge=FILE"], "needs solved examples of the split validation"),
        (["--compare", "nowhere", "nowhere"], "there is no folder nowhere"),
    ],
)
def test_mistakes_are_named(tmp_path, capsys, flags, says):
    write(tmp_path, "test.jsonl", [rows.arc(0)])
    flags = [flag.replace("FILE", str(tmp_path / "test.jsonl")) for flag in flags]
    code, _, err = command(capsys, "benchmark", "--model", "tiny", *flags)
    assert code == 2 and says in " ".join(err.split())


def test_too_few_solved_examples_are_refused(tmp_path):
    rows.splits(tmp_path, rows.arc, test=2, validation=24)
    with pytest.raises(UserError, match="shows 25 solved examples"):
        read_questions("arc_challenge", str(tmp_path))


def test_solved_examples_of_another_split_are_not_taken(tmp_path):
    rows.splits(tmp_path / "all", rows.mmlu, test=2, validation=12)  # and no dev
    with pytest.raises(UserError, match="dev"):
        read_questions("mmlu", str(tmp_path))
