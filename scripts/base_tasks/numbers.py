"""Families about numbers: arithmetic, comparison, sequences, clocks, units and stories about quantities."""

from __future__ import annotations

from random import Random

from base_tasks.words import COLORS, DAYS, FRUITS, JOBS, NAMES, THINGS, UNITS, Draft, plural


def addition(rng: Random, level: str) -> Draft:
    low, high = (1, 20) if level == "easy" else (10, 99)
    a, b = rng.randint(low, high), rng.randint(low, high)
    prompt = rng.choice(["{a} + {b} = ?", "Add {a} and {b}.", "What is {a} plus {b}?", "{a} {x} and {b} {x}. Total?"])
    return prompt.format(a=a, b=b, x=plural(rng.choice(THINGS + FRUITS))), str(a + b), _column_sums(a, b)


def subtraction(rng: Random, level: str) -> Draft:
    low, high = (1, 20) if level == "easy" else (10, 99)
    b, a = sorted((rng.randint(low, high), rng.randint(low, high)))
    prompt = rng.choice(["{a} - {b} = ?", "Take {b} from {a}.", "What is {a} minus {b}?", "{a} {x} less {b}. Left?"])
    return prompt.format(a=a, b=b, x=plural(rng.choice(THINGS + FRUITS))), str(a - b), _column_differences(a, b)


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
    return prompt.format(a=a, b=b, color=color, thing=thing, things=plural(thing)), str(a * b), working


def three_sum(rng: Random, level: str) -> Draft:
    a, b, c = (rng.randint(1, 9) if level == "easy" else rng.randint(2, 30) for _ in range(3))
    prompt = rng.choice(["{a} + {b} + {c} = ?", "Add {a}, {b} and {c}.", "{a}, {b} and {c} {x}. Total?"])
    working = [f"{a}+{b}={a + b}", f"{a + b}+{c}={a + b + c}"]
    return prompt.format(a=a, b=b, c=c, x=plural(rng.choice(THINGS + FRUITS))), str(a + b + c), working


def comparison(rng: Random, level: str) -> Draft:
    numbers = rng.sample(range(10, 100), 2 if level == "easy" else rng.randint(3, 5))
    word, best = rng.choice([("largest", max), ("smallest", min)])
    prompt = rng.choice(["Which is {word}: {n}?", "{Word} of {n}:", "Find the {word} number. {n}"])
    running = [str(best(numbers[: i + 1])) for i in range(1, len(numbers))]
    listed = ", ".join(map(str, numbers))
    return prompt.format(word=word, Word=word.capitalize(), n=listed), str(best(numbers)), running


def sequence(rng: Random, level: str) -> Draft:
    start, step = rng.randint(1, 99), rng.randint(1, 9 if level == "easy" else 15)
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
    """Write a story about a quantity that changes once (easy), or 2-3 times with bags and a second person (hard)."""
    (name, other, third), thing = rng.sample(NAMES, 3), rng.choice(THINGS)
    things, top = plural(thing), 20 if level == "easy" else 30
    have = rng.randint(3, top)
    sentences, working = [f"{name} has {have} {things}."], []
    for _ in range(1 if level == "easy" else rng.randint(2, 3)):
        sentence, steps, have = _change(rng, level, name, other, things, have)
        sentences.append(sentence)
        working += steps
    question = rng.choice([f"How many {things} does {name} have now?", f"How many {things} has {name}?"])
    if level == "hard" and rng.random() < 0.5:
        sentences.insert(1, f"{third} has {rng.randint(2, top)} {plural(rng.choice(FRUITS))}.")
    if level == "hard" and rng.random() < 0.5:
        sentence, question, steps, have = _second_person(rng, name, other, things, have)
        sentences.append(sentence)
        working += steps
    return " ".join([*sentences, question]), str(have), working


def _columns(a: int, b: int) -> list[tuple[str, str]]:
    """Return the digits of two numbers, units first, the shorter number padded with zeros."""
    width = max(len(str(a)), len(str(b)))
    return list(zip(str(a).zfill(width)[::-1], str(b).zfill(width)[::-1], strict=True))


def _column_sums(a: int, b: int) -> list[str]:
    """Return the steps of a written addition, units first: 34 + 27 gives `4+7=11`, `3+2+1=6`."""
    working, carry = [], 0
    for x, y in _columns(a, b):
        total = int(x) + int(y) + carry
        working.append(f"{x}+{y}" + ("+1" if carry else "") + f"={total}")
        carry = total // 10
    return working


def _column_differences(a: int, b: int) -> list[str]:
    """Return the steps of a written subtraction, units first: 42 - 17 gives `12-7=5`, `4-1-1=2`."""
    working, borrow = [], 0
    for x, y in ((int(x), int(y)) for x, y in _columns(a, b)):
        short = x - y - borrow < 0
        top = x + 10 * short
        working.append(f"{top}-{y}" + ("-1" if borrow else "") + f"={top - y - borrow}")
        borrow = int(short)
    return working


def _change(rng: Random, level: str, name: str, other: str, things: str, have: int) -> tuple[str, list[str], int]:
    """Return one event of a story: its sentence, its worked step and the new amount (0 to 150)."""
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
    """Return a closing comparison: the sentence, the question, the worked step and the requested amount."""
    amount = rng.randint(2, 20)
    more = have <= amount or rng.random() < 0.5
    theirs = have + amount if more else have - amount
    sentence = f"{other} has {amount} {'more' if more else 'fewer'} {things} than {name}."
    steps = [f"{have}{'+' if more else '-'}{amount}={theirs}"]
    if rng.random() < 0.5:
        return sentence, f"How many {things} does {other} have?", steps, theirs
    steps.append(f"{have}+{theirs}={have + theirs}")
    return sentence, f"How many {things} do they have together?", steps, have + theirs
