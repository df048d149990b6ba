"""Write the model of an exported folder as a GGUF file, the format of llama.cpp.

llama.cpp has the architecture `hrm_text`: blocks 0 to n-1 are the layers of the L stack and blocks n to 2n-1 those of the H stack,
and `block_count` counts the KV slots of a token (layers x passes), not the blocks. The names of tensors and metadata are those that
llama.cpp reads (its files src/models/hrm-text.cpp and src/llama-arch.cpp). The package `gguf` (the extra `gguf`) writes the file.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import HrmTextConfig, PreTrainedTokenizerFast

from hrm_align.errors import UserError, join_names
from hrm_align.models.checkpoint_format import Stored, stored_tensors
from hrm_align.models.loading import load_config, load_tokenizer
from hrm_align.rendering import get_renderer

ARCHITECTURE = "hrm_text"  # in llama.cpp
# Types of files, and the types of their matrices. The package `gguf` cannot write the K types, in which llama.cpp's own 4-bit files
# hold the embedding and the head, the two matrices that suffer most: in q4_0 they are q8_0 here.
TYPES = {"f32": "F32", "bf16": "BF16", "f16": "F16", "q8_0": "Q8_0", "q4_0": "Q4_0"}
_OUTER_TYPES = TYPES | {"q4_0": "Q8_0"}  # of the embedding and the head
BITS = {"f32": 32, "bf16": 16, "f16": 16, "q8_0": 8.5, "q4_0": 4.5}  # per weight

_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"
_OUTER = {_EMBEDDING: "token_embd.weight", _HEAD: "output.weight", "model.z_L_init": "hrm.z_l_init"}
_LAYER = re.compile(r"model\.([LH])_module\.layers\.(\d+)\.(.+)")
# The fused tensors of a checkpoint, and the names of their parts along dim 0.
_PARTS = {
    "attn.gqkv_proj.weight": ("attn_gate", "attn_q", "attn_k", "attn_v"),
    "attn.o_proj.weight": ("attn_output",),
    "mlp.gate_up_proj.weight": ("ffn_gate", "ffn_up"),
    "mlp.down_proj.weight": ("ffn_down",),
}

# Split pattern of Qwen2, which HRM-Text-1B's tokenizer uses too.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Pre-tokenizers that llama.cpp has under a name, in the steps of tokenizer.json.
_PRE_TOKENIZERS: dict[str, list[tuple[Any, ...]]] = {
    "qwen2": [("Split", QWEN2_PATTERN, "Isolated", False), ("ByteLevel", False, False)],
    "smollm": [("Digits", True), ("ByteLevel", False, True)],
    "gpt-2": [("ByteLevel", False, True)],
}


def require_gguf() -> None:
    """Raise UserError if the package `gguf` is not installed."""
    if importlib.util.find_spec("gguf") is None:
        raise UserError("--gguf needs the package gguf, which is not installed: pip install 'hrm_align[gguf]'.")


@dataclass(frozen=True)
class GgufTensor:
    """A tensor of the file: its name, and the rows of a stored tensor that it holds."""

    name: str
    stored: Stored
    start: int
    rows: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape as in Transformers, (out, in) for a matrix."""
        return (self.rows, *self.stored.shape[1:])

    def load(self) -> Tensor:
        """Return the tensor in float32."""
        return self.stored.mapped()[self.start : self.start + self.rows].float().contiguous()

    def type(self, file_type: str) -> str:
        """Return the tensor's type in a file of a type; vectors stay in float32."""
        types = _OUTER_TYPES if self.name in _OUTER.values() else TYPES
        return types[file_type] if len(self.shape) == 2 else "F32"


def gguf_tensors(folder: Path, config: HrmTextConfig) -> Iterator[GgufTensor]:
    """Yield the tensors of the file from a folder in the fused layout of `save_pretrained`.

    Raises:
        UserError: for a tensor that llama.cpp's model does not have, such as a bias.
    """
    unknown = []
    for name, stored in stored_tensors(folder).items():
        layer = _LAYER.fullmatch(name)
        if name in _OUTER:
            yield GgufTensor(_OUTER[name], stored, 0, stored.shape[0])
        elif layer and layer[3] in _PARTS:
            assert config.num_layers_per_stack is not None
            block = int(layer[2]) + (config.num_layers_per_stack if layer[1] == "H" else 0)
            parts = _PARTS[layer[3]]
            rows = stored.shape[0] // len(parts)
            for place, part in enumerate(parts):
                yield GgufTensor(f"blk.{block}.{part}.weight", stored, place * rows, rows)
        else:
            unknown.append(name)
    if unknown:
        raise UserError(f"llama.cpp's HRM-Text has no place for {join_names(unknown)}. Export without --gguf.")


