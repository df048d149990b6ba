"""Load and save the weights of a checkpoint one tensor at a time.

A loader that reads a whole file beside the model, or fuses all weights before writing them, needs the memory of a second model.
These functions need the memory of one block of numbers, or of one tensor.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
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

from hrm_align.errors import UserError, join_names
from hrm_align.models.checkpoint_format import (
    DTYPES,
    Incoming,
    Stored,
    module_names,
    saved_name,
    stored_tensors,
    write_safetensors,
)
from hrm_align.models.reward_model import SCORE, HrmTextForSequenceClassification
from hrm_align.models.sharding import fill, local_part

SHARD = "5GB"  # default of the largest size of a file
_SHARDS = "model{suffix}.safetensors"
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Unread:
    """A stored tensor that is read when Transformers indexes it (`[...]`), like a slice of safetensors.

    Args:
        stored: the tensor in its file.
        dtype: dtype to convert to.
    """

    def __init__(self, stored: Stored, dtype: torch.dtype):
        self._stored, self._dtype = stored, dtype

    def __getitem__(self, index: object) -> Tensor:
        tensor = torch.empty(self._stored.shape, dtype=self._dtype)
        self._stored.copy_into([tensor])
        return tensor


def locate_weights(name: str, revision: str | None) -> dict[str, Stored]:
    """Locate the weights of a checkpoint; those of a Hub id are downloaded.

    Args:
        name: folder or Hub id.
        revision: branch, tag or commit of a Hub id.

    Returns:
        The stored tensors by name; empty for a checkpoint without safetensors files.

    Raises:
        UserError: for a damaged file.
        OSError: if there is no such checkpoint.
    """
    if Path(name).is_dir():
        folder = Path(name)
        if not any((folder / file).is_file() for file in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME)):
            return {}
        return stored_tensors(folder)
    for file in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME):
        path = cached_file(name, file, revision=revision, _raise_exceptions_for_missing_entries=False)
        if path is not None:
            if file == SAFE_WEIGHTS_INDEX_NAME:
                get_checkpoint_shard_files(name, path, revision=revision)
            return stored_tensors(Path(path).parent)
    return {}


def from_pretrained(
    model_class: type[Any], name: str, revision: str, stored: dict[str, Stored], **kwargs: Any
) -> tuple[Any, dict[str, Any]]:
    """Load a model as Transformers' `from_pretrained` does, without holding a second copy of the weights.

    Weights whose dtype does not change stay mapped from the file. Other weights are read and cast one tensor at a time, because
    Transformers would map these, too, and the mapped pages would stay in memory beside the cast weights.

    Args:
        model_class: class of the model.
        name: folder or Hub id.
        revision: branch, tag or commit of a Hub id.
        stored: the stored tensors, as `locate_weights` returns them.
        kwargs: keywords of Transformers' `from_pretrained`; `config` and `dtype` are required.

    Returns:
        The model, and Transformers' report of missing and unexpected keys.
    """
    keeps_dtype = all(DTYPES.get(tensor.dtype) == kwargs["dtype"] for tensor in stored.values())
    if keeps_dtype or "quantization_config" in kwargs:
        loaded: Any = model_class.from_pretrained(name, revision=revision, output_loading_info=True, **kwargs)
        return loaded
    unread: Any = {key: Unread(tensor, kwargs["dtype"]) for key, tensor in stored.items()}
    model, report = model_class.from_pretrained(None, state_dict=unread, output_loading_info=True, **kwargs)
    model.name_or_path = model.config.name_or_path = name
    if model.can_generate():
        with suppress(OSError):  # without a generation_config.json, the one derived from the config stays
            model.generation_config = GenerationConfig.from_pretrained(name, revision=revision)
    return model, report


def check_whole(name: str, report: dict[str, Any], may_lack: Collection[str] = ()) -> set[str]:
    """Check that the weights are those that the config describes.

    Args:
        name: folder or Hub id.
        report: report of `from_pretrained`.
        may_lack: names of tensors that the checkpoint may lack.

    Returns:
        Those of `may_lack` that it lacks.

    Raises:
        UserError: for missing, unexpected or misshapen tensors.
    """
    if wrong := sorted(report["mismatched_keys"]):
        weight, stored, described = wrong[0]
        raise UserError(
            f"{name}: the weights do not fit the config: {weight} is {_product(stored)} in the file and {_product(described)} by "
            f"config.json ({len(wrong)} such weights). Correct {_find_wrong_size(wrong)} in config.json, or copy the folder again."
        )
    lacks = {*report["missing_keys"]} & {*may_lack}
    missing, unexpected = sorted({*report["missing_keys"]} - lacks), sorted(report["unexpected_keys"])
    if f"{SCORE}.weight" in unexpected:
        raise UserError(
            f"{name} is a reward model, which scores answers and cannot write them. Name a language model; in a recipe, a reward "
            f"model stands in rewards: [{{name: reward_model, model: {name}}}]."
        )
    if missing or unexpected:
        listed = join_names(missing + unexpected)
        raise UserError(
            f"{name}: the weights do not fit the config ({len(missing)} missing, {len(unexpected)} unexpected: {listed}). Copy "
            "the weights again, or correct num_layers_per_stack and num_hidden_layers in config.json."
        )
    return lacks


def _find_wrong_size(mismatched: Sequence[tuple[str, Sequence[int], Sequence[int]]]) -> str:
    """Return the keys of the config that give such weights another shape than they have."""
    tables = [
        (stored, described)
        for name, stored, described in mismatched
        if name.endswith(("embed_tokens.weight", "lm_head.weight"))
    ]
    if any(stored[-1] != described[-1] for stored, described in tables):
        return "hidden_size"
    if tables:
        return "vocab_size"
    return "intermediate_size" if all(".mlp." in name for name, *_ in mismatched) else "num_attention_heads or head_dim"


def _product(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def load_weights(model: nn.Module, folder: Path) -> None:
    """Copy a checkpoint's weights into the tensors of an existing model, keeping their dtype and device.

    Args:
        model: a causal LM or reward model with allocated weights, sharded or not; every process reads its own slices.
        folder: a saved checkpoint, with Transformers' fused names or the names of the modules.

    Raises:
        UserError: for a tensor that is missing, unexpected or of another shape, or for a damaged file. The model is then
            unchanged, except if a file turns out to be truncated while it is read.
    """
    own, stored = model.state_dict(), stored_tensors(folder)
    parts = {name: module_names(name) for name in stored}
    _check_fit(folder, own, stored, parts)
    with torch.no_grad():
        for name, tensor in stored.items():
            _copy_into([own[part] for part in parts[name]], tensor)


def _copy_into(own: list[Tensor], stored: Stored) -> None:
    """Fill the tensors, which are parts of the stored one along dim 0, sharded or not."""
    if not any(isinstance(tensor, DTensor) for tensor in own):
        stored.copy_into(own)
        return
    stored.check_dtype()
    for tensor, part in zip(own, stored.mapped().split([len(tensor) for tensor in own]), strict=True):
        fill(tensor, part)


def _check_fit(
    folder: Path, own: Mapping[str, Tensor], stored: Mapping[str, Stored], parts: Mapping[str, list[str]]
) -> None:
    """Raise UserError unless names and shapes of the checkpoint fit the model; tied tensors may be stored once.

    Args:
        folder: of the checkpoint, for the error.
        own: the model's tensors by name.
        stored: the stored tensors by saved name.
        parts: for each saved name the names of the model's tensors stacked in it.
    """
    named = {part for names in parts.values() for part in names}
    filled = {_identify(own[part]) for part in named & own.keys()}
    missing = sorted(
        name for name in own.keys() - named if _identify(own[name]) not in filled
    )  # a tied tensor shares its memory with a stored one
    wrong = missing + sorted(named - own.keys())
    for name, names in parts.items():
        if not wrong and _stacked_shape([own[part] for part in names]) != stored[name].shape:
            wrong = [name]
    if wrong:
        raise UserError(
            f"the weights in {folder} do not fit this model: {join_names(wrong, 3)} are missing, unexpected or of another shape. "
            "Resume from a checkpoint of this run, or start a new run with --model_name_or_path set to this folder."
        )


def _identify(tensor: Tensor) -> int | Tensor:
    """Return the address of a tensor, equal for tied tensors; the tensor itself if this process holds no part of it."""
    part = local_part(tensor)
    return part.data_ptr() if part.numel() else tensor


def is_plain(model: nn.Module) -> bool:
    """Return whether `save_weights` can write a model: unquantised, untied weights of one known dtype, none offloaded."""
    dtypes = {weight.dtype for weight in model.state_dict().values()}
    return (
        isinstance(model, HrmTextForCausalLM | HrmTextForSequenceClassification)
        and not model.config.tie_word_embeddings
        and not getattr(model, "is_quantized", False)
        and not hasattr(model, "hf_device_map")
        and len(dtypes) == 1
        and dtypes <= set(DTYPES.values())
    )


def save_weights(weights: Mapping[str, Tensor], file: Path) -> None:
    """Write a model's weights in the fused format of stock `save_pretrained`, without fusing them in memory first.

    Args:
        weights: `state_dict()` of a causal LM without tied weights, or of a reward model; unsharded tensors.
        file: path of the file to write.
    """
    with file.open("wb") as opened:
        write_safetensors(opened, _incoming(weights, None))


def save_whole(model: HrmTextForCausalLM, folder: Path, dtype: torch.dtype | None = None, shard: str = SHARD) -> None:
    """Write config, generation config and weights as stock `save_pretrained` does, in any dtype, without changing the model.

    Args:
        model: model without tied weights, not quantised.
        folder: an existing folder.
        dtype: dtype to write in; None for the model's own.
        shard: largest size of a file, in the notation of `save_pretrained` ("5GB").
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
    """Compare a saved checkpoint with its model bit for bit.

    Args:
        model: the model that was saved.
        folder: folder of the checkpoint.
        dtype: dtype that was written; None for the model's own.

    Returns:
        Names of the saved tensors that differ, are missing or are unexpected; empty if the checkpoint is exact.
    """
    stored, own = stored_tensors(folder), model.state_dict()
    expected = {saved_name(name) for name in own}
    differing = sorted(stored.keys() ^ expected)
    for name in sorted(stored.keys() & expected):
        parts = [own[part].detach() for part in module_names(name)]
        parts = [part.to("cpu", dtype or part.dtype) for part in parts]
        saved = stored[name].mapped()
        same = saved.dtype == parts[0].dtype and saved.shape == _stacked_shape(parts)
        if not (same and all(map(torch.equal, saved.split([len(part) for part in parts]), parts))):
            differing.append(name)
    return differing


