"""`--dry_run` of a recipe shows what the run would do, and writes nothing."""

import json
import re

import pytest
import torch

from hrm_align.commands import dry_run
from hrm_align.commands.dry_run import draw_mask
from hrm_align.data.cache import cache_folder
from hrm_align.models.intervals import visible_intervals
from hrm_align.rendering import PUBLISHED
from tests.command_line import run
from tests.trainers.recipe_runs import write_rows

WORDS = ("sun", "owl", "fig", "elm", "ivy", "oak", "bay")
ROWS = [{"prompt": f"copy {word} {n}", "response": f"{word} {n}"} for word in WORDS for n in range(5)]
SFT = ("--max_length", "64", "--per_device_train_batch_size", "4")
GRPO = (
    "--rewards",
    "exact",
    "--num_generations",
    "2",
    "--per_device_train_batch_size",
    "4",
    "--max_completion_length",
    "200",
)


PAIRS = [{"prompt": row["prompt"], "chosen": row["response"], "rejected": row["response"] + " ok"} for row in ROWS]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    write_rows(tmp_path / "rows.jsonl", ROWS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tried(capsys, kind, *flags):
    words = ("--model_name_or_path", "tiny", "--datasets", "rows.jsonl", "--output_dir", "out", "--dry_run")
    return run(capsys, kind, *words, *flags)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("kind, flags", [
    ("sft", SFT),
    ("sft", (*SFT, "--packing", "--use_peft", "--eval_fraction", "0.2", "--ema_decay", "0.5", "--warmup_steps", "9")),
    ("grpo", GRPO),
])  # fmt: skip
def test_a_dry_run_shows_rows_mask_estimate_and_a_step_and_writes_nothing(kind, flags, folder, capsys):
    before = files(folder)
    code, out, err = tried(capsys, kind, *flags)
    assert code == 0, err
    assert files(folder) == before
    rendered = [f"{row['prompt']}<|im_end|>\nresponse {row['response']}<|box_end|>" for row in ROWS]
    assert sum(row in out for row in rendered) == 3
    for text in ("the mask holds on 3 documents", "on each device", "one step: loss", "nothing was written"):
        assert text in out
    assert ("reference fails" in out) == (kind == "grpo")


def test_a_dry_run_of_pairs_shows_both_answers_and_computes_and_writes_no_log_probabilities(folder, capsys):
    write_rows(folder / "rows.jsonl", PAIRS)
    before = files(folder)
    code, out, err = tried(capsys, "dpo", *SFT, "--precompute_ref_log_probs")
    assert code == 0, err
    assert files(folder) == before and not [*cache_folder().glob("*/reference.safetensors")]
    for answer in ("chosen", "rejected"):
        assert sum(f"{row['prompt']}<|im_end|>\nresponse {row[answer]}<|box_end|>" in out for row in PAIRS) == 3
    assert "first batch: 8 x " in out, "two documents a pair"
    for text in ("the mask holds on 6 documents", "on each device", "one step: loss", "nothing was written"):
        assert text in out


@pytest.mark.parametrize("sample", [10_000, 18])
def test_the_number_of_steps_is_that_of_the_run(sample, folder, capsys, monkeypatch):
    monkeypatch.setattr(dry_run, "SAMPLE", sample)
    flags = (*SFT, "--gradient_accumulation_steps", "2", "--num_train_epochs", "2", "--save_strategy", "no")
    out = tried(capsys, "sft", *flags)[1]
    (steps,) = re.findall(r"The run takes (\d+) steps", out)
    assert ("a sample of 18" in out) == (sample == 18)
    code, _, err = run(
        capsys, "sft", "--model_name_or_path", "tiny", "--datasets", "rows.jsonl", "--output_dir", "out", *flags
    )
    assert code == 0, err
    assert int(steps) == json.loads((folder / "out/trainer_state.json").read_text())["global_step"] == 10


@pytest.mark.parametrize("kind, flags, named", [
    ("sft", ("--datasets", "bad.jsonl"), "bad.jsonl:2"),
    ("sft", ("--output_dir", "taken"), "taken already holds files"),
    ("sft", ("--push_to_hub",), "hub_model_id is missing"),
    ("grpo", (*GRPO, "--rewards", "json"), "json"),
])  # fmt: skip
def test_what_would_stop_the_run_stops_the_dry_run(kind, flags, named, folder, capsys):
    (folder / "bad.jsonl").write_text(json.dumps(ROWS[0]) + "\n{\n")
    (folder / "taken").mkdir()
    (folder / "taken/config.json").write_text("{}")
    before = files(folder)
    words = {"--model_name_or_path": ["tiny"], "--datasets": ["rows.jsonl"], "--output_dir": ["out"]}
    for name, value in zip(flags[::2], flags[1::2] or [""], strict=False):
        words[name] = [value] if value else []
    code, out, err = run(capsys, kind, "--dry_run", *(word for name, value in words.items() for word in (name, *value)))
    assert code == 2 and named in err and "nothing was written" not in out
    assert files(folder) == before


def test_the_picture_of_a_mask_is_the_mask(monkeypatch):
    #      [ a | x ]  [ a b | x ]   two packed documents
    ids = [6, 90, 7, 91, 11, 6, 90, 92, 7, 91, 11]
    seen = visible_intervals(torch.tensor([ids]), PUBLISHED, position_ids=torch.tensor([[*range(5), *range(6)]]))
    picture = """
        # # # . . . . . . . .
        # # # . . . . . . . .
        # # # . . . . . . . .
        # # # # . . . . . . .
        # # # # # . . . . . .
        . . . . . # # # # . .
        . . . . . # # # # . .
        . . . . . # # # # . .
        . . . . . # # # # . .
        . . . . . # # # # # .
        . . . . . # # # # # #"""
    assert [line.split() for line in draw_mask(seen).splitlines()] == [line.split() for line in picture.split("\n")[1:]]
    monkeypatch.setattr(dry_run, "CELLS", 4)  # three tokens a cell
    assert draw_mask(seen).split() == ["#", ".", ".", ".", "+", "+", "+", ".", ".", "+", "#", ".", ".", "+", "#", "+"]


def test_a_warm_up_of_a_recipe_that_a_flag_makes_short_is_named_and_as_a_flag_refused(folder, capsys, caplog):
    recipe = ["model_name_or_path: tiny", "datasets: [rows.jsonl]", "output_dir: out", "warmup_steps: 50"]
    (folder / "r.yaml").write_text("\n".join(recipe))
    flags = ("--config", "r.yaml", *SFT, "--dry_run", "--num_train_epochs", "1")
    code, _, err = run(capsys, "sft", *flags)
    assert code == 0, err
    assert "warmup_steps is 50, and the run has 9 steps" in caplog.text
    code, _, err = run(capsys, "sft", *flags, "--warmup_steps", "40")
    assert code == 2 and "invalid value for --warmup_steps: 40. The run has 9 steps" in err
