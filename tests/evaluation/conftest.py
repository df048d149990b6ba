"""Fixtures of the evaluation tests."""

from pathlib import Path

import pytest

from tests.evaluation.benchmark_copies import write_copies


@pytest.fixture(scope="session")
def copies(tmp_path_factory) -> Path:
    """Made-up copies of the public benchmarks, which no test changes."""
    return write_copies(tmp_path_factory.mktemp("benchmarks"))
