"""A tracker that nobody logged in to records offline, and never asks."""

import os

from hrm_align.trainers.tracking import prepare_trackers
from tests.trainers.recipe_runs import metrics, sft, write_rows


def test_wandb_without_a_key_records_offline(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_DIR"):
        monkeypatch.setenv(name, "")  # so that what the run sets is undone afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": "a", "response": "b"}] * 4)
    sft(tmp_path / "run", rows, "--max_steps", "1", "--save_strategy", "no", "--report_to", "wandb")
    assert os.environ["WANDB_MODE"] == "offline"
    assert list((tmp_path / "run/wandb").glob("offline-run-*")), "wandb's files lie in the run's folder"
    assert metrics(tmp_path / "run")


def test_an_explicit_mode_is_respected(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    prepare_trackers(["wandb"], tmp_path)
    assert os.environ["WANDB_MODE"] == "disabled"
