"""Write train.jsonl and test.jsonl of the chat data set, byte for byte the same on every run.

    python data/chat/generate.py

One row (a conversation; in a test row the last assistant turn is graded):

    {"messages": [{"role": "user", "content": "My sister Piri lives in Gimstad. Where does my sister live?"},
                  {"role": "assistant", "content": "Piri lives in Gimstad."}],
     "condition": "direct", "group": "single"}

Every answer follows from the turns before it. No name, town or number of a test row occurs in training.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

SEED = 20260
TRAIN_ROWS = {"single": 1150, "multi": 780, "system": 900, "unknown": 1000}
TEST_ROWS = {"single": 150, "multi": 150, "system": 150, "unknown": 150}
TRAIN_SHARE = 0.7  # share of every split pool for training rows; the rest is only for test rows

WORDS: dict[str, list[Any]] = json.loads(Path(__file__).with_name("words.json").read_text(encoding="ascii"))
KIN = ("sister", "brother", "friend", "boss", "uncle", "aunt", "cousin", "son")

Item = TypeVar("Item")
Pools = dict[str, list[str]]
Turns = list[tuple[str, str]]  # (role, content)


@dataclass(frozen=True)
class Relation:
    """One kind of fact: its statement, question and answer if unknown; `pool` is the pool of its values."""

    pool: str
    statement: str
    question: str
    unknown: str


RELATIONS = (
    Relation("city", "{who} lives in {value}", "Where does {who} live?", "I do not know where {who} lives."),
    Relation("age", "{who} is {value} years old", "How old is {who}?", "I do not know how old {who} is."),
    Relation("job", "{who} works as a {value}", "What does {who} do?", "I do not know what {who} does."),
    Relation("food", "{who} likes {value}", "What does {who} like?", "I do not know what {who} likes."),
    Relation("room", "{who} is in room {value}", "Which room is {who} in?", "I do not know which room {who} is in."),
    Relation("year", "{who} was born in {value}", "When was {who} born?", "I do not know when {who} was born."),
)


@dataclass(frozen=True)
class Fact:
    """A relation and its value for one person; `kin` is the person's relationship to the user, or None."""

    relation: Relation
    name: str
    value: str
    kin: str | None

    @property
    def sentence(self) -> str:
        who = f"My {self.kin} {self.name}" if self.kin else self.name
        return self.relation.statement.format(who=who, value=self.value) + "."

    @property
    def answer(self) -> str:
        return self.relation.statement.format(who=self.name, value=self.value) + "."


