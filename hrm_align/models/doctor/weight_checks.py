"""Checks of the weights: their names, shapes, dtype and start state, and that every value is a number.

Weights under the names of Transformers' modules, as a plain `save_file(model.state_dict())` leaves them, are stacked byte by
byte into the fused tensors that stock `save_pretrained` writes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import HrmTextConfig, HrmTextModel

from hrm_align.errors import some
from hrm_align.files import check_space, free_backup, replace_file, replace_json
from hrm_align.models.checkpoint_format import DTYPES, FUSED, Incoming, Stored, saved_shapes, write_safetensors
from hrm_align.models.doctor.checkpoint import CONFIG, GONE, INDEX, SIZES, Checkpoint, Finding, Findings, mendable


def sizes(checkpoint: Checkpoint) -> Findings:
    """The sizes that a shape tells without doubt."""
    embedding = checkpoint.tensors.get("model.embed_tokens.weight")
    down = checkpoint.tensors.get("model.L_module.layers.0.mlp.down_proj.weight")
    told = dict(zip(("vocab_size", "hidden_size"), embedding.shape, strict=False)) if embedding else {}
    if down and len(down.shape) == 2:
        told["intermediate_size"] = down.shape[1]
    wrong = {key: value for key, value in told.items() if checkpoint.size(key) != value}
    if wrong:
        stated = ", ".join(f"{key} is {checkpoint.size(key)}" for key in wrong)
        yield mendable("sizes", CONFIG, f"{stated}, and the weights are of another size", **wrong)


def fused_keys(checkpoint: Checkpoint) -> Findings:
    """Parts saved under the names of the port's modules instead of the fused tensors."""
    split = split_parts(checkpoint)
    if split:
        parts = sum(map(len, split.values()))
        problem = f"the weights are saved in {parts} split keys ({next(iter(split.values()))[0]}, ...)"
        remedy = "fuse them, as stock save_pretrained does and vLLM and llama.cpp ask."

        def apply(checkpoint: Checkpoint) -> None:
            checkpoint.fuse = True

        yield Finding("fused_keys", problem, remedy, apply)


def keys_and_shapes(checkpoint: Checkpoint) -> Findings:
    """The tensors must be those of the config, counted as they are once fused."""
    split = split_parts(checkpoint)
    parts = {part for names in split.values() for part in names}
    shapes = {name: tensor.shape for name, tensor in checkpoint.tensors.items() if name not in parts}
    shapes |= {name: fused_shape(checkpoint, names) for name, names in split.items()}
    expected = saved_shapes({key: checkpoint.size(key) for key in SIZES}, len(checkpoint.saved_layers()["L"]))
    remedy = "copy or save the weights again, or set the size in config.json that is wrong."
    for told, names in (
        ("are missing", expected.keys() - shapes.keys()),
        ("are no part of an HRM-Text", shapes.keys() - expected.keys()),
        ("have another shape than the config", {n for n in shapes if n in expected and shapes[n] != expected[n]}),
    ):
        names -= {"model.z_L_init"} if told == "are missing" else set()  # has a check of its own
        if names:
            yield Finding("keys", f"{len(names)} tensors {told}: {some(sorted(names), 3)}", remedy)


def dtype(checkpoint: Checkpoint) -> Findings:
    """One dtype for all weights, and the config's is that one."""
    kinds = sorted({tensor.dtype for tensor in checkpoint.tensors.values()})
    if len(kinds) > 1 or kinds[0] not in DTYPES:
        remedy = "load it in one dtype (float32, bfloat16) and save it again."
        yield Finding("dtype", f"the weights are saved as {', '.join(kinds)}", remedy)
        return
    stated, held = checkpoint.config.get("dtype", checkpoint.config.get("torch_dtype")), str(DTYPES[kinds[0]])[6:]
    if stated != held:
        legacy = {"torch_dtype": GONE} if "torch_dtype" in checkpoint.config else {}
        yield mendable("dtype", CONFIG, f"dtype is {stated}, and the weights are {held}", **legacy, dtype=held)


