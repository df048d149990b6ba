"""The model's settings: all_config.yaml and train_metadata.yaml to a Transformers config, and back.

What the official exporter gets wrong is right here: it writes `L_bp_steps`, which Transformers ignores, and the layers
of both stacks as `num_hidden_layers`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import HrmTextConfig

from hrm_align.errors import UserError, some
from hrm_align.models.official.reader import OfficialCheckpoint, section
from hrm_align.models.recurrence import SHORTEST, from_l_bp_cycles, longest, official, to_l_bp_cycles
from hrm_align.rendering import BOX_END, CONDITION_TOKENS, IM_END, IM_START

_REQUIRED: dict[
    str, tuple[Any, Any]
] = {  # setting: its default where the official code has one, and the one value that the port computes
    "name": (None, "baselines.hrm_nocarry_bp_warmup@HierarchicalReasoningModel"),
    "head": (None, "lm_head@LMHead"),
    "norm_type": (None, "pre"),
    "pos_emb_type": (None, "rope"),
    "attn_type": ("prefixlm", "prefixlm"),
    "H_override": ({}, {}),
}
_NUMBERS = {"n_layers", "hidden_size", "num_heads", "expansion", "H_cycles", "L_cycles", "norm_eps", "rope_theta"}
_OTHER = {"half_layers", "init_type", "init_std", "bp_warmup_ratio", "bp_min_steps", "bp_max_steps"}


def config_of(checkpoint: OfficialCheckpoint) -> HrmTextConfig:
    """The Transformers config under which the port computes what the official model computed.

    Raises:
        UserError: another architecture, or settings that are missing or unknown, all named.
    """
    where = checkpoint.folder / "all_config.yaml"
    arch = section(checkpoint.settings, "arch", where)
    for key, (default, needed) in _REQUIRED.items():
        if arch.get(key, default) != needed:
            raise UserError(
                f"{where}: arch.{key} is {arch.get(key, default)!r}, and Transformers' HRM-Text is only {needed!r}: "
                "this checkpoint cannot be converted."
            )
    unknown = sorted(arch.keys() - _REQUIRED.keys() - _NUMBERS - _OTHER)
    if unknown:
        raise UserError(
            f"{where}: {some(unknown)} in arch are no official settings and might change the model: delete them from "
            "a copy if they do not."
        )
    settings = arch | {key: checkpoint.metadata.get(key) for key in ("vocab_size", "max_seq_len")}
    missing = sorted(key for key in (*_NUMBERS, "vocab_size", "max_seq_len", "init_type") if settings.get(key) is None)
    if missing:
        raise UserError(f"{where} and train_metadata.yaml beside it lack {some(missing)}: copy them again.")
    try:
        for key in (*_NUMBERS, "vocab_size", "max_seq_len"):
            if isinstance(settings[key], bool) or not 0 < float(settings[key]) < math.inf:
                raise ValueError(f"{key} is {settings[key]}")
        return _config(settings)
    except (TypeError, ValueError, ArithmeticError, StrictDataclassError) as error:
        raise UserError(f"{where}: its numbers make no model ({str(error).splitlines()[-1].strip()}).") from None


def _config(settings: Mapping[str, Any]) -> HrmTextConfig:
    hidden, heads, layers = (int(settings[key]) for key in ("hidden_size", "num_heads", "n_layers"))
    if settings.get("half_layers"):
        layers, odd = divmod(layers, 2)
        if odd:
            raise ValueError("half_layers needs an even n_layers")
    config = HrmTextConfig(
        architectures=["HrmTextForCausalLM"],
        vocab_size=int(settings["vocab_size"]),
        hidden_size=hidden,
        intermediate_size=_inner_size(hidden, float(settings["expansion"])),
        num_hidden_layers=layers,  # of one stack; the config inflates it
        num_attention_heads=heads,
        head_dim=hidden // heads,
        max_position_embeddings=int(settings["max_seq_len"]),
        rms_norm_eps=float(settings["norm_eps"]),
        rope_parameters={"rope_type": "default", "rope_theta": float(settings["rope_theta"])},
        H_cycles=int(settings["H_cycles"]),
        L_cycles=int(settings["L_cycles"]),
        initializer_range=_embedding_std(settings, hidden),
        prefix_lm=True,
        pad_token_id=5,
        bos_token_id=6,
        eos_token_id=11,
    )
    steps = int(settings.get("bp_max_steps", official(config)))
    cycles = to_l_bp_cycles(steps, config) if SHORTEST <= steps <= longest(config) else None
    config.L_bp_cycles = cycles or to_l_bp_cycles(official(config), config)
    return config


def _inner_size(hidden: int, expansion: float) -> int:
    return -(-round(expansion * hidden * 2 / 3) // 256) * 256


def _embedding_std(settings: Mapping[str, Any], hidden: int) -> float:
    kind, std = settings["init_type"], settings.get("init_std")
    if kind not in ("lecun_normal", "megatron", "fixed_normal"):
        raise ValueError(f"init_type {kind!r} is unknown")
    if std is not None and kind != "lecun_normal":
        return float(std)
    return 0.02 if kind == "fixed_normal" else 1.0 / math.sqrt(hidden)


def arch_of(config: HrmTextConfig, folder: Path) -> dict[str, Any]:
    """The `arch` of all_config.yaml under which the official code builds the model of a config.

    Args:
        config: of the model.
        folder: that it was read from, for the message.

    Raises:
        UserError: for a model that the official code cannot build, with every reason.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    layers, cycles, scale = config.num_layers_per_stack, config.L_bp_cycles, config.embedding_scale
    assert layers is not None and cycles is not None and scale is not None  # set by the config itself
    lecun = math.isclose(scale, math.sqrt(hidden), rel_tol=1e-12)
    rope: dict[str, Any] = dict(config.rope_parameters or {})
    faults = {
        f"intermediate_size {inner} is no multiple of 256": inner % 256,
        f"vocab_size {config.vocab_size} is no multiple of 256": config.vocab_size % 256,
        "head_dim x num_attention_heads is not hidden_size": config.head_dim * config.num_attention_heads != hidden,
        "it has biases": config.attention_bias or config.mlp_bias,
        "its head is tied": config.tie_word_embeddings,
        f"hidden_act is {config.hidden_act}": config.hidden_act != "silu",
        "prefix_lm is off": not config.prefix_lm,
        f"rope_type is {rope.get('rope_type')}": rope.get("rope_type", "default") != "default",
    }
    wrong = [fault for fault, there in faults.items() if there]
    if wrong:
        raise UserError(
            f"{folder} cannot be written in the official form, which has no such model: {'; '.join(wrong)}."
        )
    return {
        **{key: needed for key, (_, needed) in _REQUIRED.items()},
        "n_layers": 2 * layers,
        "half_layers": True,
        "hidden_size": hidden,
        "num_heads": config.num_attention_heads,
        "expansion": 1.5 * inner / hidden,
        "H_cycles": config.H_cycles,
        "L_cycles": config.L_cycles,
        "norm_eps": config.rms_norm_eps,
        "rope_theta": float(rope.get("rope_theta", 10000.0)),
        "init_type": "lecun_normal" if lecun else "fixed_normal",
        "init_std": None if lecun else 1.0 / scale,
        "bp_warmup_ratio": 0.0,
        "bp_max_steps": from_l_bp_cycles(cycles, config) or official(config),
    }


def metadata_of(config: HrmTextConfig, target: Path) -> dict[str, Any]:
    """The content of train_metadata.yaml for a model whose tokenizer lies in `target`."""
    tags = {"boq": IM_START, "eoq": IM_END, "eoa": BOX_END, "condition_mapping": dict(CONDITION_TOKENS)}
    return {
        "tokenizer_info": {"tokenizer_path": str(target / "tokenizer"), **tags},
        "vocab_size": config.vocab_size,
        "max_seq_len": config.max_position_embeddings,
        "total_length": 0,
    }
