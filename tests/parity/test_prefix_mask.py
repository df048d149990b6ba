"""The seam against an independently drawn mask, and the inputs under which it must refuse."""

import functools

import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import DynamicCache, StaticCache

from hrm_align.errors import UserError
from hrm_align.models import attention as per_document
from hrm_align.models import prefix_mask
from hrm_align.models.intervals import PrefixMaskError, visible_intervals
from hrm_align.models.prefix_mask import CACHE, causal_prompt
from hrm_align.rendering import PUBLISHED
from tests.parity.reference import (
    document,
    float64,
    reference_logits,
    rule_mask,
    small_model,
    trained_model,
    unpatched,
)

# Of the largest logit, and of the largest entry of a gradient. Seen in float64: 2e-15; in float32, where the noise depends on
# the processor: 5e-6. The faults this protects from move logits by 0.04 to 4.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}


@pytest.fixture(autouse=True)
def short_rows_by_document_too(monkeypatch):
    monkeypatch.setattr(per_document, "DENSE_ROW", 0)


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    random, trained = small_model(), trained_model()
    return {"random": random.double(), "trained": trained_model().double(), "trained in float32": trained}


@pytest.fixture(params=["random", "trained", "trained in float32"])
def model(models, request):
    if "float32" in request.param:
        yield models[request.param]
    else:
        with float64():
            yield models[request.param]


@pytest.fixture
def rows():
    return [document(9, 5), document(3, 8), document(6, 2)]


def padded(rows, side="right"):
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), 5)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        where = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
        ids[i, where], mask[i, where] = row, 1
    return ids, mask


@functools.cache
def alone(model, row):
    """The reference of a document, (tokens, vocab), which many tests compare with; `row` is a tuple."""
    return reference_logits(model, list(row))


def closeness(actual, expected):
    return ((actual - expected).abs().max() / expected.abs().max().clamp(min=1)).item()


def test_the_drawing_in_the_docstring():
    a, b = [31, 7, 11], [32, 33, 7, 40, 11]
    ids = torch.tensor([a + b])
    positions = torch.tensor([[0, 1, 2, 0, 1, 2, 3, 4]])
    first, last, *_ = visible_intervals(ids, PUBLISHED, position_ids=positions)
    assert first.tolist() == [[0, 0, 0, 3, 3, 3, 3, 3]]
    assert last.tolist() == [[1, 1, 2, 5, 5, 5, 6, 7]]


@pytest.mark.numeric
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kernel", ["sdpa", "eager", "per_document"])
@pytest.mark.parametrize("typed", [False, True])
def test_padded_batch_equals_each_document_alone(model, rows, side, kernel, typed):
    ids, mask = padded(rows, side)
    types = ((ids == 7).long().flip(1).cumsum(1).flip(1) * mask) if typed else None
    model.set_attn_implementation(kernel)
    with torch.no_grad():
        logits = model(ids, attention_mask=mask, token_type_ids=types).logits
    model.set_attn_implementation("sdpa")
    for i, row in enumerate(rows):
        assert closeness(logits[i][mask[i] == 1], alone(model, tuple(row.tolist()))) < TOLERANCE[model.dtype]


@pytest.mark.numeric
@pytest.mark.parametrize("kernel", ["sdpa", "eager", "per_document"])
@pytest.mark.parametrize("with_attention_mask", [False, True])
def test_packed_row_equals_each_document_alone(model, rows, kernel, with_attention_mask):
    ids = torch.cat([*rows, torch.tensor([5, 5])])[None]
    positions = torch.cat([torch.arange(len(r)) for r in rows] + [torch.zeros(2, dtype=torch.long)])[None]
    mask = (ids != 5).long() if with_attention_mask else None
    if not with_attention_mask:
        ids, positions = ids[:, :-2], positions[:, :-2]
    model.set_attn_implementation(kernel)
    with torch.no_grad():
        logits = model(ids, attention_mask=mask, position_ids=positions).logits[0]
    model.set_attn_implementation("sdpa")
    start = 0
    for row in rows:
        expected = alone(model, tuple(row.tolist()))
        assert closeness(logits[start : start + len(row)], expected) < TOLERANCE[model.dtype]
        start += len(row)


