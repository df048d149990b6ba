"""Public benchmarks: where their rows are, and the prompt that the official evaluation makes of a row.

    read_questions("arc_challenge", "data/ai2_arc")[0].prompt
        -> "Which of these is a metal?\\nA. iron\\n...Answer: A\\n\\n(24 more)\\n\\nWhat do plants need?\\nA. light\\n...Answer:"

The layouts, shots, conditions and contexts of the eight benchmarks of the HRM-Text paper are those of its evaluation
(github.com/sapientinc/HRM-Text, commit 00b4fe5: `evaluation/config/hrm_benchmarking.yaml`, `evaluation/benchmarks.py`), and so is
the layout of MMLU-Pro. The official evaluation has no IFEval, HumanEval, MBPP and BFCL: their layouts are ours
(`Benchmark.is_official`). docs/guides/benchmarks.md writes all of them down.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from string import ascii_uppercase
from typing import Any

from hrm_align.data.examples import Example
from hrm_align.data.named_readers import NAMED_READERS
from hrm_align.data.rows import BadRow, Row
from hrm_align.data.schemas import SCHEMAS
from hrm_align.data.sources import read_rows
from hrm_align.data.strict_json import RowError
from hrm_align.errors import UserError
from hrm_align.rendering import Message
from hrm_align.rewards.reading import boxed_answers

COT, DIRECT = "synth,cot", "direct"  # conditions of the official evaluation

Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """A row of a benchmark.

    Args:
        prompt: text that the model reads, without solved examples until `read_questions` adds them.
        reference: the correct answer; blank for tests of the answer's form.
        source: place of the row: `file:line`.
        group: subject of the row, over which the official evaluation takes the mean; None without subjects.
        grading: what the grader needs besides the reference.
        solved: the prompt with its answer, as later prompts show it.
        messages: the conversation, where the prompt is not a single text.
        options: number of the options of a question whose answer is one letter; 0 for any other.
        official: the answer that the official evaluation counts as right, where it differs from the reference.
    """

    prompt: str
    reference: str
    source: str = ""
    group: str | None = None
    grading: Mapping[str, Any] = field(default_factory=dict)
    solved: str = ""
    messages: tuple[Message, ...] = ()
    options: int = 0
    official: str | None = None

    def example(self, condition: str) -> Example:
        """Return the question as an example under a condition."""
        messages = self.messages or (Message("user", self.prompt),)
        answer = Message("assistant", self.reference)
        return Example(messages, answer, condition, self.source, self.group, self.grading)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, and how the official evaluation runs it.

    Args:
        title: name for people.
        hub: data set of the Hub.
        read: function of a row's columns and its place that returns the question.
        grader: name of a grader of `hrm_align.rewards.base`, or of `benchmark_scoring.RULES`.
        condition: condition of the prompts.
        configs: configurations of the data set, in order; also folders of a local copy.
        split: split with the questions.
        shots: number of solved examples before the question.
        shot_split: split of the solved examples.
        shots_by_group: other numbers of solved examples, by group.
        by_group: whether the solved examples are those of the question's group, and the official score the mean over groups.
        solved: first 16 hexadecimal digits of the SHA-256 of each solved example, if they are not the first of the split.
        context: positions of prompt and answer together.
        max_new_tokens: longest answer in tokens; None for the rest of the context.
        published: score of HRM-Text-1B in percent; None without one.
        published_in: where the published score stands.
        is_official: whether the layout is that of the official evaluation.
        data_files: file of the Hub's data set, if it holds several data sets.
    """

    title: str
    hub: str
    read: Callable[[Columns, str], Question]
    grader: str
    condition: str = DIRECT
    configs: tuple[str | None, ...] = (None,)
    split: str = "test"
    shots: int = 0
    shot_split: str = "train"
    shots_by_group: Mapping[str, int] = field(default_factory=dict)
    by_group: bool = False
    solved: tuple[str, ...] = ()
    context: int = 4096
    max_new_tokens: int | None = None
    published: float | None = None
    published_in: str | None = None
    is_official: bool = True
    data_files: str | None = None


# --- Rows to questions


def _gsm8k(row: Columns, source: str) -> Question:
    answer = row["answer"].rpartition("####")[2].strip().replace(",", "")
    if not re.fullmatch(r"-?[0-9]+", answer):
        raise RowError(f"`answer` does not end in `#### number`: got {row['answer'][-40:]!r}")
    return Question(row["question"], answer)


