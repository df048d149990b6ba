"""Adam-atan2 against its formula, written in float64 with NumPy."""

import numpy as np
import pytest
import torch

from hrm_align.models.loading import resolve
from hrm_align.trainers.optim import AdamAtan2
from tests.trainers.recipe_runs import sft, weights, write_rows


def formula(start, gradients, lr, betas, weight_decay):
    """The official rule, one entry at a time in the order of its lines."""
    p, m, v = start.astype(np.float64), np.zeros(start.shape), np.zeros(start.shape)
    for t, g in enumerate(gradients, 1):
        p = p * (1 - lr * weight_decay)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        p = p - lr / (1 - betas[0] ** t) * np.arctan2(m, np.sqrt(v) / np.sqrt(1 - betas[1] ** t))
    return p


# Seen: 6e-15 in float64, 1e-6 in float32. A second beta of 0.951 for 0.95 is off by 1.9e-4, Adam with an epsilon of 1e-8 by
# 6e-3.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


@pytest.mark.numeric
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_hundred_steps_follow_the_formula(weight_decay, dtype):
    rng = np.random.default_rng(0)
    start = rng.normal(size=(7, 5))
    # Gradients of very different sizes, some exactly zero: where Adam's epsilon would show.
    gradients = rng.normal(size=(100, 7, 5)) * 10.0 ** rng.integers(-12, 2, size=(100, 7, 5))
    gradients[:, 0] = 0.0
    weight = torch.nn.Parameter(torch.tensor(start, dtype=dtype))
    optimizer = AdamAtan2([weight], lr=3e-3, betas=(0.9, 0.95), weight_decay=weight_decay)
    for gradient in gradients:
        weight.grad = torch.tensor(gradient, dtype=dtype)
        optimizer.step()
    expected = formula(start, gradients, 3e-3, (0.9, 0.95), weight_decay)
    assert np.abs(weight.detach().numpy() - expected).max() < TOLERANCE[dtype]
    assert np.abs(expected - start).max() > 0.05, "the steps went somewhere"


def test_its_state_is_saved_and_restored():
    torch.manual_seed(0)
    runs = []
    for stop in (None, 4):
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = AdamAtan2([weight], lr=0.1)
        for step in range(8):
            if step == stop:
                saved = optimizer.state_dict()
                optimizer = AdamAtan2([weight], lr=0.1)
                optimizer.load_state_dict(saved)
            weight.grad = torch.tensor([1.0, -2.0, 0.5]) * (step + 1)
            optimizer.step()
        runs.append(weight.detach().clone())
    assert torch.equal(*runs)


@pytest.mark.numeric
def test_the_recipe_trains_with_it(tmp_path):
    """In the first step m / sqrt(v) is 0.1, so every entry with a gradient moves by lr / 0.1 * atan(0.1)."""
    from pathlib import Path

    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": "a", "response": "b"}] * 4)
    sft(tmp_path / "run", rows, "--max_steps", "1", "--optim", "adam_atan2", "--learning_rate", "1e-3",
        "--lr_scheduler_type", "constant", "--weight_decay", "0", "--save_strategy", "no")  # fmt: skip
    start, end = weights(Path(resolve("tiny"))), weights(tmp_path / "run")
    moved = (end["lm_head.weight"] - start["lm_head.weight"]).abs()
    expected = 1e-3 / 0.1 * float(np.arctan(0.1))
    assert moved.max().item() == pytest.approx(expected, rel=1e-4)
    assert ((moved - expected).abs() < 1e-6).float().mean() > 0.9
