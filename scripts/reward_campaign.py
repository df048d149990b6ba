"""Inject faults into reward functions and grade wrong answers that look correct; count the faults and answers that are caught.

    python scripts/reward_campaign.py                    # 100 faults and 59 spoofs: two minutes on one core

    faults    a user's reward that raises, hangs, crashes, or returns or writes invalid results, on one row of a batch
    spoofs    wrong answers that some grader of math, numbers, text, JSON, SQL or format could take for correct

Requirements for a fault: the process continues; exactly one fault of the expected kind is reported, for the faulty row; every
other value of the batch is correct; the call ends within its deadline plus the margin. Requirement for a spoof: no reward. After
the campaign no process may be left. Prints the figures of docs/results/rewards.md, and exits with 1 if a requirement is not met.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from hrm_align.cli import run_with_exit_code
from hrm_align.commands.common import at_least
from hrm_align.data.examples import Example
from hrm_align.errors import RunError
from hrm_align.rendering import Message
from hrm_align.rewards.scoring import Scores
from hrm_align.rewards.suite import MARGIN_SECONDS, RewardSpec, RewardSuite

ROWS = 8  # rows of a batch, one of which is faulty
DEADLINE = 3.0
CATASTROPHE = "a" * 40 + "!"  # makes the pattern (a+)+b backtrack exponentially

# Code that a row makes the user's reward run, by the kind of fault that must be reported. `harmless` code must not be reported.
FAULTS = {
    "raised": {
        "raise": "raise KeyError('x')",
        "sys_exit": "sys.exit(0)",
        "interrupt": "raise KeyboardInterrupt",
        "recursion": "again()",
        "memory": "bytearray(1 << 62)",
        "long_message": "raise ValueError('x' * 10**7)",
        "mute_error": "raise Mute",
    },
    "timeout": {
        "sleep": "time.sleep(1000)",
        "loop": "\n    while True: pass",
        "regex": "re.fullmatch('(a+)+b', 'a' * 60)",
        "power": "str(10 ** 10 ** 8)",
        "stop": "os.kill(os.getpid(), signal.SIGSTOP)",
        "deaf": "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)",
    },
    "died": {
        "exit": "os._exit(0)",
        "segfault": "ctypes.string_at(0)",
        "abort": "os.abort()",
        "kill": "os.kill(os.getpid(), signal.SIGKILL)",
        "kill_guardian": "os.kill(os.getppid(), signal.SIGKILL); time.sleep(1000)",
        "kill_group": "os.killpg(0, signal.SIGKILL)",
        "close_all": "os.closerange(3, 500)",
    },
    "garbled": {
        "write": "everywhere(b'hello\\n')",
        "forge": "everywhere(json.dumps({'id': '0', 'values': [1.0] * 8, 'bad': {}, 'why': {}}).encode() + b'\\n')",
        "flood": "everywhere(b'x' * 10**6)",
        "torrent": "\n    while True: everywhere(b'x' * 1000)",
        "deep": "everywhere(b'[' * 5000 + b'\\n')",
    },
    "wrong_length": {
        "short": "return [1.0] * (n - 1)",
        "long": "return [1.0] * (n + 1)",
        "none": "return None",
        "number": "return 1.0",
        "generator": "return iter([1.0] * n)",
        "mapping": "return dict.fromkeys(range(n), 1.0)",
        "text": "return '1' * n",
    },
    "not_a_number": {
        "nan": "value = math.nan",
        "inf": "value = -math.inf",
        "str": "value = '1.0'",
        "bool": "value = True",
        "complex": "value = 1j",
        "list": "value = [1.0]",
        "huge": "value = 10**400",
        "long_text": "value = 'x' * 10**7",
    },
    "harmless": {
        "print": "print('x' * 10**7); sys.stderr.write('x' * 10**6)",
        "thread": "threading.Thread(target=time.sleep, args=(1000,)).start()",
        "child": "subprocess.Popen(['sleep', '98765'])",
        "daemon": "subprocess.Popen(['sleep', '98765'], start_new_session=True)",
        "orphan": "subprocess.Popen('sleep 98765 & sleep 98765 &', shell=True)",
        "ungraded": "value = None",
    },
}

REWARD = """
import ctypes, json, math, os, re, signal, subprocess, sys, threading, time
class Mute(Exception):
    def __str__(self): raise ValueError("no words")
def again(): again()
def everywhere(data):
    for number in range(3, 500):
        try: os.write(number, data)
        except OSError: pass
def reward(prompts, completions, reference, **columns):
    n, values = len(completions), []
    for completion, right in zip(completions, reference):
        value = float(completion == right)
CASES
        values.append(value)
    return values