def _math(row: Columns, source: str) -> Question:
    boxes = boxed_answers(row["solution"].replace("\\fbox", "\\boxed"))
    if not boxes:
        raise RowError(f"`solution` has no \\boxed answer: got {row['solution'][-40:]!r}")
    return Question(row["problem"], f"\\boxed{{{boxes[-1]}}}", group=row.get("type"), official=boxes[-1].strip())


def _drop(row: Columns, source: str) -> Question:
    answers = [_drop_answer(row["answer"])]
    checked = row.get("validated_answers") or {}
    for number, date, spans in zip(*(checked.get(key) or [] for key in ("number", "date", "spans")), strict=True):
        answers.append(_drop_answer({"number": number, "date": date, "spans": spans}))
    answers = [answer for number, answer in enumerate(answers) if any(answer) and answer not in answers[:number]]
    answers = answers or [("",)]  # counts as wrong, as in the official evaluation
    asked = f"\nQ: {row['question']}\nA:"
    # The solved examples of the official evaluation have single spaces, where the data set has others.
    solved = f"{' '.join(row['passage'].split())}{asked} {', '.join(answers[0])}"
    return Question(
        row["passage"] + asked,
        ", ".join(answers[0]),
        grading={"answers": [[*spans] for spans in answers]},
        solved=solved,
    )


def _drop_answer(answer: Columns) -> tuple[str, ...]:
    """Return the spans of an answer: a number, texts, or a date as day, month and year."""
    if answer["number"]:
        return (str(answer["number"]),)
    if len(answer["spans"]):
        return tuple(answer["spans"])
    return (" ".join(answer["date"][part] for part in ("day", "month", "year")).strip(),)


def _choice(query: str, choices: Sequence[str], right: int, **rest: Any) -> Question:
    """Return a question whose answer is the letter of an option; `official` is the letter that its solved form shows."""
    if not 0 <= right < len(choices):
        raise RowError(f"the right option is number {right}, and there are {len(choices)} options")
    lines = [f"{letter}. {choice.strip()}\n" for letter, choice in zip(ascii_uppercase, choices, strict=False)]
    prompt, letter = f"{query.strip()}\n{''.join(lines)}Answer:", ascii_uppercase[right]
    shown = rest.get("official") or letter
    return Question(prompt, letter, solved=f"{prompt} {shown}", options=len(choices), **rest)


def _mmlu(row: Columns, source: str) -> Question:
    return _choice(row["question"], row["choices"], row["answer"], group=row["subject"])


def _arc(row: Columns, source: str) -> Question:
    choices, key = row["choices"], row["answerKey"]
    if key not in choices["label"]:
        raise RowError(f"`answerKey` {key!r} is none of the labels {', '.join(choices['label'])}")
    # Some rows have the labels 1 to 4. The official evaluation shows its options as A to D, and counts only the digit as right.
    official = None if key in ascii_uppercase else key
    return _choice(row["question"], choices["text"], [*choices["label"]].index(key), official=official)


def _hellaswag(row: Columns, source: str) -> Question:
    query = f"{row['ctx_a']} {row['ctx_b'].capitalize()}\nQuestion: Which is the most logical continuation?"
    return _choice(query, row["endings"], int(row["label"]))


def _winogrande(row: Columns, source: str) -> Question:
    return _choice(row["sentence"], [row["option1"], row["option2"]], int(row["answer"]) - 1)


def _boolq(row: Columns, source: str) -> Question:
    query = f"{row['passage']}\nQuestion: {row['question'].capitalize()}?"
    return _choice(query, ["Yes", "No"], 1 - int(bool(row["answer"])))


def _mmlu_pro(row: Columns, source: str) -> Question:
    options = [*row["options"]]
    lines = [f"({letter}) {option}\n" for letter, option in zip(ascii_uppercase, options, strict=False)]
    if row["answer"] not in ascii_uppercase[: len(options)]:
        raise RowError(f"`answer` {row['answer']!r} is none of the {len(options)} options")
    prompt = f"{row['question']}\nOptions:\n{''.join(lines)}"
    return Question(prompt, row["answer"], group=row["category"], grading={"choices": options})


def _ifeval(row: Columns, source: str) -> Question:
    names = ("key", "prompt", "instruction_id_list", "kwargs")
    return Question(row["prompt"], "", grading={name: row[name] for name in names})


def _humaneval(row: Columns, source: str) -> Question:
    grading = {name: row[name] for name in ("prompt", "test", "entry_point")}
    return Question(row["prompt"], row["canonical_solution"], grading=grading)


