"""A worker process costs its holder no more than the deadline, whatever it does, and its replies are to what was asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hrm_align.processes import Lost, WorkerProcess, forget_in_forks

# Does what a request says: `Worker`'s side of the channel, its standard input.
ECHO = """
import json, os, socket, sys, time
channel = socket.socket(fileno=int(sys.argv[1]) if len(sys.argv) > 1 else 0)
for line in channel.makefile("rb"):
    request = json.loads(line)
    def reply(**message): channel.sendall(json.dumps({"id": request["id"], **message}).encode() + b"\\n")
    exec(request.get("do", ""))
"""
# Ends with its lifeline, its standard input, and not with its channel.
GUARDED = f"import os, sys, threading\nthreading.Thread(target=lambda: os._exit(len(sys.stdin.read()))).start()\n{ECHO}"


@pytest.fixture
def start() -> Iterator[Callable[..., WorkerProcess]]:
    started = []

    def start(text: str = ECHO, **settings: Any) -> WorkerProcess:
        started.append(WorkerProcess([sys.executable, "-I", "-S", "-c", text], **settings))
        return started[-1]

    yield start
    for worker in started:
        worker.stop(0)


def call(worker: WorkerProcess, do: str, seconds: float = 10.0, **settings: int) -> dict[str, Any]:
    worker.ask({"do": do}, seconds, **settings)
    return worker.wait()


@pytest.mark.parametrize("lifeline", [False, True])
def test_a_request_gets_its_reply_however_it_is_cut(start, lifeline: bool):
    worker = start(lifeline=lifeline)
    assert call(worker, "reply(a=[1, None])")["a"] == [1, None]
    assert len(call(worker, "reply(a='x' * 10**6)", most=1_100_000)["a"]) == 10**6
    halves = "channel.sendall(b'{\"a\": 2, '); time.sleep(0.3); channel.sendall(b'\"id\": \"%s\"}\\n' % request['id'].encode())"
    worker.ask({"do": halves}, 10.0)
    time.sleep(0.15)
    assert worker.receive() is None, "it does not block"
    assert worker.wait()["a"] == 2
    assert worker.receive() is None


@pytest.mark.parametrize(
    "do, kind, detail",
    [
        ("os._exit(3)", "died", "it ended with exit code 3"),
        ("os.kill(os.getpid(), 9)", "died", "it was killed by SIGKILL"),
        ("os._exit(128 + 11)", "died", "it was killed by SIGSEGV"),
        ("channel.sendall(b'{\"id\"'); os._exit(0)", "died", "it ended with exit code 0"),
        ("time.sleep(1000)", "timeout", "it does not answer (timed out)"),
        ("channel.sendall(b'hello\\n')", "garbled", "it wrote b'hello\\n' where its reply should be"),
        ("channel.sendall(b'[1]\\n')", "garbled", "it wrote b'[1]\\n' where its reply should be"),
        ("channel.sendall(b'[' * 5000 + b'\\n')", "garbled", f"it wrote {b'[' * 40!r} where its reply should be"),
        ("reply(id='0')", "garbled", 'it wrote b\'{"id": "0"}\\n\' where its reply should be'),
        ("channel.sendall(b'x' * 10_001)", "garbled", "it wrote more than 10,000 bytes where its reply should be"),
    ],
)
def test_whatever_else_comes_is_a_loss_of_its_kind(start, do: str, kind: str, detail: str):
    worker, began = start(), time.monotonic()
    with pytest.raises(Lost) as caught:
        call(worker, do, 10.0 if kind != "timeout" else 0.5)
    assert (caught.value.kind, caught.value.detail) == (kind, detail)
    assert time.monotonic() - began < 5


def test_a_late_reply_is_not_taken_for_the_next_one(start):
    worker = start()
    worker.ask({"do": "reply(a='old')"}, 10.0)
    time.sleep(0.3)  # an interrupted wait
    worker.ask({"do": "time.sleep(0.3); reply(a='new')"}, 10.0)
    with pytest.raises(Lost, match=r"it wrote b'.* where its reply should be"):
        worker.wait()


def test_what_is_written_without_a_request_is_garbled(start):
    worker = start()
    call(worker, "reply(); time.sleep(0.1); reply()")
    time.sleep(0.4)
    with pytest.raises(Lost) as caught:
        worker.receive()
    assert caught.value.kind == "garbled"


def test_one_that_does_not_read_costs_the_deadline(start):
    worker, began = start("import time; time.sleep(1000)"), time.monotonic()
    with pytest.raises(Lost) as caught:
        worker.ask({"do": "x" * 10**7}, 0.5)
    assert (caught.value.kind, caught.value.detail) == ("timeout", "it does not read what it is asked")
    assert 0.4 < time.monotonic() - began < 2


def test_its_last_words_are_told_though_the_request_has_failed_before(start):
    worker = start("import sys; sys.exit('first\\nno namespaces here')", hear_errors=True)
    while not worker.ended:
        time.sleep(0.01)
    for attempt in (lambda: worker.ask({}, 1.0), worker.wait):
        with pytest.raises(Lost, match=r"^no namespaces here$"):
            attempt()


def test_stopping_ends_the_whole_group_of_one_that_hangs(start, tmp_path: Path):
    worker = start(
        f"import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"if child := os.fork(): open({str(tmp_path / 'pid')!r}, 'w').write(str(child))\ntime.sleep(1000)"
    )
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.01)
    worker.stop(0.1)
    assert worker.ended
    end = time.monotonic() + 5
    while _runs(int((tmp_path / "pid").read_text())) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _runs(int((tmp_path / "pid").read_text()))


def _runs(pid: int) -> bool:
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return done.stdout.strip()[:1] not in ("", "Z")


def test_a_ctrl_c_is_not_for_it(start):
    worker = start()
    assert call(worker, "reply(group=os.getpgid(0), session=os.getsid(0))")["session"] == worker.pid
    assert os.getpgid(worker.pid) == worker.pid != os.getpgid(0)


@pytest.mark.parametrize("lifeline", [False, True])
def test_a_forked_process_neither_uses_nor_ends_nor_keeps_it(start, lifeline: bool):
    worker = start(GUARDED if lifeline else ECHO, lifeline=lifeline)
    told: list[str] = []

    class Holder:
        def forget(self) -> None:
            told.append("forgotten")

    holder = Holder()
    forget_in_forks(holder)
    call(worker, "reply()")
    child = os.fork()
    if child == 0:
        good = told == ["forgotten"] and worker.ended and worker.fileno() == -1
        worker.stop(0)  # which does nothing
        if not good:
            os._exit(1)
        time.sleep(30)
        os._exit(0)
    time.sleep(0.3)
    assert os.waitpid(child, os.WNOHANG) == (0, 0), "it has forgotten the worker, and lives"
    try:
        assert told == [] and call(worker, "reply(a=1)")["a"] == 1
        worker.end()  # the child holds no copy of the channel
        end = time.monotonic() + 5
        while not worker.ended and time.monotonic() < end:
            time.sleep(0.01)
        assert worker.ended
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_one_that_nobody_has_stopped_is_stopped_when_its_holder_exits(tmp_path: Path):
    """Even one that does not see the end of its channel."""
    holder = (
        "import sys\nfrom hrm_align import processes\nprocesses.STOP_SECONDS = 0.1\n"
        "worker = processes.WorkerProcess([sys.executable, '-c', 'import time; time.sleep(1000)'])\nprint(worker.pid)"
    )
    done = subprocess.run([sys.executable, "-c", holder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not _runs(int(done.stdout))
