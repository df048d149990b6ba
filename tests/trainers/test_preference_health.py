"""Health of preference training through the recipe: what is logged is true, and alarms and the reference check say what is wrong."""

import json
from pathlib import Path

import pytest
import torch

from hrm_align.errors import RunError
from hrm_align.models.loading import load_model, load_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.trainers import preference_health, reference
from hrm_align.trainers.alarms import Alarms
from recipes.kto import main as kto
from tests.parity.reference import reference_logits
from tests.trainers.preference_runs import arguments, dpo, pairs
from tests.trainers.recipe_runs import metrics, weights, write_rows

ROOT = Path(__file__).parents[2]
ROWS = 8
STEPS = ("--max_steps", "2", "--per_device_train_batch_size", "4", "--train_sampling_strategy", "sequential",
         "--lr_scheduler_type", "constant", "--warmup_steps", "0")  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return pairs(tmp_path_factory.mktemp("pairs"), ROWS)


@pytest.fixture(scope="module")
def measured(rows, tmp_path_factory):
    """Two steps of four pairs each, in order, from two micro-batches; one log for each step."""
    out = tmp_path_factory.mktemp("measured") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preference_health, "FEWEST_PAIRS", 1)
        dpo(out, rows, *STEPS, "--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "2",
            "--save_strategy", "steps", "--save_steps", "1", "--eval_datasets", str(rows), "--eval_strategy", "steps",
            "--eval_steps", "2")  # fmt: skip
    return out


def scored(model, file):
    """(log-probabilities of the answer's tokens, whether each is the likeliest) of chosen and rejected answers, each document alone."""
    renderer, found = get_renderer(load_tokenizer("tiny")), []
    for row in map(json.loads, file.read_text().splitlines()):
        sides = []
        for answer in (row["chosen"], row["rejected"]):
            document = renderer.document(row["prompt"], answer)
            logits = reference_logits(model, document.input_ids)[document.prefix_length - 1 : -1]
            ids = torch.tensor(document.input_ids[document.prefix_length :])
            sides.append((logits.log_softmax(-1).gather(-1, ids[:, None])[:, 0], logits.argmax(-1) == ids))
        found.append(sides)
    return found


def mean(values):
    return sum(values) / len(values)


@pytest.mark.numeric
def test_what_is_measured_of_answers_is_true(rows, measured):
    """In the second step, of the weights after the first one, and of its own four pairs; at the evaluation, of all pairs."""
    before, after = scored(load_model("tiny"), rows), scored(load_model(str(measured / "checkpoint-1")), rows)
    logs = [record for record in metrics(measured) if "loss" in record]
    assert all(logs[0][f"health/{side}_logp_change"] == 0 for side in ("chosen", "rejected")), "before the first update"
    step = logs[1]
    changes = {}
    for number, side in enumerate(("chosen", "rejected")):
        now, start = ([pair[number][0] for pair in part[4:]] for part in (after, before))
        changes[side] = [(a.sum() - b.sum()).item() for a, b in zip(now, start, strict=True)]
        tokens = sum(map(len, now))
        assert step[f"health/{side}_logp_change"] == pytest.approx(mean(changes[side]), abs=1e-4)
        assert step[f"health/{side}_token_logp_change"] == pytest.approx(sum(changes[side]) / tokens, abs=1e-4)
        assert step[f"health/{side}_length"] == tokens / 4
    first = [pair[1] for pair in after[4:]]
    assert step["health/rejected_first_token_loss"] == pytest.approx(
        -mean([side[0][0].item() for side in first]), abs=1e-4
    )
    assert step["health/rejected_first_token_accuracy"] == mean([float(side[1][0]) for side in first])
    assert step["health/first_token_loss"] == pytest.approx(
        -mean([pair[0][0][0].item() for pair in after[4:]]), abs=1e-4
    )
    lengths = [len(pair[0][0]) - len(pair[1][0]) for pair in after[4:]]
    margins = [a - b for a, b in zip(changes["chosen"], changes["rejected"], strict=True)]
    for name, sign in (("longer", 1), ("shorter", -1)):
        right = [float(margin > 0) for margin, length in zip(margins, lengths, strict=True) if length * sign > 0]
        assert step.get(f"health/accuracy_{name}") == (mean(right) if right else None)
    assert any(length > 0 for length in lengths) and any(length < 0 for length in lengths), "both are seen"


