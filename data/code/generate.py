"""Write train.jsonl and test.jsonl of the code data set, byte for byte the same on every run.

    python data/code/generate.py

One row:

    {"prompt": "rur(tiv) gives the sum of the last 3 of tiv, then minus 66.",
     "response": "def rur(tiv): return sum(tiv[-3:]) - 66", "group": "list",
     "grading": {"call": "rur", "tests": [[[[66,23,4,93,44,96]],167], [[[4,16]],-46], [[[66]],0], [[[]],-66]]}}

`call` is the name of the function that the answer defines; a test is the list of the function's arguments, and the
result. No name, letter or two-digit number of a test answer occurs in a training answer.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

SEED = 5813
TRAIN_ROWS = {"number": 700, "text": 700, "list": 700, "each": 700, "choice": 700}
TEST_ROWS = {"number": 120, "text": 120, "list": 120, "each": 120, "choice": 120}
TRAIN_SHARE = 0.7  # share of every pool for training rows; the rest is only for test rows
TESTS = {"number": 6, "text": 4, "list": 4, "each": 4, "choice": 6}  # tests per row
CANDIDATES = {"number": 40, "text": 30, "list": 30, "each": 30, "choice": 60}  # inputs from which the tests are chosen

WORDS: dict[str, Any] = json.loads(Path(__file__).with_name("words.json").read_text(encoding="ascii"))

Item = TypeVar("Item")
Pools = dict[str, Sequence[Any]]
Phrase = tuple[str, str]  # the same meaning in English and in Python

PROMPTS = ("Write {call}: {words}.", "{call} gives {words}.")
STEPS: tuple[Phrase, ...] = (("plus {x}", "{a} + {x}"), ("minus {x}", "{a} - {x}"), ("times {x}", "{a} * {x}"))
MORE_STEPS: tuple[Phrase, ...] = (("over {x} rounded down", "{a} // {x}"), ("modulo {x}", "{a} % {x}"))
PAIRS: tuple[Phrase, ...] = (
    ("the larger of {a} and {b}", "max({a}, {b})"),
    ("the smaller of {a} and {b}", "min({a}, {b})"),
    ("the distance of {a} and {b}", "abs({a} - {b})"),
)
# Operations on a text by kind; a row uses each kind at most once. q and r are letters.
EDITS: tuple[tuple[Phrase, ...], ...] = (
    (("in capitals", "{a}.upper()"), ("in small letters", "{a}.lower()")),
    (("backwards", "{a}[::-1]"),),
    (
        ("cut to the first {k} letters", "{a}[:{k}]"),
        ("cut to the last {k} letters", "{a}[-{k}:]"),
        ("without the first {k} letters", "{a}[{k}:]"),
    ),
    (("with {q} turned into {r}", "{a}.replace({q}, {r})"),),
)
TEXTS: tuple[Phrase, ...] = (
    ("how often {q} is in {a}", "{a}.count({q})"),
    ("{a}, {q} and {b} joined", "{a} + {q} + {b}"),
    ("the part of {a} before {q}", "{a}.split({q})[0]"),
    ("{a} repeated {k} times, followed by {b}", "{a} * {k} + {b}"),
)
PARTS: tuple[Phrase, ...] = (
    ("the first {k} of {a}", "{a}[:{k}]"),
    ("the last {k} of {a}", "{a}[-{k}:]"),
    ("the {k} smallest of {a}", "sorted({a})[:{k}]"),
    ("the {k} largest of {a}", "sorted({a})[-{k}:]"),
)
TOTALS: tuple[Phrase, ...] = (
    ("the sum of {a}", "sum({a})"),
    ("the largest of {a}", "max({a})"),
    ("the smallest of {a}", "min({a})"),
)
MEMBERS: tuple[Phrase, ...] = (
    ("the first of {a}", "{a}[0]"),
    ("the last of {a}", "{a}[-1]"),
    ("the length of {a}", "len({a})"),
)
COMPARISONS: tuple[Phrase, ...] = (
    ("above {x}", "{a} > {x}"),
    ("below {x}", "{a} < {x}"),
    ("at least {x}", "{a} >= {x}"),
    ("at most {x}", "{a} <= {x}"),
)


class Draw:
    """Random choices from the pools of one split, by `random()` alone, whose sequence Python guarantees for a seed."""

    def __init__(self, seed: int, pools: Pools):
        self._random = random.Random(seed).random
        self._pools = pools

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def below(self, end: int) -> int:
        return int(self._random() * end)

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        return sorted(items, key=lambda _: self._random())

    def values(self, pool: str, count: int) -> list[Any]:
        """Choose distinct values of one pool."""
        chosen: dict[Any, None] = {}
        while len(chosen) < count:
            chosen[self.pick(self._pools[pool])] = None
        return list(chosen)

    def quoted(self, pool: str) -> list[str]:
        """Choose two distinct values of a pool, as Python string literals."""
        return [f"'{value}'" for value in self.values(pool, 2)]


@dataclass(frozen=True)
class Task:
    """Return value of a function in English and in Python, and the function's arguments by kind: number, text or list."""

    words: str
    code: str
    kinds: dict[str, str]