def start_state(checkpoint: Checkpoint) -> Findings:
    """`z_L_init` must be there, not zeros, and frozen."""
    remedy = (
        "this cannot be mended here: the vector is lost. Training never changes it, so copy model.z_L_init "
        "from the checkpoint that this one was trained from."
    )
    stored = checkpoint.tensors.get("model.z_L_init")
    if stored is None:
        yield Finding("z_L_init", "model.z_L_init is missing, so Transformers starts from zeros", remedy)
    elif not any(block.view(torch.uint8).any() for block in stored.blocks()):
        yield Finding("z_L_init", "model.z_L_init is all zeros", remedy)
    if not _stock_freezes():
        problem = "the installed Transformers leaves z_L_init trainable"
        yield Finding("z_L_init", problem, "load it with hrm_align, or call z_L_init.requires_grad_(False).")


def _stock_freezes() -> bool:
    config = HrmTextConfig(vocab_size=1, hidden_size=2, intermediate_size=1, num_hidden_layers=1, num_attention_heads=1)
    with torch.device("meta"):
        return not HrmTextModel(config).z_L_init.requires_grad


def finite(checkpoint: Checkpoint) -> Findings:
    """Reads every weight once."""
    wrong = {}
    for name, stored in checkpoint.tensors.items():
        blocks = stored.blocks() if stored.dtype in DTYPES else ()
        if bad := sum(int((~torch.isfinite(block)).sum()) for block in blocks):
            wrong[name] = bad
    if wrong:
        told = f"{sum(wrong.values())} weights in {len(wrong)} tensors are NaN or infinite: {some(sorted(wrong), 3)}"
        yield Finding("finite", told, "go back to an earlier checkpoint: these weights are lost.")


def split_parts(checkpoint: Checkpoint) -> dict[str, list[str]]:
    """For each fused tensor that is saved in parts only, the parts, all there and of one dtype and width."""
    found = {}
    for stack, layer in itertools.product("HL", sorted(checkpoint.saved_layers()["L"])):
        for fused, parts in FUSED.items():
            start = f"model.{stack}_module.layers.{layer}."
            names = [f"{start}{part}.weight" for part in parts]
            held = [checkpoint.tensors[name] for name in names if name in checkpoint.tensors]
            alike = len({(tensor.dtype, *tensor.shape[1:]) for tensor in held}) == 1
            if len(held) == len(names) and alike and f"{start}{fused}.weight" not in checkpoint.tensors:
                found[f"{start}{fused}.weight"] = names
    return found


def fused_shape(checkpoint: Checkpoint, parts: list[str]) -> tuple[int, ...]:
    """The shape of these tensors stacked along their first dimension."""
    held = [checkpoint.tensors[part] for part in parts]
    return (sum(tensor.shape[0] for tensor in held), *held[0].shape[1:])


def save_fused(checkpoint: Checkpoint) -> list[str]:
    """Write the parts stacked and everything that shares a file with them.

    Returns:
        The names of the files that were written.

    Raises:
        UserError: if there is no room.
        OSError: if the disk refuses.
    """
    split = split_parts(checkpoint)
    part_of = {part: fused for fused, parts in split.items() for part in parts}
    shards: dict[Path, dict[str, Incoming]] = {}
    touched = {checkpoint.tensors[part].file for part in part_of}
    for name, stored in checkpoint.tensors.items():
        if stored.file in touched and name not in part_of:
            shards.setdefault(stored.file, {})[name] = Incoming(stored.dtype, stored.shape, stored.size, stored.blocks)
    for fused, parts in split.items():
        held = [checkpoint.tensors[part] for part in parts]
        size = sum(stored.size for stored in held)
        shape = fused_shape(checkpoint, parts)
        shards.setdefault(held[0].file, {})[fused] = Incoming(held[0].dtype, shape, size, lambda held=held: _all(held))  # type: ignore[misc]
    check_space(checkpoint.folder, sum(tensor.size for shard in shards.values() for tensor in shard.values()))
    if not (checkpoint.folder / INDEX).exists() or (checkpoint.folder / "model.safetensors").exists():
        ((file, tensors),) = shards.items()
        replace_file(file, lambda opened: write_safetensors(opened, tensors))
        return [file.name]
    return _save_shards(checkpoint, shards, touched)


def _save_shards(checkpoint: Checkpoint, shards: dict[Path, dict[str, Incoming]], touched: set[Path]) -> list[str]:
    """New shards under new names, then the index that names them: its rename is the one moment of change."""
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


def _all(parts: list[Stored]) -> Iterator[Tensor]:
    for part in parts:
        yield from part.blocks()
