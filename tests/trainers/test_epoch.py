"""A run that could train nothing is refused before it starts, and the rows that an epoch leaves out are counted."""

import json

import pytest

from hrm_align.cli import run_with_exit_code
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.errors import RunError, UserError
from hrm_align.evaluation.passk import prompt_key
from hrm_align.trainers.epoch import Epoch
from tests.trainers.grpo_runs import ROWS, grpo
from tests.trainers.recipe_runs import metrics, sft, write_rows
from tests.trainers.resume.runs import forked, trainer_of

SHORT = ("--learning_rate", "1e-3", "--logging_steps", "1", "--save_strategy", "no")
DROP = (*SHORT, "--dataloader_drop_last", "true")
LONG = {"prompt": "say it", "response": "red " * 300}


def documents(folder, number: int, *more: dict):
    return write_rows(
        folder / "rows.jsonl", [{"prompt": f"say {i}", "response": f"{i}"} for i in range(number)] + [*more]
    )


def prompts(folder, number: int):
    return write_rows(folder / "prompts.jsonl", ROWS[:number])


def rates(folder, number: int):
    """Pass rates of all prompts, of which `number` are neither too easy nor too hard."""
    examples, _ = load_examples([DatasetSpec(str(prompts(folder, len(ROWS))))])
    rates = [{"key": prompt_key(e), "pass_rate": 0.5 if i < number else 1.0} for i, e in enumerate(examples)]
    return write_rows(folder / "rates.jsonl", rates)


SFT = {
    "fewer rows than a batch, by epochs": (3, (), ("--per_device_train_batch_size", "4"), "3 rows are left .* takes 4"),
    "packed into one row": (
        9,
        (),
        ("--packing", "true", "--max_length", "256", "--per_device_train_batch_size", "2"),
        "1 packed row is left .* takes 2",
    ),
    "most rows are too long": (
        3,
        (LONG, LONG),
        ("--max_length", "64", "--max_dropped_fraction", "0.9", "--per_device_train_batch_size", "4"),
        "3 rows are left .* takes 4.* to at most 3",
    ),
    "most rows are held out": (
        20,
        (),
        ("--eval_fraction", "0.9", "--per_device_train_batch_size", "8", "--max_steps", "2"),
        "1 row is left .* takes 8",
    ),
    "balanced over a step": (
        5,
        (),
        ("--train_sampling_strategy", "batch_rebalance", "--per_device_train_batch_size", "2",
         "--gradient_accumulation_steps", "4"),
        "5 rows are left .* a step .*takes 8.*gradient_accumulation_steps 4 to at most 5",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SFT)
def test_sft_without_a_full_batch_is_refused_before_it_starts(tmp_path, case):
    number, more, flags, words = SFT[case]
    with pytest.raises(UserError, match=words):
        sft(tmp_path / "run", documents(tmp_path, number, *more), *DROP, *flags)
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file()]


GRPO = {
    "by epochs": (3, (), "3 prompts are left .* a step takes 4.*16 answers, 4 to each prompt.* at most 12"),
    "accumulated": (
        7,
        ("--per_device_train_batch_size", "4", "--gradient_accumulation_steps", "8"),
        "7 prompts are left .* a step takes 8.*32 answers",
    ),
    "a rollout of two steps": (
        7,
        ("--steps_per_generation", "2"),
        "7 prompts are left .* a rollout takes 8.*32 answers",
    ),
}


@pytest.mark.parametrize("case", GRPO)
def test_grpo_without_a_full_rollout_is_refused_before_it_starts(tmp_path, case):
    number, flags, words = GRPO[case]
    with pytest.raises(UserError, match=words):
        grpo(tmp_path / "run", prompts(tmp_path, number), *flags)
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file()]


