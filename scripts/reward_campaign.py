"""Break rewards, and try to be paid for wrong answers; count what is caught.

    python scripts/reward_campaign.py                    # 100 faults and 40 spoofs: two minutes on one core

    faults    a user's reward that raises, hangs, crashes, lies about its results or writes over them, on one row of a batch
    spoofs    wrong answers that look right to some grader of math, numbers, text, JSON, SQL or form

Of a fault: the run goes on, exactly one fault of the right kind is told of the right row, every other value of the batch is
right, and the call ends within its deadline and the margin. Of a spoof: it is not paid. Afterwards no process is left.
Prints the figures of docs/results/rewards.md, and exits with 1 if a bar is missed.
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

from hrm_align.cli import exit_code_of
from hrm_align.commands.common import at_least
from hrm_align.data.examples import Example
from hrm_align.errors import RunError
from hrm_align.rendering import Message
from hrm_align.rewards.suite import MARGIN_SECONDS, RewardSpec, RewardSuite, Scores

ROWS = 8  # of a batch; one of them is faulty
DEADLINE = 3.0
CATASTROPHE = "a" * 40 + "!"  # for (a+)+b

# What a row makes the user's reward do, by what it should be told as. `harmless` costs nothing.
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

# Reward, right answer, and answers that must not be paid.
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
    """A row of a campaign. Its source has a folder, because a database is looked for there."""
    source = f"{grading.pop('folder', '.')}/rows.jsonl:{line}"
    return Example((Message("user", "?"),), Message("assistant", reference), "direct", source, None, grading)


def faults(number: int) -> Iterator[tuple[str, str]]:
    """Kinds and names of so many faults, each kind as often as the next."""
    names = {kind: list(cases) for kind, cases in FAULTS.items()}
    for index in range(number):
        kind = list(names)[index % len(names)]
        yield kind, names[kind][index // len(names) % len(names[kind])]


def inject(suite: RewardSuite, index: int, kind: str, name: str) -> tuple[Scores, str]:
    """Grade a batch of which one row has a fault. What went other than it should, or nothing."""
    rows = [example(str(row), 1 + ROWS * index + row) for row in range(ROWS)]
    completions = [str(row) if row % 2 else "no" for row in range(ROWS)]
    place = index % ROWS
    completions[place] = f"!{name}"
    scores = suite.score(completions, rows)
    right: list[float | None] = [float(row % 2) if row != place else 0.0 for row in range(ROWS)]
    if scores.values["exact"] != right:
        return scores, f"exact gave {scores.values['exact']}"
    if kind != "harmless" or name == "ungraded":
        right[place] = None
    told = [(fault.kind, fault.source) for fault in scores.faults]
    expected = [(kind, rows[place].source)] if kind != "harmless" else []
    if told != expected:
        return scores, f"told of {told} and not {expected}"
    if scores.values["reward"] != right:
        return scores, f"the reward gave {scores.values['reward']} and not {right}"
    late = scores.seconds > DEADLINE + MARGIN_SECONDS
    return scores, f"it took {scores.seconds:.1f} seconds" if late else ""


def run_faults(number: int, folder: Path, console: Console) -> list[str]:
    """Inject faults into a stream of good batches. What went wrong."""
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
            after = suite.score([str(row) for row in range(ROWS)], rows)  # the next batch is as if nothing had been
            good += after.totals(suite.weights) == [2.0] * ROWS and not after.faults
    wrong += [f"{number - good} good batches were graded wrong"] * (good < number)
    table = Table("injected", "told as such", title="faults of a reward", title_justify="left")
    for kind in FAULTS:
        table.add_row(f"{sum(injected == kind for injected, _ in faults(number))} {kind}", str(counts[kind]))
    console.print(table)
    console.print(f"{sum(counts.values())} of {number} faults caught and told; {good} of {number} good batches right")
    console.print(
        f"longest call {longest:.2f} s, of a deadline of {DEADLINE:.0f} s and a margin of {MARGIN_SECONDS:.0f} s"
    )
    return wrong


def run_spoofs(folder: Path, console: Console) -> list[str]:
    """Try to be paid for wrong answers. Those that were."""
    (folder / "t.sql").write_text(DUMP)
    paid, tried = [], Counter[str]()
    for entry, reference, answers in SPOOFS:
        spec = RewardSpec.of(entry)
        with RewardSuite([spec], workers=1) as suite:
            row = example(reference, 1, folder=folder, database="t.sql")
            scores = suite.score([*answers, reference], [row] * (len(answers) + 1))
        *values, right = scores.values[spec.name]
        paid += [
            f"{spec.name} pays {value} for {text!r:.60}"
            for text, value in zip(answers, values, strict=True)
            if value != 0
        ]
        paid += [f"{spec.name} pays {right} for the right answer {reference!r}"] * (
            right != 1 and spec.name != "format"
        )
        tried[spec.name] += len(answers)
    console.print(
        f"{sum(tried.values())} spoofs ({', '.join(f'{n} {name}' for name, n in tried.items())}): {len(paid)} paid"
    )
    return paid


def processes() -> dict[int, str]:
    """The processes below this one, and those that an injected fault has started, wherever they are now."""
    below = psutil.Process().children(recursive=True)
    strays = [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "98765"]]
    return {process.pid: " ".join(process.cmdline()) for process in [*below, *strays]}


def main(argv: Sequence[str]) -> None:
    """Run the campaign. Raises UserError for a number of faults below 0, RunError if a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=100, help="injected faults; default 100")
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
        raise RunError(f"{len(wrong)} things went wrong, named above.")


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