@pytest.mark.numeric
@pytest.mark.parametrize("kernel", ["sdpa", "per_document"])
def test_packed_row_equals_a_drawn_mask_in_loss_and_gradients(model, rows, kernel):
    ids = torch.cat(rows)[None]
    positions = torch.cat([torch.arange(len(r)) for r in rows])[None]
    labels = ids.masked_fill(ids < 31, -100)
    model.zero_grad()
    model.set_attn_implementation(kernel)
    model(ids, position_ids=positions, labels=labels, use_cache=False).loss.backward()
    ours = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.set_attn_implementation("sdpa")
    model.zero_grad()
    with unpatched():
        mask = rule_mask([r.tolist() for r in rows], ids.shape[1])
        model(ids, attention_mask=mask, position_ids=positions, labels=labels, use_cache=False).loss.backward()
    theirs = [p.grad for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    assert (
        max(closeness(a, b) / b.abs().max().item() for a, b in zip(ours, theirs, strict=True)) < TOLERANCE[model.dtype]
    )


@pytest.mark.numeric
@pytest.mark.parametrize("kernel", ["sdpa", "per_document"])
def test_editing_one_packed_document_leaves_the_others_bit_equal(model, rows, kernel):
    model.set_attn_implementation(kernel)
    positions = torch.cat([torch.arange(len(r)) for r in rows])[None]
    edited = [rows[0], rows[1].clone(), rows[2]]
    edited[1][1] = 31 + (edited[1][1] - 30) % 33
    with torch.no_grad():
        before = model(torch.cat(rows)[None], position_ids=positions).logits[0]
        after = model(torch.cat(edited)[None], position_ids=positions).logits[0]
    model.set_attn_implementation("sdpa")
    middle = slice(len(rows[0]), len(rows[0]) + len(rows[1]))
    assert not torch.equal(before[middle], after[middle])
    before[middle] = after[middle] = 0
    assert torch.equal(before, after)


def greedy_reference(model, prompt, steps):
    """Argmax decoding with a full, uncached, unpatched forward a step."""
    tokens = list(prompt)
    for _ in range(steps):
        tokens.append(int(reference_logits(model, tokens)[-1].argmax()))
    return tokens[len(prompt) :]


@pytest.mark.numeric
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_cache": False},
        {"cache_implementation": "static"},
        {"prompt_lookup_num_tokens": 3},
    ],
    ids=["dynamic", "no_cache", "static", "prompt_lookup"],
)
def test_generation_equals_uncached_teacher_forcing(model, settings):
    prompt = document(8, 0)[:-1]
    expected = greedy_reference(model, prompt.tolist(), 6)
    out = model.generate(prompt[None], max_new_tokens=6, do_sample=False, **settings)
    assert out[0, len(prompt) :].tolist() == expected


@pytest.mark.numeric
def test_assisted_generation_equals_plain_generation(model):
    prompt = document(8, 0)[:-1][None]
    assistant = type(model)(model.config).eval()
    plain = model.generate(prompt, max_new_tokens=8, do_sample=False)
    assert torch.equal(model.generate(prompt, assistant_model=assistant, max_new_tokens=8, do_sample=False), plain)


@pytest.mark.numeric
def test_typed_prompts_without_an_end_token_generate_as_typed(model):
    ids = torch.tensor([[6, 40, 41, 42, 43]])
    with pytest.raises(PrefixMaskError, match="document without"):
        model.generate(ids, max_new_tokens=1)
    out = model.generate(ids, token_type_ids=torch.ones_like(ids), max_new_tokens=1, do_sample=False,
                         output_logits=True, return_dict_in_generate=True)  # fmt: skip
    with unpatched(), torch.no_grad():
        expected = model(ids, token_type_ids=torch.ones_like(ids)).logits[0, -1]
    assert closeness(out.logits[0][0], expected) < TOLERANCE[model.dtype]


def test_a_sampled_prompt_end_is_an_answer_token(model):
    prompt = document(5, 0)[:-1]
    out = model.generate(prompt[None], max_new_tokens=4, do_sample=False, sequence_bias={(7,): 1e4})
    assert out[0, len(prompt) :].tolist() == [7, 7, 7, 7]


