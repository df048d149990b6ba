"""What takes the place of the sandbox where no wall holds: the same outcomes, and never more than the limits."""

import subprocess
import sys
import time

import pytest

from hrm_align.errors import UserError
from hrm_align.rewards.code_rewards import passed
from hrm_align.sandbox import Job, Limits

pydantic_monty = pytest.importorskip("pydantic_monty", reason="pip install 'hrm_align[monty]'")

from hrm_align.sandbox.monty import Monty  # noqa: E402

LIMITS = Limits(cpu_seconds=1, memory_bytes=128 * 2**20, output_bytes=100_000)
SHARED = "y = [0]\nfor i in range(14): y = [y, y, y, y]\n"  # small to hold, 268 million numbers to write


@pytest.fixture(scope="module")
def monty():
    with Monty(LIMITS) as made:
        yield made


def outcome_of(monty, source, *arguments, call="f"):
    (outcome,) = monty.run([Job(source, call, arguments or [[]])])
    return outcome


@pytest.mark.parametrize("value", [None, True, 1, 10**4000, 0.1, "a\n\U0001f600", [[], {}], {"k": [1, 1.0, True]}])
def test_values_come_back_as_they_are(monty, value):
    outcome = outcome_of(monty, "type = list = json = None\ndef f(a): return a", [value])
    assert passed(outcome, [value])
    assert repr(outcome.values) == repr([value])


@pytest.mark.parametrize(
    "kind, message, source",
    [
        ("raised", "ValueError: no", "def f(): raise ValueError('no')"),
        ("raised", "RecursionError", "def f(): return f()"),
        ("raised", "PermissionError", "def f(): return open('/etc/passwd').read()"),
        ("raised", "PermissionError", "import os\ndef f(): return os.listdir('/')"),
        ("raised", "ModuleNotFoundError", "import socket"),
        ("timeout", "limit", "def f():\n while True: pass"),
        ("timeout", "limit", "while True: print('passed')"),
        ("memory", "memory", "def f(): return [0] * 10**9"),
        ("memory", "memory", "def f(): return 10 ** 10 ** 10"),
        ("output", "exceeds its size limit", "def f(): return 'x' * 200_000"),
        ("refused", "not valid Python", "def f(:"),
        ("raised", "not defined", "def g(): return 1"),
        ("raised", "a set", "def f(): return [{1}]"),
        ("raised", "a key that is not a string", "def f(): return {1: 2}"),
        ("raised", "nan", "def f(): return [float('nan')]"),
        ("raised", "lists within lists", "def f():\n a = []\n a.append(a)\n return a"),
        ("refused", "more than 20000 characters", "#" * 20_001),
        ("refused", "cannot be parsed", "_hrm_write = lambda value: '1, 1'\ndef f(): return 1"),
        ("refused", "cannot be parsed", "_hrm_write = lambda value: 'NaN'\ndef f(): return 1"),
    ],
)
def test_each_failure_has_its_kind(monty, kind, message, source):
    outcome = outcome_of(monty, source)
    assert (outcome.kind, outcome.values) == (kind, [])
    assert message in outcome.message


@pytest.mark.parametrize("source", ["def f(): return y", "_hrm_write = lambda value: y\ndef f(): return 1"])
def test_a_value_that_is_endless_to_write_stays_in_the_interpreter(monty, source):
    start = time.monotonic()
    assert outcome_of(monty, SHARED + source).kind in ("timeout", "memory", "died")
    assert time.monotonic() - start < 4  # 1.2 seen
    assert outcome_of(monty, "def f(): return 1").values == [1]


def test_all_calls_share_the_seconds_and_nobody_sleeps(monty):
    start = time.monotonic()
    assert outcome_of(monty, "def f(a):\n for i in range(10**9): pass", *[[n] for n in range(20)]).kind == "timeout"
    assert outcome_of(monty, "import time\ntime.sleep(60)\ndef f(): return 1").values == [1]
    assert time.monotonic() - start < 4


def test_calls_do_not_see_each_other(monty):
    source = "seen = []\ndef f(a):\n seen.append(a)\n return seen"
    assert outcome_of(monty, source, [1], [2]).values == [[1], [2]]


def test_arguments_that_are_no_json_are_the_callers_mistake(monty):
    with pytest.raises(UserError, match="not JSON values"):
        monty.run([Job("def f(a): return a", "f", [[{1, 2}]])])


def test_it_starts_in_a_process_without_site_as_reward_workers_are():
    program = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from hrm_align.sandbox import Job\n"
        "from hrm_align.sandbox.monty import Monty\n"
        "print(Monty().run([Job('def f(): return 6 * 7', 'f', [[]])])[0].values)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True)
    assert done.stdout == "[42]\n", done.stderr


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(pydantic_monty, "__version__", "9.0.0")
    with pytest.raises(UserError, match=r"version 9.0.0, and only 1.4.0 is supported. Run pip install"):
        Monty()
