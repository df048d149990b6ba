"""Sandboxes for the tests, one for each backend that this system has; the others are skipped with the reason."""

import ctypes
import shutil
import subprocess
import sys

import pytest

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
    """Start a sandbox. Where the system has what a wall needs, one that does not start is a failure, and no reason to skip."""
    names = [name] if name else [backend.name for backend in BACKENDS]
    if not any(map(_system_offers, names)):
        pytest.skip(f"this system does not offer {' or '.join(names)}")
    with Sandbox(LIMITS, name, workers=1) as sandbox:
        return sandbox.backend


def _system_offers(name):
    """Whether a wall can be had, asked without the package."""
    if name == "landlock":
        landlock_create_ruleset, version = 444, 1
        return ctypes.CDLL(None).syscall(landlock_create_ruleset, None, 0, version) > 0
    bwrap = shutil.which("bwrap")
    probe = ["--ro-bind", "/", "/", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--as-pid-1", "true"]
    return bwrap is not None and subprocess.run([bwrap, *probe], capture_output=True).returncode == 0


@pytest.fixture(scope="session")
def sandbox(backend):
    with Sandbox(LIMITS, backend) as made:
        yield made
