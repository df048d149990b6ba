"""The weights of a checkpoint, one tensor at a time: into a model that stands, out of one, or while it is made.

A loader that first reads the whole file beside the model, or fuses all weights before it writes them, needs the memory of a
second model. These need that of a block of numbers, or of one tensor.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.serialization import split_state_dict_into_shards_factory
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import GenerationConfig, HrmTextForCausalLM
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file
from transformers.utils.hub import get_checkpoint_shard_files

from hrm_align.errors import UserError, some
from hrm_align.models.checkpoint_format import (
    DTYPES,
    Incoming,
    Stored,
    module_names,
    saved_name,
    stored_tensors,
    write_safetensors,
)
from hrm_align.models.sharding import fill, local_part

SHARD = "5GB"  # largest file, unless a caller says otherwise
_SHARDS = "model{suffix}.safetensors"
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Unread:
    """A stored tensor that Transformers reads when it comes to it, by `[...]`, as from safetensors' own slices.

    Args:
        stored: where it lies.
        dtype: to read it in.
    """

    def __init__(self, stored: Stored, dtype: torch.dtype):
        self._stored, self._dtype = stored, dtype

    def __getitem__(self, index: object) -> Tensor:
        read = torch.empty(self._stored.shape, dtype=self._dtype)
        self._stored.copy_into([read])
        return read


def weights_of(name: str, revision: str | None) -> dict[str, Stored]:
    """Where the weights of a checkpoint lie; those of a Hub id are downloaded. Nothing for one without safetensors.

    Args:
        name: folder or Hub id.
        revision: of a Hub id.

    Raises:
        UserError: a damaged file.
        OSError: nothing of that name.
    """
    if Path(name).is_dir():
        folder = Path(name)
        if not any((folder / file).is_file() for file in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME)):
            return {}
        return stored_tensors(folder)
    for file in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME):
        found = cached_file(name, file, revision=revision, _raise_exceptions_for_missing_entries=False)
        if found is not None:
            if file == SAFE_WEIGHTS_INDEX_NAME:
                get_checkpoint_shard_files(name, found, revision=revision)
            return stored_tensors(Path(found).parent)
    return {}


def from_pretrained(
    name: str, revision: str, stored: dict[str, Stored], **kwargs: Any
) -> tuple[HrmTextForCausalLM, dict[str, Any]]:
    """The model, with Transformers' report of missing and unexpected keys.

    Weights that have the dtype they are loaded in stay in the file, mapped. Transformers would map the others too, and
    their pages stay in memory beside the cast weights: those are read one tensor at a time.

    Args:
        name: folder or Hub id.
        revision: of a Hub id.
        stored: of `weights_of`.
        kwargs: for Transformers' method of this name; `config` and `dtype` are needed.
    """
    stays = all(DTYPES.get(tensor.dtype) == kwargs["dtype"] for tensor in stored.values())
    if stays or "quantization_config" in kwargs:
        loaded: Any = HrmTextForCausalLM.from_pretrained(name, revision=revision, output_loading_info=True, **kwargs)
        return loaded
    unread: Any = {key: Unread(tensor, kwargs["dtype"]) for key, tensor in stored.items()}
    model, report = cast(
        Any, HrmTextForCausalLM.from_pretrained(None, state_dict=unread, output_loading_info=True, **kwargs)
    )
    model.name_or_path = model.config.name_or_path = name
    with suppress(OSError):  # else it has none, and the one made of the config stays
        model.generation_config = GenerationConfig.from_pretrained(name, revision=revision)
    return model, report


def load_weights(model: nn.Module, folder: Path) -> None:
    """Read a checkpoint's weights into a model's own tensors, in their dtype and on their device.

    Args:
        model: an HrmTextForCausalLM with weights of its own, sharded or not; every process reads its own slices.
        folder: a saved checkpoint, with Transformers' fused names or the modules' own.

    Raises:
        UserError: a tensor that is missing, too many or of another shape, or a damaged file. Nothing is changed then,
            unless the file is cut short while it is read.
    """
    own, stored = model.state_dict(), stored_tensors(folder)
    parts = {name: module_names(name) for name in stored}
    _check_fit(folder, own, stored, parts)
    with torch.no_grad():
        for name, tensor in stored.items():
            _copy_into([own[part] for part in parts[name]], tensor)


def _copy_into(own: list[Tensor], stored: Stored) -> None:
    if not any(isinstance(tensor, DTensor) for tensor in own):
        stored.copy_into(own)
        return
    stored.check_dtype()
    for tensor, part in zip(own, stored.mapped().split([len(tensor) for tensor in own]), strict=True):
        fill(tensor, part)


def _check_fit(
    folder: Path, own: Mapping[str, Tensor], stored: Mapping[str, Stored], parts: Mapping[str, list[str]]
) -> None:
    named = {part for names in parts.values() for part in names}
    filled = {_place(own[part]) for part in named & own.keys()}
    missing = sorted(name for name in own.keys() - named if _place(own[name]) not in filled)  # else it is tied
    wrong = missing + sorted(named - own.keys())
    for name, names in parts.items():
        if not wrong and _shape([own[part] for part in names]) != stored[name].shape:
            wrong = [name]
    if wrong:
        raise UserError(
            f"{folder} does not hold this model's weights: {some(wrong, 3)} are missing, too many or of another shape. "
            "Go on from a checkpoint of this run, or give it as --model_name_or_path to begin anew."
        )


def _place(tensor: Tensor) -> int | Tensor:
    """Where a tensor lies, which tied ones share; itself where this process holds none of it."""
    part = local_part(tensor)
    return part.data_ptr() if part.numel() else tensor


def is_plain(model: nn.Module) -> bool:
    """Whether `save_weights` can write a model: whole weights of one known dtype, none of them tied or elsewhere."""
    dtypes = {weight.dtype for weight in model.state_dict().values()}
    return (
        isinstance(model, HrmTextForCausalLM)
        and not model.config.tie_word_embeddings
        and not getattr(model, "is_quantized", False)
        and not hasattr(model, "hf_device_map")
        and len(dtypes) == 1
        and dtypes <= set(DTYPES.values())
    )


def save_weights(weights: Mapping[str, Tensor], file: Path) -> None:
    """Write a model's weights as stock `save_pretrained` does, fused, without fusing them in memory first.

    Args:
        weights: whole, by the modules' names: `state_dict()` of an HrmTextForCausalLM without tied weights.
        file: to write.
    """
    with file.open("wb") as opened:
        write_safetensors(opened, _incoming(weights, None))


def save_whole(model: HrmTextForCausalLM, folder: Path, dtype: torch.dtype | None = None, shard: str = SHARD) -> None:
    """Write config, generation config and weights as stock `save_pretrained` does, in any type; the model stays as it is.

    Args:
        model: without tied weights, not quantised.
        folder: that is there.
        dtype: type to write in; None for the model's own.
        shard: largest size of a file, as `save_pretrained` takes it.
    """
    config = copy.deepcopy(model.config)
    config.dtype, config.architectures = dtype or model.dtype, [type(model).__name__]
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tensors = _incoming(model.state_dict(), dtype)
    split: Any = split_state_dict_into_shards_factory(
        cast(Any, tensors), get_storage_size=lambda tensor: tensor.size, filename_pattern=_SHARDS, max_shard_size=shard
    )
    for file, names in split.filename_to_tensors.items():
        with (folder / file).open("wb") as opened:
            write_safetensors(opened, {name: tensors[name] for name in names})
    if split.is_sharded:
        total = sum(weight.numel() for weight in model.parameters())
        index = {"metadata": {"total_parameters": total, **split.metadata}, "weight_map": split.tensor_to_filename}
        text = json.dumps(index, indent=2, sort_keys=True)
        (folder / SAFE_WEIGHTS_INDEX_NAME).write_text(text + "\n", encoding="utf-8")


def differing_tensors(model: nn.Module, folder: Path, dtype: torch.dtype | None = None) -> list[str]:
    """Names of the saved tensors that are not as the model has them, bit for bit; empty where all are.

    Args:
        model: that was saved.
        folder: of the checkpoint.
        dtype: type it was written in; None for the model's own.
    """
    stored, own = stored_tensors(folder), model.state_dict()
    expected = {saved_name(name) for name in own}
    differing = sorted(stored.keys() ^ expected)
    for name in sorted(stored.keys() & expected):
        parts = [own[part].detach() for part in module_names(name)]
        parts = [part.to("cpu", dtype or part.dtype) for part in parts]
        saved = stored[name].mapped()
        same = saved.dtype == parts[0].dtype and saved.shape == _shape(parts)
        if not (same and all(map(torch.equal, saved.split([len(part) for part in parts]), parts))):
            differing.append(name)
    return differing


def _incoming(own: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Incoming]:
    """A model's saved tensors, by name, in a type or in their own, none of them made yet."""
    tensors = {}
    for saved in sorted({saved_name(name) for name in own}):
        parts = [own[part] for part in module_names(saved)]
        written, shape = dtype or parts[0].dtype, _shape(parts)
        size = written.itemsize * math.prod(shape)
        tensors[saved] = Incoming(_NAMES[written], shape, size, partial(_cast, parts, written))
    return tensors


def _cast(parts: list[Tensor], dtype: torch.dtype) -> Iterator[Tensor]:
    return (part.to(dtype) for part in parts)


def _shape(parts: list[Tensor]) -> tuple[int, ...]:
    """The shape of tensors stacked along dim 0."""
    return (sum(part.shape[0] for part in parts), *parts[0].shape[1:])


def first_dtype(weights: Mapping[str, Stored]) -> torch.dtype | None:
    """The dtype of the first stored tensor that has one of HRM-Text's."""
    found: Iterator[torch.dtype] = (DTYPES[tensor.dtype] for tensor in weights.values() if tensor.dtype in DTYPES)
    return next(found, None)
