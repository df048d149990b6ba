"""Small copies of public benchmarks, made up, in the files and columns of the Hub: 20 questions each, and solved examples."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

THINGS = ("iron", "water", "a horse", "the moon", "bread")
QUESTIONS = 20


def write(folder: Path, name: str, rows: list[dict]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), folder / name)
    else:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def splits(folder: Path, row, **numbers: int) -> None:
    """Write one Parquet file for each split; rows are numbered through, so that no split repeats another."""
    first = 0
    for split, number in numbers.items():
        write(folder, f"{split}-00000-of-00001.parquet", [row(i) for i in range(first, first + number)])
        first += number


def gsm8k(i):
    answer = f"{i + 3} + {i} = <<{i + 3}+{i}={2 * i + 3}>>{2 * i + 3}\n#### {2 * i + 3:,}"
    return {"question": f"Ann has {i + 3} pens and buys {i}. How many? ", "answer": answer}


def math(i, subject="Algebra"):
    answer = [rf"\frac{{{i}}}{{7}}", rf"\sqrt{{{i + 2}}}", str(i + 5)][i % 3]
    return {
        "problem": f"Problem {i} of {subject}: $x_{{{i}}}$?",
        "level": "Level 1",
        "type": subject,
        "solution": rf"So $\boxed{{{answer}}}$.",
    }


def drop(i):
    none = {"day": "", "month": "", "year": ""}
    kinds = [
        {"number": str(40 + i), "date": none, "spans": []},
        {"number": "", "date": none, "spans": [f"the {i} Bills"]},
        {"number": "", "date": none, "spans": [f"Red {i}", f"Blue {i}"]},
        {"number": "", "date": {"day": str(i + 1), "month": "May", "year": "1364"}, "spans": []},
    ]
    answer = kinds[i % 4]
    validated = {key: [answer[key]] for key in ("number", "date", "spans")}
    extra = {"worker_id": "", "hit_id": ""}
    return {
        "section_id": f"nfl_{i}",
        "query_id": f"q{i}",
        "passage": f" Team {i}  played\u00a0well.  They won. ",
        "question": f"What about {i}?",
        "answer": {**answer, **extra},
        "validated_answers": {**validated, "worker_id": [""], "hit_id": [""]},
    }


def choices(i, count):
    return [f" {THINGS[(i + k) % 5]} {k}" for k in range(count)]


def right(i, count):
    return random.Random(i).randrange(count)


def mmlu(i):
    subject = ("anatomy", "high_school_european_history")[i % 2]
    return {"question": f" What is {i}?\n", "subject": subject, "choices": choices(i, 4), "answer": right(i, 4)}


def arc(i):
    labels = list("1234" if i % 10 == 9 else "ABCD")
    return {
        "id": f"Mercury_{i}",
        "question": f"Which is {i}?",
        "choices": {"text": choices(i, 4), "label": labels},
        "answerKey": labels[right(i, 4)],
    }


def hellaswag(i):
    return {
        "ind": i,
        "activity_label": "Running",
        "ctx_a": f"A man runs {i} miles.",
        "ctx_b": "he THEN",
        "ctx": f"A man runs {i} miles. he THEN",
        "endings": choices(i, 4),
        "source_id": f"a{i}",
        "split": "val",
        "split_type": "indomain",
        "label": str(right(i, 4)),
    }


def winogrande(i):
    first, second = choices(i, 2)
    return {
        "sentence": f"Ann met Bea {i} times because _ was kind.",
        "option1": first,
        "option2": second,
        "answer": str(right(i, 2) + 1),
    }


def boolq(i):
    return {"question": f"is NATO {i} years old", "answer": bool(right(i, 2)), "passage": f"NATO is {i} years old.\n"}


def mmlu_pro(i):
    options = choices(i, 10)
    index = right(i, 10)
    return {
        "question_id": i,
        "question": f"Which of {i}?",
        "options": options,
        "answer": "ABCDEFGHIJ"[index],
        "answer_index": index,
        "cot_content": "",
        "category": ("law", "math")[i % 2],
        "src": "made",
    }


def ifeval(i):
    known = [
        ("punctuation:no_comma", {}),
        ("length_constraints:number_words", {"relation": "at least", "num_words": i + 2}),
    ]
    names, kwargs = zip(*known[: 1 + i % 2], strict=True)
    return {
        "key": i,
        "prompt": f"Write about {i}. Use no commas.",
        "instruction_id_list": list(names),
        "kwargs": list(kwargs),
    }


def humaneval(i):
    return {
        "task_id": f"HumanEval/{i}",
        "prompt": f'\n\ndef add_{i}(x: int) -> int:\n    """ Add {i}. """\n',
        "canonical_solution": f"    return x + {i}\n",
        "test": f"\n\ndef check(candidate):\n    assert candidate(1) == {i + 1}\n    assert candidate(5) == {i + 5}\n",
        "entry_point": f"add_{i}",
    }


def mbpp(i):
    return {
        "task_id": i,
        "text": f"Write a function to multiply by {i + 2}.",
        "code": f"def times(x):\r\n  return x * {i + 2}",
        "test_list": [f"assert times({k}) == {k * (i + 2)}" for k in (1, 2, 3)],
        "test_setup_code": "",
        "challenge_test_list": [],
    }


def bfcl(i):
    parameters = {"type": "dict", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    function = [{"name": f"area.of_{i}", "description": "Area.", "parameters": parameters}]
    return {
        "id": f"simple_{i}",
        "question": [[{"role": "user", "content": f"Find the area of {i}."}]],
        "function": function,
    }


def write_copies(folder: Path) -> Path:
    """Write a copy of every benchmark into `folder`, in a folder of its name."""
    n = QUESTIONS
    splits(folder / "gsm8k/main", gsm8k, test=n, train=2)
    for subject, number in zip(
        (
            "algebra",
            "counting_and_probability",
            "geometry",
            "intermediate_algebra",
            "number_theory",
            "prealgebra",
            "precalculus",
        ),
        (2, 3, 3, 3, 3, 3, 3),
        strict=True,
    ):
        splits(folder / "math" / subject, lambda i, subject=subject: math(i, subject), test=number, train=1)
    splits(folder / "drop/data", drop, validation=n, train=4)
    splits(folder / "mmlu/all", mmlu, test=n, validation=4, dev=12, auxiliary_train=3)
    splits(folder / "arc_challenge/ARC-Challenge", arc, test=n, validation=30, train=2)
    splits(folder / "hellaswag/data", hellaswag, validation=n, train=12, test=2)
    splits(folder / "winogrande/winogrande_debiased", winogrande, validation=n, train=7)
    splits(folder / "boolq/data", boolq, validation=n, train=7)
    splits(folder / "mmlu_pro/data", mmlu_pro, test=n, validation=3)
    write(folder / "ifeval", "ifeval_input_data.jsonl", [ifeval(i) for i in range(n)])
    splits(folder / "humaneval/openai_humaneval", humaneval, test=n)
    splits(folder / "mbpp/full", mbpp, test=n, train=2, validation=2, prompt=2)
    write(folder / "bfcl_simple", "BFCL_v3_simple.json", [bfcl(i) for i in range(n)])
    truth = [{"id": f"simple_{i}", "ground_truth": [{f"area.of_{i}": {"a": [i, i + 100]}}]} for i in range(n)]
    write(folder / "bfcl_simple/possible_answer", "BFCL_v3_simple.json", truth)
    return folder
