"""Official HRM-Text training checkpoints to Transformers' form and back, bit for bit, one tensor in memory at a time.

Based on the public repository sapientinc/HRM-Text, read November 2026: `pretrain.py` (what is saved), `models/lm_head.py`,
`models/baselines/hrm_nocarry_bp_warmup.py`, `models/layers.py` (names and shapes), `models/transformer.py` (settings),
`models/adam_atan2.py` (the EMA), `simple_inference_engine.py` and `conversion/convert_to_hf.py` (what the official loader
and exporter ask for). A training folder is

    all_config.yaml       `arch` (the model's settings), `data`, and the optimizer's settings
    train_metadata.yaml   `vocab_size`, `max_seq_len`, `tokenizer_info` (a path, three tags, `condition_mapping`)
    fsdp2_epoch_N/        torch.distributed.checkpoint of {"model": state dict, "optim": optimizer state dict}
    carry_epoch_N.R.pt    nothing (None) for this architecture; not read

    model.<name>                        raw weights in the master dtype; `model.zL_init`, a buffer, is bfloat16
    optim.state.<name>.param_ema        the EMA of each parameter, if `ema` was set; a buffer has none

    embed_tokens.embedding_weight  lm_head.weight  model.zL_init  model.{H,L}_level.core.layers.I.{attn.gqkv_proj,
    attn.o_proj, mlp.gate_up_proj, mlp.down_proj}.weight          the names; fused as Transformers' save_pretrained writes

What the official exporter gets wrong is right here: it writes `L_bp_steps`, which Transformers ignores, and the layers of
both stacks as `num_hidden_layers`; and its cast to bfloat16 is left out, because fine-tuning needs the master weights.

Not verified: a checkpoint written by an official run (none is public). The tests save one with the published names
through torch's own FSDP2 and DCP, and load what is written here in the way of the official loader.

Trusted: nothing is executed. The shards are read with `weights_only`; DCP's `.metadata`, a pickle, by an unpickler that
knows DCP's own record types, dtypes and paths and refuses every other name; YAML by its safe loader. The optimizer's
moments, the step and the RNG are not carried over.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
import torch.distributed.checkpoint as dcp
import yaml
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata
from transformers import GenerationConfig, HrmTextConfig, PreTrainedTokenizerFast

from hrm_align.errors import UserError
from hrm_align.models.horizon import SHORTEST, from_l_bp_cycles, longest, official, to_l_bp_cycles
from hrm_align.models.loading import load_config, resolve
from hrm_align.rendering import BOX_END, CONDITION_TOKENS, IM_END, IM_START, PAD, chat_template, renderer_of

WEIGHTS = ("ema", "raw")
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}  # safetensors' names
_BLOCK = 1 << 24  # bytes moved at a time

# ---------------------------------------------------------------- names and shapes

FUSED = {  # Transformers' fused name: the parts that its modules are made of, stacked in this order along dim 0
    "attn.gqkv_proj": ("self_attn.gate_proj", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.o_proj": ("self_attn.o_proj",),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
}


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


# ---------------------------------------------------------------- safetensors, without holding a model in memory


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies: its file, dtype (safetensors' name), shape, and its first and last byte."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, a block at a time."""
        with self.file.open("rb") as file:
            file.seek(self.start)
            left = self.end - self.start
            while left and (block := file.read(min(left, _BLOCK))):
                left -= len(block)
                yield block


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """Every tensor of a checkpoint, one file or sharded.

    Raises:
        UserError: a missing or damaged file, or an index that names what is not there.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():  # Transformers looks in this order
        return _header(single)
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
        tensors |= _header(folder / file)
    absent = [name for name, file in names.items() if name not in tensors or tensors[name].file.name != file]
    if absent:
        raise UserError(f"{index} places {_some(absent)} where it is not: copy the checkpoint again.")
    return tensors


def _header(path: Path) -> dict[str, Stored]:
    try:
        with safe_open(path, "pt"):  # checks the header against the size of the file
            pass
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entries = json.loads(file.read(length))
    except (SafetensorError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): copy it again.") from None
    entries.pop("__metadata__", None)
    return {
        name: Stored(path, entry["dtype"], tuple(entry["shape"]), *(8 + length + n for n in entry["data_offsets"]))
        for name, entry in entries.items()
    }


@dataclass(frozen=True)
class Incoming:
    """A tensor to be written: dtype (safetensors' name), shape, bytes in all, and where the bytes come from."""

    dtype: str
    shape: tuple[int, ...]
    size: int
    chunks: Callable[[], Iterable[bytes | memoryview]]


def write_safetensors(file: BinaryIO, tensors: Mapping[str, Incoming]) -> None:
    """Write a safetensors file in one pass; the bytes are those of `safetensors.torch.save_file`."""
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
        for chunk in tensor.chunks():
            file.write(chunk)


# ---------------------------------------------------------------- reading the official form

_REQUIRED: dict[
    str, tuple[Any, Any]
] = {  # setting: its default where the official code has one, and the one value that the port computes
    "name": (None, "baselines.hrm_nocarry_bp_warmup@HierarchicalReasoningModel"),
    "head": (None, "lm_head@LMHead"),
    "norm_type": (None, "pre"),
    "pos_emb_type": (None, "rope"),
    "attn_type": ("prefixlm", "prefixlm"),
    "H_override": ({}, {}),
}
_NUMBERS = {"n_layers", "hidden_size", "num_heads", "expansion", "H_cycles", "L_cycles", "norm_eps", "rope_theta"}
_OTHER = {"half_layers", "init_type", "init_std", "bp_warmup_ratio", "bp_min_steps", "bp_max_steps"}
_DROPPED = re.compile(r"model\.zH_init|model\.[HL]_level\.core\.rotary_emb\..*")  # by the official exporter too


_ALLOWED = {  # what DCP's `.metadata` consists of
    "torch.distributed.checkpoint.metadata": {
        "Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata", "TensorProperties",
        "MetadataIndex", "StorageMeta", "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.serialization": {"_get_layout"},
    "torch": {"Size", "float32", "bfloat16", "float16", "float64", "int64"},
}  # fmt: skip


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
            with _one_process():
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


def config_of(checkpoint: OfficialCheckpoint) -> HrmTextConfig:
    """The Transformers config under which the port computes what the official model computed.

    Raises:
        UserError: another architecture, or settings that are missing or unknown, all named.
    """
    where = checkpoint.folder / "all_config.yaml"
    arch = _section(checkpoint.settings, "arch", where)
    for key, (default, needed) in _REQUIRED.items():
        if arch.get(key, default) != needed:
            raise UserError(
                f"{where}: arch.{key} is {arch.get(key, default)!r}, and Transformers' HRM-Text is only {needed!r}: "
                "this checkpoint cannot be converted."
            )
    unknown = sorted(arch.keys() - _REQUIRED.keys() - _NUMBERS - _OTHER)
    if unknown:
        raise UserError(
            f"{where}: {_some(unknown)} in arch are no official settings and might change the model: delete them from "
            "a copy if they do not."
        )
    settings = arch | {key: checkpoint.metadata.get(key) for key in ("vocab_size", "max_seq_len")}
    missing = sorted(key for key in (*_NUMBERS, "vocab_size", "max_seq_len", "init_type") if settings.get(key) is None)
    if missing:
        raise UserError(f"{where} and train_metadata.yaml beside it lack {_some(missing)}: copy them again.")
    try:
        for key in (*_NUMBERS, "vocab_size", "max_seq_len"):
            if isinstance(settings[key], bool) or not 0 < float(settings[key]) < math.inf:
                raise ValueError(f"{key} is {settings[key]}")
        return _config(settings)
    except (TypeError, ValueError, ArithmeticError, StrictDataclassError) as error:
        raise UserError(f"{where}: its numbers make no model ({str(error).splitlines()[-1].strip()}).") from None


def _section(content: Mapping[str, Any], key: str, where: Path) -> dict[str, Any]:
    section = content.get(key) or {}
    if not isinstance(section, dict):
        raise UserError(f"{where}: {key} is {section!r} and should hold settings: copy the file again.")
    return section


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


def _tokenizer_of(checkpoint: OfficialCheckpoint, given: str | None, config: HrmTextConfig) -> PreTrainedTokenizerFast:
    info = _section(checkpoint.metadata, "tokenizer_info", checkpoint.folder / "train_metadata.yaml")
    ours = {"boq": IM_START, "eoq": IM_END, "eoa": BOX_END, "condition_mapping": CONDITION_TOKENS}
    other = sorted(key for key, value in ours.items() if info.get(key, value) != value)
    if other:
        raise UserError(
            f"{checkpoint.folder / 'train_metadata.yaml'}: {_some(other)} of tokenizer_info are not HRM-Text's own, so "
            "this model was trained on another layout, which hrm_align does not render."
        )
    path = _tokenizer_file(checkpoint, given, info.get("tokenizer_path"))
    try:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path), model_max_length=config.max_position_embeddings)
    except Exception as error:  # the Rust library raises bare Exceptions
        raise UserError(f"{path} is damaged ({str(error)[:120]}): copy it again.") from None
    renderer_of(tokenizer)  # proves that the control tokens are there and that text cannot forge them
    if len(tokenizer) > config.vocab_size or PAD not in tokenizer.get_vocab():
        raise UserError(f"{path} does not belong to this checkpoint: name the right one with --tokenizer.")
    tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token = IM_START, BOX_END, PAD
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.chat_template = chat_template(tokenizer)
    return tokenizer