def _mbpp(row: Columns, source: str) -> Question:
    tests = "\n".join(row["test_list"])
    grading = {"test_list": [*row["test_list"]], "test_setup_code": row.get("test_setup_code") or ""}
    return Question(f"{row['text']}\nYour code should pass these tests:\n\n{tests}", row["code"], grading=grading)


def _bfcl(row: Columns, source: str) -> Question:
    reader: Any = NAMED_READERS["bfcl"] if "question" in row else SCHEMAS["messages"]
    example = reader.read(row, source, DIRECT)[-1]
    prompt = example.messages[-1].content
    return Question(prompt, example.reference, grading=example.grading, messages=example.messages)


_PAPER = "paper, arXiv 2605.20613"
_README = "README of sapientinc/HRM-Text"
_MATH_CONFIGS = (
    "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra", "precalculus"
)  # fmt: skip
_LETTER: dict[str, Any] = {"grader": "letter", "max_new_tokens": 1}

BENCHMARKS: dict[str, Benchmark] = {
    "gsm8k": Benchmark(
        "GSM8K", "openai/gsm8k", _gsm8k, "numeric", COT, ("main",), context=3072, published=84.5, published_in=_PAPER
    ),
    "math": Benchmark(
        "MATH", "EleutherAI/hendrycks_math", _math, "math", COT, _MATH_CONFIGS, context=3072, published=56.2, published_in=_PAPER
    ),
    "drop": Benchmark(
        "DROP", "EleutherAI/drop", _drop, "drop", split="validation", shots=3, context=3072, published=82.2, published_in=_PAPER,
        solved=("03d236070c576dee", "24d7836c54f1be0a", "67c827ad1c96a797"),
    ),
    "mmlu": Benchmark(
        "MMLU", "cais/mmlu", _mmlu, configs=("all",), shots=5, shot_split="dev", by_group=True, published=60.7,
        published_in=_PAPER, shots_by_group={"high_school_european_history": 3}, **_LETTER,
    ),
    "arc_challenge": Benchmark(
        "ARC-Challenge", "allenai/ai2_arc", _arc, configs=("ARC-Challenge",), shots=25, shot_split="validation", published=81.9,
        published_in=_PAPER, **_LETTER,
    ),
    "hellaswag": Benchmark(
        "HellaSwag", "Rowan/hellaswag", _hellaswag, split="validation", shots=10, published=63.4, published_in=_README, **_LETTER
    ),
    "winogrande": Benchmark(
        "Winogrande", "allenai/winogrande", _winogrande, configs=("winogrande_debiased",), split="validation", shots=5,
        published=72.4, published_in=_README, **_LETTER,
    ),
    "boolq": Benchmark(
        "BoolQ", "google/boolq", _boolq, split="validation", shots=5, published=86.2, published_in=_README, **_LETTER
    ),
    "mmlu_pro": Benchmark("MMLU-Pro", "TIGER-Lab/MMLU-Pro", _mmlu_pro, "choice", COT, context=3072),
    "ifeval": Benchmark("IFEval", "google/IFEval", _ifeval, "ifeval", COT, split="train", is_official=False),
    "humaneval": Benchmark(
        "HumanEval", "openai/openai_humaneval", _humaneval, "code", COT, ("openai_humaneval",), is_official=False
    ),
    "mbpp": Benchmark("MBPP", "google-research-datasets/mbpp", _mbpp, "code", COT, ("full",), is_official=False),
    "bfcl_simple": Benchmark(
        "BFCL simple", "gorilla-llm/Berkeley-Function-Calling-Leaderboard", _bfcl, "tool_calls", split="train", is_official=False,
        data_files="BFCL_v3_simple.json",
    ),
}  # fmt: skip
PAPER = ("gsm8k", "math", "drop", "mmlu", "arc_challenge", "hellaswag", "winogrande", "boolq")


# --- Files to questions


