"""The rows of all these runs, and the run that nothing has stopped."""

import random

import pytest
import torch

from hrm_align.trainers import claim as claims
from tests.trainers.recipe_runs import sft, write_rows
from tests.trainers.resume.runs import BY_FOUR

SETTLED = claims._SETTLED_AFTER  # which is 0 for the tests of one run: see tests/conftest.py


@pytest.fixture(autouse=True)
def _one_thread():
    """As in the child processes: sums of another number of threads end in other bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def rivals(monkeypatch):
    """Several processes may claim a folder, so a claim settles as it does for users."""
    monkeypatch.setattr(claims, "_SETTLED_AFTER", SETTLED)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    rng = random.Random(0)
    made = [
        {"prompt": f"say {n}", "response": " ".join(rng.choices(["red", "blue", "oak"], k=1 + n % 7))}
        for n in range(20)
    ]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", made)


@pytest.fixture(scope="module")
def whole(rows, tmp_path_factory):
    """The uninterrupted run that most tests compare with, and copy checkpoints from."""
    out = tmp_path_factory.mktemp("whole") / "run"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    sft(out, rows, *BY_FOUR)
    torch.set_num_threads(threads)
    return out