def _tokenizer_file(checkpoint: OfficialCheckpoint, given: str | None, recorded: str | None) -> Path:
    candidates = [Path(str(place)).expanduser() for place in [given or recorded] if place]
    if not given:  # a copied folder: the recorded path was another machine's
        candidates += [checkpoint.folder / path.name for path in candidates] + [checkpoint.folder / "tokenizer"]
    for path in candidates:
        file = path / "tokenizer.json" if path.is_dir() else path
        if file.is_file():
            return file
    asked = given or recorded or "nowhere"
    raise UserError(f"there is no tokenizer at {asked}: name its folder or tokenizer.json with --tokenizer.")


# ---------------------------------------------------------------- official form to Transformers


@dataclass(frozen=True)
class Converted:
    """What was written: where, how many tensors and parameters, in which dtype."""

    folder: Path
    tensors: int
    parameters: int
    dtype: str


def to_transformers(
    source: str | Path,
    target: str | Path,
    *,
    weights: str = "ema",
    epoch: int | None = None,
    tokenizer: str | None = None,
) -> Converted:
    """Convert an official training checkpoint into a folder that stock `from_pretrained` loads.

    Args:
        source: the training folder, or one `fsdp2_epoch_N` in it.
        target: a new or empty folder.
        weights: `ema`, what the official evaluation and export use, or `raw`.
        epoch: default the last.
        tokenizer: its folder or tokenizer.json, if not where train_metadata.yaml says.

    Raises:
        UserError: for what cannot be converted, with the keys; nothing is written then.
    """
    checkpoint = open_official(source, epoch)
    config = config_of(checkpoint)
    assert config.num_layers_per_stack is not None
    shapes = saved_shapes(config.to_dict(), config.num_layers_per_stack)
    keys = _official_keys(checkpoint, shapes, weights)
    dtype = _one_dtype(checkpoint, keys)
    config.dtype = DTYPES[dtype]
    words = _tokenizer_of(checkpoint, tokenizer, config)

    def incoming(name: str) -> Incoming:
        # Widening the bfloat16 start state to the others' dtype is exact.
        size = math.prod(shapes[name]) * DTYPES[dtype].itemsize
        return Incoming(dtype, shapes[name], size, lambda: _blocks(checkpoint.read(keys[name]).to(DTYPES[dtype])))

    tensors = {name: incoming(name) for name in shapes}
    with new_folder(Path(target), sum(tensor.size for tensor in tensors.values())) as folder:
        with (folder / "model.safetensors").open("wb") as file:
            write_safetensors(file, tensors)
        config.save_pretrained(folder)
        GenerationConfig.from_model_config(config).save_pretrained(folder)
        words.save_pretrained(folder)
    return Converted(Path(target), len(shapes), sum(map(math.prod, shapes.values())), dtype)


