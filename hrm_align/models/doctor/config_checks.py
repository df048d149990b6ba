"""Checks of damaged files, and of config.json apart from its token ids."""

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
    fixable_finding,
    set_keys,
)
from hrm_align.models.recurrence import from_l_bp_cycles, official, to_l_bp_cycles

MOST_CYCLES = 64  # of either stack; the published model has 2 and 3


def files(checkpoint: Checkpoint) -> Findings:
    """Find files that are damaged or missing."""
    for name, reason in checkpoint.damaged.items():
        if name == "model.safetensors":
            yield Finding("weights", reason, "copy or save the weights again.")
        elif name == TOKENIZER:
            yield Finding("tokenizer", f"{name} {reason}", f"copy the {name} that was published with the model.")
        elif name in (TOKENIZER_CONFIG, GENERATION):
            yield Finding("files", f"{name} {reason}", "write the file anew.", set_keys(name))
        else:
            yield Finding("files", f"{name} {reason}", "delete the file, or copy it again.")
    if TOKENIZER not in checkpoint.documents and TOKENIZER not in checkpoint.damaged:
        remedy = (
            f"copy the {TOKENIZER} that was published with the model; prompts cannot be rendered without a tokenizer."
        )
        yield Finding("tokenizer", f"{TOKENIZER} is missing", remedy)


def numbers(checkpoint: Checkpoint) -> Findings:
    """Check the config's sizes and cycles, which all other checks use."""
    for key in (*SIZES, "num_hidden_layers", "H_cycles", "L_cycles"):
        value = checkpoint.size(key)
        most = MOST_CYCLES if key.endswith("_cycles") else math.inf
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            yield Finding("numbers", f"{CONFIG}: {key} is {value!r}", f"set {key} to its positive whole number.")


def architecture(checkpoint: Checkpoint) -> Findings:
    """Find settings with which the weights load without an error and run as another model."""
    config = checkpoint.config
    model_class = "HrmTextForSequenceClassification" if checkpoint.is_reward_model else "HrmTextForCausalLM"
    if config.get("architectures") != [model_class]:
        problem = (
            f"architectures is {config.get('architectures')}, so Auto classes and servers cannot choose the model class"
        )
        yield fixable_finding("architecture", CONFIG, problem, architectures=[model_class])
    if not config.get("prefix_lm", True):
        yield fixable_finding("architecture", CONFIG, "prefix_lm is off, so prompts run causally", prefix_lm=True)
    if config.get("tie_word_embeddings") and "lm_head.weight" in checkpoint.tensors:
        problem = "tie_word_embeddings is on, so the saved lm_head.weight is not used"
        yield fixable_finding("architecture", CONFIG, problem, tie_word_embeddings=False)


def layers(checkpoint: Checkpoint) -> Findings:
    """Check the layer counts.

    `num_hidden_layers` counts cache slots of all passes; only in a config without `num_layers_per_stack` it is the
    number of layers in one stack.
    """
    config, total = checkpoint.config, checkpoint.size("num_hidden_layers")
    saved = checkpoint.saved_layers()
    is_complete = bool(saved["L"]) and saved["H"] == saved["L"] == set(range(len(saved["L"])))
    if checkpoint.tensors and not is_complete:
        listed = ", ".join(f"{stack}: {sorted(saved[stack])}" for stack in "HL")
        remedy = "copy or save the weights again: both stacks need layers 0 to n - 1."
        yield Finding("layers", f"the two stacks have different or missing layers in the weights ({listed})", remedy)
        return
    stated = config.get("num_layers_per_stack")
    layers = len(saved["L"]) or stated or total
    slots = layers * checkpoint.size("H_cycles") * (checkpoint.size("L_cycles") + 1)
    if (stated is None and total == layers) or (stated == layers and total == slots):
        return
    problem = (
        f"num_hidden_layers is {total} and num_layers_per_stack {stated}, but {layers} layers a stack x "
        f"{checkpoint.size('H_cycles')} H cycles x ({checkpoint.size('L_cycles')} + 1) make {slots}"
    )
    yield fixable_finding("layers", CONFIG, problem, num_layers_per_stack=layers, num_hidden_layers=slots)


def horizon(checkpoint: Checkpoint) -> Findings:
    """Check that `L_bp_cycles` is an official horizon; for a missing key Transformers uses [2], which is none."""
    cycles = HrmTextConfig(H_cycles=checkpoint.size("H_cycles"), L_cycles=checkpoint.size("L_cycles"))
    written, ignored = (checkpoint.config.get(key) for key in ("L_bp_cycles", "L_bp_steps"))

    def is_official(value: Any) -> bool:
        whole = isinstance(value, list) and all(isinstance(n, int) for n in value)
        return whole and from_l_bp_cycles(value, cycles) is not None

    default = to_l_bp_cycles(official(cycles), cycles)
    correct = next((value for value in (written, ignored) if is_official(value)), default)
    if "L_bp_steps" in checkpoint.config:
        problem = "Transformers ignores L_bp_steps, which the official exporter writes"
        yield fixable_finding("horizon", CONFIG, problem, L_bp_steps=GONE, L_bp_cycles=correct)
    elif not is_official(written):
        problem = f"L_bp_cycles is {written}" + ("" if written else ", for which Transformers uses [2]")
        yield fixable_finding("horizon", CONFIG, f"{problem}: no official gradient horizon", L_bp_cycles=correct)


def embedding_scale(checkpoint: Checkpoint) -> Findings:
    """Check that embedding_scale x initializer_range is 1, as in training; official sizes have std 1 / sqrt(hidden_size)."""
    config, usual = checkpoint.config, checkpoint.size("hidden_size") ** 0.5
    std, scale = config.get("initializer_range"), config.get("embedding_scale")
    stated = [value for value in (std, scale) if value is not None]
    if stated and all(isinstance(value, int | float) and value > 0 for value in stated):
        if std is None or scale is None or math.isclose(std * scale, 1, rel_tol=1e-3):
            return
        problem = f"embedding_scale is {scale}, but 1 / initializer_range is {1 / std:.6g}"
        if math.isclose(std * usual, 1, rel_tol=1e-3):
            yield fixable_finding("embedding_scale", CONFIG, problem, embedding_scale=1 / std)
            return
        if math.isclose(scale, usual, rel_tol=1e-3):
            yield fixable_finding("embedding_scale", CONFIG, problem, initializer_range=1 / scale)
            return
    else:
        problem = f"embedding_scale is {scale} and initializer_range {std}, so Transformers would use its own default"
    remedy = (
        f"set both to the values of the training (every official size: embedding_scale {usual:.6g}, and initializer_range its "
        "inverse)."
    )
    yield Finding("embedding_scale", f"{CONFIG}: {problem}", remedy)
