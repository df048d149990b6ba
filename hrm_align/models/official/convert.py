"""Convert official training checkpoints to Transformers' format, bit for bit, without holding a model in memory.

The weights keep the dtype of the master weights, which fine-tuning needs; the official exporter casts them to bfloat16. The
optimizer's moments, the step and the RNG state are not converted. The tokenizer of the training folder must have HRM-Text's control
tokens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from transformers import GenerationConfig, HrmTextConfig, PreTrainedTokenizerFast

from hrm_align.errors import UserError, join_names
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
    build_hrm_config,
    open_official,
    section,
)
from hrm_align.rendering import BOX_END, CONDITION_TOKENS, IM_END, IM_START, PAD, chat_template, get_renderer

WEIGHTS = ("ema", "raw")

_DROPPED = re.compile(
    r"model\.zH_init|model\.[HL]_level\.core\.rotary_emb\..*"
)  # tensors that the official exporter leaves out, too


@dataclass(frozen=True)
class Converted:
    """A converted checkpoint: folder, number of tensors, number of parameters, and dtype (safetensors' name)."""

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
        weights: `ema` for the averaged weights, which the official evaluation and export use, or `raw`.
        epoch: epoch to convert; None for the last.
        tokenizer: folder or tokenizer.json of the tokenizer; None for the place in train_metadata.yaml.

    Raises:
        UserError: if the checkpoint cannot be converted; the message names the keys, and nothing is written.
    """
    checkpoint = open_official(source, epoch)
    config = build_hrm_config(checkpoint)
    assert config.num_layers_per_stack is not None
    shapes = saved_shapes(config.to_dict(), config.num_layers_per_stack)
    keys = _find_official_keys(checkpoint, shapes, weights)
    dtype = _find_dtype(checkpoint, keys)
    config.dtype = DTYPES[dtype]
    hf_tokenizer = load_official_tokenizer(checkpoint, tokenizer, config)

    def incoming(name: str) -> Incoming:
        # The start state is bfloat16; casting it to the wider dtype of the other weights is exact.
        size = math.prod(shapes[name]) * DTYPES[dtype].itemsize
        return Incoming(dtype, shapes[name], size, lambda: [checkpoint.read(keys[name]).to(DTYPES[dtype])])

    tensors = {name: incoming(name) for name in shapes}
    with new_folder(Path(target), sum(tensor.size for tensor in tensors.values())) as folder:
        with (folder / "model.safetensors").open("wb") as file:
            write_safetensors(file, tensors)
        config.save_pretrained(folder)
        GenerationConfig.from_model_config(config).save_pretrained(folder)
        hf_tokenizer.save_pretrained(folder)
    return Converted(Path(target), len(shapes), sum(map(math.prod, shapes.values())), dtype)


def _find_official_keys(
    checkpoint: OfficialCheckpoint, shapes: Mapping[str, tuple[int, ...]], weights: str
) -> dict[str, str]:
    """Return for each tensor of Transformers' format its DCP key. Raises UserError for missing, unknown or misshapen tensors."""
    if weights not in WEIGHTS:
        raise UserError(f"invalid value for --weights: {weights!r}. Use ema or raw.")
    raw = {name: f"model.{official_name(name)}" for name in shapes}
    present = {key for key in checkpoint.tensors if key.startswith("model.")}
    unknown = sorted(key for key in present - set(raw.values()) if not _DROPPED.fullmatch(key.removeprefix("model.")))
    missing = sorted(set(raw.values()) - present)
    if unknown or missing:
        problems = [f"it lacks {join_names(missing)}"] if missing else []
        problems += [f"{join_names(unknown)} are unknown"] if unknown else []
        raise UserError(
            f"{checkpoint.shards} does not fit its all_config.yaml: {' and '.join(problems)}. Copy the training folder again."
        )
    for name, key in raw.items():
        size = tuple(checkpoint.tensors[key].size)
        if size != shapes[name]:
            raise UserError(
                f"{checkpoint.shards}: {key} has shape {size}, and all_config.yaml requires {shapes[name]}. Copy the training folder "
                "again."
            )
    if weights == "raw":
        return raw
    ema = {name: f"optim.state.{official_name(name)}.param_ema" for name in raw if name != "model.z_L_init"}
    absent = [key for name, key in ema.items() if key not in checkpoint.tensors]
    if absent:
        scope = "no EMA" if len(absent) == len(ema) else f"no EMA of {join_names(absent)}"
        raise UserError(f"{checkpoint.shards} holds {scope}. Use --weights raw.")
    return raw | ema


def _find_dtype(checkpoint: OfficialCheckpoint, keys: Mapping[str, str]) -> str:
    """Return the common dtype of the weights (safetensors' name). Raises UserError if there is none."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    dtypes = {
        key: names.get(checkpoint.tensors[key].properties.dtype)
        for name, key in keys.items()
        if name != "model.z_L_init"
    }
    kinds = set(dtypes.values())
    if len(kinds) != 1 or None in kinds:
        odd = [key for key, kind in dtypes.items() if kind != "F32"]
        raise UserError(
            f"{checkpoint.shards}: the weights have several dtypes or unsupported ones ({join_names(odd)}). Convert a checkpoint with one "
            f"dtype of {', '.join(DTYPES)}."
        )
    (kind,) = kinds
    assert kind is not None
    return kind


def load_official_tokenizer(
    checkpoint: OfficialCheckpoint, given: str | None, config: HrmTextConfig
) -> PreTrainedTokenizerFast:
    """Load the tokenizer, and add the special tokens and the chat template, which its files lack.

    Args:
        checkpoint: the training folder.
        given: folder or tokenizer.json to use instead of the tokenizer named in train_metadata.yaml.
        config: config of the model, for the vocabulary size and the context length.

    Raises:
        UserError: if there is no tokenizer, or if it is damaged or belongs to another prompt layout or model.
    """
    info = section(checkpoint.metadata, "tokenizer_info", checkpoint.folder / "train_metadata.yaml")
    expected = {"boq": IM_START, "eoq": IM_END, "eoa": BOX_END, "condition_mapping": CONDITION_TOKENS}
    other = sorted(key for key, value in expected.items() if info.get(key, value) != value)
    if other:
        raise UserError(
            f"{checkpoint.folder / 'train_metadata.yaml'}: {join_names(other)} of tokenizer_info differ from HRM-Text's, so this model was "
            "trained with another prompt layout, which hrm_align cannot render. Convert another checkpoint."
        )
    path = _find_tokenizer_file(checkpoint, given, info.get("tokenizer_path"))
    try:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path), model_max_length=config.max_position_embeddings)
    except Exception as error:  # the Rust library raises bare Exceptions
        raise UserError(f"{path} is damaged ({str(error)[:120]}). Copy the file again.") from None
    get_renderer(tokenizer)  # checks that the control tokens exist and that text cannot forge them
    if len(tokenizer) > config.vocab_size or PAD not in tokenizer.get_vocab():
        raise UserError(
            f"{path} does not belong to this checkpoint. Name the tokenizer of the checkpoint with --tokenizer."
        )
    tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token = IM_START, BOX_END, PAD
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.chat_template = chat_template(tokenizer)
    return tokenizer


def _find_tokenizer_file(checkpoint: OfficialCheckpoint, given: str | None, recorded: str | None) -> Path:
    """Return the path of tokenizer.json: as given, as recorded, or in the training folder. Raises UserError if there is none."""
    candidates = [Path(str(place)).expanduser() for place in [given or recorded] if place]
    if not given:  # the folder may have been copied from another machine, where the recorded path was valid
        candidates += [checkpoint.folder / path.name for path in candidates] + [checkpoint.folder / "tokenizer"]
    for path in candidates:
        file = path / "tokenizer.json" if path.is_dir() else path
        if file.is_file():
            return file
    place = given or recorded or checkpoint.folder
    raise UserError(f"there is no tokenizer at {place}. Name its folder or tokenizer.json with --tokenizer.")
