"""KTO through its recipe: what a run says and leaves, how a step is split, what it resumes, and what is refused.

tests/parity/test_kto.py compares losses and gradients with plain torch.
"""

import random
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM

from hrm_align.models.loading import resolve
from hrm_align.trainers.kto import MismatchCollator, with_mismatched
from recipes.kto import main
from tests.command_line import run
from tests.launching import launch
from tests.trainers.recipe_runs import ROOT, arguments, distance, metrics, weights, write_rows
from tests.trainers.resume.runs import curve, tensors

SHORT = ("--learning_rate", "1e-3", "--logging_steps", "1", "--max_length", "64", "--max_steps", "4", "--save_steps", "2",
         "--train_sampling_strategy", "random", "--beta", "0.5")  # fmt: skip
WHOLE = ("--per_device_train_batch_size", "4")
ACCUMULATED = ("--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "4")
ADAPTER = ("--use_peft", "true", "--lora_r", "4")


@pytest.fixture
def rows(tmp_path):
    """18 answers of one to seven words, so that the last step of an epoch is short."""
    rng = random.Random(0)
    made = [
        {
            "prompt": f"say {number}",
            "completion": " ".join(rng.choices(["red", "blue", "oak"], k=1 + number % 7)),
            "label": number % 3 > 0,
        }
        for number in range(18)
    ]
    return write_rows(tmp_path / "rows.jsonl", made)


def kto(output_dir, data, *flags):
    main(arguments(output_dir, data, *SHORT, *flags))


@pytest.mark.numeric
def test_a_run_says_its_labels_and_leaves_a_checkpoint_for_stock_transformers(rows, tmp_path, capfd, caplog):
    held_out = write_rows(tmp_path / "held_out.jsonl", [{"prompt": "say 3", "completion": "red", "label": True},
                                                        {"prompt": "say 4", "completion": "oak", "label": False},
                                                        {"prompt": "say 5", "completion": "blue", "label": True}])  # fmt: skip
    evaluated = ("--eval_datasets", str(held_out), "--eval_strategy", "steps", "--eval_steps", "4")
    kto(tmp_path / "run", rows, *WHOLE, *evaluated, "--generation_eval_samples", "3", "--max_new_tokens", "4")
    assert "labels: 12 desirable answers of weight 1, 6 undesirable of weight 1" in capfd.readouterr().err
    assert "weigh 2.00 times as much" in caplog.text and "set --undesirable_weight 2." in caplog.text
    first, last = curve(tmp_path / "run")[1], metrics(tmp_path / "run")[-1]
    for name in ("kl", "rewards/chosen", "rewards/rejected", "rewards/margins"):
        assert first[name] == pytest.approx(0, abs=1e-5), "the reference is the start"
    assert first["loss"] == pytest.approx(0.5, abs=1e-5)
    evaluation = {
        name: value
        for record in metrics(tmp_path / "run")
        for name, value in record.items()
        if name.startswith("eval_")
    }
    assert evaluation["eval_n"] == 2, "desirable rows alone have an answer to compare with"
    assert 0 < evaluation["eval_loss"] < 1 and "eval_rewards/chosen" in evaluation, last
    AutoModelForCausalLM.from_pretrained(tmp_path / "run")
    settings = (tmp_path / "run/run/resolved.yaml").read_text()
    assert "train_sampling_strategy: random" in settings and "label" in (tmp_path / "run/run/data.json").read_text()


# Steps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.numeric
def test_a_step_is_the_mean_of_its_rows_however_they_are_split(rows, tmp_path):
    """The KL divergence is that of a batch, so this is the loss without one. Of 18 rows in batches of 5, step 2 has a batch of 3."""
    flags = (
        "--loss_type",
        "apo_zero_unpaired",
        "--undesirable_weight",
        "2",
        "--optim",
        "sgd",
        "--learning_rate",
        "0.1",
    )
    for name, (size, parts) in {"whole": (10, 1), "split": (5, 2)}.items():
        split = ("--per_device_train_batch_size", str(size), "--gradient_accumulation_steps", str(parts))
        kto(tmp_path / name, rows, *flags, *split, "--save_strategy", "no", "--max_steps", "3")
    whole, parted = (curve(tmp_path / name) for name in ("whole", "split"))
    for step, record in whole.items():
        for name in (
            "loss",
            "grad_norm",
            "rewards/chosen",
            "rewards/rejected",
            "logps/chosen",
            "entropy",
            "logits/rejected",
        ):
            assert parted[step][name] == pytest.approx(record[name], rel=1e-4, abs=1e-6), (step, name)
    whole, parted, start = (
        weights(folder) for folder in (tmp_path / "whole", tmp_path / "split", Path(resolve("tiny")))
    )
    assert distance(whole, parted, start) < 1e-3


def test_every_prompt_gets_an_answer_to_another_prompt():
    """By hand: each row has the answer of the row before it, or of the one two places before if a pair stands side by side."""

    def others(prompts):
        batch = [
            {"prompt_ids": [6, p, 7], "completion_ids": [20 + n, 11], "label": True} for n, p in enumerate(prompts)
        ]
        collated = MismatchCollator(5, 99, None, spare=[30, 11])(batch)
        assert collated["KL_completion_mask"].tolist() == [[0, 0, 0, 1, 1]] * len(prompts)
        assert collated["KL_input_ids"][:, 1].tolist() == prompts
        return collated["KL_input_ids"][:, 3].tolist()

    assert others([1, 2, 3]) == [22, 20, 21]
    assert others([1, 1, 2, 2]) == [22, 23, 20, 21] and others([1, 2, 1, 2]) == [23, 20, 21, 22]
    assert others([1, 1]) == others([1, 1]) == [30, 30] and others([4]) == [30], "no other prompt: the spare answer"


@pytest.mark.parametrize("count", [2, 3, 8, 9])
@pytest.mark.parametrize("order", ["alternating", "desirable rows first"])
def test_fixed_pairs_have_other_prompts(count, order):
    prompts = [n // 2 for n in range(2 * count)] if order == "alternating" else [*range(count), *range(count)]
    rows = with_mismatched(
        Dataset.from_dict({f"{part}_ids": [[prompt] for prompt in prompts] for part in ("prompt", "completion")})
    )
    assert all(row["KL_completion_ids"] != row["prompt_ids"] for row in rows)
    assert sorted(ids for (ids,) in rows["KL_completion_ids"]) == sorted(prompts), "every answer once"


# Resuming ------------------------------------------------------------------------------------------------------------


def assert_resumes_to_the_bit(folder, start):
    """`start(folder, *flags)` runs the recipe whole, and again from the checkpoint in its middle, inside an epoch."""
    start(folder / "whole")
    start(folder / "resumed", "--resume_from_checkpoint", str(folder / "whole/checkpoint-2"))
    expected = {step: record for step, record in curve(folder / "whole").items() if step > 2}
    assert curve(folder / "resumed") == expected != {}
    ours, theirs = tensors(folder / "resumed"), tensors(folder / "whole")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


RESUMED = {
    "full, accumulated": ACCUMULATED,
    "adapter, precomputed": (*WHOLE, *ADAPTER, "--precompute_ref_log_probs", "true"),
    "full": WHOLE,
    "full, precomputed": (*ACCUMULATED, "--precompute_ref_log_probs", "true"),
    "adapter": (*WHOLE, *ADAPTER),
    "adapter, accumulated": (*ACCUMULATED, *ADAPTER),
    "apo, grouped": (*ACCUMULATED, "--loss_type", "apo_zero_unpaired", "--train_sampling_strategy", "group_by_length"),
}
QUICK = ("full, accumulated", "adapter, precomputed")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.campaign) for name in RESUMED]
)
def test_a_stopped_run_resumes_to_the_bit(name, rows, tmp_path):
    assert_resumes_to_the_bit(tmp_path, lambda out, *more: kto(out, rows, *RESUMED[name], *more))


