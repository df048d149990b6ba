"""A tracker without a login, or whose server cannot be reached, records offline; it never prompts and never stops a run."""

import os

from hrm_align.trainers import callbacks as tracking
from hrm_align.trainers.callbacks import prepare_trackers
from tests.forks import OFFLINE
from tests.trainers.recipe_runs import arguments, metrics, sft, write_rows


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


def test_training_goes_on_when_wandb_cannot_be_reached(tmp_path):
    """In a process of its own: wandb keeps one connection for life."""
    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": "a", "response": "b"}] * 4)
    words = arguments(tmp_path / "run", rows, "--max_steps", "1", "--save_strategy", "no", "--report_to", "wandb")
    nobody_listens = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_HTTP_TIMEOUT": "1"}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")} | nobody_listens
    program = "import sys; from hrm_align.cli import main; sys.exit(main())"
    done = OFFLINE.run(program, "hrm-align", "sft", *words, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "127.0.0.1:9" in done.stderr, "it says why"
    assert "wandb sync" in done.stderr, "and what to do"
    assert list((tmp_path / "run/wandb").glob("offline-run-*"))
    assert metrics(tmp_path / "run")


def test_a_login_that_does_not_end_is_ended(monkeypatch, tmp_path, caplog):
    for name in ("WANDB_MODE", "WANDB_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(tracking, "LOGIN", "import time; time.sleep(600)")
    monkeypatch.setattr(tracking, "LOGIN_SECONDS", 1)
    prepare_trackers(["wandb"], tmp_path)
    assert os.environ["WANDB_MODE"] == "offline"
    assert "did not end within 1 s" in caplog.text


def test_an_explicit_mode_is_respected(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    prepare_trackers(["wandb"], tmp_path)
    assert os.environ["WANDB_MODE"] == "disabled"
