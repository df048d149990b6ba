"""What is installed is what is here. Commands and versions on the pages: tests/test_docs.py."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_every_package_folder_is_installed():
    text = (ROOT / "pyproject.toml").read_text()
    listed = set(re.findall(r'^    "(hrm_align[\w.]*)",', text, re.MULTILINE))
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "hrm_align").rglob("__init__.py")}
    assert listed == packages | {"hrm_align.recipes", "hrm_align.recipes.data"}


def test_the_tools_that_build_the_pages_are_pinned():
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()[1:]}
    assert {"mkdocs", "mkdocs-material", "mkdocs-material-extensions", "pymdown-extensions", "Markdown"} <= pinned


@pytest.mark.campaign
def test_a_wheel_trains_evaluates_and_exports_in_an_empty_folder(tmp_path):
    """The commands of a user who has only `pip install`."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", str(ROOT), "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path / "wheel")]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(installed), str(wheel)], check=True)
    empty.mkdir()

    def hrm_align(*words):
        env = {**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-P", "-m", "hrm_align.cli", *words]
        done = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    hrm_align("sft", "--config", "tiny/sft", "--max_steps", "20", "--output_dir", "out")
    report = json.loads(hrm_align("evaluate", "out", "--limit", "20", "--json"))
    assert report["n"] == 40 and str(installed) in report["data"]
    shown = hrm_align("export", "out", "--to", "e", "--limit", "20", "--push", "someone/model", "--dry_run")
    assert "someone/model" in shown and "private" in shown
