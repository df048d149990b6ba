"""A tracker that fails never stops a run and never delays its start for long; wandb records offline instead."""

import json
import os
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import wandb
from transformers import TrainerCallback
from transformers.integrations import integration_utils
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from hrm_align.trainers import trackers
from hrm_align.trainers.trackers import prepare_trackers
from tests.forks import OFFLINE
from tests.trainers.recipe_runs import arguments, metrics, sft, write_rows

KEY = "a" * 40
ONE_STEP = ("--max_steps", "1", "--logging_steps", "1", "--save_strategy", "no")
VIEWER = {
    "viewer": {"id": "u", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}},
    "serverInfo": {},
}


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", [{"prompt": "a", "response": "b"}] * 4)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An environment without wandb's settings, key or login; what the run sets is undone afterwards."""
    for name in ("MODE", "API_KEY", "DIR", "BASE_URL", "INIT_TIMEOUT", "FINISH_TIMEOUT", "HTTP_TIMEOUT", "LOG_MODEL"):
        monkeypatch.setenv(f"WANDB_{name}", "")
        monkeypatch.delenv(f"WANDB_{name}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    yield monkeypatch
    wandb.finish()
    wandb.teardown()


@contextmanager
def wandb_server(login, init=200):
    """Serve the answers to wandb's requests: `login` and `init` are HTTP status codes, or seconds without an answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = self.rfile.read(int(self.headers.get("content-length") or 0))
            status = init if b"UpsertBucket" in asked else login
            if isinstance(status, float):
                time.sleep(status)
            status = 200 if isinstance(status, float) else status
            content = json.dumps({"data": VIEWER} if status == 200 else {"errors": [{"message": "no access"}]}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def assert_recorded_offline(run_folder, printed):
    assert printed.count("This run is recorded offline: upload it later with `wandb sync`") == 1, printed
    assert list((run_folder / "wandb").glob("offline-run-*")), "wandb's files lie in the run's folder"
    assert metrics(run_folder)


def test_wandb_without_a_key_records_offline(fresh, tmp_path, rows, caplog):
    sft(tmp_path / "run", rows, *ONE_STEP, "--report_to", "wandb")
    assert os.environ["WANDB_MODE"] == "offline"
    assert_recorded_offline(tmp_path / "run", caplog.text)


@pytest.mark.campaign
def test_an_online_run_continues_when_wandb_cannot_be_reached(fresh, tmp_path, rows):
    """In a process of its own, which must also end."""
    nobody_listens = {"WANDB_MODE": "online", "WANDB_API_KEY": KEY, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    words = arguments(tmp_path / "run", rows, *ONE_STEP, "--report_to", "wandb")
    program = "import sys; from hrm_align.cli import main; sys.exit(main())"
    done = OFFLINE.run(program, "hrm-align", "sft", *words, env=os.environ | nobody_listens)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert "127.0.0.1:9" in done.stderr, "the warning names the reason"
    assert_recorded_offline(tmp_path / "run", done.stderr)


@pytest.mark.parametrize(
    ("init", "reason"),
    [
        (403, "wandb: no access. This run"),
        pytest.param(60.0, "wandb: Timed out initializing run", marks=pytest.mark.campaign),
    ],
)
def test_a_run_continues_when_wandb_cannot_start_after_a_login(fresh, tmp_path, rows, caplog, init, reason):
    """A project without access, and a server that no longer answers."""
    fresh.setattr(trackers, "START_SECONDS", 0.0)
    fresh.setattr(trackers, "LEAST_INIT_SECONDS", 1.0)
    fresh.setenv("WANDB_MODE", "online")
    fresh.setenv("WANDB_API_KEY", KEY)
    with wandb_server(200, init) as url:
        fresh.setenv("WANDB_BASE_URL", url)
        sft(tmp_path / "run", rows, *ONE_STEP, "--report_to", "wandb")
    assert_recorded_offline(tmp_path / "run", caplog.text)
    assert reason in caplog.text


@pytest.mark.parametrize(
    ("mode", "login", "reason"),
    [
        ("online", 401, "no access"),
        pytest.param("shared", 401, "no access", marks=pytest.mark.campaign),
        pytest.param("online", 500, "HTTP 500", marks=pytest.mark.campaign),
        ("online", 60.0, "did not respond in time"),
    ],
)
def test_a_login_that_fails_is_known_within_ten_seconds(fresh, tmp_path, caplog, mode, login, reason):
    if isinstance(login, float):
        fresh.setitem(trackers.QUICK, "WANDB_HTTP_TIMEOUT", "1")
    fresh.setenv("WANDB_MODE", mode)
    fresh.setenv("WANDB_API_KEY", KEY)
    start = time.monotonic()
    with wandb_server(login) as url:
        fresh.setenv("WANDB_BASE_URL", url)
        prepare_trackers(["wandb"], tmp_path)
    assert os.environ["WANDB_MODE"] == "offline" and reason in caplog.text and caplog.text.count("offline") == 1
    assert time.monotonic() - start < trackers.LOGIN_SECONDS < 15


def test_a_login_leaves_the_mode_and_bounds_what_follows(fresh, tmp_path, caplog):
    fresh.setenv("WANDB_API_KEY", KEY)
    with wandb_server(200) as url:
        fresh.setenv("WANDB_BASE_URL", url)
        prepare_trackers(["wandb"], tmp_path)
    assert "WANDB_MODE" not in os.environ and not caplog.text
    assert 4 <= float(os.environ["WANDB_INIT_TIMEOUT"]) <= trackers.START_SECONDS < 15
    assert float(os.environ["WANDB_FINISH_TIMEOUT"]) == 60, "wandb's default waits for ever for a server that is gone"


def test_a_login_that_does_not_end_is_ended(fresh, tmp_path, caplog):
    fresh.setattr(trackers, "LOGIN", "import time; time.sleep(600)")
    fresh.setattr(trackers, "LOGIN_SECONDS", 0.3)
    prepare_trackers(["wandb"], tmp_path)
    assert os.environ["WANDB_MODE"] == "offline" and "did not end within 0.3 s" in caplog.text


@pytest.mark.parametrize("mode", ["disabled", "offline", "dryrun"])
def test_a_mode_without_a_server_is_respected(fresh, tmp_path, mode):
    fresh.setenv("WANDB_MODE", mode)
    fresh.setattr(trackers, "LOGIN_SECONDS", 0.0)  # a login would fail
    prepare_trackers(["wandb"], tmp_path)
    assert os.environ["WANDB_MODE"] == mode


@pytest.mark.parametrize("event", ["on_train_begin", "on_log", "on_train_end"])
def test_a_tracker_that_raises_is_left_out_of_the_rest_of_the_run(monkeypatch, tmp_path, rows, caplog, event):
    called = []

    def fail(self, *args, **kwargs):
        called.append(event)
        raise ConnectionError("the server is gone\nand more")

    unreachable = type("Unreachable", (TrainerCallback,), {event: fail})
    monkeypatch.setitem(INTEGRATION_TO_CALLBACK, "mlflow", unreachable)
    monkeypatch.setattr(integration_utils, "get_available_reporting_integrations", lambda: ["mlflow"])
    sft(tmp_path / "run", rows, *ONE_STEP, "--report_to", "mlflow", "--max_steps", "3")
    assert called == [event] and (tmp_path / "run/model.safetensors").is_file()
    assert [record["step"] for record in metrics(tmp_path / "run")] == [1, 2, 3, 3]
    (warning,) = (record.message for record in caplog.records if "tracker" in record.message)
    assert "the tracker mlflow failed (the server is gone)" in warning and "metrics.jsonl" in warning
