"""Fixtures of all tests. Everything runs offline: a test that uses the network fails at once instead of waiting."""

import gc
import os
import shutil
import tempfile
from itertools import count

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", WANDB_MODE="disabled", TOKENIZERS_PARALLELISM="false")
# For fixtures of a module or a session, which would otherwise use the cache of the person who runs the tests.
_CACHE = os.environ["HRM_ALIGN_CACHE"] = tempfile.mkdtemp(prefix="hrm-align-tests-")

import pytest
import torch

import hrm_align  # noqa: F401  installs the prefix mask

gc.disable()  # until everything is imported, because nothing of that is garbage


def pytest_collection_finish(session):
    """Freeze imported objects, because scanning them in each garbage collection took a third of a run's time."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure():
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """Skip the wait for other runs that start in the same folder; test_claim.py and test_restarts.py start such runs and keep the wait."""
    monkeypatch.setattr("hrm_align.trainers.claim._SETTLED_AFTER", 0)


_caches = count()


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory):
    """Give each test an empty cache of prepared rows. `mktemp` would read the folder of all tests to number a new one."""
    monkeypatch.setenv("HRM_ALIGN_CACHE", str(tmp_path_factory.getbasetemp() / f"cache-{next(_caches)}"))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def deep_random(tmp_path_factory):
    """A checkpoint folder of the published depth with random weights: see tests/deep_models.py."""
    from tests.deep_models import save_random

    return save_random(tmp_path_factory.mktemp("deep") / "random")


@pytest.fixture(scope="session")
def deep_trained():
    """The checkpoint folder of the published depth that was trained: see tests/deep_models.py."""
    from tests.deep_models import TRAINED

    return TRAINED


@pytest.fixture(scope="session")
def medium(tmp_path_factory):
    """A checkpoint folder whose weights are large beside all else that a process holds: see tests/memory.py."""
    from tests.memory import medium_checkpoint

    return medium_checkpoint(tmp_path_factory.mktemp("medium") / "medium")
