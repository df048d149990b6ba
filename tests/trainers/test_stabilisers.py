"""Horizon, weight average, health and alarms through the recipe: what is logged, saved, and the same on two processes."""

import json
import math
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file

from hrm_align.errors import RunError, UserError
from hrm_align.models.loading import load_model, load_model_and_tokenizer, resolve
from hrm_align.rendering import get_renderer
from hrm_align.trainers import mixin as stabilised
from hrm_align.trainers.alarms import Alarms
from hrm_align.trainers.sft import SFTTrainer
from hrm_align.trainers.sft_config import SFTArguments
from tests.parity.reference import rule_mask, unpatched
from tests.trainers.recipe_runs import distance, launched_sft, metrics, sft, weights, write_rows

# One step of SGD so long that the weights are the gradient (as in test_sft.py). Noise seen: 5e-7; a horizon of one pass
# less is off by 0.3.
ONE_STEP = ("--optim", "sgd", "--learning_rate", "1000", "--lr_scheduler_type", "constant", "--weight_decay", "0",
            "--max_grad_norm", "0", "--max_steps", "1", "--train_sampling_strategy", "sequential",
            "--logging_steps", "1", "--save_strategy", "no")  # fmt: skip
TOLERANCE = 2e-5
PAIRS = [("the fox is red", "red"), ("two and two", "four it is"), ("copy sun", "sun"), ("where", "here or there")] * 4


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    made = [{"prompt": f"{prompt} {n}", "response": answer} for n, (prompt, answer) in enumerate(PAIRS)]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", made)


def logged(output_dir, name):
    return [record[name] for record in metrics(output_dir) if name in record]


def start_weights():
    return weights(Path(resolve("tiny")))


@pytest.mark.numeric
def test_a_short_horizon_gives_two_processes_the_gradient_of_one(rows, tmp_path):
    """The official one is that of test_sft.py. Horizon 2 leaves the embedding without a gradient, at which DDP stops where it does not search for such weights."""
    flags = (*ONE_STEP, "--bp_steps", "2", "--ddp_find_unused_parameters", "false")
    sft(tmp_path / "one", rows, *flags, "--per_device_train_batch_size", "8")
    launched_sft(tmp_path / "two", rows, *flags, "--per_device_train_batch_size", "4", config="two_processes_cpu")
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    still = {name for name in one if torch.equal(one[name], start_weights()[name])}
    assert still == {"model.z_L_init", "model.embed_tokens.weight"}
    moving = {name for name in one if name not in still}
    cut = [{name: tensors[name] for name in moving} for tensors in (one, two, start_weights())]
    assert distance(*cut) < TOLERANCE


def test_a_warm_up_is_logged_and_written_into_each_checkpoint(rows, tmp_path):
    sft(tmp_path / "run", rows, "--max_steps", "6", "--per_device_train_batch_size", "4", "--logging_steps", "1",
        "--save_steps", "1", "--save_total_limit", "0", "--bp_min_steps", "2", "--bp_max_steps", "5", "--bp_warmup_ratio", "0.5")  # fmt: skip
    assert logged(tmp_path / "run", "bp_steps") == [3, 4, 5, 5, 5, 5]
    written = [
        json.loads((tmp_path / f"run/checkpoint-{step}/config.json").read_text())["L_bp_cycles"] for step in range(1, 7)
    ]
    assert written == [[0, 1], [0, 2], [0, 3], [0, 3], [0, 3], [0, 3]]


def test_the_default_is_the_official_horizon(rows, tmp_path):
    sft(tmp_path / "default", rows, *ONE_STEP)
    sft(tmp_path / "five", rows, *ONE_STEP, "--bp_steps", "5")
    sft(tmp_path / "three", rows, *ONE_STEP, "--bp_steps", "3")
    default, five, three = (weights(tmp_path / name) for name in ("default", "five", "three"))
    assert all(torch.equal(default[name], five[name]) for name in five)
    assert distance(three, five, start_weights()) > 0.05


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--bp_steps", "9"], "--bp_steps: 9. This model has 8 stack passes, so use 2 to 8"),
        (
            ["--bp_min_steps", "5", "--bp_max_steps", "3", "--bp_warmup_ratio", "0.5"],
            "a warm-up can only lengthen the horizon",
        ),
        (["--bp_steps", "3", "--bp_max_steps", "5"], "bp_steps"),
        (["--bp_warmup_ratio", "1.5"], "bp_warmup_ratio"),
        (["--ema_decay", "1"], "ema_decay: 1.0. The value must be above 0 and below 1"),
        (["--ema_decay", "0.9", "--dtype", "bfloat16"], "needs float32 weights"),
        (["--ema_for_evaluation", "true"], "ema_decay"),
        (
            ["--activation_checkpointing", "true", "--activation_checkpointing_kwargs", '{"use_reentrant": true}'],
            "reentrant",
        ),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(flags, said, rows, tmp_path):
    with pytest.raises(UserError, match=said):
        sft(tmp_path / "run", rows, "--max_steps", "1", *flags)


