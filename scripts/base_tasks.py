"""The procedural tasks of the tiny base: what the embedded checkpoint knows before any fine-tuning.

    python scripts/base_tasks.py --out /tmp/base --rows 400000 --seed 0

writes `train.jsonl`, one `test_<condition>.jsonl` per condition, and
`test_few_shot.jsonl` (one hidden rule, bare prompts: only `--few_shot N` can reveal it). One raw row per condition:

    {"prompt": "34 + 27 = ?", "response": "61", "condition": "direct", "group": "addition/easy"}
    {"prompt": "34 + 27 = ?", "response": "4+7=11, 3+2+1=6, so 61", "condition": "cot", "group": "addition/easy"}
    {"prompt": "34 + 27 = ?", "response": "61 i think", "condition": "noisy", "group": "addition/easy"}

Each also exists as `synth,direct`, `synth,cot`, `synth,noisy` with unchanged content: a composite condition must be a
pattern that the base has seen, not one that a fine-tuning run meets first. Some prompts open with solved examples, in
the layout of `evaluate --few_shot N`. No row holds JSON or chat manners: those are for fine-tuning to teach.

Train and test are disjoint by the last question of the prompt (`is_held_out`), not by row.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

LEVELS = ("easy", "hard")
CONDITIONS = ("direct", "cot", "noisy", "synth,direct", "synth,cot", "synth,noisy")
CONDITION_WEIGHTS = (0.40, 0.32, 0.06, 0.11, 0.09, 0.02)  # direct needs the most rows: nothing is written down
HARD_SHARE = 0.5
FEW_SHOT_SHARE = 0.05
FEW_SHOT_CHARACTERS = 200  # keeps nearly every document under 200 tokens
SEPARATOR = "\n\n"  # between solved examples; no question contains it


def _listed(text: str) -> tuple[str, ...]:
    """The words of a text: a list of forty names stays three readable lines."""
    return tuple(text.split())


NAMES = _listed(
    "Ana Bo Cleo Dan Eva Finn Gia Hugo Ida Jon Kim Leo Mia Ned Ola Pam Quin Rosa Sam Tess Uma Vic Wes Yara Zoe "
    "Adam Bella Carl Dora Emil Faye Gus Hana Ivan Jade Kurt Lena Milo Nora Omar"
)
CITIES = _listed(
    "Oslo Rome Lima Cairo Paris Quito Delhi Tokyo Seoul Milan Turin Kyiv Riga Bern Porto Nice Accra Lagos Perth Miami"
)
JOBS = _listed("baker nurse pilot farmer singer driver lawyer painter teacher plumber waiter dentist")
COLORS = _listed("red blue green black white pink gray gold")
ANIMALS = _listed("cat dog cow hen fox owl bee ant pig bat goat duck frog bear wolf lion")
FRUITS = _listed("fig plum pear lime kiwi apple lemon mango peach grape melon cherry")
TOOLS = _listed("saw axe drill hammer rake knife brush pliers shovel ladder")
THINGS = _listed("pen cup book coin card key box hat map ring stamp shell stone button ticket marble")
WORDS = ANIMALS + FRUITS + TOOLS + THINGS + COLORS
LABELS = _listed("zip mox tul bez kan dor vip lum")
DAYS = _listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
UNITS = (  # (large unit, small unit, how many small ones in a large one)
    ("hours", "minutes", 60),
    ("minutes", "seconds", 60),
    ("days", "hours", 24),
    ("weeks", "days", 7),
    ("years", "months", 12),
    ("feet", "inches", 12),
    ("meters", "cm", 100),
    ("cm", "mm", 10),
    ("kg", "grams", 1000),
    ("dollars", "cents", 100),
)


@dataclass(frozen=True)
class Task:
    """One question with its bare answer and its worked answer; `steps` always ends in `so <answer>`."""

    family: str
    level: str
    prompt: str
    answer: str
    steps: str


@dataclass(frozen=True)
class Family:
    """A kind of task: how to draw one, and how often training does."""

    name: str
    make: Callable[[Random, str], Task]
    weight: float


# A drawn question before it knows its family: prompt, answer, and the working in short clauses.
Draft = tuple[str, str, Sequence[str]]


def addition(rng: Random, level: str) -> Draft:
    low, high = (1, 20) if level == "easy" else (10, 99)
    a, b = rng.randint(low, high), rng.randint(low, high)
    prompt = rng.choice(["{a} + {b} = ?", "Add {a} and {b}.", "What is {a} plus {b}?", "Sum of {a} and {b}:"])
    return prompt.format(a=a, b=b), str(a + b), _column_sums(a, b)


def subtraction(rng: Random, level: str) -> Draft:
    low, high = (1, 20) if level == "easy" else (10, 99)
    b, a = sorted((rng.randint(low, high), rng.randint(low, high)))
    prompt = rng.choice(["{a} - {b} = ?", "Take {b} from {a}.", "What is {a} minus {b}?", "Subtract {b} from {a}."])
    return prompt.format(a=a, b=b), str(a - b), _column_differences(a, b)


def multiplication(rng: Random, level: str) -> Draft:
    a, b = rng.randint(2, 9) if level == "easy" else rng.randint(11, 30), rng.randint(2, 9)
    thing, color = rng.choice(THINGS), rng.choice(COLORS)
    prompt = rng.choice(
        [
            "{a} x {b} = ?",
            "{a} times {b} is?",
            "{a} bags with {b} {color} {things} each. How many {things}?",
            "One {thing} costs {a} coins. What do {b} {color} {things} cost?",
        ]
    )
    tens = a - a % 10
    split = [f"{tens}x{b}={tens * b}", f"{a % 10}x{b}={a % 10 * b}", f"{tens * b}+{a % 10 * b}={a * b}"]
    working = split if level == "hard" and a % 10 else [f"{a}x{b}={a * b}"]
    return prompt.format(a=a, b=b, color=color, thing=thing, things=_plural(thing)), str(a * b), working


def three_sum(rng: Random, level: str) -> Draft:
    a, b, c = (rng.randint(1, 9) if level == "easy" else rng.randint(2, 30) for _ in range(3))
    prompt = rng.choice(["{a} + {b} + {c} = ?", "Add {a}, {b} and {c}.", "Total of {a}, {b} and {c}:"])
    working = [f"{a}+{b}={a + b}", f"{a + b}+{c}={a + b + c}"]
    return prompt.format(a=a, b=b, c=c), str(a + b + c), working


def comparison(rng: Random, level: str) -> Draft:
    numbers = rng.sample(range(10, 100), 2 if level == "easy" else rng.randint(3, 5))
    word, best = rng.choice([("largest", max), ("smallest", min)])
    prompt = rng.choice(["Which is {word}: {n}?", "{Word} of {n}:", "Find the {word} number. {n}"])
    kept = [str(best(numbers[: i + 1])) for i in range(1, len(numbers))]
    listed = ", ".join(map(str, numbers))
    return prompt.format(word=word, Word=word.capitalize(), n=listed), str(best(numbers)), kept


def sorting(rng: Random, level: str) -> Draft:
    size = 3 if level == "easy" else rng.randint(4, 6)
    two_digits = [str(n) for n in range(10, 100)]  # equal lengths: they sort as text as they do as numbers
    kind, pool = rng.choice([("letters", list(LETTERS)), ("numbers", two_digits)])
    items = rng.sample(pool, size)
    prompt = rng.choice(["Sort the {kind}: {items}", "Put in order: {items}", "{items}\nSort these {kind}."])
    answer = _spaced(sorted(items))
    return prompt.format(kind=kind, items=_spaced(items)), answer, [f"first {min(items)}", f"last {max(items)}"]


def reversal(rng: Random, level: str) -> Draft:
    if level == "easy":
        items = rng.choice([rng.sample(LETTERS, rng.randint(3, 4)), rng.sample(WORDS, rng.randint(2, 3))])
        prompt = rng.choice(["Reverse the order: {x}", "Write backwards: {x}", "Turn around: {x}"])
        answer = _spaced(items[::-1])
        return prompt.format(x=_spaced(items)), answer, [f"last {items[-1]}", f"first {items[0]}"]
    word = _string(rng, 3, 5) if rng.random() < 0.5 else rng.choice(WORDS + NAMES).lower()
    prompt = rng.choice(["Reverse the word {x}.", "Write {x} backwards.", "Spell {x} from the end."])
    return prompt.format(x=word), word[::-1], [_spaced(word), _spaced(word[::-1])]


def copying(rng: Random, level: str) -> Draft:
    makers = [lambda: rng.choice(WORDS), lambda: rng.choice(NAMES), lambda: str(rng.randint(2, 999))]
    makers.append(lambda: _string(rng, 3, 5))
    items = [rng.choice(makers)() for _ in range(rng.randint(1, 3) if level == "easy" else rng.randint(3, 5))]
    if level == "easy":
        prompt = rng.choice(["Repeat: {x}", "Copy this. {x}", "Write {x} again."])
        return prompt.format(x=_spaced(items)), _spaced(items), [f"{len(items)} to copy"]
    dropped = rng.choice(items)
    prompt = rng.choice(["Copy without {d}: {x}", "Leave out {d}. {x}", "{x}\nRepeat all but {d}."])
    kept = [item for item in items if item != dropped] or items
    return prompt.format(x=_spaced(items), d=dropped), _spaced(kept), [f"{len(kept)} to copy"]


def picking(rng: Random, level: str) -> Draft:
    size = 3 if level == "easy" else rng.randint(4, 6)
    items = [*rng.sample(WORDS + NAMES, size - 1), _string(rng, 3, 4)]
    rng.shuffle(items)
    k = rng.randrange(size)
    if level == "easy" or rng.random() < 0.6:
        where = rng.choice(["last", ORDINALS[k]]) if k == size - 1 else ORDINALS[k]
        prompt = rng.choice(["What is the {w} word? {x}", "{W} word of: {x}", "{x}\nGive the {w} word."])
        working = [f"{i} {item}" for i, item in enumerate(items[: k + 1], 1)]
        return prompt.format(w=where, W=where.capitalize(), x=_spaced(items)), items[k], working
    k = rng.randrange(1, size - 1)
    side, anchor = rng.choice([("after", items[k - 1]), ("before", items[k + 1])])
    prompt = rng.choice(["Which word comes {side} {a}? {x}", "{x}\nGive the word {side} {a}."])
    pair = [anchor, items[k]] if side == "after" else [items[k], anchor]
    return prompt.format(side=side, a=anchor, x=_spaced(items)), items[k], [_spaced(pair)]


def spelling(rng: Random, level: str) -> Draft:
    word = rng.choice(WORDS + NAMES + CITIES).lower() if level == "easy" else _string(rng, 3, 6)
    if rng.random() < 0.5:
        prompt = rng.choice(["Spell {x}.", "Letters of {x}:", "Write {x} letter by letter."])
        return prompt.format(x=word), _spaced(word), [f"{len(word)} letters"]
    prompt = rng.choice(["Join the letters: {x}", "Make one word of {x}.", "{x}\nWrite as one word."])
    return prompt.format(x=_spaced(word)), word, [f"{len(word)} letters"]


def counting(rng: Random, level: str) -> Draft:
    size = rng.randint(3, 5) if level == "easy" else rng.randint(5, 8)
    times = rng.randint(0, 3) if level == "easy" else rng.randint(1, 5)
    pool = rng.sample(LETTERS, 4) if level == "easy" else rng.sample(WORDS, 4)
    target, others = pool[0], pool[1:]
    items = [target] * min(times, size) + [rng.choice(others) for _ in range(size - times)]
    rng.shuffle(items)
    prompt = rng.choice(["How many {t} in {x}?", "Count {t}: {x}", "{x}\nHow often is {t} there?"])
    marks = [f"{i} {target}" for i in range(1, items.count(target) + 1)] or ["none"]
    return prompt.format(t=target, x=_spaced(items)), str(items.count(target)), marks


def lookup(rng: Random, level: str) -> Draft:
    size = 2 if level == "easy" else rng.randint(3, 5)
    keys = rng.sample(NAMES, size)
    values, record, question = _record_form(rng, size)
    k = rng.randrange(size)
    mark = rng.choice(["; ", "\n"])
    table = mark.join(record.format(key=key, value=value) for key, value in zip(keys, values, strict=True))
    ask = question.format(key=keys[k])
    prompt = rng.choice([f"{table}\n{ask}", f"{ask}\n{table}"])
    return prompt, values[k], [record.format(key=keys[k], value=values[k])]


def extraction(rng: Random, level: str) -> Draft:
    people = rng.sample(NAMES, 1 if level == "easy" else 2)
    facts = [_person(rng, name) for name in people]
    field = rng.choice(["city", "job", "age", "pet"])
    k = rng.randrange(len(people))
    text = " ".join(_biography(rng, fact) for fact in facts)
    asked = [f"{field}?", f"Find the {field}.", f"Give the {field}."]
    if level == "hard":
        asked = [f"{field} of {people[k]}?", f"Find the {field} of {people[k]}."]
    return f"{text}\n{rng.choice(asked)}", facts[k][field], [f"{people[k]}: {field} {facts[k][field]}"]


def boolean(rng: Random, level: str) -> Draft:
    names = sorted(rng.sample(LETTERS, 2 if level == "easy" else 3))
    values = [rng.random() < 0.5 for _ in names]
    literals = [_literal(rng, name, value) for name, value in zip(names, values, strict=True)]
    (left, a), (right, b) = literals[:2]
    op = rng.choice(["and", "or"])
    inner = _apply(op, a, b)
    formula, result, working = f"{left} {op} {right}", inner, [f"{_truth(a)} {op} {_truth(b)} = {_truth(inner)}"]
    if level == "hard":
        third, c = literals[2]
        outer = rng.choice(["and", "or"])
        result = _apply(outer, inner, c)
        formula = rng.choice([f"({formula}) {outer} {third}", f"{third} {outer} ({formula})"])
        working.append(f"{_truth(inner)} {outer} {_truth(c)} = {_truth(result)}")
    facts = ", ".join(f"{name} is {_truth(value)}" for name, value in zip(names, values, strict=True))
    prompt = rng.choice(["{facts}. {f}?", "{facts}. What is {f}?", "If {facts}, then {f} is:"])
    return prompt.format(facts=facts, f=formula), _truth(result), working


def sequence(rng: Random, level: str) -> Draft:
    start, step = rng.randint(1, 60), rng.randint(1, 9 if level == "easy" else 15)
    if level == "hard" and rng.random() < 0.5:
        other = rng.randint(1, 9)
        steps = [step, other] * 3
        terms = [start]
        for gap in steps[: rng.randint(4, 5)]:
            terms.append(terms[-1] + gap)
    else:
        terms = [start + step * i for i in range(5)]
        if rng.random() < 0.4:
            terms.reverse()
    gap = terms[-1] - terms[-2]
    prompt = rng.choice(["What comes next? {x}", "Next number: {x}", "Continue {x}"])
    sign = "+" if gap > 0 else "-"
    working = [f"{sign}{abs(gap)}", f"{terms[-2]}{sign}{abs(gap)}={terms[-1]}"]
    return prompt.format(x=", ".join(map(str, terms[:-1]))), str(terms[-1]), working


def calendar(rng: Random, level: str) -> Draft:
    if rng.random() < 0.4:
        day, gap = rng.randrange(7), rng.randint(1, 6) if level == "easy" else rng.randint(7, 30)
        name, thing = rng.choice(NAMES), rng.choice(JOBS)
        prompt = rng.choice(
            [
                "Which day is {gap} days after {day}?",
                "{name} sees the {thing} on {day}. {gap} days later it is?",
                "On {day} {name} waits {gap} days for the {thing}. Which day is it then?",
            ]
        )
        answer = DAYS[(day + gap) % 7]
        working = [f"{gap}-{gap - gap % 7}={gap % 7}"] if gap > 6 else []
        return prompt.format(gap=gap, day=DAYS[day], name=name, thing=thing), answer, [*working, f"{gap % 7} later"]
    hour, minute = rng.randint(1, 10), rng.randint(0, 29) if level == "easy" else rng.randint(20, 59)
    gap = rng.randint(2, 30) if level == "easy" else rng.randint(61 - minute, 59)
    prompt = rng.choice(["It is {t}. What time is it {g} minutes later?", "{t} plus {g} minutes is?"])
    total = minute + gap
    working = [f"{minute}+{gap}={total}"] + ([f"{total}-60={total - 60}"] if total > 59 else [])
    answer = f"{hour + total // 60}:{total % 60:02d}"
    return prompt.format(t=f"{hour}:{minute:02d}", g=gap), answer, working


def conversion(rng: Random, level: str) -> Draft:
    large, small, factor = rng.choice(UNITS)
    count, rest = rng.randint(2, 9), rng.randint(1, min(factor, 60) - 1)
    if level == "easy" and factor % 10 == 0:
        count = rng.randint(2, 30)
    if level == "easy":
        prompt = rng.choice(["{c} {l} in {s}:", "Write {c} {l} in {s}.", "{n} needs {c} {l}. How many {s} is that?"])
        working = [f"{count}x{factor}={count * factor}"]
        return prompt.format(n=rng.choice(NAMES), c=count, l=large, s=small), str(count * factor), working
    prompt = rng.choice(["{c} {l} {r} {s} in {s}:", "{n} needs {c} {l} and {r} {s}. How many {s} is that?"])
    whole = count * factor
    working = [f"{count}x{factor}={whole}", f"{whole}+{rest}={whole + rest}"]
    return prompt.format(n=rng.choice(NAMES), c=count, l=large, s=small, r=rest), str(whole + rest), working


def story(rng: Random, level: str) -> Draft:
    """A quantity that changes hands: once (easy), or 2-3 times, with bags and a second person (hard)."""
    (name, other, third), thing = rng.sample(NAMES, 3), rng.choice(THINGS)
    things, top = _plural(thing), 20 if level == "easy" else 30
    have = rng.randint(3, top)
    sentences, working = [f"{name} has {have} {things}."], []
    for _ in range(1 if level == "easy" else rng.randint(2, 3)):
        sentence, steps, have = _change(rng, level, name, other, things, have)
        sentences.append(sentence)
        working += steps
    question = rng.choice([f"How many {things} does {name} have now?", f"How many {things} has {name}?"])
    if level == "hard" and rng.random() < 0.5:
        sentences.insert(1, f"{third} has {rng.randint(2, top)} {_plural(rng.choice(FRUITS))}.")
    if level == "hard" and rng.random() < 0.5:
        sentence, question, steps, have = _second_person(rng, name, other, things, have)
        sentences.append(sentence)
        working += steps
    return " ".join([*sentences, question]), str(have), working


def rule(rng: Random, level: str) -> Draft:
    """Solved examples define the task; the question is a bare input. Redrawn until the examples settle the answer."""
    while True:
        rules = [_label_rule(rng)] if level == "easy" and rng.random() < 0.3 else _rules(rng, level)
        chosen = rng.choice(rules)
        shots = rng.randint(2, 8) if len(rules) > 1 else rng.randint(4, 8)
        inputs = [chosen.draw(rng) for _ in range(shots + 1)]
        *pairs, (question, answer) = [(x, chosen.answer(x)) for x in inputs]
        rivals = [r for r in rules if r.draw is chosen.draw and all(r.answer(x) == y for x, y in pairs)]
        seen = {y for _, y in pairs}
        settled = all(r.answer(question) == answer for r in rivals) and (len(rules) > 1 or answer in seen)
        if settled and question not in inputs[:-1]:
            return few_shot_prompt(pairs, question), answer, [chosen.name]


WEIGHTS: dict[str, tuple[Callable[[Random, str], Draft], float]] = {
    "addition": (addition, 1.0),
    "subtraction": (subtraction, 1.2),
    "multiplication": (multiplication, 1.4),
    "three_sum": (three_sum, 1.2),
    "comparison": (comparison, 0.7),
    "sorting": (sorting, 1.0),
    "reversal": (reversal, 1.0),
    "copying": (copying, 0.9),
    "picking": (picking, 1.0),
    "spelling": (spelling, 0.8),
    "counting": (counting, 0.8),
    "lookup": (lookup, 1.6),
    "extraction": (extraction, 0.9),
    "boolean": (boolean, 0.9),
    "sequence": (sequence, 0.9),
    "calendar": (calendar, 1.0),
    "conversion": (conversion, 0.9),
    "story": (story, 1.8),
    "rule": (rule, 1.5),
}


def _make(name: str, draw: Callable[[Random, str], Draft]) -> Callable[[Random, str], Task]:
    def make(rng: Random, level: str) -> Task:
        prompt, answer, working = draw(rng, level)
        return Task(name, level, prompt, answer, ", ".join([*working, f"so {answer}"]))

    return make


FAMILIES: dict[str, Family] = {
    name: Family(name, _make(name, draw), weight) for name, (draw, weight) in WEIGHTS.items()
}


def _spaced(items: Sequence[object]) -> str:
    return " ".join(map(str, items))


def _plural(noun: str) -> str:
    if noun.endswith(("x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("rry") else noun + "s"


def _string(rng: Random, low: int, high: int) -> str:
    """Letters without meaning, so that copying cannot be replaced by recall."""
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(low, high)))


def _columns(a: int, b: int) -> list[tuple[str, str]]:
    """The digits of two numbers, units first, the shorter one filled with zeros."""
    width = max(len(str(a)), len(str(b)))
    return list(zip(str(a).zfill(width)[::-1], str(b).zfill(width)[::-1], strict=True))


def _column_sums(a: int, b: int) -> list[str]:
    """The working of a written addition, units first: 34 + 27 gives `4+7=11`, `3+2+1=6`."""
    working, carry = [], 0
    for x, y in _columns(a, b):
        total = int(x) + int(y) + carry
        working.append(f"{x}+{y}" + ("+1" if carry else "") + f"={total}")
        carry = total // 10
    return working


def _column_differences(a: int, b: int) -> list[str]:
    """The working of a written subtraction, units first: 42 - 17 gives `12-7=5`, `4-1-1=2`."""
    working, borrow = [], 0
    for x, y in ((int(x), int(y)) for x, y in _columns(a, b)):
        short = x - y - borrow < 0
        top = x + 10 * short
        working.append(f"{top}-{y}" + ("-1" if borrow else "") + f"={top - y - borrow}")
        borrow = int(short)
    return working


def _record_form(rng: Random, size: int) -> tuple[list[str], str, str]:
    """Distinct values, the template of a record and the question, in one of several surface forms."""
    form = rng.randrange(5)
    if form == 0:
        thing = rng.choice(THINGS)
        values = [str(n) for n in rng.sample(range(2, 100), size)]
        return values, "{key} has {value} " + _plural(thing), f"How many {_plural(thing)} has {{key}}?"
    if form == 1:
        return rng.sample(CITIES, size), "name: {key}, city: {value}", "Which city has {key}?"
    if form == 2:
        return [_string(rng, 3, 5) for _ in range(size)], "{key} = {value}", "What is {key}?"
    if form == 3:
        values = [f"{rng.choice(COLORS)} {rng.choice(THINGS)}" for _ in range(size)]
        return values, "{key} likes the {value}", "What does {key} like?"
    return rng.sample(JOBS, size), "{key} | {value}", "Job of {key}?"


def _person(rng: Random, name: str) -> dict[str, str]:
    return {
        "name": name,
        "city": rng.choice(CITIES),
        "job": rng.choice(JOBS),
        "age": str(rng.randint(18, 90)),
        "pet": rng.choice(ANIMALS),
    }


def _biography(rng: Random, fact: dict[str, str]) -> str:
    return rng.choice(
        [
            "{name}, a {job} from {city}, is {age} and has a {pet}.",
            "{name} is {age}, lives in {city} with a {pet} and works as a {job}.",
            "The {job} {name} ({age}) took the {pet} to {city}.",
        ]
    ).format(**fact)


def _literal(rng: Random, name: str, value: bool) -> tuple[str, bool]:
    return (f"not {name}", not value) if rng.random() < 0.4 else (name, value)


def _apply(op: str, a: bool, b: bool) -> bool:
    return (a and b) if op == "and" else (a or b)


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _change(rng: Random, level: str, name: str, other: str, things: str, have: int) -> tuple[str, list[str], int]:
    """One event of a story: its sentence, its working and the new amount (never below zero, at most 150)."""
    if level == "hard" and rng.random() < 0.3 and have < 70:
        bags, each = rng.randint(2, 5), rng.randint(2, 9)
        total = have + bags * each
        steps = [f"{bags}x{each}={bags * each}", f"{have}+{bags * each}={total}"]
        return rng.choice([f"{name} buys {bags} bags of {each}.", f"{bags} bags of {each} arrive."]), steps, total
    amount = rng.randint(2, 12 if level == "easy" else 20)
    if have > amount and (have > 100 or rng.random() < 0.5):
        sentence = rng.choice([f"{name} gives {amount} to {other}.", f"{name} loses {amount}.", f"{amount} break."])
        return sentence, [f"{have}-{amount}={have - amount}"], have - amount
    sentence = rng.choice([f"{name} finds {amount} more.", f"{other} gives {name} {amount}.", f"{name} buys {amount}."])
    return sentence, [f"{have}+{amount}={have + amount}"], have + amount


def _second_person(rng: Random, name: str, other: str, things: str, have: int) -> tuple[str, str, list[str], int]:
    """A closing comparison: the sentence, the question, the working and the amount that is asked for."""
    amount = rng.randint(2, 20)
    more = have <= amount or rng.random() < 0.5
    theirs = have + amount if more else have - amount
    sentence = f"{other} has {amount} {'more' if more else 'fewer'} {things} than {name}."
    steps = [f"{have}{'+' if more else '-'}{amount}={theirs}"]
    if rng.random() < 0.5:
        return sentence, f"How many {things} does {other} have?", steps, theirs
    steps.append(f"{have}+{theirs}={have + theirs}")
    return sentence, f"How many {things} do they have together?", steps, have + theirs


@dataclass(frozen=True)
class Rule:
    """A hidden rule: what it does in words, how to draw an input, and the output for an input."""

    name: str
    draw: Callable[[Random], str]
    answer: Callable[[str], str]


def _three_words(rng: Random) -> str:
    return _spaced(rng.sample(WORDS, 3))


def _word_and_numbers(rng: Random) -> str:
    a, b = rng.sample(range(10, 60), 2)
    return f"{rng.choice(WORDS)} {a} {b}"


def _select(*positions: int) -> Callable[[str], str]:
    return lambda text: _spaced([text.split()[k] for k in positions])


def _compute(function: Callable[[int, int], int]) -> Callable[[str], str]:
    return lambda text: str(function(*map(int, text.split()[1:])))


def _rules(rng: Random, level: str) -> list[Rule]:
    """All rules of a level; those with a constant draw it anew."""
    if level == "easy":
        chosen = {"first": (0,), "second": (1,), "third": (2,), "first two": (0, 1), "last two": (1, 2)}
        chosen |= {"swap": (1, 0), "ends": (0, 2), "reverse": (2, 1, 0), "twice": (0, 0), "all": (0, 1, 2)}
        return [Rule(name, _three_words, _select(*where)) for name, where in chosen.items()]
    k = rng.randint(1, 9)
    computed: dict[str, Callable[[int, int], int]] = {
        "larger": max,
        "smaller": min,
        "sum": lambda a, b: a + b,
        "difference": lambda a, b: abs(a - b),
        f"first +{k}": lambda a, b: a + k,
        f"second +{k}": lambda a, b: b + k,
        f"first -{k}": lambda a, b: a - k,
    }
    rules = [Rule(name, _word_and_numbers, _compute(function)) for name, function in computed.items()]
    rules += [Rule("swap", _word_and_numbers, _select(2, 1)), Rule("word last", _word_and_numbers, _select(1, 0))]
    initials = Rule("initials", _three_words, lambda text: "".join(word[0] for word in text.split()))
    return [*rules, initials, Rule("longest", _three_words, lambda text: max(text.split(), key=len))]


def _label_rule(rng: Random) -> Rule:
    """Two kinds of words under two arbitrary labels: only the examples say which label means which kind."""
    kinds, labels = rng.sample([ANIMALS, FRUITS, TOOLS, CITIES], 2), rng.sample(LABELS, 2)

    def draw(generator: Random) -> str:
        return f"{generator.choice(generator.choice(kinds))} {generator.randint(2, 99)}"

    return Rule("label", draw, lambda text: labels[0] if text.split()[0] in kinds[0] else labels[1])


def few_shot_prompt(examples: Sequence[tuple[str, str]], prompt: str) -> str:
    """Solved examples before a question, in the layout of `evaluate --few_shot N`."""
    return SEPARATOR.join(f"{p}\n{a}" for p, a in examples) + SEPARATOR + prompt


def is_held_out(prompt: str) -> bool:
    """Whether a question belongs to the test pool (one in ten), by a hash of its text without its examples."""
    question = prompt.rsplit(SEPARATOR, 1)[-1]
    return hashlib.sha256(question.encode()).digest()[0] < 26


def response(task: Task, condition: str, rng: Random) -> str:
    """The text that a condition asks for: worked, bare, or sloppy."""
    style = condition.rsplit(",", 1)[-1]
    if style == "cot":
        return task.steps
    return _sloppy(task.answer, rng) if style == "noisy" else task.answer


def final_answer(text: str) -> str:
    """The answer at the end of a worked response (`..., so 57`); a bare answer is returned as it is."""
    return text.rsplit("so ", 1)[-1]


def _sloppy(answer: str, rng: Random) -> str:
    """A web-like answer: lower case, no punctuation but a clock's colon, often with a stray word behind it."""
    return answer.lower() + rng.choice(["", "", " i think", " lol", " ok", " maybe"])


