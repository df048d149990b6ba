"""Programs are graded by the tests of their row, which hardly any wrong program passes."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import hrm_align
from hrm_align.errors import RunError, UserError
from hrm_align.rewards import code_rewards, workers
from hrm_align.rewards.base import create_grader
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from hrm_align.rewards.worker_main import Failure, load, serve
from hrm_align.sandbox import Job, Outcome, self_test
from scripts.sandbox_cases.spoofs import spoofs
from tests.rewards.rows import row, skip_without_sandbox

DATA = Path(__file__).parents[2] / "data" / "code"


def rows(split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{split}.jsonl").read_text(encoding="ascii").splitlines()]


@pytest.fixture(params=["sandbox", "monty"])
def runner(request: pytest.FixtureRequest) -> Iterator[str]:
    """Grade by the sandbox, then by what takes its place where no wall holds; each is skipped where it cannot be had."""
    code_rewards._require_reference.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "monty":
            pytest.importorskip("pydantic_monty", reason="pip install 'hrm_align[monty]'")
            patch.setattr(self_test, "find_backend_fault", lambda *_: "it was taken away")
            code_rewards._start_runner.cache_clear()
        else:
            skip_without_sandbox()
        yield request.param
        if request.param == "monty":
            code_rewards._start_runner.cache_clear()


def grade(program: str, call: str, tests: Any, reference: str = "") -> float | None:
    return create_grader("code", {}).grade(program, row(reference, call=call, tests=tests))


def test_shipped_answers_return_what_their_tests_expect():
    for split in ("train", "test"):
        for shipped in rows(split):
            names: dict[str, Any] = {}
            exec(shipped["response"], names)
            for arguments, expected in shipped["grading"]["tests"]:
                assert repr(names[shipped["grading"]["call"]](*arguments)) == repr(expected)


@pytest.mark.parametrize(
    "returned, expected, right",
    [
        ("1", 1, True),
        ("True", 1, True),
        ("1", True, True),
        ("6.0", 6, True),
        ("0.1 + 0.2", 0.3, False),
        ("None", None, True),
        ("'1'", 1, False),
        ("(1, 2)", [1, 2], True),
        ("[1, (2,)]", [1, [2]], True),
        ("[1, [2.0]]", [1, [2]], True),
        ("(1, 2)", [2, 1], False),
        ("[1, 2, 3]", [1, 2], False),
        ("{'b': 1, 'a': [2]}", {"a": [2], "b": 1}, True),
        ("{'a': True}", {"a": 1}, True),
        ("{1: 2}", {"1": 2}, False),
        ("range(2)", [0, 1], False),
        ("map(abs, [1])", [1], False),
        ("{}.keys()", [], False),
        ("{1}", [1], False),
        ("f", None, False),
    ],
)
def test_results_are_compared_as_python_does(runner: str, returned: str, expected: Any, right: bool):
    if runner == "monty" and returned.startswith("map"):
        pytest.skip("pydantic-monty's `map` returns a list")
    assert grade(f"def f(): return {returned}", "f", [[[], expected]]) == right


def test_every_test_counts_and_the_name_too(runner: str):
    tests = [[[1], 2], [[5], 6]]
    assert grade("def f(x): return x + 1", "f", tests) == 1.0
    assert grade("def f(x): return 2", "f", tests) == 0.0
    assert grade("def g(x): return x + 1", "f", tests) == 0.0
    assert grade("", "f", tests) == grade("f", "f", tests) == 0.0
    assert grade("```\ndef f(x): return x + 1\n```", "f", tests) == 1.0


def test_a_row_is_graded_by_its_tests(runner: str):
    tests, reference = [[[1], 2], [[4], 8]], "def f(x): return x * 2"
    assert grade("def f(n):\n    return n + n", "f", tests, reference) == 1.0
    assert grade("def f(x): return x ** 2", "f", tests, reference) == 0.0
    assert grade("def f(x):\n    while True: pass", "f", tests, reference) == 0.0


def test_real_python_is_graded(runner: str):
    """Imports, loops, exceptions and generator expressions, which a model writes."""
    program = """
import math, re
from collections import Counter

def f(text, number):
    try:
        counted = Counter(re.findall("[a-z]+", text))
    except ValueError:
        return None
    return [max(counted.values()), math.sqrt(number), sum(n for n in counted.values())]
