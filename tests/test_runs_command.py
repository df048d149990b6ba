"""`hrm-align runs list` and `runs compare`: states, scores with intervals, differences, curves, and damaged folders."""

import json
import math
import os
import sys
import time
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

import pytest

from hrm_align.trainers.claim import Owner
from tests.command_line import run
from tests.forks import Forks
from tests.run_folders import GRPO, LOST, SFT, compared, listed, shown, write_run
from tests.trainers.grpo_runs import grpo, prompts
from tests.trainers.recipe_runs import sft, write_rows

END = {"train_runtime": 1.0, "train_loss": 1.0}
FRESH = Forks("json")  # Python with nothing imported
DEAD = replace(Owner.this_process(), process_start="of another process")
ELSEWHERE = replace(Owner.this_process(), host="elsewhere")


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory) -> Path:
    """Two fine-tunings that differ in rate and rows, made by the recipes."""
    folder = tmp_path_factory.mktemp("runs")
    rows = [{"prompt": f"Add {a} and {b}.", "response": str(a + b)} for a in range(1, 6) for b in range(1, 9)]
    few, many = write_rows(folder / "few.jsonl", rows[:24]), write_rows(folder / "many.jsonl", rows)
    held_out = write_rows(folder / "held.jsonl", rows[:7])
    evaluated = ("--eval_datasets", str(held_out), "--eval_strategy", "steps", "--generation_eval_samples", "64")
    steps = ("--max_steps", "4", "--logging_steps", "1", "--eval_steps", "2", "--save_strategy", "no")
    flags = (*evaluated, *steps, "--max_new_tokens", "6", "--per_device_train_batch_size", "8")
    sft(folder / "runs/slow", few, *flags)
    sft(folder / "runs/fast", many, *flags, "--learning_rate", "1e-3", "--use_peft", "true")
    return folder / "runs"


@pytest.fixture(scope="module")
def trained(fine_tuned) -> Path:
    """The two fine-tunings, and a reinforcement learning."""
    folder = fine_tuned.parent
    evaluated = ("--eval_datasets", str(prompts(folder)), "--eval_strategy", "steps", "--generation_eval_samples", "6")
    grpo(
        fine_tuned / "rl", prompts(folder), "--max_steps", "1", "--logging_steps", "1", "--eval_steps", "1", *evaluated
    )
    return fine_tuned


def test_list_shows_what_the_recipes_have_trained(capsys, trained):
    report = listed(capsys, trained)
    found = {Path(entry["folder"]).name: entry for entry in report["runs"]}
    assert [*found] == ["rl", "fast", "slow"], "the newest first"
    assert [(entry["kind"], entry["trained"], entry["step"], entry["planned"]) for entry in found.values()] == [
        ("grpo", "full", 1, 1),
        ("sft", "adapter", 4, 4),
        ("sft", "full", 4, 4),
    ]
    assert {entry["state"] for entry in found.values()} == {"finished"} and report["other_folders"] == []
    logged = [json.loads(line) for line in (trained / "slow/metrics.jsonl").read_text().splitlines()]
    assert found["slow"]["last"] == {"name": "loss", "step": 4, "value": [r["loss"] for r in logged if "loss" in r][-1]}
    assert found["slow"]["held_out"]["name"] == "eval_exact_match" and found["slow"]["held_out"]["step"] == 4
    assert found["rl"]["last"]["name"] == "reward" and found["rl"]["held_out"]["name"] == "eval_reward"
    files = [path.stat().st_size for path in (trained / "fast").rglob("*") if path.is_file()]
    assert found["fast"]["bytes"] == sum(files)
    lines = [" ".join(words) for words in shown(capsys, "list", trained)]
    assert any("sft 4 finished loss exact_match" in line for line in lines) and any(
        "adapter of 4" in line for line in lines
    )