def put(template: Phrase, **slots: Phrase | str | int) -> Phrase:
    """Fill the slots of a phrase in English and in Python; a slot is a phrase, or a text that is the same in both."""
    pairs = {name: slot if isinstance(slot, tuple) else (slot, slot) for name, slot in slots.items()}
    words, code = (template[side].format(**{name: pair[side] for name, pair in pairs.items()}) for side in (0, 1))
    return words, code


def names_in(code: str) -> set[str]:
    """Return the names in a program, outside of string literals: arguments, keywords and builtins of Python."""
    return set(re.findall(r"[a-z]+", re.sub("'.*?'", "", code)))


def number(draw: Draw) -> Task:
    """Make a task with two steps of arithmetic, with two arguments and a constant."""
    (a, b), (n,) = draw.values("name", 2), draw.values("number", 1)
    first, second = draw.pick(STEPS + MORE_STEPS), draw.pick(STEPS + MORE_STEPS)
    x, y = draw.shuffled([b, n])
    if draw.chance(0.4):
        words, code = put(draw.pick(PAIRS), a=a, b=b)
        y = n
    else:
        words, code = put((f"{{a}} {first[0]}", first[1]), a=a, x=x)
        if first in STEPS[:2] and second not in STEPS[:2]:
            code = f"({code})"
    return Task(*put((f"{{a}}, then {second[0]}", second[1]), a=(words, code), x=y), {a: "number", b: "number"})


def text(draw: Draw) -> Task:
    """Make a task with two edits of a text, an edit and a join with another text, or one of TEXTS."""
    (a, b), (k,), (q, r) = draw.values("name", 2), draw.values("small", 1), draw.quoted("letter")
    first, second = (draw.pick(kind) for kind in draw.shuffled(EDITS)[:2])
    if "upper" in first[1] and "replace" in second[1]:
        first, second = second, first  # after an upper-case conversion no lower-case letter is left
    form = draw.below(3)
    if form == 0:
        words, code = put(draw.pick(TEXTS), a=a, b=b, k=k, q=q)
    else:
        done = put((f"{{a}} {first[0]}", first[1]), a=a, k=k, q=q, r=r)
        then = (f"{{a}}, then {second[0]}", second[1]) if form == 1 else ("{a}, followed by {b}", "{a} + {b}")
        words, code = put(then, a=done, b=b, k=k, q=q, r=r)
    return Task(words, code, {a: "text"} | ({b: "text"} if b in names_in(code) else {}))


def listing(draw: Draw) -> Task:
    """Make a task with an aggregate of a part of a list and a further step, joined lists, or numbers of two lists."""
    (a, b), (k,), (n,) = draw.values("name", 2), draw.values("small", 1), draw.values("number", 1)
    step = draw.pick(STEPS)
    form = draw.below(3)
    if form == 0:
        x = draw.pick((b, n))
        part = draw.pick(PARTS)
        total = put(draw.pick(TOTALS[:1] if "sorted" in part[1] else TOTALS), a=put(part, a=a, k=k))
        words, code = put((f"{{a}}, then {step[0]}", step[1]), a=total, x=x)
        return Task(words, code, {a: "list"} | ({b: "number"} if x == b else {}))
    if form == 1:
        words, code = put(("{a}, followed by {b}", "{a} + {b}"), a=put(draw.pick(PARTS[:3]), a=a, k=k), b=b)
    else:
        x, y = put(draw.pick(TOTALS + MEMBERS), a=a), put(draw.pick(TOTALS + MEMBERS), a=b)
        words, code = put((f"{{a}} {step[0]}", step[1]), a=x, x=y)
    return Task(words, code, {a: "list", b: "list"})