"""
    assert grade(program, "f", [[["a b a", 4], [2, 2.0, 3]], [["x", 9.0], [1, 3.0, 1]]]) == 1.0


def test_a_program_starts_anew_with_copies_for_every_test(runner: str):
    program = "seen = []\ndef f(x):\n    x.append(1)\n    seen.append(1)\n    return [x, seen]"
    assert grade(program, "f", [[[[5]], [[5, 1], [1]]]] * 2) == 1.0


@pytest.mark.parametrize(
    "grading",
    [
        {},
        {"call": "f"},
        {"tests": [[[1], 2]]},
        {"call": "f", "tests": []},
        {"call": "f", "tests": [[1, 2]]},
        {"call": "f", "tests": [[[1]]]},
        {"call": 3, "tests": [[[1], 2]]},
    ],
)
def test_a_row_without_tests_cannot_be_graded(grading: dict[str, Any]):
    with pytest.raises(UserError, match=r"rows.jsonl:1: .*tests"):
        create_grader("code", {}).grade("def f(x): return 2", row("def f(x): return x * 2", **grading))


def test_a_row_whose_own_answer_fails_cannot_be_graded(runner: str):
    tests, wrong = [[[1], 2], [[3], 7]], "def f(x): return x * 2"
    for _ in range(2):
        with pytest.raises(
            UserError, match=r"rows.jsonl:1: the reference fails the tests .*: f\(3\) returns 6, expected 7"
        ):
            grade(wrong, "f", tests, wrong)
    with pytest.raises(UserError, match=r"rows.jsonl:1: the reference fails the tests .*no_such_name"):
        grade("", "f", tests, "def f(x): return no_such_name(x)")
    with pytest.raises(UserError, match=r"rows.jsonl:1: the reference fails the tests .*time limit"):
        grade("", "f", tests, "def f(x):\n while True: pass")


class Recorder:
    """Takes the place of the sandbox: keeps the jobs, and returns the same outcome for each."""

    warning = None

    def __init__(self, outcome: Outcome):
        self.outcome, self.jobs = outcome, list[Job]()

    def run(self, jobs: Iterable[Job]) -> list[Outcome]:
        jobs = list(jobs)
        self.jobs += jobs
        if self.outcome.kind == "gone":
            raise RunError("the sandbox (x) does not pass its self-test: y.")
        return [self.outcome for _ in jobs]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder(Outcome("returned", ["secret"]))
    monkeypatch.setattr(code_rewards, "_start_runner", lambda: made)
    code_rewards._require_reference.cache_clear()
    return made


def test_a_program_is_never_sent_what_is_expected_of_it(recorder: Recorder):
    assert grade("def f(a): return a", "f", [[[1], "secret"]], "def f(a): return 1") == 1.0
    assert ["secret" in repr(job.request()) or "secret" in repr(job) for job in recorder.jobs] == [False, False]


def test_the_reference_of_a_row_is_run_once_for_all_its_completions(recorder: Recorder):
    for number in range(8):
        assert grade(f"def f(a): return {number}", "f", [[[1], "secret"]], "<think>?</think>def f(a): return a") == 1.0
    assert [job.source for job in recorder.jobs].count("def f(a): return a") == 1 and len(recorder.jobs) == 9
    grade("def f(a): return 1", "f", [[[2], "secret"]], "def f(a): return a")
    assert len(recorder.jobs) == 11, "other tests are another row"


def test_a_lost_sandbox_grades_nothing_and_blames_no_row(recorder: Recorder):
    recorder.outcome = Outcome("lost")
    assert grade("def f(a): return 1", "f", [[[1], 1]], "def f(a): return 1") is None
    assert grade("def f(a): return 1", "f", [[[1], 1]]) is None
    recorder.outcome = Outcome("returned", [1])
    assert grade("def f(a): return 1", "f", [[[1], 1]], "def f(a): return 1") == 1.0
    recorder.outcome = Outcome("gone")
    with pytest.raises(UserError, match=r"rows.jsonl:1: the program was not graded: the sandbox .* does not pass"):
        grade("def f(a): return 1", "f", [[[1], 1]])


def test_the_interpreter_cannot_be_chosen_any_more():
    assert create_grader("code", {"sandbox": True}) == create_grader("code", {})
    with pytest.raises(UserError, match=r"^the reward code: invalid value for sandbox: False .* Leave the option out"):
        create_grader("code", {"sandbox": False})


# --- Hostile programs


def test_spoofs_get_0(runner: str):
    """`__eq__` that equals everything, exits, frames, memory, printed verdicts, forged answers."""
    verdicts = {}
    for name, job, expected in spoofs():
        tests = [[list(given), result] for given, result in zip(job.arguments, expected, strict=True)]
        verdicts[name] = grade(job.source, job.call, tests)
    assert {name: value for name, value in verdicts.items() if value != 0.0} == {}
    assert len(verdicts) >= 40


# Lists that hold the same ones again and again: small to make, endless to read.
LISTS = "y, z = [0], [0]\nfor i in range(14): y, z = [y, y, y, y], [z, z, z, z]\n"
HOSTILE = (
    "while True: pass",
    "def f(x): return f(x)",
    "def f(x): return (lambda g: g(g))(lambda g: g(g))",
    "def f(x): return 10 ** 10 ** 10",
    "def f(x): return [0] * 10 ** 10",
    "y = []\nwhile True: y.append('a' * 10 ** 6)",
    "def f(x): return range(10 ** 9)",
    "def f(x): return f'{x:1000000000}'",
    "def f(x): return '%1000000000d' % 5",
    "def f(x): return 'a' * 2_000_000",
    "def f(x): return " + "(" * 900 + "1" + ")" * 900 + " + 1",
    "def f(x): return " + "-" * 19_000 + "1",
    "x = '\0'",
    "import re\ndef f(x): return [re.fullmatch('(a+)+b', 'a' * 60)]",
    "import time\ntime.sleep(60)",
    "import os\nos._exit(0)",
    "import os\ndef f(x): return os.fork()",
    "import os\nos.kill(os.getppid(), 9)",
    "def f(x): return open('/etc/hosts').read()",
    "import socket",
    "import sys\nsys.exit(0)",
    "for i in range(10 ** 6): print('passed')\ndef f(x): return 2",
    LISTS + "def f(x): return y",
    LISTS + "def f(x): return y == z",
    LISTS + "def f(x): return {str(y): 1}",
    "y = []\ny.append(y)\ndef f(x): return y",
    "_hrm_write = lambda value: y\n" + LISTS + "def f(x): return 2",
    "import builtins\nbuiltins.len = builtins.type = lambda *a: 1\ndef f(x): return 2",
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="rewards run in forked processes")
def test_hostile_programs_get_0_and_cost_no_worker():
    """The sandbox's limits are below those of a row, so that neither it nor the worker must be started again."""
    skip_without_sandbox()
    graded = row("def f(x): return x", call="f", tests=[[[1], 1]])
    honest = "def f(x):\n    return x"
    with RewardSuite([RewardSpec("code")], workers=1, deadline=60.0) as suite:
        scores = suite.score([*HOSTILE, honest], [graded] * (len(HOSTILE) + 1))
    assert scores.values["code"] == [0.0] * len(HOSTILE) + [1.0]
    assert scores.faults == [] and scores.why.get("code", {}) == {}
    assert scores.seconds < 45  # 12 seen: a second for each spinner


