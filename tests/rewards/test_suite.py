"""No reward can kill, hang or deceive a run: a failure is reported, and affects only the row that caused it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hrm_align.errors import UserError
from hrm_align.rewards import workers as pool
from hrm_align.rewards.scoring import Fault, Scores
from hrm_align.rewards.suite import MARGIN_SECONDS, RewardSpec, RewardSuite
from tests.rewards.rows import row

OWN = """
import os, sys, threading, time
from contextlib import suppress
calls = []
def everywhere(data):
    for descriptor in range(3, 500):
        with suppress(OSError): os.write(descriptor, data)
def reward(prompts, completions, reference, **columns):
    assert columns.keys() == {"messages", "condition", "group", "grading", "source"}
    calls.append(len(completions))
    values = []
    for completion in completions:
        if completion == "raise": raise KeyError("x")
        if completion == "sleep": time.sleep(1000)
        if completion == "exit": os._exit(3)
        if completion == "unguarded": os.kill(os.getppid(), 9); time.sleep(1000)
        while completion == "torrent": everywhere(b"x" * 1000)
        if completion == "later": threading.Timer(0.1, os._exit, [0]).start()
        values.append(len(completion) if completion != "calls" else sum(calls))
    return values

def together(prompts, completions, **columns):
    return [1.0] * len(completions) if len(completions) == 1 else [1.0]

def lengths(completions):
    import array
    return array.array("d", map(len, completions))
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return str(path)


def suite_of(*entries, **settings) -> RewardSuite:
    return RewardSuite([RewardSpec.of(entry) for entry in entries], workers=1, **settings)


def rows(n: int) -> list:
    return [row("4", f"rows.jsonl:{number}") for number in range(1, n + 1)]


def descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = set(descendants())
    yield
    assert {process for process in descendants() if process.status() != psutil.STATUS_ZOMBIE} <= before


@pytest.mark.numeric
def test_the_total_is_the_weighted_sum_of_what_could_be_graded():
    scores = Scores({"a": [1.0, None, None, 0.0], "b": [0.5, 0.5, None, None], "watched": [9.0, 9.0, 9.0, 9.0]})
    assert scores.totals([1.0, -0.2, 0.0]) == pytest.approx([0.9, -0.1, None, 0.0])  # by hand


def test_values_come_by_name_and_in_the_order_of_the_completions(own: str):
    with suite_of("exact", {"name": "length", "most": 2, "weight": 0.5, "label": "short"}, {"file": own}) as suite:
        assert (suite.names, suite.weights) == (["exact", "short", "reward"], [1.0, 0.5, 1.0])
        scores = suite.score(["4", "four", " 4 "], rows(3))
        assert scores.values == {"exact": [1.0, 0.0, 1.0], "short": [1.0, 0.0, 0.0], "reward": [1.0, 4.0, 3.0]}
        assert not scores.faults
        assert suite.score([], []).values == {"exact": [], "short": [], "reward": []}
        assert suite.score(["4"], rows(1), only=["exact"]).values == {"exact": [1.0], "short": [None], "reward": [None]}


def test_a_users_function_is_called_once_for_all_rows_and_keeps_its_state(own: str):
    with suite_of({"file": own}) as suite:
        assert suite.score(["calls"] * 3, rows(3)).values["reward"] == [3.0] * 3
        assert suite.score(["calls"] * 2, rows(2)).values["reward"] == [5.0] * 2


@pytest.mark.parametrize(
    "completion, kind, detail",
    [
        ("raise", "raised", r"own.py:13: KeyError: 'x'"),
        ("sleep", "timeout", r"more than 0.2 seconds"),
        ("exit", "died", r"exit code 3"),
        ("unguarded", "died", r"killed by SIGKILL"),
        ("torrent", "garbled", r"more than \d+,000 bytes instead of a reply"),
    ],
)
def test_a_row_that_fails_costs_itself_alone_and_is_told(own: str, completion: str, kind: str, detail: str):
    with suite_of("exact", {"file": own}, deadline=2.0) as suite:
        scores = suite.score(["4", completion, "ok"], rows(3))
        assert scores.values == {"exact": [1.0, 0.0, 0.0], "reward": [1.0, None, 2.0]}
        (fault,) = scores.faults
        assert (fault.reward, fault.kind, fault.source) == ("reward", kind, "rows.jsonl:2")
        assert re.search(detail, fault.detail)
        assert suite.score(["4"], rows(1)).totals(suite.weights) == [2.0]


