"""Layer names of an HRM-Text: presets such as `stacks` or `low.attention`, and the number of applications of each layer.

    stacks      both Transformer stacks: `high` and `low`
    high, low   the H stack (slow), the L stack (fast)
    attention   gate, query, key, value and output projections of both stacks
    mlp         gate, up and down projections of both stacks
    head        the output embedding; of a reward model the score head
    all         `stacks` and `head`
    low.mlp     the layers that are in both presets

A name may also be that of a layer, or its end: `self_attn.gate_proj`. The name `gate_proj` raises an error, because
attention and MLP both have a layer of this name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from torch import nn
from transformers import HrmTextConfig

from hrm_align.errors import UserError
from hrm_align.models.reward_model import SCORE

_STACK = re.compile(r"(?:^|\.)([HL])_module\.layers\.\d+\.(self_attn|mlp)\.")
HEAD = "lm_head"

# The kinds of layer of each preset.
_PRESETS: dict[str, tuple[str, ...]] = {
    "stacks": ("H.self_attn", "H.mlp", "L.self_attn", "L.mlp"),
    "high": ("H.self_attn", "H.mlp"),
    "low": ("L.self_attn", "L.mlp"),
    "attention": ("H.self_attn", "L.self_attn"),
    "mlp": ("H.mlp", "L.mlp"),
    "head": (HEAD,),
    "all": ("H.self_attn", "H.mlp", "L.self_attn", "L.mlp", HEAD),
}
PRESETS = tuple(_PRESETS)


def layer_kind(name: str) -> str | None:
    """Return the kind of a layer or parameter by its name: `H.mlp`, `L.self_attn`, ..., or `lm_head`; None for others.

    The score head of a reward model has the kind `lm_head`.
    """
    if match := _STACK.search(name):
        return f"{match[1]}.{match[2]}"
    return HEAD if {HEAD, SCORE} & {*name.split(".")} else None


def summarize_layers(names: Iterable[str]) -> str:
    """Summarise layer names: the preset that has exactly their kinds, or else the kinds."""
    kinds = {layer_kind(name) or "tokens" for name in names}
    exact = [preset for preset, own in _PRESETS.items() if set(own) == kinds]
    return exact[0] if exact else ", ".join(sorted(kinds))


def preset_has(preset: str, name: str) -> bool:
    """Return whether a preset contains the layer or parameter of this name."""
    return layer_kind(name) in _PRESETS[preset]


def applications(name: str, config: HrmTextConfig) -> int:
    """Return how often a layer of this name is applied in one forward; a change of its weights acts as often."""
    stack = (layer_kind(name) or "")[:2]
    return {"H.": config.H_cycles, "L.": config.H_cycles * config.L_cycles}.get(stack, 1)


def linear_layers(model: nn.Module, names: Sequence[str]) -> list[str]:
    """Expand presets and layer names to the full names of linear layers, in the model's order.

    Args:
        model: an HRM-Text without an adapter.
        names: presets, pairs of presets joined by a dot, layer names, or ends of layer names.

    Raises:
        UserError: for a name that matches no layer, or layers of two kinds.
    """
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    chosen = {layer for name in names for layer in _expand_name(name, layers)}
    return [layer for layer in layers if layer in chosen]


def _expand_name(name: str, layers: Sequence[str]) -> list[str]:
    if kinds := _preset_kinds(name):
        return [layer for layer in layers if layer_kind(layer) in kinds]
    matches = [layer for layer in layers if f".{layer}".endswith(f".{name}")]
    if not matches:
        ends = sorted({".".join(layer.split(".")[-2:]) for layer in layers})
        near = get_close_matches(name, [*PRESETS, *ends], n=1)
        hint = f"did you mean {near[0]}?" if near else f"use {', '.join(PRESETS)}, or an end such as {ends[0]}."
        raise UserError(f"{name!r} is no preset and no layer of this model: {hint}")
    owners = sorted({layer.split(".")[-2] for layer in matches})
    if len(owners) > 1:
        choices = " or ".join(f"{owner}.{name}" for owner in owners)
        raise UserError(f"{name!r} is ambiguous: layers of two kinds have this name. Use {choices}.")
    return matches


def _preset_kinds(name: str) -> set[str]:
    """Return the kinds of a preset, or the common kinds of two presets joined by a dot; empty for another name."""
    parts = name.split(".")
    if not all(part in _PRESETS for part in parts):
        return set()
    return set.intersection(*(set(_PRESETS[part]) for part in parts))