def _official_keys(
    checkpoint: OfficialCheckpoint, shapes: Mapping[str, tuple[int, ...]], weights: str
) -> dict[str, str]:
    """For each tensor of Transformers' form the DCP key that holds it; refuses what does not fit, naming it."""
    if weights not in WEIGHTS:
        raise UserError(f"--weights is {weights!r}: use ema or raw.")
    raw = {name: f"model.{official_name(name)}" for name in shapes}
    there = {key for key in checkpoint.tensors if key.startswith("model.")}
    unknown = sorted(key for key in there - set(raw.values()) if not _DROPPED.fullmatch(key.removeprefix("model.")))
    missing = sorted(set(raw.values()) - there)
    if unknown or missing:
        told = [f"it lacks {_some(missing)}"] * bool(missing) + [f"{_some(unknown)} are unknown"] * bool(unknown)
        raise UserError(f"{checkpoint.shards} is not the model of its all_config.yaml: {' and '.join(told)}.")
    for name, key in raw.items():
        size = tuple(checkpoint.tensors[key].size)
        if size != shapes[name]:
            raise UserError(f"{checkpoint.shards}: {key} is {size}, where all_config.yaml makes it {shapes[name]}.")
    if weights == "raw":
        return raw
    ema = {name: f"optim.state.{official_name(name)}.param_ema" for name in raw if name != "model.z_L_init"}
    absent = [key for name, key in ema.items() if key not in checkpoint.tensors]
    if absent:
        some = "no EMA" if len(absent) == len(ema) else f"no EMA of {_some(absent)}"
        raise UserError(f"{checkpoint.shards} holds {some}: use --weights raw.")
    return raw | ema


