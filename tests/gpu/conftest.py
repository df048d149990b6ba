"""Each test runs on a CPU, in the ordinary suite, and on a GPU under the marker `gpu`; a device that is missing is skipped.

pytest tests/gpu -m gpu          # what a GPU changes; scripts/bench/gpu_report.py runs it first
"""

import pytest
import torch

from hrm_align.models import attention as per_document

NO_GPU = "this machine has no GPU that PyTorch can use (torch.cuda.is_available() is False)"


GPU = pytest.param("cuda", marks=pytest.mark.gpu)


def present(name):
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip(NO_GPU)
    return name


@pytest.fixture(params=["cpu", GPU])
def device(request):
    """Where the code under test runs. What it is compared with runs on a CPU."""
    return present(request.param)


@pytest.fixture(params=[pytest.param("cpu", marks=pytest.mark.campaign), GPU])
def big_device(request):
    """The same for what takes long on a CPU and is tested there elsewhere."""
    return present(request.param)


@pytest.fixture(autouse=True)
def short_rows_by_document_too(monkeypatch):
    monkeypatch.setattr(per_document, "DENSE_ROW", 0)
