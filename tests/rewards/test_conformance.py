"""The conformance script reads the data sets' own formats, counts each form apart, and lists disagreements by file and line."""

from __future__ import annotations

import gzip
import json
import sqlite3
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from hrm_align.cli import run_with_exit_code
from hrm_align.rewards.base import GRADERS
from tests.rewards.rows import skip_without_sandbox


@pytest.fixture
def conformance(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    return import_module("grader_conformance")


def measure(conformance, capsys, folder: Path, *flags: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return (data set, form) -> counts, of the data sets in the folder."""
    code = run_with_exit_code(conformance.main, [str(folder), "--json", *flags])
    out, err = capsys.readouterr()
    assert code == 0, err
    return {(one["data"], form["form"]): form for one in json.loads(out) for form in one["forms"]}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


PROGRAM = "def larger(a, b):\n    if a > b:\n        return a\n    return b\n"


@pytest.mark.campaign
def test_answers_in_every_form_are_counted_and_peers_stand_beside_them(conformance, capsys, tmp_path: Path):
    write(tmp_path / "gsm8k_test.jsonl.gz", [{"question": "?", "answer": f"1+1={n}\n#### {n:,}"} for n in (2, 1500)])
    write(tmp_path / "math500.jsonl", [{"problem": "?", "answer": r"\frac{1}{2} x^3"}])
    pairs = [("3", r"\frac{6}{2}", True), ("3", "4", False), ("(1,2)", r"\{1,2\}", False)]
    write(tmp_path / "pairs.jsonl", [dict(zip(("reference", "answer", "equal"), pair, strict=True)) for pair in pairs])
    counts = measure(conformance, capsys, tmp_path, "--save", str(tmp_path / "saved"))
    assert {(data, counts[data, form]["n"]) for data, form in counts} >= {("GSM8K", 2), ("MATH", 1), ("pairs", 2)}
    assert [key for key, form in counts.items() if form["rewarded"] != form["should"] or form["unreadable"]] == []
    assert counts["GSM8K", "reference"]["peers"] == {"GSM8K's regex": 2, "math-verify": 2}
    assert counts["GSM8K", "fence"]["peers"]["GSM8K's regex"] == 0
    assert counts["GSM8K", "wrong: next number"]["peers"] == {"GSM8K's regex": 0, "math-verify": 0}
    assert counts["pairs", "wrong: different pair"]["peers"] == {"math-verify": 1}
    (line,) = (tmp_path / "saved/pairs-math.jsonl").read_text().splitlines()
    kept = {"where": f"{tmp_path}/pairs.jsonl:3", "value": 0.0, "should": 0.0, "peers": {"math-verify": 1.0}}
    assert kept.items() <= json.loads(line).items()


@pytest.mark.campaign
def test_programs_are_judged_beside_plain_python(conformance, capsys, tmp_path: Path):
    """The swapped branches of the second program pass its assert, since no assert looks at what they change."""
    skip_without_sandbox()
    head, _, body = PROGRAM.partition("\n")
    check = "def check(candidate):\n    assert candidate(1, 2) == 2\n"
    human = {"prompt": head + "\n", "canonical_solution": body, "entry_point": "larger", "test": check}
    weak = {"text": "?", "code": PROGRAM, "test_list": ["assert larger(2, 2) == 2"], "test_setup_code": ""}
    write(tmp_path / "HumanEval.jsonl", [human])
    write(tmp_path / "mbpp.jsonl", [weak])
    counts = measure(conformance, capsys, tmp_path)
    by_python = {key: form["peers"]["plain Python"] for key, form in counts.items()}
    assert [by_python["HumanEval", form] for form in ("reference", "fence", "wrong: None", "wrong: off by one")] == [
        1,
        1,
        0,
        0,
    ]
    assert (by_python["HumanEval", "open: swapped branches"], by_python["MBPP", "open: swapped branches"]) == (0, 1)
    for key, form in counts.items():  # a row that the grader refuses has no values at all
        assert form["unreadable"] == form["n"] or form["rewarded"] == by_python[key], key


def test_queries_calls_and_schemas_are_read_in_their_published_forms(conformance, capsys, tmp_path: Path):
    (tmp_path / "database/shop").mkdir(parents=True)
    with sqlite3.connect(tmp_path / "database/shop/shop.sqlite") as database:
        database.executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2);")
    database.close()
    query = {"question": "?", "query": "SELECT a FROM t", "db_id": "shop"}
    (tmp_path / "dev.json").write_text(json.dumps([query, query]))
    call = {
        "id": "s_0",
        "question": [[{"role": "user", "content": "?"}]],
        "function": [{"name": "f", "parameters": {}}],
    }
    write(tmp_path / "BFCL_v4_simple_python.json", [call])
    write(tmp_path / "possible_answer/BFCL_v4_simple_python.json", [{"id": "s_0", "ground_truth": [{"f": {"x": [3], "y": ["", 2]}}]}])  # fmt: skip
    tests = [{"data": 1, "valid": True}, {"data": "1", "valid": False}]
    suite = tmp_path / "JSON-Schema-Test-Suite/tests/draft7"
    suite.mkdir(parents=True)
    (suite / "type.json").write_text(json.dumps([{"schema": {"type": "integer"}, "tests": tests}]))
    counts = measure(conformance, capsys, tmp_path)
    assert {form for data, form in counts if data == "Spider"} == {"reference", "fence", "as a table", "wrong: no rows", "wrong: rows twice"}  # fmt: skip
    for (data, form), own in counts.items():
        assert data != "Spider" or own["rewarded"] == own["should"], form
        assert own["unreadable"] == own["n"] or own["rewarded"] == own["should"], (data, form)
    assert counts["JSON-Schema", "valid"]["peers"] == counts["JSON-Schema", "valid"]["peers"] | {"jsonschema": 1}
    assert ("BFCL", "wrong: another value") in counts or "tool_calls" not in GRADERS


def test_calls_are_made_wrong_in_three_ways(conformance):
    texts = import_module("conformance.sources").call_texts({"name": "f", "arguments": {"x": 3, "y": 2}}, {"x": [3], "y": [2, ""]})  # fmt: skip
    assert texts["wrong: another name"] == '<tool_call>{"name": "f_2", "arguments": {"x": 3, "y": 2}}</tool_call>'
    assert texts["wrong: another value"] == '<tool_call>{"name": "f", "arguments": {"x": 4, "y": 2}}</tool_call>'
    assert texts["wrong: without an argument"] == '<tool_call>{"name": "f", "arguments": {"y": 2}}</tool_call>'


def test_data_that_are_not_there_are_named_with_their_address(conformance, capsys, tmp_path: Path):
    write(tmp_path / "pairs.jsonl", [{"reference": "3", "answer": "4", "equal": True}])
    assert run_with_exit_code(conformance.main, [str(tmp_path), "--no-peers"]) == 0
    out = capsys.readouterr().out
    assert "| pairs | math | equal pair | 1 | 0 | 1 | 0 | 0 |" in out
    assert (
        "HumanEval, code: not measured; not there: HumanEval.jsonl. Download: https://github.com/openai/human-eval"
        in out
    )
    assert f"{tmp_path}/pairs.jsonl:1: math 0, should be 1\n  equal pair: '\\\\boxed{{4}}'" in out
    assert run_with_exit_code(conformance.main, [str(tmp_path / "none")]) == 2
    assert "has none of the data sets" in capsys.readouterr().err


def test_the_page_names_every_source_with_its_files_and_licence(conformance):
    page = (Path(__file__).parents[2] / "docs/results/graders.md").read_text()
    for source in conformance.SOURCES:
        line = next(line for line in page.splitlines() if line.startswith(f"| {source.name}"))
        for word in (*source.files, *source.graders, source.licence):
            assert word.removesuffix(".jsonl") in line, (source.name, word)
