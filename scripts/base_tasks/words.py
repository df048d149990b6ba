"""The vocabulary of the tasks, and functions that join words."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random


def _listed(text: str) -> tuple[str, ...]:
    """Split a text into words, so that a list of forty names takes three readable lines."""
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
# A generated question without its family: prompt, answer, and the worked steps in short clauses.
Draft = tuple[str, str, Sequence[str]]


def spaced(items: Sequence[object]) -> str:
    return " ".join(map(str, items))


def plural(noun: str) -> str:
    if noun.endswith(("x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("rry") else noun + "s"


def random_string(rng: Random, low: int, high: int) -> str:
    """Return random letters, which the model cannot recall and must copy."""
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(low, high)))
