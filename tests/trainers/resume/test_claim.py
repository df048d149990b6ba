"""One run at a time writes into a folder, and one command line serves the first start and every restart.

Processes of their own, which are killed, suspended and moved to other hosts. `pytest -m campaign` has the long versions.
"""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hrm_align.errors import RunError, UserError
from hrm_align.run_folder import CLAIM
from hrm_align.trainers import claim as claims
from hrm_align.trainers.claim import Claim
from tests.trainers.recipe_runs import ROOT, arguments, metrics, sft, write_rows
from tests.trainers.resume.rivals import SHORT, go_on, left, reads, running, wait_for
from tests.trainers.resume.runs import (
    AUTO,
    dies,
    forked,
    is_told_to_stop,
)

pytestmark = pytest.mark.usefixtures("rivals")


# Two starts -----------------------------------------------------------------------------------------------------------


def exactly_one_runs(folder: Path, rows: Path, *before: str) -> None:
    """Two starts at once: one ends well, the other is refused, and the steps of one are logged."""
    out, logs = folder / "run", [folder / "0.log", folder / "1.log"]
    if before:  # a run that was killed while it read its data, and whose claim is still there
        assert forked(folder / "log", dies, "hrm_align.run.read_data", "", out, rows, *SHORT) == [-signal.SIGKILL]
        assert left(out) == [CLAIM]
    with running(logs[0], reads, out, rows, *SHORT) as one, running(logs[1], reads, out, rows, *SHORT) as two:
        wait_for(lambda: None in (one.exitcode, two.exitcode) and (one.exitcode, two.exitcode) != (None, None))
        go_on(out)
    codes = [one.exitcode, two.exitcode]
    told = [log.read_text() for log in logs]
    assert sorted(codes) == [0, 2], told
    refused = told[codes.index(2)]
    winner = (one, two)[codes.index(0)].pid
    assert f"is in use by process {winner} on host {socket.gethostname()} (started 2" in refused, refused
    assert refused.count("error: ") == 1 and "choose another --output_dir" in refused and "Traceback" not in refused
    assert [record["step"] for record in metrics(out) if "loss" in record] == [1, 2]
    assert left(out) == []


@pytest.mark.parametrize("before", [(), ("a stale claim",)], ids=["new", "killed before"])
def test_of_two_starts_at_once_exactly_one_runs(rows, tmp_path, before):
    exactly_one_runs(tmp_path, rows, *before)


def test_a_start_is_refused_while_another_reads_its_data(rows, tmp_path):
    out = tmp_path / "run"
    with running(tmp_path / "log", reads, out, rows, *SHORT) as first:
        wait_for(out.with_suffix(".reading").exists)
        assert forked(tmp_path / "0.log", sft, out, rows, *SHORT) == [2]
        assert forked(tmp_path / "1.log", sft, out, rows, *SHORT, *AUTO) == [2], (
            "auto waits for nobody that it sees run"
        )
        codes = forked(tmp_path / "2.log", sft, out, rows, *SHORT, ranks=2)
        go_on(out)
    assert first.exitcode == 0, (tmp_path / "log").read_text()
    assert codes == [2, 2] and (tmp_path / "2.log").read_text().count("error: ") == 1, (tmp_path / "2.log").read_text()