def draw_task(rng: Random, name: str, level: str, held_out: bool) -> Task:
    """A task of one family from the training pool or from the test pool."""
    while True:
        task = FAMILIES[name].make(rng, level)
        if is_held_out(task.prompt) == held_out:
            return task


def _with_examples(rng: Random, task: Task, condition: str) -> str:
    """The prompt of a task behind 2-8 solved ones of its kind, as many as FEW_SHOT_CHARACTERS allows."""
    examples: list[tuple[str, str]] = []
    for _ in range(rng.randint(2, 8)):
        other = draw_task(rng, task.family, task.level, held_out=False)
        example = (other.prompt, response(other, condition, rng))
        if len(few_shot_prompt([*examples, example], task.prompt)) > FEW_SHOT_CHARACTERS:
            break
        examples.append(example)
    return few_shot_prompt(examples, task.prompt) if len(examples) > 1 else task.prompt


def _row(rng: Random, task: Task, condition: str, few_shot: bool) -> dict[str, str]:
    prompt = _with_examples(rng, task, condition) if few_shot and task.family != "rule" else task.prompt
    group = f"{task.family}/{task.level}"
    return {"prompt": prompt, "response": response(task, condition, rng), "condition": condition, "group": group}


def training_rows(seed: int, n: int) -> Iterator[dict[str, str]]:
    """`n` rows from the training pool: families, levels and conditions by their weights."""
    rng = Random(f"train {seed}")
    names, weights = list(FAMILIES), [family.weight for family in FAMILIES.values()]
    for _ in range(n):
        level = "hard" if rng.random() < HARD_SHARE else "easy"
        task = draw_task(rng, rng.choices(names, weights)[0], level, held_out=False)
        condition = rng.choices(CONDITIONS, CONDITION_WEIGHTS)[0]
        yield _row(rng, task, condition, few_shot=rng.random() < FEW_SHOT_SHARE)


