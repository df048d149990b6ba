"""Nothing outlives anything: workers end with their trainer however it ends, are replaced when they die, and are left alone
by forked processes."""

import os
import pickle
import signal
import threading
import time
from pathlib import Path

import pytest

from hrm_align import processes
from hrm_align.errors import UserError
from hrm_align.rewards.code_rewards import passed
from hrm_align.sandbox import Job, Limits, Sandbox, pool, worker
from hrm_align.sandbox.worker import BACKENDS

from .conftest import LIMITS

ECHO = "def f(a): return a"
SLEEP = "import time\ndef f(): time.sleep(60)"


@pytest.fixture(autouse=True)
def _chosen_before(monkeypatch):
    """Backends are those of the fixtures, which have passed their self-test."""
    known = {backend.name: backend for backend in BACKENDS}
    monkeypatch.setattr(pool, "choose", lambda limits, name: (known[name], []))


def echo(sandbox, value):
    (outcome,) = sandbox.run([Job(ECHO, "f", [[value]])])
    return outcome.values[0] if outcome.values else outcome


def members(groups):
    """The living processes of process groups: a worker's zygote, its wall, its job."""
    found = set()
    for name in os.listdir("/proc"):
        try:
            state, _, group = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if state not in "ZX" and int(group) in groups:
            found.add(int(name))
    return found


def gone(groups, seconds=5.0):
    """Whether they end soon by themselves."""
    deadline = time.monotonic() + seconds
    while members(groups) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not members(groups)


def forked(function):
    """Run a function in a forked process that then exits without cleaning up; its pid, and what it returned."""
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(source)
            with os.fdopen(sink, "wb") as stream:
                pickle.dump(function(), stream)
        finally:
            os._exit(0)
    os.close(sink)
    return pid, os.fdopen(source, "rb")


def in_a_fork(function):
    pid, stream = forked(function)
    with stream:
        result = pickle.load(stream)
    os.waitpid(pid, 0)
    return result


def test_close_leaves_no_process_and_no_descriptor(backend):
    descriptors = os.listdir("/proc/self/fd")
    with Sandbox(LIMITS, backend) as sandbox:
        groups = set(sandbox.pids)
        assert echo(sandbox, 1) == 1
        assert len(members(groups)) >= 2
    assert members(groups) == set()
    assert os.listdir("/proc/self/fd") == descriptors
    sandbox.close()
    with pytest.raises(UserError, match="closed"):
        echo(sandbox, 1)


@pytest.mark.parametrize("how", ["SIGKILL", "_exit"])
def test_they_end_with_their_trainer(backend, how):
    """While a job runs, and though the trainer has no time to clean up."""

    def train():
        sandbox = Sandbox(LIMITS, backend)
        threading.Thread(target=sandbox.run, args=([Job(SLEEP, "f", [[]])] * 2,), daemon=True).start()
        time.sleep(0.3)
        return sandbox.pids, members(set(sandbox.pids))

    def train_and_wait():
        report.send(train())
        signal.pause() if how == "SIGKILL" else os._exit(0)

    report = Report()
    pid = report.fork(train_and_wait)
    groups, running = report.receive()
    assert len(running) >= 4, "two zygotes and two jobs"
    if how == "SIGKILL":
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert gone(set(groups), LIMITS.wall_seconds / 2), "not by the deadline of the job"


class Report:
    """A pipe from a forked process that continues to run."""

    def __init__(self):
        self._source, self._sink = os.pipe()

    def fork(self, function):
        pid = os.fork()
        if pid == 0:
            try:
                os.close(self._source)
                function()
            finally:
                os._exit(1)
        os.close(self._sink)
        return pid

    def send(self, value):
        with os.fdopen(self._sink, "wb") as stream:
            pickle.dump(value, stream)

    def receive(self):
        with os.fdopen(self._source, "rb") as stream:
            return pickle.load(stream)


