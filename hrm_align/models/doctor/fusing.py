"""Weights saved under the names of Transformers' modules, as a plain `save_file(model.state_dict())` leaves them.

They are found here, and stacked byte by byte into the fused tensors that stock `save_pretrained` writes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from hrm_align.files import check_space, free_backup, replace_file, replace_json
from hrm_align.models.doctor.checkpoint import INDEX, Checkpoint
from hrm_align.models.checkpoint_format import Incoming, Stored, write_safetensors
from hrm_align.models.saved_names import FUSED


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
            size = stored.end - stored.start
            shards.setdefault(stored.file, {})[name] = Incoming(stored.dtype, stored.shape, size, stored.chunks)
    for fused, parts in split.items():
        held = [checkpoint.tensors[part] for part in parts]
        size = sum(stored.end - stored.start for stored in held)
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


def _all(parts: list[Stored]) -> Iterator[bytes]:
    for part in parts:
        yield from part.chunks()
