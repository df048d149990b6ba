"""Decoding on the device at hand: the tokens of stock `generate`, with and without a captured step, and the bfloat16 gate."""

from functools import partial

import pytest
import torch

from hrm_align.config.arguments import LoraArguments
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.models.lora import add_adapter
from hrm_align.models.perturbation import prove
from hrm_align.models.rounding import measure_floor
from hrm_align.rendering import Document, get_renderer
from hrm_align.rollouts import graphs
from hrm_align.rollouts.local import Decoding, sample
from hrm_align.rollouts.logprobs import parity
from hrm_align.rollouts.parity import HALF_FACTOR, HALF_LEAST

TEXTS = ["Write pig backwards.", "What is 9 minus 4?", "Sort the letters: d a c", "copy abc", "5 + 6 + 7 = ?"]
LONG = 24  # tokens: answers leave the batch at different times, and room grows several times
# Nats. Measured: 3e-6; attention to an unwritten place of the cache, or to a neighbour's, changes log-probabilities by 0.1.
TOLERANCE = 1e-4
HALF = 0.2  # nats of a token in bfloat16; measured: 0.03


@pytest.fixture(params=["sdpa", "varlen"])
def loaded(request, device):
    """The embedded base on the device, its tokenizer and prompts."""
    model, tokenizer = load_model_and_tokenizer("tiny", attn_implementation=request.param, device=device)
    render = get_renderer(tokenizer)
    return model, tokenizer, [render.prompt(text, "direct") for text in TEXTS]


@pytest.fixture
def little_room(monkeypatch):
    """Shapes change every few tokens."""
    monkeypatch.setattr(graphs, "ROOM", 2)


def groups(prompts):
    """Groups of unequal sizes."""
    return [prompt for number, prompt in enumerate(prompts) for _ in range(1 + number % 3)]


@pytest.mark.numeric
def test_captured_steps_draw_what_steps_draw(loaded, little_room):
    model, _, prompts = loaded
    rows = groups(prompts)
    for decoding in ({"temperature": 1.5}, {"greedy": True}):
        plain = sample(model, rows, range(len(rows)), Decoding(LONG, **decoding))
        captured = sample(model, rows, range(len(rows)), Decoding(LONG, **decoding, cuda_graphs=True))
        assert [answer.ids for answer in captured] == [answer.ids for answer in plain]
        pairs = zip(captured, plain, strict=True)
        assert max(abs(a - b) for x, y in pairs for a, b in zip(x.logprobs, y.logprobs, strict=True)) < TOLERANCE
    assert len({len(answer.ids) for answer in plain}) > 2, "answers left the batch at different times"


@pytest.mark.campaign  # on a CPU; `-m gpu` runs it too
@pytest.mark.numeric
def test_compiled_pieces_draw_what_blocks_draw(little_room, monkeypatch):
    """What a GPU compiles, traced here and run as it is: full groups, and groups that lose answers."""
    monkeypatch.setattr(graphs, "COMPILED_ON", ("cpu",))
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    compiled = set()
    original = graphs._compiled
    monkeypatch.setattr(graphs, "_compiled", lambda piece: compiled.add(piece.__name__) or original(piece))
    original.cache_clear()
    model, tokenizer = load_model_and_tokenizer("tiny", attn_implementation="per_document")
    rows = groups([get_renderer(tokenizer).prompt(text, "direct") for text in TEXTS])
    plain, captured = (
        sample(model, rows, range(len(rows)), Decoding(LONG, temperature=1.5, cuda_graphs=graphs))
        for graphs in (False, True)
    )
    original.cache_clear()
    torch._dynamo.reset()
    assert compiled == {"_normed", "_gated", "apply_rotary_pos_emb", "attend_shared"}
    assert [answer.ids for answer in captured] == [answer.ids for answer in plain]
    pairs = zip(captured, plain, strict=True)
    assert max(abs(a - b) for x, y in pairs for a, b in zip(x.logprobs, y.logprobs, strict=True)) < TOLERANCE


@pytest.mark.numeric
def test_captured_steps_outlast_their_room(loaded, little_room):
    """An answer that never ends, past many times the room."""
    model, _, prompts = loaded
    model.generation_config.eos_token_id = -1
    rows = groups(prompts[:2])
    plain, captured = (
        sample(model, rows, range(len(rows)), Decoding(LONG, cuda_graphs=graphs)) for graphs in (False, True)
    )
    assert [answer.ids for answer in captured] == [answer.ids for answer in plain]
    assert {len(answer.ids) for answer in plain} == {LONG}


