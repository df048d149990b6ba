"""The answers of a group behind one prompt: log-probabilities and gradients of separate rows under a mask drawn by hand."""

import functools
import operator

import pytest
import torch
from transformers.integrations.flex_attention import WrappedFlexAttention
from trl.trainer.utils import add_fused_lm_head

from hrm_align.models.intervals import PrefixMaskError
from hrm_align.models.lm_head import score_responses_only
from hrm_align.models.prefix_mask import causal_prompt
from hrm_align.rollouts.logprobs import group_rows, pack, score_packed
from tests.parity.reference import float64, reference_logits, rule_mask, small_model, trained_model, unpatched

# Of the largest log-probability or logit, and of the norm of all gradients. Seen in float64: 5e-15; in float32, where the
# noise depends on the processor: 4e-6. Faults: an attention scale that is 0.1 % off 1e-4, an answer that sees its
# neighbour 0.1, a causal prompt 0.1, a label shifted by one 0.5.
TOLERANCE = 1e-12
TOLERANCE_FLOAT32 = 2e-5
KERNELS = ["sdpa", "eager", "per_document"]
NAMES = ["random", "trained"]
needs_avx2 = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="PyTorch has no flex_attention for a CPU without AVX2"
)
PROMPTS = [[6, 40, 41, 42, 7], [6, 50, 7], [6, 33, 7]]
# Answers of 1 to 9 tokens; groups of 3, 1 and 2; the second answer begins with a sampled end of a message.
ANSWERS = [[[60, 61, 62, 11], [7, 44, 11], [35, 36, 37, 38, 39, 40, 41, 42, 11]], [[59]], [[55, 11], [7]]]


def rollout():
    """Rows as TRL pads them, those of a group apart: ids, mask, length of the answers' part."""
    rows = [(p, a) for p, answers in zip(PROMPTS, ANSWERS, strict=True) for a in answers]
    rows = [rows[i] for i in (3, 0, 5, 2, 4, 1)]
    before, behind = max(len(p) for p, _ in rows), max(len(a) for _, a in rows)
    ids, mask = torch.full((len(rows), before + behind), 5), torch.zeros(len(rows), before + behind, dtype=torch.long)
    for row, (prompt, answer) in enumerate(rows):
        ids[row, before - len(prompt) : before + len(answer)] = torch.tensor(prompt + answer)
        mask[row, before - len(prompt) : before + len(answer)] = 1
    return ids, mask, behind


@functools.cache
def load(name, dtype):
    model = small_model() if name == "random" else trained_model()
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    score_responses_only(model)
    return model.to(dtype)


def packed_logprobs(model, kernel, tokens=None):
    """(rows, kept), the packs in chunks of at most `tokens`."""
    model.set_attn_implementation(kernel)

    def run(packed, targets):
        return model(
            input_ids=packed.input_ids, attention_mask=packed.attention_mask, position_ids=packed.position_ids,
            targets=targets, tokens_to_score=packed.tokens_to_score, fused_lm_head=True,
        )  # fmt: skip

    scored, _ = score_packed(run, *rollout(), pad_id=5, in_one_row=kernel == "per_document", tokens=tokens)
    model.set_attn_implementation("sdpa")
    return scored


def row_logprobs(model):
    """The same, one unpadded document at a time through the unpatched model under a drawn mask."""
    ids, mask, kept = rollout()
    scored = torch.zeros(len(ids), kept)
    for row in range(len(ids)):
        tokens, answer = ids[row][mask[row] == 1], int(mask[row, -kept:].sum())
        with unpatched():
            drawn = rule_mask([tokens.tolist()], len(tokens))
            logits = model(tokens[None], attention_mask=drawn, use_cache=False).logits[0]
        chosen = logits.log_softmax(-1)[:-1].gather(-1, tokens[1:, None])[:, 0][-answer:]
        scored = scored.index_put((torch.tensor(row), torch.arange(answer)), chosen)
    return scored


def gradients(model, logprobs):
    """Of a loss in which every answer and every token counts differently."""
    model.zero_grad()
    weights = torch.arange(logprobs.numel()).cos().view_as(logprobs)
    (logprobs * weights).sum().backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@functools.cache
