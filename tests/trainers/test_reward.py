"""The reward model recipe: it learns pairs, its folder loads by path, runs resume exactly, and its scores steer and rank answers."""

import json
import math
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from hrm_align.config.recipe_files import absolute
from hrm_align.evaluation.ranking import Ranking
from hrm_align.models.reward_loading import Scorer, load_reward_model
from hrm_align.rendering import Message
from hrm_align.rewards.model_rewards import RewardModel
from recipes.reward import main as train_recipe
from tests.command_line import examined, run
from tests.trainers.grpo_runs import grpo, prompts
from tests.trainers.recipe_runs import ROOT, distance, metrics, weights, write_rows
from tests.trainers.reward_runs import LEARNING, pair, pairs, train_reward


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """As in the child processes: sums of another number of threads end in other bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return pairs(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def trained(rows, tmp_path_factory):
    """A reward model that prefers plain answers, with an evaluation on other pairs."""
    out = tmp_path_factory.mktemp("trained") / "run"
    held_out = pairs(out.parent, first=100, count=24)
    flags = (
        "--eval_datasets",
        str(held_out),
        "--eval_strategy",
        "steps",
        "--eval_steps",
        "16",
        "--eval_on_start",
        "true",
    )
    train_reward(out, rows, *LEARNING, *flags)
    return out


@pytest.fixture(scope="module")
def adapter(rows, tmp_path_factory):
    """The same with an adapter."""
    out = tmp_path_factory.mktemp("adapter") / "run"
    train_reward(out, rows, *LEARNING, "--use_peft", "true", "--lora_r", "8", "--learning_rate", "1e-2")
    return out


def answered(number):
    """Chosen and rejected answer of a pair, as a scorer takes them."""
    made = pair(number)
    return [((Message("user", made["prompt"]),), made[side], "direct") for side in ("chosen", "rejected")]


FEW = ("--max_steps", "2", "--learning_rate", "1e-3", "--lr_scheduler_type", "constant", "--logging_steps", "1",
       "--train_sampling_strategy", "sequential", "--save_strategy", "no", "--optim", "sgd")  # fmt: skip


# Learning -------------------------------------------------------------------------------------------------------------


@pytest.mark.numeric
def test_a_run_learns_pairs_and_reports_accuracy_interval_and_calibration(trained):
    """The first loss is 0.675 to 0.679 under four instruction sets; with margins of 2, as after training, 0.13."""
    steps = [record for record in metrics(trained) if "loss" in record]
    before, *_, after = [record for record in metrics(trained) if "eval_loss" in record]
    assert steps[0]["loss"] == pytest.approx(0.68, abs=0.02), (
        "a new head scores all answers nearly alike: log 2 is 0.693"
    )
    assert {"accuracy", "margin", "mean_reward", "min_reward", "max_reward", "num_tokens"} <= steps[0].keys()
    assert abs(before["eval_margin"]) < 0.2 and after["eval_margin"] > 2
    assert after["eval_accuracy"] >= 0.95 and after["eval_n"] == 24
    assert after["eval_accuracy_low"] < after["eval_accuracy"] <= after["eval_accuracy_high"] <= 1
    record = json.loads((trained / "run/calibration.json").read_text())
    assert record["step"] == 16 and record["accuracy"] == after["eval_accuracy"]
    assert record["calibration_error"] == after["eval_calibration_error"]
    assert sum(part["n"] for part in record["bins"]) == 24


@pytest.mark.numeric
def test_accuracy_and_calibration_by_hand():
    """Confidences 0.5 (a tie), 0.731, 0.881 (twice, one of them wrong): three bins."""
    ranking = Ranking.of([0.0, 1.0, 2.0, -2.0])
    assert (ranking.n, ranking.right, ranking.accuracy) == (4, 2, 0.5)
    assert [(part.low, part.high, part.n, part.accuracy) for part in ranking.bins] == [
        (0.5, 0.55, 1, 0.0),
        (0.7, 0.75, 1, 1.0),
        (0.85, 0.9, 2, 0.5),
    ]
    expected = (0.5 + (1 - 0.731059) + 2 * (0.880797 - 0.5)) / 4
    assert ranking.calibration_error == pytest.approx(expected, abs=1e-5)
    assert ranking.interval == pytest.approx((0.150, 0.850), abs=1e-3), "Wilson 1927"


@pytest.mark.numeric
def test_an_adapter_on_weights_in_half_precision_trains_its_head_in_float32(rows, tmp_path):
    half = ("--dtype", "bfloat16", "--use_peft", "true", "--lora_r", "8")
    train_reward(tmp_path / "run", rows, *FEW, *half, "--per_device_train_batch_size", "4")
    first = next(record for record in metrics(tmp_path / "run") if "loss" in record)
    assert first["loss"] == pytest.approx(0.68, abs=0.02), "a new head scores all answers nearly alike: log 2 is 0.693"
    (head,) = [part for name, part in load_file(tmp_path / "run/adapter_model.safetensors").items() if "score" in name]
    assert head.dtype == torch.float32
    assert all(map(math.isfinite, Scorer.load(tmp_path / "run").score(answered(0))))


@pytest.mark.campaign
def test_the_tiny_recipe_ranks_plain_answers_first(tmp_path):
    train_recipe(["--config", str(ROOT / "recipes/tiny/reward.yaml"), "--output_dir", str(tmp_path / "run")])
    record = json.loads((tmp_path / "run/run/calibration.json").read_text())
    print(record)
    assert record["n"] == 600 and record["accuracy"] >= 0.95 <= record["interval"][0]


# Layouts and margins --------------------------------------------------------------------------------------------------


@pytest.mark.numeric
def test_a_step_does_not_depend_on_how_its_pairs_are_split(tmp_path):
    """Five pairs an epoch, of margins that differ: a mean over micro-batches of 3 and 2 pairs would be another one."""
    data = write_rows(tmp_path / "five.jsonl", [pair(number, margin=number / 2) for number in range(5)])
    center = ("--center_rewards_coefficient", "0.1")
    train_reward(tmp_path / "whole", data, *FEW, *center, "--per_device_train_batch_size", "5")
    train_reward(tmp_path / "split", data, *FEW, *center, "--per_device_train_batch_size", "3",
                 "--gradient_accumulation_steps", "2")  # fmt: skip
    start = dict(load_reward_model("tiny", seed=42).state_dict())
    whole, split = weights(tmp_path / "whole"), weights(tmp_path / "split")
    assert distance(whole, split, {name: start.get(name, torch.zeros_like(whole[name])) for name in whole}) < 1e-3
    for one, other in zip(metrics(tmp_path / "whole"), metrics(tmp_path / "split"), strict=True):
        for name in (
            "loss",
            "accuracy",
            "margin",
            "mean_reward",
            "min_reward",
            "max_reward",
            "num_tokens",
            "grad_norm",
        ):
            assert name not in one or one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-6), name


# Saved folders --------------------------------------------------------------------------------------------------------

BY_PATH = """
import sys
import hrm_align
assert not {"torch", "transformers"} & {*sys.modules}, "import hrm_align imports nothing slow"
from transformers import AutoModelForSequenceClassification
print(type(AutoModelForSequenceClassification.from_pretrained(sys.argv[1])).__name__)
"""


def test_a_saved_folder_loads_by_its_path_in_a_new_process(trained):
    done = subprocess.run([sys.executable, "-c", BY_PATH, str(trained)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == "HrmTextForSequenceClassification"
    assert "newly initialized" not in done.stderr and "MISSING" not in done.stderr


@pytest.mark.numeric
def test_stock_transformers_computes_the_scores(trained):
    scorer = Scorer.load(str(trained))
    documents = [scorer._render.document(*parts).input_ids for parts in answered(3)]
    longest = max(map(len, documents))
    ids = torch.tensor([document + [scorer._render.pad_id] * (longest - len(document)) for document in documents])
    model = AutoModelForSequenceClassification.from_pretrained(trained).eval()
    with torch.no_grad():
        scores = model(ids, attention_mask=(ids != scorer._render.pad_id).long()).logits[:, 0].tolist()
    assert scores == pytest.approx(scorer.score(answered(3)), abs=1e-4)


def test_the_file_has_the_names_of_other_checkpoints_and_a_score(trained):
    config = json.loads((trained / "config.json").read_text())
    assert config["architectures"] == ["HrmTextForSequenceClassification"] and len(config["id2label"]) == 1
    saved = weights(trained)
    assert saved["score.weight"].shape == (1, 128) and "lm_head.weight" not in saved
    assert {name for name in saved if "layers.0.attn" in name} == {
        f"model.{stack}_module.layers.0.attn.{part}.weight" for stack in "HL" for part in ("gqkv_proj", "o_proj")
    }
    loaded = load_reward_model(str(trained)).state_dict()
    assert torch.equal(loaded["score.weight"], saved["score.weight"]), "a trained head is not drawn again"


def test_doctor_and_list_of_runs_know_a_reward_model(trained, capsys):
    code, report = examined(capsys, trained)
    assert (code, report["findings"]) == (0, []), report
    code, out, err = run(capsys, "runs", "list", trained.parent, "--json")
    assert code == 0, err
    (listed,) = [row for row in json.loads(out)["runs"] if row["folder"] == str(trained)]
    assert listed["kind"] == "reward" and listed["held_out"]["name"] == "eval_accuracy", listed


@pytest.mark.numeric
def test_an_adapter_is_saved_with_its_score_head_and_scores_as_it_was_trained(adapter, rows, tmp_path):
    saved = load_file(adapter / "adapter_model.safetensors")
    assert "base_model.model.score.weight" in saved and not any("embed_tokens" in name for name in saved)
    scorer = Scorer.load(str(adapter))
    right = [better > worse for better, worse in (scorer.score(answered(number)) for number in range(100, 112))]
    assert sum(right) >= 11
    saved["base_model.model.score.weight"] *= -1
    turned = shutil.copytree(adapter, tmp_path / "turned", ignore=shutil.ignore_patterns("run"))
    save_file(saved, turned / "adapter_model.safetensors", metadata={"format": "pt"})
    assert Scorer.load(str(turned)).score(answered(3)) == pytest.approx([-s for s in scorer.score(answered(3))])


@pytest.mark.numeric
def test_a_new_head_is_drawn_by_its_seed_alone():
    torch.manual_seed(1)
    one = load_reward_model("tiny", seed=1).score.weight
    torch.manual_seed(2)
    assert torch.equal(one, load_reward_model("tiny", seed=1).score.weight)
    assert not torch.equal(one, load_reward_model("tiny", seed=2).score.weight)
    assert one.std().item() * math.sqrt(128) == pytest.approx(0.1, rel=0.2)


# Resume ---------------------------------------------------------------------------------------------------------------


# A reward of reinforcement learning -----------------------------------------------------------------------------------


def reward(model, **options):
    return ("--rewards", json.dumps({"name": "reward_model", "model": str(model), **options}))


@pytest.mark.numeric
def test_scores_steer_reinforcement_learning_and_stay_frozen(trained, tmp_path):
    """Two steps, twice: the same rewards, which are the scores of the folder, of a model that is not trained with the policy."""
    before = weights(trained)
    for name, model in (("one", trained), ("two", trained)):
        grpo(tmp_path / name, prompts(tmp_path), "--max_steps", "2", *reward(model), "--preflight_samples", "8",
             "--log_samples", "16")  # fmt: skip
    one, two = (weights(tmp_path / name) for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one), "the same scores, bit by bit"
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(trained).items())
    samples = [json.loads(line) for line in (tmp_path / "one/samples.jsonl").read_text().splitlines()][:16]
    scorer = Scorer.load(str(trained))
    scores = scorer.score([((Message("user", s["prompt"]),), s["generated"], "direct") for s in samples])
    assert [s["rewards"]["reward_model"] for s in samples] == pytest.approx(scores, abs=1e-4)
    assert len({*scores}) > 4
    checked = json.loads((tmp_path / "one/run/preflight.json").read_text())["pairs"]["reward_model"]
    assert checked["pairs"] == 8 and checked["kind"] == "reward_model" and checked["interval"]


def test_half_precision_of_the_policy_does_not_reach_the_scores(trained):
    scorer = Scorer.load(str(trained))
    plain = scorer.score(answered(3))
    with torch.autocast("cpu", torch.bfloat16):
        assert scorer.score(answered(3)) == plain


def test_an_answer_that_is_too_long_has_no_score_and_no_total(trained, capsys, tmp_path):
    long = {"prompt": "say", "response": "x", "generated": "word " * 2000}
    rows = [{"prompt": "say red", "response": "red", "generated": "red"}, long]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    words = ("rewards", "reward_model", "--data", data, "--option", f"model={trained}", "--json")
    code, out, err = run(capsys, *words)
    assert code == 0, err
    grades = json.loads(out)
    assert (grades["n"], grades["graded"], grades["faults"]) == (2, 1, {"too_long": 1})


def test_the_preflight_counts_right_pairs_and_refuses_a_model_that_ranks_backwards(trained, capsys, tmp_path):
    stated = [
        {"prompt": p["prompt"], "grading": {"better": p["chosen"], "worse": p["rejected"]}}
        for p in map(pair, range(60, 80))
    ]
    data = write_rows(tmp_path / "rows.jsonl", stated)
    words = ("rewards", "reward_model", "--data", data, "--preflight", "--option")
    code, out, err = run(capsys, *words, f"model={trained}", "--json")
    assert code == 0, err
    report = json.loads(out)["pairs"]["reward_model"]
    assert report["pairs"] == 20 and report["right"] >= 19
    backwards = shutil.copytree(trained, tmp_path / "backwards", ignore=shutil.ignore_patterns("run"))
    turned = load_file(trained / "model.safetensors")
    turned["score.weight"] *= -1
    save_file(turned, backwards / "model.safetensors", metadata={"format": "pt"})
    code, _, err = run(capsys, *words, f"model={backwards}")
    assert code == 2 and "the reward model reward_model put" in err and "min_right is 50.0%" in err


@pytest.mark.parametrize(
    "model, sentence",
    [
        ("", "model is missing. Name the folder of a reward model"),
        ("nowhere/at/all", "there is no folder nowhere/at/all. Name the folder of a reward model."),
        ("language", "is not a reward model: it has no score head. Train one with `hrm-align reward`"),
    ],
)
def test_what_is_no_reward_model_is_refused(capsys, tmp_path, model, sentence):
    if model == "language":
        from hrm_align.models.loading import resolve

        model = resolve("tiny")
    data = write_rows(tmp_path / "rows.jsonl", [{"prompt": "a", "response": "b", "generated": "b"}])
    code, _, err = run(capsys, "rewards", "reward_model", "--data", data, "--option", f"model={model}")
    assert code == 2 and sentence in err and "Traceback" not in err


def test_a_reward_model_is_refused_where_answers_are_written(trained, adapter, capsys):
    for folder in (trained, adapter):
        code, _, err = run(capsys, "generate", "--model", folder, "--prompt", "say red")
        assert code == 2 and "which scores answers and cannot write them" in err, err


def test_its_folder_is_found_beside_the_recipe_and_recorded_as_an_absolute_path(trained, monkeypatch):
    monkeypatch.chdir(trained.parent)
    (entry,) = absolute("rewards", [{"name": "reward_model", "model": "run"}])
    assert entry["model"] == str(trained)
    assert RewardModel(entry["model"]).extract_answer("x") is None


# Best of n ------------------------------------------------------------------------------------------------------------


def test_the_best_of_n_is_the_candidate_with_the_highest_score(trained, capsys, tmp_path):
    sampled = ("--n", "8", "--rank_by", trained, "--max_new_tokens", "12", "--seed", "3", "--json")
    code, out, err = run(capsys, "generate", "--model", "tiny", "--prompt", "Turn around: stone red", "--condition", "noisy",
                         "--temperature", "1", *sampled)  # fmt: skip
    assert code == 0, err
    answer = json.loads(out)
    scores = [one["score"] for one in answer["candidates"] if one["score"] is not None]
    assert len(answer["candidates"]) == 8 and len({one["text"] for one in answer["candidates"]}) > 1
    assert answer["score"] == max(scores) and scores == sorted(scores, reverse=True)
    rows = [{"prompt": f"Turn around: {a} {b}", "response": f"{b} {a}", "condition": "noisy"} for a, b in
            (("stone", "red"), ("oak", "blue"), ("fox", "sun"), ("pig", "hat"))]  # fmt: skip
    data = write_rows(tmp_path / "rows.jsonl", rows)
    code, out, err = run(capsys, "evaluate", "--model", "tiny", "--data", data, *sampled)
    assert code == 0, err
    report = json.loads(out)
    assert (report["n"], report["best_of"], report["rank_by"]) == (4, 8, str(trained))


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (("--n", "8"), "--n 8 needs a use for the 8 answers"),
        (("--rank_by", "x"), "--rank_by needs several answers to choose from: add --n 8."),
        (("--n", "8", "--rank_by", "x"), "Add --temperature 1"),
        (("--n", "8", "--rank_by", "no/such/folder", "--temperature", "1"), "there is no model at no/such/folder"),
    ],
)
def test_options_of_the_ranker_that_do_not_fit_are_refused(capsys, flags, sentence):
    code, _, err = run(capsys, "generate", "--model", "tiny", "--prompt", "x", *flags)
    assert code == 2 and sentence in err


# Settings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (("--push_to_hub", "true", "--hub_model_id", "a/b"), "a reward model scores answers and cannot write them"),
        (("--use_peft", "true", "--lora_target_modules", "all"), "the score head is always trained whole"),
        (("--metric_for_best_model", "eval_reward"), "which no evaluation computes: use eval_loss"),
        (("--eval_strategy", "epoch"), "there are no held-out rows"),
        (("--score_responses_only", "true"), "a reward model has no output head"),
    ],
)
def test_settings_that_do_not_fit_are_refused(rows, tmp_path, capsys, flags, sentence):
    words = ["reward", "--model_name_or_path", "tiny", "--datasets", rows, "--output_dir", tmp_path / "run", *flags]
    code, _, err = run(capsys, *words)
    assert code == 2 and sentence in err and not (tmp_path / "run").exists()


def test_a_dry_run_shows_the_pairs_the_mask_and_a_step(rows, tmp_path, capsys):
    words = [
        "reward",
        "--model_name_or_path",
        "tiny",
        "--datasets",
        rows,
        "--output_dir",
        tmp_path / "run",
        "--dry_run",
    ]
    code, out, err = run(capsys, *words)
    assert code == 0, err
    assert "first batch: 16 x" in out and "with loss" not in out
    assert "the mask holds" in " ".join(out.split()) and "one step: loss 0." in out and not (tmp_path / "run").exists()