def test_a_call_that_fails_without_a_row_to_blame_is_told_once(own: str):
    with suite_of({"file": own, "function": "together"}) as suite:
        scores = suite.score(["a", "b", "c"], rows(3))
    assert scores.values["together"] == [1.0] * 3
    assert [(fault.kind, fault.source) for fault in scores.faults] == [("wrong_length", None)]


def test_however_many_rows_hang_the_call_ends_at_its_deadline(own: str):
    with suite_of({"file": own}, {"name": "format", "pattern": "(a+)+b"}, deadline=1.5) as suite:
        scores = suite.score(["sleep", "a" * 60] * 20, rows(40))
        assert 1.4 < scores.seconds - scores.loading_seconds < 1.5 + MARGIN_SECONDS
        kinds = {(fault.reward, fault.kind) for fault in scores.faults}
        assert {("reward", "timeout"), ("format", "timeout"), ("format", "skipped")} <= kinds
        # A row on which a built-in reward hangs gets 0; a skipped row gets None.
        ours = [(f.kind, int(str(f.source).split(":")[1]) - 1) for f in scores.faults if f.reward == "format"]
        assert {(kind, scores.values["format"][place]) for kind, place in ours} == {("timeout", 0.0), ("skipped", None)}
        assert suite.score(["ok", "aab"], rows(2)).values == {"reward": [2.0, 3.0], "format": [0.0, 1.0]}


def test_a_worker_that_dies_between_two_calls_is_replaced_and_told(own: str):
    with suite_of({"file": own}) as suite:
        assert not suite.score(["later"], rows(1)).faults
        time.sleep(0.4)
        scores = suite.score(["4"], rows(1))
        assert scores.values["reward"] == [1.0]
        assert [(fault.reward, fault.kind, fault.source) for fault in scores.faults] == [("reward", "died", None)]


def test_a_file_that_cannot_be_loaded_again_ends_the_call_early(tmp_path: Path):
    path, flag = tmp_path / "once.py", tmp_path / "flag"
    path.write_text(
        f"import os\nassert not os.path.exists({str(flag)!r})\n"
        f"def reward(prompts, completions, **columns):\n    open({str(flag)!r}, 'w').close()\n    os._exit(1)\n"
    )
    with suite_of({"file": str(path)}, deadline=20.0) as suite:
        scores = suite.score(["a", "b"], rows(2))
        assert scores.seconds < 5
        assert scores.values["reward"] == [None, None]
        assert {(fault.kind, fault.source) for fault in scores.faults} == {
            ("died", None),
            ("skipped", "rows.jsonl:1"),
            ("skipped", "rows.jsonl:2"),
        }
        assert all("AssertionError" in fault.detail for fault in scores.faults if fault.kind == "skipped")


def test_arrays_are_lists_and_only_the_columns_named_are_passed(own: str):
    with suite_of({"file": own, "function": "lengths"}) as suite:
        assert suite.score(["a", "bcd"], rows(2)).values["lengths"] == [1.0, 3.0]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("def other(): pass", "no function 'reward', only other"),
        ("import nothing_like_it", "own.py.*own.py:1: ModuleNotFoundError"),
        (
            "def reward(prompts, completion): pass",
            "parameter 'completion' of reward is not a column. Use prompts, completions",
        ),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import os; os._exit(3)", "ended with exit code 3"),
        ("def reward(:", "SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_a_sentence(tmp_path: Path, text: str, sentence: str):
    path = tmp_path / "own.py"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        suite_of({"file": str(path)})


def test_a_file_that_hangs_when_it_is_loaded_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool, "START_SECONDS", 0.5)
    (tmp_path / "own.py").write_text("import time; time.sleep(1000)")
    with pytest.raises(UserError, match=r"own.py: loading takes more than"):
        suite_of({"file": str(tmp_path / "own.py")})


SLOW = """
import os, time
starts = {starts!r}
with open(starts, "a") as file: print("start", file=file)
time.sleep({seconds} if len(open(starts).readlines()) > {quick} else 0)
def reward(completions):
    if "exit" in completions: os._exit(3)
    if "sleep" in completions: time.sleep(1000)
    return [float(len(text)) for text in completions]
"""


@pytest.fixture
def slow(tmp_path: Path):
    """A function that writes a reward file whose start takes so many seconds, after so many quick starts."""

    def write(seconds: float, quick: int = 0) -> str:
        path = tmp_path / "slow.py"
        path.write_text(SLOW.format(seconds=seconds, quick=quick, starts=str(tmp_path / "starts")))
        return str(path)

    return write


