"""Checks of the weights: names, shapes, dtype, start state and finite values; and the fusing of split weights.

A plain `save_file(model.state_dict())` saves weights under the names of Transformers' modules. The fix stacks them,
byte by byte, to the fused tensors that stock `save_pretrained` saves.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import HrmTextConfig, HrmTextModel

from hrm_align.errors import join_names
from hrm_align.files import check_space, free_backup, replace_file, replace_json
from hrm_align.models.checkpoint_format import DTYPES, FUSED, Incoming, Stored, saved_shapes, write_safetensors
from hrm_align.models.doctor.checkpoint import (
    CONFIG,
    GONE,
    INDEX,
    SIZES,
    Checkpoint,
    Finding,
    Findings,
    fixable_finding,
)
from hrm_align.models.reward_model import SCORE


def sizes(checkpoint: Checkpoint) -> Findings:
    """Check the config's sizes that follow from the shape of a single weight."""
    embedding = checkpoint.tensors.get("model.embed_tokens.weight")
    down = checkpoint.tensors.get("model.L_module.layers.0.mlp.down_proj.weight")
    saved_sizes = dict(zip(("vocab_size", "hidden_size"), embedding.shape, strict=False)) if embedding else {}
    if down and len(down.shape) == 2:
        saved_sizes["intermediate_size"] = down.shape[1]
    wrong = {key: value for key, value in saved_sizes.items() if checkpoint.size(key) != value}
    if wrong:
        stated = ", ".join(f"{key} is {checkpoint.size(key)}" for key in wrong)
        yield fixable_finding("sizes", CONFIG, f"{stated}, and the weights have another size", **wrong)


def fused_keys(checkpoint: Checkpoint) -> Findings:
    """Find weights that are saved in parts, under the names of Transformers' modules, instead of the fused tensors."""
    split = split_parts(checkpoint)
    if split:
        parts = sum(map(len, split.values()))
        problem = f"the weights are saved in {parts} split keys ({next(iter(split.values()))[0]}, ...)"
        remedy = "fuse them, as stock save_pretrained does and as vLLM and llama.cpp require."

        def apply(checkpoint: Checkpoint) -> None:
            checkpoint.fuse = True

        yield Finding("fused_keys", problem, remedy, apply)


def keys_and_shapes(checkpoint: Checkpoint) -> Findings:
    """Check that the tensors, with split ones fused, have the names and shapes that follow from the config."""
    split = split_parts(checkpoint)
    parts = {part for names in split.values() for part in names}
    shapes = {name: tensor.shape for name, tensor in checkpoint.tensors.items() if name not in parts}
    shapes |= {name: fused_shape(checkpoint, names) for name, names in split.items()}
    expected = saved_shapes({key: checkpoint.size(key) for key in SIZES}, len(checkpoint.saved_layers()["L"]))
    if checkpoint.is_reward_model:
        del expected["lm_head.weight"]
        expected[f"{SCORE}.weight"] = (1, checkpoint.size("hidden_size"))
    remedy = "copy or save the weights again, or correct the sizes in config.json."
    for fault, names in (
        ("are missing", expected.keys() - shapes.keys() - {"model.z_L_init"}),  # `start_state` checks z_L_init
        ("are no part of an HRM-Text", shapes.keys() - expected.keys()),
        ("have another shape than the config", {n for n in shapes if n in expected and shapes[n] != expected[n]}),
    ):
        if names:
            yield Finding("keys", f"{len(names)} tensors {fault}: {join_names(sorted(names), 3)}", remedy)


def dtype(checkpoint: Checkpoint) -> Findings:
    """Check that all weights have one dtype, and that the config has the same dtype."""
    kinds = sorted({tensor.dtype for tensor in checkpoint.tensors.values()})
    if len(kinds) > 1 or kinds[0] not in DTYPES:
        remedy = "load the model in one dtype (float32, bfloat16) and save it again."
        yield Finding("dtype", f"the weights are saved as {', '.join(kinds)}", remedy)
        return
    stated = checkpoint.config.get("dtype", checkpoint.config.get("torch_dtype"))
    saved = str(DTYPES[kinds[0]]).removeprefix("torch.")
    if stated != saved:
        legacy = {"torch_dtype": GONE} if "torch_dtype" in checkpoint.config else {}
        yield fixable_finding("dtype", CONFIG, f"dtype is {stated}, and the weights are {saved}", **legacy, dtype=saved)


def start_state(checkpoint: Checkpoint) -> Findings:
    """Check that `z_L_init` exists, is not all zeros, and is frozen by Transformers."""
    remedy = (
        "copy model.z_L_init from the checkpoint that this one was trained from: training never changes the vector, and it "
        "cannot be fixed without that checkpoint."
    )
    stored = checkpoint.tensors.get("model.z_L_init")
    if stored is None:
        yield Finding("z_L_init", "model.z_L_init is missing, so Transformers starts from zeros", remedy)
    elif not any(block.view(torch.uint8).any() for block in stored.blocks()):
        yield Finding("z_L_init", "model.z_L_init is all zeros", remedy)
    if not _transformers_freezes_start_state():
        problem = "the installed Transformers leaves z_L_init trainable"
        yield Finding("z_L_init", problem, "load the model with hrm_align, or call z_L_init.requires_grad_(False).")


