"""What the tensors of a saved HRM-Text are called, in Transformers' form and the official one, and their shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

FUSED = {  # Transformers' fused name: the parts that its modules are made of, stacked in this order along dim 0
    "attn.gqkv_proj": ("self_attn.gate_proj", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.o_proj": ("self_attn.o_proj",),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
}


def module_names(saved: str) -> list[str]:
    """The model's own names of the tensors that lie in a saved one, in their order along dim 0.

    >>> module_names("model.L_module.layers.0.mlp.gate_up_proj.weight")
    ['model.L_module.layers.0.mlp.gate_proj.weight', 'model.L_module.layers.0.mlp.up_proj.weight']
    """
    for fused, parts in FUSED.items():
        block, found, kind = saved.partition(f".{fused}.")
        if found and (kind == "weight" or len(parts) == 1):
            return [f"{block}.{part}.{kind}" for part in parts]
    return [saved]


def saved_name(name: str) -> str:
    """The saved tensor in which one of the model's own lies: the other way of `module_names`."""
    for fused, parts in FUSED.items():
        for part in parts:
            block, found, kind = name.partition(f".{part}.")
            if found and (kind == "weight" or len(parts) == 1):
                return f"{block}.{fused}.{kind}"
    return name


def saved_shapes(config: Mapping[str, Any], layers: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that stock `save_pretrained` writes.

    Args:
        config: the keys of a config.json that give sizes.
        layers: blocks in each of the two stacks.
    """
    hidden, heads = config["hidden_size"], config["num_attention_heads"] * config["head_dim"]
    vocabulary, inner = (config["vocab_size"], hidden), config["intermediate_size"]
    block = {
        "attn.gqkv_proj": (4 * heads, hidden),
        "attn.o_proj": (hidden, heads),
        "mlp.gate_up_proj": (2 * inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    blocks = {
        f"model.{stack}_module.layers.{layer}.{name}.weight": shape
        for stack in "HL"
        for layer in range(layers)
        for name, shape in block.items()
    }
    ends = {"model.embed_tokens.weight": vocabulary, "lm_head.weight": vocabulary, "model.z_L_init": (hidden,)}
    return ends | blocks


def official_name(name: str) -> str:
    """The official name of a tensor that is saved under `name` in Transformers' form."""
    ends = {"model.embed_tokens.weight": "embed_tokens.embedding_weight", "model.z_L_init": "model.zL_init"}
    return ends.get(name) or re.sub(r"^model\.([HL])_module\.", r"model.\1_level.core.", name)