def read_questions(name: str, data: str | None = None, limit: int | None = None) -> tuple[list[Question], bool]:
    """Read the questions of a benchmark, and put the solved examples before each of them.

    Args:
        name: one of `BENCHMARKS`.
        data: a local copy: the file of the questions, or a folder with the files of the Hub; None for the Hub.
        limit: take at most this many questions, evenly spread over the rows, so that every subject is among them.

    Returns:
        The questions, and whether their prompts are those of the official evaluation.

    Raises:
        UserError: for rows that cannot be found or are not rows of the benchmark, or too few solved examples.
    """
    benchmark = BENCHMARKS[name]
    questions = list(_read(benchmark, data, benchmark.split))
    if limit is not None and limit < len(questions):
        questions = [questions[number * len(questions) // limit] for number in range(limit)]
    solved, is_official = _solved(name, data) if benchmark.shots else ({}, benchmark.is_official)
    for number, question in enumerate(questions):
        group = question.group if benchmark.by_group else None
        shots = benchmark.shots_by_group.get(group or "", benchmark.shots)
        shown = solved.get(group, [])[:shots]
        if len(shown) < shots:
            of_group = f" of {group}" if group else ""
            raise UserError(
                f"{name} shows {shots} solved examples{of_group} (split {benchmark.shot_split}), and {data or benchmark.hub} has "
                f"{len(shown)}. Use the whole split."
            )
        prompt = "".join(f"{text}\n\n" for text in shown) + question.prompt
        questions[number] = replace(question, prompt=prompt.strip())  # as in `evaluation/engines.py`
    return questions, is_official


def _solved(name: str, data: str | None) -> tuple[dict[str | None, list[str]], bool]:
    """Return the solved examples by group, and whether they are those of the official evaluation."""
    benchmark = BENCHMARKS[name]
    if data is not None and os.path.isfile(data):
        raise UserError(
            f"{name} needs solved examples of the split {benchmark.shot_split}, and {data} is one file. Name a folder with both splits."
        )
    by_group: dict[str | None, list[str]] = defaultdict(list)
    named: dict[str, str] = {}
    for question in _read(benchmark, data, benchmark.shot_split):
        shown = by_group[question.group if benchmark.by_group else None]
        if len(shown) < benchmark.shots:
            shown.append(question.solved)
        digest = sha256(question.solved.encode()).hexdigest()[:16]
        if digest in benchmark.solved:
            named[digest] = question.solved
        if not benchmark.by_group and len(shown) == benchmark.shots and len(named) == len(benchmark.solved):
            break
    if not benchmark.solved:
        return by_group, True
    if len(named) < len(benchmark.solved):
        return by_group, False
    return {None: [named[digest] for digest in benchmark.solved]}, True


def _read(benchmark: Benchmark, data: str | None, split: str) -> Iterator[Question]:
    for row in _rows(benchmark, data, split):
        if isinstance(row, BadRow):
            raise UserError(f"{row.source}: {row.reason}. Correct the row, or copy the file again.")
        try:
            question = benchmark.read(_Filled(row.data), row.source)
            if not isinstance(question.prompt, str) or not question.prompt.strip():
                raise RowError(f"the question is no text: got {question.prompt!r:.40}")
            yield replace(question, source=row.source)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = str(error) if isinstance(error, RowError) else f"a column has another form ({error})"
            if isinstance(error, KeyError):
                reason = f"there is no column {error}"
            raise UserError(
                f"{row.source}: not a row of {benchmark.title} ({benchmark.hub}): {reason}. Correct the row, or use the published files."
            ) from None


class _Filled(dict[str, Any]):
    """Columns of a row, of which an empty one (null) is an error when it is read."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if value is None:
            raise RowError(f"the column {name!r} is empty")
        return value


def _rows(benchmark: Benchmark, data: str | None, split: str) -> Iterator[Row | BadRow]:
    files = benchmark.data_files
    if data is None:
        for config in benchmark.configs:
            yield from read_rows(benchmark.hub, name=config, split=split, data_files=files)
    elif os.path.isfile(data):
        yield from read_rows(data)
    elif not os.path.isdir(data):
        raise UserError(f"there is no file or folder {data}. Name a local copy of {benchmark.hub} with --data.")
    elif files:
        yield from read_rows(data, data_files=files)
    else:
        for folder in _folders(benchmark, data):
            # A folder may have `dev` and `validation`, which `read_rows` takes for the same split.
            files = "dev[-.]*" if split == "dev" else None
            yield from read_rows(folder, data_files=files) if files else read_rows(folder, split=split)


def _folders(benchmark: Benchmark, data: str) -> list[str]:
    """Return the folders of a local copy that have data files: those of the configurations, `data`, or the copy itself."""
    configs = [os.path.join(data, config) for config in benchmark.configs if config]
    if present := [folder for folder in configs if os.path.isdir(folder)]:
        if len(present) < len(configs):
            missing = next(folder for folder in configs if folder not in present)
            raise UserError(f"there is no folder {missing}. Copy the whole data set {benchmark.hub}.")
        return present
    inside = os.path.join(data, "data")
    return [inside if os.path.isdir(inside) else data]
