"""Run the shortest version of each long script through its command. docs/results has the results of the long versions."""

import hashlib
import json
import os
import subprocess
import sys
from importlib import import_module
from itertools import combinations
from pathlib import Path

import pytest

from hrm_align.cli import run_with_exit_code
from hrm_align.evaluation.scores import Score
from hrm_align.models.loading import resolve

ROOT = Path(__file__).parents[1]


def script(name: str, *argv: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"scripts/{name}.py", *map(str, argv)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300)


@pytest.mark.campaign
def test_a_fault_of_each_kind_is_survived(tmp_path):
    """Full disks are left out, because only root can make one; tests/trainers/resume tests them where it can."""
    done = script("fault_campaign", "--out", tmp_path, "--kills", 1, "--corruption", 2, "--nan", 3, "--disk", 0)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    summary = json.loads((tmp_path / "summary.json").read_text())
    counted = {part: (figures["trials"], figures["wrong"]) for part, figures in summary.items()}
    assert counted == {"kills": (1, 0), "corruption": (2, 0), "nan": (3, 0)}


@pytest.mark.campaign
def test_checks_with_a_measured_floor_pass_honest_models_and_stop_planted_faults(tmp_path):
    """A merge and a bfloat16 run of one random model of the published depth."""
    done = script("campaigns/planted_faults", "--out", tmp_path, "--quick")
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    trials = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    stopped = {(trial["check"], trial["fault"]): trial["stopped"] for trial in trials}
    faults = [("merge", "adapter scale"), ("gate", "causal prefill"), ("gate", "causal reference")]
    assert stopped == {("merge", None): False, ("gate", None): False} | dict.fromkeys(faults, True)
    assert json.loads((tmp_path / "summary.json").read_text())["wrong"] == []


@pytest.mark.campaign
def test_word_problems_continue_with_the_first_missing_trial(tmp_path):
    """Two rounds of 16 prompts; the second command has lost the last score."""
    words = ("campaigns/word_problems", "--out", tmp_path, "--quick", "--part", "score", "--only", "DPO, 2 rounds")
    first = script(*words)
    assert first.returncode == 0, first.stderr[-3000:]
    path = tmp_path / "trials.jsonl"
    trials = path.read_text().splitlines(keepends=True)
    assert [next(iter(json.loads(trial)["key"])) for trial in trials] == ["score", *["draw", "train"] * 2, "score"]
    path.write_text("".join(trials[:-1]))
    second = script(*words)
    assert second.returncode == 0, second.stderr[-3000:]
    assert second.stdout == first.stdout and "| DPO, 2 rounds |" in first.stdout
    assert len(path.read_text().splitlines()) == len(trials)


STARTS = {"scratch": ("tokenizer.json", 2e-3), "SFT": ("model.safetensors", 3e-3)}


def read_run_record(setting: str, keys: dict, value: dict) -> dict:
    """Return the record of an arm in an interrupted study. These keys must not change, or hours of measurements are lost."""
    file, rate = STARTS[setting]
    source = hashlib.sha256((Path(resolve("tiny")) / file).read_bytes()).hexdigest()[:8]
    key = {"run": setting, "source": source, "keys": keys, "steps": 2, "rate": rate, "seed": 0}
    return {"key": key, "value": value}


