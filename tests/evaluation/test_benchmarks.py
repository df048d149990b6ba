"""Public benchmarks: the prompts of the official evaluation, its rules, and where the rows come from."""

import json
from hashlib import sha256
from importlib.util import find_spec

import datasets
import pyarrow.parquet as pq
import pytest

from hrm_align import load_tokenizer
from hrm_align.evaluation import benchmark_scoring, benchmarks
from hrm_align.evaluation.benchmark_scoring import grade
from hrm_align.evaluation.benchmarks import BENCHMARKS, PAPER, read_questions
from hrm_align.rendering import get_renderer
from hrm_align.rewards.scoring import Fault, Scores
from tests.command_line import run as command
from tests.evaluation import benchmark_copies as rows
from tests.evaluation.benchmark_copies import QUESTIONS

SYNTH_COT, DIRECT = "<|quad_end|><|object_ref_end|>", "<|object_ref_start|>"


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
