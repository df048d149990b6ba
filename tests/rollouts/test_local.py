"""The sampler draws from the model's own distribution, reads each prompt once, and depends on nothing but its seeds."""

import json
import math
from pathlib import Path

import pytest
import torch

from hrm_align.errors import UserError
from hrm_align.models.loading import load_model, load_model_and_tokenizer, load_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.rollouts.kv_cache import SlotLayer
from hrm_align.rollouts.local import Decoding, generate, sample
from tests.parity.reference import reference_logits

TEXTS = ["Write pig backwards.", "What is 9 minus 4?", "Sort the letters: d a c", "copy abc", "5 + 6 + 7 = ?"]


@pytest.fixture(scope="module", params=["per_document", "sdpa"])
def tiny(request):
    """With shared prompts, and with a copy for every answer."""
    return load_model_and_tokenizer("tiny", attn_implementation=request.param)


@pytest.fixture(scope="module")
def prompts():
    render = get_renderer(load_tokenizer("tiny"))
    return [render.prompt(text, condition) for text in TEXTS for condition in ("direct", "noisy")]


def repeated(prompts, times):
    return [prompt for prompt in prompts for _ in range(times)]


@pytest.mark.numeric
def test_its_logprobs_are_those_of_a_mask_drawn_by_hand(tiny, prompts):
    """Against the unpatched port under a dense mask; seen 7e-6, a causal prompt differs by 0.5 and more."""
    model, _ = tiny
    rows = repeated(prompts[:6], 2)
    worst = 0.0
    for prompt, answer in zip(rows, sample(model, rows, range(len(rows)), Decoding(12, temperature=0.7)), strict=True):
        logits = reference_logits(model, [*prompt, *answer.ids])[len(prompt) - 1 : -1] / 0.7
        scored = logits.log_softmax(-1).gather(-1, torch.tensor(answer.ids)[:, None])[:, 0]
        worst = max(worst, (scored - torch.tensor(answer.logprobs)).abs().max().item())
    assert worst < 1e-4


@pytest.mark.numeric
def test_tokens_come_as_often_as_the_model_says(tiny):
    """First tokens of 4,000 answers to one prompt, in their expected numbers (chi-square, 99.9 % quantile)."""
    model, tokenizer = tiny
    prompt = get_renderer(tokenizer).prompt("Kim likes", "noisy")
    probabilities = (reference_logits(model, prompt)[-1] / 1.3).softmax(-1)
    drawn = sample(model, [prompt] * 4000, range(4000), Decoding(1, temperature=1.3), batch_size=4000)
    counts = torch.bincount(torch.tensor([answer.ids[0] for answer in drawn]), minlength=len(probabilities))
    common = probabilities * 4000 >= 5
    expected = torch.cat([probabilities[common], probabilities[~common].sum()[None]]) * 4000
    seen = torch.cat([counts[common], counts[~common].sum()[None]])
    degrees = len(expected) - 1
    assert degrees > 5, "the distribution is broad enough to mean something"
    limit = degrees * (1 - 2 / (9 * degrees) + 3.09 * math.sqrt(2 / (9 * degrees))) ** 3  # Wilson and Hilferty
    assert ((seen - expected) ** 2 / expected).sum() < limit


@pytest.mark.numeric
def test_what_is_drawn_depends_on_the_seed_alone(tiny, prompts):
    """Not on the batch, its order, its size, or a global random state."""
    model, _ = tiny
    rows, decoding = repeated(prompts, 2), Decoding(8, temperature=1.2)
    together = sample(model, rows, range(len(rows)), decoding)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    order = list(range(len(rows)))[::-1]
    apart = sample(model, [rows[i] for i in order], order, decoding, batch_size=7)
    assert [answer.ids for answer in together] == [answer.ids for answer in apart][::-1]
    assert torch.equal(torch.get_rng_state(), state)
    others = sample(model, rows, range(1000, 1000 + len(rows)), decoding)
    assert [answer.ids for answer in others] != [answer.ids for answer in together]


def stock_greedy(model, prompts, tokens):
    """Transformers' own `generate` under the prefix mask, one prompt at a time."""
    answers = []
    for prompt in prompts:
        new = model.generate(input_ids=torch.tensor([prompt]), max_new_tokens=tokens, do_sample=False)[0, len(prompt) :]
        answers.append(new.tolist())
    return answers


