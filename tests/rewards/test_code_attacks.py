"""No program earns a reward by an attack on tests that are code, or on the comparison of outputs."""

from __future__ import annotations

import math
import subprocess
import threading
import time
from pathlib import Path

import pytest

from hrm_align.rewards.base import create_grader
from hrm_align.sandbox import CheckJob, Job, Limits, Sandbox
from scripts.sandbox_cases.spoofs import spoofs
from tests.rewards.rows import row, skip_without_sandbox

TESTS = [
    "import math",
    "def near(x, y): return abs(x - y) < 1e-6",
    "assert solve(7) == [49, 'seven']",
    "assert near(ratio(7), 0.5) and ratio(7) in (0.5, 1.5) and round(ratio(7), 3) == 0.5",
    "assert all(map(lambda n: ratio(n) > 0.4, (7, 8)))",
]
RIGHT = "def solve(n): return [n * n, 'seven']\ndef ratio(n): return 0.5"
EQUAL = """
class Equal:
    def __init__(self, *_): pass
    __eq__ = __ne__ = __lt__ = __gt__ = __le__ = __ge__ = __contains__ = __bool__ = lambda self, *_: True
    __abs__ = __float__ = lambda self: 0.0
    __sub__ = __rsub__ = __add__ = __radd__ = lambda self, other: 0.0
    __round__ = __getattr__ = lambda self, *_: Equal()
    __hash__ = lambda self: 0
"""
FORGE = "import os, json\ndef forge(**reply): os.write(3, json.dumps(reply).encode() + b'\\n')\n"
ATTACKS = {
    "equals everything": f"{EQUAL}def solve(n): return Equal()\ndef ratio(n): return Equal()",
    "is a class that equals everything": f"{EQUAL}solve = ratio = Equal",
    "is an object that equals everything": f"{EQUAL}Equal.__call__ = lambda self, n: Equal()\nsolve = ratio = Equal()",
    "differs with each call": "n = 0\ndef solve(_): return [49, 'eight']\ndef ratio(_):\n    global n\n    n += 1\n    return n / 2",
    "ends the loop of the tests": f"{RIGHT}\ndef ratio(n, seen=[]):\n    seen.append(n)\n    if len(seen) > 3: raise StopIteration\n"
    "    return 0.5",
    "raises what tests raise": "def solve(n): raise AssertionError\ndef ratio(n): raise AssertionError",
    "raises SystemExit": "def solve(n): raise SystemExit(0)\nratio = solve",
    "exits while it is loaded": "raise SystemExit(0)",
    "ends the process while it is loaded": "import os\nos._exit(0)",
    "ends the process when called": "import os\ndef solve(n): os._exit(0)\nratio = solve",
    "closes the pipe": "import os\nos.close(3)\ndef solve(n): return [49, 'eight']\nratio = solve",
    "closes the pipe when called": "import os\ndef solve(n): os.close(3)\nratio = solve",
    "writes endlessly": "import os\nwhile True: os.write(3, b'x' * 65536)",
    "writes endless replies": FORGE + "while True: forge(id=1, value=None)",
    "writes endless calls": FORGE + "while True: forge(id=1, do='callback', arguments=[0], named={})",
    "writes a verdict": 'import os\nfor n in range(64):\n    try: os.write(n, b\'{"kind": "returned", "message": "", '
    '"values": [true]}\')\n    except OSError: pass\nos._exit(0)',
    "answers before it is asked": FORGE
    + "forge(id=0, value=None)\nfor n in range(1, 9): forge(id=n, value=[49, 'seven'])\n"
    "def solve(n): return 0\ndef ratio(n): return 0.25",
    "answers twice": FORGE
    + "def solve(n):\n    forge(id=2, value=[49, 'seven'])\n    return 0\ndef ratio(n): return 0.25",
    "answers with a type of its own": FORGE + "def solve(n):\n    forge(id=2, value={'Right': []})\n    os._exit(0)",
    "answers with an exception that is none": FORGE
    + "def solve(n):\n    forge(id=2, raises=['X', 'print', ''])\n    os._exit(0)",
    "answers with deep lists": "import os\ndef solve(n):\n    os.write(3, b'{\"id\": 2, \"value\": ' + b'[' * 9**5 + b']' * 9**5 + "
    "b'}\\n')\n    os._exit(0)",
    "changes what is built in": "import builtins\nbuiltins.abs = builtins.round = lambda *_: 0\nbuiltins.all = lambda *_: True\n"
    "def solve(n): return [49, 'eight']\ndef ratio(n): return 0.25",
    "defines names of the tests": "def near(*_): return True\ndef abs(x): return 0\ndef all(x): return True\n"
    "def solve(n): return [49, 'seven']\ndef ratio(n): return 1.5",
    "replaces the channel": "import sys\nfor name, module in list(sys.modules.items()):\n    if name.startswith('inside'):\n"
    "        for key, value in list(vars(module).items()):\n            if callable(value): setattr(module, key, lambda *_, **__: True)\n"
    "def solve(n): return 0\nratio = solve",
    "reads the tests from its frames": "import gc, sys\ndef find():\n    frame = sys._getframe()\n    while frame:\n        yield from "
    "frame.f_locals.values()\n        yield from frame.f_globals.values()\n        frame = frame.f_back\n    yield from gc.get_objects()\n"
    "word = ''\n"
    "for item in list(find()):\n    if isinstance(item, (str, bytes)) and 'near(ratio' in str(item)[:9999] and 'frame' not in str(item):\n"
    "        word = str(item).partition('49, ')[2][1:6]\ndef solve(n): return [49, word]\ndef ratio(n): return 0.5",
}


