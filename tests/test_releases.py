"""An unsupported release of Transformers or TRL is one sentence, wherever it is noticed, and never a model without its mask."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hrm_align.releases import SUPPORTED
from tests.forks import OFFLINE

ROOT = Path(__file__).parents[1]
UNSUPPORTED = [("transformers", "5.17.0"), ("transformers", "5.25.0.dev0"), ("transformers", "4.57.6"), ("trl", "1.15.0"), ("trl", "2.0.0")]  # fmt: skip
CAUGHT = "try:\n    {}\nexcept Exception as error:\n    print(type(error).__name__, error)\n"
CLASSES = "from transformers import HrmTextForCausalLM"


def in_a_process(folder, package, release, *command):
    """Run Python where the metadata of a package names another release."""
    record = folder / f"{package}-{release}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {release}\n")
    path = os.pathsep.join([str(folder), *filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    if command[0] == "-c":
        return OFFLINE.run(command[1], env=environment, paths=path.split(os.pathsep))
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)


def sentence(package, release):
    lowest, beyond = SUPPORTED[package]
    return f'{package} {release} is installed, and hrm_align needs {lowest}', f'Run pip install "{package}>={lowest},<{beyond}".'  # fmt: skip


def test_the_ranges_are_those_of_pyproject():
    text = (ROOT / "pyproject.toml").read_text()
    for package, (lowest, beyond) in SUPPORTED.items():
        assert re.search(rf'^    "{package}>={re.escape(lowest)},<{re.escape(beyond)}"', text, re.MULTILINE), package


@pytest.mark.parametrize(("package", "release"), UNSUPPORTED)
def test_a_command_ends_with_the_sentence_and_2(package, release, tmp_path):
    words = ["-m", "hrm_align.cli", "sft", "--config", "recipes/tiny/sft.yaml"]
    done = in_a_process(tmp_path, package, release, *words)
    begin, end = sentence(package, release)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"error: {begin}") and done.stderr.endswith(f"{end}\n")
    assert done.stderr.count("\n") == 1


def test_help_needs_no_release(tmp_path):
    assert in_a_process(tmp_path, "transformers", "4.57.6", "-m", "hrm_align.cli", "sft", "--help").returncode == 0


@pytest.mark.parametrize("package", SUPPORTED)
@pytest.mark.parametrize(
    "program",
    ["import hrm_align.models.loading", "import hrm_align.trainers.sft", "from hrm_align import load_model"],
)
def test_importing_what_needs_it_raises_the_sentence(program, package, tmp_path):
    done = in_a_process(tmp_path, package, "0.9.0", "-c", CAUGHT.format(program))
    begin, end = sentence(package, "0.9.0")
    assert done.stdout.startswith(f"UserError {begin}") and done.stdout.endswith(f"{end}\n")


@pytest.mark.parametrize("first", ["import hrm_align", "import trl, hrm_align"])
def test_classes_that_cannot_get_the_mask_cannot_be_imported(first, tmp_path):
    """Not at the second attempt either: by then a hook that has failed is forgotten."""
    program = f"{first}\n{CAUGHT.format(CLASSES) * 3}"
    done = in_a_process(tmp_path, "transformers", "5.99.0", "-c", program)
    begin, end = sentence("transformers", "5.99.0")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and len({*lines}) == 1
    assert lines[0].startswith(f"UserError {begin}") and lines[0].endswith(end)


def test_where_the_classes_are_imported_already_the_package_cannot_be(tmp_path):
    program = f"{CLASSES}\n{CAUGHT.format('import hrm_align') * 2}"
    done = in_a_process(tmp_path, "transformers", "5.99.0", "-c", program)
    assert done.stdout.count("UserError transformers 5.99.0 is installed") == 2, done.stderr
