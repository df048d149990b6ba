"""The judge in commands and runs: `hrm-align rewards judge`, the preflight on pairs, and reinforcement learning."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hrm_align.config.recipe_files import absolute, locate
from hrm_align.evaluation.scores import Score
from hrm_align.rewards.base import create_grader
from tests.command_line import run
from tests.rewards.judge_server import JudgeServer, Reply, error, parts, reply
from tests.trainers.grpo_runs import grpo, prompts
from tests.trainers.recipe_runs import metrics, weights, write_rows

KEY = "sk-never-shown-4711"
PAIRS = [
    {"prompt": f"Capital of {land}?", "grading": {"better": f"The capital is {city}.", "worse": worse}}
    for land, city, worse in [
        ("France", "Paris", "Lyon"),
        ("Spain", "Madrid", "No idea."),
        ("Italy", "Rome", "The capital is Bari."),  # the double below gives both the same score
        ("Chile", "Santiago", "The capital of Chile is Lima, I think."),  # and this one more than the better one
    ]
] + [{"prompt": f"{n} + 1?", "response": str(n + 1) * (n + 1)} for n in range(4)]


def by_length(request: dict[str, Any]) -> Reply:
    return reply(json.dumps({"score": len(parts(request)["answer to grade"])}))


def words(server: JudgeServer, *more: Any) -> list[Any]:
    options = [f"url={server.url}", "model=judge", "rubric=Long: good.", "scale=100", *more]
    return ["rewards", "judge", *[word for option in options for word in ("--option", option)]]


def test_answers_are_graded_with_their_cost_and_without_the_key(
    capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    rows = [{"prompt": "?", "response": "", "reply": text} for text in ("a", "ab", "ab")]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    with JudgeServer(by_length, key=KEY) as server:
        command = [*words(server, "api_key_env=JUDGE_KEY", "price_in=10"), "--data", data, "--completions", "reply"]
        code, out, err = run(capsys, *command, "--json")
        shown = run(capsys, *command)
    assert code == 0, err
    grades = json.loads(out)
    assert grades["values"] == {"0.01": 1, "0.02": 2}
    assert grades["usage"] == {"requests": 2, "cached": 1, "retries": 0, "prompt_tokens": 200, "completion_tokens": 20,
                               "failures": 0, "cost": 0.002}  # fmt: skip
    assert "2 requests, 1 cached" in shown[1] and "0.002 cost" in " ".join(shown[1].split())
    assert KEY not in out + err + shown[1] + shown[2]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.numeric
def test_the_preflight_counts_the_pairs_in_the_right_order(capsys, tmp_path: Path):
    split = [write_rows(tmp_path / "stated.jsonl", PAIRS[:4]), write_rows(tmp_path / "references.jsonl", PAIRS[:3:-1])]
    with JudgeServer(by_length) as server:
        stated = run(capsys, *words(server, "min_right=0.5"), "--data", split[0], "--preflight", "--json")
        failing = run(capsys, *words(server), "--data", split[0], "--preflight")
        made = run(capsys, *words(server, "min_right=0.75"), "--data", split[1], "--preflight", "--json")
    assert stated[0] == 0, stated[2]
    report = json.loads(stated[1])["pairs"]["judge"]
    assert (report["right"], report["ties"], report["wrong"], report["ungraded"]) == (2, 1, 1, 0)
    assert report["share"] == 0.5 and report["interval"] == pytest.approx(Score(2, 4).interval)
    assert report["interval"] == pytest.approx([0.150, 0.850], abs=1e-3), "Wilson 1927"
    assert report["usage"]["requests"] == 8 and report["from_rows"] == 4
    code, out, err = failing
    assert code == 2 and "put 2 of 4 pairs in the right order (50.0%), and min_right is 80.0%" in err
    assert "stated.jsonl:3: 'The capital is Rome.' gets 0.2, and the worse answer" in err
    assert (
        "2 of 4 pairs in the right order (50.0%, 95 % interval 15.0% to 85.0%), 1 ties, 0 pairs not graded"
        in " ".join(out.split())
    )
    report = json.loads(made[1])["pairs"]["judge"]  # a row's counterpart is the next reference, here a shorter one
    assert (made[0], report["right"], report["wrong"], report["from_rows"]) == (0, 3, 1, 0)


@pytest.mark.parametrize(
    "answer, rows, sentence",
    [
        (by_length, [{"prompt": "?"}], "the rows have no pairs for the preflight of judge"),
        (
            by_length,
            [{"prompt": "?", "grading": {"better": "x"}}],
            "rows.jsonl:1: grading.better and grading.worse are not two",
        ),
        (
            lambda request: reply("ten"),
            PAIRS[:2],
            "graded both answers in only 0 of 2 pairs of the preflight; the first failure: ",
        ),
        (lambda request: error(401), PAIRS[:2], "HTTP 401"),
    ],
)
def test_a_preflight_without_a_result_fails(capsys, tmp_path: Path, answer: Any, rows: list[dict], sentence: str):
    data = write_rows(tmp_path / "rows.jsonl", rows)
    with JudgeServer(answer) as server:
        code, _, err = run(capsys, *words(server), "--data", data, "--preflight")
    assert code == 2 and sentence in err and "Traceback" not in err


def test_a_rubric_is_a_text_or_a_file_beside_the_recipe(tmp_path: Path):
    (tmp_path / "rubric.md").write_text("Be kind.\n")
    recipe, texts = tmp_path / "judged.yaml", ["rubric.md", "Give 10 for **/* and 0 otherwise."]
    entries = [{"name": "judge", "url": "http://h/v1", "model": "m", "rubric": text} for text in texts]
    located = locate("rewards", entries, recipe)
    assert [entry["rubric"] for entry in located] == [str(tmp_path / "rubric.md"), texts[1]]
    assert absolute("rewards", located) == located
    assert (
        create_grader("judge", {key: value for key, value in located[0].items() if key != "name"})._rubric
        == "Be kind.\n"
    )  # type: ignore[attr-defined]


def digest_score(seed: str):
    def score(request: dict[str, Any]) -> Reply:
        answer = parts(request)["answer to grade"]
        if answer.endswith("7"):
            return reply("no verdict")
        digest = hashlib.sha256(f"{seed}{answer}".encode()).digest()
        return reply(json.dumps({"score": digest[0] % 11}))

    return score


def test_a_run_logs_its_judge_and_resumes_to_the_bit_from_the_verdicts_on_disk(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    data, whole, resumed = prompts(tmp_path), tmp_path / "whole", tmp_path / "resumed"
    entry = "{{name: judge, url: {url}, model: judge, rubric: 'Give 10: if polite.', api_key_env: JUDGE_KEY, concurrency: {n}, min_right: 0}}"
    flags = [
        "--max_steps",
        "2",
        "--save_strategy",
        "steps",
        "--save_steps",
        "1",
        "--parity_every",
        "0",
        "--health",
        "false",
    ]
    with JudgeServer(digest_score("first"), key=KEY) as server:
        grpo(whole, data, *flags, "--rewards", "exact", entry.format(url=server.url, n=4), "--preflight_samples", "4",
             "--max_ungraded_fraction", "1")  # fmt: skip
        shutil.copytree(whole, resumed)
        shutil.rmtree(resumed / "checkpoint-2")
        (resumed / "model.safetensors").unlink()
        server.answer, asked = digest_score("other"), len(server.requests)  # other scores, if it is asked again
        grpo(
            resumed,
            data,
            *flags,
            "--rewards",
            "exact",
            entry.format(url=server.url, n=8),
            "--resume_from_checkpoint",
            "latest",
        )
        again = [parts(request)["answer to grade"] for request in server.requests[asked:]]
    assert all(bool((weights(whole)[name] == tensor).all()) for name, tensor in weights(resumed).items())
    assert all(answer.endswith("7") for answer in again), "only what had no verdict"
    log = [record for record in metrics(whole) if "reward" in record]
    assert len(log) == 2 and all(record["rewards/usage/judge/requests"] >= 1 for record in log)
    assert all(record["rewards/usage/judge/prompt_tokens"] % 100 == 0 for record in log)
    assert sum(record.get("rewards/faults/judge/no_verdict", 0) for record in log) >= 1
    samples = [json.loads(line) for line in (whole / "samples.jsonl").read_text().splitlines()]
    without = [sample for sample in samples if sample["rewards"]["judge"] is None]
    assert without and all(
        sample["generated"].endswith("7") and sample["rewards"]["exact"] is not None for sample in without
    )
    assert all((sample["reward"], sample["advantage"]) == (None, 0.0) for sample in without), (
        "exact alone does not compare"
    )
    kept = [file for file in whole.rglob("*") if file.is_file() and KEY.encode() in file.read_bytes()]
    assert not kept and "pairs" in json.loads((whole / "run" / "preflight.json").read_text())
