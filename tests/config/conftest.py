"""A recipe in a file, for tests that change a line of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hrm_align.trainers.sft_config import SFTRecipe, parse_sft

BASE = "model_name_or_path: tiny\ndatasets: [{path: a.jsonl}]\noutput_dir: runs/x\n"


Parse = Callable[..., SFTRecipe]


@pytest.fixture
def parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parse:
    """Parse `BASE` with more lines, which begin at line 4, and flags."""
    monkeypatch.chdir(tmp_path)

    def run(lines: str = "", *flags: str, base: str = BASE) -> SFTRecipe:
        Path("r.yaml").write_text(base + lines + "\n", encoding="utf-8")
        return parse_sft(["--config", "r.yaml", *flags])

    return run
