"""Tolerances that follow from a measured rounding floor: honest models pass at the published depth, planted faults do not.

scripts/campaigns/planted_faults.py has many of each; these are the sharpest.
"""

from functools import partial

import pytest
import torch

import hrm_align.rollouts.groups as groups
import hrm_align.rollouts.parity as parity_gate
from hrm_align.config.arguments import LoraArguments
from hrm_align.errors import RunError
from hrm_align.export.merging import merge
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.models.lora import add_adapter
from hrm_align.models.rounding import FACTOR, measure_floor
from hrm_align.rendering import Document, get_renderer
from hrm_align.rollouts.local import generate
from tests.parity.faults import (
    CAUSAL,
    adapted_layers,
    causal_prompt,
    in_sampler,
    randomise_adapter,
    shifted_positions,
    wrong_scale,
)
from tests.trainers.grpo_runs import grpo, prompts
from tests.trainers.recipe_runs import metrics

pytestmark = pytest.mark.numeric

QUESTION = "Is 7 larger than 5?"
ANSWER = 2  # tokens
BEHIND = 20  # times the floor, by which an honest difference may be smaller


def adapted(folder, seed=1):
    torch.manual_seed(seed)
    model, tokenizer = load_model_and_tokenizer(str(folder))
    model = add_adapter(model, tokenizer, str(folder), LoraArguments(use_peft=True))
    randomise_adapter(model, seed)
    return model, [get_renderer(tokenizer).prompt(QUESTION, "direct")]


@pytest.fixture(scope="module")
def honest(deep_random):
    """A random model with an adapter, a document with its greedy answer, and its floor."""
    model, (ids,) = adapted(deep_random)
    (answer,) = generate(model, [ids], max_new_tokens=ANSWER)
    documents = [Document([*ids, *answer], len(ids))]
    return model, documents, measure_floor(model, documents)


def merged(folder, documents):
    """Merge the same adapter, whose greedy answers are known."""
    answers = [document.input_ids[document.prefix_length :] for document in documents]
    return merge(*adapted(folder), answers=answers, max_new_tokens=ANSWER)


@pytest.mark.parametrize(
    "fault",
    [
        partial(causal_prompt, size=CAUSAL),
        partial(shifted_positions, size=1.0),
        lambda model: wrong_scale("", 1.5),
    ],
    ids=["causal prompt", "positions of the sampler", "scale of the merge"],
)
def test_a_planted_fault_does_not_raise_the_floor(honest, fault):
    """Every path that a check judges is spoilt, and the same is measured to the last digit."""
    model, documents, floor = honest
    with fault(model):
        assert measure_floor(model, documents) == floor


def test_an_honest_merge_passes_at_the_published_depth_and_moves_what_the_floor_says(deep_random, honest):
    """Seen: a merge moves the logits by 0.7 to four times the floor."""
    _, report = merged(deep_random, honest[1])
    report.require()
    assert report.floor / BEHIND < report.largest_difference <= FACTOR * report.floor
    assert report.floor > 1e-6, "at the published depth it is far above what float32 resolves"


@pytest.mark.parametrize(
    ("layers", "factor"),
    [
        pytest.param("", 1.05, id="scale"),
        pytest.param("L_module.layers.7.mlp.down_proj", 0.0, id="one layer", marks=pytest.mark.campaign),
    ],
)
def test_a_wrong_merge_is_refused_at_the_published_depth(deep_random, honest, layers, factor):
    """Seen: the smaller of the two, the scale, moves the logits by 500 times the floor; the other one by 800 times."""
    model, documents, _ = honest
    assert any(layers in name for name in adapted_layers(model))
    with wrong_scale(layers, factor):
        _, report = merged(deep_random, documents)
    with pytest.raises(RunError, match="differs from the unmerged one"):
        report.require()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prompts(tmp_path_factory.mktemp("prompts"))


def half_precision(folder):
    """Flags of a bfloat16 run of one update on this model."""
    return (
        *("--model_name_or_path", str(folder), "--bf16", "true", "--max_steps", "1", "--beta", "0.05"),
        *("--per_device_train_batch_size", "4", "--num_generations", "2", "--max_completion_length", "4"),
    )


def test_an_honest_bfloat16_run_passes_its_gate_at_the_published_depth(deep_random, data, tmp_path):
    grpo(tmp_path / "run", data, *half_precision(deep_random))
    (record,) = [record for record in metrics(tmp_path / "run") if "parity/sampler_max" in record]
    assert record["parity/float32/sampler_max"] < 1e-2 < record["parity/sampler_max"]


def test_a_causal_prefill_in_bfloat16_is_stopped_in_float32(deep_random, data, tmp_path, monkeypatch):
    """In bfloat16 rounding alone moves log-probabilities by as much as this fault, so that comparison may pass or not."""
    monkeypatch.setattr(parity_gate, "HALF_FACTOR", 1e9)
    monkeypatch.setattr(groups, "sample", in_sampler(partial(causal_prompt, size=CAUSAL)))
    with pytest.raises(RunError, match="in float32, between the log-probabilities of sampler and trainer"):
        grpo(tmp_path / "run", data, *half_precision(deep_random))
