"""The deep test models show the rounding of the published depth: what a base of one layer a stack hides.

The two limits are those that were absolute until they were found to fail at this depth. They stand here as numbers, because
what is asserted is a property of the models and not of the code that compares. Random weights break both. Training calms the
recurrence: a disturbance of the embeddings grows 83-fold in the eight passes of the start and 1.4-fold in those of the
trained model, whose rounding is therefore little above that of one layer a stack. Seen, random and trained: a merge moves the
logits by 1e-4 and 1e-6 of the largest, bfloat16 differs by 0.26 and 0.009 nats.
"""

import json
from pathlib import Path

import pytest
import torch

from hrm_align.config.arguments import LoraArguments
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.models.lora import add_adapter
from hrm_align.rendering import get_renderer
from hrm_align.rollouts.local import Decoding, sample
from hrm_align.rollouts.logprobs import response_logprobs

pytestmark = pytest.mark.numeric

MERGE_LIMIT = 1e-5  # of the largest logit
HALF_LIMIT = 0.05  # nats, mean over answer tokens
QUESTIONS = [f"Dana lives in room {number}. Which room is Dana in?" for number in (12, 345, 678, 9)]


RANDOM_BREAKS_IT = pytest.mark.parametrize(
    "name, breaks", [("deep_random", True), ("deep_trained", False)], ids=["random", "trained"]
)


@pytest.fixture
def folder(request, name):
    return str(request.getfixturevalue(name))


def load(folder, dtype):
    model, tokenizer = load_model_and_tokenizer(folder, dtype=dtype)
    renderer = get_renderer(tokenizer)
    return model, tokenizer, [renderer.prompt(question, "direct") for question in QUESTIONS]


@torch.no_grad()
def logits(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0].float()


@pytest.mark.parametrize("name", ["deep_random", "deep_trained"])
def test_the_depth_is_the_published_one(folder):
    model, _, _ = load(folder, "float32")
    assert (model.config.num_layers_per_stack, model.config.H_cycles, model.config.L_cycles) == (16, 2, 3)
    assert model.model.z_L_init.any(), "a start state of zeros is another model"


def test_what_the_trained_model_writes_is_not_noise(deep_trained):
    """Held-out chat rows at 0.97 nats a token; a guess among its 512 tokens would have 6.24."""
    model, tokenizer = load_model_and_tokenizer(str(deep_trained))
    lines = (Path(__file__).parents[1] / "data/chat/test.jsonl").read_text(encoding="utf-8").splitlines()[:6]
    documents = []
    for messages in (json.loads(line)["messages"] for line in lines):
        documents.append(get_renderer(tokenizer).document(messages[:-1], messages[-1], "direct"))
    assert -torch.cat(response_logprobs(model, documents)).mean() < 1.5


@pytest.mark.campaign
@RANDOM_BREAKS_IT
def test_a_merge_in_float32_moves_the_logits_of_random_weights_beyond_1e_5(folder, breaks):
    model, tokenizer, prompts = load(folder, "float32")
    adapted = add_adapter(model, tokenizer, folder, LoraArguments(use_peft=True))
    torch.manual_seed(1)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=1e-3)
    before = [logits(adapted, ids) for ids in prompts]
    merged = adapted.merge_and_unload(safe_merge=True)
    after = [logits(merged, ids) for ids in prompts]
    largest = max(a.abs().max() for a in before)
    moved = max((a - b).abs().max() for a, b in zip(before, after, strict=True)) / largest
    assert 0 < moved < 1e-3, "rounding, and not another model"
    assert (moved > MERGE_LIMIT) == breaks


@pytest.mark.campaign
@RANDOM_BREAKS_IT
def test_bfloat16_sampler_and_trainer_of_random_weights_differ_by_more_than_0_05_nats(folder, breaks):
    model, _, prompts = load(folder, "bfloat16")
    completions = sample(model, prompts * 2, list(range(8)), Decoding(16))
    differences = []
    for prompt, completion in zip(prompts * 2, completions, strict=True):
        scored = logits(model, prompt + completion.ids)[len(prompt) - 1 : -1].log_softmax(-1)
        trained = scored.gather(-1, torch.tensor(completion.ids)[:, None])[:, 0]
        differences.append((trained - torch.tensor(completion.logprobs)).abs())
    mean = torch.cat(differences).mean()
    assert 0 < mean < 1.0, "rounding, and not another model"
    assert (mean > HALF_LIMIT) == breaks