STATES = {
    "finished": ({"metrics": [{"step": 40, "loss": 1.0}, {"step": 40, **END}], "final": 40}, ("finished", 40, 40)),
    "stopped early by the run itself": ({"metrics": [{"step": 9, **END}], "final": 9}, ("finished", 9, 40)),
    "killed": ({"metrics": [{"step": 7, "loss": 1.0}]}, ("stopped", 7, 40)),
    "killed after training, before its weights were saved": ({"metrics": [{"step": 40, **END}]}, ("stopped", 40, 40)),
    "killed before its first step": ({}, ("stopped", 0, 40)),
    "killed, with a claim": ({"metrics": [{"step": 7}], "claim": asdict(DEAD)}, ("stopped", 7, 40)),
    "resumed after its end, and killed": (
        {"metrics": [{"step": 20, **END}, {"step": 20, "resumed_from": "checkpoint-20"}], "final": 20},
        ("stopped", 20, 40),
    ),
    "resumed after its end, and killed later": (
        {"metrics": [{"step": 20, **END}, {"step": 20, "resumed_from": "c"}, {"step": 30, "loss": 1.0}], "final": 20},
        ("stopped", 30, 40),
    ),
    "preempted": ({"metrics": [{"step": 7}], "preempted": {"step": 7}}, ("preempted", 7, 40)),
    "running": ({"metrics": [{"step": 7}], "claim": asdict(Owner.this_process())}, ("running", 7, 40)),
    "running on another machine": ({"claim": asdict(ELSEWHERE)}, ("running", 0, 40)),
    "reading its rows": ({"settings": None, "claim": asdict(Owner.this_process())}, ("running", 0, None)),
    "planned in epochs": (
        {"settings": {**SFT, "max_steps": -1, "num_train_epochs": 2.0}, "metrics": [{"step": 5, "epoch": 5 / 12}]},
        ("stopped", 5, 24),
    ),
    "planned in epochs, nothing logged": ({"settings": {**SFT, "max_steps": -1}}, ("stopped", 0, None)),
}


@pytest.mark.parametrize(("records", "expected"), STATES.values(), ids=STATES)
def test_list_tells_the_state_of_a_run_from_its_records(capsys, tmp_path, records, expected):
    write_run(tmp_path / "runs/mine", **records)
    (entry,) = listed(capsys, tmp_path / "runs")["runs"]
    assert (entry["state"], entry["step"], entry["planned"]) == expected and entry["problems"] == []
    shown(capsys, "list", tmp_path / "runs")


def test_a_claim_of_another_machine_that_is_not_renewed_is_no_running_run(capsys, tmp_path):
    folder = write_run(tmp_path / "runs/mine", claim=asdict(ELSEWHERE))
    os.utime(folder / "run/claim.json", (time.time() - 90,) * 2)
    assert listed(capsys, tmp_path / "runs")["runs"][0]["state"] == "stopped"


def test_a_checkpoint_after_the_last_record_counts_its_steps(capsys, tmp_path):
    folder = write_run(tmp_path / "runs/mine", metrics=[{"step": 25, "loss": 1.0}])
    (folder / "checkpoint-30").mkdir()
    assert listed(capsys, tmp_path / "runs")["runs"][0]["step"] == 30
    os.utime(
        folder / "checkpoint-30", (1, 1)
    )  # older than the record: its steps were lost, and the run was resumed below
    assert listed(capsys, tmp_path / "runs")["runs"][0]["step"] == 25


def test_list_names_damaged_records_and_other_folders(capsys, tmp_path):
    runs = tmp_path / "runs"
    write_run(runs / "broken", metrics=[{"step": 1, "loss": 2.0}], data=[1, 2])
    (runs / "broken/run/resolved.yaml").write_text("a: [")
    with (runs / "broken/metrics.jsonl").open("a") as file:
        file.write('nonsense\n[]\n{"step": 2, "loss": 1.0}\n{"step": 3, "lo')  # the last line is being written
    write_run(runs / "group/inner[b]", GRPO, metrics=[{"step": 2, "reward": 0.5}])
    (runs / "notes/deep").mkdir(parents=True)
    (runs / "afile").write_text("x")
    report = listed(capsys, runs)
    (broken,) = [entry for entry in report["runs"] if entry["folder"].endswith("broken")]
    assert broken["kind"] is None and (broken["step"], broken["last"]["value"]) == (2, 1.0)
    assert [problem.split("/run/")[-1].split("/")[-1] for problem in broken["problems"]] == [
        "resolved.yaml is damaged",
        "data.json is damaged",
        "metrics.jsonl is damaged in line 2, 3, which is left out",
    ]
    assert report["other_folders"] == [str(runs / "notes")]
    text = run(capsys, "runs", "list", runs)[1].replace("\n", "")
    assert "resolved.yaml is damaged." in text and "notes contains no run" in text and "[b]" in text


