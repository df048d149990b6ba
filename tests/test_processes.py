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

from hrm_align.processes import WorkerLost, WorkerProcess, forget_after_fork

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
    worker.send_request({"do": do}, seconds, **settings)
    return worker.wait_for_reply()


@pytest.mark.parametrize("lifeline", [False, True])
def test_a_request_gets_its_reply_however_it_is_cut(start, lifeline: bool):
    worker = start(lifeline=lifeline)
    assert call(worker, "reply(a=[1, None])")["a"] == [1, None]
    assert len(call(worker, "reply(a='x' * 10**6)", max_bytes=1_100_000)["a"]) == 10**6
    halves = "channel.sendall(b'{\"a\": 2, '); time.sleep(0.3); channel.sendall(b'\"id\": \"%s\"}\\n' % request['id'].encode())"
    worker.send_request({"do": halves}, 10.0)
    time.sleep(0.15)
    assert worker.receive_reply() is None, "it does not block"
    assert worker.wait_for_reply()["a"] == 2
    assert worker.receive_reply() is None


@pytest.mark.parametrize(
    "do, kind, detail",
    [
        ("os._exit(3)", "died", "the worker ended with exit code 3"),
        ("os.kill(os.getpid(), 9)", "died", "the worker was killed by SIGKILL"),
        ("os._exit(128 + 11)", "died", "the worker was killed by SIGSEGV"),
        ("channel.sendall(b'{\"id\"'); os._exit(0)", "died", "the worker ended with exit code 0"),
        ("time.sleep(1000)", "timeout", "the worker does not answer (timed out)"),
        ("channel.sendall(b'hello\\n')", "garbled", "the worker wrote b'hello\\n' instead of a reply"),
        ("channel.sendall(b'[1]\\n')", "garbled", "the worker wrote b'[1]\\n' instead of a reply"),
        ("channel.sendall(b'[' * 5000 + b'\\n')", "garbled", f"the worker wrote {b'[' * 40!r} instead of a reply"),
        ("reply(id='0')", "garbled", 'the worker wrote b\'{"id": "0"}\\n\' instead of a reply'),
        ("channel.sendall(b'x' * 10_001)", "garbled", "the worker wrote more than 10,000 bytes instead of a reply"),
    ],
)
def test_whatever_else_comes_is_a_loss_of_its_kind(start, do: str, kind: str, detail: str):
    worker, began = start(), time.monotonic()
    with pytest.raises(WorkerLost) as caught:
        call(worker, do, 10.0 if kind != "timeout" else 0.5)
    assert (caught.value.kind, caught.value.detail) == (kind, detail)
    assert time.monotonic() - began < 5


def test_a_late_reply_is_not_taken_for_the_next_one(start):
    worker = start()
    worker.send_request({"do": "reply(a='old')"}, 10.0)
    time.sleep(0.3)  # an interrupted wait
    worker.send_request({"do": "time.sleep(0.3); reply(a='new')"}, 10.0)
    with pytest.raises(WorkerLost, match=r"the worker wrote b'.* instead of a reply"):
        worker.wait_for_reply()


def test_what_is_written_without_a_request_is_garbled(start):
    worker = start()
    call(worker, "reply(); time.sleep(0.1); reply()")
    time.sleep(0.4)
    with pytest.raises(WorkerLost) as caught:
        worker.receive_reply()
    assert caught.value.kind == "garbled"


def test_one_that_does_not_read_costs_the_deadline(start):
    worker, began = start("import time; time.sleep(1000)"), time.monotonic()
    with pytest.raises(WorkerLost) as caught:
        worker.send_request({"do": "x" * 10**7}, 0.5)
    assert (caught.value.kind, caught.value.detail) == ("timeout", "the worker does not read its request")
    assert 0.4 < time.monotonic() - began < 2


def test_its_last_words_are_forget_calls_though_the_request_has_failed_before(start):
    worker = start("import sys; sys.exit('first\\nno namespaces here')", capture_stderr=True)
    while not worker.ended:
        time.sleep(0.01)
    for attempt in (lambda: worker.send_request({}, 1.0), worker.wait_for_reply):
        with pytest.raises(WorkerLost, match=r"^no namespaces here$"):
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
    forget_calls: list[str] = []

    class Holder:
        def forget(self) -> None:
            forget_calls.append("forgotten")

    holder = Holder()
    forget_after_fork(holder)
    call(worker, "reply()")
    child = os.fork()
    if child == 0:
        good = forget_calls == ["forgotten"] and worker.ended and worker.fileno() == -1
        worker.stop(0)  # which does nothing
        if not good:
            os._exit(1)
        time.sleep(30)
        os._exit(0)
    time.sleep(0.3)
    assert os.waitpid(child, os.WNOHANG) == (0, 0), "it has forgotten the worker, and lives"
    try:
        assert forget_calls == [] and call(worker, "reply(a=1)")["a"] == 1
        worker.close_channel()  # the child holds no copy of the channel
        end = time.monotonic() + 5
        while not worker.ended and time.monotonic() < end:
            time.sleep(0.01)
        assert worker.ended
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_one_that_nobody_has_stopped_is_stopped_when_its_holder_exits(tmp_path: Path):
    """This includes a worker that does not notice the end of its channel."""
    holder = (
        "import sys\nfrom hrm_align import processes\nprocesses.STOP_SECONDS = 0.1\n"
        "worker = processes.WorkerProcess([sys.executable, '-c', 'import time; time.sleep(1000)'])\nprint(worker.pid)"
    )
    done = subprocess.run([sys.executable, "-c", holder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not _runs(int(done.stdout))
