"""What a run must not unlearn, through the recipe: scored before and after, a drop is reported as a warning, replay is mixed in."""

import io
import json

import pytest
from rich.console import Console

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.splits import drawn
from hrm_align.evaluation.evaluate import evaluate
from hrm_align.models.adapters import load_adapted, open_adapter
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.trainers.evals import report_guard
from tests.trainers.recipe_runs import metrics, sft, write_rows

# The base knows these; a run that learns to answer "no" to everything forgets them.
KNOWN = [{"prompt": f"Add {a} and {b}.", "response": str(a + b), "group": f"{a}"} for a in (1, 2) for b in range(3, 9)]
NO = [{"prompt": f"Add {a} and {b}.", "response": "no"} for a in range(3, 9) for b in range(3, 9)]
QUICK = ("--use_peft", "true", "--lora_r", "2", "--max_steps", "40", "--per_device_train_batch_size", "12",
         "--learning_rate", "1e-2", "--save_strategy", "no", "--max_new_tokens", "6", "--lora_target_modules", "all",
         "--lora_scaling", "per_application")  # fmt: skip


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("known") / "known.jsonl", KNOWN)


@pytest.fixture(scope="module")
def no(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("no") / "no.jsonl", NO)


def test_a_guard_set_that_is_forgotten_is_said_out_loud(known, no, tmp_path, caplog, capsys):
    sft(tmp_path / "run", no, *QUICK, "--guard_datasets", str(known), "--guard_margin", "0.1")
    report = json.loads((tmp_path / "run/run/guard.json").read_text())
    scores = report["sets"][str(known)]
    examples = load_examples([DatasetSpec(path=str(known))])[0]
    for side, (model, tokenizer) in {
        "before": load_model_and_tokenizer("tiny"),
        "after": load_adapted("tiny", {"run": open_adapter(str(tmp_path / "run"))}),
    }.items():
        expected = evaluate(model, tokenizer, examples, max_new_tokens=6).to_dict()
        assert scores[side]["correct"] == expected["correct"] and scores[side]["n"] == len(KNOWN)
    assert scores["change"] == scores["after"]["exact_match"] - scores["before"]["exact_match"] < -0.1
    assert report["dropped"] == [str(known)]
    assert f"guard set {known} dropped by" in caplog.text and "replay_datasets" in caplog.text
    assert "scores on guard sets" in capsys.readouterr().err
    account = json.loads((tmp_path / "run/run/data.json").read_text())
    assert account["guard_1"]["rows_read"] == len(KNOWN)


def test_a_drop_within_the_margin_is_not(known, tmp_path, caplog, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    sft(tmp_path / "run", known, *QUICK, "--guard_datasets", str(known), "--guard_samples", "5", "--max_steps", "1")
    report = json.loads((tmp_path / "run/run/guard.json").read_text())
    assert report["dropped"] == [] and report["sets"][str(known)]["after"]["n"] == 5
    assert f"guard set {known} dropped by" not in caplog.text
    lines = [line.split("│")[1].strip() for line in capsys.readouterr().err.splitlines() if line.startswith("│")]
    assert str(known) in "".join(lines), "the path is whole in 80 columns"


def test_scores_of_guards_and_evaluations_are_named_for_their_grader(known, tmp_path, capsys):
    """A number is JSON, too: what the base knows is graded as JSON by the guard and at the evaluation."""
    graded = ("--guard_datasets", str(known), "--guard_match", "json", "--eval_datasets", str(known), "--eval_strategy",
              "steps", "--eval_steps", "1", "--generation_eval_samples", "6", "--generation_eval_match", "json",
              "--log_samples", "2")  # fmt: skip
    best = ("--metric_for_best_model", "eval_json_match", "--load_best_model_at_end", "true", "--save_strategy", "best")
    sft(tmp_path / "run", known, *QUICK, "--max_steps", "1", *graded, *best)
    scores = json.loads((tmp_path / "run/run/guard.json").read_text())["sets"][str(known)]
    for side in ("before", "after"):
        assert scores[side]["grader"] == "json" and scores[side]["score"] == scores[side]["json_match"] > 0.5
        assert "exact_match" not in json.dumps(scores)
    assert scores["change"] == scores["after"]["score"] - scores["before"]["score"]
    assert f"{100 * scores['after']['score']:.1f} %" in capsys.readouterr().err
    logged = {name for record in metrics(tmp_path / "run") for name in record}
    assert "eval_json_match" in logged and "eval_exact_match" not in logged
    samples = [json.loads(line) for line in (tmp_path / "run/samples.jsonl").read_text().splitlines()]
    assert len(samples) == 2 and all({"value", "extracted"} <= sample.keys() for sample in samples)


def test_the_table_of_a_guard_shows_each_group_under_its_own_name(tmp_path):
    """Names with brackets are no markup, and the rows without a group have a line of their own."""
    score = {"score": 0.5, "exact_match": 0.5, "n": 4, "correct": 2, "interval": [0.1, 0.9]}
    side = {**score, "groups": {"[red]": score, "(no group)": score}}
    sets = {"rows[b].jsonl": {"before": side, "after": side, "change": 0.0}}
    table = report_guard({"margin": 0.05, "sets": sets, "dropped": []}, tmp_path)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table)
    lines = [line.split("│")[1].strip() for line in console.export_text().splitlines() if line.startswith("│")]
    assert lines == ["rows[b].jsonl", "[red]", "(no group)"]


def test_replay_is_the_share_of_the_rows_that_was_asked_for(known, no, tmp_path):
    sft(tmp_path / "run", no, *QUICK, "--max_steps", "1", "--replay_datasets", str(known), "--replay_fraction", "0.25")
    account = json.loads((tmp_path / "run/run/data.json").read_text())
    assert account["train"]["kept"] == len(NO) + len(NO) // 3 == 48
    assert account["replay"]["share"] == 0.25 and account["replay"]["rows_read"] == len(KNOWN)


def test_replay_draws_each_row_once_before_one_comes_twice():
    """0.25 of 12 rows is 3 beside 9; 0.75 is 27, of 10 rows two of each and seven a third time."""
    rows = [object() for _ in range(10)]
    assert len({id(row) for row in drawn(rows, 0.25, 9, seed=0)}) == 3
    counts = sorted(drawn(rows, 0.75, 9, seed=0).count(row) for row in rows)
    assert counts == [2, 2, 2, 3, 3, 3, 3, 3, 3, 3]
    assert drawn(rows, 0.25, 9, seed=0) != drawn(rows, 0.25, 9, seed=1)
