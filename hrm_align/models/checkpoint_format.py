"""Safetensors files of HRM-Text checkpoints: tensor names and shapes, streamed reading and writing.

Files are read and written without holding a model in memory. The pages of a mapped file count as used memory until the mapping
ends, so the file is opened again for each block of numbers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hrm_align.errors import UserError, join_names
from hrm_align.progress import counting

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}  # safetensors' names
BLOCK = 1 << 22  # numbers read at a time


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Open a safetensors file; safetensors checks the header against the size of the file.

    Raises:
        UserError: if the file is damaged.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder, where a file of weights should be. Copy the checkpoint again.")
    try:
        with safe_open(path, "pt") as file:
            yield file
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}). Copy the file again.") from None


@dataclass(frozen=True)
class Stored:
    """A tensor stored in a file: file, name, dtype (safetensors' name, such as BF16) and shape."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.mapped().nbytes

    def mapped(self) -> Tensor:
        """Return the tensor mapped from the file: pages are read on access and stay in memory as long as the tensor."""
        with _open(self.file) as file:
            tensor: Tensor = file.get_tensor(self.name)
            return tensor

    def blocks(self) -> Iterator[Tensor]:
        """Yield the numbers as flat tensors of at most `BLOCK`, mapped one block at a time."""
        for start in range(0, math.prod(self.shape), BLOCK):
            yield self.mapped().view(-1)[start : start + BLOCK]

    def copy_into(self, tensors: Sequence[Tensor]) -> None:
        """Copy this tensor into contiguous tensors that split it along dim 0, keeping their dtypes and devices.

        Args:
            tensors: the parts, in their order along dim 0.

        Raises:
            UserError: for an unsupported dtype, or a truncated file.
        """
        self.check_dtype()
        start = 0
        for tensor in tensors:
            for part in tensor.view(-1).split(BLOCK):
                part.copy_(self.mapped().view(-1)[start : start + part.numel()])
                start += part.numel()

    def check_dtype(self) -> None:
        """Raise UserError for an unsupported dtype."""
        if self.dtype not in DTYPES:
            raise UserError(f"{self.file}: unsupported dtype {self.dtype}. Save the weights as {' or '.join(DTYPES)}.")


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """Return every tensor of a checkpoint by name, from one file or from shards.

    Raises:
        UserError: for a missing or damaged file, or an index that names missing shards or tensors.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():  # the same order as in Transformers
        return read_header(single)
    if not index.exists():
        pickled = next((path.name for path in folder.glob("pytorch_model*")), None)
        remedy = "Copy the checkpoint again, saved as safetensors."
        if pickled:
            remedy = f"Save {pickled}, a pickle, which is not read, as safetensors."
        raise UserError(f"{folder} holds no model.safetensors. {remedy}")
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = {name: str(file) for name, file in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} is damaged ({error}). Copy the file again.") from None
    tensors: dict[str, Stored] = {}
    for file in sorted(set(names.values())):
        if Path(file).name != file or not (folder / file).is_file():
            raise UserError(f"{index} names the shard {file}, which is not in {folder}. Copy the checkpoint again.")
        tensors |= read_header(folder / file)
    absent = [name for name, file in names.items() if name not in tensors or tensors[name].file.name != file]
    if absent:
        raise UserError(f"{index} names a wrong shard for {join_names(absent)}. Copy the checkpoint again.")
    return tensors


def read_header(path: Path) -> dict[str, Stored]:
    """Return the tensors of one safetensors file by name; only the header is read.

    Raises:
        UserError: if the file is damaged.
    """
    with _open(path) as file:
        slices = {name: file.get_slice(name) for name in file.offset_keys()}
        return {name: Stored(path, name, part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}


@dataclass(frozen=True)
class Incoming:
    """A tensor to write: dtype (safetensors' name), shape, size in bytes, and a function that returns its parts along dim 0."""

    dtype: str
    shape: tuple[int, ...]
    size: int
    parts: Callable[[], Iterable[Tensor]]


def write_safetensors(file: BinaryIO, tensors: Mapping[str, Incoming]) -> None:
    """Write a safetensors file in one pass, byte for byte as `safetensors.torch.save_file` does.

    safetensors itself needs all tensors in memory at once, each in one piece. For fused or converted weights this would be a second
    copy of the model.
    """
    # The header first: tensors ordered by decreasing element size, then by name, as in safetensors.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].size // max(1, math.prod(item[1].shape)), item[0]))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in ordered:
        offsets = [offset, offset := offset + tensor.size]
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    # Then the numbers, one part at a time.
    with counting("writing weights", offset >> 20, "MiB") as writing:
        for name, tensor in ordered:
            for part in tensor.parts():
                file.write(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())  # type: ignore[call-overload]  # a Buffer
            start, end = header[name]["data_offsets"]
            writing.advance((end >> 20) - (start >> 20))


FUSED = {  # name in Transformers' checkpoints: names of the modules' tensors, stacked in this order along dim 0
    "attn.gqkv_proj": ("self_attn.gate_proj", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.o_proj": ("self_attn.o_proj",),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
}


def module_names(saved: str) -> list[str]:
    """Return the names of the model's tensors that are stacked in a saved tensor, in their order along dim 0.

    >>> module_names("model.L_module.layers.0.mlp.gate_up_proj.weight")
    ['model.L_module.layers.0.mlp.gate_proj.weight', 'model.L_module.layers.0.mlp.up_proj.weight']
    """
    for fused, parts in FUSED.items():
        block, separator, kind = saved.partition(f".{fused}.")
        if separator and (kind == "weight" or len(parts) == 1):
            return [f"{block}.{part}.{kind}" for part in parts]
    return [saved]


def saved_name(name: str) -> str:
    """Return the name of the saved tensor that contains one of the model's tensors: the inverse of `module_names`."""
    for fused, parts in FUSED.items():
        for part in parts:
            block, separator, kind = name.partition(f".{part}.")
            if separator and (kind == "weight" or len(parts) == 1):
                return f"{block}.{fused}.{kind}"
    return name


def saved_shapes(config: Mapping[str, Any], layers: int) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor that stock `save_pretrained` writes.

    Args:
        config: sizes of the model, under the keys of config.json.
        layers: number of blocks in each of the two stacks.
    """
    hidden, heads = config["hidden_size"], config["num_attention_heads"] * config["head_dim"]
    vocabulary, inner = (config["vocab_size"], hidden), config["intermediate_size"]
    block = {
        "attn.gqkv_proj": (4 * heads, hidden),
        "attn.o_proj": (hidden, heads),
        "mlp.gate_up_proj": (2 * inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    blocks = {
        f"model.{stack}_module.layers.{layer}.{name}.weight": shape
        for stack in "HL"
        for layer in range(layers)
        for name, shape in block.items()
    }
    ends = {"model.embed_tokens.weight": vocabulary, "lm_head.weight": vocabulary, "model.z_L_init": (hidden,)}
    return ends | blocks


def official_name(name: str) -> str:
    """Return the official training code's name of a tensor that Transformers saves as `name`."""
    ends = {"model.embed_tokens.weight": "embed_tokens.embedding_weight", "model.z_L_init": "model.zL_init"}
    return ends.get(name) or re.sub(r"^model\.([HL])_module\.", r"model.\1_level.core.", name)
