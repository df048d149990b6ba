"""Sandboxes for the tests, one for each backend that this system has; the others are skipped with the reason."""

import sys

import pytest

from hrm_align.errors import UserError
from hrm_align.sandbox import Limits, Sandbox
from hrm_align.sandbox.worker import BACKENDS

LIMITS = Limits(cpu_seconds=1, wall_seconds=1.5, memory_bytes=256 * 2**20, output_bytes=100_000)


def pytest_collection_modifyitems(items):
    if sys.platform != "linux":
        for item in items:
            if item.path.parent.name == "sandbox" and "nowhere" not in item.name and item.path.stem != "test_monty":
                item.add_marker(pytest.mark.skip(reason="programs are run on Linux only"))


@pytest.fixture(scope="session", params=[backend.name for backend in BACKENDS])
def backend(request):
    """The name of each backend that passes its self-test here."""
    return _sound(request.param)


@pytest.fixture(scope="session")
def one_backend():
    """For what does not depend on the wall."""
    return _sound(None)


def _sound(name):
    try:
        with Sandbox(LIMITS, name, workers=1) as sandbox:
            return sandbox.backend
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def sandbox(backend):
    with Sandbox(LIMITS, backend) as made:
        yield made