@pytest.fixture(autouse=True)
def _sandbox() -> None:
    skip_without_sandbox()


def grade(program: str, tests: object, reference: str = "") -> float | None:
    return create_grader("code", {}).grade(program, row(reference, tests=tests))


def test_the_tests_accept_a_right_program():
    assert grade(RIGHT, TESTS) == grade(RIGHT, TESTS, RIGHT) == 1.0


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_on_tests_get_0(name: str):
    started = time.monotonic()
    assert grade(ATTACKS[name], TESTS) == grade(ATTACKS[name], TESTS, RIGHT) == 0.0
    assert time.monotonic() - started < 8
    assert grade(RIGHT, TESTS) == 1.0


def test_an_end_that_the_tests_catch_is_a_failure_and_a_stray_answer_too():
    caught = ["try:\n    solve(7)\nexcept:\n    pass"]
    tests = [*caught, "assert True"]
    assert grade("def solve(n): raise ValueError", tests) == 1.0
    assert grade("import os\ndef solve(n): os._exit(0)", tests) == 0.0
    assert grade(FORGE + "def solve(n):\n    forge(id=99, value=[49, 'seven'])\n    return 0", TESTS[2:3]) == 0.0


def test_spoofs_get_0_from_tests_that_are_code():
    verdicts = {}
    for name, job, (expected,) in spoofs():
        if not (isinstance(expected, float) and math.isnan(expected)):
            verdicts[name] = grade(job.source, [f"assert {job.call}(*{job.arguments[0]!r}) == {expected!r}"])
    assert {name: value for name, value in verdicts.items() if value != 0.0} == {}
    assert len(verdicts) >= 40


def test_a_program_cannot_replace_helpers_or_classes_of_the_row():
    setup = "def size(x): return len(x)\nclass Box:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return self.x == o.x"
    tests = {"setup": setup, "tests": ["assert size(f([1, 2])) == 2", "assert g(Box(3)) == Box(4)"]}
    right = "def f(x): return x\ndef g(box): return Box(box.x + 1)"
    wrong = f"{right}\ndef size(x): return 2\ndef f(x): return []"
    forged = f"{right}\nclass Box(Box):\n    __eq__ = lambda *_: True\ndef g(box): return Box(9)"
    grader = create_grader("code", {})
    assert [grader.grade(text, row("", **tests)) for text in (right, wrong, forged)] == [1.0, 0.0, 0.0]


