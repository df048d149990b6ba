"""SFT through the recipe's own command line: what is learnt, and that the layout of a batch does not change it."""

import json
import random
from pathlib import Path

import pytest
import torch
import yaml

from hrm_align.errors import UserError
from hrm_align.models.loading import load_model_and_tokenizer, resolve
from hrm_align.rendering import get_renderer
from tests.parity.reference import rule_mask, unpatched
from tests.trainers.recipe_runs import distance, launched_sft, metrics, sft, weights, write_rows

# One step of plain SGD, so long that the weights are the gradient: a relative difference of the one is one of the other.
STEPS = ("--optim", "sgd", "--learning_rate", "1000", "--lr_scheduler_type", "constant", "--weight_decay", "0",
         "--max_grad_norm", "0", "--max_steps", "1", "--train_sampling_strategy", "sequential",
         "--logging_steps", "1", "--save_strategy", "no")  # fmt: skip
# Noise seen: 7e-7. One end token of eight that is not learnt is off by 2.6e-3, averaging per row or per process instead of
# per token by 0.35, labels that are shifted by one by 1.7.
TOLERANCE = 2e-5


def weights_of_tiny():
    return weights(Path(resolve("tiny")))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """16 rows whose answers are from 1 to 60 words long."""
    rng = random.Random(0)
    words = ["red", "blue", "oak", "sun", "sea"]
    lengths = [1, 60, 2, 40, 1, 3, 25, 5, 60, 1, 9, 2, 17, 33, 4, 1]
    made = [{"prompt": f"say {n}", "response": " ".join(rng.choices(words, k=n))} for n in lengths]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", made)


@pytest.fixture(scope="module")
def first_8(rows):
    file = rows.with_name("first_8.jsonl")
    file.write_text("".join(rows.read_text().splitlines(keepends=True)[:8]))
    return file


@pytest.fixture(scope="module")
def batch_of_8(rows, tmp_path_factory):
    out = tmp_path_factory.mktemp("eight") / "run"
    sft(out, rows, *STEPS, "--per_device_train_batch_size", "8")
    return out


@pytest.mark.numeric
def test_the_first_loss_is_the_mean_over_response_tokens_under_a_drawn_mask(rows, batch_of_8):
    model, tokenizer = load_model_and_tokenizer("tiny")
    total, count = 0.0, 0
    for line in rows.read_text().splitlines()[:8]:
        row = json.loads(line)
        document = get_renderer(tokenizer).document(row["prompt"], row["response"])
        ids = torch.tensor(document.input_ids)
        with unpatched(), torch.no_grad():
            logits = model(ids[None], attention_mask=rule_mask([ids.tolist()], len(ids)), use_cache=False).logits[0]
        scored = logits.log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]][document.prefix_length - 1 :]
        assert len(scored) == len(get_renderer(tokenizer).plain(row["response"])) + 1, "the end token is learnt"
        total, count = total - scored.sum().item(), count + len(scored)
    # Noise seen: 3e-7. One end token of eight that is not learnt moves the loss by 0.011, shifted labels by 4.
    assert metrics(batch_of_8)[0]["loss"] == pytest.approx(total / count, abs=1e-4)


@pytest.mark.numeric
@pytest.mark.parametrize(
    "layout",
    [
        ("--per_device_train_batch_size", "4", "--gradient_accumulation_steps", "2"),
        ("--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "8"),
    ],
    ids=["4x2", "1x8"],
)
def test_accumulation_gives_the_same_weights(rows, batch_of_8, tmp_path, layout):
    sft(tmp_path / "run", rows, *STEPS, *layout)
    start = weights_of_tiny()
    assert distance(weights(tmp_path / "run"), weights(batch_of_8), start) < TOLERANCE


@pytest.mark.numeric
def test_two_processes_give_the_same_weights(rows, batch_of_8, tmp_path):
    flags = ("--per_device_train_batch_size", "4")
    printed = launched_sft(tmp_path / "run", rows, *STEPS, *flags, config="two_processes_cpu")
    assert printed.count("all parameters are trained") == printed.count("trained 1 step") == 1, "one process prints"
    assert distance(weights(tmp_path / "run"), weights(batch_of_8), weights_of_tiny()) < TOLERANCE


@pytest.mark.numeric
def test_packed_rows_give_the_same_weights_as_padded_ones(first_8, batch_of_8, tmp_path):
    packed = ("--packing", "true", "--max_length", "256", "--per_device_train_batch_size", "8")
    sft(tmp_path / "packed", first_8, *STEPS, *packed)
    logged = metrics(tmp_path / "packed")[0]
    assert logged["num_tokens"] == metrics(batch_of_8)[0]["num_tokens"], "one step saw every document"
    assert distance(weights(tmp_path / "packed"), weights(batch_of_8), weights_of_tiny()) < TOLERANCE


@pytest.mark.numeric
def test_bf16_autocasts_the_forward_and_keeps_float32_weights(rows, tmp_path):
    for run, flags in (("half", ("--bf16", "true")), ("full", ())):
        sft(tmp_path / run, rows, *STEPS, "--per_device_train_batch_size", "2", *flags)
    assert {tensor.dtype for tensor in weights(tmp_path / "half").values()} == {torch.float32}
    half, full = (metrics(tmp_path / run)[0]["loss"] for run in ("half", "full"))
    print(f"{half - full:.1e}")
    assert 0 < abs(half - full) < 0.05  # seen 0.002; shifted labels move the loss by 4


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(rows, tmp_path):
    steps = ("--learning_rate", "1e-3", "--max_steps", "4", "--per_device_train_batch_size", "4", "--save_steps", "2",
             "--train_sampling_strategy", "sequential", "--logging_steps", "1")  # fmt: skip
    sft(tmp_path / "whole", rows, *steps)
    sft(tmp_path / "resumed", rows, *steps, "--resume_from_checkpoint", str(tmp_path / "whole/checkpoint-2"))
    with pytest.raises(UserError, match="nothing is overwritten"):  # another run's folder, not the checkpoint's own
        sft(tmp_path / "resumed", rows, *steps, "--resume_from_checkpoint", str(tmp_path / "whole/checkpoint-2"))
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "resumed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert [m["loss"] for m in metrics(tmp_path / "whole")[2:4]] == [
        m["loss"]
        for m in metrics(tmp_path / "resumed")[1:3]  # after the line with `resumed_from`
    ]


