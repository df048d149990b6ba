"""The family whose task is defined by solved examples in the prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from base_tasks.words import (
    ANIMALS,
    CITIES,
    FRUITS,
    LABELS,
    TOOLS,
    WORDS,
    Draft,
    spaced,
)

SEPARATOR = "\n\n"  # between solved examples; no question contains it


def rule(rng: Random, level: str) -> Draft:
    """Return a task that solved examples define; the question is a bare input. Redraws until the examples determine the answer."""
    while True:
        rules = [_label_rule(rng)] if level == "easy" and rng.random() < 0.3 else make_rules(rng, level)
        chosen = rng.choice(rules)
        shots = rng.randint(2, 8) if len(rules) > 1 else rng.randint(4, 8)
        inputs = [chosen.draw(rng) for _ in range(shots + 1)]
        *pairs, (question, answer) = [(x, chosen.answer(x)) for x in inputs]
        rivals = [r for r in rules if r.draw is chosen.draw and all(r.answer(x) == y for x, y in pairs)]
        seen = {y for _, y in pairs}
        settled = all(r.answer(question) == answer for r in rivals) and (len(rules) > 1 or answer in seen)
        if settled and question not in inputs[:-1]:
            return few_shot_prompt(pairs, question), answer, [chosen.name]


@dataclass(frozen=True)
class Rule:
    """A hidden rule: its name, a function that draws an input, and a function that returns the output for an input."""

    name: str
    draw: Callable[[Random], str]
    answer: Callable[[str], str]


def _three_words(rng: Random) -> str:
    return spaced(rng.sample(WORDS, 3))


def _word_and_numbers(rng: Random) -> str:
    a, b = rng.sample(range(10, 60), 2)
    return f"{rng.choice(WORDS)} {a} {b}"


def _select(*positions: int) -> Callable[[str], str]:
    return lambda text: spaced([text.split()[k] for k in positions])


def _compute(function: Callable[[int, int], int]) -> Callable[[str], str]:
    return lambda text: str(function(*map(int, text.split()[1:])))


def make_rules(rng: Random, level: str) -> list[Rule]:
    """Return all rules of a level. A rule with a constant draws a new constant."""
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
    """Return a rule with two kinds of words and two arbitrary labels; only the examples show which label means which kind."""
    kinds, labels = rng.sample([ANIMALS, FRUITS, TOOLS, CITIES], 2), rng.sample(LABELS, 2)

    def draw(generator: Random) -> str:
        return f"{generator.choice(generator.choice(kinds))} {generator.randint(2, 99)}"

    return Rule("label", draw, lambda text: labels[0] if text.split()[0] in kinds[0] else labels[1])


def few_shot_prompt(examples: Sequence[tuple[str, str]], prompt: str) -> str:
    """Put solved examples before a question, in the layout of `evaluate --few_shot N`."""
    return SEPARATOR.join(f"{p}\n{a}" for p, a in examples) + SEPARATOR + prompt
