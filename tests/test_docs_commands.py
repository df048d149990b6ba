"""The commands of README and of the first pages do what the pages show, on the tiny base."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.docs_text import DOCS, ROOT, blocks, entry_name, lines_of_commands, words_of
from tests.test_docs import reader, write_files  # noqa: F401  a fixture

pytestmark = pytest.mark.campaign

WHOLE = [ROOT / "README.md", *sorted((DOCS / "start").glob("*.md"))]  # every command for the tiny base
SHOWN = [DOCS / "guides/evaluating.md", DOCS / "guides/rewards.md"]  # commands whose output stands on the page
NEAR = 0.1  # of a score: processors round differently, and a greedy answer may change


def run(words, folder):
    """The standard output of a command."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}
    program = [sys.executable, "-m", "hrm_align.cli", *words[1:]]
    done = subprocess.run(program, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr[-2000:]}"
    return done.stdout


def is_for_the_tiny_base(words):
    text = " ".join(words)
    return words[0] == "hrm-align" and not re.search(r"recipes/(?!tiny/)|sapientinc|OWNER", text)


def outputs(block):
    """Each command of a block with the output shown below it."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


NUMBER = r"\d+(?:\.\d+)?(?:e[+-]\d+)?"


def assert_shown(output, real):
    """The lines shown occur in this order: words are equal, numbers near. `...` stands for lines, or for the end of one."""
    lines = (line.rstrip() for line in real.splitlines())
    for line in output.splitlines():
        if line.strip() != "...":
            assert any(is_shown(line.rstrip(), other) for other in lines), f"{line!r} is not in\n{real}"


def is_shown(wanted, real):
    """Whether a line of output is the line on the page. A number in `1.0e-06` is rounding, and may be any."""
    texts = re.split(NUMBER, wanted.removesuffix("..."))
    pattern = f"({NUMBER})".join(r"\s+".join(map(re.escape, re.split(r"\s+", text))) for text in texts)
    found = (re.match if wanted.endswith("...") else re.fullmatch)(pattern, real)
    if found is None:
        return False
    pairs = zip(re.findall(NUMBER, wanted), found.groups(), strict=True)
    return all(
        "e" in a or abs(float(a) - float(b)) <= NEAR * max(float(a), 30 if float(a) > 1 else 1) for a, b in pairs
    )


def test_a_shown_line_must_occur():
    assert_shown("score 0.81\n...\nlast 3", "score 0.80\nmore\nlast 3\n")
    for wrong in ("scores 0.81", "score 90.0", "last 3\nscore 0.8"):
        with pytest.raises(AssertionError):
            assert_shown(wrong, "score 0.80\nmore\nlast 3\n")


@pytest.mark.parametrize("page", [*WHOLE, *SHOWN], ids=entry_name)
def test_the_commands_of_a_page_do_what_it_shows(page, reader):  # noqa: F811
    write_files(page, reader)
    (reader / "hrm_align").symlink_to(ROOT / "hrm_align")
    ran = 0
    for block in blocks(page):
        if block.kind == "console":
            for command, output in outputs(block):
                assert_shown(output, run(words_of(command), reader))
                ran += 1
        elif block.kind == "bash" and page in WHOLE:
            for command in lines_of_commands(block.text):
                if is_for_the_tiny_base(words := words_of(command)):
                    run(words, reader)
                    ran += 1
    assert ran
