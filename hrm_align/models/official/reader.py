"""Read an official training folder: find and check it, read single tensors, and derive a Transformers config.

Nothing in the folder is executed. Shards are read with `weights_only`. DCP's `.metadata` is a pickle; its unpickler accepts DCP's own
record types, dtypes and paths, and refuses every other name. YAML is read with the safe loader.

`build_hrm_config` derives the Transformers config from all_config.yaml and train_metadata.yaml. It differs from the official exporter where
the exporter is wrong: the exporter writes `L_bp_steps`, which Transformers ignores, and counts the layers of both stacks as
`num_hidden_layers`.
"""

from __future__ import annotations

import math
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
import yaml
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata
from transformers import HrmTextConfig

from hrm_align.errors import UserError, join_names
from hrm_align.models.recurrence import SHORTEST, longest, official, to_l_bp_cycles

_ALLOWED = {  # the names that occur in DCP's `.metadata`
    "torch.distributed.checkpoint.metadata": {
        "Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata", "TensorProperties",
        "MetadataIndex", "StorageMeta", "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.serialization": {"_get_layout"},
    "torch": {"Size", "float32", "bfloat16", "float16", "float64", "int64"},
}  # fmt: skip


@dataclass(frozen=True)
class OfficialCheckpoint:
    """An official training folder with its settings and tensor records; weights are read on request."""

    folder: Path
    shards: Path
    settings: dict[str, Any]
    metadata: dict[str, Any]
    tensors: dict[str, TensorStorageMetadata]

    def read(self, key: str) -> Tensor:
        """Read one tensor from the shards of all ranks, in its stored shape and dtype. Raises UserError if a shard is damaged."""
        record = self.tensors[key]
        tensor = torch.empty(record.size, dtype=record.properties.dtype)
        try:
            with one_process():
                dcp.load({key: tensor}, storage_reader=_Reader(self.shards), no_dist=True)
        except (CheckpointException, OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            reason = str(error).strip().splitlines()[-1][:120]
            raise UserError(f"{self.shards}: {key} cannot be read ({reason}). Copy the checkpoint again.") from None
        return tensor


def open_official(source: str | Path, epoch: int | None = None) -> OfficialCheckpoint:
    """Find and check an official training checkpoint.

    Args:
        source: the training folder, or one `fsdp2_epoch_N` in it.
        epoch: epoch to open; None for the last.

    Raises:
        UserError: if `source` is not such a checkpoint, or a file is missing or damaged.
    """
    source = Path(source).expanduser().absolute()
    named = re.fullmatch(r"fsdp2_epoch_(\d+)", source.name)
    folder, epoch = (source.parent, int(named[1])) if named else (source, epoch)
    paths = [path for path in folder.glob("fsdp2_epoch_*") if path.name[12:].isdecimal()]
    epochs = {int(path.name.rsplit("_", 1)[1]): path for path in paths}
    if not epochs:
        raise UserError(f"{source} contains no fsdp2_epoch_N folder. Name an official training folder.")
    if epoch is not None and epoch not in epochs:
        raise UserError(f"{folder} has no epoch {epoch}. Use one of {', '.join(map(str, sorted(epochs)))}.")
    shards = epochs[max(epochs) if epoch is None else epoch]
    try:
        records = _Reader(shards).read_metadata().state_dict_metadata
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(
            f"{shards} cannot be read ({error}), because its .metadata is missing, damaged or not written by DCP. Copy the "
            "checkpoint again."
        ) from None
    tensors = {key: record for key, record in records.items() if isinstance(record, TensorStorageMetadata)}
    return OfficialCheckpoint(
        folder, shards, _read_yaml(folder / "all_config.yaml"), _read_yaml(folder / "train_metadata.yaml"), tensors
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of settings. Raises UserError if it is missing or damaged."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing, and the checkpoint cannot be read without its settings. Copy the file, too."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({str(error).splitlines()[0]}). Copy the file again.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} contains no settings. Copy the file again.")
    return content


def section(content: Mapping[str, Any], key: str, where: Path) -> dict[str, Any]:
    """Return the mapping under a key of a settings file; empty if absent. Raises UserError if the value is not a mapping."""
    settings = content.get(key) or {}
    if not isinstance(settings, dict):
        raise UserError(f"{where}: {key} is {settings!r} instead of a mapping of settings. Copy the file again.")
    return settings


class _MetadataUnpickler(pickle.Unpickler):
    """Unpickler for DCP's `.metadata` that refuses every name outside `_ALLOWED`."""

    def find_class(self, module: str, name: str) -> Any:
        """Resolve an allowed name. Raises UnpicklingError for any other."""
        if module.split(".")[0] == "pathlib" and name in ("PosixPath", "WindowsPath"):
            return _join_path  # the path of the original save, possibly of another operating system; kept as text, not used
        if name not in _ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(f"its .metadata names {module}.{name}")
        return super().find_class(module, name)


def _join_path(*parts: str) -> str:
    """Return the parts of a pickled path as text."""
    return "/".join(parts)


class _Reader(dcp.FileSystemReader):
    """DCP's folder reader, with a `.metadata` that cannot execute code or refer to files outside the folder."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Read and check `.metadata`. Raises pickle.UnpicklingError if the content is not a checkpoint's record."""
        with (Path(self.path) / ".metadata").open("rb") as file:
            metadata = _MetadataUnpickler(file).load()
        if not isinstance(metadata, Metadata) or not isinstance(metadata.storage_data, dict):
            raise pickle.UnpicklingError("its .metadata is not the record of a checkpoint")
        for info in metadata.storage_data.values():
            if Path(info.relative_path).name != info.relative_path:
                raise pickle.UnpicklingError(f"its .metadata points to {info.relative_path}, outside the folder")
        metadata.storage_meta = StorageMeta(load_id=self.load_id)
        return metadata


@contextmanager
def one_process() -> Iterator[None]:
    """Suppress DCP's warning that there is no process group."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


# setting: (default of the official code, the only value that Transformers' implementation supports)
REQUIRED: dict[str, tuple[Any, Any]] = {
    "name": (None, "baselines.hrm_nocarry_bp_warmup@HierarchicalReasoningModel"),
    "head": (None, "lm_head@LMHead"),
    "norm_type": (None, "pre"),
    "pos_emb_type": (None, "rope"),
    "attn_type": ("prefixlm", "prefixlm"),
    "H_override": ({}, {}),
}
_NUMBERS = {"n_layers", "hidden_size", "num_heads", "expansion", "H_cycles", "L_cycles", "norm_eps", "rope_theta"}
_OTHER = {"half_layers", "init_type", "init_std", "bp_warmup_ratio", "bp_min_steps", "bp_max_steps"}


def build_hrm_config(checkpoint: OfficialCheckpoint) -> HrmTextConfig:
    """Return the config with which Transformers' implementation computes the same as the official model.

    Raises:
        UserError: for another architecture, or for missing or unknown settings; the message names all of them.
    """
    where = checkpoint.folder / "all_config.yaml"
    arch = section(checkpoint.settings, "arch", where)
    for key, (default, needed) in REQUIRED.items():
        if arch.get(key, default) != needed:
            raise UserError(
                f"{where}: arch.{key} is {arch.get(key, default)!r}, and Transformers' HRM-Text supports only {needed!r}. This "
                "checkpoint cannot be converted."
            )
    unknown = sorted(arch.keys() - REQUIRED.keys() - _NUMBERS - _OTHER)
    if unknown:
        raise UserError(
            f"{where}: {join_names(unknown)} in arch are not official settings and may change the model. If they do not, delete them in a "
            "copy of the file."
        )
    settings = arch | {key: checkpoint.metadata.get(key) for key in ("vocab_size", "max_seq_len")}
    missing = sorted(key for key in (*_NUMBERS, "vocab_size", "max_seq_len", "init_type") if settings.get(key) is None)
    if missing:
        raise UserError(f"{where} and train_metadata.yaml beside it lack {join_names(missing)}. Copy both files again.")
    try:
        for key in (*_NUMBERS, "vocab_size", "max_seq_len"):
            if isinstance(settings[key], bool) or not 0 < float(settings[key]) < math.inf:
                raise ValueError(f"{key} is {settings[key]}")
        return _build_config(settings)
    except (TypeError, ValueError, ArithmeticError, StrictDataclassError) as error:
        raise UserError(
            f"{where}: the settings do not describe a valid model ({str(error).splitlines()[-1].strip()}). Copy the file again."
        ) from None


def _build_config(settings: Mapping[str, Any]) -> HrmTextConfig:
    """Build the config from checked settings. Raises ValueError for values that fit no model."""
    hidden, heads, layers = (int(settings[key]) for key in ("hidden_size", "num_heads", "n_layers"))
    if settings.get("half_layers"):
        layers, odd = divmod(layers, 2)
        if odd:
            raise ValueError("half_layers needs an even n_layers")
    config = HrmTextConfig(
        architectures=["HrmTextForCausalLM"],
        vocab_size=int(settings["vocab_size"]),
        hidden_size=hidden,
        intermediate_size=_inner_size(hidden, float(settings["expansion"])),
        num_hidden_layers=layers,  # of one stack; HrmTextConfig multiplies it
        num_attention_heads=heads,
        head_dim=hidden // heads,
        max_position_embeddings=int(settings["max_seq_len"]),
        rms_norm_eps=float(settings["norm_eps"]),
        rope_parameters={"rope_type": "default", "rope_theta": float(settings["rope_theta"])},
        H_cycles=int(settings["H_cycles"]),
        L_cycles=int(settings["L_cycles"]),
        initializer_range=_embedding_std(settings, hidden),
        prefix_lm=True,
        pad_token_id=5,
        bos_token_id=6,
        eos_token_id=11,
    )
    steps = int(settings.get("bp_max_steps", official(config)))
    cycles = to_l_bp_cycles(steps, config) if SHORTEST <= steps <= longest(config) else None
    config.L_bp_cycles = cycles or to_l_bp_cycles(official(config), config)
    return config


def _inner_size(hidden: int, expansion: float) -> int:
    """Return the width of the MLP: two thirds of the expanded width, rounded up to a multiple of 256."""
    return -(-round(expansion * hidden * 2 / 3) // 256) * 256


def _embedding_std(settings: Mapping[str, Any], hidden: int) -> float:
    """Return the standard deviation of the initial embedding. Raises ValueError for an unknown init_type."""
    kind, std = settings["init_type"], settings.get("init_std")
    if kind not in ("lecun_normal", "megatron", "fixed_normal"):
        raise ValueError(f"init_type {kind!r} is unknown")
    if std is not None and kind != "lecun_normal":
        return float(std)
    return 0.02 if kind == "fixed_normal" else 1.0 / math.sqrt(hidden)
