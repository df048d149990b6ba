# mypy: ignore-errors
# ruff: noqa: B905, UP033, RUF005
"""Correct programs like those that a model writes. `honest` uses the source text of each function as a program."""


def add(a, b):
    return a + b


def polynomial(x, coefficients):
    total = 0
    for coefficient in coefficients:
        total = total * x + coefficient
    return total


def divisors(n):
    return [d for d in range(1, n + 1) if n % d == 0]


def primes(n):
    sieve = [True] * (n * 20 + 2)
    for i in range(2, len(sieve)):
        if sieve[i]:
            for j in range(i * i, len(sieve), i):
                sieve[j] = False
    return [i for i in range(2, len(sieve)) if sieve[i]]


def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)


def fibonacci(n):
    from functools import lru_cache

    @lru_cache(maxsize=None)
    def fib(k):
        return k if k < 2 else fib(k - 1) + fib(k - 2)

    return fib(n * 4)


def collatz(n):
    steps = 0
    n = abs(n) + 1
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


def summary_statistics(values):
    import statistics

    return {"mean": statistics.fmean(values), "median": statistics.median(values), "spread": statistics.pstdev(values)}


def greatest(values):
    import math

    return math.gcd(*values)


def as_fraction(a, b):
    from fractions import Fraction

    return str(Fraction(a, b or 1))


def with_decimals(a, b):
    from decimal import Decimal, getcontext

    getcontext().prec = 40
    return str(Decimal(a) / Decimal(b or 1))


def in_base(n, base):
    digits, n = "", abs(n)
    while n:
        n, digit = divmod(n, base + 1)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"


def bits(n):
    return [bin(n).count("1"), n.bit_length(), n ^ 0xFF, n << 3, ~n, n & 7]


def rounded(value, digits):
    return [round(value, digits % 4), f"{value:.3f}", f"{value:e}", int(value)]


def backwards(text):
    return text[::-1]


def capitals(text):
    return " ".join(word.capitalize() for word in text.split())


def letters(text):
    from collections import Counter

    return dict(sorted(Counter(text).items()))


def is_palindrome(text):
    text = "".join(letter.lower() for letter in text if letter.isalnum())
    return text == text[::-1]


def caesar(text, shift):
    return "".join(chr((ord(c) - 97 + shift) % 26 + 97) if "a" <= c <= "z" else c for c in text)


def run_lengths(text):
    from itertools import groupby

    return [[letter, len(list(group))] for letter, group in groupby(text)]


def numbers_in(text, n):
    import re

    return [int(number) for number in re.findall(r"-?\d+", f"{text} {n} and {-n}")]


def replaced(text):
    import re

    return re.sub(r"(?P<first>\w)(\w*)", lambda m: m.group(2) + m.group("first") + "ay", text)


def split_by(text):
    import re

    return re.split(r"[aeiou]+", text, maxsplit=5)


def normal_form(text):
    import unicodedata

    return unicodedata.normalize("NFD", text)


def wrapped(text):
    import textwrap

    return textwrap.wrap(text, 12)


def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def digest(text):
    import hashlib

    return hashlib.md5(text.encode()).hexdigest() + hashlib.sha256(text.encode()).hexdigest()


def encoded(text):
    import base64
    import zlib

    return base64.b64encode(text.encode()).decode() + str(zlib.crc32(text.encode()))


def unique(values):
    return sorted(set(values))


def sorted_by(words):
    return sorted(words, key=lambda word: (len(word), word), reverse=True)


def merge_sort(values):
    if len(values) < 2:
        return values
    middle = len(values) // 2
    left, right, merged = merge_sort(values[:middle]), merge_sort(values[middle:]), []
    while left and right:
        merged.append(left.pop(0) if left[0] <= right[0] else right.pop(0))
    return merged + left + right


def smallest(values, n):
    import heapq

    return heapq.nsmallest(n, values) + [heapq.heappop(values)]


def places(values, n):
    from bisect import bisect_left, insort

    values = sorted(values)
    insort(values, n)
    return [bisect_left(values, n), len(values)]


def running(values):
    from itertools import accumulate, islice

    return list(islice(accumulate(values, max), 10))