@pytest.mark.numeric
def test_left_padded_generation_equals_each_prompt_alone(model):
    prompts = [document(9, 0)[:-1], document(4, 0)[:-1], document(6, 0)[:-1]]
    ids, mask = padded(prompts, "left")
    for settings in ({}, {"cache_implementation": "static"}, {"use_cache": False}):
        out = model.generate(
            ids, attention_mask=mask, max_new_tokens=5, do_sample=False,
            return_dict_in_generate=True, output_logits=True, **settings,
        )  # fmt: skip
        for i, prompt in enumerate(prompts):
            new = out.sequences[i, ids.shape[1] :]
            expected = reference_logits(model, torch.cat([prompt, new]))[len(prompt) - 1 : -1]
            assert closeness(torch.stack(out.logits, 1)[i], expected) < TOLERANCE[model.dtype]


@pytest.mark.numeric
def test_a_reset_static_cache_reads_its_next_prompt_whole(model):
    prompt = document(8, 0)[:-1]
    cache = StaticCache(model.config, max_cache_len=32)
    with torch.no_grad():
        model(document(5, 0)[:-1][None], **{CACHE: cache})
        cache.reset()
        logits = model(prompt[None], **{CACHE: cache}).logits[0]
    assert closeness(logits, reference_logits(model, prompt)) < TOLERANCE[model.dtype]


@pytest.mark.numeric
def test_adapters_run_under_the_mask(model, rows):
    adapted = get_peft_model(
        small_model().to(model.dtype), LoraConfig(r=2, target_modules=["q_proj", "down_proj"])
    ).eval()
    ids, mask = padded(rows)
    with torch.no_grad():
        logits = adapted(input_ids=ids, attention_mask=mask).logits
    expected = reference_logits(adapted, rows[0])
    assert closeness(logits[0][mask[0] == 1], expected) < TOLERANCE[model.dtype]


@pytest.mark.numeric
def test_the_causal_prompt_is_another_model(model, rows):
    ids = rows[0][None]
    with torch.no_grad(), causal_prompt(model):
        causal = model(ids).logits[0]
    assert closeness(causal, reference_logits(model, rows[0])) > 1e-2
    with torch.no_grad():
        assert closeness(model(ids).logits[0], reference_logits(model, rows[0])) < TOLERANCE[model.dtype]


@pytest.mark.numeric
def test_a_four_dimensional_mask_is_taken_as_it_is(model, rows):
    mask = rule_mask([rows[0].tolist()], len(rows[0]))
    model.set_attn_implementation("eager")
    with torch.no_grad():
        logits = model(rows[0][None], attention_mask=mask == 0).logits[0]
    model.set_attn_implementation("sdpa")
    assert closeness(logits, reference_logits(model, rows[0])) < TOLERANCE[model.dtype]


# Inputs that must be refused, with words of the message.


def test_text_without_a_prompt_end_is_refused(model):
    with pytest.raises(PrefixMaskError, match="document without"):
        model(torch.tensor([[6, 40, 41, 42]]))
    with pytest.raises(PrefixMaskError, match="row 1 "):
        model(torch.tensor([[6, 40, 7, 42], [6, 40, 41, 42]]))


def test_contradicting_token_types_are_refused(model, rows):
    with pytest.raises(PrefixMaskError, match="contradict"):
        model(rows[0][None], token_type_ids=torch.zeros(1, len(rows[0]), dtype=torch.long))
    with pytest.raises(PrefixMaskError, match="contradict"):
        model.generate(rows[0][None, :11], token_type_ids=torch.zeros(1, 11, dtype=torch.long), max_new_tokens=2)


def test_a_second_prefix_in_one_row_is_refused(model):
    ids = torch.tensor([[6, 40, 41, 42, 43, 44]])
    with pytest.raises(PrefixMaskError, match="second prefix"):
        model(ids, token_type_ids=torch.tensor([[1, 1, 0, 1, 1, 0]]))


def test_chunked_prefill_is_refused(model):
    with pytest.raises(PrefixMaskError, match="chunk"):
        model.generate(document(9, 0)[None, :-1], prefill_chunk_size=4, max_new_tokens=2)


def test_a_second_turn_on_a_live_cache_is_refused(model):
    cache = DynamicCache(config=model.config)
    first = model.generate(document(5, 0)[None, :-1], **{CACHE: cache}, max_new_tokens=3)
    second = torch.cat([first, document(4, 0)[None, :-1]], dim=1)
    with pytest.raises(PrefixMaskError, match="live cache"):
        model.generate(second, **{CACHE: cache}, max_new_tokens=3)
    with torch.no_grad(), pytest.raises(PrefixMaskError, match="already holds a prompt"):
        model(document(4, 0)[None, :-1], **{CACHE: cache})