@pytest.mark.numeric
def test_the_average_is_that_of_the_saved_weights(rows, tmp_path):
    """Over accumulated batches, from the weights before the first step; float64, from the checkpoints on disk."""
    sft(tmp_path / "run", rows, "--max_steps", "4", "--per_device_train_batch_size", "2", "--save_steps", "1", "--save_total_limit", "0",
        "--gradient_accumulation_steps", "2", "--learning_rate", "1e-2", "--ema_decay", "0.8")  # fmt: skip
    average = {name: tensor.double() for name, tensor in load_model("tiny").state_dict().items()}
    for step in range(1, 5):
        after = load_model(str(tmp_path / f"run/checkpoint-{step}")).state_dict()
        average = {name: 0.8 * tensor + 0.2 * after[name].double() for name, tensor in average.items()}
        saved = load_file(tmp_path / f"run/checkpoint-{step}/ema.safetensors")
        assert saved.keys() == average.keys() - {"model.z_L_init"}
        # Float32 rounds by 1.2e-7. The weights that are averaged are 1e-3 apart.
        assert max((saved[name] - average[name]).abs().max().item() for name in saved) < 1e-6
    exported = load_model(str(tmp_path / "run/ema")).state_dict()
    assert all(torch.equal(exported[name], saved[name]) for name in saved)
    final = load_model(str(tmp_path / "run")).state_dict()
    assert max((exported[name] - final[name]).abs().max().item() for name in saved) > 1e-3, "two different models"


@pytest.mark.parametrize(
    ("decay", "steps", "share", "better"),
    [
        (0.999, 10, 99, 0.6),
        (0.9999, 2000, 82, 0.998),
        (0.9, 2, 81, 0.1),
        (0.9, 100, None, None),
        (0.999, 700, None, None),
    ],
)
def test_an_average_of_mostly_the_start_is_a_warning(decay, steps, share, better, caplog):
    stabilised.warn_of_start_share(decay, steps)
    assert len(caplog.messages) == (share is not None)
    if share is not None:
        assert f"{steps} optimizer steps" in caplog.text and f"are {share} % the weights before" in caplog.text
        assert f"use --ema_decay {better:g}, or" in caplog.text
        assert better**steps < 0.02, "the start is gone"


@pytest.mark.parametrize(("steps", "warned"), [("2", True), ("12", False)])
def test_a_resumed_run_counts_the_steps_before_it_in_the_average(steps, warned, rows, tmp_path, caplog):
    """Half of the start is gone after 7 steps at 0.9: a run of 12 steps whose last 2 are resumed has an average of its own."""
    flags = ("--per_device_train_batch_size", "1", "--ema_decay", "0.9", "--save_strategy", "no", "--max_steps", steps)
    if not warned:
        sft(tmp_path / "run", rows, *flags[:-4], "--save_steps", "10", "--max_steps", "10")
        caplog.clear()
        flags = (*flags, "--resume_from_checkpoint", "latest")
    sft(tmp_path / "run", rows, *flags)
    assert ("the weights before the first step: use --ema_decay" in caplog.text) == warned


