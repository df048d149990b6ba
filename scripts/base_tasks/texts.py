"""Families about the text of the prompt: copying, picking, sorting, counting, looking up, and small logic."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from base_tasks.words import (
    ANIMALS,
    CITIES,
    COLORS,
    JOBS,
    LETTERS,
    NAMES,
    ORDINALS,
    THINGS,
    WORDS,
    Draft,
    plural,
    random_string,
    spaced,
)


def sorting(rng: Random, level: str) -> Draft:
    size = 3 if level == "easy" else rng.randint(4, 6)
    two_digits = [str(n) for n in range(10, 100)]  # equal lengths, so text order equals numeric order
    kind, pool = rng.choice([("letters", list(LETTERS)), ("numbers", two_digits)])
    items = rng.sample(pool, size)
    prompt = rng.choice(["Sort the {kind}: {items}", "Put in order: {items}", "{items}\nSort these {kind}."])
    answer = spaced(sorted(items))
    return prompt.format(kind=kind, items=spaced(items)), answer, [f"first {min(items)}", f"last {max(items)}"]


def reversal(rng: Random, level: str) -> Draft:
    if level == "easy":
        items = rng.choice([rng.sample(LETTERS, rng.randint(3, 4)), rng.sample(WORDS, rng.randint(2, 3))])
        prompt = rng.choice(["Reverse the order: {x}", "Write backwards: {x}", "Turn around: {x}"])
        answer = spaced(items[::-1])
        return prompt.format(x=spaced(items)), answer, [f"last {items[-1]}", f"first {items[0]}"]
    word = random_string(rng, 3, 5) if rng.random() < 0.5 else rng.choice(WORDS + NAMES).lower()
    prompt = rng.choice(["Reverse the word {x}.", "Write {x} backwards.", "Spell {x} from the end."])
    return prompt.format(x=word), word[::-1], [spaced(word), spaced(word[::-1])]


def copying(rng: Random, level: str) -> Draft:
    items = _mixed_items(rng, rng.randint(1, 3) if level == "easy" else rng.randint(3, 5))
    if level == "easy":
        prompt = rng.choice(["Repeat: {x}", "Copy this. {x}", "Write {x} again."])
        return prompt.format(x=spaced(items)), spaced(items), [f"{len(items)} to copy"]
    dropped = rng.choice(items)
    prompt = rng.choice(["Copy without {d}: {x}", "Leave out {d}. {x}", "{x}\nRepeat all but {d}."])
    remaining = [item for item in items if item != dropped] or items
    return prompt.format(x=spaced(items), d=dropped), spaced(remaining), [f"{len(remaining)} to copy"]


def repetition(rng: Random, level: str) -> Draft:
    """Repeat a long text word by word. The model learns copying fastest from this family."""
    items = _mixed_items(rng, rng.randint(4, 6) if level == "easy" else rng.randint(6, 10))
    prompt = rng.choice(["Say {x} once more.", "Echo {x}", "{x}\nThe same again:"])
    return prompt.format(x=spaced(items)), spaced(items), [f"{len(items)} to repeat"]


def picking(rng: Random, level: str) -> Draft:
    size = 3 if level == "easy" else rng.randint(4, 6)
    items = [*rng.sample(WORDS + NAMES, size - 1), random_string(rng, 3, 4)]
    rng.shuffle(items)
    k = rng.randrange(size)
    if level == "easy" or rng.random() < 0.6:
        where = rng.choice(["last", ORDINALS[k]]) if k == size - 1 else ORDINALS[k]
        prompt = rng.choice(["What is the {w} word? {x}", "{W} word of: {x}", "{x}\nGive the {w} word."])
        working = [f"{i} {item}" for i, item in enumerate(items[: k + 1], 1)]
        return prompt.format(w=where, W=where.capitalize(), x=spaced(items)), items[k], working
    k = rng.randrange(1, size - 1)
    side, anchor = rng.choice([("after", items[k - 1]), ("before", items[k + 1])])
    prompt = rng.choice(["Which word comes {side} {a}? {x}", "{x}\nGive the word {side} {a}."])
    pair = [anchor, items[k]] if side == "after" else [items[k], anchor]
    return prompt.format(side=side, a=anchor, x=spaced(items)), items[k], [spaced(pair)]


def spelling(rng: Random, level: str) -> Draft:
    word = rng.choice(WORDS + NAMES + CITIES).lower() if level == "easy" else random_string(rng, 3, 6)
    name = rng.choice(NAMES)  # does not change the answer; gives many different prompts for few words
    if rng.random() < 0.5:
        prompt = rng.choice(["Spell {x}.", "{n} asks for the letters of {x}.", "{n} must write {x} letter by letter."])
        return prompt.format(x=word, n=name), spaced(word), [f"{len(word)} letters"]
    prompt = rng.choice(["Join the letters: {x}", "{n} makes one word of {x}", "{x}\n{n} writes it as one word."])
    return prompt.format(x=spaced(word), n=name), word, [f"{len(word)} letters"]


def counting(rng: Random, level: str) -> Draft:
    size = rng.randint(3, 5) if level == "easy" else rng.randint(5, 8)
    times = rng.randint(0, 3) if level == "easy" else rng.randint(1, 5)
    pool = rng.sample(LETTERS, 4) if level == "easy" else rng.sample(WORDS, 4)
    target, others = pool[0], pool[1:]
    items = [target] * min(times, size) + [rng.choice(others) for _ in range(size - times)]
    rng.shuffle(items)
    prompt = rng.choice(["How many {t} in {x}?", "Count {t}: {x}", "{x}\nHow often is {t} there?"])
    return prompt.format(t=target, x=spaced(items)), str(items.count(target)), [spaced(_tally(items, target))]


def recall(rng: Random, level: str) -> Draft:
    """Repeat a table in another order. An answer has many look-ups, and the model learns look-up fastest from this family."""
    size = rng.randint(2, 3) if level == "easy" else rng.randint(3, 5)
    keys = rng.sample(rng.choice([NAMES, WORDS, LETTERS]), size)
    value = rng.choice([lambda: rng.choice(WORDS + CITIES), lambda: str(rng.randint(2, 99))])
    link, mark = rng.choice([": ", " = ", " has ", " | "]), rng.choice(["; ", "\n"])
    records = {key: f"{key}{link}{drawn}" for key, drawn in zip(keys, [value() for _ in keys], strict=True)}
    table, requested = mark.join(records.values()), rng.sample(keys, size)
    ask = spaced(requested) + "?"
    answer = spaced([records[key].removeprefix(key + link) for key in requested])
    return rng.choice([f"{table}\n{ask}", f"{ask}\n{table}"]), answer, [records[key] for key in requested]


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
    formula, result = f"{left} {op} {right}", inner
    working = [f"{literal} is {_truth(value)}" for literal, value in literals]
    working.append(f"{_truth(a)} {op} {_truth(b)} = {_truth(inner)}")
    if level == "hard":
        third, c = literals[2]
        outer = rng.choice(["and", "or"])
        result = _apply(outer, inner, c)
        formula = rng.choice([f"({formula}) {outer} {third}", f"{third} {outer} ({formula})"])
        working.append(f"{_truth(inner)} {outer} {_truth(c)} = {_truth(result)}")
    facts = ", ".join(f"{name} is {_truth(value)}" for name, value in zip(names, values, strict=True))
    prompt = rng.choice(["{facts}. {f}?", "{facts}. What is {f}?", "If {facts}, then {f} is:"])
    return prompt.format(facts=facts, f=formula), _truth(result), working


def _mixed_items(rng: Random, size: int) -> list[str]:
    """Return a mixture of words, names, numbers and random letters."""
    makers = [lambda: rng.choice(WORDS), lambda: rng.choice(NAMES), lambda: str(rng.randint(2, 999))]
    makers.append(lambda: random_string(rng, 3, 5))
    return [rng.choice(makers)() for _ in range(size)]


def _tally(items: Sequence[str], target: str) -> list[str]:
    """Return the items, each target followed by its count so far: items `a b a` with target `a` give `a 1 b a 2`."""
    counted: list[str] = []
    for item in items:
        counted += [item, str(counted.count(target) + 1)] if item == target else [item]
    return counted


def _record_form(rng: Random, size: int) -> tuple[list[str], str, str]:
    """Return distinct values, the template of a record, and the question, in one of several surface forms."""
    form = rng.randrange(5)
    if form == 0:
        thing = rng.choice(THINGS)
        values = [str(n) for n in rng.sample(range(2, 100), size)]
        return values, "{key} has {value} " + plural(thing), f"How many {plural(thing)} has {{key}}?"
    if form == 1:
        return rng.sample(CITIES, size), "name: {key}, city: {value}", "Which city has {key}?"
    if form == 2:
        return [random_string(rng, 3, 5) for _ in range(size)], "{key} = {value}", "What is {key}?"
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
