"""One checkpoint, four ways to a log-probability: the trainer's, teacher forcing, cached steps, and generation itself."""

import pytest
import torch
from trl.trainer.utils import add_fused_lm_head

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.packing import PackedCollator
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.models.prefix_mask import causal_prompt
from hrm_align.rendering import Document, get_renderer
from hrm_align.rollouts.kv_cache import left_pad
from hrm_align.rollouts.local import generate
from hrm_align.rollouts.logprobs import cached_logprobs, parity, response_logprobs
from tests.parity.reference import float64, reference_logits

# Nats. Seen in float64: 2e-14; in float32, where the noise depends on the processor: 2e-5. A causal prompt moves them by
# more than 0.1.
TOLERANCE = 1e-11
TOLERANCE_FLOAT32 = 1e-4  # of the gate, too: `--parity_tolerance`


@pytest.fixture(scope="module")
def tiny():
    model, tokenizer = load_model_and_tokenizer("tiny")
    return model.double(), tokenizer


@pytest.fixture
def in_float64():
    with float64():
        yield


@pytest.fixture(scope="module")
def documents(tiny):
    render = get_renderer(tiny[1])
    examples = load_examples([DatasetSpec(path="data/chat/test.jsonl")])[0][:5]
    return [render.document(e.messages, e.answer, e.condition) for e in examples]


def largest(a, b):
    return (torch.cat(a) - torch.cat(b)).abs().max().item()


@pytest.mark.numeric
def test_teacher_forcing_equals_the_drawn_mask(in_float64, tiny, documents):
    model, _ = tiny
    expected = []
    for document in documents:
        ids = torch.tensor(document.input_ids)
        logprobs = reference_logits(model, ids).log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]]
        expected.append(logprobs[document.prefix_length - 1 :])
    assert largest(response_logprobs(model, documents), expected) < TOLERANCE


@pytest.mark.numeric
def test_cached_steps_equal_teacher_forcing(in_float64, tiny, documents):
    model, _ = tiny
    assert largest(cached_logprobs(model, documents), response_logprobs(model, documents)) < TOLERANCE
    assert parity(model, documents).max_difference < TOLERANCE


@pytest.mark.numeric
def test_cached_steps_equal_teacher_forcing_in_float32(documents):
    model, _ = load_model_and_tokenizer("tiny")
    assert parity(model, documents).max_difference < TOLERANCE_FLOAT32


@pytest.mark.numeric
def test_the_trainers_packed_logprobs_equal_teacher_forcing(in_float64, documents):
    model = load_model_and_tokenizer("tiny")[0].double()
    expected = response_logprobs(model, documents)
    add_fused_lm_head(model)
    row = {"documents": [d.input_ids for d in documents], "prefix_lengths": [d.prefix_length for d in documents]}
    batch = PackedCollator(pad_id=5)([row])
    output = model(**batch, fused_lm_head=True)
    assert largest([output.log_probs[output.label_mask]], expected) < TOLERANCE


@pytest.mark.numeric
def test_generated_tokens_score_what_they_were_drawn_with(in_float64, tiny, documents):
    model, _ = tiny
    prompts = [d.input_ids[: d.prefix_length] for d in documents]
    ids, mask = left_pad(prompts, 5)
    out = model.generate(ids, attention_mask=mask, max_new_tokens=12, do_sample=False, output_logits=True,
                         return_dict_in_generate=True)  # fmt: skip
    drawn = torch.stack(out.logits, dim=1).log_softmax(-1).max(-1).values
    answers = generate(model, prompts, max_new_tokens=12)
    generated = [Document(p + a, len(p)) for p, a in zip(prompts, answers, strict=True)]
    expected = [row[: len(answer)] for row, answer in zip(drawn, answers, strict=True)]
    assert largest(response_logprobs(model, generated), expected) < TOLERANCE


@pytest.mark.numeric
def test_a_causal_prompt_would_be_seen(in_float64, tiny, documents):
    model, _ = tiny
    with causal_prompt(model):
        causal = cached_logprobs(model, documents)
    assert largest(causal, response_logprobs(model, documents)) > 0.1
