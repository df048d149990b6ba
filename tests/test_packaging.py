"""All package folders are installed, and the commands of the READMEs parse."""

import re
import shlex
from pathlib import Path

import pytest

from hrm_align.trainers.sft_config import parse_sft

ROOT = Path(__file__).parents[1]


def test_every_package_folder_is_installed():
    text = (ROOT / "pyproject.toml").read_text()
    listed = set(re.findall(r'^    "(hrm_align[\w.]*)",', text, re.MULTILINE))
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "hrm_align").rglob("__init__.py")}
    assert listed == packages | {"hrm_align.recipes"}


def sft_commands():
    for file in ("README.md", "recipes/README.md"):
        for line in (ROOT / file).read_text().splitlines():
            if line.startswith("    ") and "sft" in line and "--config recipes" in line and "--help" not in line:
                yield line.strip()


@pytest.mark.parametrize("line", list(sft_commands()))
def test_the_documented_training_commands_parse(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = shlex.split(line, comments=True)
    words = words[max(i for i, word in enumerate(words) if word.endswith("sft.py") or word == "sft") + 1 :]
    parse_sft(words)
