"""Honest programs return what they return; failing ones fail in a kind of their own; neither meets the other."""

import json
import time

import pytest

from hrm_align.errors import UserError
from hrm_align.rewards.code_rewards import passed, share_passed
from hrm_align.sandbox import Job, Limits, Sandbox
from hrm_align.sandbox.self_test import choose
from scripts.sandbox_cases.honest import honest_jobs
from scripts.sandbox_cases.spoofs import spoofs


def outcome_of(sandbox, source, *arguments, call="f"):
    (outcome,) = sandbox.run([Job(source, call, arguments or [[]])])
    return outcome


def test_honest_programs_return_what_they_return_outside(sandbox):
    jobs = honest_jobs(2)
    outcomes = sandbox.run(job for job, _ in jobs)
    wrong = [
        (job.call, outcome)
        for (job, expected), outcome in zip(jobs, outcomes, strict=True)
        if not passed(outcome, json.loads(json.dumps(expected)))
    ]
    assert wrong == []
    assert len(jobs) == 100


def test_an_honest_program_takes_milliseconds(sandbox):
    """6 ms on two shared cores; a Python that is started for each job takes 30, one behind a new bubblewrap 60."""
    taken = []
    for _ in range(60):
        start = time.perf_counter()
        assert outcome_of(sandbox, "def f(a): return sorted(a)", [[3, 1, 2]]).values == [[1, 2, 3]]
        taken.append(time.perf_counter() - start)
    assert sorted(taken)[30] < 0.05


def test_wrong_programs_are_not_paid_whatever_they_try(sandbox):
    cases = spoofs()
    outcomes = sandbox.run(job for _, job, _ in cases)
    verdicts = {name: passed(outcome, expected) for (name, _, expected), outcome in zip(cases, outcomes, strict=True)}
    assert {name: verdict for name, verdict in verdicts.items() if verdict is not False} == {}
    assert len(cases) >= 40


@pytest.mark.parametrize(
    "kind, message, source",
    [
        ("raised", "ValueError: no", "def f(): raise ValueError('no')"),
        ("raised", "SystemExit: 0", "raise SystemExit(0)"),
        ("raised", "RecursionError", "def f(): return f()"),
        ("raised", "PermissionError", "def f(): return open('/etc/passwd').read()"),
        ("raised", "ModuleNotFoundError", "import subprocess"),
        ("raised", "EOFError", "def f(): return input()"),
        ("raised", "can't start new thread", "import threading\ndef f(): threading.Thread(target=print).start()"),
        ("timeout", "exceeds its time limit", "def f():\n while True: pass"),
        ("memory", "exceeds its memory limit", "def f(): return [0] * 10**9"),
        ("memory", "exceeds its memory limit", "x = [bytes(10**6) for i in range(10**6)]"),
        ("died", "exit code 0", "import os\nos._exit(0)"),
        ("died", "exit code 3", "import os\nos._exit(3)"),
        ("died", "SIGSEGV", "import ctypes\nctypes.string_at(0)"),
        ("output", "exceeds its size limit", "def f(): return 'x' * 200_000"),
        ("refused", "not valid Python: SyntaxError", "def f(:"),
        ("refused", "not valid Python: ", "x = '\0'"),
        ("refused", "does not define f", "def g(): return 1"),
        ("refused", "a set", "def f(): return [{1}]"),
        ("refused", "the key 1", "def f(): return {1: 2}"),
        ("refused", "nan", "def f(): return [float('nan')]"),
        ("refused", "an int of more than 4300 digits", "def f(): return 10**4300"),
        ("refused", "a Text", "class Text(str): pass\ndef f(): return Text('x')"),
        ("refused", "lists within lists", "def f():\n a = []\n a.append(a)\n return a"),
        ("refused", "more than 20000 characters", "#" * 20_001),
    ],
)
def test_each_failure_has_its_kind(sandbox, kind, message, source):
    outcome = outcome_of(sandbox, source)
    assert (outcome.kind, outcome.values) == (kind, [])
    assert message in outcome.message


def test_a_spinner_is_ended_by_the_processors_seconds(one_backend):
    """A busy computer gives it as many of those as an idle one."""
    with Sandbox(Limits(cpu_seconds=1, wall_seconds=30.0), one_backend, workers=1) as sandbox:
        outcome = outcome_of(sandbox, "def f():\n while True: pass")
    assert outcome.kind == "timeout"
    assert outcome.seconds < 15


def test_a_sleeper_is_ended_by_the_clock(sandbox):
    outcome = outcome_of(sandbox, "import time\ndef f(): time.sleep(60)")
    assert outcome.kind == "timeout"
    assert 1.5 <= outcome.seconds < 4