@pytest.mark.numeric
def test_an_evaluation_measures_all_held_out_pairs(rows, measured):
    start, end = scored(load_model("tiny"), rows), scored(load_model(str(measured)), rows)
    (record,) = [record for record in metrics(measured) if "eval_loss" in record]
    changes = [(a[0][0].sum() - b[0][0].sum()).item() for a, b in zip(end, start, strict=True)]
    assert record["eval_health/chosen_logp_change"] == pytest.approx(mean(changes), abs=1e-4)
    (divergence,) = {record["health/probe_kl"] for record in metrics(measured) if "health/probe_kl" in record} or {None}
    assert divergence is None or divergence >= 0


@pytest.mark.numeric
def test_shared_prompts_change_no_metric(rows, measured, tmp_path):
    """The residual stream counts a shared prompt once for each of its answers."""
    dpo(tmp_path / "run", rows, *STEPS, "--share_prompts", "false")
    shared, separate = (next(r for r in metrics(out) if r["step"] == 2) for out in (measured, tmp_path / "run"))
    names = {name for name in separate if name.startswith(("health/", "rewards/", "logps/"))} | {
        "loss",
        "entropy",
        "grad_norm",
    }
    assert {"health/residual_rms_h", "health/chosen_logp_change"} <= names
    for name in names & set(shared):
        assert shared[name] == pytest.approx(separate[name], rel=1e-4, abs=1e-4), name


@pytest.mark.numeric
@pytest.mark.parametrize("precomputed", ["false", "true"])
def test_labelled_answers_are_measured_by_their_label(precomputed, rows, tmp_path):
    """Also beside KTO's mismatched documents, of which TRL's rewards know nothing either."""
    answers = [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        for row in map(json.loads, rows.read_text().splitlines())
        for side in ("chosen", "rejected")
    ]
    data = write_rows(tmp_path / "labelled.jsonl", answers)
    kto(arguments(tmp_path / "run", data, *STEPS, "--beta", "0.5", "--precompute_ref_log_probs", precomputed))
    (step,) = [record for record in metrics(tmp_path / "run") if record["step"] == 2 and "loss" in record]
    for side in ("chosen", "rejected"):
        assert 0.5 * step[f"health/{side}_logp_change"] == pytest.approx(step[f"rewards/{side}"], rel=1e-4)
    renderer = get_renderer(load_tokenizer("tiny"))
    lengths = [len(renderer.response(row["completion"])) for row in answers[4:8] if row["label"]]
    assert step["health/chosen_length"] == mean(lengths)


@pytest.mark.numeric
def test_health_changes_no_weight(rows, tmp_path):
    for name in ("true", "false"):
        dpo(tmp_path / name, rows, *STEPS, "--health", name)
    with_health, without = weights(tmp_path / "true"), weights(tmp_path / "false")
    assert all(torch.equal(with_health[name], without[name]) for name in without)
    assert not any("health/" in name for record in metrics(tmp_path / "false") for name in record)


# Alarms ---------------------------------------------------------------------------------------------------------------


def alarms_of(*measured):
    """The messages of a series of measurements."""
    alarms, said = Alarms(vocab_size=512, start={"chosen_logp_change": 0.0}), []
    for step, values in enumerate(measured):
        said += alarms.check(step, values)
    return said


def chosen(change, length=10.0):
    return {"chosen_logp_change": change, "chosen_length": length}


def test_chosen_answers_that_fall_are_told_from_those_that_waver():
    said = alarms_of(chosen(-0.5), chosen(-1.1), chosen(-2), chosen(-3), chosen(-4))
    assert len(said) == 1 and said[0].startswith("step 3: the chosen answers have become less probable")
    assert "3.00 nats an answer (0.30 a token)" in said[0] and "loss_type: [sigmoid, sft]" in said[0]
    assert not alarms_of(chosen(-2), chosen(-2), chosen(-0.5), chosen(-2), chosen(-2)), "not in a row"
    assert not alarms_of(*[chosen(-0.9)] * 9), "within the margin"
    assert not alarms_of(*[chosen(-3, length=300)] * 9), "a hundredth of a nat a token"
    assert not alarms_of(*[chosen(2)] * 9)