def _one_dtype(checkpoint: OfficialCheckpoint, keys: Mapping[str, str]) -> str:
    names = {dtype: name for name, dtype in DTYPES.items()}
    found = {
        key: names.get(checkpoint.tensors[key].properties.dtype)
        for name, key in keys.items()
        if name != "model.z_L_init"
    }
    kinds = set(found.values())
    if len(kinds) != 1 or None in kinds:
        odd = [key for key, kind in found.items() if kind != "F32"]
        raise UserError(f"{checkpoint.shards}: its weights are of several or of unknown dtypes ({_some(odd)}).")
    (kind,) = kinds
    assert kind is not None
    return kind


def _blocks(tensor: Tensor) -> Iterator[memoryview]:
    data = memoryview(tensor.contiguous().view(torch.uint8).reshape(-1).numpy())  # type: ignore[arg-type]  # a Buffer
    for start in range(0, len(data), _BLOCK):
        yield data[start : start + _BLOCK]


# ---------------------------------------------------------------- Transformers to the official form

# Only the model's settings are known here; these are what the official loader wants beside them, as published for SFT.
_TRAINING = {
    "global_batch_size": 32768, "epochs": 5, "lr": 3e-5, "lr_min_ratio": 0.1, "lr_warmup_steps": 0,
    "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "ema": 0.999, "fwd_bwd_dtype": "bfloat16", "seed": 0,
}  # fmt: skip