def test_prompts_of_a_band_that_fill_no_rollout_are_refused(tmp_path):
    flags = ("--headroom", str(rates(tmp_path, 3)), "--max_pass_rate", "0.9")
    with pytest.raises(UserError, match=r"3 prompts are left .* takes 4"):
        grpo(tmp_path / "run", prompts(tmp_path, len(ROWS)), *flags)


def test_two_processes_refuse_what_fills_no_batch_of_both(tmp_path):
    log, flags = tmp_path / "log", (*DROP, "--per_device_train_batch_size", "4", "--max_steps", "2")
    assert forked(log, sft, tmp_path / "run", documents(tmp_path, 6), *flags, ranks=2) == [2, 2]
    text = log.read_text()
    assert text.count("error: ") == 1 and "6 rows are left" in text and "takes 8" in text, text[-2000:]
    assert "processes 2" in text and "Traceback" not in text


def seen_in_an_epoch(trainer) -> int:
    """Rows of an epoch, by the batches themselves."""
    return sum(len(batch["input_ids"]) for batch in trainer.get_train_dataloader())


@pytest.mark.parametrize(
    ("flags", "left_out"),
    [(DROP, 3), (SHORT, 0), ((*DROP, "--train_sampling_strategy", "batch_rebalance"), 3)],
    ids=["drop_last", "all rows", "balanced"],
)
def test_the_count_of_an_epoch_is_that_of_its_batches(tmp_path, flags, left_out):
    trainer = trainer_of(tmp_path / "run", documents(tmp_path, 11), *flags, "--per_device_train_batch_size", "4")
    epoch = Epoch.of(trainer)
    assert epoch.used == seen_in_an_epoch(trainer) == 11 - left_out
    assert bool(str(epoch)) == bool(left_out)


def test_rows_that_an_epoch_leaves_out_are_named_once_and_recorded(tmp_path, capsys):
    flags = ("--per_device_train_batch_size", "4", "--max_steps", "3")
    sft(tmp_path / "sft", documents(tmp_path, 7), *DROP, *flags)
    said = capsys.readouterr().err
    assert (
        " ".join(said.split()).count(
            "each epoch leaves out 3 of 7 rows, because a step under dataloader_drop_last takes 4"
        )
        == 1
    )
    grpo(tmp_path / "grpo", prompts(tmp_path, 6), "--max_steps", "1")
    assert "each epoch leaves out 2 of 6 prompts, because a step takes 4" in capsys.readouterr().err
    for run, expected in (
        ("sft", {"unit": "rows", "rows": 7, "used": 4, "left_out": 3}),
        ("grpo", {"unit": "prompts", "rows": 6, "used": 4, "left_out": 2}),
    ):
        assert json.loads((tmp_path / run / "run/data.json").read_text())["epoch"] == expected


def test_a_part_of_an_epoch_is_at_least_one_step(tmp_path, capsys):
    sft(tmp_path / "run", documents(tmp_path, 7), *SHORT, "--num_train_epochs", "0.01")
    assert [record["step"] for record in metrics(tmp_path / "run") if "loss" in record] == [1]
    assert "leaves out" not in capsys.readouterr().err


def test_a_run_that_took_no_step_saves_nothing_and_fails(tmp_path, monkeypatch, capsys):
    """Whatever the reason: here the check before the start is blind."""
    monkeypatch.setattr(Epoch, "check", lambda self: None)
    data, flags = documents(tmp_path, 3), (*DROP, "--max_steps", "2")
    assert run_with_exit_code(lambda _: sft(tmp_path / "run", data, *flags), ()) == 1
    assert "error: the run took no optimizer step" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_a_run_whose_every_step_was_skipped_fails(tmp_path, monkeypatch):
    """As the scaler of fp16 skips steps whose gradients overflow."""
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "optimizer_step_was_skipped", property(lambda self: True))
    with pytest.raises(RunError, match="all 2 optimizer steps were skipped"):
        sft(tmp_path / "run", documents(tmp_path, 7), *SHORT, "--max_steps", "2")
    assert not list((tmp_path / "run").glob("*.safetensors"))
