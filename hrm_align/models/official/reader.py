"""An official training folder on disk: finding it, checking it, reading one tensor of it at a time.

Nothing is executed. The shards are read with `weights_only`; DCP's `.metadata`, a pickle, by an unpickler that knows
DCP's own record types, dtypes and paths and refuses every other name; YAML by its safe loader.
"""

from __future__ import annotations

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
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata

from hrm_align.errors import UserError

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
