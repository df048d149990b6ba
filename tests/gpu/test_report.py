"""`scripts/bench/gpu_report.py`: the order of its items, its continuation after a kill, and the content of its report."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from tests.forks import OFFLINE

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/bench/gpu_report.py"


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return import_module("bench.gpu_report")


def order(report):
    return [*report.TESTS, *report.ITEMS]


def test_the_tests_come_first_then_the_three_most_valuable_figures(report):
    names = order(report)
    assert names[:3] == ["tests: attention", "tests: decoding", "tests: runs"] and names[3] == "ceilings"
    assert names[4:7] == ["SFT, all weights", "rollout of 64, CUDA graphs", "SFT, TRL's strongest"]
    kinds = [report.ITEMS[name][0] for name in names[7:]]
    assert {*kinds[: kinds.index("stock_sft")]} == {"sft"} and kinds.index("stock_sft") < kinds.index("rollout")
    assert kinds.index("rollout") < kinds.index("grpo") < kinds.index("profile")


def test_a_record_that_a_kill_has_cut_is_measured_again_and_does_not_spoil_the_next(report, tmp_path):
    state = tmp_path / "state.jsonl"
    state.write_text('{"item": "ceilings", "tflops": 1.0}\n{"item": "SFT, all wei')
    report.State(state).add("SFT, all weights", {"tokens_per_second": 2.0})
    assert report.State(state).records == {"ceilings": {"tflops": 1.0}, "SFT, all weights": {"tokens_per_second": 2.0}}


def test_the_table_compares_with_the_fastest_stock_figure_and_with_the_floor(report, tmp_path):
    training = {"step_seconds": 0.5, "peak_gib": 40.0}
    records = {
        "machine": {"device": "Card", "memory_gib": 80.0, "python": "3.12", "shape": "1b", "date": "today",
                    "versions": {"torch": "2.11.0"}},
        "tests: runs": {"passed": 5, "skipped": 0, "seconds": 61, "failed": "1 of 6 tests failed", "tests": ["test_x"]},
        "ceilings": {"tflops": 800.0, "copied_tb_per_second": 4.0},
        "SFT, all weights": {**training, "tokens_per_second": 20000.0, "flops_per_token": 2e10, "estimate_gib": 41.0},
        "SFT, TRL's strongest": {**training, "tokens_per_second": 10000.0},
        "SFT, TRL's defaults": {**training, "tokens_per_second": 8000.0},
        "rollout of 8": {"tokens_per_second": 400.0, "step_seconds": 0.02, "bytes_per_step": 1e10, "tokens_per_step": 8},
    }  # fmt: skip
    head, *lines = report.write_report(tmp_path, order(report), records).splitlines()
    assert head == ("Card (80.0 GiB); Python 3.12, torch 2.11.0; shape 1b, random weights; today; 6 of 35 items.")
    rows = [line for line in lines if line.startswith("| ")][2:]
    assert rows == [
        "| tests: runs |  |  |  |  |  |  | **failed**: 1 of 6 tests failed; `test_x` |",
        "| ceilings |  |  |  |  |  |  | matrix product 800 TFLOP/s, copy 4 TB/s |",
        "| SFT, all weights | 20,000 | 500.0 | 2.00 | 50 % | 40.0 | 41.0 |  |",
        "| SFT, TRL's strongest | 10,000 | 500.0 |  |  | 40.0 |  |  |",
        "| SFT, TRL's defaults | 8,000 | 500.0 |  |  | 40.0 |  |  |",
        "| rollout of 8 | 400 | 20.0 |  | 12 % |  |  |  |",
    ]
    assert json.loads((tmp_path / "report.json").read_text()) == records


def test_results_of_another_card_are_not_mixed_in(report, tmp_path, capsys):
    report.State(tmp_path / "state.jsonl").add("machine", {"device": "Another card", "shape": "1b"})
    assert report.main(["--state", str(tmp_path), "--device", "cpu", "--shape", "tiny"]) == 2
    assert "holds results of Another card, shape 1b" in capsys.readouterr().err


def command(folder, *words):
    return [sys.executable, str(SCRIPT), "--state", str(folder), "--device", "cpu", "--shape", "tiny", *words]


def run(folder, *words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command(folder, *words), capture_output=True, text=True, env=environment, timeout=600)


def test_the_measuring_process_starts_on_a_machine_without_tracker_and_http_client():
    """The settings of a trainer look through all graders: one import in one of them would stop every item of the report."""
    program = """
import sys
from transformers import AutoTokenizer
from trl import GRPOTrainer, SFTTrainer  # whose own imports may need them
sys.modules.update(wandb=None, httpx2=None)  # as if they were not installed
sys.argv = ["items", "tiny"]
import bench.gpu_items
print("started")
"""
    end = OFFLINE.run(program, paths=[str(ROOT / "scripts")])
    assert end.stdout == "started\n", end.stderr


@pytest.mark.campaign
def test_the_whole_report_runs_in_five_minutes_and_continues_where_it_was_killed(tmp_path):
    """Killed at three moments, the first before any result; then to the end: `pytest -m campaign`, four minutes on one core."""
    start, spent, seen = time.monotonic(), 0.0, 0
    for least in (1, 3, 6):
        log = (tmp_path / "log").open("w")
        process = subprocess.Popen(
            command(tmp_path),
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        state = tmp_path / "state.jsonl"
        while process.poll() is None and (not state.exists() or len(state.read_text().splitlines()) < least):
            time.sleep(0.2)
        time.sleep(2)  # into the next item
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        lines = state.read_text().splitlines()
        assert len(lines) >= max(least, seen)
        seen = len(lines)
    whole = run(tmp_path)
    spent = time.monotonic() - start
    assert whole.returncode == 0, whole.stdout + whole.stderr[-3000:]
    recorded = [json.loads(line)["item"] for line in state.read_text().splitlines()]
    report_names = [line.split(" | ")[0][2:] for line in (tmp_path / "report.md").read_text().splitlines()]
    assert len(recorded) == len(set(recorded)), "nothing that was recorded is measured again"
    assert recorded[0] == "machine"
    first, others = recorded[1:4], recorded[4:]  # the tests run side by side, and end in any order
    tests = [name for name in report_names if name.startswith("tests: ")]
    assert sorted(first) == sorted(tests)
    assert [name for name in report_names if name in others] == others, "in the order of the report"
    assert report_names.index(tests[-1]) < report_names.index(others[0])
    assert (tmp_path / "profile.png").stat().st_size > 5000 and "failed" not in whole.stdout
    again = run(tmp_path)
    assert again.returncode == 0 and again.stdout == whole.stdout and not again.stderr
    assert spent < 300, f"{spent:.0f} s"
