"""Each public form of tests for programs is graded: right programs get 1, wrong and corrupted ones get 0."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hrm_align.errors import UserError
from hrm_align.rewards import code_rewards
from hrm_align.rewards.base import create_grader
from hrm_align.rewards.code_tests import visible_lines
from hrm_align.sandbox import self_test
from tests.rewards.rows import row, skip_without_sandbox

PAIRS = "def swap(pair): return pair[1], pair[0]"
FACADE = '''
class Solution:
    def triple(self, number: int) -> int:
        """Return three times the number."""
'''
NODES = """
class Link:
    def __init__(self, value, next=None):
        self.value, self.next = value, next
"""
HELPER_AND_STUB = '''
import math

def weigh(items):
    return sum(math.floor(item) for item in items)

def heavier(items):
    """Return items that weigh one more."""
'''
QUEUE = """
class Queue:
    def __init__(self, items=()): self.items = list(items)
    def put(self, item): self.items.append(item)
    def get(self):
        if not self.items: raise Empty("nothing here")
        return self.items.pop(0)
    def __len__(self): return len(self.items)
    def __contains__(self, item): return item in self.items
    def __add__(self, other): return Queue(self.items + other.items)
    def __str__(self): return f"<{self.items}>"
class Empty(LookupError): pass
"""
SUMS = "import sys\ndef main():\n    for line in sys.stdin:\n        print(sum(map(int, line.split())))\n"

# Of each form: a correct program, a wrong one, and what `grading` holds.
FORMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "asserts": (PAIRS, "def swap(pair): return pair", {"tests": ["assert swap((1, 'a')) == ('a', 1)"]}),
    "asserts as one text": (PAIRS, "def swap(pair): return pair", {"tests": "x = swap((1, 2))\nassert x == (2, 1)\n"}),
    "asserts as JSON text": (PAIRS, "def swap(pair): 1", {"tests": json.dumps(["assert swap((1, 2)) == (2, 1)"])}),
    "an assert list with set-up code": (
        "def area(r): return math.pi * r * r\nimport math",
        "def area(r): return 3 * r * r",
        {
            "test_list": ["assert math.isclose(area(r), 12.566, rel_tol=1e-3)", "assert abs(area(1) - tau / 2) < 1e-9"],
            "test_setup_code": "from math import tau\nr = 2",
            "challenge_test_list": [],
            "text": "Compute the area.",
        },
    ),
    "a name that is built in": (
        "def max(a, b): return a if a > b else b",
        "def max(a, b): return b",
        {"tests": ["assert max(3, 2) == 3"]},
    ),
    "a check function": (
        "def double(x): return 2 * x",
        "def double(x): return x * x",
        {
            "test": "import random\nMETADATA = {}\ndef check(candidate):\n    for n in range(50):\n"
            "        x = random.randint(-9, 9)\n        assert candidate(x) == x + x\n    assert candidate('a') == 'aa'\n",
            "entry_point": "double",
            "task_id": "t/1",
        },
    ),
    "a helper in the prompt": (
        "def heavier(items): return [*items, 1]",
        "def weigh(items): return 1 + len(items)\ndef heavier(items): return [*items, 0]",
        {
            "prompt": HELPER_AND_STUB,
            "entry_point": "heavier",
            "test": "def check(f):\n    for items in ([], [1.5], [2, 3]): assert weigh(f(items)) == weigh(items) + 1",
        },
    ),
    "a continuation of the prompt": (
        "    return [*items, 1]\n",
        "    return items\n",
        {
            "prompt": HELPER_AND_STUB,
            "entry_point": "heavier",
            "test": "def check(f):\n    assert weigh(f([4])) == 5",
        },
    ),
    "a method of a solution": (
        "class Solution:\n    def triple(self, number): return number * 3",
        "class Solution:\n    def triple(self, number): return number * 2",
        {
            "prompt": f"from typing import *\n{FACADE}",
            "entry_point": "Solution().triple",
            "test": "def check(candidate):\n    assert candidate(number=2) == 6",
        },
    ),
    "classes, their methods, operators and exceptions": (
        QUEUE,
        QUEUE.replace("pop(0)", "pop()"),
        {
            "tests": [
                "q = Queue()\nq.put((1, {2}))\nq.put(b'x')\nassert len(q) == 2 and b'x' in q and isinstance(q, Queue)",
                "assert q.items == [(1, {2}), b'x'] and str(q) == \"<[(1, {2}), b'x']>\"",
                "assert len(q + Queue([3])) == 3\nassert q.get() == (1, {2})",
                "try:\n    Queue().get()\nexcept Empty as error:\n    assert 'nothing' in str(error)\nelse:\n    assert False",
            ]
        },
    ),
    "instances of a class of the set-up code": (
        "def length(link): return 0 if link is None else 1 + length(link.next)\ndef grow(link): return Link(0, link)",
        "def length(link): return 2\ndef grow(link): return link",
        {
            "setup": NODES,
            "tests": [
                "chain = Link(1, Link(2))\nassert length(chain) == 2 and length(None) == 0",
                "assert grow(chain).next.value == 1",
            ],
        },
    ),
    "changed arguments": (
        "def clean(items, seen):\n    items.sort()\n    seen.add(len(items))\n    items[0].append(9)",
        "def clean(items, seen): return sorted(items)",
        {"tests": "a, seen = [[2], [1]], {5}\nclean(a, seen)\nassert a == [[1, 9], [2]]\nassert seen == {2, 5}"},
    ),
    "functions as arguments, generators, tests with loops": (
        "def each(function, items):\n    for item in items: yield function(item)",
        "def each(function, items):\n    for item in items: yield item",
        {
            "tests": "assert list(each(lambda x: x * 2, (1, 2))) == [2, 4]\nassert next(each(str, [5])) == '5'\n"
            "for n in range(3): assert set(each(abs, range(-n, n))) == set(range(n)) | ({n} if n else set())"
        },
    ),
    "all kinds of values": (
        "def same(x): return x",
        "def same(x): return str(x)",
        {
            "tests": [
                "import decimal, fractions, datetime, collections, math",
                "for x in [(1, (2, [3])), {1, (2,)}, frozenset({1}), {(1, 2): {3}, None: 4}, b'a', 1 + 2j, range(3), None,"
                " decimal.Decimal('0.1'), fractions.Fraction(1, 3), datetime.date(2020, 1, 2), collections.deque([1]),"
                " collections.Counter('aab'), 10 ** 5000, math.inf, 'x', [], True]:\n"
                "    assert same(x) == x and type(same(x)) is type(x), x",
                "assert same(6.0) == 6 and same(True) == 1 and not same(0) and math.isnan(same(math.nan))",
                "assert same((1, 2)) != [1, 2] and same(x=1) is 1 and sorted(same({'b', 'a'})) == ['a', 'b']",
            ]
        },
    ),
    "test functions that import the solution": (
        "def half(x): return x / 2",
        "def half(x): return x // 2",
        {"test": "from solution import half\n\ndef test_odd():\n    assert half(3) == 1.5\n"},
    ),
    "standard input": (
        f"{SUMS}if __name__ == '__main__':\n    main()",
        "print(7)",
        {"tests": [{"input": "3 4\n", "output": "7"}, {"input": "1\n2 2\n", "output": "1 \n4\n\n"}]},
    ),
    "inputs and outputs": (
        "print(open(0).read().upper())",
        "print(input())",
        {"input_output": json.dumps({"inputs": ["ab\ncd", ["x", "y"]], "outputs": ["AB\nCD\n", "X\nY"]})},
    ),
    "inputs and outputs of a function": (
        "def add(a, b): return (a + b, a)",
        "def add(a, b): return [a, b]",
        {"tests": {"fn_name": "add", "inputs": [[1, 2], "3\n4"], "outputs": [[[3, 1]], "[7, 3]"]}},
    ),
    "functional test cases": (
        "class Solution:\n    def join(self, words, by): return by.join(words)",
        "class Solution:\n    def join(self, words, by): return by",
        {
            "public_test_cases": json.dumps(
                [
                    {"input": '["a", "b"]\n"-"', "output": '"a-b"', "testtype": "functional"},
                    {"input": '["a"]\n"-"', "output": '"a"', "testtype": "functional"},
                ]
            ),
            "metadata": '{"func_name": "join"}',
        },
    ),
}


@pytest.fixture(autouse=True)
def _sandbox() -> None:
    skip_without_sandbox()


def grade(program: str, reference: str = "", **grading: Any) -> float | None:
    return create_grader("code", {}).grade(program, row(reference, **grading))


@pytest.mark.parametrize("form", FORMS)
def test_each_form_accepts_a_right_program_and_rejects_wrong_ones(form: str):
    right, wrong, grading = FORMS[form]
    assert grade(right, right, **grading) == grade(right, **grading) == 1.0
    assert grade(wrong, right, **grading) == grade(wrong, **grading) == 0.0
    corrupted = create_grader("code", {}).corrupt_reference(row(right, **grading))  # type: ignore[attr-defined]
    assert grade(corrupted, right, **grading) == grade("", **grading) == grade("pass", **grading) == 0.0
    if not right.startswith(" "):
        assert grade(f"This solves it:\n\n```python\n{right}\n```\nIt is tested.", **grading) == 1.0


@pytest.mark.parametrize(
    "program",
    [
        "print(int(input()) + int(input()))",
        "import sys\na, b = map(int, sys.stdin.read().split())\nsys.stdout.write(f'{a + b}')",
        "import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))\nexit()",
        "import os\nprint(eval('+'.join(os.read(0, 99).decode().split())))\nraise SystemExit",
        "import sys, threading\ndef main(): print(sum(map(int, sys.stdin)))\nsys.setrecursionlimit(9999)\n"
        "threading.stack_size(2 ** 26)\nt = threading.Thread(target=main)\nt.start()\nt.join()",
        "import sys\ninput = sys.stdin.readline\nprint(int(input()) + int(input()), file=sys.stdout, flush=True)",
    ],
)
def test_ordinary_programs_read_standard_input(program: str):
    assert grade(program, tests=[{"input": "3\n4\n", "output": "7\n"}]) == 1.0
    assert grade(f"{program}\n1 / 0", tests=[{"input": "3\n4\n", "output": "7\n"}]) in (
        0.0,
        float("exit" in program.lower()),
    )


def test_outputs_are_compared_without_whitespace_at_the_ends_of_lines_and_of_the_text():
    assert visible_lines("a \r\n b\t\n\n \n") == visible_lines("a\n b") == ["a", " b"]
    for other in ("a\nb", "A\n b", "a\n\n b", "a  b", "", "a\n b\nc"):
        assert visible_lines(other) != visible_lines("a\n b")


@pytest.mark.parametrize(
    "grading, message",
    [
        ({"tests": ["assert f(1) =="]}, "tests that are Python.*line 1"),
        ({"tests": ["f(1)"]}, "at least one `assert`"),
        ({"test": "def check(candidate):\n    assert candidate(1)"}, "`entry_point`"),
        ({"tests": ["assert f(1)"], "setup": "import ("}, "Python code in `setup`"),
        ({"tests": ["assert f(1)"], "entry_point": "f(1); g"}, "`entry_point` is 'f"),
        ({"inputs": ["1"], "outputs": []}, "lists of the same length"),
        ({"tests": [{"input": 1, "output": "1"}]}, "input and output as texts"),
        ({"tests": [{"input": "1", "output": "1", "testtype": "functional"}]}, "`fn_name`"),
        ({"tests": "[]"}, "tests"),
    ],
)
def test_tests_that_cannot_run_are_named(grading: dict[str, Any], message: str):
    with pytest.raises(UserError, match=rf"rows.jsonl:1: grading code needs .*{message}"):
        grade("def f(x): return x", **grading)


def test_a_reference_that_fails_is_shown_with_the_test_that_it_fails():
    with pytest.raises(UserError, match=r"rows.jsonl:1: the reference fails .* the test `assert f\(2\) == 5` fails"):
        grade("", "def f(x): return x * 2", tests=["assert f(1) == 2", "assert f(2) == 5"])
    with pytest.raises(UserError, match=r"ValueError: no, in the test `assert f\(1\) == 1`"):
        grade("", "def f(x): raise ValueError('no')", tests=["assert f(1) == 1"])
    with pytest.raises(UserError, match=r"prints '3\\n' on the input '2', expected '4'"):
        grade("", "print(3)", tests=[{"input": "2", "output": "4"}])
    with pytest.raises(UserError, match="Define its class in `setup`"):
        grade("", "def f(x): return 1", tests=["class A: pass\nassert f(A()) == 1"])


@pytest.fixture
def no_wall(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("pydantic_monty", reason="pip install 'hrm_align[monty]'")
    monkeypatch.setattr(self_test, "find_backend_fault", lambda *_: "it was taken away")
    code_rewards._start_runner.cache_clear()
    yield
    code_rewards._start_runner.cache_clear()


def test_without_a_sandbox_only_calls_are_graded(no_wall: None):
    assert grade("def f(x): return (x, 1)", call="f", tests=[[[1], [1, 1]]]) == 1.0
    for tests in (["assert f(1) == 1"], [{"input": "1", "output": "1"}]):
        with pytest.raises(
            UserError, match=r"rows.jsonl:1: tests that are code.*need the sandbox.*apt install bubblewrap"
        ):
            grade("def f(x): return x", tests=tests)