@pytest.fixture(scope="module")
def greedy(prompts):
    return stock_greedy(load_model("tiny"), prompts, 10)


@pytest.mark.numeric
@pytest.mark.parametrize("decoding", [Decoding(10, temperature=1e-4), Decoding(10, top_k=1), Decoding(10, top_p=1e-6),
                                      Decoding(10, greedy=True)])  # fmt: skip
def test_where_only_one_token_is_possible_it_is_that_of_greedy_decoding(tiny, prompts, greedy, decoding):
    model, _ = tiny
    drawn = sample(model, repeated(prompts, 2), range(2 * len(prompts)), decoding)
    assert [answer.ids for answer in drawn] == repeated(greedy, 2)


@pytest.fixture(scope="module")
def many():
    """20 prompts of the base's own families, and the answers of stock `generate`."""
    model, tokenizer = load_model_and_tokenizer("tiny")
    render = get_renderer(tokenizer)
    rows = [json.loads(line) for line in Path("data/base_families/test.jsonl").read_text().splitlines()[::20][:20]]
    prompts = [render.prompt(row["instruction"], row["condition"]) for row in rows]
    return prompts, stock_greedy(model, prompts, 24)


@pytest.mark.numeric
def test_greedy_answers_to_many_prompts_are_those_of_stock_generate(tiny, many):
    """In batches that answers of all lengths leave."""
    prompts, expected = many
    answers = generate(tiny[0], prompts, max_new_tokens=24)
    assert answers == expected
    assert len({len(answer) for answer in answers}) > 8, "answers of many lengths"


@pytest.mark.numeric
def test_under_autocast_the_cache_has_its_precision_and_the_answers_are_those_of_one_in_float32(
    tiny, prompts, monkeypatch
):
    """Attention casts what it reads to bfloat16: kept in float32, it would be cast again, and read twice, at every token."""
    rows, drawn, stored = repeated(prompts[:3], 2), {}, []
    update = SlotLayer.update

    def noted(layer, *args, **kwargs):
        stored.extend(update(layer, *args, **kwargs))
        return stored[-2], stored[-1]

    with torch.autocast("cpu", torch.bfloat16):
        monkeypatch.setattr(SlotLayer, "update", noted)
        drawn["as it is read"] = sample(tiny[0], rows, range(len(rows)), Decoding(4))
        assert {states.dtype for states in stored} == {torch.bfloat16}
        monkeypatch.setattr("hrm_align.rollouts.kv_cache.cast_like_autocast", lambda states: states.float())
        stored.clear()
        drawn["in float32"] = sample(tiny[0], rows, range(len(rows)), Decoding(4))
        assert {states.dtype for states in stored} == {torch.float32}
    assert drawn["as it is read"] == drawn["in float32"]


def test_sampled_answers_are_those_of_their_seed(tiny, prompts):
    model, _ = tiny
    first, again, other = (generate(model, prompts, max_new_tokens=8, temperature=1.5, seed=s) for s in (1, 1, 2))
    assert first == again != other


def test_an_answer_ends_with_its_end_token_and_the_others_go_on(tiny, prompts):
    """Also where the first token is the end, and where most answers have left the batch."""
    model, tokenizer = tiny
    end = get_renderer(tokenizer).response_end_id
    rows = repeated(prompts, 8)
    answers = sample(model, rows, range(len(rows)), Decoding(24, temperature=2.0))
    lengths = {len(answer.ids) for answer in answers}
    assert len(lengths) > 5, "answers of many lengths"
    for answer in answers:
        assert len(answer.ids) == len(answer.logprobs) and end not in answer.ids[:-1]
        assert answer.ids[-1] == end or len(answer.ids) == 24
    with torch.no_grad():
        kept = model.lm_head.weight[end].clone()
        model.lm_head.weight[end] = 0
        hidden = model.model(torch.tensor([rows[0]])).last_hidden_state[0, -1]
        model.lm_head.weight[end] = 100 * hidden
    try:
        assert [a.ids for a in sample(model, rows[:3], range(3), Decoding(24))] == [[end]] * 3
    finally:
        with torch.no_grad():
            model.lm_head.weight[end] = kept


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0}, {"top_p": 0}, {"top_p": 1.5}, {"top_k": -1}, {"temperature": math.nan}]
)
def test_a_setting_that_cannot_be_is_one_sentence(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        Decoding(8, **wrong)