def to_official(source: str | Path, target: str | Path) -> Converted:
    """Write a checkpoint in Transformers' form as an official training folder, epoch 0, optimizer and EMA fresh.

    The official loader asks for the optimizer's state too, so it is there as that of step 0: moments zero, EMA equal to
    the weights (four times the weights on disk).

    Args:
        source: a folder in Transformers' form with fused keys.
        target: a new or empty folder.

    Raises:
        UserError: for a model that the official code cannot build; nothing is written then.
    """
    folder = Path(resolve(str(source)))
    if not folder.is_dir():
        raise UserError(f"{source} is no folder: download the model first, and name its folder.")
    config = load_config(str(folder))
    arch = _arch(config, folder)
    tensors = _whole(folder, config)
    if not (folder / "tokenizer.json").exists():
        raise UserError(f"{folder} holds no tokenizer.json, which the official form needs: copy it there.")
    size = sum(tensor.end - tensor.start for tensor in tensors.values())
    target = Path(target).expanduser().absolute()
    with new_folder(target, 4 * size) as new:
        _write_dcp(new / "fsdp2_epoch_0", tensors)
        torch.save(None, new / "carry_epoch_0.0.pt")
        (new / "tokenizer").mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            if (folder / name).exists():
                shutil.copyfile(folder / name, new / "tokenizer" / name)
        settings = {"arch": arch, "data": {"path": "", "target_only": True}, **_TRAINING}
        (new / "all_config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        (new / "train_metadata.yaml").write_text(yaml.safe_dump(_metadata(config, target)), encoding="utf-8")
    dtype = tensors["lm_head.weight"].dtype
    return Converted(target, len(tensors), sum(math.prod(tensor.shape) for tensor in tensors.values()), dtype)


def _arch(config: HrmTextConfig, folder: Path) -> dict[str, Any]:
    hidden, inner = config.hidden_size, config.intermediate_size
    layers, cycles, scale = config.num_layers_per_stack, config.L_bp_cycles, config.embedding_scale
    assert layers is not None and cycles is not None and scale is not None  # set by the config itself
    lecun = math.isclose(scale, math.sqrt(hidden), rel_tol=1e-12)
    rope: dict[str, Any] = dict(config.rope_parameters or {})
    faults = {
        f"intermediate_size {inner} is no multiple of 256": inner % 256,
        f"vocab_size {config.vocab_size} is no multiple of 256": config.vocab_size % 256,
        "head_dim x num_attention_heads is not hidden_size": config.head_dim * config.num_attention_heads != hidden,
        "it has biases": config.attention_bias or config.mlp_bias,
        "its head is tied": config.tie_word_embeddings,
        f"hidden_act is {config.hidden_act}": config.hidden_act != "silu",
        "prefix_lm is off": not config.prefix_lm,
        f"rope_type is {rope.get('rope_type')}": rope.get("rope_type", "default") != "default",
    }
    wrong = [fault for fault, there in faults.items() if there]
    if wrong:
        raise UserError(
            f"{folder} cannot be written in the official form, which has no such model: {'; '.join(wrong)}."
        )
    return {
        **{key: needed for key, (_, needed) in _REQUIRED.items()},
        "n_layers": 2 * layers,
        "half_layers": True,
        "hidden_size": hidden,
        "num_heads": config.num_attention_heads,
        "expansion": 1.5 * inner / hidden,
        "H_cycles": config.H_cycles,
        "L_cycles": config.L_cycles,
        "norm_eps": config.rms_norm_eps,
        "rope_theta": float(rope.get("rope_theta", 10000.0)),
        "init_type": "lecun_normal" if lecun else "fixed_normal",
        "init_std": None if lecun else 1.0 / scale,
        "bp_warmup_ratio": 0.0,
        "bp_max_steps": from_l_bp_cycles(cycles, config) or official(config),
    }


def _metadata(config: HrmTextConfig, target: Path) -> dict[str, Any]:
    tags = {"boq": IM_START, "eoq": IM_END, "eoa": BOX_END, "condition_mapping": dict(CONDITION_TOKENS)}
    return {
        "tokenizer_info": {"tokenizer_path": str(target / "tokenizer"), **tags},
        "vocab_size": config.vocab_size,
        "max_seq_len": config.max_position_embeddings,
        "total_length": 0,
    }


def _whole(folder: Path, config: HrmTextConfig) -> dict[str, Stored]:
    tensors = stored_tensors(folder)
    assert config.num_layers_per_stack is not None
    shapes = saved_shapes(config.to_dict(), config.num_layers_per_stack)
    wrong = sorted(tensors.keys() ^ shapes.keys())
    wrong += [name for name in tensors.keys() & shapes.keys() if tensors[name].shape != shapes[name]]
    wrong += [name for name in tensors if tensors[name].dtype not in DTYPES]
    if wrong:
        raise UserError(f"{folder}: {_some(wrong)} are missing, unknown or misshapen: run `hrm-align doctor {folder}`.")
    return tensors


def _write_dcp(folder: Path, tensors: Mapping[str, Stored]) -> None:
    """Save what `{"model": ..., "optim": ...}` of a fresh official run would be.

    The weights are maps of their file and all moments of a shape are the same zeros, because DCP's writer keeps what it
    has written.
    """
    model: dict[str, Tensor] = {}
    state: dict[str, dict[str, Tensor]] = {}
    zeros = {tensor.shape: torch.zeros(tensor.shape, dtype=DTYPES[tensor.dtype]) for tensor in tensors.values()}
    for name, stored in tensors.items():
        tensor = _mapped(name, stored)
        model[official_name(name)] = tensor
        if name != "model.z_L_init":
            moments = dict.fromkeys(("exp_avg", "exp_avg_sq"), zeros[stored.shape])
            state[official_name(name)] = {"step": torch.tensor(0.0), **moments, "param_ema": tensor}
    start = model["model.zL_init"]
    narrow = start.to(torch.bfloat16)  # the official buffer's dtype, where nothing is lost by it
    model["model.zL_init"] = narrow if torch.equal(start, narrow.to(start.dtype)) else start
    group: dict[str, Any] = {"lr": torch.tensor(0.0), "betas": (_TRAINING["beta1"], _TRAINING["beta2"])}
    group |= {key: _TRAINING[key] for key in ("weight_decay", "ema")}
    optim = {"state": state, "param_groups": [group | {"params": list(state)}]}
    with _one_process():
        dcp.save({"model": model, "optim": optim}, storage_writer=dcp.FileSystemWriter(folder), no_dist=True)


def _mapped(name: str, stored: Stored) -> Tensor:
    with safe_open(stored.file, "pt") as file:
        return file.get_tensor(name)


# ---------------------------------------------------------------- folders that are whole or absent


@contextmanager
def new_folder(target: Path, needed: int) -> Iterator[Path]:
    """A folder to write into that takes its name in one rename when all is written and flushed.

    Args:
        target: its name; nothing may stand there but an empty folder.
        needed: bytes that will be written, checked against the free space.

    Raises:
        UserError: if something is there, or it cannot be written.
    """
    target = target.expanduser().absolute()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{target} is there already, and nothing is written over: name a new folder.")
    partial = target.with_name(f".{target.name}.partial")  # a killed run's is begun again
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        check_space(partial, needed)
        yield partial
        for path in [*partial.rglob("*"), partial]:
            flush(path)
        os.replace(partial, target)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold."""
    free = shutil.disk_usage(folder).free
    if free < needed + (1 << 26):
        raise UserError(f"{folder} needs {needed / 1e9:.1f} GB of free space and has {free / 1e9:.1f}: make room.")


def flush(path: Path) -> None:
    """Make the operating system write a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _one_process() -> Iterator[None]:
    """DCP without a process group, and without its warning that there is none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:4]) + (f" and {len(listed) - 4} more" if len(listed) > 4 else "")
