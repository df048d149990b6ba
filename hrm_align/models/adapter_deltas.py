"""How large the changes of adapters are, and how alike those of two: from their small matrices, without a base."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping

import torch
from safetensors.torch import load_file
from torch import Tensor

from hrm_align.models.adapters import WEIGHTS, Adapter
from hrm_align.models.layers import kind_of

_MATRIX = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


def deltas(adapter: Adapter) -> dict[str, tuple[Tensor, Tensor]]:
    """A (r, in) and scale x B (out, r) of every adapted layer, by the layer's name in the base, in float64.

    Raises:
        UserError: if the weights are missing or damaged.
    """
    adapter.shapes()  # says what is wrong
    pairs: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in load_file(adapter.folder / WEIGHTS).items():
        if match := _MATRIX.fullmatch(name):
            pairs[match[1]][match[2]] = tensor.double()
    return {layer: (pair["A"], _scale(adapter, layer, len(pair["A"])) * pair["B"]) for layer, pair in pairs.items()}


def _scale(adapter: Adapter, layer: str, rank: int) -> float:
    """What B A is multiplied by in a layer, as PEFT computes it: alpha / r, or alpha / sqrt(r)."""
    config = adapter.config
    pattern = next(
        (value for key, value in config.get("alpha_pattern", {}).items() if re.match(rf"(.*\.)?({key})$", layer)), None
    )
    alpha = float(config["lora_alpha"] if pattern is None else pattern)
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def inner(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    """The Frobenius inner product of two deltas B A, through r x r matrices only."""
    return float(torch.sum((one[1].T @ other[1]) * (one[0] @ other[0].T)))


def alike(one: Adapter, other: Adapter) -> dict[str, dict[str, float]]:
    """For each kind of layer (`H.mlp`, `L.self_attn`, `lm_head`) the norms of both deltas and their cosine."""
    first, second = deltas(one), deltas(other)
    sums: dict[str, dict[str, float]] = defaultdict(lambda: {"a": 0.0, "b": 0.0, "ab": 0.0})
    for layer in dict.fromkeys([*first, *second]):
        part = sums[kind_of(layer) or "other"]
        part["a"] += inner(first[layer], first[layer]) if layer in first else 0.0
        part["b"] += inner(second[layer], second[layer]) if layer in second else 0.0
        part["ab"] += inner(first[layer], second[layer]) if layer in first and layer in second else 0.0
    return {kind: _measures(part) for kind, part in sums.items()}


def _measures(part: Mapping[str, float]) -> dict[str, float]:
    norms = math.sqrt(part["a"]), math.sqrt(part["b"])
    cosine = part["ab"] / (norms[0] * norms[1]) if all(norms) else 0.0
    return {"norm_a": norms[0], "norm_b": norms[1], "cosine": cosine}