def test_a_file_that_loads_longer_than_the_deadline_costs_no_row(slow):
    with suite_of({"file": slow(0.8)}, deadline=0.5) as suite:
        scores = suite.score(["a", "bc"], rows(2))
    assert scores.values["reward"] == [1.0, 2.0] and not scores.faults


@pytest.mark.parametrize(("completion", "kind"), [("exit", "died"), ("sleep", "timeout")])
def test_a_worker_that_is_replaced_may_load_longer_than_the_deadline(slow, completion: str, kind: str):
    """The batch fails and each row is graded alone, so that two replacements load; a hanging file would also be timed."""
    with suite_of("exact", {"file": slow(0.6, quick=1)}, deadline=0.5) as suite:
        scores = suite.score(["a", completion, "bc"], rows(3))
        assert scores.values["reward"] == [1.0, None, 2.0]
        assert [(fault.kind, fault.source) for fault in scores.faults] == [(kind, "rows.jsonl:2")]
        assert 1.2 <= scores.loading_seconds <= scores.seconds
        assert scores.seconds - scores.loading_seconds < 0.5 + MARGIN_SECONDS


def test_a_file_that_hangs_when_it_is_loaded_again_costs_one_start_alone(slow, monkeypatch: pytest.MonkeyPatch):
    """The rows that were not graded are skipped, and the next call keeps to its deadline."""
    with suite_of("exact", {"file": slow(1000, quick=1)}, deadline=0.5) as suite:
        monkeypatch.setattr(pool, "START_SECONDS", 0.7)
        scores = suite.score(["exit", "4"], rows(2))
        assert scores.values == {"exact": [0.0, 1.0], "reward": [None, None]}
        kinds = {fault.kind: fault.detail for fault in scores.faults}
        assert kinds.keys() == {"died", "skipped"} and "loading takes more than 0.7 seconds" in kinds["skipped"]
        assert suite.score(["4"], rows(1)).seconds < 0.5 + MARGIN_SECONDS


@pytest.mark.parametrize(
    "entry, sentence",
    [
        ("maths", "unknown reward 'maths': did you mean 'math'"),
        (5, "invalid reward: 5. Use a name"),
        ({"weight": 1}, "either `name` or `file`"),
        ({"name": "math", "file": "own.py"}, "either `name` or `file`"),
        ({"name": "numeric", "tolerence": 1}, "numeric has no option tolerence: did you mean 'tolerance'"),
        ({"name": "exact", "x": 1}, "exact has no option x: Leave the option out"),
        ({"name": "numeric", "tolerance": "1"}, "invalid value for tolerance: '1'. Use a number"),
        ({"name": "numeric", "pattern": "a"}, r"invalid value for pattern: 'a' has 0 capturing groups and needs 1"),
        ({"name": "answer", "pattern": "(a"}, "not a regular expression"),
        ({"name": "math", "weight": "1"}, "weight of the reward math: '1'. Use a number"),
        ({"name": "math", "weight": float("nan")}, "weight of the reward math: nan"),
        ({"name": "math", "function": "f"}, "`function`, which is only valid with `file`"),
        ({"name": "format"}, "either `pattern` or `tags`"),
        ({"name": "format", "tags": ["<a>"]}, "invalid value for tags: '<a>'"),
        ({"name": "length", "soft": 3}, "`soft` and `hard`"),
        ({"name": "length", "soft": 3, "hard": 3}, "invalid value for hard: 3 with soft 3"),
        ({"name": "length", "most": 3, "unit": "tokens"}, "invalid value for unit: 'tokens'. Use characters or words"),
        ({"name": "json_fields", "schema": "none.json"}, "cannot read the schema none.json"),
        ({"name": "code", "sandbox": "yes"}, "invalid value for sandbox: 'yes'. Use true or false"),
        ({"file": "none.py"}, "'none.py' is not an existing Python file"),
        ({"file": __file__, "wieght": 1}, "unknown key `wieght`: did you mean 'weight'"),
    ],
)
def test_a_mistake_in_a_recipe_names_the_value_and_the_remedy(entry, sentence: str):
    with pytest.raises(UserError, match=sentence):
        RewardSpec.of(entry)


def test_a_suite_without_sense_is_a_sentence():
    for entries, settings, sentence in (
        ([], {}, "no reward is set"),
        (["exact", "exact"], {}, "two rewards have the name exact. Set a different `label`"),
        (["exact"], {"deadline": 0}, "deadline of the rewards: 0"),
        (["exact"], {"workers": 0}, "number of reward workers: 0"),
    ):
        with pytest.raises(UserError, match=sentence):
            RewardSuite([RewardSpec.of(entry) for entry in entries], **settings)