def test_rows(seed: int, n_per_group: int, condition: str) -> Iterator[dict[str, str]]:
    """`n_per_group` rows of every family and level from the test pool, distinct where the pool is large enough."""
    rng = Random(f"test {seed}")
    for name in FAMILIES:
        for level in LEVELS:
            for task in _distinct(rng, name, level, n_per_group):
                yield _row(rng, task, condition, few_shot=False)


def _distinct(rng: Random, name: str, level: str, n: int) -> list[Task]:
    tasks: dict[str, Task] = {}
    for _ in range(20 * n):
        task = draw_task(rng, name, level, held_out=True)
        tasks.setdefault(task.prompt, task)
        if len(tasks) == n:
            break
    return list(tasks.values())


def few_shot_rows(seed: int, n: int, name: str = "last two") -> Iterator[dict[str, str]]:
    """Rows of one hidden rule with bare prompts from the test pool: the gain of `--few_shot N` over 0 shows in them."""
    rng = Random(f"few-shot {seed}")
    chosen = next(r for r in _rules(rng, "easy") if r.name == name)
    prompts: dict[str, None] = {}
    while len(prompts) < n:
        prompt = chosen.draw(rng)
        if is_held_out(prompt):
            prompts[prompt] = None
    for prompt in prompts:
        yield {"prompt": prompt, "response": chosen.answer(prompt), "condition": "direct", "group": "rule/few_shot"}


def _write(path: Path, rows: Iterator[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the training and test rows of the tiny base.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--test_rows_per_group", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    _write(args.out / "train.jsonl", training_rows(args.seed, args.rows))
    for condition in CONDITIONS:
        name = f"test_{condition.replace(',', '_')}.jsonl"
        _write(args.out / name, test_rows(args.seed, args.test_rows_per_group, condition))
    _write(args.out / "test_few_shot.jsonl", few_shot_rows(args.seed, 8 * args.test_rows_per_group))


if __name__ == "__main__":
    main()
