"""The pages of the documentation as tests read them: links, anchors, blocks of code, and commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
READMES = [ROOT / name for name in ("README.md", "recipes/README.md", "scripts/README.md", "CONTRIBUTING.md")]
PAGES = [*READMES, *sorted(DOCS.rglob("*.md"))]
GENERATED = DOCS / "reference"
MEASURED = (DOCS / "results", DOCS / "upstream")  # versions there are those of a measurement

_FENCE = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_OURS = ("hrm-align ", "accelerate launch ", "make ", "python scripts/")


def entry_name(page: Path) -> str:
    """A page's path in the repository: what a parametrized test is called."""
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language and its text."""

    kind: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Fenced blocks, in order."""
    return [Block(found["kind"], found["text"]) for found in _FENCE.finditer(page.read_text(encoding="utf-8"))]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def in_backticks(page: Path) -> list[str]:
    """Texts in single backticks, outside of fenced blocks."""
    return [found.replace("\\|", "|") for found in re.findall(r"`([^`\n]+)`", prose(page))]


def links(page: Path) -> list[str]:
    """Targets of links that stay in the repository: `path#anchor`, `#anchor`."""
    targets = [found["target"] for found in _LINK.finditer(re.sub(r"`[^`\n]*`", "", prose(page)))]
    return [target for target in targets if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def linked_pages(page: Path) -> set[Path]:
    """Markdown files that a page links to."""
    files = {(page.parent / target.partition("#")[0]).resolve() for target in links(page) if target.partition("#")[0]}
    return {file for file in files if file.suffix == ".md"}


def lines_of_commands(text: str) -> list[str]:
    """The commands in a block: continued lines joined; after `$ ` in a block with output."""
    joined = text.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines()]
    asked = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return asked or [line for line in lines if line.startswith(_OURS)]


def commands(page: Path) -> Iterator[str]:
    """Every command of this repository on a page that a reader can give as it stands: in blocks and in indented lines."""
    for block in blocks(page):
        if block.kind in ("bash", "console"):
            yield from lines_of_commands(block.text)
    yield from lines_of_commands("\n".join(re.findall(r"^    (\S.*)$", prose(page), re.MULTILINE)))


def mentioned_commands(page: Path) -> list[str]:
    """Commands in backticks, which may be cut short: `hrm-align doctor --fix`."""
    return [text for text in in_backticks(page) if text.startswith(_OURS)]


def words_of(command: str) -> list[str]:
    """The words of a command, its comment left out."""
    return shlex.split(command, comments=True)


def has_placeholder(words: list[str]) -> bool:
    """Whether a reader must put something in first: `FILE`, `OWNER/NAME`, `...`."""
    return any(re.fullmatch(r"[A-Z][A-Z_/]*|\.\.\.|.*\bFILE\b.*", word) for word in words)


def setting_tables(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The heading above, and the cells, of every row in tables whose first column is called `setting`."""
    heading, inside = "", False
    for line in prose(page).splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []
        if not cells:
            inside = False
        elif cells[0] == "setting":
            inside = True
        elif inside and set(cells[0]) != {"-"}:
            yield heading, cells