def check_convertible(name: str) -> None:
    """Raise UserError if llama.cpp cannot run a model: by its config, or by its tokenizer.

    Args:
        name: folder, Hub id, or `tiny`.
    """
    config, tokenizer = load_config(name), load_tokenizer(name)
    pre_tokenizer(json.loads(tokenizer.backend_tokenizer.to_str()))
    rope: Mapping[str, Any] = config.rope_parameters or {}
    for key, value, needed in (
        ("hidden_act", config.hidden_act, "silu"),
        ("attention_bias", config.attention_bias, False),
        ("mlp_bias", config.mlp_bias, False),
        ("tie_word_embeddings", config.tie_word_embeddings, False),
        ("rope_type", rope.get("rope_type", "default"), "default"),
    ):
        if value != needed:
            raise UserError(
                f"llama.cpp runs HRM-Text with {key} {needed!r} only, and {name} has {value!r}. Leave out --gguf."
            )


def pre_tokenizer(state: Mapping[str, Any]) -> str:
    """Return llama.cpp's name of a tokenizer's pre-tokenizer, which splits a text before the merges.

    Args:
        state: content of tokenizer.json.

    Raises:
        UserError: if llama.cpp has none that splits in this way, so that it would silently encode texts differently.
    """
    model, normalizer = state["model"], state.get("normalizer")
    is_plain_bpe = model.get("type") == "BPE" and not any(
        model.get(key)
        for key in ("ignore_merges", "byte_fallback", "dropout", "continuing_subword_prefix", "end_of_word_suffix")
    )
    steps = [_step(step) for step in _flat(state.get("pre_tokenizer"))]
    names = [name for name, known in _PRE_TOKENIZERS.items() if steps == known]
    if names and is_plain_bpe and (normalizer is None or normalizer["type"] == "NFC"):
        return names[0]
    kinds = ", ".join(str(step[0]) for step in steps) or "none"
    raise UserError(
        f"llama.cpp has no pre-tokenizer that is known to split texts as this tokenizer does (model {model.get('type')}, steps "
        f"{kinds}, normalizer {normalizer and normalizer['type']}). Leave out --gguf, or use HRM-Text's tokenizer."
    )