def each(draw: Draw) -> Task:
    """Make a task with a comprehension: a step with every number, a condition, or both; as a list or as its sum."""
    a, b = draw.values("name", 2)
    x, y = draw.shuffled([b, *draw.values("number", 2)])[:2]
    step, condition = put(draw.pick(STEPS), a="n", x=x), put(draw.pick(COMPARISONS), a="n", x=y)
    words, code = draw.pick(
        (
            (f"each of {a} {step[0]}", f"[{step[1]} for n in {a}]"),
            (f"those of {a} {condition[0]}", f"[n for n in {a} if {condition[1]}]"),
            (f"the sum of those of {a} {condition[0]}", f"sum(n for n in {a} if {condition[1]})"),
            (f"those of {a} {condition[0]}, each {step[0]}", f"[{step[1]} for n in {a} if {condition[1]}]"),
        )
    )
    return Task(words, code, {a: "list"} | ({b: "number"} if b in names_in(code) else {}))


def choice(draw: Draw) -> Task:
    """Make a task that returns one of two values by a condition, or the result of two conditions."""
    (a, b), (m, n), (q, r) = draw.values("name", 2), draw.values("number", 2), draw.quoted("name")
    x, y = draw.shuffled([b, m])
    first, second = draw.shuffled(COMPARISONS)[:2]
    condition = put((f"{{a}} is {first[0]}", first[1]), a=a, x=x)
    other = put((f"{{a}} is {second[0]}", second[1]), a=b, x=n)
    step = draw.pick(STEPS)
    done = put((f"{{a}} {step[0]}", step[1]), a=a, x=n)
    words, code = put(
        draw.pick(
            (
                ("{q} if {c}, else {r}", "{q} if {c} else {r}"),
                ("{d} if {c}, else {y}", "{d} if {c} else {y}"),
                ("whether {c} and {o}", "{c} and {o}"),
                ("whether {c} or {o}", "{c} or {o}"),
            )
        ),
        c=condition,
        o=other,
        d=done,
        q=q,
        r=r,
        y=y,
    )
    return Task(words, code, {name: "number" for name in (a, b) if name in names_in(code)})


BUILDERS: dict[str, Callable[[Draw], Task]] = {
    "number": number,
    "text": text,
    "list": listing,
    "each": each,
    "choice": choice,
}


# Groups of symbols that a wrong answer may exchange for each other.
RIVALS = (
    ("+", "-", "*", "//", "%"),
    (">", ">=", "<", "<=", "=="),
    ("and", "or"),
    ("upper", "lower"),
    ("max", "min", "sum", "len"),
)


def rivals(task: Task) -> list[str]:
    """Make wrong answers: with one symbol, number, letter or argument exchanged, or a slice mirrored."""
    tokens = re.findall(r"'\w+'|\w+|-\d|//|[<>]=|.", task.code)
    wrong = [re.sub(r"\[(-?\w*):(-?\w*)\]", r"[\2:\1]", task.code)]
    for i, token in enumerate(tokens):
        others = [other for family in (tuple(task.kinds), *RIVALS) if token in family for other in family]
        others += [str(int(token) + shift) for shift in (-1, 1, 10)] if re.fullmatch(r"-?\d+", token) else []
        others += ["'_'"] if token[0] == "'" else []
        wrong += ["".join([*tokens[:i], other, *tokens[i + 1 :]]) for other in others]
    return [code for code in dict.fromkeys(wrong) if code != task.code]


def outcome(function: Callable[..., Any], arguments: Sequence[Any]) -> tuple[str, Any]:
    """Return the type and value of a result, or the type of the exception."""
    try:
        value = function(*arguments)
    except Exception as error:
        return "failed", type(error).__name__
    return type(value).__name__, value


def value(draw: Draw, kind: str, task: Task) -> Any:
    """Choose an argument: often at or next to a constant of the task, sometimes empty or zero."""
    constants = [int(digits) for digits in re.findall(r"\d+", task.code)]
    near = [n + shift for n in constants for shift in (-1, 0, 1)]
    if kind == "number":
        return draw.pick(near) if near and draw.chance(0.5) else draw.below(100)
    small = min((n for n in constants if 1 < n < 10), default=3)
    size = draw.below(small + 4)
    if kind == "list":
        return [value(draw, "number", task) for _ in range(size)]
    letters = "".join(re.findall(r"'(\w)'", task.code))
    return "".join(draw.pick("abcXYZ" + 3 * letters + letters.upper()) for _ in range(size))


