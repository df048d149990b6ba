"""Importance sampling between our sampler and the trainer: the weights by hand, and that the loss is multiplied by them."""

from math import log
from pathlib import Path

import pytest
import torch

import hrm_align.rollouts.groups as groups
from hrm_align.errors import UserError
from hrm_align.models.loading import resolve
from hrm_align.rollouts.local import sample
from hrm_align.trainers.grpo import GRPOTrainer
from hrm_align.trainers.importance_sampling import ImportanceSampling, summary
from tests.trainers.grpo_runs import grpo, prompts
from tests.trainers.recipe_runs import distance, metrics, weights

pytestmark = pytest.mark.numeric

ON = ("--vllm_importance_sampling_correction", "true")
# SGD, so that the weights are the gradient; no gate, which would stop at the offsets planted here.
SGD = ("--optim", "sgd", "--learning_rate", "1", "--max_grad_norm", "0", "--parity_every", "0")
# How many times as probable a row's tokens are to the trainer as the sampler says, by row modulo 4.
RATIOS = (2.0, 1.0, 8.0, 0.25)
TRUNCATED = (2.0, 1.0, 3.0, 0.25)  # at TRL's bound of 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prompts(tmp_path_factory.mktemp("prompts"))


@pytest.fixture
def planted(monkeypatch):
    """A sampler whose log-probabilities are off by log(RATIOS); the advantages of the rollouts, row by row."""

    def off(*args, **kwargs):
        drawn = sample(*args, **kwargs)
        for row, completion in enumerate(drawn):
            completion.logprobs = [value - log(RATIOS[row % 4]) for value in completion.logprobs]
        return drawn

    seen, note = [], GRPOTrainer._note_rollout
    monkeypatch.setattr(groups, "sample", off)
    monkeypatch.setattr(
        GRPOTrainer,
        "_note_rollout",
        lambda trainer, output: (seen.append(output["advantages"].clone()), note(trainer, output)),
    )
    return seen


def losses(output_dir):
    return [record for record in metrics(output_dir) if "loss" in record]


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("mode", "low", "expected"),
    [
        ("token_truncate", None, [[2.0, 3.0, 1.0], [0.25, 0.5, 2.0]]),
        ("token_truncate", 0.5, [[2.0, 3.0, 1.0], [0.5, 0.5, 2.0]]),
        ("token_mask", 0.5, [[2.0, 0.0, 1.0], [0.0, 0.5, 2.0]]),
        ("sequence_truncate", None, [[3.0], [0.25]]),
        ("sequence_mask", None, [[0.0], [0.25]]),
    ],
)
def test_weights_are_the_ratio_within_its_bounds(mode, low, expected):
    """Ratios 2, 4 of a row with two tokens: together 8. Ratios 1/4, 1/2, 2: together 1/4. The padding has no part in it."""
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    ratios = torch.tensor([[2.0, 4.0, 99.0], [0.25, 0.5, 2.0]])
    found, statistics = ImportanceSampling(mode, low, 3.0).weights(ratios.log(), torch.zeros(2, 3), mask)
    torch.testing.assert_close(found, torch.tensor(expected))
    logged = summary(torch.stack([statistics, statistics]))
    assert logged["sampling/sampling_logp_difference/max"] == pytest.approx(log(4))
    assert logged["sampling/sampling_logp_difference/mean"] == pytest.approx(log(2) * (1 + 2 + 2 + 1 + 1) / 5)
    beyond = {"token_truncate": 1 / 5 if low is None else 2 / 5, "token_mask": 2 / 5}.get(mode, 1 / 2)
    counted = found.flatten() if mode.startswith("sequence") else found[mask.bool()]
    assert logged["sampling/importance_sampling_ratio/clipped"] == pytest.approx(beyond)
    assert logged["sampling/importance_sampling_ratio/mean"] == pytest.approx(float(counted.mean()))
    assert logged["sampling/importance_sampling_ratio/min"] == pytest.approx(float(counted.min()))
    assert logged["sampling/importance_sampling_ratio/max"] == pytest.approx(float(counted.max()))


def test_answers_that_do_not_count_have_no_weight_to_log():
    """`mask_truncated_completions` can leave a whole forward without a token."""
    nothing = torch.zeros(2, 3, dtype=torch.long)
    found, statistics = ImportanceSampling("token_truncate", None, 3.0).weights(
        torch.ones(2, 3), torch.ones(2, 3), nothing
    )
    assert torch.equal(found, torch.ones(2, 3)) and summary(statistics[None]) == {}
    some, more = ImportanceSampling("token_mask", None, 3.0).weights(torch.ones(2, 3), torch.zeros(2, 3), 1 - nothing)
    assert summary(torch.stack([statistics, more])) == summary(more[None]) and some.shape == (2, 3)


ACCUMULATED = ("--per_device_train_batch_size", "8", "--gradient_accumulation_steps", "2")


