"""Every combination of what wraps the forward (hrm_align/models/__init__.py) computes what the bare eager model computes."""

from functools import partial
from itertools import product
from unittest.mock import patch

import pytest
import torch
from peft import LoraConfig, get_peft_model
from trl.trainer.utils import add_fused_lm_head

from hrm_align.models import attention as per_document
from hrm_align.models.compile import compile_blocks
from hrm_align.models.lm_head import expose_adapted_head, score_responses_only
from hrm_align.models.loading import load_model
from hrm_align.models.recurrence import Horizon

# Noise seen: 4e-6 of a gradient. A causal prompt changes a gradient by its whole size, a horizon of one pass less by 0.2.
TOLERANCE = 1e-4
BOS, END, STOP = 6, 7, 11


@pytest.fixture(scope="module")
def traced_only():
    """Traces the blocks as a compiler does and runs the graphs as they are; the machine's compiler is not needed."""
    torch._dynamo.reset()
    with patch.object(torch, "compile", partial(torch.compile, backend="eager")):
        yield
    torch._dynamo.reset()


def batch():
    """Two rows of packed documents: ids, positions, labels, each (2, 48)."""
    draw = torch.Generator().manual_seed(1)
    rows = []
    for lengths in (((9, 8), (12, 7), (5, 7)), ((14, 9), (6, 8), (4, 7))):  # prefix and response of each document
        ids, positions, labels = [], [], []
        for prefix, response in lengths:
            text = torch.randint(60, 500, (prefix + response,), generator=draw).tolist()
            text[0], text[prefix - 1], text[-1] = BOS, END, STOP
            ids += text
            positions += range(len(text))
            labels += [-100] * prefix + text[prefix:]
        rows.append((ids, positions, labels))
    ids, positions, labels = (torch.tensor(column) for column in zip(*rows, strict=True))
    return ids, positions, labels


def gradients(adapter, head=False, compiled=False, attention="eager", bp_steps=4):
    """The mean loss on responses, and the gradient of every trained weight by its bare name."""
    torch.manual_seed(0)
    model = load_model("tiny", attn_implementation=attention).train()
    if compiled:
        compile_blocks(model)
    if head:
        add_fused_lm_head(model)
        score_responses_only(model)
    if adapter:
        config = LoraConfig(r=4, target_modules=["q_proj", "down_proj", "lm_head"], init_lora_weights=False)
        model = get_peft_model(model, config, autocast_adapter_dtype=False)
        expose_adapted_head(model)
    horizon = Horizon(model, bp_steps)
    ids, positions, labels = batch()
    inputs = {"input_ids": ids, "position_ids": positions}
    if head:
        output = model(**inputs, labels=labels, fused_lm_head=True)
        loss = -output.log_probs[output.label_mask].mean()
    else:
        scored = labels[:, 1:] != -100
        logits = model(**inputs).logits[:, :-1][scored]
        loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:][scored])
    loss.backward()
    horizon.detach()
    trained = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return loss.item(), trained


def distance(ours, theirs):
    """The largest difference of a loss or a gradient, relative to the reference's size."""
    assert ours[1].keys() == theirs[1].keys()
    parts = [(ours[1][name] - value).norm() / value.norm() for name, value in theirs[1].items() if value.norm() > 0]
    return max(abs(ours[0] - theirs[0]) / theirs[0], max(parts).item())


@pytest.fixture(scope="module")
def reference():
    """The gradients of the bare model, without an adapter and with one."""
    return [gradients(adapter) for adapter in (False, True)]


def combination(adapter, head, compiled, attention):
    """Only adapters are compiled outside of campaigns, with one kernel, because tracing takes 3 to 10 s.

    test_compiled_blocks.py compiles models without adapters, with both kernels.
    """
    slow = compiled and (not adapter or attention != "sdpa")
    return pytest.param(adapter, head, compiled, attention, marks=[pytest.mark.campaign] * slow)


@pytest.mark.numeric
@pytest.mark.parametrize(
    "adapter, head, compiled, attention",
    [combination(*each) for each in product(*[(False, True)] * 3, ("sdpa", "per_document", "varlen"))],
)
def test_combinations_compute_what_the_bare_model_computes(
    reference, adapter, head, compiled, attention, traced_only, monkeypatch
):
    monkeypatch.setattr(per_document, "DENSE_ROW", 0)  # or rows so short would take a mask
    expected = reference[adapter]
    apart = distance(gradients(adapter, head, compiled, attention), expected)
    print(f"{apart:.1e}")
    assert apart < TOLERANCE


@pytest.mark.numeric
@pytest.mark.parametrize("adapter", [False, True])
def test_a_horizon_of_one_pass_less_is_far_outside_the_tolerance(reference, adapter):
    assert distance(gradients(adapter, bp_steps=3), reference[adapter]) > 100 * TOLERANCE
