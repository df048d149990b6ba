"""Compare every attention kernel with a mask that is built token by token, forward and backward, on the device.

The reference is computed on a CPU in float32, one document at a time, by Transformers' own forward (tests/parity/reference.py).
FlashAttention behind `varlen` runs in half precision on a GPU only, where rounding depends on the kernel: there the error is
compared with that of sdpa under the drawn mask.
"""

import copy

import pytest
import torch

from tests.parity.reference import document, reference_logits, rule_mask, small_model, trained_model, unpatched

KERNELS = ["sdpa", "eager", "per_document", "varlen", "flex_attention"]
TRAINABLE = KERNELS[:-1]  # on a CPU: flex_attention has no backward there
# Relative to the largest logit and the largest entry of a gradient, in float32 against a CPU. Measured on a CPU: 5e-6. A document
# that attends to its neighbour changes logits by 0.04 and more, a causal prompt by 0.5.
TOLERANCE = 1e-4
# Factor of the error of sdpa under the drawn mask, as root mean squares. Measured on a CPU: up to 1.2; a fault gives 10 and more.
HALF_FACTOR = 2.0


@pytest.fixture(scope="module")
def references():
    """Models on the CPU: random weights with heads of 16, and the embedded base, whose attention is sharp."""
    torch.manual_seed(0)
    return {"random": small_model(), "trained": trained_model()}


@pytest.fixture(params=["random", "trained"])
def reference(request, references):
    return references[request.param]


def on(device, reference, kernel, dtype=torch.float32):
    """Return a copy of the model on the device."""
    if kernel == "flex_attention" and device == "cpu" and torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("PyTorch has no flex_attention for a CPU without AVX2")
    if kernel == "flex_attention" and device == "cpu" and reference.config.hidden_size == 32:
        pytest.skip("it takes seconds to compile for a CPU: once is enough")
    model = copy.deepcopy(reference).to(device)
    for weight in model.parameters():  # not `.to(dtype)`, which would round the rotary frequencies too
        weight.data = weight.data.to(dtype)
    model.set_attn_implementation(kernel)
    return model


def rows():
    """Prompts of 1 to 20 tokens, answers of 1 to 9; a document of a prompt's end alone begins the second row."""
    torch.manual_seed(1)
    return [document(9, 5), document(3, 8), document(19, 1), document(6, 2)]


def packed(documents):
    """One row of documents and two tokens of padding: ids, mask, positions, labels of the answers."""
    ids = torch.cat([*documents, torch.tensor([5, 5])])[None]
    positions = torch.cat([torch.arange(len(row)) for row in documents] + [torch.zeros(2, dtype=torch.long)])[None]
    labels = torch.cat([torch.where(torch.arange(len(r)) > r.tolist().index(7), r, -100) for r in documents])
    return ids, (ids != 5).long(), positions, torch.nn.functional.pad(labels, (0, 2), value=-100)[None]


def distance(actual, expected):
    return ((actual.float().cpu() - expected).abs().max() / expected.abs().max()).item()


def alone(reference, documents):
    return torch.cat([reference_logits(reference, row) for row in documents])


@pytest.mark.numeric
@pytest.mark.parametrize("kernel", TRAINABLE)
def test_a_packed_row_is_each_document_alone(reference, kernel, device):
    assert distance(packed_logits(reference, kernel, device), alone(reference, rows())) < TOLERANCE


@pytest.mark.numeric
def test_with_flex_attention_a_packed_row_is_each_document_alone(reference, big_device):
    """On a CPU it takes half a minute to compile; tests/parity/test_shared_prompts.py has it too."""
    assert distance(packed_logits(reference, "flex_attention", big_device), alone(reference, rows())) < TOLERANCE


def packed_logits(reference, kernel, device):
    model, (ids, mask, positions, _) = on(device, reference, kernel), packed(rows())
    with torch.no_grad():
        return model(
            ids.to(device), attention_mask=mask.to(device), position_ids=positions.to(device), use_cache=False
        ).logits[0, :-2]