@pytest.mark.numeric
@pytest.mark.parametrize("flags", [(), ACCUMULATED], ids=["one forward", "two forwards"])
@pytest.mark.parametrize("shared", ["true", "false"])
def test_the_loss_of_a_planted_offset_is_multiplied_by_the_truncated_ratio(shared, flags, data, planted, tmp_path):
    """At the first step the policy ratio is 1, so that the loss is minus the mean of advantage times weight."""
    grpo(tmp_path / "run", data, *SGD, *ON, "--max_steps", "1", "--share_prompts", shared, *flags)
    (record,), (advantages,) = losses(tmp_path / "run"), planted
    expected = -(advantages * torch.tensor(TRUNCATED).repeat(4)).mean()
    assert abs(expected) > 0.05, "the planted rows are rewarded unlike each other"
    assert record["loss"] == pytest.approx(float(expected), rel=1e-4)
    assert record["sampling/importance_sampling_ratio/max"] == pytest.approx(3)
    assert record["sampling/importance_sampling_ratio/min"] == pytest.approx(0.25, rel=1e-3)
    assert record["sampling/sampling_logp_difference/max"] == pytest.approx(log(8), rel=1e-3)
    assert 0.1 < record["sampling/importance_sampling_ratio/clipped"] < 0.5, "a quarter of the answers"


@pytest.mark.numeric
def test_shared_prompts_leave_the_weighted_update_as_it_is(data, planted, tmp_path):
    for run, shared in (("shared", "true"), ("separate", "false")):
        grpo(tmp_path / run, data, *SGD, *ON, "--max_steps", "1", "--share_prompts", shared)
    for ours, theirs in zip(losses(tmp_path / "shared"), losses(tmp_path / "separate"), strict=True):
        for name in ("loss", "grad_norm", "entropy", "sampling/importance_sampling_ratio/mean"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-6), name
    start = weights(Path(resolve("tiny")))
    assert distance(weights(tmp_path / "shared"), weights(tmp_path / "separate"), start) < 2e-5


@pytest.mark.numeric
def test_a_rollout_of_several_steps_keeps_the_weights_it_was_drawn_under(data, planted, tmp_path):
    """The trainer's probabilities of the policy that sampled, not of the policy after the first step."""
    grpo(tmp_path / "run", data, *SGD, *ON, "--max_steps", "2", "--num_iterations", "2")
    first, second = losses(tmp_path / "run")
    assert len(planted) == 1 and first["loss"] != pytest.approx(second["loss"], rel=1e-3)
    for name in ("ratio/min", "ratio/mean", "ratio/max"):
        assert first[f"sampling/importance_sampling_{name}"] == second[f"sampling/importance_sampling_{name}"]


@pytest.mark.numeric
def test_nothing_is_corrected_in_float32_unless_requested(data, tmp_path):
    """The same losses to the last bit, and no metric; on request the ratios are 1 within float32's rounding."""
    steps = ("--max_steps", "1")
    grpo(tmp_path / "unset", data, *steps)
    grpo(tmp_path / "off", data, *steps, "--vllm_importance_sampling_correction", "false")
    grpo(tmp_path / "on", data, *steps, *ON)
    unset, off, on = (losses(tmp_path / run) for run in ("unset", "off", "on"))
    for ours, theirs, corrected in zip(unset, off, on, strict=True):
        assert not any(name.startswith("sampling/") for name in ours)
        for name in ("loss", "grad_norm", "entropy"):
            assert ours[name] == theirs[name]
        assert corrected["sampling/importance_sampling_ratio/max"] == pytest.approx(1, abs=1e-4)
        assert corrected["loss"] == pytest.approx(ours["loss"], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(
    "flags", [(), pytest.param(("--algorithm", "dapo"), marks=pytest.mark.campaign), ("--use_peft", "true")]
)
def test_half_precision_is_corrected_by_default(flags, data, tmp_path):
    grpo(tmp_path / "run", data, "--max_steps", "1", "--bf16", "true", *flags)
    for record in losses(tmp_path / "run"):
        assert (
            0 < record["sampling/sampling_logp_difference/mean"] < record["sampling/sampling_logp_difference/max"] < 0.5
        )
        least, most = (record[f"sampling/importance_sampling_ratio/{name}"] for name in ("min", "max"))
        assert least < 1 < most
        assert record["sampling/importance_sampling_ratio/clipped"] == 0, "at one layer a stack no ratio reaches 3"


@pytest.mark.numeric
def test_at_the_published_depth_the_weights_of_bfloat16_are_within_their_bound(deep_random, data, tmp_path):
    """Random weights, the worst case: 0.2 nats a token. The gate is off: what it bears is not this test's subject."""
    deep = ("--model_name_or_path", str(deep_random), "--bf16", "true", "--parity_every", "0", "--max_steps", "1")
    grpo(tmp_path / "run", data, *deep, "--vllm_importance_sampling_clip_max", "1.25")
    (record,) = losses(tmp_path / "run")
    assert 0.05 < record["sampling/sampling_logp_difference/mean"] < 1
    assert record["sampling/importance_sampling_ratio/max"] == 1.25
    assert 0.05 < record["sampling/importance_sampling_ratio/clipped"] < 0.6
    assert 0.5 < record["sampling/importance_sampling_ratio/mean"] < 1.25


def test_a_truncation_without_a_bound_is_refused(data, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("vllm_importance_sampling_clip_max: null\n")
    with pytest.raises(UserError, match="vllm_importance_sampling_clip_max is unset, but token_truncate needs a bound"):
        grpo(tmp_path / "run", data, "--config", str(recipe))
    with pytest.raises(UserError, match="the vespo loss needs token_truncate or token_mask"):
        grpo(tmp_path / "run", data, "--loss_type", "vespo", "--vllm_importance_sampling_mode", "sequence_mask")
