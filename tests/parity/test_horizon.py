"""The gradient horizon against the official rule, written here as a loop of its own over the model's two stacks."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy

from hrm_align.errors import UserError
from hrm_align.models.recurrence import Horizon, HorizonSchedule, from_l_bp_cycles, get_backbone, to_l_bp_cycles
from tests.parity.reference import float64, recomputed_in_float64, rule_mask, small_model

# Of the largest entry, in float64; seen 1e-15. The port's default horizon is off by 0.27, one pass too many or too few by
# more.
TOLERANCE = 1e-12
IDS = torch.tensor([[6, 8, 40, 41, 42, 7, 50, 51, 52, 11], [6, 9, 43, 7, 53, 54, 55, 56, 57, 11]])
LABELS = torch.tensor([[-100] * 6 + [50, 51, 52, 11], [-100] * 4 + [53, 54, 55, 56, 57, 11]])
# sapientinc/HRM-Text: with H 2 x L 3, how many H passes carry gradient, and how many L passes in each H cycle.
OFFICIAL = {
    2: (1, [0, 1]),
    3: (2, [0, 1]),
    4: (2, [0, 2]),
    5: (2, [0, 3]),
    6: (2, [1, 3]),
    7: (2, [2, 3]),
    8: (2, [3, 3]),
}


def new_model(high=2, low=3, layers=2):
    changes = {"num_hidden_layers": layers, "H_cycles": high, "L_cycles": low, "L_bp_cycles": [low] * high}
    return small_model(**changes, eos_token_id=11).double()


@pytest.fixture(autouse=True)
def _in_float64():
    with float64():
        yield


def official_loss(model, h_steps, l_steps):
    """The official training forward: the last `h_steps` H passes and the last `l_steps` L passes carry gradient."""
    backbone, head = get_backbone(model), model.get_output_embeddings()
    config = backbone.config
    layers, total = config.num_layers_per_stack, config.H_cycles * config.L_cycles
    mask = torch.cat([rule_mask([row], IDS.shape[1]) for row in IDS.tolist()])
    high = backbone.embed_tokens(IDS) * backbone.embedding_scale
    rest = {
        "attention_mask": mask,
        "position_embeddings": backbone.rotary_emb(high, torch.arange(IDS.shape[1])[None]),
    }
    low = backbone.z_L_init.expand_as(high)
    for cycle in range(config.H_cycles):
        offset = cycle * (config.L_cycles + 1) * layers
        for k in range(cycle * config.L_cycles, (cycle + 1) * config.L_cycles):
            with torch.set_grad_enabled(k >= total - l_steps):
                low = backbone.L_module(low + high, cycle_offset=offset + k % config.L_cycles * layers, **rest)
        with torch.set_grad_enabled(cycle >= config.H_cycles - h_steps):
            high = backbone.H_module(high + low, cycle_offset=offset + config.L_cycles * layers, **rest)
    return cross_entropy(head(high[:, :-1]).flatten(0, 1), LABELS[:, 1:].flatten())


def gradients(model, loss):
    """Gradient of every trainable weight; zeros where there is none."""
    model.zero_grad()
    loss.backward()
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    return {name: torch.zeros_like(w) if w.grad is None else w.grad.clone() for name, w in trained.items()}


def under_horizon(model, bp_steps):
    horizon = Horizon(model, bp_steps)
    try:
        return gradients(model, model(IDS, labels=LABELS, use_cache=False).loss)
    finally:
        horizon.detach()


def assert_equal(ours, official):
    assert ours.keys() == official.keys()
    for name, gradient in official.items():
        scale = gradient.abs().max().item()
        assert (ours[name] - gradient).abs().max().item() <= TOLERANCE * max(scale, 1e-3), name


@pytest.mark.numeric
@pytest.mark.parametrize("bp_steps", OFFICIAL)
@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
def test_gradients_are_those_of_the_official_rule(bp_steps, checkpointing):
    model = new_model().train()
    high, low = OFFICIAL[bp_steps]
    official = gradients(model, official_loss(model, high, sum(low)))
    if checkpointing:
        before_5_23 = not hasattr(model, "activation_checkpointing_enable")
        recompute = model.gradient_checkpointing_enable if before_5_23 else model.activation_checkpointing_enable
        recompute({"use_reentrant": False, "context_fn": recomputed_in_float64})
    assert_equal(under_horizon(model, bp_steps), official)


@pytest.mark.numeric
@pytest.mark.parametrize("bp_steps", [2, 3, 5])
def test_under_lora_too(bp_steps):
    torch.manual_seed(1)
    adapter = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    model = get_peft_model(new_model(), adapter).train()
    official = gradients(model, official_loss(model, OFFICIAL[bp_steps][0], sum(OFFICIAL[bp_steps][1])))
    assert len(official) == 16
    assert_equal(under_horizon(model, bp_steps), official)


@pytest.mark.numeric
@pytest.mark.parametrize(("high", "low"), [(1, 4), (3, 2)])
def test_with_other_cycle_counts(high, low):
    model = new_model(high, low, layers=1).train()
    for bp_steps in range(2, high * (low + 1) + 1):
        h_steps = min(high, bp_steps - 1)
        assert_equal(
            under_horizon(model, bp_steps), gradients(model, official_loss(model, h_steps, bp_steps - h_steps))
        )


@pytest.mark.numeric
def test_the_model_is_as_before_when_the_horizon_is_taken_off():
    model = new_model().train()
    before = gradients(model, model(IDS, labels=LABELS, use_cache=False).loss)
    under_horizon(model, 2)
    after = gradients(model, model(IDS, labels=LABELS, use_cache=False).loss)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.is_grad_enabled()


def test_an_error_inside_a_pass_without_gradient_leaves_gradient_on():
    model = new_model().train()
    Horizon(model, 2)

    def fail(*_):
        raise RuntimeError("inside")

    model.model.L_module.layers[0].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="inside"):
        model(IDS, use_cache=False)
    assert torch.is_grad_enabled()


def test_passes_outside_the_horizon_keep_nothing_for_the_backward():
    model = new_model().train()
    kept = {}
    for bp_steps in OFFICIAL:
        horizon, sizes = Horizon(model, bp_steps), []

        def note(tensor, sizes=sizes):
            sizes.append(tensor.untyped_storage().nbytes() if not isinstance(tensor, torch.nn.Parameter) else 0)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(IDS, labels=LABELS, use_cache=False)
        horizon.detach()
        kept[bp_steps] = sum(sizes)
    # A pass costs what a pass costs: 2 of 8 keep about a quarter.
    assert list(kept.values()) == sorted(kept.values())
    assert 0.2 < kept[2] / kept[8] < 0.4
    assert 0.55 < kept[5] / kept[8] < 0.75


def test_a_cycle_is_written_in_the_ports_own_key():
    config = new_model().config
    for bp_steps, (h_passes, cycles) in OFFICIAL.items():
        assert to_l_bp_cycles(bp_steps, config) == (cycles if h_passes == 2 else None)
        if h_passes == 2:
            assert from_l_bp_cycles(cycles, config) == bp_steps
    assert from_l_bp_cycles([2], config) is None, "the port's default pads to [1, 2], which no official run uses"


def test_the_official_warm_up():
    # 2 + int(min(1, step / warm-up) * 3), as the official pretraining computes it
    schedule = HorizonSchedule(2, 5, warmup_steps=9)
    assert [schedule.at(step) for step in range(1, 12)] == [2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]
    assert {HorizonSchedule(3, 3).at(step) for step in (1, 7)} == {3}


@pytest.mark.parametrize("bp_steps", [0, 1, 9])
def test_a_horizon_that_the_model_does_not_have_is_refused(bp_steps):
    with pytest.raises(UserError, match="use 2 to 8"):
        Horizon(new_model(), bp_steps)