def _transformers_freezes_start_state() -> bool:
    config = HrmTextConfig(vocab_size=1, hidden_size=2, intermediate_size=1, num_hidden_layers=1, num_attention_heads=1)
    with torch.device("meta"):
        return not HrmTextModel(config).z_L_init.requires_grad


def finite(checkpoint: Checkpoint) -> Findings:
    """Check that no weight is NaN or infinite. Reads every weight once, block by block."""
    wrong = {}
    for name, stored in checkpoint.tensors.items():
        blocks = stored.blocks() if stored.dtype in DTYPES else ()
        if bad := sum(int((~torch.isfinite(block)).sum()) for block in blocks):
            wrong[name] = bad
    if wrong:
        problem = (
            f"{sum(wrong.values())} weights in {len(wrong)} tensors are NaN or infinite: {join_names(sorted(wrong), 3)}"
        )
        yield Finding("finite", problem, "use an earlier checkpoint: these weights are lost.")


def split_parts(checkpoint: Checkpoint) -> dict[str, list[str]]:
    """Return the names of the parts of each fused tensor that is saved only in parts; incomplete parts are left out."""
    split = {}
    for stack, layer in itertools.product("HL", sorted(checkpoint.saved_layers()["L"])):
        for fused, parts in FUSED.items():
            start = f"model.{stack}_module.layers.{layer}."
            names = [f"{start}{part}.weight" for part in parts]
            saved = [checkpoint.tensors[name] for name in names if name in checkpoint.tensors]
            can_stack = len({(tensor.dtype, *tensor.shape[1:]) for tensor in saved}) == 1
            if len(saved) == len(names) and can_stack and f"{start}{fused}.weight" not in checkpoint.tensors:
                split[f"{start}{fused}.weight"] = names
    return split


def fused_shape(checkpoint: Checkpoint, parts: list[str]) -> tuple[int, ...]:
    """Compute the shape of tensors stacked along their first dimension."""
    saved = [checkpoint.tensors[part] for part in parts]
    return (sum(tensor.shape[0] for tensor in saved), *saved[0].shape[1:])


def save_fused(checkpoint: Checkpoint) -> list[str]:
    """Rewrite the weight files that have split weights, with the parts stacked and all other tensors unchanged.

    Returns:
        The names of the written files.

    Raises:
        UserError: if there is too little free space.
        OSError: if a file cannot be written.
    """
    split = split_parts(checkpoint)
    part_of = {part: fused for fused, parts in split.items() for part in parts}
    shards: dict[Path, dict[str, Incoming]] = {}
    touched = {checkpoint.tensors[part].file for part in part_of}
    for name, stored in checkpoint.tensors.items():
        if stored.file in touched and name not in part_of:
            shards.setdefault(stored.file, {})[name] = Incoming(stored.dtype, stored.shape, stored.size, stored.blocks)
    for fused, parts in split.items():
        saved = [checkpoint.tensors[part] for part in parts]
        size = sum(stored.size for stored in saved)
        shape = fused_shape(checkpoint, parts)
        shards.setdefault(saved[0].file, {})[fused] = Incoming(
            saved[0].dtype,
            shape,
            size,
            lambda saved=saved: _read_all(saved),  # type: ignore[misc]
        )
    check_space(checkpoint.folder, sum(tensor.size for shard in shards.values() for tensor in shard.values()))
    if not (checkpoint.folder / INDEX).exists() or (checkpoint.folder / "model.safetensors").exists():
        ((file, tensors),) = shards.items()
        replace_file(file, lambda opened: write_safetensors(opened, tensors))
        return [file.name]
    return _save_shards(checkpoint, shards, touched)


def _save_shards(checkpoint: Checkpoint, shards: dict[Path, dict[str, Incoming]], touched: set[Path]) -> list[str]:
    """Write new shards under new names, then replace the index: the checkpoint changes only with the rename of the index."""
    index = json.loads((checkpoint.folder / INDEX).read_text(encoding="utf-8"))
    places = {name: stored.file.name for name, stored in checkpoint.tensors.items() if stored.file not in touched}
    written = []
    for file, tensors in shards.items():
        new = file.with_name(f"{file.stem}-fused{file.suffix}")
        replace_file(new, lambda opened, tensors=tensors: write_safetensors(opened, tensors))  # type: ignore[misc]
        places |= dict.fromkeys(tensors, new.name)
        written.append(new.name)
    replace_json(checkpoint.folder / INDEX, index | {"weight_map": dict(sorted(places.items()))})
    for file in touched:
        file.rename(free_backup(file))
    return [*written, INDEX]


def _read_all(parts: list[Stored]) -> Iterator[Tensor]:
    for part in parts:
        yield from part.blocks()
