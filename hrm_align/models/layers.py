"""The linear layers of an HRM-Text by name: presets such as `stacks` or `low.attention`, and how often each layer runs.

    stacks      both Transformer stacks: `high` and `low`
    high, low   the H stack (slow), the L stack (fast)
    attention   gate, query, key, value and output projections of both stacks
    mlp         gate, up and down projections of both stacks
    head        the output embedding
    all         `stacks` and `head`
    low.mlp     what is in both presets

Beside presets a name may be that of a layer, or its end: `self_attn.gate_proj`. `gate_proj` alone is refused, because
attention and MLP both have one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from torch import nn
from transformers import HrmTextConfig

from hrm_align.errors import UserError

_STACK = re.compile(r"(?:^|\.)([HL])_module\.layers\.\d+\.(self_attn|mlp)\.")
HEAD = "lm_head"

# Preset: the stacks and the kinds of layer it has.
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


def kind_of(name: str) -> str | None:
    """`H.mlp`, `L.self_attn`, ..., or `lm_head`: what a layer or a parameter of this name belongs to."""
    if match := _STACK.search(name):
        return f"{match[1]}.{match[2]}"
    return HEAD if HEAD in name.split(".") else None


def preset_of(names: Iterable[str]) -> str:
    """The shortest way to say which kinds of layer the names are of: a preset, or the kinds themselves."""
    kinds = {kind_of(name) or "tokens" for name in names}
    exact = [preset for preset, own in _PRESETS.items() if set(own) == kinds]
    return exact[0] if exact else ", ".join(sorted(kinds))


def preset_has(preset: str, name: str) -> bool:
    """Whether a preset has the layer or parameter of this name."""
    return kind_of(name) in _PRESETS[preset]


def applications(name: str, config: HrmTextConfig) -> int:
    """How often a layer of this name runs in one forward: a change to its weights acts that many times."""
    stack = (kind_of(name) or "")[:2]
    return {"H.": config.H_cycles, "L.": config.H_cycles * config.L_cycles}.get(stack, 1)


def linear_layers(model: nn.Module, names: Sequence[str]) -> list[str]:
    """The full names of the layers that presets and names mean, in the model's order.

    Args:
        model: an HRM-Text without an adapter.
        names: presets, two of them joined by a dot, layer names, or their ends.

    Raises:
        UserError: for a name that means no layer, or layers of two kinds.
    """
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    chosen = {layer for name in names for layer in _meant(name, layers)}
    return [layer for layer in layers if layer in chosen]


def _meant(name: str, layers: Sequence[str]) -> list[str]:
    if kinds := _kinds(name):
        return [layer for layer in layers if kind_of(layer) in kinds]
    found = [layer for layer in layers if f".{layer}".endswith(f".{name}")]
    if not found:
        ends = sorted({".".join(layer.split(".")[-2:]) for layer in layers})
        near = get_close_matches(name, [*PRESETS, *ends], n=1)
        hint = f"did you mean {near[0]}?" if near else f"use {', '.join(PRESETS)}, or an end such as {ends[0]}."
        raise UserError(f"{name!r} is no preset and no layer of this model: {hint}")
    owners = sorted({layer.split(".")[-2] for layer in found})
    if len(owners) > 1:
        told = " or ".join(f"{owner}.{name}" for owner in owners)
        raise UserError(f"{name!r} means layers of two kinds, with two meanings: write {told}.")
    return found


def _kinds(name: str) -> set[str]:
    """The kinds of a preset, or of what two presets have in common; none for another name."""
    parts = name.split(".")
    if not all(part in _PRESETS for part in parts):
        return set()
    return set.intersection(*(set(_PRESETS[part]) for part in parts))
