"""Safetensors files of an HRM-Text: tensor names in Transformers' and the official form, shapes, and streamed reading.

Files are read and written without holding a model in memory. Pages of a mapped file count as memory in use until the
mapping ends, so safetensors opens the file anew for each block of numbers.
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

from hrm_align.errors import UserError, some

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}  # safetensors' names
BLOCK = 1 << 22  # numbers read at a time


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file, whose header is checked against the size of the file.

    Raises:
        UserError: if the file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            yield file
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}): copy it again.") from None


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: its file, name, dtype (safetensors' name) and shape."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.mapped().nbytes

    def mapped(self) -> Tensor:
        """The tensor, mapped: a page of the file is read when its numbers are, and stays while the tensor does."""
        with _opened(self.file) as file:
            tensor: Tensor = file.get_tensor(self.name)
            return tensor

    def blocks(self) -> Iterator[Tensor]:
        """The numbers in one dimension, mapped a block at a time."""
        for start in range(0, math.prod(self.shape), BLOCK):
            yield self.mapped().view(-1)[start : start + BLOCK]

    def copy_into(self, tensors: Sequence[Tensor]) -> None:
        """Fill contiguous tensors that lie in this one behind each other, in their own dtypes and on their own devices.

        Raises:
            UserError: for a dtype that no HRM-Text has, or a file that has lost its end.
        """
        self.check_dtype()
        start = 0
        for tensor in tensors:
            for part in tensor.view(-1).split(BLOCK):
                part.copy_(self.mapped().view(-1)[start : start + part.numel()])
                start += part.numel()

    def check_dtype(self) -> None:
        """Raises UserError for a dtype that no HRM-Text has."""
        if self.dtype not in DTYPES:
            raise UserError(f"{self.file} holds {self.dtype}: save its weights as {', '.join(DTYPES)}.")


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """Every tensor of a checkpoint, one file or sharded.

    Raises:
        UserError: a missing or damaged file, or an index that names what is not there.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():  # Transformers looks in this order
        return header_of(single)
    if not index.exists():
        pickled = next((path.name for path in folder.glob("pytorch_model*")), None)
        hint = f"It holds {pickled}, which is a pickle and is not read: save it" if pickled else "Copy it again, saved"
        raise UserError(f"{folder} holds no model.safetensors. {hint} as safetensors.")
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = {name: str(file) for name, file in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} is damaged ({error}): copy it again.") from None
    tensors: dict[str, Stored] = {}
    for file in sorted(set(names.values())):
        if Path(file).name != file or not (folder / file).is_file():
            raise UserError(f"{index} names the shard {file}, which is not in {folder}: copy it again.")
        tensors |= header_of(folder / file)
    absent = [name for name, file in names.items() if name not in tensors or tensors[name].file.name != file]
    if absent:
        raise UserError(f"{index} places {some(absent)} where it is not: copy the checkpoint again.")
    return tensors


def header_of(path: Path) -> dict[str, Stored]:
    """The tensors of one safetensors file.

    Raises:
        UserError: if it is damaged.
    """
    with _opened(path) as file:
        slices = {name: file.get_slice(name) for name in file.offset_keys()}
        return {name: Stored(path, name, part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}


@dataclass(frozen=True)
class Incoming:
    """A tensor to be written: dtype (safetensors' name), shape, bytes in all, and the tensors it is stacked from."""

    dtype: str
    shape: tuple[int, ...]
    size: int
    parts: Callable[[], Iterable[Tensor]]


def write_safetensors(file: BinaryIO, tensors: Mapping[str, Incoming]) -> None:
    """Write a safetensors file in one pass; the bytes are those of `safetensors.torch.save_file`.

    safetensors itself writes only what lies in memory all at once, each tensor in one piece: for fused or converted
    weights a second copy of the model.
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].size // max(1, math.prod(item[1].shape)), item[0]))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in ordered:
        offsets = [offset, offset := offset + tensor.size]
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for _, tensor in ordered:
        for part in tensor.parts():
            file.write(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())  # type: ignore[call-overload]  # a Buffer


FUSED = {  # Transformers' fused name: the parts that its modules are made of, stacked in this order along dim 0
    "attn.gqkv_proj": ("self_attn.gate_proj", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.o_proj": ("self_attn.o_proj",),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
}


def module_names(saved: str) -> list[str]:
    """The model's own names of the tensors that lie in a saved one, in their order along dim 0.

    >>> module_names("model.L_module.layers.0.mlp.gate_up_proj.weight")
    ['model.L_module.layers.0.mlp.gate_proj.weight', 'model.L_module.layers.0.mlp.up_proj.weight']
    """
    for fused, parts in FUSED.items():
        block, found, kind = saved.partition(f".{fused}.")
        if found and (kind == "weight" or len(parts) == 1):
            return [f"{block}.{part}.{kind}" for part in parts]
    return [saved]


def saved_name(name: str) -> str:
    """The saved tensor in which one of the model's own lies: the other way of `module_names`."""
    for fused, parts in FUSED.items():
        for part in parts:
            block, found, kind = name.partition(f".{part}.")
            if found and (kind == "weight" or len(parts) == 1):
                return f"{block}.{fused}.{kind}"
    return name


def saved_shapes(config: Mapping[str, Any], layers: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that stock `save_pretrained` writes.

    Args:
        config: the keys of a config.json that give sizes.
        layers: blocks in each of the two stacks.
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
    """The official name of a tensor that is saved under `name` in Transformers' form."""
    ends = {"model.embed_tokens.weight": "embed_tokens.embedding_weight", "model.z_L_init": "model.zL_init"}
    return ends.get(name) or re.sub(r"^model\.([HL])_module\.", r"model.\1_level.core.", name)