def tests(draw: Draw, group: str, task: Task, names: Sequence[str]) -> list[Any]:
    """Choose inputs and results on which the most wrong answers fail; the last input is the shortest, often empty or zero.

    Among equally good first inputs the longest is chosen, so that an answer that is correct only for lists of one
    number fails.
    """
    functions = [eval(f"lambda {', '.join(names)}: {code}") for code in (task.code, *rivals(task))]  # generated here
    candidates: list[tuple[list[Any], Any, set[int]]] = []
    rare = Draw(
        crc32(task.code.encode()), {}
    )  # a separate generator, so that later rows do not depend on the number of draws
    while len(candidates) < CANDIDATES[group] or len({json.dumps(result) for _, result, _ in candidates}) == 1:
        source = draw if len(candidates) < CANDIDATES[group] else rare
        arguments = [value(source, task.kinds[name], task) for name in names]
        right, *wrong = [outcome(function, arguments) for function in functions]
        if right[0] != "failed":
            candidates.append((arguments, right[1], {i for i, other in enumerate(wrong) if other != right}))
    first = max(candidates, key=lambda candidate: (len(candidate[2]), len(json.dumps(candidate[0]))))
    others = [candidate for candidate in candidates if candidate[0] != first[0]]
    last = min(others, key=lambda candidate: len(json.dumps(candidate[0])))
    chosen = [first]
    while len(chosen) < TESTS[group] - 1:
        caught = {rival for candidate in chosen for rival in candidate[2]}
        taken = [arguments for arguments, _, _ in (*chosen, last)]
        others = [candidate for candidate in others if candidate[0] not in taken]
        chosen.append(max(others, key=lambda candidate: len(candidate[2] - caught)))
    if all(
        result == last[1] for _, result, _ in chosen
    ):  # a constant function would pass: add an input on which it fails
        chosen[-1] = next(other for other in candidates if other[1] != last[1])
    return [[arguments, result] for arguments, result, _ in (*chosen, last)]


def row(draw: Draw, group: str) -> dict[str, Any]:
    """Make a row of the data set."""
    task = BUILDERS[group](draw)
    names = draw.shuffled(list(task.kinds))
    function = next(name for name in draw.values("name", 5) if name not in names_in(task.code))
    call = f"{function}({', '.join(names)})"
    return {
        "prompt": draw.pick(PROMPTS).format(call=call, words=task.words),
        "response": f"def {call}: return {task.code}",
        "group": group,
        "grading": {"call": function, "tests": tests(draw, group, task, names)},
    }


def split_pools() -> tuple[Pools, Pools]:
    """Split the values into disjoint pools of training rows and of test rows."""
    draw = Draw(SEED, {})
    names = {"".join(parts) for parts in product(*WORDS["name_parts"])}
    names -= {*WORDS["python"], *WORDS["one_piece"], *WORDS["unkind"]}
    train: Pools = {"small": range(2, 10)}
    test = dict(train)
    letters = sorted(set("".join(names)))  # all but q and y, which occur nowhere else in the answers
    split = {"name": sorted(names), "letter": letters, "number": range(10, 100)}
    for pool, values in split.items():
        shuffled = draw.shuffled(values)
        border = int(TRAIN_SHARE * len(shuffled))
        train[pool], test[pool] = shuffled[:border], shuffled[border:]
    return train, test


def rows(draw: Draw, counts: dict[str, int]) -> list[dict[str, Any]]:
    """Make rows with distinct prompts, in random order."""
    by_prompt: dict[str, dict[str, Any]] = {}
    for group, count in counts.items():
        wanted = len(by_prompt) + count
        while len(by_prompt) < wanted:
            made = row(draw, group)
            by_prompt.setdefault(made["prompt"], made)
    return draw.shuffled(list(by_prompt.values()))


def main() -> None:
    train, test = split_pools()
    for name, pools, counts in (("train", train, TRAIN_ROWS), ("test", test, TEST_ROWS)):
        lines = [json.dumps(made, separators=(",", ":")) + "\n" for made in rows(Draw(SEED + len(name), pools), counts)]
        Path(__file__).with_name(f"{name}.jsonl").write_text("".join(lines), encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