def separate_rows(name, dtype):
    """Log-probabilities and gradients of separate rows, the same for every kernel."""
    model = load(name, dtype)
    logprobs = row_logprobs(model)
    return logprobs.detach(), gradients(model, logprobs)


def distances(name, dtype, kernel, tokens=None):
    """Of log-probabilities and of gradients between packed groups and separate rows, each relative to the rows'."""
    model, (theirs, expected) = load(name, dtype), separate_rows(name, dtype)
    ours = packed_logprobs(model, kernel, tokens)
    found = gradients(model, ours)
    assert found.keys() == expected.keys()
    apart, whole = (torch.cat([g.flatten() for g in part]).norm() for part in
                    ([found[name] - expected[name] for name in expected], expected.values()))  # fmt: skip
    return ((ours - theirs).abs().max() / theirs.abs().max()).item(), (apart / whole).item()


@pytest.mark.numeric
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("tokens", [None, 12], ids=["at once", "in chunks"])
@pytest.mark.parametrize("name", NAMES)
def test_logprobs_and_gradients_are_those_of_separate_rows(name, kernel, tokens):
    with float64():
        assert max(distances(name, torch.float64, kernel, tokens)) < TOLERANCE


@pytest.mark.numeric
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", NAMES)
def test_logprobs_and_gradients_are_those_of_separate_rows_in_float32(name, kernel):
    assert max(distances(name, torch.float32, kernel)) < TOLERANCE_FLOAT32


@pytest.mark.numeric
@pytest.mark.parametrize("kernel", [*KERNELS, pytest.param("flex_attention", marks=needs_avx2)])
def test_further_answers_see_the_prompt_and_themselves(kernel, monkeypatch):
    # flex_attention is traced and runs as it is: C++ takes half a minute to compile (tests/gpu has it under `campaign`).
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    monkeypatch.setattr(WrappedFlexAttention, "_instance", None)  # Transformers keeps the compiled function
    model, prompt, answers = trained_model(), PROMPTS[0], ANSWERS[0]
    ids = torch.tensor([[*prompt, *functools.reduce(operator.iadd, answers, [])]])
    positions = torch.cat([torch.arange(len(prompt)), *(torch.arange(len(a)) + len(prompt) for a in answers)])[None]
    model.set_attn_implementation(kernel)
    with torch.no_grad():
        logits = model(ids, position_ids=positions, use_cache=False).logits[0]
    model.set_attn_implementation("sdpa")
    start = len(prompt)
    for answer in answers:
        alone = reference_logits(model, prompt + answer)[len(prompt) :]
        assert (logits[start : start + len(answer)] - alone).abs().max() < TOLERANCE_FLOAT32 * alone.abs().max()
        start += len(answer)


@pytest.mark.numeric
@pytest.mark.parametrize("name", NAMES)
def test_the_prompt_is_read_bidirectionally(name):
    """The comparison above would fail with a causal prompt."""
    model = load(name, torch.float32)
    with causal_prompt(model):
        causal = packed_logprobs(model, "per_document")
    assert (causal - separate_rows(name, torch.float32)[0]).abs().max() > 1e-2


def test_one_row_holds_no_padding_and_prompts_stand_once():
    ids, mask, kept = rollout()
    packed = pack(group_rows(ids, mask, kept), 5, in_one_row=True)
    assert packed.input_ids.shape == (1, sum(map(len, PROMPTS)) + sum(len(a) for answers in ANSWERS for a in answers))


def test_rows_whose_answer_is_masked_out_are_left_out():
    ids, mask, kept = rollout()
    mask[1, -kept:] = 0
    groups = group_rows(ids, mask, kept)
    assert sorted(row for group in groups for row in group.rows) == [0, 2, 3, 4, 5]


@pytest.mark.parametrize("start", [2, 4, 6])
def test_positions_that_go_back_to_another_place_are_refused(start):
    """One answer where it belongs, and one a token too early or too late: neither 0 nor the prompt's length, 5."""
    ids = torch.tensor([[*PROMPTS[0], 60, 11, 61, 11, 62, 11]])
    positions = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 5, 6, start, start + 1]])
    with pytest.raises(PrefixMaskError, match="row 0: position_ids go back"):
        small_model()(ids, position_ids=positions)