@pytest.mark.filterwarnings("ignore:.past_key_values. is deprecated:FutureWarning")
@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_a_cache_is_seen_by_its_name_of_either_release(model, name):
    """PEFT and callers' code have the one, Transformers from 5.24 on the other. Unseen, a second prompt would run causally."""
    for runs in (model, model.model):
        cache = DynamicCache(config=model.config)
        with torch.no_grad():
            runs(document(5, 0)[None, :-1], **{name: cache})
            assert cache.get_seq_length() == len(document(5, 0)) - 1
            with pytest.raises(PrefixMaskError, match="already holds a prompt"):
                runs(document(4, 0)[None, :-1], **{name: cache})


@pytest.mark.filterwarnings("ignore:.past_key_values. is deprecated:FutureWarning")
def test_generate_takes_a_cache_by_its_old_name(model):
    cache, prompt = DynamicCache(config=model.config), document(5, 0)[None, :-1]
    answer = model.generate(prompt, past_key_values=cache, max_new_tokens=4, do_sample=False)
    assert answer.tolist() == model.generate(prompt, max_new_tokens=4, do_sample=False).tolist()
    with pytest.raises(PrefixMaskError, match="live cache"):
        model.generate(torch.cat([answer, prompt], dim=1), past_key_values=cache, max_new_tokens=3)


def test_a_cache_filled_causally_is_not_continued_under_the_mask(model):
    prompt = document(5, 0)[None, :-1]
    with torch.no_grad(), causal_prompt(model):
        cache = model(prompt, use_cache=True)[CACHE]
    with torch.no_grad(), pytest.raises(PrefixMaskError, match="not filled by a whole prompt"):
        model(torch.tensor([[40]]), **{CACHE: cache})


@pytest.mark.filterwarnings("ignore:.past_key_values. is deprecated:FutureWarning")  # raised inside PEFT
@pytest.mark.parametrize("config", [PromptTuningConfig, PrefixTuningConfig])
def test_virtual_tokens_are_refused(rows, config):
    extra = {} if config is PromptTuningConfig else {"token_dim": 32, "num_layers": 16, "num_attention_heads": 2}
    adapted = get_peft_model(small_model(), config(task_type="CAUSAL_LM", num_virtual_tokens=4, **extra))
    with pytest.raises(PrefixMaskError):
        adapted(input_ids=rows[0][None], attention_mask=torch.ones(1, len(rows[0]), dtype=torch.long))


def test_continuous_batching_is_refused(model):
    with pytest.raises(PrefixMaskError, match="continuous batching"):
        model.generate_batch([document(4, 0)[:-1].tolist()])
    with pytest.raises(PrefixMaskError, match="continuous batching"):
        model.init_continuous_batching()


def test_documents_in_a_row_without_positions_are_refused(model, rows):
    with pytest.raises(PrefixMaskError, match="several documents"):
        model(torch.cat(rows)[None])
    mask = torch.cat([torch.full_like(row, i + 1) for i, row in enumerate(rows)])[None]
    with pytest.raises(PrefixMaskError, match="separated by position_ids"):
        model(torch.cat(rows)[None], attention_mask=mask)


def test_prompts_padded_on_the_right_are_refused_in_generation(model):
    ids, mask = padded([document(9, 0)[:-1], document(4, 0)[:-1]], "right")
    with pytest.raises(PrefixMaskError, match="pad them on the left"):
        model.generate(ids, attention_mask=mask, max_new_tokens=2)


def test_install_is_idempotent_and_removable():
    patched = prefix_mask.HrmTextModel.forward
    prefix_mask.install()
    assert prefix_mask.HrmTextModel.forward is patched
    with unpatched():
        assert prefix_mask.HrmTextModel.forward is not patched


def test_a_changed_signature_is_named(monkeypatch):
    with unpatched():
        monkeypatch.setattr(prefix_mask.HrmTextModel, "forward", lambda self, input_ids: None)
        with pytest.raises(UserError, match="no longer takes attention_mask"):
            prefix_mask.install()
        monkeypatch.undo()