@pytest.mark.campaign
@pytest.mark.parametrize("trial", range(20))
def test_of_two_commands_at_once_exactly_one_runs(rows, tmp_path, trial):
    """As a user gives them, seconds of imports included. Every second time a killed run has left its claim."""
    out = tmp_path / "run"
    if trial % 2:
        assert forked(tmp_path / "log", dies, "hrm_align.run.read_data", "", out, rows, *SHORT) == [-signal.SIGKILL]
    command = [sys.executable, "-m", "hrm_align.cli", "sft", *arguments(out, rows, *SHORT)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [process.communicate(timeout=300)[1] for process in started]
    codes = [process.returncode for process in started]
    assert sorted(codes) == [0, 2], told
    assert "error: " in told[codes.index(2)] and "Traceback" not in told[codes.index(2)]
    assert [record["step"] for record in metrics(out) if "loss" in record] == [1, 2]
    assert left(out) == []


def other_claim(run: Path, age: float, **changes) -> None:
    """The claim of a process on another host, renewed so many seconds ago."""
    run.mkdir(parents=True, exist_ok=True)
    owner = {"host": "node7", "process": 4711, "started": "2026-11-27T05:30:35+00:00", "token": "theirs", **changes}
    (run / CLAIM).write_text(json.dumps(owner))
    os.utime(run / CLAIM, (time.time() - age,) * 2)


def test_of_many_that_take_a_stale_claim_at_once_one_wins(tmp_path):
    """Twenty claims at a time, because each is waited for until it is settled."""

    def take(taker, start, won):
        start.wait()
        try:
            taker.take(patient=False)
            won.append(taker)
        except UserError:
            return

    trials, threads = [(tmp_path / str(trial), []) for trial in range(20)], []
    for folder, won in trials:
        other_claim(folder, age=61)
        start = threading.Barrier(4)
        threads += [threading.Thread(target=take, args=(Claim(folder), start, won)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for folder, won in trials:
        assert len(won) == 1
        won[0].check()
        won[0].release()
        assert [*folder.iterdir()] == []


def test_a_taker_that_comes_late_puts_back_what_it_has_moved(tmp_path, monkeypatch):
    """Between its look at the stale claim and the rename, another has taken that claim over."""
    other_claim(tmp_path, age=61)
    quick, late, stock = Claim(tmp_path), Claim(tmp_path), os.rename

    def rename(*names):
        monkeypatch.setattr(os, "rename", stock)
        quick.take(patient=False)
        stock(*names)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(UserError, match="in use by process"):
        late.take(patient=False)
    quick.check()
    quick.release()
    assert [*tmp_path.iterdir()] == []


def test_a_claim_is_exclusive_where_the_file_system_has_no_links(tmp_path, monkeypatch):
    def link(*names):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    first, second = Claim(tmp_path), Claim(tmp_path)
    first.take(patient=False)
    with pytest.raises(UserError, match="in use by process"):
        second.take(patient=False)
    first.check()
    first.release()
    assert [*tmp_path.iterdir()] == []


def test_a_claim_that_somebody_has_deleted_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "RENEWED_EVERY", 0.05)
    held = Claim(tmp_path)
    held.take(patient=False)
    (tmp_path / CLAIM).unlink()
    wait_for((tmp_path / CLAIM).exists, 5)
    held.release()
    assert [*tmp_path.iterdir()] == []


def test_a_claim_is_renewed_and_its_age_is_not_read_from_two_clocks(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "RENEWED_EVERY", 0.05)
    held = Claim(tmp_path)
    held.take(patient=False)
    os.utime(tmp_path / CLAIM, (0, 0))
    wait_for(lambda: (tmp_path / CLAIM).stat().st_mtime > 0, 5)
    held.release()
    monkeypatch.setattr(time, "time", lambda: 0.0)  # of a host whose clock is wrong
    other_claim(tmp_path, age=-os.stat(tmp_path).st_mtime + 20)
    with pytest.raises(UserError, match=r"renewed its claim .* 2[01] s ago"):
        Claim(tmp_path).take(patient=False)


@pytest.mark.parametrize(
    ("changes", "environment", "taken"),
    [
        ({"job_id": "SLURM_JOB_ID=42"}, {"SLURM_JOB_ID": "42"}, True),
        ({"job_id": "SLURM_JOB_ID=42"}, {"SLURM_JOB_ID": "43", "TORCHELASTIC_RUN_ID": "42"}, False),
        ({"job_id": "TORCHELASTIC_RUN_ID=mine"}, {"TORCHELASTIC_RUN_ID": "mine"}, True),
        ({"job_id": "TORCHELASTIC_RUN_ID=none"}, {"TORCHELASTIC_RUN_ID": "none"}, False),
        ({"job_id": None}, {}, False),
    ],
    ids=["same", "another", "same launch", "launches without an id", "no job"],
)
def test_a_claim_on_another_host_is_taken_over_by_the_same_job_alone(
    tmp_path, monkeypatch, changes, environment, taken
):
    for name in ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    other_claim(tmp_path / "run", age=12, **changes)
    late = Claim(tmp_path / "run")
    if taken:
        late.take(patient=False)
        late.release()
    else:
        with pytest.raises(UserError) as refused:
            late.take(patient=False)
        message = str(refused.value)
        assert "process 4711 on host node7 (started 2026-11-27T05:30:35+00:00" in message
        assert "12 s ago" in message and "in 48 s, or now with --resume_from_checkpoint auto" in message


@pytest.mark.parametrize(("attempt", "taken"), [("0", False), ("1", True)])
def test_on_one_machine_the_later_attempt_of_a_job_takes_over_and_a_second_start_does_not(
    tmp_path, monkeypatch, attempt, taken
):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    first = Claim(tmp_path)
    first.take(patient=False)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", attempt)
    second = Claim(tmp_path)
    if not taken:
        with pytest.raises(UserError, match="in use"):
            second.take(patient=False)
        first.check()
    else:
        second.take(patient=False)
        with pytest.raises(RunError, match="has taken over"):
            first.check()
    first.release()
    second.release()
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "node7", "attempts": ["x"]}', "\x00" * 9])
def test_a_claim_that_cannot_be_read_counts_until_it_is_stale(tmp_path, text):
    """As a disk that was full, or a machine that lost its power, may leave it."""
    (tmp_path / CLAIM).write_text(text)
    with pytest.raises(UserError, match="in use by process"):
        Claim(tmp_path).take(patient=False)
    os.utime(tmp_path / CLAIM, (time.time() - 61,) * 2)
    late = Claim(tmp_path)
    late.take(patient=False)
    late.release()
    assert [*tmp_path.iterdir()] == []


def test_the_number_of_a_dead_process_may_be_that_of_another(tmp_path):
    other_claim(
        tmp_path, 0, host=socket.gethostname(), machine=claims._machine(), process=os.getpid(), process_start="1"
    )
    late = Claim(tmp_path)
    late.take(patient=False)
    late.release()


# Runs that end, and go on ---------------------------------------------------------------------------------------------


def test_the_claim_is_removed_at_every_exit(rows, tmp_path):
    def code_of(run, *args, signalled: int = 0) -> int:
        out = tmp_path / "run"
        with running(tmp_path / "log", run, *args[:-1], out, *args[-1]) as process:
            if signalled:
                wait_for(lambda: left(out) and out.with_suffix(".reading").exists())
                os.kill(process.pid, signalled)
        assert left(out) == []
        out.rename(tmp_path / str(time.monotonic_ns())) if out.exists() else None
        out.with_suffix(".reading").unlink(missing_ok=True)
        return process.exitcode

    bad = write_rows(tmp_path / "bad.jsonl", [{"promt": "a"}])
    assert code_of(sft, (rows, *SHORT)) == 0
    assert code_of(sft, (bad, *SHORT)) == 2
    assert code_of(is_told_to_stop, "0", 1, (rows, *SHORT)) == 75
    assert code_of(reads, (rows, *SHORT), signalled=signal.SIGINT) == 130
    assert code_of(reads, (rows, *SHORT), signalled=signal.SIGTERM) == -signal.SIGTERM
    assert code_of(sft, (rows, *SHORT, "--resume_from_checkpoint", "nowhere")) == 2
    assert not (tmp_path / "run").exists(), "nothing was written: the folder goes, too"