def subsets(words):
    from itertools import combinations, product

    pairs = [list(pair) for pair in combinations(words[:6], 2)]
    return pairs + ["".join(p) for p in product("ab", repeat=2)]


def permuted(words):
    from itertools import permutations

    return ["-".join(p) for p in permutations(words[:4])]


def best_sum(values):
    best = now = values[0]
    for value in values[1:]:
        now = max(value, now + value)
        best = max(best, now)
    return best


def two_sum(values, target):
    seen = {}
    for i, value in enumerate(values):
        if target - value in seen:
            return [seen[target - value], i]
        seen[value] = i
    return None


def transposed(grid):
    return [list(row) for row in zip(*grid)]


def multiplied(grid, other):
    return [[sum(a * b for a, b in zip(row, column)) for column in zip(*other)] for row in grid]


def shortest_path(grid):
    from collections import deque

    queue, seen = deque([(0, 0, 0)]), {(0, 0)}
    while queue:
        x, y, steps = queue.popleft()
        if (x, y) == (3, 3):
            return steps
        for a, b in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
            if 0 <= a < 4 and 0 <= b < 4 and (a, b) not in seen and grid[a][b] < 7:
                seen.add((a, b))
                queue.append((a, b, steps + 1))
    return -1


def queens(n):
    n, solutions = n % 6 + 1, []

    def place(columns):
        if len(columns) == n:
            solutions.append(columns)
            return
        for column in range(n):
            if all(column != c and abs(column - c) != len(columns) - i for i, c in enumerate(columns)):
                place([*columns, column])

    place([])
    return solutions


def inverted(table):
    from collections import defaultdict

    groups = defaultdict(list)
    for word, number in table.items():
        groups[str(number % 5)].append(word)
    return {key: sorted(groups[key]) for key in sorted(groups)}


def round_trip(table):
    import json

    text = json.dumps(table, sort_keys=True, ensure_ascii=False)
    return [json.loads(text), text]


def days_between(first, second):
    from datetime import date, datetime, timedelta

    span = abs(date.fromisoformat(first) - date.fromisoformat(second))
    later = datetime.strptime(first, "%Y-%m-%d") + timedelta(days=45, hours=3)
    return [span.days, later.isoformat(), later.strftime("%A, %d %B %Y")]


def bank_account(values):
    class Overdrawn(Exception):
        pass

    class Account:
        def __init__(self):
            self._balance = 0

        @property
        def balance(self):
            return self._balance

        def move(self, amount):
            if self._balance + amount < 0:
                raise Overdrawn(f"{amount} of {self._balance}")
            self._balance += amount

    held, refused = Account(), []
    for value in values:
        try:
            held.move(value)
        except Overdrawn as error:
            refused.append(str(error))
    return [held.balance, refused]


def shapes(a, b):
    from dataclasses import asdict, dataclass, field
    from enum import Enum
    from typing import NamedTuple

    class Colour(Enum):
        RED = "red"
        BLUE = "blue"

    class Point(NamedTuple):
        x: float
        y: float

    @dataclass(order=True)
    class Box:
        width: float
        height: float
        colour: str = field(default=Colour.RED.value, compare=False)

    box = Box(abs(a), abs(b), Colour.BLUE.value)
    return [asdict(box), Point(a, b)._asdict(), box < Box(50, 50), [colour.name for colour in Colour]]


def generated(n):
    def numbers():
        a, b = 0, 1
        while True:
            received = yield a
            a, b = b, a + b + (received or 0)

    source = numbers()
    taken = [next(source) for _ in range(n)]
    return [*taken, source.send(3)]


def careful(values, n):
    import contextlib

    results = []
    for index in (0, n, -1):
        try:
            results.append(values[index] // (n - 5))
        except (IndexError, ZeroDivisionError) as error:
            results.append(type(error).__name__)
        else:
            results.append("fine")
        finally:
            results.append(index)
    with contextlib.suppress(KeyError):
        results.append({}["missing"])
    print("done with", results)
    return results


def matched(value):
    kinds = {int: "int", str: "text", list: "list"}
    first, *rest = [value, value * 2, value**2]
    if (half := value // 2) > 100:
        rest.append(half)
    return [kinds.get(type(value)), first, *rest]
