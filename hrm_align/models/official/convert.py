"""Official training checkpoints to Transformers' form, bit for bit, without holding a model in memory.

The weights keep their master dtype: the official exporter's cast to bfloat16 is left out, because fine-tuning needs the
master weights. The optimizer's moments, the step and the RNG are not carried over. The training folder's tokenizer must prove
to be the one of HRM-Text's layout.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from transformers import GenerationConfig, HrmTextConfig, PreTrainedTokenizerFast

from hrm_align.errors import UserError, some
from hrm_align.files import new_folder
from hrm_align.models.checkpoint_format import (
    DTYPES,
    Incoming,
    official_name,
    saved_shapes,
    write_safetensors,
)
from hrm_align.models.official.reader import (
    OfficialCheckpoint,
    config_of,
    open_official,
    section,
)
from hrm_align.rendering import BOX_END, CONDITION_TOKENS, IM_END, IM_START, PAD, chat_template, renderer_of

WEIGHTS = ("ema", "raw")

_DROPPED = re.compile(r"model\.zH_init|model\.[HL]_level\.core\.rotary_emb\..*")  # by the official exporter too


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