@pytest.mark.campaign
def test_a_study_continues_from_its_records_and_prints_a_markdown_table(tmp_path):
    """One arm is trained; three arms have records with invented scores."""
    raw, falling, fast, slow = (
        {"loss": loss, "token_accuracy": 0.75, "exact_match": exact}
        for loss, exact in ((0.5, 0.5), (0.4, 0.5), (0.4, 0.25), (0.6, 0.75))
    )
    averaged = {"bp_steps": 5, "lr_scheduler_type": "constant_with_warmup", "ema_decay": 0.999}
    known = [read_run_record(setting, {"bp_steps": 5}, falling) for setting in STARTS]
    known.append(read_run_record("SFT", averaged, raw | {"0.99": fast, "0.999": slow}))
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in known))

    done = script("stabiliser_study", "--out", tmp_path, "--only", "ema", "--seeds", 1, "--steps", 2)

    assert done.returncode == 0, done.stderr[-3000:]
    head, line, *rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert head == "| setting | weights | loss | differs? | token accuracy % | exact match % | differs? |"
    assert line == "| --- | --- | --- | --- | --- | --- | --- |"
    assert [row.split(" | ")[0] for row in rows] == ["| scratch"] * 4 + ["| SFT"] * 4
    same = "75.0 (75.0 to 75.0)"
    assert rows[4:] == [
        f"| SFT | constant rate, raw | 0.50 (0.50 to 0.50) |  | {same} | 50.0 (50.0 to 50.0) |  |",
        f"| SFT | constant rate, EMA 0.99 | 0.40 (0.40 to 0.40) | lower | {same} | 25.0 (25.0 to 25.0) | lower |",
        f"| SFT | constant rate, EMA 0.999 | 0.60 (0.60 to 0.60) | higher | {same} | 75.0 (75.0 to 75.0) | higher |",
        f"| SFT | rate falls to zero, raw | 0.40 (0.40 to 0.40) | lower | {same} | 50.0 (50.0 to 50.0) |  |",
    ]
    *old, new = [json.loads(line) for line in path.read_text().splitlines()]
    assert old == known
    assert new["key"] == read_run_record("scratch", averaged, {})["key"]
    assert {"0.99", "0.999", "loss"} < new["value"].keys()


@pytest.mark.campaign
@pytest.mark.numeric
def test_variants_of_half_precision_are_compared_on_the_same_tokens():
    done = script("half_precision_study", "--only", "tiny", "--questions", 1)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]
    means = {name: float(mean) for name, mean, *_ in rows[2:]}
    exact = means.pop("float32")
    assert len(means) == 12 and exact < 1e-5
    assert all(mean < 0.1 for mean in means.values()), "rounding, and not another model"


@pytest.mark.parametrize(
    "name, flag, number, least", [("stabiliser_study", "--seeds", 0, 1), ("fault_campaign", "--kills", -1, 0)]
)
def test_a_number_that_means_nothing_is_one_sentence(tmp_path, monkeypatch, capsys, name, flag, number, least):
    monkeypatch.syspath_prepend(ROOT / "scripts")  # in this process, because the imports of a new one take five seconds
    main = import_module(name).main
    assert run_with_exit_code(main, ["--out", str(tmp_path / "out"), flag, str(number)]) == 2
    assert capsys.readouterr().err == f"error: invalid value for {flag}: {number}. Use {least} or more.\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("name", "arms"),
    [
        ("bench_sft", {"hrm_align", "TRL, defaults", "TRL, strongest"}),
        ("bench_rollout", {"hrm_align", "generate, dynamic cache", "generate, static cache"}),
        ("bench_grpo", {"hrm_align", "TRL"}),
        ("bench_dpo", {"one prompt", "separate rows"}),
    ],
)
def test_a_benchmark_races_all_arms_and_writes_what_it_saw(name, arms, tmp_path):
    out = tmp_path / "figures.json"
    done = script(name, "--shape", "tiny", "--rounds", 1, "--threads", 1, "--out", out)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads(out.read_text())
    assert set(record["arms"]) == arms and set(record["ratios"]) == arms - {"hrm_align", "one prompt"}
    for figures in record["arms"].values():
        assert len(figures["seconds"]) == 1 and figures["tokens"][0] > 0 and figures["peak"] > 0
    assert record.get("greedy_answers_agree", True)
    assert all(arm in done.stdout for arm in arms)


@pytest.mark.campaign
def test_attention_is_compared_on_packed_rows_and_on_shared_prompts(tmp_path):
    """The script exits with 1 if kernels differ by more than another order of summation does."""
    flags = ("--shape", "tiny", "--rounds", 1, "--threads", 1, "--without_flex")  # tests/parity has flex_attention
    done = script("bench_attention", *flags, "--out", tmp_path / "a.json")
    assert done.returncode == 0, done.stderr[-3000:]
    for kind in ("packed_rows", "shared_prompts"):
        apart = json.loads((tmp_path / f"a_{kind}.json").read_text())["largest_difference_from_dense"]
        assert set(apart) == {"per_document", "sdpa"} and apart["sdpa"] == 0


