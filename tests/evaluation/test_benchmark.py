"""`hrm-align benchmark`: the prompts of the official evaluation, its rules, runs that go on, and comparisons."""

import json
import shutil
from collections import Counter
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest

import hrm_align
from hrm_align import load_tokenizer
from hrm_align.errors import UserError
from hrm_align.evaluation import benchmark_scoring, benchmarks
from hrm_align.evaluation.benchmark_scoring import grade
from hrm_align.evaluation.benchmarks import BENCHMARKS, PAPER, read_questions
from hrm_align.rendering import get_renderer
from hrm_align.rewards.scoring import Fault, Scores
from hrm_align.rollouts.engine import Completion
from tests.command_line import run as command
from tests.evaluation import benchmark_copies as rows
from tests.evaluation.benchmark_copies import QUESTIONS, write, write_copies

SYNTH_COT, DIRECT = "<|quad_end|><|object_ref_end|>", "<|object_ref_start|>"


@pytest.fixture(scope="module")
def copies(tmp_path_factory) -> Path:
    return write_copies(tmp_path_factory.mktemp("benchmarks"))


def lettered(query: str, choices: list[str], answer: str) -> str:
    """The official layout of a question with options (`_format_mcq`), written out again."""
    options = "\n".join(f"{letter}. {choice.strip()}" for letter, choice in zip("ABCDEFGHIJ", choices, strict=False))
    return f"{query.strip()}\n{options}\nAnswer:{answer}"


def few_shot(layout, shown, asked) -> str:
    """The official layout of solved examples (`_construct_mcq_prompt`)."""
    return "\n\n".join([*(layout(row, True) for row in shown), layout(asked, False)])


def letter(row, key="answer") -> str:
    return " " + "ABCD"[int(row[key])]


def hellaswag(row, solved):
    query = row["ctx_a"] + " " + row["ctx_b"].capitalize() + "\nQuestion: Which is the most logical continuation?"
    return lettered(query, row["endings"], letter(row, "label") if solved else "")


def boolq(row, solved):
    query = f"{row['passage']}\nQuestion: {row['question'].capitalize()}?"
    return lettered(query, ["Yes", "No"], (" A" if row["answer"] else " B") if solved else "")


