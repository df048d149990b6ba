"""What is installed is what is here. Commands and versions on the pages: tests/test_docs.py."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_package_folder_is_installed():
    text = (ROOT / "pyproject.toml").read_text()
    listed = set(re.findall(r'^    "(hrm_align[\w.]*)",', text, re.MULTILINE))
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "hrm_align").rglob("__init__.py")}
    assert listed == packages | {"hrm_align.recipes", "hrm_align.recipes.data"}


def test_the_tools_that_build_the_pages_are_pinned():
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()[1:]}
    assert {"mkdocs", "mkdocs-material", "mkdocs-material-extensions", "pymdown-extensions", "Markdown"} <= pinned
