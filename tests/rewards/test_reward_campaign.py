"""The short version of scripts/reward_campaign.py: a fault of each name would take a minute, so one or two of each kind."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from hrm_align.cli import run_with_exit_code


@pytest.fixture
def campaign(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    return import_module("reward_campaign")


@pytest.mark.campaign
def test_faults_are_told_and_spoofs_are_not_paid(campaign, capsys):
    code = run_with_exit_code(campaign.main, ["--faults", "14"])
    out, err = capsys.readouterr()
    assert code == 0, out + err
    assert "14 of 14 faults caught and reported; 14 of 14 good batches graded correctly" in " ".join(out.split())
    assert "59 spoofs" in out and "0 rewarded" in out and "0 processes left" in out


def test_the_full_campaign_has_the_numbers_that_are_promised(campaign):
    injected = [*campaign.faults(100)]
    assert len(injected) == 100
    assert {name for _, name in injected} == {name for cases in campaign.FAULTS.values() for name in cases}
    assert sum(len(answers) for _, _, answers in campaign.SPOOFS) >= 40


def test_a_spoof_that_is_paid_fails_the_campaign(campaign, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(campaign, "SPOOFS", [("exact", "4", ["4"])])
    assert run_with_exit_code(campaign.main, ["--faults", "0"]) == 1
    assert "exact rewards '4' with 1.0" in capsys.readouterr().out