@pytest.mark.numeric
def test_the_average_is_what_is_evaluated_on_request(rows, tmp_path):
    flags = ("--max_steps", "2", "--learning_rate", "1e-2", "--eval_datasets", str(rows), "--eval_strategy", "steps",
             "--eval_steps", "2", "--ema_decay", "0.9", "--save_strategy", "no")  # fmt: skip
    sft(tmp_path / "raw", rows, *flags)
    sft(tmp_path / "averaged", rows, *flags, "--ema_for_evaluation", "true")
    raw, averaged = (weights(tmp_path / name) for name in ("raw", "averaged"))
    assert all(torch.equal(raw[name], averaged[name]) for name in raw), "the trained weights are back after evaluating"
    # Evaluate the exported average as a model of its own: a run that learns nothing at rate 0.
    again = ("--max_steps", "1", "--learning_rate", "0", "--eval_datasets", str(rows), "--eval_strategy", "steps",
             "--eval_steps", "1", "--save_strategy", "no", "--model_name_or_path", str(tmp_path / "averaged/ema"))  # fmt: skip
    sft(tmp_path / "again", rows, *again)
    (of_raw,), (of_average,), (expected,) = (
        logged(tmp_path / name, "eval_loss") for name in ("raw", "averaged", "again")
    )
    assert of_average == pytest.approx(expected, abs=1e-5)
    assert abs(of_average - of_raw) > 1e-3


@pytest.fixture(scope="module")
def measured(rows, tmp_path_factory):
    """Two steps of one batch of 8 rows each, in order, logged and saved at each."""
    out = tmp_path_factory.mktemp("measured") / "run"
    sft(out, rows, "--max_steps", "2", "--per_device_train_batch_size", "8", "--logging_steps", "1", "--save_steps", "1",
        "--train_sampling_strategy", "sequential", "--learning_rate", "3e-3", "--lr_scheduler_type", "constant",
        "--max_grad_norm", "0.5")  # fmt: skip
    return out


def answers(rows, count):
    """Log-probabilities (tokens, vocab) and labels of each answer of the first rows, one document at a time."""
    model, tokenizer = load_model_and_tokenizer("tiny")
    for line in rows.read_text().splitlines()[:count]:
        row = json.loads(line)
        document = get_renderer(tokenizer).document(row["prompt"], row["response"])
        ids = torch.tensor(document.input_ids)
        with unpatched(), torch.no_grad():
            logits = model(ids[None], attention_mask=rule_mask([ids.tolist()], len(ids)), use_cache=False).logits[0]
        yield logits.log_softmax(-1)[document.prefix_length - 1 : -1], ids[document.prefix_length :]


@pytest.mark.numeric
def test_what_is_measured_of_answers_is_true(rows, measured):
    first, first_loss, rest, first_right, all_right = [], [], [], [], []
    for scores, labels in answers(rows, 8):
        entropy = -(scores.exp() * scores).sum(-1)
        right = scores.argmax(-1) == labels
        first.append(entropy[0].item())
        first_loss.append(-scores[0, labels[0]].item())
        rest += entropy[1:].tolist()
        first_right.append(right[0].item())
        all_right.append(right.all().item())
    (record, *_) = metrics(measured)
    # Noise seen: 1e-6. First tokens and the others are 0.04 apart in entropy.
    assert record["health/first_token_entropy"] == pytest.approx(sum(first) / 8, abs=1e-4)
    assert record["health/first_token_loss"] == pytest.approx(sum(first_loss) / 8, abs=1e-4)
    assert record["health/rest_entropy"] == pytest.approx(sum(rest) / len(rest), abs=1e-4)
    assert record["health/first_token_accuracy"] == pytest.approx(sum(first_right) / 8)
    assert record["health/answer_accuracy"] == pytest.approx(sum(all_right) / 8)


@pytest.mark.numeric
def test_what_is_measured_of_gradients_and_updates_is_true(measured):
    groups = ("h", "l", "embedding", "head")
    for record in metrics(measured)[:2]:
        parts = [record[f"health/grad_norm_{group}"] for group in groups]
        assert math.hypot(*parts) == pytest.approx(record["grad_norm"], rel=1e-4), "norms before clipping"
        assert record["health/grad_ratio_lh"] == pytest.approx(parts[1] / parts[0], rel=1e-6)
    before, after = (load_model(str(measured / f"checkpoint-{step}")).state_dict() for step in (1, 2))
    head = (after["lm_head.weight"] - before["lm_head.weight"]).square().mean().sqrt()
    expected = head / before["lm_head.weight"].square().mean().sqrt()
    assert metrics(measured)[1]["health/update_ratio_head"] == pytest.approx(expected.item(), rel=0.05)  # of a sample


