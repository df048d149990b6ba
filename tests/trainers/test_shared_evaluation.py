"""Evaluations of a run on several processes: each answers its part, and the scores are those of one process."""

import json
import os
import statistics
import time
from pathlib import Path

import pytest
import torch

from hrm_align.rollouts import local as generation
from hrm_align.trainers.held_out import HeldOutEvaluation
from hrm_align.trainers.sft import SFTTrainer
from recipes.dpo import main as dpo_main
from recipes.grpo import main as grpo_main
from recipes.kto import main as kto_main
from recipes.reward import main as reward_main
from recipes.sft import main as sft_main
from tests.trainers.grpo_runs import SMALL, prompts
from tests.trainers.recipe_runs import arguments, metrics, write_rows
from tests.trainers.resume.runs import forked

STILL = (
    "--max_steps",
    "1",
    "--learning_rate",
    "0",
    "--save_strategy",
    "no",
    "--eval_strategy",
    "steps",
    "--eval_steps",
    "1",
)
ROWS = 9  # an odd number: the first process has one more


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    made = [
        {"prompt": f"copy {word}", "response": word}
        for word in ["sun", "oak", "red", "hill", "sea", "fox", "tree", "star", "rain"]
    ]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", made)


def counts_answers(main, out, argv):
    """Run a recipe that notes how many prompts each call of `sample` got in this process."""
    stock = generation.sample

    def counted(model, batch, *args, **kwargs):
        with (out.parent / f"{out.name}-{os.environ.get('RANK', 0)}").open("a") as file:
            file.write(f"{len(batch)}\n")
        return stock(model, batch, *args, **kwargs)

    generation.sample = counted
    main(argv)


def counted(out, rank):
    return [int(line) for line in (out.parent / f"{out.name}-{rank}").read_text().split()]


def test_generated_evaluations_and_guards_are_shared_out(rows, tmp_path):
    flags = (*STILL, "--eval_datasets", str(rows), "--generation_eval_samples", str(ROWS), "--max_new_tokens", "16",
             "--guard_datasets", str(rows), "--log_samples", str(ROWS), "--per_device_train_batch_size", "2")  # fmt: skip
    one, two, log = tmp_path / "one", tmp_path / "two", tmp_path / "log"
    assert forked(log, counts_answers, sft_main, one, arguments(one, rows, *flags)) == [0], log.read_text()[-3000:]
    assert forked(log, counts_answers, sft_main, two, arguments(two, rows, *flags), ranks=2) == [0, 0], log.read_text()[
        -3000:
    ]
    assert counted(one, 0) == [ROWS] * 3, "the guard twice, and the evaluation"
    assert (counted(two, 0), counted(two, 1)) == ([5] * 3, [4] * 3)
    alone, shared = (
        next(record for record in metrics(out) if "eval_exact_match" in record)["eval_exact_match"]
        for out in (one, two)
    )
    assert alone == shared and 0 < alone < 1
    samples = [(out / "samples.jsonl").read_text() for out in (one, two)]
    assert samples[0] == samples[1]
    guards = [json.loads((out / "run/guard.json").read_text()) for out in (one, two)]
    assert guards[0] == guards[1]


def test_greedy_evaluations_are_shared_out_with_their_rewards(tmp_path):
    data = prompts(tmp_path)
    flags = [*SMALL, *STILL, "--eval_datasets", str(data), "--generation_eval_samples", str(ROWS), "--log_samples", "0",
             "--model_name_or_path", "tiny", "--datasets", str(data)]  # fmt: skip
    scores = []
    for ranks in (1, 2):
        out, log = tmp_path / str(ranks), tmp_path / "log"
        split = ("--per_device_train_batch_size", "8") if ranks == 2 else ()
        argv = [*flags, *split, "--output_dir", str(out)]
        assert forked(log, counts_answers, grpo_main, out, argv, ranks=ranks) == [0] * ranks, log.read_text()[-3000:]
        record = next(record for record in metrics(out) if "eval_reward" in record)
        scores.append({name: value for name, value in record.items() if name.startswith("eval_re")})
    assert counted(tmp_path / "1", 0)[-1] == ROWS and [counted(tmp_path / "2", rank)[-1] for rank in (0, 1)] == [5, 4]
    assert scores[0] == scores[1] != {}


# Means over rows -------------------------------------------------------------------------------------------------------

PREFERENCES = {
    "dpo": (dpo_main, ()),
    "dpo, precomputed": (dpo_main, ("--precompute_ref_log_probs", "true")),
    "kto": (
        kto_main,
        ("--precompute_ref_log_probs", "true"),
    ),  # its pairs of prompt and answer do not depend on the batches
    "kto without a divergence": (kto_main, ("--loss_type", "apo_zero_unpaired")),
    "reward": (reward_main, ()),
}