def lengths(longer, shorter):
    return {"accuracy_longer": longer, "accuracy_shorter": shorter}


def test_a_margin_that_length_explains_is_told_from_a_weak_one():
    (said,) = alarms_of(*[lengths(0.95, 0.2)] * 4)
    assert "in 95 % of the pairs where it is longer, and in 20 % of those where it is shorter" in said
    assert (
        "learns to write longer answers" in said and "learns to write shorter" in alarms_of(*[lengths(0.1, 0.9)] * 3)[0]
    )
    assert not alarms_of(*[lengths(0.95, 0.2)] * 2, lengths(0.9, 0.7), *[lengths(0.95, 0.2)] * 2), "not in a row"
    assert not alarms_of(*[lengths(0.98, 0.6)] * 9), "also right against the length"
    assert not alarms_of(*[lengths(0.0, 0.0)] * 9), "the first step, where every margin is 0"
    assert not alarms_of(*[lengths(0.55, 0.45)] * 9), "learns nothing yet"


def test_a_run_whose_chosen_answers_fall_raises_the_alarm_and_with_sft_it_does_not(tmp_path):
    lines = (ROOT / "data/plain_pairs/train.jsonl").read_text().splitlines()[:64]
    data = write_rows(tmp_path / "plain.jsonl", [json.loads(line) for line in lines])
    flags = ("--max_steps", "10", "--per_device_train_batch_size", "8", "--learning_rate", "2e-3", "--health", "true")
    dpo(tmp_path / "bad", data, *flags, "--loss_type", "sigmoid")
    (said, *_) = [json.loads(line)["alarm"] for line in (tmp_path / "bad/run/alarms.jsonl").read_text().splitlines()]
    assert "the chosen answers have become less probable" in said
    assert max(record.get("rewards/accuracies", 0) for record in metrics(tmp_path / "bad")) > 0.8, (
        "and rewards look fine"
    )
    dpo(tmp_path / "good", data, *flags, "--learning_rate", "3e-4")
    assert not (tmp_path / "good/run/alarms.jsonl").exists()


@pytest.mark.campaign
def test_sigmoid_at_a_high_rate_raises_the_alarm_before_half_of_its_run(tmp_path):
    recipe = ("--config", "recipes/tiny/dpo.yaml", "--generation_eval_samples", "0", "--eval_strategy", "no")
    data = ROOT / "data/plain_pairs/train.jsonl"
    dpo(tmp_path / "bad", data, *recipe, "--loss_type", "sigmoid", "--learning_rate", "5e-4", "--logging_steps", "10")
    (first, *_) = (tmp_path / "bad/run/alarms.jsonl").read_text().splitlines()
    assert int(json.loads(first)["alarm"].split(":")[0].removeprefix("step ")) < 63, "of 126"


# The reference --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precomputed", ["false", "true"])
def test_a_reference_that_is_not_the_start_stops_the_first_step(precomputed, rows, tmp_path, monkeypatch):
    frozen_copy = reference.frozen_copy

    def other(model):
        copied = frozen_copy(model)
        with torch.no_grad():
            copied.lm_head.weight[60:] *= 1.02
        return copied

    monkeypatch.setattr(reference, "frozen_copy", other)
    flags = (*STEPS, "--precompute_ref_log_probs", precomputed)
    with pytest.raises(RunError, match="the reference is not the model that the run starts from"):
        dpo(tmp_path / "run", rows, *flags)
    dpo(tmp_path / "on purpose", rows, *flags, "--reference_check", "false")


@pytest.mark.numeric
@pytest.mark.parametrize(
    "flags", [("--use_peft", "true"), ("--precompute_ref_log_probs", "true")], ids=["adapter", "precomputed"]
)
def test_the_start_passes_as_a_reference(flags, rows, tmp_path):
    dpo(tmp_path / "run", rows, *STEPS, *flags)
    (first, *_) = metrics(tmp_path / "run")
    assert abs(first["health/chosen_logp_change"]) < 1e-4, "nats, where the reference is scored in other batches"