@pytest.mark.numeric
@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_are_those_of_a_drawn_mask(reference, kernel, device):
    if kernel not in TRAINABLE and device == "cpu":
        pytest.skip("flex_attention has no backward on a CPU")
    model, (ids, mask, positions, labels) = on(device, reference, kernel), packed(rows())
    model(
        ids.to(device), attention_mask=mask.to(device), position_ids=positions.to(device), labels=labels.to(device),
        use_cache=False,
    ).loss.backward()  # fmt: skip
    expected = drawn_gradients(reference, labels)
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    assert gradients.keys() == expected.keys() != set()
    assert max(distance(gradients[name], expected[name]) for name in expected) < TOLERANCE


def drawn_gradients(model, labels):
    """Return the gradients of the unpatched model under the drawn mask, on the CPU, without padding."""
    documents = rows()
    ids, positions = torch.cat(documents)[None], torch.cat([torch.arange(len(row)) for row in documents])[None]
    model.zero_grad()
    with unpatched():
        mask = rule_mask([row.tolist() for row in documents], ids.shape[1])
        model(ids, attention_mask=mask, position_ids=positions, labels=labels[:, :-2], use_cache=False).loss.backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return gradients


@pytest.mark.numeric
@pytest.mark.parametrize("kernel", TRAINABLE)
def test_further_answers_see_the_prompt_and_themselves(reference, kernel, device):
    """Two prompts with three and one answers in a row, another prompt in a second row, padded."""
    torch.manual_seed(2)
    groups = [(document(7, 0)[:-1], [torch.randint(31, 64, (n,)) for n in (4, 1, 6)]), (torch.tensor([7]), [[40, 41]])]
    ids, positions, expected = [], [], []
    for prompt, answers in groups:
        ids += [prompt, *map(torch.as_tensor, answers)]
        positions += [torch.arange(len(prompt)), *(torch.arange(len(a)) + len(prompt) for a in answers)]
        for number, answer in enumerate(answers):
            logits = reference_logits(reference, torch.cat([prompt, torch.as_tensor(answer)]))
            expected.append(logits if number == 0 else logits[len(prompt) :])
    model, width = on(device, reference, kernel), sum(map(len, ids))
    other = document(4, 5)
    batch = torch.full((2, width), 5)
    where = torch.zeros(2, width, dtype=torch.long)
    batch[0], where[0] = torch.cat(ids), torch.cat(positions)
    batch[1, : len(other)], where[1, : len(other)] = other, torch.arange(len(other))
    with torch.no_grad():
        logits = model(
            batch.to(device), attention_mask=(batch != 5).long().to(device), position_ids=where.to(device), use_cache=False
        ).logits  # fmt: skip
    assert distance(logits[0], torch.cat(expected)) < TOLERANCE
    assert distance(logits[1, : len(other)], reference_logits(reference, other)) < TOLERANCE


@pytest.mark.numeric
@pytest.mark.parametrize("kernel", TRAINABLE)
def test_in_bfloat16_a_kernel_errs_no_more_than_a_drawn_mask(reference, kernel, device):
    """Weights and arithmetic in bfloat16, as rollouts run; on a GPU `varlen` is FlashAttention here."""
    model, (ids, mask, positions, _) = on(device, reference, kernel, torch.bfloat16), packed(rows())
    rounded = copy.deepcopy(model).float().cpu()
    rounded.set_attn_implementation("sdpa")
    expected = alone(rounded, rows())
    with torch.no_grad():
        logits = model(
            ids.to(device), attention_mask=mask.to(device), position_ids=positions.to(device), use_cache=False
        ).logits[0, :-2]
        model.set_attn_implementation("sdpa")
        with unpatched():
            drawn = rule_mask([row.tolist() for row in rows()], ids.shape[1] - 2).bfloat16().to(device)
            by_mask = model(
                ids[:, :-2].to(device), attention_mask=drawn, position_ids=positions[:, :-2].to(device), use_cache=False
            ).logits[0]
    ours, theirs = ((part.float().cpu() - expected).square().mean().sqrt().item() for part in (logits, by_mask))
    assert 0 < ours < HALF_FACTOR * theirs
