"""The campaign at the published shape (scripts/campaigns/real_shape.py), on a small shape and in parts."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from /proc, which is Linux's")
MIB = 1 << 20


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """The campaign imports its parts from its own folder."""
    monkeypatch.syspath_prepend(ROOT / "scripts" / "campaigns")


@LINUX
def test_the_peak_of_a_process_and_of_its_child_are_told_apart(tmp_path):
    """The child uses more memory than the parent, and the parent frees its memory before it ends: only its peak shows it."""
    run = import_module("measured").run
    child = f"import time; x = b'x' * {300 * MIB}; time.sleep(1)"
    code = f"import subprocess, sys; x = b'x' * {100 * MIB}; del x; subprocess.run([sys.executable, '-c', {child!r}]); print('done')"
    found = run([sys.executable, "-c", code], tmp_path / "log", os.environ, tmp_path)
    assert (found.code, found.output) == (0, "done\n")
    assert 100 * MIB < found.peak < 200 * MIB < 300 * MIB < found.child_peak < 400 * MIB
    assert found.largest == found.child_peak < found.together
    assert found.seconds > 1 > 0.9 * found.cpu_seconds > 0


@LINUX
def test_a_process_is_killed_at_the_requested_moment(tmp_path):
    run = import_module("measured").run
    mark = tmp_path / "mark"
    code = f"import pathlib, time; pathlib.Path({str(mark)!r}).touch(); time.sleep(60)"
    found = run([sys.executable, "-c", code], tmp_path / "log", os.environ, tmp_path, kill_when=mark.exists)
    assert found.code == -9 and found.seconds < 30


def test_the_table_says_which_bars_were_missed_and_a_cut_line_is_tried_again(tmp_path):
    campaign = import_module("real_shape")
    numbers = {"seconds": 10, "cpu_seconds": 5, "child_peak": 0, "together": 0, "note": "seen"}
    records = [
        {"step": "imports", **numbers, "peak": 500_000_000, "estimate": None},
        {"step": "generate", **numbers, "peak": 3_100_000_000, "estimate": None},
        {"step": "LoRA SFT, bf16 base", "failed": "it stopped"},
        {"step": "LoRA SFT, bf16 base", **numbers, "peak": 4_500_000_000, "estimate": 5_000_000_000},
        {"step": "full SFT, AdamW, float32 weights", "estimate": 19_000_000_000, "note": "not run: needs 19.5 GB"},
    ]
    state = tmp_path / "state.jsonl"
    state.write_text("".join(json.dumps(record) + "\n" for record in records) + '{"step": "resume", "sec')
    head, _, *rows = campaign.table(campaign.STEPS, campaign.read_state(state)).splitlines()
    assert head.startswith(
        "| step | wall s | CPU s | peak GB | minus imports | estimate GB | peak / estimate | verdict |"
    )
    assert rows == [
        "| imports | 10 | 5 | 0.50 | 0.00 |  |  | passed | seen |",
        "| generate | 10 | 5 | 3.10 | 2.60 |  |  | **exceeded**: 3.10 GB, limit 3 | seen |",
        "| LoRA SFT, bf16 base | 10 | 5 | 4.50 | 4.00 | 5.00 | 0.80 | passed | seen |",
        "| full SFT, AdamW, float32 weights |  |  |  |  | 19.00 |  | not run: needs 19.5 GB |  |",
    ]


def test_a_record_behind_a_cut_line_is_read_again(tmp_path):
    parts, campaign = import_module("shape_campaign"), import_module("real_shape")
    state = tmp_path / "state.jsonl"
    state.write_text('{"step": "doctor", "peak": 1}\n{"step": "resume", "sec')
    parts.Campaign(tmp_path, state, tmp_path, None, 0, 0, 0).record("inspect", {"peak": 2})
    assert campaign.read_state(state) == {"doctor": {"peak": 1}, "inspect": {"peak": 2}}


@pytest.mark.campaign
@LINUX
def test_the_campaign_runs_at_a_small_shape_and_continues_where_it_stopped(tmp_path):
    """Two minutes on an idle core: `pytest -m campaign`."""
    command = [sys.executable, ROOT / "scripts/campaigns/real_shape.py", "--out", tmp_path, "--shape", "small"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def campaign(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*map(str, command), *words], capture_output=True, text=True, env=environment)

    part = campaign("--only", "imports", "random")
    assert part.returncode == 0, part.stderr
    state = (tmp_path / "state.jsonl").read_text()
    whole = campaign()
    assert whole.returncode == 0, whole.stderr
    assert (tmp_path / "state.jsonl").read_text().startswith(state) and "imports ..." not in whole.stderr
    assert "failed" not in whole.stdout and "exceeded" not in whole.stdout
    again = campaign()
    assert again.returncode == 0 and again.stdout == whole.stdout and not again.stderr