"""

DUMP = "CREATE TABLE t (name TEXT, price INTEGER); INSERT INTO t VALUES ('pen', 1), ('cup', 2), ('box', 3);"
QUERY = "SELECT name FROM t WHERE price > 1"
THINK = {"name": "format", "tags": ["think", "answer"]}

# Reward, reference, and wrong answers that must not be rewarded.
SPOOFS: list[tuple[str | dict[str, Any], str, list[str]]] = [
    (
        "math",
        "5",
        [
            r"\boxed{3} \boxed{4} \boxed{5}",
            r"\boxed{4 or 5}",
            r"<think>\boxed{5}</think> I do not know.",
            r"<think>so it is \boxed{5}",
            r"\boxed{}",
            r"\boxed{5",
            r"\boxed{５}",
            r"\boxed{x}",
            r"\boxed{3 = 5}",
            r"\boxed{2+3}",
            r"\boxed{\{1,2,3,4,5\}}",
            r"\boxed{10^{10^{10}}}",
            "The answer is 3. The answer is 4. The answer is 5.",
            r"\boxed{2 3}",
            "A number: 1, 2, 3, 4 or 5",
        ],
    ),
    ("math", r"\boxed{(3,4)}", [r"\boxed{3,4}", r"\boxed{(4,3)}", r"\boxed{\{3,4\}}"]),
    ("math", r"\boxed{A}", [r"\boxed{a, b, c, A}", r"\boxed{text}", r"\boxed{A \text{ or } B}"]),
    ("math", r"\boxed{x^2}", [r"\boxed{x^{10^{10^{10}}}}", r"\boxed{X^2}"]),
    (
        "numeric",
        "4",
        [
            "3 or 4",
            "3, 4",
            "1 2 3 4",
            "3/4",
            "-4",
            "٤",
            "10^10^4",
            "4^2",
            "<think>4</think>",
            "The answer is 3. 4",
            "1.2.3.4",
        ],
    ),
    ("answer", "the answer is red", ["the answer is blue. the answer is red", "red or blue", "The answer is: "]),
    (
        "json",
        '{"a": 1, "b": 2}',
        [
            '{"a": 9, "a": 1, "b": 2}',
            '{"a": 1.0, "b": 2}',
            '{"a": true, "b": 2}',
            '{"a": 1, "b": NaN}',
            '{"a": 1, "b": 2} {"a": 1, "b": 3}',
            "[" * 100_000,
            '[{"a": 1, "b": 2}]',
        ],
    ),
    ("json", '{"a": null}', ["{}", '{"a": "null"}']),
    (
        "sql",
        QUERY,
        [
            f"{QUERY}; DROP TABLE t",
            f"-- {QUERY}\nSELECT name FROM t",
            f"SELECT '{QUERY}'",
            "SELECT name FROM t",
            f"{QUERY} UNION ALL {QUERY}",
            f"EXPLAIN {QUERY}",
        ],
    ),
    (
        THINK,
        "?",
        [
            "<think></think><answer>5</answer>",
            "<answer>5</answer><think>a</think>",
            "<think>a<answer>5</think></answer>",
            "<think>a</think><answer>5</answer><answer>6</answer>",
            "<THINK>a</THINK><ANSWER>5</ANSWER>",
        ],
    ),
    ({"name": "format", "pattern": "(a+)+b"}, "?", [CATASTROPHE, "aab and more"]),
]


def example(reference: str, line: int, **grading: Any) -> Example:
    """Return a row of the campaign. The folder of its source is where the SQL reward looks for the database."""
    source = f"{grading.pop('folder', '.')}/rows.jsonl:{line}"
    return Example((Message("user", "?"),), Message("assistant", reference), "direct", source, None, grading)


def faults(number: int) -> Iterator[tuple[str, str]]:
    """Yield the kind and name of `number` faults, with all kinds equally often."""
    names = {kind: list(cases) for kind, cases in FAULTS.items()}
    for index in range(number):
        kind = list(names)[index % len(names)]
        yield kind, names[kind][index // len(names) % len(names[kind])]


def inject(suite: RewardSuite, index: int, kind: str, name: str) -> tuple[Scores, str]:
    """Grade a batch with one faulty row. Returns the scores, and what went wrong or an empty string."""
    rows = [example(str(row), 1 + ROWS * index + row) for row in range(ROWS)]
    completions = [str(row) if row % 2 else "no" for row in range(ROWS)]
    place = index % ROWS
    completions[place] = f"!{name}"
    scores = suite.score(completions, rows)
    expected: list[float | None] = [float(row % 2) if row != place else 0.0 for row in range(ROWS)]
    if scores.values["exact"] != expected:
        return scores, f"`exact` returned {scores.values['exact']}, expected {expected}"
    if kind != "harmless" or name == "ungraded":
        expected[place] = None
    reported = [(fault.kind, fault.source) for fault in scores.faults]
    expected_faults = [(kind, rows[place].source)] if kind != "harmless" else []
    if reported != expected_faults:
        return scores, f"faults reported: {reported}, expected {expected_faults}"
    if scores.values["reward"] != expected:
        return scores, f"the reward returned {scores.values['reward']}, expected {expected}"
    late = scores.seconds > DEADLINE + MARGIN_SECONDS
    return scores, f"the call took {scores.seconds:.1f} seconds" if late else ""


def run_faults(number: int, folder: Path, console: Console) -> list[str]:
    """Inject faults between good batches. Returns a list of what went wrong."""
    cases = [f"        if completion == '!{name}': {code}" for kind in FAULTS.values() for name, code in kind.items()]
    (folder / "reward.py").write_text(
        REWARD.replace("CASES", "\n".join(cases).replace("\n    while", "\n            while"))
    )
    wrong, counts, longest, good = [], Counter[str](), 0.0, 0
    entries: list[Any] = ["exact", {"file": str(folder / "reward.py")}]
    with RewardSuite([RewardSpec.of(entry) for entry in entries], workers=1, deadline=DEADLINE) as suite:
        for index, (kind, name) in enumerate(faults(number)):
            scores, fault = inject(suite, index, kind, name)
            longest = max(longest, scores.seconds)
            counts[kind] += not fault
            wrong += [f"fault {index} ({kind}, {name}): {fault}"] * bool(fault)
            rows = [example(str(row), row) for row in range(ROWS)]
            after = suite.score([str(row) for row in range(ROWS)], rows)  # the fault must not affect the next batch
            good += after.totals(suite.weights) == [2.0] * ROWS and not after.faults
    wrong += [f"{number - good} good batches were graded incorrectly"] * (good < number)
    table = Table("injected faults", "reported with the right kind", title="faults of a reward", title_justify="left")
    for kind in FAULTS:
        table.add_row(f"{sum(injected == kind for injected, _ in faults(number))} {kind}", str(counts[kind]))
    console.print(table)
    console.print(
        f"{sum(counts.values())} of {number} faults caught and reported; {good} of {number} good batches graded correctly"
    )
    console.print(f"longest call {longest:.2f} s; allowed: deadline {DEADLINE:.0f} s + margin {MARGIN_SECONDS:.0f} s")
    return wrong


def run_spoofs(folder: Path, console: Console) -> list[str]:
    """Grade wrong answers. Returns the ones that were rewarded, and references that were not."""
    (folder / "t.sql").write_text(DUMP)
    wrong, tried = [], Counter[str]()
    for entry, reference, answers in SPOOFS:
        spec = RewardSpec.of(entry)
        with RewardSuite([spec], workers=1) as suite:
            row = example(reference, 1, folder=folder, database="t.sql")
            scores = suite.score([*answers, reference], [row] * (len(answers) + 1))
        *values, of_reference = scores.values[spec.name]
        for text, value in zip(answers, values, strict=True):
            if value != 0:
                wrong.append(f"{spec.name} rewards {text!r:.60} with {value}")
        if of_reference != 1 and spec.name != "format":
            wrong.append(f"{spec.name} gives the reference {reference!r} a reward of {of_reference}")
        tried[spec.name] += len(answers)
    parts = ", ".join(f"{count} {name}" for name, count in tried.items())
    console.print(f"{sum(tried.values())} spoofs ({parts}): {len(wrong)} rewarded")
    return wrong


def processes() -> dict[int, str]:
    """Return the command lines, by pid, of this process's descendants and of all processes that injected faults started."""
    descendants = psutil.Process().children(recursive=True)
    strays = [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "98765"]]
    return {process.pid: " ".join(process.cmdline()) for process in [*descendants, *strays]}


def main(argv: Sequence[str]) -> None:
    """Run the campaign. Raises UserError for a number of faults below 0, RunError if a requirement is not met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=100, help="number of injected faults (default 100)")
    args = parser.parse_args(argv)
    at_least(args.faults, 0, "--faults")
    console, start, before = Console(), time.perf_counter(), processes()
    with tempfile.TemporaryDirectory() as folder:
        wrong = run_faults(args.faults, Path(folder), console) + run_spoofs(Path(folder), console)
    left = {number: command for number, command in processes().items() if number not in before}
    wrong += [f"left over: {command}" for command in left.values()]
    console.print(f"{len(left)} processes left; {time.perf_counter() - start:.0f} s")
    for line in wrong:
        console.print(line, style="red", markup=False)
    if wrong:
        raise RunError(f"{len(wrong)} requirements were not met; they are listed above.")


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
