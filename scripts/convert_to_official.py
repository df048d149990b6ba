"""Write a checkpoint in Transformers' form as an official training folder, for the official code to go on from.

    python scripts/convert_to_official.py SOURCE TARGET

The other way is `hrm-align convert`; `hrm_align/models/official` describes the official form.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
import yaml
from torch import Tensor
from transformers import HrmTextConfig

sys.path.insert(0, str(Path(__file__).parents[1]))

from hrm_align.cli import exit_code_of
from hrm_align.errors import UserError, some
from hrm_align.files import new_folder
from hrm_align.models.checkpoint_format import (
    DTYPES,
    Stored,
    official_name,
    saved_shapes,
    stored_tensors,
)
from hrm_align.models.loading import load_config, resolve
from hrm_align.models.official.reader import REQUIRED, one_process
from hrm_align.models.recurrence import from_l_bp_cycles, official
from hrm_align.rendering import BOX_END, CONDITION_TOKENS, IM_END, IM_START

# Only the model's settings are known here; these are what the official loader wants beside them, as published for SFT.
TRAINING = {
    "global_batch_size": 32768, "epochs": 5, "lr": 3e-5, "lr_min_ratio": 0.1, "lr_warmup_steps": 0,
    "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "ema": 0.999, "fwd_bwd_dtype": "bfloat16", "seed": 0,
}  # fmt: skip


def main(argv: Sequence[str]) -> None:
    """Convert, and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of a model in Transformers' form, with fused keys")
    parser.add_argument("target", help="new folder for the result")
    arguments = parser.parse_args(argv)
    print(to_official(arguments.source, arguments.target))


def to_official(source: str | Path, target: str | Path) -> str:
    """Write a checkpoint in Transformers' form as an official training folder, epoch 0, optimizer and EMA fresh.

    The official loader asks for the optimizer's state too, so it is there as that of step 0: moments zero, EMA equal to
    the weights (four times the weights on disk).

    Args:
        source: a folder in Transformers' form with fused keys.
        target: a new or empty folder.

    Returns:
        What was written, for people.

    Raises:
        UserError: for a model that the official code cannot build; nothing is written then.
    """
    folder = Path(resolve(str(source)))
    if not folder.is_dir():
        raise UserError(f"{source} is no folder: download the model first, and name its folder.")
    config = load_config(str(folder))
    arch = arch_of(config, folder)
    tensors = whole_model(folder, config)
    if not (folder / "tokenizer.json").exists():
        raise UserError(f"{folder} holds no tokenizer.json, which the official form needs: copy it there.")
    size = sum(tensor.size for tensor in tensors.values())
    target = Path(target).expanduser().absolute()
    with new_folder(target, 4 * size) as new:
        write_checkpoint(new / "fsdp2_epoch_0", tensors)
        torch.save(None, new / "carry_epoch_0.0.pt")
        (new / "tokenizer").mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            if (folder / name).exists():
                shutil.copyfile(folder / name, new / "tokenizer" / name)
        settings = {"arch": arch, "data": {"path": "", "target_only": True}, **TRAINING}
        (new / "all_config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        (new / "train_metadata.yaml").write_text(yaml.safe_dump(metadata_of(config, target)), encoding="utf-8")
    parameters = sum(math.prod(tensor.shape) for tensor in tensors.values())
    return f"{target}: {len(tensors)} tensors, {parameters:,} parameters, {tensors['lm_head.weight'].dtype}"


def whole_model(folder: Path, config: HrmTextConfig) -> dict[str, Stored]:
    """The tensors of a folder in Transformers' form; refuses any that its config does not make."""
    tensors = stored_tensors(folder)
    assert config.num_layers_per_stack is not None
    shapes = saved_shapes(config.to_dict(), config.num_layers_per_stack)
    wrong = sorted(tensors.keys() ^ shapes.keys())
    wrong += [name for name in tensors.keys() & shapes.keys() if tensors[name].shape != shapes[name]]
    wrong += [name for name in tensors if tensors[name].dtype not in DTYPES]
    if wrong:
        raise UserError(f"{folder}: {some(wrong)} are missing, unknown or misshapen: run `hrm-align doctor {folder}`.")
    return tensors


def write_checkpoint(folder: Path, tensors: Mapping[str, Stored]) -> None:
    """Save what `{"model": ..., "optim": ...}` of a fresh official run would be.

    The weights are maps of their file and all moments of a shape are the same zeros, because DCP's writer keeps what it
    has written.
    """
    model: dict[str, Tensor] = {}
    state: dict[str, dict[str, Tensor]] = {}
    zeros = {tensor.shape: torch.zeros(tensor.shape, dtype=DTYPES[tensor.dtype]) for tensor in tensors.values()}
    for name, stored in tensors.items():
        tensor = stored.mapped()
        model[official_name(name)] = tensor
        if name != "model.z_L_init":
            moments = dict.fromkeys(("exp_avg", "exp_avg_sq"), zeros[stored.shape])
            state[official_name(name)] = {"step": torch.tensor(0.0), **moments, "param_ema": tensor}
    start = model["model.zL_init"]
    narrow = start.to(torch.bfloat16)  # the official buffer's dtype, where nothing is lost by it
    model["model.zL_init"] = narrow if torch.equal(start, narrow.to(start.dtype)) else start
    group: dict[str, Any] = {"lr": torch.tensor(0.0), "betas": (TRAINING["beta1"], TRAINING["beta2"])}
    group |= {key: TRAINING[key] for key in ("weight_decay", "ema")}
    optim = {"state": state, "param_groups": [group | {"params": list(state)}]}
    with one_process():
        dcp.save({"model": model, "optim": optim}, storage_writer=dcp.FileSystemWriter(folder), no_dist=True)


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
        **{key: needed for key, (_, needed) in REQUIRED.items()},
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


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
