"""Convert a checkpoint in Transformers' form to an official training folder, from which the official code can continue training.

    python scripts/convert_to_official.py SOURCE TARGET

`hrm-align convert` converts in the opposite direction. `hrm_align/models/official` describes the official form.
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

from hrm_align.cli import run_with_exit_code
from hrm_align.errors import UserError, join_names
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

# Training settings that the official loader requires beside the model's settings: the values published for SFT.
TRAINING = {
    "global_batch_size": 32768, "epochs": 5, "lr": 3e-5, "lr_min_ratio": 0.1, "lr_warmup_steps": 0,
    "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "ema": 0.999, "fwd_bwd_dtype": "bfloat16", "seed": 0,
}  # fmt: skip


def main(argv: Sequence[str]) -> None:
    """Convert a checkpoint and print a summary of the written folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of a model in Transformers' form, with fused keys")
    parser.add_argument("target", help="new folder for the result")
    arguments = parser.parse_args(argv)
    print(to_official(arguments.source, arguments.target))


def to_official(source: str | Path, target: str | Path) -> str:
    """Write a checkpoint in Transformers' form as an official training folder at epoch 0 with a fresh optimizer and EMA.

    The official loader requires an optimizer state. The written state is that of step 0: zero moments, and an EMA equal to the
    weights. The folder takes four times the size of the weights.

    Args:
        source: a folder in Transformers' form with fused keys.
        target: a new or empty folder.

    Returns:
        A line with the path, the number of tensors and parameters, and the dtype.

    Raises:
        UserError: if the official code cannot build the model. Then nothing is written.
    """
    folder = Path(resolve(str(source)))
    if not folder.is_dir():
        raise UserError(f"source is {source}, which is not a folder. Download the model first and give its folder.")
    config = load_config(str(folder))
    arch = build_arch(config, folder)
    tensors = whole_model(folder, config)
    if not (folder / "tokenizer.json").exists():
        raise UserError(
            f"{folder} has no tokenizer.json, which the official form needs. Copy the model's tokenizer.json there."
        )
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
        (new / "train_metadata.yaml").write_text(yaml.safe_dump(build_metadata(config, target)), encoding="utf-8")
    parameters = sum(math.prod(tensor.shape) for tensor in tensors.values())
    return f"{target}: {len(tensors)} tensors, {parameters:,} parameters, {tensors['lm_head.weight'].dtype}"


def whole_model(folder: Path, config: HrmTextConfig) -> dict[str, Stored]:
    """Return the tensors of a folder in Transformers' form. Raises UserError unless names, shapes and dtypes fit its config."""
    tensors = stored_tensors(folder)
    assert config.num_layers_per_stack is not None
    shapes = saved_shapes(config.to_dict(), config.num_layers_per_stack)
    wrong = sorted(tensors.keys() ^ shapes.keys())
    wrong += [name for name in tensors.keys() & shapes.keys() if tensors[name].shape != shapes[name]]
    wrong += [name for name in tensors if tensors[name].dtype not in DTYPES]
    if wrong:
        raise UserError(
            f"{folder}: {join_names(wrong)}: tensors that are missing, unknown, or of a wrong shape or dtype. "
            f"Run `hrm-align doctor {folder}` to find out more."
        )
    return tensors


def write_checkpoint(folder: Path, tensors: Mapping[str, Stored]) -> None:
    """Save the `{"model": ..., "optim": ...}` checkpoint of a fresh official run.

    DCP's writer keeps every tensor in memory that it has written. To save memory, the weights are memory-mapped from their file,
    and all moments of the same shape share one tensor of zeros.
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
    narrow = start.to(torch.bfloat16)  # the official buffer's dtype, used if the values fit in bfloat16 exactly
    model["model.zL_init"] = narrow if torch.equal(start, narrow.to(start.dtype)) else start
    group: dict[str, Any] = {"lr": torch.tensor(0.0), "betas": (TRAINING["beta1"], TRAINING["beta2"])}
    group |= {key: TRAINING[key] for key in ("weight_decay", "ema")}
    optim = {"state": state, "param_groups": [group | {"params": list(state)}]}
    with one_process():
        dcp.save({"model": model, "optim": optim}, storage_writer=dcp.FileSystemWriter(folder), no_dist=True)


def build_arch(config: HrmTextConfig, folder: Path) -> dict[str, Any]:
    """Return the `arch` section of all_config.yaml with which the official code builds the model of a config.

    Args:
        config: the model's config.
        folder: the folder that contains the config, for the error message.

    Raises:
        UserError: if the official code cannot build the model. The message lists all reasons.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    layers, cycles, scale = config.num_layers_per_stack, config.L_bp_cycles, config.embedding_scale
    assert layers is not None and cycles is not None and scale is not None  # HrmTextConfig sets all three
    lecun = math.isclose(scale, math.sqrt(hidden), rel_tol=1e-12)
    rope: dict[str, Any] = dict(config.rope_parameters or {})
    faults = {
        f"intermediate_size {inner} is no multiple of 256": inner % 256,
        f"vocab_size {config.vocab_size} is no multiple of 256": config.vocab_size % 256,
        "head_dim x num_attention_heads is not hidden_size": config.head_dim * config.num_attention_heads != hidden,
        "attention_bias or mlp_bias is on": config.attention_bias or config.mlp_bias,
        "tie_word_embeddings is on": config.tie_word_embeddings,
        f"hidden_act is {config.hidden_act}": config.hidden_act != "silu",
        "prefix_lm is off": not config.prefix_lm,
        f"rope_type is {rope.get('rope_type')}": rope.get("rope_type", "default") != "default",
    }
    reasons = [fault for fault, applies in faults.items() if applies]
    if reasons:
        raise UserError(
            f"{folder} cannot be written in the official form, which has no such model: {'; '.join(reasons)}. "
            "Convert only models with the official architecture."
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


def build_metadata(config: HrmTextConfig, target: Path) -> dict[str, Any]:
    """Return the content of train_metadata.yaml for a model whose tokenizer is in `target`/tokenizer."""
    tags = {"boq": IM_START, "eoq": IM_END, "eoa": BOX_END, "condition_mapping": dict(CONDITION_TOKENS)}
    return {
        "tokenizer_info": {"tokenizer_path": str(target / "tokenizer"), **tags},
        "vocab_size": config.vocab_size,
        "max_seq_len": config.max_position_embeddings,
        "total_length": 0,
    }


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
