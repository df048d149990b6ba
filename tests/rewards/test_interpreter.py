"""The interpreter of programs: as Python would run them, for what is known, and never at a cost, for what is hostile."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from typing import Any

import pytest

from hrm_align.rewards.interpreter import Fault, Program


def by_python(text: str, arguments: list[Any]) -> Any:
    """What Python makes of a program of ours: the repr of its result, or the fact that it fails."""
    names: dict[str, Any] = {}
    try:
        exec(text, names)
        return repr(names["f"](*copy.deepcopy(arguments)))
    except Exception:
        return "failed"


def interpreted(text: str, arguments: list[Any]) -> Any:
    try:
        return repr(Program(text).call("f", arguments))
    except Fault:
        return "failed"


# Expressions of a (7), b (-3), s ("Hello, World"), t ("lo"), x ([5, 3, 8, 3]), y ([]) and d ({"p": 1, "q": [2]}).
EXPRESSIONS = """
a + b * 2 - a // b
a / b
a % b, -a % 4, a ** 2, 2 ** -1
a << 2, a >> 1, a & 5, a | 8, a ^ 3
a // 0
True + True, -True, not a, not y
a < b, a <= 7 < 9, b < a < 5, a == 7.0, a != b, 'a' < 'b'
a < s
a and b, y or x, y and 1 / 0, a or 1 / 0
a if b > 0 else b
None is None, a is not None, True is True
s[0], s[-1], s[2:5], s[::-1], s[-3:], s[:99], x[1:], x[::2]
s[99]
x[0] + x[-1], (1, 2, 3)[1:], d['p'], d['q'][0], range(9)[2:5]
d['z']
a[0]
s + t, s * 2, 2 * x, x + [1], (1,) + (2,), 'ab' * -1
s + 1
s * 'a'
s - t
t in s, 'z' in s, 3 in x, 9 not in x, 'p' in d, 3 in range(5), 0.5 in range(5), None in [None]
3 in s
s.upper(), s.lower(), s.title(), s.swapcase(), s.capitalize()
s.replace('l', 'LL'), s.replace('', '-'), s.replace('o', '', 1), s.split(', '), s.split(), ' a b '.strip()
s.split(sep='o', maxsplit=1), s.partition('o'), 'a\\nb'.splitlines(), s.rsplit('o', 1)
s.find('o'), s.rfind('o'), s.index('l'), s.count('l'), s.find('z')
s.index('z')
s.startswith('He'), s.endswith(('ld', 'x')), s.isalpha(), '12'.isdigit(), 'ab'.isalnum(), ' '.isspace()
s.removeprefix('He'), s.removesuffix('ld'), '7'.zfill(3), '-7'.zfill(4), 'a'.ljust(3, '.'), 'a'.center(4)
'-'.join(['a', 'b']), ''.join(c for c in s if c.isupper()), '-'.join(s[:3]), ', '.join(map(str, x))
'-'.join(x)
len(s), len(x), len(d), len(range(4)), len('')
len(a)
abs(b), abs(-2.5), divmod(a, b), pow(2, 5), round(2.5), round(3.14159, 2), round(1234, -2)
int('12'), int(' -3 '), int(3.9), int('ff', 16), int(True), float('1.5'), bool(''), str(1.50), str([1, 'a', None])
int('a')
chr(97), ord('b'), repr('a\\'b'), str(None), str((1,)), str({'a': [1.0, True]})
sum(x), sum([0.1] * 10), sum([[1], [2]], []), sum((1, 2), start=5), sum(y), max(x), min(x), max(1, 5, 3), min('b', 'a')
max(y)
max(y, default=0), min([], default=None), max(['bb', 'a'], key=len), min(x, key=lambda n: -n), max(d)
sorted(x), sorted(x, reverse=True), sorted(s), sorted(['bb', 'a', 'cc'], key=len), sorted(d), sorted(x)[-1]
sorted(['b', 'a', 'B'], key=lambda c: c.lower(), reverse=True)
sorted([1, 'a'])
list(range(3)), list(range(5, 0, -2)), list(s[:3]), list(d), tuple(x), list(enumerate('ab', 1)), list(zip(x, s))
list(reversed(x)), ''.join(reversed(s)), list(map(lambda p, q: p * q, x, x)), list(filter(None, [0, 1, '']))
list(filter(lambda n: n > 4, x)), any(n > 7 for n in x), all(n > 3 for n in x), all(y), any(y)
[n * 2 for n in x], [n for n in x if n > 3 if n < 8], [(p, q) for p in x for q in y], [[q for q in range(p)] for p in x]
[p + q for p, q in zip(x, x)], {n: n * n for n in x}, {k: v for k, v in d.items()}, sum(n for n in x if n % 2)
sorted({n % 3 for n in x}), len({1, True, 1.0}), {1, 2} == {2, 1}, sorted({1, 2} | {3}), sorted(set(x) - {5}), {1} <= {1, 2}
sorted({1, 2} & {2, 3}), {1} ^ {1}, len(set()), max({4, 9}), sum({1, 2}), 3 in {3}, set(x).issubset({3, 5, 8})
d.get('p'), d.get('z'), d.get('z', 0), list(d.keys()), list(d.values()), list(d.items())
{'a': 1, 'b': 2} | {'b': 3}, dict([('a', 1)]), dict(a=1), dict({'a': 1}, b=2), {'a': 1} == {'a': 1.0}
f'{a}-{s!r}-{x}', f'{{{a + b}}}', f'{s}' 'x', f'{1.0} {None} {True}'
next(n for n in x if n > 5), next((n for n in x if n > 9), None), next(reversed(x))
next(n for n in x if n > 9)
[*x, *y, 1], (*x,), max(*x), [1, 2] < [1, 3], [1] == (1,), (1, 2) == (1, 2), x.index(8), x.count(3), (1, 2).index(2)
x.index(99)
(lambda p, q=2: p + q)(1), (lambda p, q=2: p + q)(1, q=5), (lambda: 3)(), [f(2) for f in [lambda n: n + a]]
(lambda p: p)()
(lambda p: p)(1, 2)
(lambda p: p)(1, p=2)
[g() for g in [lambda: n for n in range(3)]]
undefined
a.upper()
1 if [] else 2 if {} else 3, 1 if range(0) else 2, 1 if 'x' else 2
{[]: 1}
'a' 'b', -0.0, 1e3, 0x1f, 1_000, 'tab\\t', "quote'"
list(map(abs, [-1, 2])), sorted(x, key=abs), list(map(len, ['a', '']))
""".strip().splitlines()

PROGRAMS = (
    "def f(n): return 1 if n < 2 else n * f(n - 1)",
    "def f(n):\n    total = 0\n    for i in range(n):\n        if i % 2:\n            continue\n        total += i\n    return total",
    "def f(n):\n    while n > 3:\n        n -= 2\n        if n == 5:\n            break\n    return n",
    "def f(n):\n    for i in range(n):\n        for j in range(n):\n            if j == 2:\n                return i, j\n    return None",
    "def f(n):\n    pass",
    "def f(n):\n    if n > 100:\n        return 1",
    "def f(n):\n    a, (b, c) = 1, [2, n]\n    a, b = b, a\n    return a, b, c",
    "def f(n):\n    a, b = 1, 2, 3",
    "def f(n):\n    a = [1]\n    b = a\n    b += [n]\n    b = b + [0]\n    return a, b",
    "def f(n):\n    a = [3, 1, 2]\n    a.sort()\n    a.append(n)\n    a.insert(0, 9)\n    a.extend(range(2))\n    return a, a.pop(), a.pop(0), a",
    "def f(n):\n    a = ['bb', 'a']\n    a.sort(key=len)\n    a.reverse()\n    a.remove('a')\n    a *= 2\n    return a.copy(), a.clear(), a",
    "def f(n):\n    d = {}\n    for c in 'hello':\n        d[c] = d.get(c, 0) + 1\n    d['l'] += n\n    return d, d.pop('h'), d.setdefault('z', 4)",
    "def f(n):\n    d = {'a': 1}\n    d.update({'b': 2})\n    d.update([('c', 3)], e=n)\n    return list(d.items())",
    "def f(n):\n    d = {'a': 1}\n    for k in d:\n        d[k + 'x'] = 1\n    return d",
    "def f(n):\n    s = {1}\n    s.add(2)\n    s.discard(1)\n    s |= {n}\n    return sorted(s), len(s)",
    "def f(n):\n    x = 1\n    def g():\n        y = x + n\n        return y\n    return g()",
    "x = 1\ndef f(n):\n    y = x\n    x = 2\n    return y",
    "x = 1\ndef f(n):\n    x += 1\n    return x",
    "def f(n):\n    [i for i in range(3)]\n    return i",
    "i = 5\ndef f(n):\n    return [i for i in range(3)], i",
    "def f(n, k=[]):\n    k.append(n)\n    return k\nf(1)",
    "def f(n, k): return n",
    "def f(n):\n    m = map(str, [1, 2])\n    return list(m), list(m)",
    "def f(n):\n    g = (i for i in range(5))\n    return 2 in g, list(g)",
    "def f(n):\n    'A docstring.'\n    n //= 2\n    n **= 2\n    return n",
    "def f(sum): return sum + 1",
    "sum = max\ndef f(n): return sum(n, 3)",
    "f = lambda n: n + 1",
    "f = abs",
    "def f(n):\n    return g(n)\ndef g(n):\n    return n + 1",
    "def f(n):\n    for x in 5:\n        pass",
    "def f(n):\n    x = (1, 2)\n    x[0] = 3",
    "def g(n): return n",
)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_have_the_value_that_python_gives_them(expression: str):
    text = f"def f(a, b, s, t, x, y, d): return {expression}"
    arguments = [7, -3, "Hello, World", "lo", [5, 3, 8, 3], [], {"p": 1, "q": [2]}]
    assert interpreted(text, arguments) == by_python(text, arguments)


@pytest.mark.parametrize("text", PROGRAMS)
def test_programs_do_what_python_does(text: str):
    assert interpreted(text, [7]) == by_python(text, [7])


def test_some_of_those_fail_and_most_do_not():
    arguments = [7, -3, "Hello, World", "lo", [5, 3, 8, 3], [], {"p": 1, "q": [2]}]
    results = [by_python(f"def f(a, b, s, t, x, y, d): return {expression}", arguments) for expression in EXPRESSIONS]
    assert 20 < results.count("failed") < len(results) / 2
    assert 5 < [by_python(text, [7]) for text in PROGRAMS].count("failed") < len(PROGRAMS) / 2


# Lists and tuples that hold the same ones again and again: small to make, endless to read.
LISTS = "y, z = [0], [0]\nfor i in range(14): y, z = [y, y, y, y], [z, z, z, z]\n"
TUPLES = "y = 0\nfor i in range(14): y = (y, y, y, y)\n"

# What is refused, and why. Each is the body of `def f(x):`, or a whole program; x is 1. None of it is ever run by Python.
HOSTILE = (
    # ways out of the interpreter
    ("return x.__class__", "__class__ is not supported"),
    ("return x.real", "real is not supported"),
    ("return ().__class__.__bases__[0].__subclasses__()", "is not supported"),
    ("return (lambda: 0).__globals__", "is not supported"),
    ("return (y for y in [1]).gi_frame", "gi_frame is not supported"),
    ("return [].append.__self__", "is not supported"),
    ("return f'{x.__class__}'", "is not supported"),
    ("return x.mro()", "the method .mro of a int"),
    ("return '{0.__class__}'.format(x)", "the method .format of a str"),
    ("return '{a}'.format_map({'a': x})", "the method .format_map of a str"),
    ("return '%s' % x", "Mod of str and int"),
    ("return 'a'.encode()", "the method .encode of a str"),
    ("return len.__self__", "is not supported"),
    ("return getattr(x, 'real')", "getattr is not defined"),
    ("return type(x)", "type is not defined"),
    ("return vars(), globals(), locals(), dir()", "vars is not defined"),
    ("return eval('1')", "eval is not defined"),
    ("return exec('1')", "exec is not defined"),
    ("return compile('1', '', 'eval')", "compile is not defined"),
    ("return open('x')", "open is not defined"),
    ("return input()", "input is not defined"),
    ("return print(x)", "print is not defined"),
    ("return __import__('os')", "__import__ is not supported"),
    ("return __builtins__", "__builtins__ is not supported"),
    ("import os\nreturn os", "Import is not supported"),
    ("from os import system\nreturn system", "ImportFrom is not supported"),
    ("class A: pass", "ClassDef A is not supported"),
    ("global y\ny = 1", "Global is not supported"),
    ("try:\n    return f(x)\nexcept:\n    return 1", "Try is not supported"),
    ("with x: pass", "With is not supported"),
    ("yield x", "Yield is not supported"),
    ("raise x", "Raise is not supported"),
    ("del x", "Delete is not supported"),
    ("x.y = 1", "y is not supported"),
    ("@len\ndef f(x): return 1", "FunctionDef f is not supported"),
    ("def f(*x): return 1", "arguments is not supported"),
    ("def f(x, **y): return 1", "arguments is not supported"),
    ("def f(x, *, y=1): return 1", "arguments is not supported"),
    ("def f(x: print(1)): return 1", "arg x is not supported"),
    ("def f(x) -> print(1): return 1", "FunctionDef f is not supported"),
    ("return len(**{'x': 1})", r"\*\* is not supported"),
    ("return b'a'", "Constant is not supported"),
    ("return 1j", "Constant is not supported"),
    ("return ...", "Constant is not supported"),
    ("return (-8) ** 0.5", "a value of type complex"),
    ("return x(1)", "a int is called"),
    ("return next([1])", "next takes an iterator"),
    # what Python's compiler refuses, and its parser alone does not
    ("break", "Break is not supported"),
    ("for y in [1]:\n    def g():\n        continue", "Continue is not supported"),
    ("return 1\ndef f(x): return 1", "Return is not supported"),
    ("def f(x, x): return 1", "arguments is not supported"),
    ("return sorted([1], key=len, key=abs)", "no Python|stands once"),
    # texts that a parser has trouble with
    ("return " + "(" * 900 + "1" + ")" * 900, "no Python"),
    ("return " + "-" * 1900 + "1", "more than 500 nodes|no Python"),
    ("return " + "x" + "[0]" * 600, "more than 500 nodes|no Python"),
    ("return " + "~" * 1900 + "x", "more than 500 nodes|no Python|not supported"),
    ("return " + "[" * 180 + "]" * 180 + " == 1", "nested more than 20"),
    ("return (" * 5, "no Python"),
    ("return '\0'", "no Python"),
    ("return '\ud800" + "'", "no Python"),
    ("\treturn 1\n  return 2", "no Python"),
    ("return 1" + " " * 2000, "more than 2000 characters"),
    ("return " + "+".join("x" * 300), "more than 500 nodes"),
    ("return [x" + " for y in [1]" * 90 + "]", "ListComp is not supported"),
    ("return " + "9" * 1500, "more than 4096 bits"),
    # integers
    ("return 10 ** 10 ** 10", "4096 bits"),
    ("return pow(10, 10 ** 9)", "4096 bits"),
    ("return 1 << 10 ** 9", "4096 bits"),
    ("y = 9\nfor i in range(99): y *= y\nreturn y", "4096 bits"),
    ("y = 1 << 4000\nfor i in range(200): y += y\nreturn y", "4096 bits"),
    ("return round(1, -10 ** 9)", "more than 100 digits"),
    # texts and lists
    ("return 'a' * 10 ** 9", "10000 items"),
    ("return 10 ** 9 * [0]", "10000 items"),
    ("y = [0]\ny *= 10 ** 9\nreturn y", "10000 items"),
    ("return (0,) * 10 ** 9", "10000 items"),
    ("return ('a' * 10000) * ('a' * 10000)", "Mult of str and str"),
    ("return range(10 ** 9)", "10000 items"),
    ("return 0.5 in range(10 ** 9)", "10000 items"),
    ("y = 'ab'\nfor i in range(99): y += y\nreturn y", "10000 items"),
    ("return 'a'.zfill(10 ** 9)", "10000 items"),
    ("return 'a'.ljust(10 ** 9)", "10000 items"),
    ("return 'a'.rjust(10 ** 9, 'b')", "10000 items"),
    ("return 'a'.center(10 ** 9)", "10000 items"),
    ("return '\\t'.expandtabs(10 ** 9)", "the method .expandtabs of a str"),
    ("return ('a' * 9000).join('a' * 900)", "10000 items"),
    ("return ('a' * 5000).replace('a', 'b' * 5000)", "10000 items"),
    ("return ('a' * 5000).replace('', 'b' * 5000)", "10000 items"),
    ("return '%1000000000d' % 5", "Mod of str and int"),
    ("return f'{x:1000000000}'", "FormattedValue is not supported"),
    ("y = 'a' * 9000\nreturn f'{y}{y}'", "10000 items"),
    ("y = [0] * 9000\nreturn [*y, *y]", "10000 items"),
    ("y = [0] * 9999\ny.extend([1, 1])\nreturn y", "10000 items"),
    ("y = 0\nwhile True: y = [[0] * 9999, y]", "20000 steps"),
    ("y = 0\nwhile True: y = ['a' * 9999, y]", "20000 steps"),
    ("y = [0] * 9999\nz = 0\nwhile True: z = [y[:], z]", "20000 steps"),
    ("y = range(9999)\nz = 0\nwhile True: z = [list(y), z]", "20000 steps"),
    ("y = '1' * 9999\nfor i in range(60): float(y)\nreturn 1", "20000 steps"),
    ("y = 'a' * 9999\nfor i in range(60): y.upper()\nreturn 1", "20000 steps"),
    ("return ('\xdf' * 9000).upper()", "10000 items"),
    ("return {y: 0 for y in range(1001)}", "1000 keys"),
    ("return {y for y in range(1001)}", "1000 keys"),
    ("return set(range(1001))", "1000 keys"),
    ("y = {}\nfor z in range(1001): y[z] = z\nreturn y", "1000 keys"),
    ("y = {0}\ny.update(range(1001))\nreturn y", "1000 keys"),
    ("y = {0}\nfor z in range(1001): y.add(z)\nreturn y", "1000 keys"),
    (
        "y = [-1, -2]\nreturn {(a, b, c, d): 0 for a in y * 8 for b in y * 8 for c in y * 8 for d in y * 8}",
        "not supported",
    ),
    # loops and recursion
    ("while True: pass", "20000 steps"),
    ("y = [1]\nfor z in y: y.append(z)", "20000 steps"),
    ("return [0 for a in range(9999) for b in range(9999) for c in range(9999)]", "20000 steps"),
    ("return sum(0 for a in range(9999) for b in range(9999))", "20000 steps"),
    ("return list(map(lambda y: y, range(9999)))", "20000 steps"),
    ("return f(x)", "200 levels"),
    ("return (lambda g: g(g))(lambda g: g(g))", "200 levels"),
    ("return [f(y) for y in [1]]", "200 levels"),
    ("return max(map(f, [1]))", "200 levels"),
    ("return sorted([1, 2], key=f)", "200 levels"),
    ("for y in (f(z) for z in [1]): return y", "200 levels"),
    ("y = [1]\nfor i in range(300): y = map(str, y)\nreturn list(y)", "200 levels"),
    ("y = [1]\nfor i in range(300): y = (z for z in y)\nreturn list(y)", "200 levels"),
    ("y = [1]\nfor i in range(300): y = enumerate(y)\nreturn list(y)", "200 levels"),
    ("return " + "- " * 230 + "x", "200 levels"),
    # values within values
    (LISTS + "return str(y)", "20000 steps"),
    (LISTS + "return f'{y}'", "20000 steps"),
    (LISTS + "return y == z", "20000 steps"),
    (LISTS + "return y < z", "20000 steps"),
    (LISTS + "return z in [y]", "20000 steps"),
    (LISTS + "return z in (y for i in [1])", "20000 steps"),
    (LISTS + "return [y].index(z)", "20000 steps"),
    (LISTS + "return sorted([y, z])", "20000 steps"),
    (LISTS + "return max([y, z])", "20000 steps"),
    (LISTS + "return min(y, z)", "20000 steps"),
    (LISTS + "return [y] + [z]", "20000 steps"),
    (TUPLES + "return {y: 1}", "20000 steps"),
    (TUPLES + "return {y}", "20000 steps"),
    (TUPLES + "return set([y])", "20000 steps"),
    (TUPLES + "return dict([[y, 1]])", "20000 steps"),
    (TUPLES + "return {k: 1 for k in [y]}", "20000 steps"),
    (TUPLES + "z = {}\nz[y] = 1", "20000 steps"),
    (TUPLES + "z = {}\nz.get(y)", "20000 steps"),
    (TUPLES + "z = {}\nreturn z[y]", "20000 steps"),
    (TUPLES + "z = {}\nreturn y in z", "20000 steps"),
    ("y = []\ny.append(y)\nreturn y == [y]", "nested more than 20"),
    ("y = []\nfor i in range(3000): y = [y]\nreturn str(y)", "nested more than 20"),
    ("y = ()\nfor i in range(3000): y = (y,)\nreturn {y: 1}", "nested more than 20"),
    # what would differ from run to run
    ("return str({'a', 'b'})", "the text of a set"),
    ("return list({'a', 'b'})", "the items of a set"),
    ("return [y for y in {'a', 'b'}]", "the items of a set"),
    ("for y in {'a', 'b'}: return y", "the items of a set"),
    ("return ''.join({'a', 'b'})", "the items of a set"),
    ("return [*{'a', 'b'}]", "the items of a set"),
    ("a, b = {'a', 'b'}\nreturn a", "the items of a set"),
    ("return sorted({'a', 'b'}, key=len)", "the items of a set"),
    ("return max({'a', 'b'}, key=len)", "the items of a set"),
    ("return {'a', 'b'}.pop()", "the method .pop of a set"),
    ("return str(f)", "the text of a _Function"),
    ("return f'{len}'", "the text of a _Builtin"),
    ("return repr([map(f, [])])", "the text of a _Stream"),
    ("return x is 1", "`is` compares more"),
)

# Grades the programs of stdin in a process of its own, which dies if a limit is missing. The package alone, without PyTorch.
GRADER = """
import importlib.util, json, resource, sys, time, tracemalloc
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
spec = importlib.util.spec_from_file_location("interpreter", sys.argv[1])
module = sys.modules["interpreter"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
for text in json.load(sys.stdin):
    tracemalloc.start()
    began = time.process_time()
    try:
        fault = repr(type(module.Program(text).call("f", [1])))
    except module.Fault as error:
        fault = str(error)
    print(json.dumps([fault, time.process_time() - began, tracemalloc.get_traced_memory()[1]]), flush=True)
    tracemalloc.stop()
"""


def whole(text: str) -> str:
    """A program: the text itself if it defines f, else f with that body."""
    defines = text.startswith(("def f", "@")) or "\ndef f" in text
    return text if defines else "def f(x):\n" + "".join(f"    {line}\n" for line in text.split("\n"))


@pytest.fixture(scope="module")
def verdicts() -> dict[str, tuple[str, float, int]]:
    """Of each hostile program what became of it, its seconds and the most bytes that it held."""
    texts = json.dumps([whole(text) for text, _ in HOSTILE])
    command = [sys.executable, "-I", "-S", "-c", GRADER, str(sys.modules[Program.__module__].__file__)]
    done = subprocess.run(command, input=texts, capture_output=True, text=True, timeout=60)
    return {text: json.loads(line) for (text, _), line in zip(HOSTILE, done.stdout.splitlines(), strict=False)}


@pytest.mark.parametrize("text, fault", HOSTILE, ids=[text[:50] for text, _ in HOSTILE])
def test_hostile_programs_end_soon_in_little_memory_and_for_the_right_reason(verdicts: Any, text: str, fault: str):
    assert text in verdicts, "the interpreter died of this program, or of one before it"
    found, seconds, size = verdicts[text]
    assert re.search(fault, found)
    assert seconds < 1  # 0.1 seen
    assert size < 5_000_000  # 1,500,000 seen


def test_a_deep_stack_of_the_caller_changes_no_verdict():
    deep = [whole(text) for text, fault in HOSTILE if "200 levels" in fault]

    def graded(below: int) -> list[str]:
        return graded(below - 1) if below else [interpreted_fault(text) for text in deep]

    assert graded(0) == graded(250)


def interpreted_fault(text: str) -> str:
    with pytest.raises(Fault) as caught:
        Program(text).call("f", [1])
    return str(caught.value)


def test_a_program_starts_anew_with_copies_for_every_test():
    program = Program("seen = []\ndef f(x):\n    x.append(1)\n    seen.append(1)\n    return [x, seen]")
    given = [5]
    assert program.call("f", [given]) == program.call("f", [given]) == [[5, 1], [1]]
    assert given == [5]
