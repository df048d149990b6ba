"""An official training folder on disk: finding it, checking it, reading one tensor of it at a time, and its settings.

Nothing is executed. The shards are read with `weights_only`; DCP's `.metadata`, a pickle, by an unpickler that knows
DCP's own record types, dtypes and paths and refuses every other name; YAML by its safe loader.

all_config.yaml and train_metadata.yaml become a Transformers config (`config_of`). What the official exporter gets wrong is right here: it writes `L_bp_steps`, which Transformers ignores, and
the layers of both stacks as `num_hidden_layers`.
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

from hrm_align.errors import UserError, some
from hrm_align.models.recurrence import SHORTEST, longest, official, to_l_bp_cycles

_ALLOWED = {  # what DCP's `.metadata` consists of
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
    """An official training folder, its settings and the record of its tensors; no weights are read yet."""

    folder: Path
    shards: Path
    settings: dict[str, Any]
    metadata: dict[str, Any]
    tensors: dict[str, TensorStorageMetadata]

    def read(self, key: str) -> Tensor:
        """One tensor, put together from the shards of all ranks. Raises UserError if a shard is damaged."""
        record = self.tensors[key]
        tensor = torch.empty(record.size, dtype=record.properties.dtype)
        try:
            with one_process():
                dcp.load({key: tensor}, storage_reader=_Reader(self.shards), no_dist=True)
        except (CheckpointException, OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            reason = str(error).strip().splitlines()[-1][:120]
            raise UserError(f"{self.shards}: {key} cannot be read ({reason}): copy the checkpoint again.") from None
        return tensor


def open_official(source: str | Path, epoch: int | None = None) -> OfficialCheckpoint:
    """Find and check an official training checkpoint.

    Args:
        source: the training folder, or one `fsdp2_epoch_N` in it.
        epoch: which; default the last.

    Raises:
        UserError: if it is none, or a file of it is missing or damaged.
    """
    source = Path(source).expanduser().absolute()
    named = re.fullmatch(r"fsdp2_epoch_(\d+)", source.name)
    folder, epoch = (source.parent, int(named[1])) if named else (source, epoch)
    found = {int(p.name.rsplit("_", 1)[1]): p for p in folder.glob("fsdp2_epoch_*") if p.name[12:].isdecimal()}
    if not found:
        raise UserError(f"{source} is no official checkpoint: it holds no fsdp2_epoch_N folder.")
    if epoch is not None and epoch not in found:
        raise UserError(f"{folder} has no epoch {epoch}: use one of {', '.join(map(str, sorted(found)))}.")
    shards = found[max(found) if epoch is None else epoch]
    try:
        records = _Reader(shards).read_metadata().state_dict_metadata
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(
            f"{shards} cannot be read ({error}): its .metadata is missing, damaged, or none that DCP wrote."
        ) from None
    tensors = {key: record for key, record in records.items() if isinstance(record, TensorStorageMetadata)}
    return OfficialCheckpoint(
        folder, shards, _yaml(folder / "all_config.yaml"), _yaml(folder / "train_metadata.yaml"), tensors
    )


def _yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: an official checkpoint cannot be read without its settings.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({str(error).splitlines()[0]}): copy it again.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no settings: copy it again.")
    return content


def section(content: Mapping[str, Any], key: str, where: Path) -> dict[str, Any]:
    """The settings under a key of `where`; none if it is absent. Raises UserError if it holds something else."""
    settings = content.get(key) or {}
    if not isinstance(settings, dict):
        raise UserError(f"{where}: {key} is {settings!r} and should hold settings: copy the file again.")
    return settings


class _MetadataUnpickler(pickle.Unpickler):
    """Reads DCP's `.metadata` and refuses every name that has no business there."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "pathlib" and name in ("PosixPath", "WindowsPath"):
            return _path_text  # where it was saved, once: of no use here, and perhaps of another system
        if name not in _ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def _path_text(*parts: str) -> str:
    return "/".join(parts)


class _Reader(dcp.FileSystemReader):
    """DCP's reader of a folder, with a `.metadata` that can run nothing and reach no other folder."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The record of what lies where. Raises pickle.UnpicklingError for one that is none."""
        with (Path(self.path) / ".metadata").open("rb") as file:
            metadata = _MetadataUnpickler(file).load()
        if not isinstance(metadata, Metadata) or not isinstance(metadata.storage_data, dict):
            raise pickle.UnpicklingError("it is no record of a checkpoint")
        for info in metadata.storage_data.values():
            if Path(info.relative_path).name != info.relative_path:
                raise pickle.UnpicklingError(f"it points to {info.relative_path}, outside the folder")
        metadata.storage_meta = StorageMeta(load_id=self.load_id)
        return metadata


@contextmanager
def one_process() -> Iterator[None]:
    """DCP without a process group, and without its warning that there is none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


# setting: its default where the official code has one, and the one value that the port computes
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


def config_of(checkpoint: OfficialCheckpoint) -> HrmTextConfig:
    """The Transformers config under which the port computes what the official model computed.

    Raises:
        UserError: another architecture, or settings that are missing or unknown, all named.
    """
    where = checkpoint.folder / "all_config.yaml"
    arch = section(checkpoint.settings, "arch", where)
    for key, (default, needed) in REQUIRED.items():
        if arch.get(key, default) != needed:
            raise UserError(
                f"{where}: arch.{key} is {arch.get(key, default)!r}, and Transformers' HRM-Text is only {needed!r}: "
                "this checkpoint cannot be converted."
            )
    unknown = sorted(arch.keys() - REQUIRED.keys() - _NUMBERS - _OTHER)
    if unknown:
        raise UserError(
            f"{where}: {some(unknown)} in arch are no official settings and might change the model: delete them from "
            "a copy if they do not."
        )
    settings = arch | {key: checkpoint.metadata.get(key) for key in ("vocab_size", "max_seq_len")}
    missing = sorted(key for key in (*_NUMBERS, "vocab_size", "max_seq_len", "init_type") if settings.get(key) is None)
    if missing:
        raise UserError(f"{where} and train_metadata.yaml beside it lack {some(missing)}: copy them again.")
    try:
        for key in (*_NUMBERS, "vocab_size", "max_seq_len"):
            if isinstance(settings[key], bool) or not 0 < float(settings[key]) < math.inf:
                raise ValueError(f"{key} is {settings[key]}")
        return _config(settings)
    except (TypeError, ValueError, ArithmeticError, StrictDataclassError) as error:
        raise UserError(f"{where}: its numbers make no model ({str(error).splitlines()[-1].strip()}).") from None


def _config(settings: Mapping[str, Any]) -> HrmTextConfig:
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
        num_hidden_layers=layers,  # of one stack; the config inflates it
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
    return -(-round(expansion * hidden * 2 / 3) // 256) * 256


def _embedding_std(settings: Mapping[str, Any], hidden: int) -> float:
    kind, std = settings["init_type"], settings.get("init_std")
    if kind not in ("lecun_normal", "megatron", "fixed_normal"):
        raise ValueError(f"init_type {kind!r} is unknown")
    if std is not None and kind != "lecun_normal":
        return float(std)
    return 0.02 if kind == "fixed_normal" else 1.0 / math.sqrt(hidden)