GARBAGE = ([1], "text", 3, None, {"sets": 3}, {"train": [1], "eval": 3}, {"sets": {"x": {"before": 1}}})


@pytest.mark.parametrize("garbage", GARBAGE, ids=map(str, GARBAGE))
def test_a_record_of_another_form_is_no_traceback(capsys, tmp_path, garbage):
    odd = {"max_steps": "x", "datasets": garbage, "num_train_epochs": [1], "eval_datasets": {"path": 1}}
    metrics = [{"step": 1, "loss": garbage, "eval_exact_match": garbage, "eval_reward": 1.0, "epoch": garbage}]
    one = write_run(tmp_path / "runs/a", odd, metrics, data=garbage, env=garbage, guard=garbage, claim=garbage)
    two = write_run(tmp_path / "runs/b", {**GRPO, "max_steps": math.inf}, metrics, data=garbage)
    (one / "trainer_state.json").write_text(json.dumps(garbage))
    shown(capsys, "list", tmp_path / "runs")
    shown(capsys, "compare", one, two)
    compared(capsys, one, two)


def test_settings_data_and_machine_that_differ_are_compared_by_name(capsys, trained):
    slow, fast = str(trained / "slow"), str(trained / "fast")
    report = compared(capsys, slow, fast)
    rate = report["settings"]["learning_rate"]
    assert rate[fast] == 1e-3 != rate[slow] and report["settings"]["use_peft"] == {slow: False, fast: True}
    assert {"output_dir", "datasets", "max_steps"}.isdisjoint(report["settings"]) and report["environment"] == {}
    sets = {name.rpartition("/")[2]: values for name, values in report["data"].items() if name.startswith("datasets: ")}
    assert sets["few.jsonl"][slow][0]["rows_read"] == 24 and sets["few.jsonl"][fast] is None
    assert sets["many.jsonl"][fast][0]["rows_read"] == 40 and len(sets["many.jsonl"][fast][0]["fingerprint"]) == 16
    assert not any("held.jsonl" in name for name in report["data"]), "both are evaluated on the same rows"
    assert report["data"]["train.kept"] == {slow: 24, fast: 40}
    words = shown(capsys, "compare", slow, fast)
    assert ["learning_rate", f"{rate[slow]:g}", "0.001"] in words and ["use_peft", "false", "true"] in words


def test_other_rows_under_the_same_path_and_versions_differ(capsys, tmp_path):
    def made(name: str, fingerprint: str, torch: str, path: str = "rows.jsonl") -> Path:
        part = {"datasets": [{"path": path, "rows_read": 5, "examples": 5, "fingerprint": fingerprint}]}
        settings = {**SFT, "datasets": [{"path": path, "fraction": 0.5}], "lora": {"r": len(name), "alpha": 1}}
        return write_run(tmp_path / name, settings, data={"train": part}, env={"torch": torch, "threads": 1})

    one, other, same = made("a", "f1", "2.9"), made("bb", "f2", "2.10"), made("c", "f1", "2.9", "/there/rows.jsonl")
    report = compared(capsys, one, other)
    assert [report["data"]["datasets: rows.jsonl"][str(run)][0]["fingerprint"] for run in (one, other)] == ["f1", "f2"]
    assert report["settings"] == {"lora.r": {str(one): 1, str(other): 2}}
    assert report["environment"] == {"torch": {str(one): "2.9", str(other): "2.10"}}
    report = compared(capsys, one, same)
    assert report["settings"] == report["data"] == report["environment"] == {}


def test_many_runs_are_grouped_by_value(capsys, tmp_path):
    rates = [0.1, 0.2, 0.1, 0.1, 0.3]
    runs = [write_run(tmp_path / f"r{i}", {**SFT, "learning_rate": rate}, LOST) for i, rate in enumerate(rates)]
    words = shown(capsys, "compare", *runs)
    assert all(line in words for line in (["learning_rate", "0.1", "ACD"], ["0.2", "B"], ["0.3", "E"]))