# The pool alone, since importing the package takes longer than the test.
TRAINER = """
import sys, types
package = sys.modules["hrm_align"] = types.ModuleType("hrm_align")
package.__path__ = [{folder!r}]
from hrm_align.rewards.worker_groups import WorkerGroup
from hrm_align.rewards.workers import Request, WorkerPool
pool = WorkerPool([WorkerGroup({{"file": {own!r}, "function": "reward"}}), WorkerGroup({{"rewards": [["exact", {{}}]]}})])
print("ready", flush=True)
row = dict.fromkeys(("completion", "reference", "condition", "group", "grading", "source"), "")
pool.run([Request(0, 0, [{{**row, "messages": [{{"content": ""}}]}}], 60.0)], 60.0, lambda *_: [])
"""


def test_nothing_outlives_a_trainer_that_is_killed_while_its_reward_hangs(tmp_path: Path):
    own = tmp_path / "own.py"
    own.write_text(
        textwrap.dedent(f"""
        import subprocess, re
        def reward(completions):
            for session in (False, True):
                child = subprocess.Popen(["sleep", "1000"], start_new_session=session)
                with open({str(tmp_path / "pids")!r}, "a") as file: print(child.pid, file=file)
            re.fullmatch("(a+)+b", "a" * 60)  # holds the interpreter's lock
        """)
    )
    text = TRAINER.format(folder=str(Path(__file__).parents[2] / "hrm_align"), own=str(own))
    trainer = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert trainer.stdout and trainer.stdout.readline() == "ready\n"
    end = time.monotonic() + 10
    pids = tmp_path / "pids"
    while time.monotonic() < end and (not pids.exists() or len(pids.read_text().split()) < 2):
        time.sleep(0.05)
    below = psutil.Process(trainer.pid).children(recursive=True)
    assert len(below) == 6  # two guardians, two workers, two children
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    _, alive = psutil.wait_procs(below, timeout=5)
    assert not alive


def test_a_forked_process_has_workers_of_its_own_and_keeps_nobody_alive(own: str):
    with suite_of({"file": own}) as suite:
        suite.score(["calls"] * 3, rows(3))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writing, b"%d" % suite.score(["calls"], rows(1)).values["reward"][0])
                suite.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        assert os.read(reading, 10) == b"1"  # a new process: its function was called for one row
        assert suite.score(["calls"], rows(1)).values["reward"] == [
            4.0
        ]  # the function in the parent's worker kept its state
        os.close(reading)


def test_a_fault_is_plain_data():
    fault = Fault("math", "timeout", "rows.jsonl:1", "it took more than 3.0 seconds")
    assert fault == Fault("math", "timeout", "rows.jsonl:1", "it took more than 3.0 seconds")
    assert len({fault}) == 1


def test_an_interrupted_call_leaves_no_reply_for_the_next(own: str, monkeypatch: pytest.MonkeyPatch):
    with suite_of({"file": own}, deadline=5.0) as suite:
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            suite.score(["sleep", "abc"], rows(2))
        scores = suite.score(["a"], rows(1))
        assert scores.values["reward"] == [1.0] and not scores.faults


def test_only_finite_numbers_are_values_and_none_is_no_fault(tmp_path: Path):
    (tmp_path / "own.py").write_text(
        "import numpy\ndef reward(completions): return [eval(text) for text in completions]"
    )
    numbers = ["1", "0.5", "numpy.float32(2)", "None"]
    others = ["float('nan')", "-1e999", "'1'", "True", "1j", "10**400", "[1]", "numpy.bool_(True)", "'x' * 10**7"]
    with suite_of({"file": str(tmp_path / "own.py")}) as suite:
        scores = suite.score(numbers + others, rows(13))
    assert scores.values["reward"] == [1.0, 0.5, 2.0, None] + [None] * 9
    assert [(fault.kind, fault.source) for fault in scores.faults] == [
        ("not_a_number", f"rows.jsonl:{line}") for line in range(5, 14)
    ]
    assert all(len(fault.detail) < 200 for fault in scores.faults)


def test_replies_are_checked_outside_of_the_worker(tmp_path: Path):
    (tmp_path / "own.py").write_text(
        "import json\nwhole = json.dumps\njson.dumps = lambda reply: whole({**reply, 'values': [1e999]})\n"
        "def reward(completions): return [1.0]"
    )
    with suite_of({"file": str(tmp_path / "own.py")}) as suite:
        scores = suite.score(["a"], rows(1))
    assert scores.values["reward"] == [None] and [fault.kind for fault in scores.faults] == ["garbled"]
