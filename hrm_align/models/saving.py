"""A model in memory written as stock `save_pretrained` writes it, and compared with what was written, a tensor at a time.

`save_pretrained` builds every fused tensor before it writes the first: a second copy of the model, 4.7 GB of the published
one in float32.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.serialization import split_state_dict_into_shards_factory
from safetensors import safe_open
from torch import Tensor
from transformers import HrmTextForCausalLM

from hrm_align.models.safetensors_files import DTYPES, Incoming, stored_tensors, write_safetensors
from hrm_align.models.saved_names import module_names, saved_shapes

SHARD = "5GB"
_PATTERN = "model{suffix}.safetensors"
_NAMES = {dtype: name for name, dtype in DTYPES.items()}  # safetensors' names of types


def save_whole(model: HrmTextForCausalLM, folder: Path, dtype: torch.dtype | None = None, shard: str = SHARD) -> None:
    """Write config, generation config and weights, sharded and in the fused layout; needs memory for one tensor.

    Args:
        model: a whole checkpoint, not quantised; it stays as it is.
        folder: that is there.
        dtype: type to write in; None for the model's own.
        shard: largest size of a file, as `save_pretrained` takes it.
    """
    written = dtype or model.dtype
    config = copy.deepcopy(model.config)
    config.dtype, config.architectures = written, [type(model).__name__]
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tensors = _incoming(model, written)
    split: Any = split_state_dict_into_shards_factory(
        cast(Any, tensors), get_storage_size=lambda tensor: tensor.size, filename_pattern=_PATTERN, max_shard_size=shard
    )
    for file, names in split.filename_to_tensors.items():
        with (folder / file).open("wb") as opened:
            write_safetensors(opened, {name: tensors[name] for name in names})
    if split.is_sharded:
        total = sum(weight.numel() for weight in model.parameters())
        index = {"metadata": {"total_parameters": total, **split.metadata}, "weight_map": split.tensor_to_filename}
        text = json.dumps(index, indent=2, sort_keys=True)
        (folder / "model.safetensors.index.json").write_text(text + "\n", encoding="utf-8")


def differing_tensors(model: HrmTextForCausalLM, folder: Path, dtype: torch.dtype | None = None) -> list[str]:
    """Names of the tensors that a folder does not hold as the model has them, bit for bit; empty where it does.

    Args:
        model: that was saved.
        folder: of the checkpoint.
        dtype: type it was written in; None for the model's own.
    """
    written, stored, state = dtype or model.dtype, stored_tensors(folder), model.state_dict()
    expected = _saved(model)
    differing = sorted(stored.keys() ^ expected.keys())
    for name in sorted(stored.keys() & expected.keys()):
        with safe_open(stored[name].file, "pt") as file:
            whole = file.get_tensor(name)
        parts = [state[part].detach().to("cpu", written) for part in expected[name]]
        rows = [len(part) for part in parts]
        if whole.dtype != written or len(whole) != sum(rows) or not all(map(torch.equal, whole.split(rows), parts)):
            differing.append(name)
    return differing


def _saved(model: HrmTextForCausalLM) -> dict[str, tuple[str, ...]]:
    """Names of the saved tensors, and of the modules' weights that each is stacked from."""
    layers = model.config.num_layers_per_stack
    assert layers is not None
    return {name: module_names(name) for name in saved_shapes(model.config.to_dict(), layers)}


def _incoming(model: HrmTextForCausalLM, dtype: torch.dtype) -> dict[str, Incoming]:
    """What to write, in the order of the names."""
    state = model.state_dict()
    tensors = {}
    for name, modules in _saved(model).items():
        parts = [state[module] for module in modules]
        shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
        size = dtype.itemsize * math.prod(shape)
        tensors[name] = Incoming(_NAMES[dtype], shape, size, partial(_bytes, parts, dtype))
    return tensors


def _bytes(parts: list[Tensor], dtype: torch.dtype) -> Iterator[memoryview]:
    for part in parts:
        yield part.detach().to("cpu", dtype).contiguous().flatten().view(torch.uint8).numpy().data