def test_runs_of_different_recipes_compare_what_they_share(capsys, trained):
    slow, rl = str(trained / "slow"), str(trained / "rl")
    report = compared(capsys, slow, rl)
    assert report["settings"]["kind"] == {slow: "sft", rl: "grpo"} and "rewards" not in report["settings"]
    assert report["settings"]["max_steps"] == {slow: 4, rl: 1}
    assert (
        report["curves"]["loss"][rl] == [] != report["curves"]["loss"][slow]
        and len(report["curves"]["reward"][rl]) == 1
    )
    assert set(report["scores"]["eval_reward"]) == {rl} and report["scores"]["eval_reward"][rl]["n"] == 6
    assert any("settings that both have" in " ".join(line) for line in shown(capsys, "compare", slow, rl))


@pytest.mark.numeric
def test_a_score_has_the_interval_of_the_answers_that_were_generated(capsys, fine_tuned):
    """64 answers were requested, and there are 7 held-out rows."""
    slow, fast = str(fine_tuned / "slow"), str(fine_tuned / "fast")
    for part in compared(capsys, slow, fast)["scores"]["eval_exact_match"].values():
        assert part["n"] == 7 and part["interval"][0] <= part["value"] <= part["interval"][1] < 1.0 + 1e-9
        assert part["interval"][1] - part["interval"][0] > 0.3, "Wilson, 7 answers"


REWARD = {"eval_reward": 0.25, "eval_reward_std": math.sqrt(8 / 7 * 0.25 * 0.75)}


@pytest.mark.parametrize(
    ("settings", "record", "n", "name", "interval"),
    [
        (SFT, {"eval_exact_match": 0.5}, 10, "eval_exact_match", [0.2366, 0.7634]),
        (SFT, {"eval_exact_match": 0.5}, None, "eval_exact_match", None),
        (SFT, {"eval_json_fields_match": 0.523}, 10, "eval_json_fields_match", None),
        (SFT, {"eval_unfinished": 0.0}, 10, "eval_unfinished", [0.0, 0.2775]),
        (SFT, {"eval_loss": 0.5}, 10, "eval_loss", None),
        (SFT, {"eval_exact_match": "nan"}, 10, "eval_exact_match", None),
        (GRPO, {"eval_reward": 1.5, "eval_reward_std": 2.0}, 16, "eval_reward", [0.52, 2.48]),
        (GRPO, {"eval_reward": 1.5}, 16, "eval_reward", None),
        (GRPO, {"eval_reward": 0.3, "eval_reward_std": 0.0}, 16, "eval_reward", None),
        (GRPO, REWARD, 8, "eval_reward", [0.0715, 0.5907]),  # 2 of 8 with a reward of 1, the others with 0
        (GRPO, {"eval_reward": 1.0, "eval_reward_std": 0.0}, 10, "eval_reward", [0.7225, 1.0]),
    ],
)
@pytest.mark.numeric
def test_an_interval_is_given_only_where_it_is_known(capsys, tmp_path, settings, record, n, name, interval):
    answers = {"eval_n": n} if n else {}
    one = write_run(tmp_path / "a", settings, [{"step": 3, **record, **answers}])
    other = write_run(tmp_path / "b", settings, [{"step": 3, "loss": 1.0}])
    part = compared(capsys, one, other)["scores"][name][str(one)]
    expected = None if interval is None else pytest.approx(interval, abs=1e-3)
    assert part["interval"] == expected and part["n"] == (n if interval else None) and part["step"] == 3
    has_note = any("no interval is known" in " ".join(line) for line in shown(capsys, "compare", one, other))
    assert has_note == (interval is None)


def test_the_score_is_that_of_the_final_weights(capsys, tmp_path):
    metrics = [{"step": s, "eval_exact_match": v} for s, v in ((10, 0.2), (20, 0.9), (40, 0.4))] + [{"step": 40, **END}]
    last = write_run(tmp_path / "last", SFT, metrics, final=40)
    best = write_run(tmp_path / "best", {**SFT, "load_best_model_at_end": True}, metrics, final=40)
    (best / "trainer_state.json").write_text(json.dumps({"global_step": 40, "best_global_step": 20}))
    scores = compared(capsys, last, best)["scores"]["eval_exact_match"]
    assert [(scores[str(run)]["value"], scores[str(run)]["step"]) for run in (last, best)] == [(0.4, 40), (0.9, 20)]