def test_a_job_ends_with_its_zygote(backend):
    """It asks the kernel for that before it runs the program."""
    with Sandbox(LIMITS, backend, workers=1) as sandbox:
        group = set(sandbox.pids)
        thread = threading.Thread(target=sandbox.run, args=([Job(SLEEP, "f", [[]])],))
        thread.start()
        time.sleep(0.5)
        # The zygote is the parent of the job, which was started last.
        job = max(members(group))
        zygote = int(Path(f"/proc/{job}/stat").read_text().rpartition(")")[2].split()[1])
        assert zygote in members(group)
        os.kill(zygote, signal.SIGKILL)
        time.sleep(0.2)
        assert job not in members(group)
        thread.join()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_hangs_is_replaced(backend, number, monkeypatch):
    monkeypatch.setattr(worker, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    limits = Limits(cpu_seconds=1, wall_seconds=0.5)
    with Sandbox(limits, backend) as sandbox:
        groups = set(sandbox.pids)
        os.killpg(sandbox.pids[0], number)
        assert [echo(sandbox, value) for value in range(4)] == list(range(4))
        assert sandbox.replaced == 1
        assert len(groups & set(sandbox.pids)) == 1
        assert gone(groups - set(sandbox.pids))
        lost = set(sandbox.pids)
        os.killpg(sandbox.pids[1], signal.SIGSTOP)
    assert gone(lost), "closing does not wait for a worker that hangs"


def test_a_job_whose_workers_are_lost_twice_is_lost(one_backend, monkeypatch):
    """It cannot be graded, and that is no failure of the program."""
    with Sandbox(LIMITS, one_backend, workers=1) as sandbox:
        hand = worker.Worker.send_job

        def die(self, job):
            if "doomed" in repr(job):
                os.killpg(self.pid, signal.SIGKILL)
            hand(self, job)

        monkeypatch.setattr(worker.Worker, "send_job", die)
        outcomes = sandbox.run([Job(ECHO, "f", [[text]]) for text in ("a", "doomed", "b")])
        assert [outcome.kind for outcome in outcomes] == ["returned", "lost", "returned"]
        assert sandbox.replaced == 2
        assert passed(outcomes[1], ["doomed"]) is None
        assert sandbox.counts["lost"] == 1


def test_a_forked_process_has_workers_of_its_own(one_backend):
    """As a worker of a DataLoader: it neither uses nor ends its parent's."""
    with Sandbox(LIMITS, one_backend, workers=1) as sandbox:
        before = list(sandbox.pids)

        def use():
            value, own = echo(sandbox, "child"), list(sandbox.pids)
            sandbox.close()
            return value, own

        value, own = in_a_fork(use)
        assert value == "child"
        assert not set(own) & set(before)
        assert in_a_fork(sandbox.close) is None
        assert sandbox.pids == before
        assert echo(sandbox, "parent") == "parent"
        assert sandbox.replaced == 0
        assert gone(set(own))


def test_a_forked_process_that_lives_on_does_not_keep_workers_alive(one_backend):
    """They learn of the trainer's end by the socket, of which a fork must not hold a copy."""
    sandbox = Sandbox(LIMITS, one_backend, workers=1)
    groups, pid = set(sandbox.pids), os.fork()
    if pid == 0:
        try:
            time.sleep(30)
        finally:
            os._exit(0)
    try:
        for open_worker in sandbox._workers:
            open_worker._socket.close()  # as when the trainer dies
        assert gone(groups)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        sandbox.close()


def test_threads_share_a_sandbox(one_backend):
    found = {}
    with Sandbox(LIMITS, one_backend) as sandbox:
        threads = [
            threading.Thread(target=lambda name=name: found.update({name: [echo(sandbox, name) for _ in range(5)]}))
            for name in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {name: [name] * 5 for name in range(6)}


def test_a_worker_outlives_the_thread_that_started_it(one_backend):
    made = []
    thread = threading.Thread(target=lambda: made.append(Sandbox(LIMITS, one_backend, workers=1)))
    thread.start()
    thread.join()
    with made[0] as sandbox:
        time.sleep(0.2)
        assert echo(sandbox, 1) == 1
        assert sandbox.replaced == 0


def test_an_interrupted_run_leaves_no_answer_behind(one_backend):
    """After Ctrl-C the next job must not get the answer to the last."""

    def interrupt(*_):
        raise KeyboardInterrupt

    with Sandbox(LIMITS, one_backend, workers=1) as sandbox:
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(KeyboardInterrupt):
                sandbox.run([Job("import time\ndef f():\n time.sleep(0.6)\n return 'old'", "f", [[]])])
        finally:
            signal.signal(signal.SIGALRM, before)
        time.sleep(0.5)
        assert echo(sandbox, "new") == "new"
