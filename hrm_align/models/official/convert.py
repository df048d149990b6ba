"""Official training checkpoints to Transformers' form and back, bit for bit, without holding a model in memory.

The weights keep their master dtype: the official exporter's cast to bfloat16 is left out, because fine-tuning needs the
master weights. The optimizer's moments, the step and the RNG are not carried over. The training folder's tokenizer must prove
to be the one of HRM-Text's layout.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
import yaml
from torch import Tensor
from transformers import GenerationConfig, HrmTextConfig, PreTrainedTokenizerFast

from hrm_align.errors import UserError, some
from hrm_align.files import new_folder
from hrm_align.models.checkpoint_format import (
    DTYPES,
    Incoming,
    Stored,
    official_name,
    saved_shapes,
    stored_tensors,
    write_safetensors,
)
from hrm_align.models.loading import load_config, resolve
from hrm_align.models.official.reader import (
    OfficialCheckpoint,
    arch_of,
    config_of,
    metadata_of,
    one_process,
    open_official,
    section,
)
from hrm_align.rendering import BOX_END, CONDITION_TOKENS, IM_END, IM_START, PAD, chat_template, renderer_of

WEIGHTS = ("ema", "raw")

_DROPPED = re.compile(r"model\.zH_init|model\.[HL]_level\.core\.rotary_emb\..*")  # by the official exporter too

# Only the model's settings are known here; these are what the official loader wants beside them, as published for SFT.
_TRAINING = {
    "global_batch_size": 32768, "epochs": 5, "lr": 3e-5, "lr_min_ratio": 0.1, "lr_warmup_steps": 0,
    "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "ema": 0.999, "fwd_bwd_dtype": "bfloat16", "seed": 0,
}  # fmt: skip


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
    words = tokenizer_of(checkpoint, tokenizer, config)

    def incoming(name: str) -> Incoming:
        # Widening the bfloat16 start state to the others' dtype is exact.
        size = math.prod(shapes[name]) * DTYPES[dtype].itemsize
        return Incoming(dtype, shapes[name], size, lambda: [checkpoint.read(keys[name]).to(DTYPES[dtype])])

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
        told = [f"it lacks {some(missing)}"] * bool(missing) + [f"{some(unknown)} are unknown"] * bool(unknown)
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
        lacking = "no EMA" if len(absent) == len(ema) else f"no EMA of {some(absent)}"
        raise UserError(f"{checkpoint.shards} holds {lacking}: use --weights raw.")
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
        raise UserError(f"{checkpoint.shards}: its weights are of several or of unknown dtypes ({some(odd)}).")
    (kind,) = kinds
    assert kind is not None
    return kind


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
    arch = arch_of(config, folder)
    tensors = _whole(folder, config)
    if not (folder / "tokenizer.json").exists():
        raise UserError(f"{folder} holds no tokenizer.json, which the official form needs: copy it there.")
    size = sum(tensor.size for tensor in tensors.values())
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
        (new / "train_metadata.yaml").write_text(yaml.safe_dump(metadata_of(config, target)), encoding="utf-8")
    dtype = tensors["lm_head.weight"].dtype
    return Converted(target, len(tensors), sum(math.prod(tensor.shape) for tensor in tensors.values()), dtype)


def _whole(folder: Path, config: HrmTextConfig) -> dict[str, Stored]:
    """The tensors of a folder in Transformers' form; refuses any that its config does not make."""
    tensors = stored_tensors(folder)
    assert config.num_layers_per_stack is not None
    shapes = saved_shapes(config.to_dict(), config.num_layers_per_stack)
    wrong = sorted(tensors.keys() ^ shapes.keys())
    wrong += [name for name in tensors.keys() & shapes.keys() if tensors[name].shape != shapes[name]]
    wrong += [name for name in tensors if tensors[name].dtype not in DTYPES]
    if wrong:
        raise UserError(f"{folder}: {some(wrong)} are missing, unknown or misshapen: run `hrm-align doctor {folder}`.")
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
        tensor = stored.mapped()
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
    with one_process():
        dcp.save({"model": model, "optim": optim}, storage_writer=dcp.FileSystemWriter(folder), no_dist=True)


def tokenizer_of(checkpoint: OfficialCheckpoint, given: str | None, config: HrmTextConfig) -> PreTrainedTokenizerFast:
    """The tokenizer, with the special tokens and the chat template that its files do not name.

    Args:
        checkpoint: the training folder.
        given: a folder or tokenizer.json to take instead of the one that train_metadata.yaml names.
        config: of the model, for its sizes.

    Raises:
        UserError: if there is none, or it is damaged or that of another layout or model.
    """
    info = section(checkpoint.metadata, "tokenizer_info", checkpoint.folder / "train_metadata.yaml")
    ours = {"boq": IM_START, "eoq": IM_END, "eoa": BOX_END, "condition_mapping": CONDITION_TOKENS}
    other = sorted(key for key, value in ours.items() if info.get(key, value) != value)
    if other:
        raise UserError(
            f"{checkpoint.folder / 'train_metadata.yaml'}: {some(other)} of tokenizer_info are not HRM-Text's own, so "
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
