"""Rows, and all answers that the tiny base draws for them."""

from collections import defaultdict

import pytest

from hrm_align.cli import dispatch
from tests.evaluation.sampling.runs import OPTIONS, ROWS, N, read
from tests.trainers.recipe_runs import write_rows


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("data") / "sums.jsonl", ROWS)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Two prompts a chunk, so that 9 prompts make five."""
    monkeypatch.setattr("hrm_align.commands.sample.CHUNK_ANSWERS", 2 * N)


@pytest.fixture(scope="module")
def everything(data, tmp_path_factory):
    """Every answer that was drawn, by row: the selections below are made of them by hand."""
    folder = tmp_path_factory.mktemp("all")
    words = ["sample", "--data", data, *OPTIONS, "--keep", "all", "--output", folder / "all.jsonl"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hrm_align.commands.sample.CHUNK_ANSWERS", 2 * N)
        dispatch([str(word) for word in words])
    answers = defaultdict(list)
    for row in read(folder / "all.jsonl"):
        answers[row["source"]].append((row["messages"][-1]["content"], row["score"]))
    return folder / "all.jsonl", dict(answers)