def test_a_run_accounts_for_every_row_and_leaves_a_loadable_checkpoint(tmp_path):
    made = [{"prompt": f"p {i}", "response": "yes" if i % 5 else ""} for i in range(20)]
    made.append({"prompt": "long " * 200, "response": "no"})
    data = write_rows(tmp_path / "rows.jsonl", made)
    out = tmp_path / "run"
    sft(out, data, *STEPS, "--max_length", "64", "--max_dropped_fraction", "0.5", "--eval_fraction", "0.3",
        "--eval_strategy", "steps", "--eval_steps", "1", "--generation_eval_samples", "4", "--max_new_tokens", "4",
        "--condition", "synth,cot")  # fmt: skip
    account = json.loads((out / "run/data.json").read_text())
    assert account["train"]["kept"] + account["eval"]["kept"] == 16
    reasons = [account[name]["dropped"]["by_reason"] for name in ("train", "eval")]
    assert sum(r.get("empty_response", 0) for r in reasons) == 4 and sum(r.get("too_long", 0) for r in reasons) == 1
    assert {"eval_loss", "eval_exact_match"} <= {name for record in metrics(out) for name in record}
    assert "expected" in json.loads((out / "samples.jsonl").read_text().splitlines()[0])
    assert (out / "run/resolved.yaml").exists() and (out / "run/env.json").exists()
    model, tokenizer = load_model_and_tokenizer(str(out))
    assert model.generation_config.eos_token_id == 11 and tokenizer.chat_template


@pytest.mark.numeric
def test_fast_paths_leave_the_losses_as_they_are_and_the_record_says_which_ran(rows, tmp_path):
    """Long packed rows, so that attention by document is really taken: 5 steps with everything on and everything off."""
    steps = ("--packing", "true", "--max_length", "512", "--per_device_train_batch_size", "1", "--max_steps", "5",
             "--learning_rate", "1e-3", "--logging_steps", "1", "--save_strategy", "no")  # fmt: skip
    sft(tmp_path / "on", rows, *steps)
    sft(tmp_path / "off", rows, *steps, "--attn_implementation", "sdpa", "--score_responses_only", "false")
    on, off = ([r["loss"] for r in metrics(tmp_path / run) if "loss" in r] for run in ("on", "off"))
    assert len(on) == len(off) == 5 and off[-1] < off[0] / 2, "it learns"
    assert on == pytest.approx(off, abs=1e-4)
    for run, said in (("on", ("per_document", True)), ("off", ("sdpa", False))):
        settings = yaml.safe_load((tmp_path / run / "run/resolved.yaml").read_text())
        assert (settings["attn_implementation"], settings["score_responses_only"]) == said


def test_held_out_rows_that_say_nothing_are_told(rows, tmp_path, capsys):
    sft(tmp_path / "unused", rows, *STEPS, "--eval_fraction", "0.6")
    said = capsys.readouterr().err
    assert "held-out documents: add --eval_strategy" in said and "training set" not in said
    sft(tmp_path / "learnt", rows, *STEPS, "--eval_datasets", str(rows), "--eval_strategy", "epoch")
    said = capsys.readouterr().err
    assert "16 of 16 held-out documents are also in the training set" in said and "Nothing evaluates" not in said


@pytest.mark.numeric
def test_held_out_rows_are_packed_if_eval_packing_is_set_and_otherwise_as_the_training_rows(rows, first_8, tmp_path):
    """Counted by the speed that an evaluation logs: 8 documents, or fewer packed rows of up to 256 tokens."""

    def evaluated(name, *flags):
        once = ("--per_device_train_batch_size", "1", "--max_length", "256", "--max_steps", "1", "--learning_rate", "0",
                "--save_strategy", "no")  # fmt: skip
        evaluation = ("--eval_datasets", str(first_8), "--eval_strategy", "steps", "--eval_steps", "1")
        sft(tmp_path / name, rows, *once, *evaluation, "--per_device_eval_batch_size", "1", *flags)
        (entry,) = [entry for entry in metrics(tmp_path / name) if "eval_runtime" in entry]
        stored = yaml.safe_load((tmp_path / name / "run/resolved.yaml").read_text())["eval_packing"]
        return round(entry["eval_runtime"] * entry["eval_samples_per_second"]), entry["eval_loss"], stored

    apart, loss, _ = evaluated("apart")
    packed, *_ = evaluated("packed", "--packing", "true")
    assert apart == 8 and 1 < packed < 4
    documents, same_loss, stored = evaluated("documents", "--packing", "true", "--eval_packing", "false")
    assert (documents, stored) == (8, False) and same_loss == pytest.approx(loss, abs=1e-6)
    assert evaluated("rows", "--eval_packing", "true")[0] == packed
