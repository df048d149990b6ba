"""Each test runs on a CPU in the ordinary suite and on a GPU under the marker `gpu`; a test without its device is skipped.

pytest tests/gpu -m gpu          # the tests on the GPU; scripts/bench/gpu_report.py runs them first
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
    """The device of the code under test. The reference runs on a CPU."""
    return present(request.param)


@pytest.fixture(params=[pytest.param("cpu", marks=pytest.mark.campaign), GPU])
def big_device(request):
    """The device of slow tests, which run on a CPU only under the marker `campaign`."""
    return present(request.param)


@pytest.fixture(autouse=True)
def short_rows_by_document_too(monkeypatch):
    monkeypatch.setattr(per_document, "DENSE_ROW", 0)