@pytest.mark.campaign
@pytest.mark.parametrize("adapter", [(), ADAPTER], ids=["full", "adapter"])
@pytest.mark.parametrize("split", [WHOLE, ACCUMULATED], ids=["whole", "accumulated"])
def test_a_stopped_run_of_two_processes_resumes_to_the_bit(adapter, split, rows, tmp_path):
    def start(out, *more):
        words = arguments(out, rows, *SHORT, *split, *adapter, *more)
        launch(ROOT / "recipes/accelerate/two_processes_cpu.yaml", "recipes/kto.py", words)

    assert_resumes_to_the_bit(tmp_path, start)


# Mistakes ------------------------------------------------------------------------------------------------------------


def labelled(*labels):
    return [{"prompt": f"say {n}", "completion": "red", "label": label} for n, label in enumerate(labels)]


@pytest.mark.parametrize(
    "made, flags, named",
    [
        (labelled(True, True), (), "all 2 training rows are labelled desirable, so there is nothing to distinguish"),
        (labelled(False, False), (), "all 2 training rows are labelled undesirable"),
        (
            labelled(True, False),
            ("--per_device_train_batch_size", "1"),
            "per_device_train_batch_size is 1, and the loss kto",
        ),
        (
            labelled(True, False),
            ("--per_device_eval_batch_size", "1"),
            "per_device_eval_batch_size is 1, and the loss kto",
        ),
        (labelled(True, False), ("--desirable_weight", "0"), "desirable_weight"),
        (labelled(True, False), ("--beta", "0"), "beta"),
        (labelled(True, False), ("--sync_ref_model", "true"), "sync_ref_model"),
        (labelled(True, False), (*ADAPTER, "--lora_target_modules", "all"), "lora_target_modules names all"),
        (labelled(True, False), ("--metric_for_best_model", "eval_rewards/accuracies"), "which no evaluation computes"),
        (labelled(True, "yes"), (), "rows.jsonl:2: `label` must be true or false"),
    ],
)
def test_mistakes_name_the_setting_or_the_row(made, flags, named, tmp_path, capsys):
    data = write_rows(tmp_path / "rows.jsonl", made)
    code, _, err = run(capsys, "kto", *arguments(tmp_path / "run", data, *SHORT, *flags))
    assert code == 2 and named in err