def test_methods_of_a_named_class_cannot_return_what_equals_everything():
    tests = ["s = Stack()\ns.push(5)\nassert s.pop() == 5", "assert abs(Stack().pop() - 5) < 9"]
    right = "class Stack:\n    def push(self, x): pass\n    def pop(self): return 5"
    assert grade(right, tests) == 1.0
    forged = f"{EQUAL}class Stack(Equal):\n    push = lambda self, x: None\n    pop = lambda self: Stack()"
    assert grade(forged, tests) == grade(forged, tests, right) == 0.0
    assert grade(f"{forged}\nStack.pop = lambda self: Equal()", tests) == 0.0
    # A function cannot present itself as the class that other tests name.
    assert grade(f"{forged}\nf = Stack", ["s = Stack()", "assert f(1) == 5"], f"{right}\ndef f(x): return 5") == 0.0


@pytest.mark.parametrize(
    "program",
    [
        "import os\nos._exit(0)",
        "while True: print(7)",
        "import sys\nsys.exit(0)",
        "print(7)\n1 / 0",
        "print('7', 7)",
        "print(0)",
    ],
)
def test_attacks_on_outputs_get_0(program: str):
    assert grade(program, [{"input": "3 4", "output": "7"}]) == 0.0


def test_the_results_of_a_reference_are_not_in_the_memory_of_later_programs():
    peek = """
import sys
def f(x):
    frame, seen = sys._getframe(), []
    while frame:
        seen += [str(value) for value in frame.f_locals.values()]
        frame = frame.f_back
    return "".join(seen).count(str(83 / 2))
"""
    before = "def f(x): return x + 0.5"
    with Sandbox(workers=1) as sandbox:
        assert [outcome.values for outcome in sandbox.run([Job(before, "f", [[41]]), Job(peek, "f", [[1]])])] == [
            [41.5],
            [0],
        ]
    assert create_grader("code", {}).grade(peek, row(before, call="f", tests=[[[41], 41.5]])) == 0.0


def test_tests_and_references_are_never_in_a_process_that_becomes_a_program():
    """Neither in the zygote nor in the process of the program, after jobs with the same tests and with a reference."""
    secret, reference, limits = "never-seen-by-programs", "gold-is-private", Limits(cpu_seconds=1, wall_seconds=3.0)
    source = "import time\nmark = 'to-be-found-' + 'here'\ndef f(): time.sleep(1.0)"
    job = CheckJob(source, "", f"word = '{secret}'\nf()\nassert word", names=["f"])
    gold = Job(f"def f(x): return x + '{reference}'", "f", [["result: "]], private=True)
    with Sandbox(limits, workers=1) as sandbox:
        sandbox.run([CheckJob("def f(): 1", "", job.code, names=["f"])])
        assert sandbox.run([gold])[0].values == [f"result: {reference}"]
        thread = threading.Thread(target=sandbox.run, args=([job],))
        thread.start()
        time.sleep(0.6)
        memories = {pid: _memory(pid) for pid in _group(sandbox.pids[0])}
        thread.join()
    if not any(memories.values()):
        pytest.skip("the memory of other processes cannot be read here")
    programs = [text for text in memories.values() if b"to-be-found-here" in text]
    assert programs and not any(secret.encode() in text for text in programs)
    assert sum(secret.encode() in text for text in memories.values()) == 1, "only the process of the tests"
    assert not any(reference.encode() in text for text in memories.values())


def _group(leader: int) -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid=,pgid="], capture_output=True, text=True, check=True).stdout
    return [int(pid) for pid, group in map(str.split, listed.splitlines()) if int(group) == leader]


def _memory(pid: int) -> bytes:
    """The writable memory of a process."""
    parts = []
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                span, rights = line.split()[:2]
                start, end = (int(number, 16) for number in span.split("-"))
                if rights.startswith("rw") and end - start < 2**28:
                    memory.seek(start)
                    parts.append(memory.read(end - start))
    except OSError:
        pass
    return b"".join(parts)