def _incoming(own: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Incoming]:
    """Return the tensors to save by saved name, in `dtype` or their own dtype; each is computed only when it is written."""
    tensors = {}
    for saved in sorted({saved_name(name) for name in own}):
        parts = [own[part] for part in module_names(saved)]
        target, shape = dtype or parts[0].dtype, _stacked_shape(parts)
        size = target.itemsize * math.prod(shape)
        tensors[saved] = Incoming(_NAMES[target], shape, size, partial(_cast, parts, target))
    return tensors


def _cast(parts: list[Tensor], dtype: torch.dtype) -> Iterator[Tensor]:
    """Yield the tensors in `dtype`, one at a time."""
    return (part.to(dtype) for part in parts)


def _stacked_shape(parts: list[Tensor]) -> tuple[int, ...]:
    """Return the shape of tensors stacked along dim 0: (sum of first dims, ...)."""
    return (sum(part.shape[0] for part in parts), *parts[0].shape[1:])


def first_dtype(weights: Mapping[str, Stored]) -> torch.dtype | None:
    """Return the dtype of the first stored tensor with a supported dtype; None if there is none."""
    dtypes: Iterator[torch.dtype] = (DTYPES[tensor.dtype] for tensor in weights.values() if tensor.dtype in DTYPES)
    return next(dtypes, None)