def test_the_sandbox_is_started_again_under_the_workers_memory_limit_and_ends_with_the_worker():
    skip_without_sandbox()

    def sandboxes() -> list[psutil.Process]:
        return [process for process in psutil.Process().children(recursive=True) if is_zygote(process)]

    def is_zygote(process: psutil.Process) -> bool:
        try:
            return any("inside.zygote" in word for word in process.cmdline())
        except psutil.Error:  # it has just ended
            return False

    graded = row("def f(x): return x", call="f", tests=[[[1], 1]])
    known = sandboxes()
    with RewardSuite([RewardSpec("code")], workers=1) as suite:
        before = [process for process in sandboxes() if process not in known]
        assert before
        for process in before:
            process.kill()
        assert suite.score(["def f(x): return 1", "def f(x): return 2"], [graded] * 2).values["code"] == [1.0, 0.0]
        after = [process for process in sandboxes() if process not in known]
        assert after and not set(after) & set(before)
    _, alive = psutil.wait_procs([*before, *after], timeout=5)
    assert alive == []


@pytest.mark.campaign
def test_hostile_programs_get_0_without_a_sandbox(runner: str):
    if runner == "sandbox":
        pytest.skip("the test above")
    values = {text[:60]: grade(text, "f", [[[1], 1]]) for text in HOSTILE}
    assert {text: value for text, value in values.items() if value != 0.0} == {}
    assert grade("def f(x): return x", "f", [[[1], 1]]) == 1.0