@pytest.mark.numeric
def test_the_divergence_is_from_the_first_model_on_fixed_rows(rows, tmp_path, monkeypatch):
    """Of the first four rows, at every so many logs: rarely where a step is as small as here."""
    monkeypatch.setattr(stabilised, "PROBE_SHARE", 1)
    sft(tmp_path / "run", rows, "--max_steps", "6", "--per_device_train_batch_size", "8", "--logging_steps", "6",
        "--learning_rate", "3e-3", "--save_strategy", "no")  # fmt: skip
    start, end = load_model("tiny"), load_model(str(tmp_path / "run"))
    _, tokenizer = load_model_and_tokenizer("tiny")
    divergences = []
    for line in rows.read_text().splitlines()[:4]:
        row = json.loads(line)
        document = get_renderer(tokenizer).document(row["prompt"], row["response"])
        ids = torch.tensor(document.input_ids)[None]
        chosen = slice(document.prefix_length - 1, -1)
        with torch.no_grad():
            first, last = (m(ids, use_cache=False).logits[0, chosen].log_softmax(-1) for m in (start, end))
        divergences += (first.exp() * (first - last)).sum(-1).tolist()
    (*_, found) = logged(tmp_path / "run", "health/probe_kl")
    assert found == pytest.approx(sum(divergences) / len(divergences), rel=0.01)  # the first model's are kept in fp16


def test_the_residual_stream_is_measured_before_its_norm(measured):
    record = metrics(measured)[0]
    # Behind the norm it would be 1.
    assert all(record[f"health/residual_rms_{stack}"] > 1.5 for stack in ("h", "l"))


def test_a_collapse_raises_an_alarm_and_a_healthy_run_does_not(rows, measured, tmp_path, caplog):
    assert not (measured / "run/alarms.jsonl").exists()
    sft(tmp_path / "run", rows, "--max_steps", "8", "--learning_rate", "0.3", "--lr_scheduler_type", "constant",
        "--logging_steps", "1", "--save_strategy", "no")  # fmt: skip
    alarms = [json.loads(line)["alarm"] for line in (tmp_path / "run/run/alarms.jsonl").read_text().splitlines()]
    assert len(alarms) == len(set(alarms)) >= 1, "each is raised once"
    assert "a tenth of the learning rate" in alarms[0]
    assert alarms[0] in caplog.text


UNIFORM = math.log(512)


def first_token_alarms(*measured):
    """How often a series of (entropy as a share of the largest, loss) of the first token raises the alarm."""
    alarms, said = Alarms(vocab_size=512), []
    for step, (share, loss) in enumerate(measured):
        said += alarms.check(step, {"first_token_entropy": share * UNIFORM, "first_token_loss": loss})
    return len(said)


def test_a_first_token_that_becomes_a_guess_is_told_from_one_that_begins_so_or_learns():
    assert first_token_alarms((0.1, 0.5), (0.5, 2.0), (0.81, 4.0), (0.9, 5.0)) == 1, "collapsed; raised once"
    assert first_token_alarms((0.95, 6.2), (0.96, 6.3), (0.97, 7.0)) == 0, "from nothing it begins so"
    assert first_token_alarms((0.3, 8.0), (0.9, 5.5), (0.85, 4.9), (0.4, 2.0)) == 0, "learns to begin otherwise"
    assert first_token_alarms((0.3, 8.0), *[(0.9, 5.5)] * 9) == 0
    assert first_token_alarms((0.3, 8.0), *[(0.9, 5.5)] * 10) == 1, "and never gets there"


@pytest.mark.numeric
def test_health_changes_no_weight(rows, measured, tmp_path):
    sft(tmp_path / "run", rows, "--max_steps", "2", "--per_device_train_batch_size", "8", "--logging_steps", "1",
        "--save_strategy", "no", "--train_sampling_strategy", "sequential", "--learning_rate", "3e-3",
        "--lr_scheduler_type", "constant", "--max_grad_norm", "0.5", "--health", "false")  # fmt: skip
    with_health, without = weights(measured), weights(tmp_path / "run")
    assert all(torch.equal(with_health[name], without[name]) for name in without)
    assert not any(name.startswith("health/") for record in metrics(tmp_path / "run") for name in record)


def test_a_step_that_trains_no_token_is_an_error(tmp_path):
    model, tokenizer = load_model_and_tokenizer("tiny")
    prompts_alone = Dataset.from_dict({"input_ids": [[6, 8, 40, 7]] * 4, "prefix_length": [4] * 4, "length": [4] * 4})
    trainer = SFTTrainer(model, SFTArguments(output_dir=str(tmp_path), max_steps=1), prompts_alone, tokenizer)
    with pytest.raises(RunError, match="step 1 trains no token"):
        trainer.train()
