"""Everything runs offline: a test that reaches for the network fails at once instead of waiting."""

import gc
import os

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", WANDB_MODE="disabled", TOKENIZERS_PARALLELISM="false")

import pytest
import torch

import hrm_align  # noqa: F401  installs the prefix mask


def pytest_collection_finish(session):
    """Every run collects garbage; what was imported is not looked through again each time, which took a third of a run."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """Nobody else starts a run in a test's folder, so no start waits for another; test_claim.py has rivals, and waits."""
    monkeypatch.setattr("hrm_align.trainers.claim._SETTLED_AFTER", 0)


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