@pytest.mark.parametrize(
    "value", [None, True, 1, 10**4300 - 1, -(10**4299), 0.1, "a\n\ud800\U0001f600", [[], {}], {"k": [1, 1.0, True]}]
)
def test_values_come_back_as_they_are(sandbox, value):
    outcome = outcome_of(sandbox, "def f(a): return a", [value])
    assert passed(outcome, [value])
    assert repr(outcome.values) == repr([value])


def test_as_many_bytes_as_there_may_be_cost_no_worker_whatever_they_are(sandbox):
    """The zygote's line is longer than what it passes on: `\\"` for a quote, `\\u00ff` for a byte that is no ASCII."""
    replaced, most = sandbox.replaced, sandbox.limits.output_bytes
    quotes = outcome_of(sandbox, "def f(n): return '\"' * n", [most // 2 - 100])
    assert quotes.values == ['"' * (most // 2 - 100)]
    bytes_ = outcome_of(sandbox, f"import os\nos.write(3, b'\\xff' * {most})\nos._exit(0)")
    assert bytes_.kind == "refused" and "can't decode byte 0xff" in bytes_.message
    assert sandbox.replaced == replaced


def test_calls_do_not_see_each_other(sandbox):
    """A program starts anew for each call, and a process for each job."""
    source = "before = globals().get('seen')\nseen = []\ndef f(a):\n seen.append(a)\n return [before, seen]"
    assert outcome_of(sandbox, source, [1], [2]).values == [[None, [1]], [None, [2]]]
    spoil = "import math, builtins\nmath.sqrt = len\nbuiltins.spoiled = True\ndef f(): return 1"
    assert outcome_of(sandbox, spoil).kind == "returned"
    look = "import math, builtins\ndef f(): return [math.sqrt(4), hasattr(builtins, 'spoiled')]"
    assert [outcome_of(sandbox, look).values for _ in range(3)] == [[[2.0, False]]] * 3


def test_a_program_does_the_same_everywhere(sandbox):
    """Clocks are in UTC, texts hash alike, nothing of the environment is left."""
    source = """
import os, sys, time, datetime
def f():
    return [time.timezone, time.localtime(0).tm_hour, datetime.datetime.fromtimestamp(0).hour, list({"a", "b", "c"}),
            dict(os.environ), os.getuid() != 0, sys.argv[1:], __name__]
"""
    first, second = (outcome_of(sandbox, source).values[0] for _ in range(2))
    with Sandbox(sandbox.limits, sandbox.backend, workers=1) as other:
        third = outcome_of(other, source).values[0]
    assert first == second == third
    assert first[:3] == [0, 0, 0]
    assert first[4:] == [{}, True, [], "program"]


def test_outcomes_come_in_the_order_of_their_jobs(sandbox):
    jobs = [Job(f"import time\ndef f():\n time.sleep({(i * 7 % 5) / 100})\n return {i}", "f", [[]]) for i in range(20)]
    assert [outcome.values for outcome in sandbox.run(jobs)] == [[i] for i in range(20)]
    assert sandbox.run([]) == []


def test_a_share_is_of_the_calls(sandbox):
    outcome = outcome_of(sandbox, "def f(a): return a * 2", [1], [2], [3], [4])
    assert share_passed(outcome, [2, 4, 6, 9]) == 0.75
    assert passed(outcome, [2, 4, 6, 9]) is False
    assert share_passed(outcome, [2, 4, 6]) == 0.0
    assert share_passed(outcome_of(sandbox, "def f(): return 1"), []) == 0.0


def test_arguments_that_are_no_json_are_the_callers_mistake(sandbox):
    for argument in (object(), float("nan"), {1, 2}):
        with pytest.raises(UserError, match="not JSON values"):
            sandbox.run([Job("def f(a): return a", "f", [[argument]])])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"backend": "chroot"}, "backend of the sandbox: chroot. Use one of bubblewrap, landlock"),
        ({"workers": 0}, "workers of the sandbox: 0"),
        ({"limits": Limits(cpu_seconds=0)}, "cpu_seconds of the sandbox: 0. Use a number above 0"),
        ({"limits": Limits(cpu_seconds=0.5)}, "cpu_seconds of the sandbox: 0.5. Use a whole number"),
        ({"limits": Limits(memory_bytes=2**20)}, "memory_bytes of the sandbox: 1048576"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(UserError, match=message):
        Sandbox(**settings)


def test_elsewhere_it_refuses_and_it_works_nowhere_but_on_linux(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(
        UserError, match=r"only on Linux, and this system is darwin, .*use Linux, or .*hrm_align\[monty\]"
    ):
        choose(Limits())
