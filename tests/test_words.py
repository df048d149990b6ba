"""Plain words: documents, docstrings, comments, messages and names do not use the words in `PHRASES` and `NAMES`.

    pytest tests/test_words.py -k scripts        # one area: hrm_align/<package>, recipes, scripts or documents

A failure lists `file:line`, the word, and what to write instead. Comments of Python files are read with `tokenize`; string literals
and the names that functions, arguments and assignments define are read with `ast`. Other identifiers are not searched.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Regular expressions of whole words, and what to write instead. A blank stands for any white space; letter case is ignored.
PHRASES = {
    "told": "say what happens: reported, warned, given, passed to",
    "tells?": "say what happens: reports, shows, returns, distinguishes",
    "paid|pays?": "write reward, rewarded or costs",
    "mend(s|ed|ing)?": "write fix or repair",
    "(became|becomes?|came|comes?) of": "name the result",
    "says so": "say what is reported, and where: a warning, an error, a log line",
    "goes on|went on|go on with": "write continues; for a run that starts again, resumes",
    "one that": "repeat the noun",
    "asked for": "write requested",
    "without a word|in silence": "write silently",
    "right answers?": "write reference or correct answer",
    "headroom": "write pass@k or difficulty",
    "silent groups?": "write group with zero reward variance",
    "(is|are) of": "use a verb: belongs to, has, comes from",
    "nobody": "name who or what does not act",
    "out loud": "say what is reported, and where: a warning, an error, a log line",
    "at home": "name the place",
}
# Names that a function, an argument or an assignment must not define, and better ones.
NAMES = {
    "told": "report, message or errors",
    "found": "the noun of the result: matches, checkpoints, faults",
    "kept": "remaining, selected or saved",
    "account": "report or summary",
    "put": "a verb that says where: insert, write, send",
    "said": "output, message or stderr",
    "some": "the noun with its number: batch, first_names, shortened",
}
# Places where a word is right: a file or folder ("" for all), a regular expression that covers the word, and the reason.
EXCEPTIONS = [
    (
        "",
        r"`headroom`|hrm-align headroom|--headroom\w*|headroom\.(json|py|md)|\| headroom \||\"headroom\"|/headroom\b",
        "command and keys",
    ),
    ("hrm_align", r"^headroom$", "command or key as a whole string"),
    (
        "scripts/base_tokenizer.py",
        "then tell the user",
        "text that trains the tokenizer; a change would give another one",
    ),
    (
        "scripts/estimate_accuracy.py",
        "then tell me",
        "random words of a measured run; a change would alter its figures",
    ),
]

BLANK = r"[\s#]+"  # between the words of a phrase: also a line break, in a comment with its sign
ANY_PHRASE = re.compile("|".join(rf"\b(?:{phrase})\b" for phrase in PHRASES).replace(" ", BLANK), re.IGNORECASE)


def files_by_area() -> dict[str, list[Path]]:
    """Return the searched files, in areas that can be checked one by one with `-k`."""
    areas: dict[str, list[Path]] = {}
    for path in sorted((ROOT / "hrm_align").rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if parts[1] != "recipes":  # a link to the folder recipes
            areas.setdefault("/".join(parts[:2]) if len(parts) > 2 else "hrm_align/top", []).append(path)
    areas["hrm_align/templates"] = sorted((ROOT / "hrm_align").rglob("*.jinja"))
    recipes = (ROOT / "recipes").rglob("*")
    areas["recipes"] = sorted(path for path in recipes if path.suffix in (".py", ".yaml", ".sh", ".jinja"))
    areas["scripts"] = sorted((ROOT / "scripts").rglob("*.py"))
    documents = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "recipes/README.md", "scripts/README.md")]
    areas["documents"] = [
        *documents,
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "data").rglob("README.md")),
    ]
    return {area: paths for area, paths in areas.items() if paths}


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield the first line and the text of each block of comments on consecutive lines."""
    block: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if block and token.start[0] != last + 1:
                yield last - len(block) + 1, "\n".join(block)
                block = []
            block.append(token.string)
            last = token.start[0]
    if block:
        yield last - len(block) + 1, "\n".join(block)


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the first line and the text of each string literal, among them docstrings and parts of f-strings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def defined_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each function, argument and assigned variable."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def is_exception(file: str, text: str, start: int, end: int) -> bool:
    """Return whether an exception for this file covers the phrase at text[start:end]."""
    patterns = [pattern for place, pattern, _ in EXCEPTIONS if file.startswith(place)]
    matches = [match for pattern in patterns for match in re.finditer(pattern, text)]
    return any(match.start() <= start and end <= match.end() for match in matches)


def advise(words: str) -> str:
    """Return what to write instead of the words that a phrase has matched."""
    return next(advice for phrase, advice in PHRASES.items() if re.fullmatch(phrase, words, re.IGNORECASE))


def faults_in_text(file: str, first_line: int, text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the message of each phrase in a text."""
    for match in ANY_PHRASE.finditer(text):
        if not is_exception(file, text, *match.span()):
            line = first_line + text.count("\n", 0, match.start())
            words = re.sub(BLANK, " ", match[0])
            yield line, f"`{words}`: {advise(words)}"


def faults_in(file: str, content: str) -> list[str]:
    """Return `file:line: message` of each phrase and each name in a file.

    Args:
        file: path relative to the repository.
        content: text of the file.
    """
    names: list[tuple[int, str]] = []
    texts = [(1, content)]
    if file.endswith(".py"):
        tree = ast.parse(content)
        texts = [*comments(content), *strings(tree)]
        names = [(line, name) for line, name in defined_names(tree) if name in NAMES]
    faults = [(line, f"the name `{name}`: use {NAMES[name]}") for line, name in names]
    for line, text in texts:
        faults += faults_in_text(file, line, text)
    return [f"{file}:{line}: {message}" for line, message in sorted(set(faults))]


AREAS = files_by_area()


@pytest.mark.parametrize("area", AREAS)
def test_the_words_are_plain(area: str) -> None:
    faults: list[str] = []
    for path in AREAS[area]:
        faults += faults_in(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    assert not faults, f"{len(faults)} words to replace:\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('"""Return the right\n    answer."""', [1]),
        ("x = 1\n# the run goes\n# on\n", [2]),
        ("f'{x} was asked for'", [1]),
        ("raise ValueError(\n    'nobody '\n    'is here'\n)", [2]),
        ("def told(x): pass", [1]),
        ("def count(found): pass", [1]),
        ("for kept in rows: pass", [1]),
        ("import told\ntold.found(x.put)", []),
        ("retold = 'untold, spending, a headroom_key'", []),
        ("# The user asked, and the value is one\nx = '--headroom 3'", []),
        ("x = 'the headroom of a task'", [1]),
        ('x = 1\n"""First line.\n\nThe error says so."""', [4]),
    ],
)
def test_what_is_searched(source: str, lines: list[int]) -> None:
    faults = faults_in("hrm_align/example.py", source)
    assert [int(fault.split(":")[1]) for fault in faults] == lines


def test_a_document_is_searched_with_its_lines() -> None:
    text = "# Title\n\nRun `hrm-align headroom` first.\nThe run went\non.\n"
    assert faults_in("docs/a.md", text) == [
        "docs/a.md:4: `went on`: write continues; for a run that starts again, resumes"
    ]
