"""Checks of the files and of config.json: what the model is, apart from its vocabulary."""

from __future__ import annotations

import math
from typing import Any

from transformers import HrmTextConfig

from hrm_align.models.doctor.checkpoint import (
    CONFIG,
    GENERATION,
    GONE,
    SIZES,
    TOKENIZER,
    TOKENIZER_CONFIG,
    Checkpoint,
    Finding,
    Findings,
    mendable,
    set_keys,
)
from hrm_align.models.recurrence import from_l_bp_cycles, official, to_l_bp_cycles

MOST_CYCLES = 64  # of either stack; the published model has 2 and 3


def files(checkpoint: Checkpoint) -> Findings:
    """What could not be read at all."""
    for name, why in checkpoint.damaged.items():
        if name == "model.safetensors":
            yield Finding("weights", why, "the weights are copied or saved again.")
        elif name == TOKENIZER:
            yield Finding("tokenizer", f"{name} {why}", "copy the one that was published with the model.")
        elif name in (TOKENIZER_CONFIG, GENERATION):
            yield Finding("files", f"{name} {why}", "write it anew.", set_keys(name))
        else:
            yield Finding("files", f"{name} {why}", "delete it, or copy it again.")
    if TOKENIZER not in checkpoint.documents and TOKENIZER not in checkpoint.damaged:
        remedy = "copy the one that was published with the model: no command can render a prompt without it."
        yield Finding("tokenizer", f"{TOKENIZER} is missing", remedy)


def numbers(checkpoint: Checkpoint) -> Findings:
    """The numbers that every other check computes with."""
    for key in (*SIZES, "num_hidden_layers", "H_cycles", "L_cycles"):
        value = checkpoint.size(key)
        most = MOST_CYCLES if key.endswith("_cycles") else math.inf
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            yield Finding("numbers", f"{CONFIG}: {key} is {value!r}", "set it to the positive whole number it was.")


def architecture(checkpoint: Checkpoint) -> Findings:
    """Settings with which the weights load and run as another model."""
    config = checkpoint.config
    if config.get("architectures") != ["HrmTextForCausalLM"]:
        problem = f"architectures is {config.get('architectures')}, so Auto classes and servers pick no model by it"
        yield mendable("architecture", CONFIG, problem, architectures=["HrmTextForCausalLM"])
    if not config.get("prefix_lm", True):
        yield mendable("architecture", CONFIG, "prefix_lm is off, so prompts run causally", prefix_lm=True)
    if config.get("tie_word_embeddings") and "lm_head.weight" in checkpoint.tensors:
        problem = "tie_word_embeddings is on, so the saved lm_head.weight is not used"
        yield mendable("architecture", CONFIG, problem, tie_word_embeddings=False)


def layers(checkpoint: Checkpoint) -> Findings:
    """`num_hidden_layers` counts cache slots; a config without `num_layers_per_stack` gives the layers of one stack."""
    config, total = checkpoint.config, checkpoint.size("num_hidden_layers")
    found = checkpoint.saved_layers()
    if checkpoint.tensors and (found["H"] != found["L"] or found["L"] != set(range(len(found["L"]))) or not found["L"]):
        held = ", ".join(f"{stack}: {sorted(found[stack])}" for stack in "HL")
        remedy = "copy or save the weights again: both stacks need layers 0 to n - 1."
        yield Finding("layers", f"the weights hold other layers in the two stacks ({held})", remedy)
        return
    stated = config.get("num_layers_per_stack")
    layers = len(found["L"]) or stated or total
    slots = layers * checkpoint.size("H_cycles") * (checkpoint.size("L_cycles") + 1)
    if (stated is None and total == layers) or (stated == layers and total == slots):
        return
    problem = (
        f"num_hidden_layers is {total} and num_layers_per_stack {stated}, but {layers} layers a stack x "
        f"{checkpoint.size('H_cycles')} H cycles x ({checkpoint.size('L_cycles')} + 1) make {slots}"
    )
    yield mendable("layers", CONFIG, problem, num_layers_per_stack=layers, num_hidden_layers=slots)


def horizon(checkpoint: Checkpoint) -> Findings:
    """`L_bp_cycles` must be a horizon of the official rule; where there is none, Transformers takes [2]."""
    cycles = HrmTextConfig(H_cycles=checkpoint.size("H_cycles"), L_cycles=checkpoint.size("L_cycles"))
    written, ignored = (checkpoint.config.get(key) for key in ("L_bp_cycles", "L_bp_steps"))

    def sound(value: Any) -> bool:
        whole = isinstance(value, list) and all(isinstance(n, int) for n in value)
        return whole and from_l_bp_cycles(value, cycles) is not None

    right = next((value for value in (written, ignored) if sound(value)), to_l_bp_cycles(official(cycles), cycles))
    if "L_bp_steps" in checkpoint.config:
        problem = "L_bp_steps, which the official exporter writes, is ignored by Transformers"
        yield mendable("horizon", CONFIG, problem, L_bp_steps=GONE, L_bp_cycles=right)
    elif not sound(written):
        problem = f"L_bp_cycles is {written}" + ("" if written else ", for which Transformers takes [2]")
        yield mendable("horizon", CONFIG, f"{problem}: no official gradient horizon", L_bp_cycles=right)


def embedding_scale(checkpoint: Checkpoint) -> Findings:
    """Trained with scale x init std = 1; every official size has the std 1 / sqrt(hidden_size)."""
    config, usual = checkpoint.config, checkpoint.size("hidden_size") ** 0.5
    std, scale = config.get("initializer_range"), config.get("embedding_scale")
    stated = [value for value in (std, scale) if value is not None]
    if stated and all(isinstance(value, int | float) and value > 0 for value in stated):
        if std is None or scale is None or math.isclose(std * scale, 1, rel_tol=1e-3):
            return
        problem = f"embedding_scale is {scale}, but 1 / initializer_range is {1 / std:.6g}"
        if math.isclose(std * usual, 1, rel_tol=1e-3):
            yield mendable("embedding_scale", CONFIG, problem, embedding_scale=1 / std)
            return
        if math.isclose(scale, usual, rel_tol=1e-3):
            yield mendable("embedding_scale", CONFIG, problem, initializer_range=1 / scale)
            return
    else:
        problem = f"embedding_scale is {scale} and initializer_range {std}, so Transformers' own default would be taken"
    remedy = f"set both to what it was trained with (every official size: embedding_scale {usual:.6g}, its inverse)."
    yield Finding("embedding_scale", f"{CONFIG}: {problem}", remedy)
