"""Readers of public data sets: each builds the cases of a downloaded file or folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.cases import Case, Source, build_case, fenced, read_file_rows
from conformance.programs import off_by_one, returns_none, swap_branches, tested_function
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.rendering import tool_call_text
from hrm_align.rewards.base import corrupt_json, corrupt_text


def read_gsm8k(path: Path) -> list[Case]:
    """Word problems: `question`, and `answer` with a last line such as `#### 7`."""
    cases = []
    for row, source in read_file_rows(path):
        answer = row["answer"].rpartition("####")[2].strip()
        number = int(answer.replace(",", ""))
        texts = {
            "reference": row["answer"], "bare": answer, "fence": fenced(answer), "box": rf"So it is \boxed{{{answer}}}.",
            "marker": f"**Answer:** {answer}", "sentence": f"The answer is {answer}, because I counted.",
            "wrong: next number": f"#### {number + 1}", "wrong: first digit": f"#### {corrupt_text(answer)}",
            "wrong: another sign": f"#### {-number if number else 1}",
        }  # fmt: skip
        cases.append(build_case(source, row["question"], row["answer"], texts, {"gold": answer}))
    return cases


def read_math(path: Path) -> list[Case]:
    """Mathematics with `answer` in LaTeX, and the prompt in `problem` or `question`."""
    cases = []
    for row, source in read_file_rows(path):
        answer = str(row["answer"])
        spellings = {
            "no spaces": re.sub(r"(?<=[^A-Za-z\\]) +| +(?=[^A-Za-z])", "", answer),
            "bmatrix": answer.replace("pmatrix", "bmatrix"),
            "braces": re.sub(r"\^(\w)", r"^{\1}", answer),
            "dfrac": answer.replace(r"\frac", r"\dfrac"),
        }
        texts = {"reference": rf"\boxed{{{answer}}}", "bare": answer, "fence": fenced(answer), "dollars": f"${answer}$"}
        texts |= {name: rf"\boxed{{{text}}}" for name, text in spellings.items() if text != answer}
        texts["wrong: one digit or letter"] = rf"\boxed{{{corrupt_text(answer)}}}"
        texts["wrong: a word more"] = rf"\boxed{{{answer} \text{{ wrong}}}}"
        prompt = str(row.get("problem") or row.get("question") or "")
        cases.append(build_case(source, prompt, rf"\boxed{{{answer}}}", texts, {"gold": answer}))
    return cases


def read_pairs(path: Path) -> list[Case]:
    """Pairs of `reference` and `answer` with a person's verdict in `equal`."""
    cases = []
    for row, source in read_file_rows(path):
        form = "equal pair" if row["equal"] else "wrong: different pair"
        reference, answer = (rf"\boxed{{{row[name]}}}" for name in ("reference", "answer"))
        cases.append(build_case(source, "", reference, {form: answer}, {"gold": row["reference"]}))
    return cases


def read_human_eval(path: Path) -> list[Case]:
    """Programs with a `test` that defines `check(candidate)`, an `entry_point` and a `prompt` that the solution continues."""
    cases = []
    for row, source in read_file_rows(path):
        program, name = row["prompt"] + row["canonical_solution"], row["entry_point"]
        test = f"{row['test']}\n\ncheck({name})\n"
        grading = {"test": row["test"], "entry_point": name, "prompt": row["prompt"]}
        cases.append(_program_case(source, row["prompt"], program, name, test, grading))
    return cases


def read_mbpp(path: Path) -> list[Case]:
    """Programs with `test_list`, and imports or set-up code of the tests."""
    cases = []
    for row, source in read_file_rows(path):
        program = row["code"].replace("\r\n", "\n").replace("\r", "\n")
        setup = row.get("test_setup_code") or "\n".join(row.get("test_imports") or [])
        name = tested_function(program, row["test_list"])
        test = "\n".join([setup, *row["test_list"]])
        grading = {"test_list": row["test_list"], "test_setup_code": setup}
        cases.append(_program_case(source, str(row.get("text") or row.get("prompt")), program, name, test, grading))
    return cases


def _program_case(
    source: str, prompt: str, program: str, name: str | None, test: str, grading: Mapping[str, Any]
) -> Case:
    texts = {
        "reference": program,
        "fence": fenced(program, "python"),
        "wrong: None": returns_none(name) if name else None,
        "wrong: off by one": off_by_one(program, name) if name else None,
        "open: swapped branches": swap_branches(program),
    }
    return build_case(source, prompt, program, texts, {"test": test}, grading)


def read_bfcl(path: Path) -> list[Case]:
    """Single calls: rows of `messages` and `tools`, or the published files with their `possible_answer`."""
    if path.name.startswith("BFCL"):
        return _read_published_bfcl(path)
    cases = []
    for example in load_examples([DatasetSpec(str(path))])[0]:
        (call,) = example.answer.tool_calls
        ((_, possible),) = example.grading["possible"][0].items()
        cases.append(Case(example, call_texts(call, possible)))
    return cases


def _read_published_bfcl(path: Path) -> list[Case]:
    answers = {row["id"]: row["ground_truth"] for row, _ in read_file_rows(path.parent / "possible_answer" / path.name)}
    cases = []
    for row, source in read_file_rows(path):
        ((name, possible),) = answers[row["id"]][0].items()
        given = {key: values[0] for key, values in possible.items() if values[0] != ""}
        call = {"name": name, "arguments": given}
        prompt = json.dumps(row["function"]) + "\n" + row["question"][0][-1]["content"]
        reference = f"<tool_call>{tool_call_text(call)}</tool_call>"
        cases.append(
            build_case(source, prompt, reference, call_texts(call, possible), grading={"possible": answers[row["id"]]})
        )
    return cases