def test_guard_sets_are_shown_before_and_after(capsys, tmp_path):
    side = {"score": 0.5, "n": 4, "correct": 2, "interval": [0.1, 0.9]}
    guard = {"margin": 0.05, "sets": {"data/known.jsonl": {"before": side, "after": {**side, "score": 0.25}}}}
    one, other = write_run(tmp_path / "a", guard=guard), write_run(tmp_path / "b")
    scores = compared(capsys, one, other)["scores"]
    assert scores["guard data/known.jsonl after"] == {
        str(one): {"value": 0.25, "interval": [0.1, 0.9], "n": 4, "step": None}
    }
    assert scores["guard data/known.jsonl before"][str(one)]["value"] == 0.5


def test_twelve_runs_fit_into_80_columns(capsys, tmp_path):
    runs = [write_run(tmp_path / f"a-name-of-some-length-{i}", {**SFT, "seed": i}, LOST) for i in range(12)]
    words = shown(capsys, "compare", *runs)
    tables = [line for line in words if line[:1] == ["step"]]
    assert len(tables) > 1 and [line[-1] for line in tables][-1] == "L" and {*"ABCDEFGHIJKL"} < {*chain(*tables)}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["compare", "{a}"], "takes 2 to 26 runs: got 1"),
        (["compare", "{a}", "{a}/../a"], "is named twice"),
        (["compare", "{a}", "owner/name"], "there is no folder owner/name"),
        (["compare", "{a}", "{a}/checkpoint-5"], "is a part of the run {a}"),
        (["compare", "{a}", "{other}"], "has no run/resolved.yaml"),
        (["compare", "{a}", "{starting}"], "has not written run/resolved.yaml yet"),
        (["compare", "{a}", "{damaged}"], "resolved.yaml is damaged"),
        (["compare", "{a}", "{b}", "--png", "x.jpeg"], "must end in .png, .svg or .pdf"),
        (["compare", "{a}", "{b}", "--png", "{other}/no/x.png"], "there is no folder"),
        (["compare", "{a}", "{b}", "--png", "{other}/x.png"], "--png: none of these runs has logged"),
        (["list", "{other}/no"], "there is no folder"),
        (["lst"], "unknown subcommand 'lst'"),
        ([], "needs a subcommand"),
    ],
)
def test_a_mistake_is_one_sentence(capsys, tmp_path, words, sentence):
    pytest.importorskip("matplotlib")
    places = {"a": write_run(tmp_path / "a"), "b": write_run(tmp_path / "b"), "other": tmp_path / "other"}
    places |= {
        "starting": write_run(tmp_path / "s", None, claim=asdict(DEAD)),
        "damaged": write_run(tmp_path / "d", []),
    }
    (tmp_path / "other").mkdir()
    (tmp_path / "a/checkpoint-5").mkdir()
    code, out, err = run(capsys, "runs", *(word.format(**places) for word in words))
    assert code == 2 and not out and err.startswith("error: ") and err.count("\n") == 1
    assert sentence.format(**places) in err


def test_an_empty_folder_has_no_runs(capsys, tmp_path):
    code, out, _ = run(capsys, "runs", "list", tmp_path)
    assert code == 0 and out.replace("\n", "") == f"no runs in {tmp_path}"


def test_runs_are_read_without_torch(tmp_path):
    one, other = write_run(tmp_path / "a", metrics=LOST), write_run(tmp_path / "b", metrics=LOST)
    program = "import sys; from hrm_align.cli import dispatch; dispatch(sys.argv[1:]); print(*sorted(sys.modules))"
    for words in (["list", str(tmp_path)], ["compare", str(one), str(other)]):
        done = FRESH.run(program, "-c", "runs", *words, paths=sys.path)
        modules = done.stdout.split()
        assert done.returncode == 0 and "hrm_align.commands.runs" in modules, done.stderr
        assert not {"torch", "transformers", "datasets", "matplotlib"} & {*modules}
