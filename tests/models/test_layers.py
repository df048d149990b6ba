"""Presets name exact layers of the 1B model, the two `gate_proj` apart."""

import pytest
import torch
from transformers import HrmTextConfig, HrmTextForCausalLM

from hrm_align.config.arguments import LoraArguments
from hrm_align.errors import UserError
from hrm_align.models.layers import PRESETS, applications, linear_layers, summarize_layers
from hrm_align.models.lora import lora_config

LAYERS = 16
ATTENTION, MLP = 5, 3  # projections: gate, query, key, value, output; gate, up, down


@pytest.fixture(scope="module")
def the_1b():
    config = HrmTextConfig(
        vocab_size=65536, hidden_size=1536, intermediate_size=4096, num_hidden_layers=LAYERS, num_attention_heads=12,
        head_dim=128, H_cycles=2, L_cycles=3, L_bp_cycles=[0, 3], tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device("meta"):
        return HrmTextForCausalLM(config)


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (["high"], LAYERS * (ATTENTION + MLP)),
        (["low"], LAYERS * (ATTENTION + MLP)),
        (["stacks"], 2 * LAYERS * (ATTENTION + MLP)),
        (["attention"], 2 * LAYERS * ATTENTION),
        (["mlp"], 2 * LAYERS * MLP),
        (["head"], 1),
        (["all"], 2 * LAYERS * (ATTENTION + MLP) + 1),
        (["low.mlp"], LAYERS * MLP),
        (["attention.high"], LAYERS * ATTENTION),
        (["low.mlp", "head", "low.mlp"], LAYERS * MLP + 1),
        (["self_attn.gate_proj"], 2 * LAYERS),
        (["mlp.gate_proj"], 2 * LAYERS),
        (["q_proj"], 2 * LAYERS),
        (["model.H_module.layers.3.mlp.up_proj"], 1),
    ],
)
def test_a_preset_is_exactly_its_layers(the_1b, names, count):
    found = linear_layers(the_1b, names)
    assert len(found) == len(set(found)) == count
    assert all(isinstance(the_1b.get_submodule(name), torch.nn.Linear) for name in found)


def test_every_layer_is_in_a_preset_and_runs_as_often_as_counted(the_1b):
    layers = [name for name, module in the_1b.named_modules() if isinstance(module, torch.nn.Linear)]
    assert linear_layers(the_1b, ["all"]) == layers
    small = HrmTextForCausalLM(
        HrmTextConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1,
                      head_dim=16, H_cycles=3, L_cycles=2, L_bp_cycles=[2])
    )  # fmt: skip
    counted = dict.fromkeys(linear_layers(small, ["all"]), 0)

    def count(name):
        return lambda *_: counted.__setitem__(name, counted[name] + 1)

    for name in counted:
        small.get_submodule(name).register_forward_hook(count(name))
    small(torch.tensor([[6, 8, 20, 7, 21]]), use_cache=False)
    assert counted == {name: applications(name, small.config) for name in counted}
    assert set(counted.values()) == {1, 3, 6}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gate_proj", "Use mlp.gate_proj or self_attn.gate_proj"),
        ("stack", "did you mean stacks?"),
        ("self_attn.qproj", "did you mean self_attn.q_proj?"),
        ("embed_tokens", "is no preset and no layer"),
        ("", "is no preset"),
    ],
)
def test_a_name_that_means_nothing_or_two_things_is_refused(the_1b, name, said):
    with pytest.raises(UserError, match=said):
        linear_layers(the_1b, [name])


def test_layers_are_told_in_one_word(the_1b):
    for preset in PRESETS:
        assert summarize_layers(linear_layers(the_1b, [preset])) == preset
    assert summarize_layers(linear_layers(the_1b, ["low.mlp", "head"])) == "L.mlp, lm_head"


def test_the_adapters_of_the_1b_recipes_are_small(the_1b):
    """Under 1.5 % of the base. A (r, in) and B (out, r) for each layer."""
    config = lora_config(the_1b, LoraArguments(use_peft=True, lora_r=16, lora_target_modules=["stacks"]))
    sizes = [the_1b.get_submodule(name) for name in config.target_modules]
    trained = sum(config.r * (layer.in_features + layer.out_features) for layer in sizes)
    assert trained / sum(weight.numel() for weight in the_1b.parameters()) < 0.015