def call_texts(call: Mapping[str, Any], possible: Mapping[str, Any]) -> dict[str, str]:
    """Return a call in several forms, and wrong calls: another name, another value, without an argument, no call.

    Args:
        call: `name` and `arguments`.
        possible: argument -> its correct values, with `""` among them for an optional argument.
    """
    name, given = call["name"], dict(call["arguments"])

    def tagged(name: str, arguments: Mapping[str, Any]) -> str:
        return f"<tool_call>{tool_call_text({'name': name, 'arguments': arguments})}</tool_call>"

    texts = {
        "reference": tagged(name, given),
        "fence": fenced(tool_call_text(call), "json"),
        "sentences": f"I call it now.\n{tagged(name, given)}",
        "wrong: another name": tagged(f"{name}_2", given),
        "wrong: no call": f"I would call {name}.",
        "wrong: twice": tagged(name, given) * 2,
    }
    required = [key for key, values in possible.items() if key in given and "" not in values]
    if required:
        key = required[0]
        texts["wrong: another value"] = tagged(name, {**given, key: corrupt_json(given[key])})
        texts["wrong: without an argument"] = tagged(name, {k: value for k, value in given.items() if k != key})
    return texts


def read_text_to_sql(path: Path) -> list[Case]:
    """Questions with a query and a database: Spider's and BIRD's `dev.json`, beside their folder of databases."""
    cases = []
    for row, source in read_file_rows(path):
        query = str(row.get("query") or row["SQL"]).strip().rstrip(";")
        name = row["db_id"]
        folders = [path.parent / folder / name for folder in ("database", "databases", "dev_databases")]
        database = next((folder / f"{name}.sqlite" for folder in folders if folder.is_dir()), folders[0])
        texts = {
            "reference": query,
            "fence": fenced(query, "sql"),
            "as a table": f"SELECT * FROM ({query})" if "order by" not in query.lower() else None,
            "wrong: no rows": f"SELECT * FROM ({query}) LIMIT 0",
            "wrong: rows twice": f"SELECT * FROM ({query}) UNION ALL SELECT * FROM ({query})",
        }
        cases.append(build_case(source, row["question"], query, texts, grading={"database": str(database.resolve())}))
    return cases


DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}


def read_schema_suite(path: Path) -> list[Case]:
    """The folder of JSON-Schema-Test-Suite: groups of `schema` and `tests`, each with `data` and `valid`."""
    cases = []
    for draft, address in DRAFTS.items():
        for file in sorted((path / "tests" / draft).glob("*.json")):
            for number, group in enumerate(json.loads(file.read_text(encoding="utf-8")), start=1):
                schema = group["schema"]
                if isinstance(schema, dict):
                    schema = {"$schema": address, **schema}
                for test in group["tests"]:
                    form = "valid" if test["valid"] else "wrong: invalid"
                    text = json.dumps(test["data"], ensure_ascii=False)
                    source = f"{file}:group {number}"
                    cases.append(build_case(source, "", "", {form: text}, {"schema": schema}, {"schema": schema}))
    return cases


SOURCES = (
    Source("GSM8K", ("gsm8k_test.jsonl", "test.jsonl"), ("math", "numeric"), read_gsm8k,
           "https://github.com/openai/grade-school-math, grade_school_math/data/test.jsonl", "MIT", ("GSM8K's regex", "math-verify")),
    Source("MATH", ("math500.jsonl", "math_test.jsonl"), ("math",), read_math,
           "https://huggingface.co/datasets/HuggingFaceH4/MATH-500, test.jsonl, saved as math500.jsonl", "MIT", ("math-verify",)),
    Source("pairs", ("pairs.jsonl",), ("math",), read_pairs,
           "your own pairs.jsonl: rows of reference, answer and equal (true or false)", "yours", ("math-verify",)),
    Source("HumanEval", ("HumanEval.jsonl",), ("code",), read_human_eval,
           "https://github.com/openai/human-eval, data/HumanEval.jsonl.gz", "MIT", ("plain Python",)),
    Source("MBPP", ("mbpp.jsonl", "mbpp_first_half.jsonl", "sanitized-mbpp.json"), ("code",), read_mbpp,
           "https://github.com/google-research/google-research, mbpp/mbpp.jsonl", "CC-BY 4.0", ("plain Python",)),
    Source("BFCL", ("BFCL_v4_simple_python.json", "BFCL_v3_simple.json", "bfcl_simple_400.jsonl"), ("tool_calls",), read_bfcl,
           "https://github.com/ShishirPatil/gorilla, berkeley-function-call-leaderboard/bfcl_eval/data: BFCL_v4_simple_python.json and the "
           "file of the same name in possible_answer/", "Apache-2.0", ("BFCL's own checker",)),
    Source("Spider", ("dev.json", "spider/dev.json"), ("sql",), read_text_to_sql,
           "https://yale-lily.github.io/spider: dev.json and the folder database/", "CC-BY-SA 4.0", ("Spider's test suite",)),
    Source("BIRD", ("bird/dev.json", "mini_dev_sqlite.json"), ("sql",), read_text_to_sql,
           "https://bird-bench.github.io: dev.json and dev_databases/, both in a folder bird/", "CC-BY-SA 4.0", ()),
    Source("JSON-Schema", ("JSON-Schema-Test-Suite",), ("json",), read_schema_suite,
           "https://github.com/json-schema-org/JSON-Schema-Test-Suite, the whole repository", "MIT", ("jsonschema",)),
)  # fmt: skip