def evaluates_another_model(main, argv):
    """Run a recipe that evaluates a model with noise in its weights, the same in all processes, in place of the one it trained."""
    stock = HeldOutEvaluation.evaluate

    def noisy(trainer, *args, **kwargs):
        noise = torch.Generator().manual_seed(0)
        for weights in trainer.model.parameters():
            weights.data += 0.2 * weights.data.std() * torch.randn(weights.shape, generator=noise)
        return stock(trainer, *args, **kwargs)

    HeldOutEvaluation.evaluate = noisy
    main(argv)


def held_out(count, kind):
    """Rows with answers of one to five words, the last of which differs most from the others: a mean that counts it twice is off."""
    words = ["red", "oak oak", "fox sun tree", "sea", "a b c d e"]
    for number in range(count):
        longer = "zebra " * 9 if number in (0, count - 1) else ""
        chosen, rejected = f"{longer}{words[number % 5]}", f"{words[(number + 2) % 5]} {number}"
        row = {"prompt": f"copy {words[number % 5]} {number}"}
        if kind == "kto":
            yield row | {"completion": chosen, "label": number % 3 != 1}
        else:
            yield row | {"chosen": chosen, "rejected": rejected}


@pytest.mark.numeric
@pytest.mark.parametrize(
    "name, count",
    [
        pytest.param(name, count, marks=[pytest.mark.campaign] * ((name, count) not in {("dpo", 7), ("kto", 9)}))
        for name in PREFERENCES
        for count in (1, 7, 9)  # of the last four rows of two processes, the second has none, or one of two
    ],
)
def test_held_out_means_of_two_processes_are_those_of_one(name, count, tmp_path):
    main, flags = PREFERENCES[name]
    kind = "kto" if main is kto_main else "pairs"
    data = write_rows(tmp_path / "rows.jsonl", list(held_out(8, kind)))
    eval_rows = write_rows(tmp_path / "held_out.jsonl", list(held_out(count, kind)))
    found = []
    for ranks in (1, 2):
        out, log = tmp_path / str(ranks), tmp_path / "log"
        argv = arguments(out, data, *STILL, "--eval_datasets", str(eval_rows), *flags, "--health", "true", "--max_length", "96",
                         "--per_device_train_batch_size", str(4 // ranks), "--per_device_eval_batch_size", str(4 // ranks))  # fmt: skip
        assert forked(log, evaluates_another_model, main, argv, ranks=ranks) == [0] * ranks, log.read_text()[-3000:]
        (record,) = [record for record in metrics(out) if "eval_loss" in record]
        found.append({key: value for key, value in record.items() if not key.endswith(("time", "_second"))})
    one, two = found
    assert {"eval_loss", "eval_accuracy" if main is reward_main else "eval_rewards/chosen"} <= one.keys() == two.keys()
    rounding = 1e-6 * max(
        1, abs(one.get("eval_logps/chosen", 0))
    )  # of differences of log-probabilities, in batches of 4 and 2
    print("largest difference", max(abs(two[key] - value) for key, value in one.items()))
    for key, value in one.items():
        assert two[key] == pytest.approx(value, rel=1e-6, abs=rounding), key


# Time ------------------------------------------------------------------------------------------------------------------


def times_the_evaluation(out, argv):
    """Run a recipe that notes the seconds of its generated evaluation in the main process."""
    stock = SFTTrainer.call_interruptibly

    def timed(trainer, function):
        start = time.perf_counter()
        result = stock(trainer, function)
        if trainer.accelerator.is_main_process:
            (out.parent / f"{out.name}.seconds").write_text(str(time.perf_counter() - start))
        return result

    SFTTrainer.call_interruptibly = timed
    sft_main(argv)


@pytest.mark.campaign
def test_two_processes_need_six_tenths_of_the_time(tmp_path):
    """200 rows of the chat data, seven times in turn, on two idle cores; a process that answers all rows would take as long."""
    seconds = {1: [], 2: []}
    flags = (*STILL, "--eval_datasets", "data/base_families/test.jsonl", "--generation_eval_samples", "200", "--max_new_tokens", "64",
             "--log_samples", "0", "--per_device_train_batch_size", "1")  # fmt: skip
    for turn in range(7):
        for ranks in (1, 2):
            out = tmp_path / f"{ranks}-{turn}"
            argv = arguments(out, Path("data/base_families/test.jsonl"), *flags)
            codes = forked(tmp_path / "log", times_the_evaluation, out, argv, ranks=ranks)
            assert codes == [0] * ranks, (tmp_path / "log").read_text()[-3000:]
            seconds[ranks].append(float((tmp_path / f"{out.name}.seconds").read_text()))
    print(seconds)
    assert statistics.median(seconds[2]) <= 0.6 * statistics.median(seconds[1])