LAYOUTS = {  # of question 1 of each copy: condition, and prompt
    "gsm8k": (SYNTH_COT, lambda: "Ann has 4 pens and buys 1. How many?"),
    "math": (SYNTH_COT, lambda: "Problem 1 of algebra: $x_{1}$?"),
    "drop": (
        DIRECT,
        lambda: (
            "Team 20 played well. They won.\nQ: What about 20?\nA: 60\n\n"
            "Team 21 played well. They won.\nQ: What about 21?\nA: the 21 Bills\n\n"
            "Team 22 played well. They won.\nQ: What about 22?\nA: Red 22, Blue 22\n\n"
            " Team 1  played\u00a0well.  They won. \nQ: What about 1?\nA:"
        ),
    ),
    "mmlu": (
        DIRECT,
        lambda: few_shot(
            lambda row, solved: lettered(row["question"], row["choices"], letter(row) if solved else ""),
            [rows.mmlu(i) for i in (25, 27, 29)],  # the dev rows are 24 to 35; of this subject 3 examples are shown
            rows.mmlu(1),
        ),
    ),
    "arc_challenge": (
        DIRECT,
        lambda: few_shot(
            lambda row, solved: lettered(
                row["question"], row["choices"]["text"], " " + row["answerKey"] if solved else ""
            ),
            [rows.arc(i) for i in range(20, 45)],  # three of them have digits as labels, and show a digit as the answer
            rows.arc(1),
        ),
    ),
    "hellaswag": (DIRECT, lambda: few_shot(hellaswag, [rows.hellaswag(i) for i in range(20, 30)], rows.hellaswag(1))),
    "winogrande": (
        DIRECT,
        lambda: few_shot(
            lambda row, solved: lettered(
                row["sentence"], [row["option1"], row["option2"]], " " + "_AB"[int(row["answer"])] if solved else ""
            ),
            [rows.winogrande(i) for i in range(20, 25)],
            rows.winogrande(1),
        ),
    ),
    "boolq": (DIRECT, lambda: few_shot(boolq, [rows.boolq(i) for i in range(20, 25)], rows.boolq(1))),
    "mmlu_pro": (
        SYNTH_COT,
        lambda: (
            "Which of 1?\nOptions:\n"
            + "\n".join(f"({x}) {y}" for x, y in zip("ABCDEFGHIJ", rows.choices(1, 10), strict=True))
        ),
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_prompt_is_that_of_the_official_evaluation_token_for_token(copies, name):
    """Source: sapientinc/HRM-Text, commit 00b4fe5: `evaluation/benchmarks.py` (layouts), `evaluation/engines.py` (`strip`) and
    `simple_inference_engine.py` (`tokenize_prompt`: one string with the control tokens, encoded by the tokenizer)."""
    condition, layout = LAYOUTS[name]
    question = read_questions(name, str(copies / name))[0][1]
    assert question.prompt == layout().strip()
    tokenizer = load_tokenizer("tiny")
    official = tokenizer(f"<|im_start|>{condition}{layout().strip()}<|im_end|>", add_special_tokens=False)["input_ids"]
    example = question.example(BENCHMARKS[name].condition)
    assert get_renderer(tokenizer).prompt(example.messages, example.condition) == official


def test_shots_contexts_and_conditions_are_those_of_the_official_configuration():
    """Source: the same commit, `evaluation/config/hrm_benchmarking.yaml`, and the defaults of `evaluation/benchmarks.py`."""
    settings = {
        name: (b.condition, b.shots, b.shot_split, b.split, b.context, b.max_new_tokens)
        for name, b in BENCHMARKS.items()
    }
    assert {name: settings[name] for name in PAPER} == {
        "gsm8k": ("synth,cot", 0, "train", "test", 3072, None),
        "math": ("synth,cot", 0, "train", "test", 3072, None),
        "drop": ("direct", 3, "train", "validation", 3072, None),
        "mmlu": ("direct", 5, "dev", "test", 4096, 1),
        "arc_challenge": ("direct", 25, "validation", "test", 4096, 1),
        "hellaswag": ("direct", 10, "train", "validation", 4096, 1),
        "winogrande": ("direct", 5, "train", "validation", 4096, 1),
        "boolq": ("direct", 5, "train", "validation", 4096, 1),
    }
    assert BENCHMARKS["mmlu"].shots_by_group == {"high_school_european_history": 3}


def test_the_solved_examples_of_drop_are_found_by_their_digests(copies, monkeypatch):
    def solved(i):
        return f"Team {i} played well. They won.\nQ: What about {i}?\nA: {[40 + i, f'the {i} Bills'][i % 2]}"

    named = tuple(sha256(solved(i).encode()).hexdigest()[:16] for i in (21, 20))
    drop = BENCHMARKS["drop"]
    monkeypatch.setitem(benchmarks.BENCHMARKS, "drop", type(drop)(**{**vars(drop), "shots": 2, "solved": named}))
    questions, is_official = read_questions("drop", str(copies / "drop"))
    assert is_official and questions[0].prompt.startswith(f"{solved(21)}\n\n{solved(20)}\n\n")
    assert len(drop.solved) == drop.shots


ANSWERED = [name for name in BENCHMARKS if name != "ifeval"]  # IFEval has no gold answers
CHANCE = {
    name: 1 / {"winogrande": 2, "boolq": 2}.get(name, 4) for name in ANSWERED if BENCHMARKS[name].grader == "letter"
}
CHANCE["mmlu_pro"] = 0.1


@pytest.mark.parametrize("name", ANSWERED)
def test_gold_answers_are_right_and_shuffled_ones_are_chance(copies, name):
    questions, _ = read_questions(name, str(copies / name))
    gold = [question.reference for question in questions]
    grades = grade(name, [*gold, *gold[1:], gold[0]], questions * 2)
    assert [given.value for given in grades[:QUESTIONS]] == [1.0] * QUESTIONS
    low, high = benchmark_scoring.Score(sum(int(given.value) for given in grades[QUESTIONS:]), QUESTIONS).interval
    assert low <= CHANCE.get(name, 0.0) <= high
    assert len(questions) == QUESTIONS


def test_the_official_rules_differ_where_it_is_said(copies):
    def both(name, text, index=0):
        question = read_questions(name, str(copies / name))[0][index]
        return grade(name, [text], [question])[0]

    assert both("gsm8k", "so 3", 0) == (1.0, 0.0, True)  # only a box, or a number alone
    assert both("gsm8k", r"\boxed{3.7}", 0) == (0.0, 1.0, False)  # the integer part
    questions = read_questions("math", str(copies / "math"))[0][:2]
    texts = [
        r"so \boxed{\frac{0}{7}}",
        r"so \boxed{\sqrt{3}}",
    ]  # math-verify reads nothing but numbers and fractions outside `$`
    assert grade("math", texts, questions) == [(1.0, 1.0, False), (1.0, 0.0, False)]
    assert both("arc_challenge", "?", 0) == (0.0, 0.25, True)  # a guess
    right = "ABCD"[rows.right(9, 4)]
    assert both("arc_challenge", right.lower() + " ", 9) == (1.0, 0.0, False)  # the answer key is a digit
    assert both("drop", "Blue 2 and red 2", 2).value == 1.0


def test_an_answer_on_which_the_process_of_math_verify_ends_counts_as_wrong(copies, monkeypatch):
    question = read_questions("math", str(copies / "math"))[0][0]
    ended = Fault("official_math", "died", question.source, "killed", row=0)
    monkeypatch.setattr(benchmark_scoring, "score_all", lambda *_: Scores({"official_math": [None]}, [ended]))
    assert grade("math", [question.reference], [question]) == [(1.0, 0.0, False)]


@pytest.mark.campaign
def test_an_answer_that_math_verify_does_not_finish_counts_as_wrong(copies):
    question = read_questions("math", str(copies / "math"))[0][0]
    texts = [r"\boxed{$(10^{10})!$}", question.reference]
    assert [given.official for given in grade("math", texts, [question] * 2)] == [0.0, 1.0]


@pytest.mark.numeric
def test_the_rule_of_drop_is_that_of_lm_eval(copies):
    pytest.importorskip("lm_eval", reason="needs the extra `eval`")
    from lm_eval.tasks.drop.utils import get_answers, process_results

    texts = [
        "42",
        "43.0",
        "the bills",
        "A 1 Bills!",
        "Red 2",
        "red 2, blue 2",
        "4 May 1364",
        "May",
        "",
        "1,364",
        "two-4",
    ]
    for index, question in enumerate(read_questions("drop", str(copies / "drop"))[0]):
        doc = {"answers": get_answers(rows.drop(index))}
        for text in texts:
            theirs = process_results(doc, [text.strip()])
            ours = grade("drop", [text], [question])[0]
            assert ours.official == pytest.approx(theirs["f1"], abs=1e-9), (text, doc)
            if len(question.grading["answers"][0]) == 1:
                assert ours.value == theirs["em"], (text, doc)


def test_the_official_score_of_mmlu_is_the_mean_over_subjects():
    def chunk(group, values):
        return benchmark_scoring.count(
            [
                {"value": v, "official": v, "group": group, "source": "x", "prompt_tokens": 1, "tokens": 1}
                | dict.fromkeys(("invalid", "too_long", "unfinished"), False)
                for v in values
            ],
            seconds=1.0,
        )

    parts = [chunk("anatomy", [1.0]), chunk("law", [0.0, 0.0]), chunk("law", [0.0])]
    assert benchmark_scoring.describe("mmlu", parts)["official"] == 0.5
    assert benchmark_scoring.describe("arc_challenge", parts)["official"] == 0.25
    assert benchmark_scoring.describe("mmlu", parts)["score"] == 0.25


def test_ifeval_says_what_it_needs(copies, capsys):
    if find_spec("langdetect") is None:
        code, _, err = command(capsys, "benchmark", "--model", "tiny", "--tasks", "ifeval", "--data", copies)
        assert code == 2 and "lm_eval[ifeval]" in err
        return
    questions = read_questions("ifeval", str(copies / "ifeval"))[0][:2]
    values = [
        given.value
        for given in grade(
            "ifeval", ["no comma", "a, b", "one two three", "one"], [*questions[:1] * 2, *questions[1:] * 2]
        )
    ]
    assert values == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_without_a_copy_the_rows_come_from_the_hub(copies, name, monkeypatch):
    spec, asked = BENCHMARKS[name], []

    def load_dataset(path, config, split, data_files, revision):
        asked.append((path, config, split, data_files))
        local = copies / name if name in ("ifeval", "bfcl_simple") else next(copies.joinpath(name).iterdir())
        found = [*local.glob(f"*{split}-*"), *local.glob("*.json*")]
        return datasets.Dataset.from_list(
            pq.read_table(found[0]).to_pylist()
            if found[0].suffix == ".parquet"
            else [json.loads(line) | {"ground_truth": []} for line in found[0].read_text().splitlines()]
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    questions, _ = read_questions(name)
    assert questions[0].source.startswith(f"{spec.hub}[{spec.split}][0]") and questions[0].prompt
    splits = [(spec.split, config) for config in spec.configs] + [(spec.shot_split, spec.configs[0])] * bool(spec.shots)
    assert asked == [(spec.hub, config, split, spec.data_files) for split, config in splits]


def test_a_limit_takes_questions_of_every_subject(copies):
    questions, _ = read_questions("math", str(copies / "math"), limit=7)
    assert [question.group for question in questions] == list(BENCHMARKS["math"].configs)


# --- The command


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
