"""A resumed run is the same run: other rows, rates or another order are refused, and its records stay those of the first start."""

import json

import pytest

from hrm_align.errors import UserError
from tests.trainers.recipe_runs import sft, write_rows
from tests.trainers.resume.runs import BY_FOUR, LATEST


@pytest.fixture
def stopped(whole, tmp_path):
    """A run that was stopped at step 4, and its record."""
    (tmp_path / "run").mkdir()
    for part in ("checkpoint-4", "run"):
        (tmp_path / "run" / part).symlink_to(whole / part)
    return tmp_path / "run"


def recorded(run):
    return [(run / "run" / name).read_bytes() for name in ("data.json", "resolved.yaml")]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--learning_rate", "1e-5"), "learning_rate is 1e-05 here but 0.001 in the run that saved .*checkpoint-4, and the resumed optimizer"),
        (("--optim", "sgd"), "optim is sgd here but adamw_torch_fused"),
        (("--seed", "7"), "seed is 7 here but 42 in the run .* other rows"),
        (("--packing", "true"), "packing is True here but False"),
        (("--gradient_accumulation_steps", "2"), "4 rows per optimizer step, but this run has 8"),
    ],
    ids=["rate", "optimizer", "seed", "packing", "rows of a step"],
)  # fmt: skip
def test_what_would_make_another_run_of_it_is_refused(rows, stopped, flags, words):
    before = recorded(stopped)
    with pytest.raises(UserError, match=words):
        sft(stopped, rows, *BY_FOUR, *LATEST, *flags)
    assert recorded(stopped) == before


def test_other_rows_are_refused_by_name_and_the_same_in_another_place_are_not(rows, stopped, tmp_path):
    before = recorded(stopped)
    other = write_rows(tmp_path / "other.jsonl", [{"prompt": f"{i}?", "response": "a"} for i in range(20)])
    with pytest.raises(UserError, match=r"checkpoint-4 was trained on .*rows.*, but this run has .*other\.jsonl"):
        sft(stopped, other, *BY_FOUR, *LATEST)
    assert recorded(stopped) == before
    moved = tmp_path / "moved.jsonl"
    moved.write_bytes(rows.read_bytes())
    sft(tmp_path / "elsewhere", moved, *BY_FOUR, "--resume_from_checkpoint", str(stopped / "checkpoint-4"))
    assert json.loads((tmp_path / "elsewhere/run/data.json").read_text())["train"]["datasets"][0]["path"] == str(moved)


def test_what_changes_no_step_may_change_and_a_run_that_is_over_says_so(rows, whole, tmp_path, caplog):
    split = ("--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "2", "--save_steps", "3")
    again = ("--resume_from_checkpoint", str(whole / "checkpoint-8"))
    sft(tmp_path / "run", rows, *BY_FOUR, *split, *again)
    assert "checkpoint-8 is at the last step, 8, so nothing was trained" in caplog.text
    caplog.clear()
    sft(tmp_path / "longer", rows, *BY_FOUR, *again, "--max_steps", "9")
    assert "nothing was trained" not in caplog.text


def test_a_record_that_a_disk_has_damaged_stops_no_resume(rows, whole, tmp_path, caplog):
    (tmp_path / "run").mkdir()
    (tmp_path / "checkpoint-8").symlink_to(whole / "checkpoint-8")
    for name in ("data.json", "resolved.yaml"):
        (tmp_path / "run" / name).write_bytes((whole / "run" / name).read_bytes()[:100] + b"\xff{")
    sft(tmp_path / "on", rows, *BY_FOUR, "--resume_from_checkpoint", str(tmp_path / "checkpoint-8"))
    assert "resolved.yaml is damaged" in caplog.text and "data.json is damaged" in caplog.text