def is_nfc(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Return whether a tokenizer normalises texts to NFC, which llama.cpp does not."""
    return json.loads(tokenizer.backend_tokenizer.to_str()).get("normalizer") is not None


def _flat(step: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return the steps of a pre-tokenizer, those of a sequence one by one."""
    if step is None:
        return []
    return [inner for part in step["pretokenizers"] for inner in _flat(part)] if step["type"] == "Sequence" else [step]


def _step(step: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what decides how a step splits texts; offsets do not."""
    kind = step["type"]
    if kind == "ByteLevel":
        return kind, step["add_prefix_space"], step.get("use_regex", True)
    if kind == "Digits":
        return kind, step["individual_digits"]
    if kind == "Split":
        return kind, step["pattern"].get("Regex"), step["behavior"], step["invert"]
    return (kind,)


def describe(name: str, licence: str, base_model: str | None) -> dict[str, str]:
    """Return metadata about a model: its name, its license, and its base if that is a Hub id."""
    facts = {"general.name": name, "general.license": licence}
    if base_model and base_model.count("/") == 1:
        owner, base = base_model.split("/")
        facts |= {
            "general.base_model.0.name": base,
            "general.base_model.0.organization": owner,
            "general.base_model.0.repo_url": f"https://huggingface.co/{base_model}",
        }
    return facts


def write_gguf(folder: Path, path: Path, file_type: str, facts: Mapping[str, str]) -> None:
    """Write a GGUF file, one tensor in memory at a time.

    Args:
        folder: exported folder of a whole model, in any dtype.
        path: the new file.
        file_type: a key of `TYPES`.
        facts: metadata about the model by key, such as `general.license`.

    Raises:
        UserError: for a model or tokenizer that llama.cpp cannot run, or a row that cannot be divided into blocks of the type.
    """
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, LlamaFileType, quantize

    check_convertible(str(folder))
    config, tokenizer = load_config(str(folder)), load_tokenizer(str(folder))
    tensors = [(tensor, GGMLQuantizationType[tensor.type(file_type)]) for tensor in gguf_tensors(folder, config)]
    label = "ALL_F32" if file_type == "f32" else f"MOSTLY_{TYPES[file_type]}"
    writer = GGUFWriter(path, ARCHITECTURE)
    writer.add_type("model")
    writer.add_file_type(LlamaFileType[label])
    writer.add_quantization_version(2)  # of ggml's block formats
    for key, value in facts.items():
        writer.add_string(key, value)
    if "general.base_model.0.name" in facts:
        writer.add_base_model_count(1)
    _add_shape(writer, config)
    _add_tokenizer(writer, tokenizer, config)
    for tensor, kind in tensors:
        block, block_bytes = GGML_QUANT_SIZES[kind]
        if tensor.shape[-1] % block:
            raise UserError(
                f"{file_type} needs rows of a multiple of {block} weights, and {tensor.stored.name} has rows of "
                f"{tensor.shape[-1]}. Use --gguf f16."
            )
        size = math.prod(tensor.shape) // block * block_bytes
        writer.add_tensor_info(tensor.name, tensor.shape, torch.empty(0).numpy().dtype, size, raw_dtype=kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor, kind in tensors:
            writer.write_tensor_data(quantize(tensor.load().numpy(), kind))
    finally:
        writer.close()


def _add_shape(writer: Any, config: HrmTextConfig) -> None:
    """Add the sizes of the model."""
    assert config.num_layers_per_stack is not None and config.head_dim is not None
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_layers_per_stack * config.H_cycles * (config.L_cycles + 1))  # KV slots of a token
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_attention_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base((config.rope_parameters or {}).get("rope_theta", 10000.0))
    writer.add_float32(f"{ARCHITECTURE}.embedding_scale", config.embedding_scale)
    writer.add_uint32(f"{ARCHITECTURE}.hrm.layers_per_stack", config.num_layers_per_stack)
    writer.add_uint32(f"{ARCHITECTURE}.hrm.h_cycles", config.H_cycles)
    writer.add_uint32(f"{ARCHITECTURE}.hrm.l_cycles", config.L_cycles)
    writer.add_bool(f"{ARCHITECTURE}.hrm.prefix_lm", True)  # llama.cpp stores it and does not act on it


def _add_tokenizer(writer: Any, tokenizer: PreTrainedTokenizerFast, config: HrmTextConfig) -> None:
    """Add the vocabulary, the merges, the special tokens and the chat template.

    All added tokens are control tokens, which texts never produce, as in `Renderer`. llama.cpp would guess a second end token by its
    name unless one is given. The vocabulary comes last, because the search for secrets reads a file up to it.
    """
    from gguf import TokenType

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    renderer = get_renderer(tokenizer)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(state))
    writer.add_bos_token_id(renderer.layout.message_start)
    writer.add_eos_token_id(renderer.response_end_id)
    writer.add_eot_token_id(renderer.response_end_id)
    writer.add_pad_token_id(renderer.pad_id)
    writer.add_add_bos_token(False)  # the template writes both
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(str(tokenizer.chat_template))
    # Tokens by id; ids of the embedding without a token are unused.
    texts = {id: text for text, id in state["model"]["vocab"].items()}
    added = {token["id"]: token["content"] for token in state["added_tokens"]}
    texts |= added
    unused = [id for id in range(config.vocab_size) if id not in texts]
    kinds = dict.fromkeys(added, TokenType.CONTROL) | dict.fromkeys(unused, TokenType.UNUSED)
    writer.add_token_list([texts.get(id, f"[PAD{id}]") for id in range(config.vocab_size)])
    writer.add_token_types([kinds.get(id, TokenType.NORMAL) for id in range(config.vocab_size)])
    merges = state["model"]["merges"]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