@pytest.mark.numeric
def test_captured_steps_of_an_adapter_and_under_autocast(loaded, little_room, tmp_path):
    model, tokenizer, prompts = loaded
    adapted = add_adapter(model, tokenizer, "tiny", LoraArguments(use_peft=True, lora_target_modules=["all"])).eval()
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    device = next(adapted.parameters()).device.type
    with torch.autocast(device, dtype=torch.bfloat16):
        plain, captured = (
            sample(adapted, prompts, range(len(prompts)), Decoding(8, greedy=True, cuda_graphs=graphs))
            for graphs in (False, True)
        )
    compared = 0
    for ours, theirs in zip(captured, plain, strict=True):
        for token, other, logprob, expected in zip(ours.ids, theirs.ids, ours.logprobs, theirs.logprobs, strict=False):
            if token != other:  # a near tie in bfloat16: what comes behind it is another answer
                break
            assert abs(logprob - expected) < HALF
            compared += 1
    assert compared > sum(len(answer.ids) for answer in plain) / 2


@pytest.mark.numeric
def test_greedy_answers_are_those_of_stock_generate(loaded):
    model, _, prompts = loaded
    for captured in (False, True):
        drawn = sample(model, prompts, range(len(prompts)), Decoding(12, greedy=True, cuda_graphs=captured))
        for prompt, answer in zip(prompts, drawn, strict=True):
            ids = torch.tensor([prompt], device=model.device)
            stock = model.generate(ids, max_new_tokens=12, do_sample=False)[0, len(prompt) :].tolist()
            assert answer.ids == stock


def documents(tokenizer):
    """Questions with answers of some length."""
    render = get_renderer(tokenizer)
    made = []
    for number, text in enumerate(TEXTS):
        prompt = render.prompt(text, "direct")
        made.append(Document([*prompt, *range(60 + number, 84 + number), 11], len(prompt)))
    return made


@pytest.mark.numeric
@pytest.mark.parametrize("kernel", ["sdpa", "per_document", "varlen"])
def test_editing_a_token_moves_what_may_see_it_and_nothing_else(device, kernel):
    model, tokenizer = load_model_and_tokenizer("tiny", attn_implementation=kernel, device=device)
    proof = prove(model, documents(tokenizer))
    assert proof.holds, proof


@pytest.mark.numeric
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sampler_and_trainer_agree_at_the_published_depth(deep_trained, big_device, dtype):
    """The gate of every rollout: ten times what two kernels give in float32, four times their mean in bfloat16."""
    model, tokenizer = load_model_and_tokenizer(str(deep_trained), dtype=dtype, device=big_device)
    made = documents(tokenizer)
    with torch.no_grad():
        found, floor = parity(model, made), measure_floor(model, made)
    assert found.tokens == sum(len(d.input_ids) - d.prefix_length for d in made)
    if dtype == "float32":
        assert found.max_difference <= max(1e-3, floor.limit(floor.nats))
    else:
        assert 0 < found.mean_difference <= max(HALF_LEAST, HALF_FACTOR * floor.mean_nats)


@pytest.mark.numeric
def test_a_merged_adapter_is_the_adapter_at_the_published_depth(deep_trained, big_device):
    model, tokenizer = load_model_and_tokenizer(str(deep_trained), device=big_device)
    adapted = add_adapter(model, tokenizer, str(deep_trained), LoraArguments(use_peft=True)).eval()
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=1e-2)
    ids = [torch.tensor([d.input_ids], device=big_device) for d in documents(tokenizer)]
    with torch.no_grad():
        floor = measure_floor(adapted, documents(tokenizer))
        before = [adapted(row, use_cache=False).logits for row in ids]
        with adapted.disable_adapter():
            bare = [adapted(row, use_cache=False).logits for row in ids]
        merged = adapted.merge_and_unload(safe_merge=True)
        after = [merged(row, use_cache=False).logits for row in ids]
    apart, moved = (
        max(((a - b).abs().max() / a.abs().max()).item() for a, b in zip(before, others, strict=True))
        for others in (after, bare)
    )
    assert apart <= floor.limit(floor.logits) < moved