@pytest.mark.campaign
def test_a_profile_is_a_table_and_a_picture(tmp_path):
    done = script("profile_steps", "--shape", "tiny", "--threads", 1, "--out", tmp_path / "profile.png")
    assert done.returncode == 0, done.stderr[-3000:]
    shares = [
        [int(cell) for cell in line.split("|")[3:-1]]
        for line in done.stdout.splitlines()
        if "| SFT" in line or "| roll" in line
    ]
    assert len(shares) == 2 and all(
        80 < sum(row) < 130 for row in shares
    )  # of a run with and a run without the profiler
    assert (tmp_path / "profile.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("explanation", "share"),
    [
        ("3e-06 < 1e-05\n +  where 3e-06 = closeness(tensor([[1e-05 < 1]]))", 0.3),
        ("tensor(0.0010) < (2e-05 * tensor(500.))", 0.1),
        ("np.float64(5e-07) <= 1e-06", 0.5),
        ("(200 == 200 and 0 == 0 and 2e-06 < 1e-05)", 0.2),
        ("4.25 == 4.0 ± 1.0e+00", 0.25),
        ("4.25 == 4.0 ± 1.0e+00 == 4.0 ± 4.1e-07", 0.25),
        ("4.0 ± 4.1e-07 == 4.0 ± 4.1e-07", None),
        ("0.3 < 0.5", None),
        ("2 < 3 and 'a' == 'a'", None),
    ],
)
def test_the_share_of_a_tolerance_is_read_from_pytests_explanation(monkeypatch, explanation, share):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    comparisons = import_module("campaigns.tolerance_use").comparisons
    shares = [round(value, 9) for value, _ in comparisons(explanation)]
    assert shares == ([] if share is None else [share])


def sample(generated: str, correct: bool, prompt: str = "2 + 2") -> dict:
    return {"prompt": prompt, "expected": "4", "generated": generated, "correct": correct}


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ([("4", True), ("5", False)], [("4", True), ("4", True)], ("5", "4")),  # the first was known before
        ([("4", True), ("9", False), ("7", False)], [("6", False), ("5", False), ("4", True)], ("7", "4")),
        ([(" ", False), ("46", False)], [("4", True), ("4", True)], ("46", "4")),
        ([("", False), ("4", True)], [("4", True), ("4", True)], ("", "4")),
        ([("46", False), ("4", True)], [("46", False), ("4", True)], None),
        ([("4", True)], [("46", False)], None),
    ],
)
def test_the_demo_shows_a_row_that_training_taught(monkeypatch, capsys, before, after, shown):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    demo = import_module("demo")
    pair = [[sample(*answer) for answer in answers] for answers in (before, after)]
    row = demo.find_learned(*pair)
    assert (row and (row["base"], row["trained"])) == shown
    demo.show_learned({"sums": row})
    out = capsys.readouterr().out
    assert "no held-out row" in out if shown is None else f"tuned   {shown[1]!r}" in out


def test_the_picture_of_the_demo_has_three_panels_with_their_labels_inside(monkeypatch, tmp_path):
    figure_module = pytest.importorskip("matplotlib.figure")
    monkeypatch.syspath_prepend(ROOT / "scripts")
    before_after, drawn = import_module("before_after"), []
    save = figure_module.Figure.savefig
    monkeypatch.setattr(
        figure_module.Figure, "savefig", lambda figure, *a, **k: [save(figure, *a, **k), drawn.append(figure)]
    )
    names = ("chat", "JSON", "both", "plain answers (GRPO)")
    rows = [before_after.BeforeAfter(name, Score(5, 300).to_dict(), Score(300, 300).to_dict()) for name in names]
    losses = [{"step": 10, "loss": 3.0}, {"step": 20, "loss": "nan"}, {"step": 20, "eval_loss": 1e-4}]
    rewards = [{"step": 5, "reward": 0.3}, {"step": 10, "reward": 1.0}]
    before_after.draw_before_after(rows, losses, rewards, tmp_path / "demo.png")
    (figure,) = drawn
    scores, loss, reward = figure.axes
    assert list(reward.lines[0].get_xydata().ravel()) == [5, 0.3, 10, 1.0] and len(loss.lines) == 2
    boxes = [axis.get_tightbbox() for axis in figure.axes]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    panel = scores.get_window_extent()
    labels = [label.get_window_extent() for label in (*scores.get_xticklabels(), *scores.texts)]
    assert all(panel.x0 <= label.x0 and label.x1 <= panel.x1 and label.y1 <= panel.y1 for label in labels)
    assert not any(one.overlaps(other) for one, other in combinations(labels, 2))