# --- Where no sandbox holds


@pytest.fixture
def no_wall(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(self_test, "find_backend_fault", lambda *_: "the probe 'read' is not stopped")
    code_rewards._start_runner.cache_clear()
    yield
    code_rewards._start_runner.cache_clear()


def test_without_a_sandbox_and_without_monty_nothing_is_graded(no_wall: None, monkeypatch: pytest.MonkeyPatch):
    """The refusal names what is missing and both remedies, whole, as the worker hands it on."""
    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    for refused in (create_grader("code", {}).prepare, lambda: grade("def f(): return 1", "f", [[[], 1]])):  # type: ignore[attr-defined]
        with pytest.raises(
            UserError, match=r"no sandbox works.*the probe 'read' is not stopped.*pip install 'hrm_align\[monty\]'"
        ):
            refused()
    with pytest.raises(Failure) as caught:
        load({"rewards": [["code", {}]]})
    assert caught.value.detail.startswith("no sandbox works on this system (bubblewrap: ")
    assert "apt install bubblewrap" in caught.value.detail and caught.value.detail.endswith("a subset of Python.")
    assert "\n" not in caught.value.detail


def test_without_a_sandbox_monty_grades_and_the_user_is_warned(no_wall: None):
    pytest.importorskip("pydantic_monty", reason="pip install 'hrm_align[monty]'")
    (loaded,) = load({"rewards": [["code", {}]]})
    assert (
        loaded.warning is not None
        and "so code is graded by pydantic-monty" in loaded.warning
        and "apt install bubblewrap" in loaded.warning
    )
    graded = {"reference": "", "source": "rows.jsonl:1", "grading": {"call": "f", "tests": [[[], 1]]}}
    reply = serve(loaded, [{"completion": f"def f(): return {number}", **graded} for number in (1, 2)])
    assert reply["values"] == [1.0, 0.0]


@pytest.fixture
def no_wall_in_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Reward workers load a copy of the package in which no backend passes its self-test. The folder to import from."""
    source = Path(hrm_align.__file__).parent
    shutil.copytree(source, tmp_path / "hrm_align", ignore=shutil.ignore_patterns("recipes", "__pycache__"))
    with (tmp_path / "hrm_align/sandbox/self_test.py").open("a") as file:
        file.write("\n\ndef find_backend_fault(*_):\n    return \"the probe 'read' is not stopped\"\n")
    monkeypatch.setattr(workers, "__file__", str(tmp_path / "hrm_align/rewards/workers.py"))
    (tmp_path / "first").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "first")
    return tmp_path / "first"


def test_rewards_without_a_sandbox_and_without_monty_do_not_start(no_wall_in_workers: Path):
    (no_wall_in_workers / "pydantic_monty.py").write_text("raise ModuleNotFoundError('as if it were not installed')")
    with pytest.raises(UserError) as caught:
        RewardSuite([RewardSpec("code")])
    text = str(caught.value)
    assert text.startswith("cannot load the rewards code: no sandbox works on this system (bubblewrap: the probe")
    assert "pip install 'hrm_align[monty]'" in text and text.endswith("a subset of Python.")


def test_rewards_without_a_sandbox_are_computed_by_monty_with_one_warning(
    no_wall_in_workers: Path, caplog: pytest.LogCaptureFixture
):
    pytest.importorskip("pydantic_monty", reason="pip install 'hrm_align[monty]'")
    graded = row("def f(x): return x", call="f", tests=[[[1], 1]])
    with RewardSuite([RewardSpec("code")], workers=2) as suite:
        scores = suite.score(["def f(x): return 1", "def f(x): return 2"], [graded] * 2)
    assert scores.values["code"] == [1.0, 0.0] and not scores.faults
    (message,) = [record.getMessage() for record in caplog.records]
    assert "so code is graded by pydantic-monty" in message