class Draw:
    """Random choices from the pools of one split, by `random()` alone, whose sequence Python guarantees for a seed."""

    def __init__(self, seed: int, pools: Pools):
        self._random = random.Random(seed).random
        self._pools = pools

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        return items[int(self._random() * len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        return sorted(items, key=lambda _: self._random())

    def pick_but(self, pool: str, *others: str) -> str:
        """Choose a value of a pool that is not among `others`."""
        while (value := self.pick(self._pools[pool])) in others:
            pass
        return value

    def names(self, count: int) -> list[str]:
        """Choose distinct names."""
        chosen: list[str] = []
        while len(chosen) < count:
            chosen.append(self.pick_but("name", *chosen))
        return chosen

    def fact(self, relation: Relation, name: str, kin: str | None = None, but: str = "") -> Fact:
        """Choose a fact with a value other than `but`."""
        return Fact(relation, name, self.pick_but(relation.pool, but), kin)

    def facts(self) -> list[Fact]:
        """Choose two facts that a question can distinguish: about two people, or two relations of one person."""
        first, second = self.shuffled(RELATIONS)[:2]
        kin, other_kin = self.shuffled(KIN)[:2]
        name, other = self.names(2)
        mine = self.fact(first, name, kin if self.chance(0.4) else None)
        if self.chance(0.3):
            return [mine, self.fact(second, name)]
        return [mine, self.fact(first if self.chance(0.3) else second, other, other_kin if self.chance(0.4) else None)]

    def question(self, fact: Fact) -> str:
        """Ask for a fact by the person's name, or by the relationship to the user if it was given."""
        who = f"my {fact.kin}" if fact.kin and self.chance(0.5) else fact.name
        return fact.relation.question.format(who=who)


def state(facts: Sequence[Fact]) -> str:
    return " ".join(fact.sentence for fact in facts)


def greeting(draw: Draw, name: str) -> Turns:
    hello = draw.pick(("Hello", "Good morning", "Good evening"))
    opening = draw.pick(("{hello}, I am {name}.", "{hello}, my name is {name}."))
    return [
        ("user", opening.format(hello=hello, name=name)),
        ("assistant", f"{hello}, {name}! How can I help?"),
    ]


def single(draw: Draw) -> Turns:
    """Make one exchange: a question about facts in the same message, a greeting, a request to greet, or a farewell."""
    name, other = draw.names(2)
    kind = draw.pick(("question",) * 5 + ("hello", "greet", "greet two", "bye"))
    if kind == "question":
        facts = draw.facts()[: draw.pick((1, 2))]
        asked = draw.pick(facts)
        return [("user", f"{state(facts)} {draw.question(asked)}"), ("assistant", asked.answer)]
    if kind == "hello":
        return greeting(draw, name)
    if kind == "greet":
        return [("user", f"Please greet my {draw.pick(KIN)} {name}."), ("assistant", f"Hello, {name}!")]
    if kind == "greet two":
        return [("user", f"Please greet {name} and {other}."), ("assistant", f"Hello, {name} and {other}!")]
    return [("user", f"Thank you! Best wishes, {name}"), ("assistant", f"You are welcome, {name}. Goodbye!")]


def noted(fact: Fact) -> Turns:
    return [("user", fact.sentence), ("assistant", f"Noted: {fact.answer}")]


def multi(draw: Draw) -> Turns:
    """Make two or three exchanges whose last answer needs the history."""
    kind = draw.pick(("recall", "recall", "and", "correct", "my name", "farewell"))
    first, second = draw.facts()
    if kind == "recall":
        asked = draw.pick((first, second))
        if draw.chance(0.2):
            return [*noted(first), *noted(second), ("user", draw.question(asked)), ("assistant", asked.answer)]
        return [*noted(first), ("user", f"{second.sentence} {draw.question(asked)}"), ("assistant", asked.answer)]
    if kind == "and":
        return and_whom(draw)
    if kind == "correct":
        corrected = draw.fact(first.relation, first.name, but=first.value)
        return [
            *noted(first),
            ("user", f"No, {corrected.sentence} {draw.question(corrected)}"),
            ("assistant", corrected.answer),
        ]
    me = draw.pick_but("name", first.name)
    middle = (
        [("user", f"{first.sentence} {draw.question(first)}"), ("assistant", first.answer)] if draw.chance(0.4) else []
    )
    if kind == "my name":
        return [*greeting(draw, me), *middle, ("user", "What is my name?"), ("assistant", f"Your name is {me}.")]
    farewell = draw.pick(("Thank you!", "Thanks, bye!"))
    return [*greeting(draw, me), *middle, ("user", farewell), ("assistant", f"You are welcome, {me}. Goodbye!")]


def and_whom(draw: Draw) -> Turns:
    """Ask about one of two people, then `And Tom?`, where the relation must be inferred from the history."""
    relation = draw.pick(RELATIONS)
    facts = [draw.fact(relation, name) for name in draw.names(2)]
    first, second = draw.shuffled(facts)
    return [
        ("user", f"{state(facts)} {draw.question(first)}"),
        ("assistant", first.answer),
        ("user", f"And {second.name}?"),
        ("assistant", second.answer),
    ]


def system(draw: Draw) -> Turns:
    """Make a conversation with a system message that sets the style of one answer, or of two consecutive answers."""
    asked, then = draw.shuffled(draw.facts())
    title = f"{draw.pick(('Captain', 'Doctor', 'Professor'))} {draw.pick_but('name')}"
    manners: tuple[tuple[str, Callable[[Fact], str]], ...] = (
        ("One word only.", lambda fact: fact.value),
        ("Be formal.", lambda fact: f"Certainly. {fact.answer}"),
        (f"Call me {title}.", lambda fact: f"{fact.answer[:-1]}, {title}."),
    )
    instruction, manner = draw.pick(manners)
    if draw.chance(0.5):
        return [
            ("system", instruction),
            ("user", f"{asked.sentence} {draw.question(asked)}"),
            ("assistant", manner(asked)),
        ]
    given = state(draw.shuffled([asked, then]))
    turns = [("system", instruction), ("user", f"{given} {draw.question(asked)}"), ("assistant", manner(asked))]
    if draw.chance(0.3):
        turns += [("user", draw.question(then)), ("assistant", manner(then))]
    return turns


def unknown(draw: Draw) -> Turns:
    """Make a question whose answer was not given: about another person, or about another relation."""
    facts = draw.facts()[: draw.pick((1, 2))]
    names = [fact.name for fact in facts]
    name = draw.pick(names) if draw.chance(0.5) else draw.pick_but("name", *names)
    given = [fact.relation for fact in facts]
    relation = draw.pick([relation for relation in RELATIONS if name not in names or relation not in given])
    question, answer = relation.question.format(who=name), relation.unknown.format(who=name)
    if len(facts) == 1 and draw.chance(0.5):
        return [*noted(facts[0]), ("user", question), ("assistant", answer)]
    return [("user", f"{state(facts)} {question}"), ("assistant", answer)]


BUILDERS: dict[str, Callable[[Draw], Turns]] = {"single": single, "multi": multi, "system": system, "unknown": unknown}


def split_pools() -> tuple[Pools, Pools]:
    """Split the values into pools of training rows and of test rows, which are disjoint except for jobs and foods."""
    cities = composed("city")
    split = {
        "name": sorted(set(composed("name")) - set(cities)),
        "city": cities,
        "age": [str(age) for age in range(11, 99)],
        "room": [str(room) for room in range(100, 1000)],
        "year": [str(year) for year in range(1920, 2020)],
    }
    draw = Draw(SEED, {})
    train: Pools = {"job": WORDS["job"], "food": WORDS["food"]}
    test = dict(train)
    for pool, values in split.items():
        values = draw.shuffled(values)
        border = int(TRAIN_SHARE * len(values))
        train[pool], test[pool] = values[:border], values[border:]
    return train, test


def composed(pool: str) -> list[str]:
    """Compose all invented names from their parts; a model would memorise fewer than thousands of names."""
    return ["".join(parts).capitalize() for parts in product(*WORDS[f"{pool}_parts"])]


def rows(draw: Draw, counts: dict[str, int]) -> list[dict[str, Any]]:
    """Make distinct conversations, in random order."""
    by_prompt: dict[str, dict[str, Any]] = {}
    for group, count in counts.items():
        wanted = len(by_prompt) + count
        while len(by_prompt) < wanted:
            messages = [{"role": role, "content": content} for role, content in BUILDERS[group](draw)]
            by_prompt.setdefault(
                json.dumps(messages[:-1]), {"messages": messages, "condition": "direct", "group": group}
            )
    return draw.shuffled(list(by_prompt.values()))


def main() -> None:
    train, test = split_pools()
    for name, pools, counts in (("train", train, TRAIN_ROWS), ("test", test, TEST_ROWS)):
        lines = [json.dumps(row) + "\n" for row in rows(Draw(SEED + len(name), pools), counts)]
        Path(__file__).with_name(f"{name}.jsonl").write_text("".join(lines), encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
