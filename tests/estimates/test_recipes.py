"""What the recipes of the published model say that they need is what `hrm-align estimate` counts."""

import re
from pathlib import Path

import pytest

from tests.estimates.told import estimate

ROOT = Path(__file__).parents[2]
SAYING = [path for path in sorted(ROOT.glob("recipes/*/*.yaml")) if "Estimated need" in path.read_text()]
GB = 1e9


def test_every_recipe_of_the_published_model_says_what_it_needs():
    published = [p for p in ROOT.glob("recipes/*/*.yaml") if re.search(r"^# Hardware: one GPU", p.read_text(), re.M)]
    assert len(published) > 10
    assert {*published} == {*SAYING}


QUICK = ("chat-sft", "chat-dpo", "math-grpo", "chat-reward")


def case(path: Path):
    name = f"{path.parent.name}-{path.stem}"
    return pytest.param(path, id=name, marks=[pytest.mark.campaign] * (name not in QUICK))


@pytest.mark.parametrize("path", map(case, SAYING))
def test_a_recipe_needs_what_it_says(path, published, capsys):
    said = " ".join(path.read_text().replace("#", " ").split())
    asked = ("--gpu", "--model_name_or_path", published)
    needed = float(re.search(r"Estimated need ([\d.]+) GB", said)[1])
    assert estimate(capsys, path, *asked)["total"] / GB == pytest.approx(needed, abs=0.6)
    assert needed < float(re.search(r"one GPU with (\d+) GB", said)[1])
    if checkpointed := re.search(r"with --activation_checkpointing ([\d.]+) GB", said):
        found = estimate(capsys, path, *asked, "--activation_checkpointing", "true")["total"]
        assert found / GB == pytest.approx(float(checkpointed[1]), abs=0.6)
