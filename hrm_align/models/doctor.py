"""What is wrong with a checkpoint, how to mend it, and the mending: of its files, never of a weight's value.

It reads JSON and safetensors headers itself, so that it works on what `load_config` refuses, and the weights a block of
rows at a time. What the checks know of the model is in `conversion.saved_shapes` and in the tables below; each fault is
one that loads without an error and runs as another model, or stops a trainer, a sampler or vLLM later.

Mending writes a file aside, flushes it and renames it; what stood there is kept as `<name>.bak` (`.bak.1` if that is
taken). A kill at any moment leaves the old checkpoint or the new one. Where two settings contradict each other and the
weights cannot tell which is right, nothing is guessed: the finding stays, with what to look up.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from tokenizers import Tokenizer
from transformers import HrmTextConfig, HrmTextModel, PreTrainedTokenizerFast

from hrm_align.errors import UserError
from hrm_align.models.conversion import (
    DTYPES,
    FUSED,
    Incoming,
    Stored,
    check_space,
    flush,
    saved_shapes,
    stored_tensors,
    write_safetensors,
)
from hrm_align.models.horizon import from_l_bp_cycles, official, to_l_bp_cycles
from hrm_align.models.prefix_mask import PREFIX_END_ID
from hrm_align.rendering import (
    BOX_END,
    BOX_START,
    CONDITION_TOKENS,
    IM_END,
    IM_START,
    PAD,
    TOOL_CALL,
    TOOL_CALL_END,
    TOOL_RESPONSE,
    TOOL_RESPONSE_END,
    Renderer,
    chat_template,
)

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
GENERATION, LEGACY_SPECIALS = "generation_config.json", "special_tokens_map.json"
DOCUMENTS = (CONFIG, TOKENIZER, TOKENIZER_CONFIG, GENERATION, LEGACY_SPECIALS)
TEMPLATE, INDEX = "chat_template.jinja", "model.safetensors.index.json"
SEAL = "manifest.json"  # the hashes of a run's checkpoint-N

CONTROL_IDS = {  # of the published tokenizer
    PAD: 5, IM_START: 6, IM_END: PREFIX_END_ID, CONDITION_TOKENS["direct"]: 8, CONDITION_TOKENS["cot"]: 9, BOX_START: 10,
    BOX_END: 11, CONDITION_TOKENS["noisy"]: 12, CONDITION_TOKENS["synth"]: 13, TOOL_CALL: 25, TOOL_CALL_END: 26,
    TOOL_RESPONSE: 27, TOOL_RESPONSE_END: 28, "<think>": 29, "</think>": 30,
}  # fmt: skip
SPECIALS = {"pad": PAD, "bos": IM_START, "eos": BOX_END}
SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "head_dim")
MOST_CYCLES = 64  # of either stack; the published model has 2 and 3
_GONE = object()


@dataclass
class Checkpoint:
    """A checkpoint as it lies on disk: its JSON files parsed, its tensors as headers.

    Mends edit `documents`, `template` and `fuse`; `save` writes what has changed.
    """

    folder: Path
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)  # file: why
    tensors: dict[str, Stored] = field(default_factory=dict)
    tokenizer: Tokenizer | None = None
    template: str | None = None
    fuse: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """The keys of config.json."""
        return self.documents[CONFIG]

    def size(self, key: str) -> int:
        """A number of the config, or what Transformers takes for it."""
        value: int = self.config.get(key, getattr(HrmTextConfig, key))
        return value


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Args:
        check: which check found it, a word for programs.
        problem: what, and in which file.
        remedy: what to do about it.
        mend: does it, in memory; None where nobody but the user can.
    """

    check: str
    problem: str
    remedy: str
    mend: Callable[[Checkpoint], None] | None = None


Findings = Iterator[Finding]


def diagnose(folder: Path) -> list[Finding]:
    """Everything that is wrong with a checkpoint, in the order in which to mend it.

    Args:
        folder: of a saved model.

    Raises:
        UserError: if it is no HRM-Text at all.
    """
    checkpoint = read(folder)
    return [*_examine(checkpoint), *_finite(checkpoint)]


def mend(folder: Path) -> tuple[list[Finding], list[str]]:
    """Mend what can be mended.

    Args:
        folder: of a saved model; nothing in it is touched unless something is mended.

    Returns:
        What was mended, and the names of the files that were written.

    Raises:
        UserError: if it is no HRM-Text, or the disk refuses.
    """
    mended: list[Finding] = []
    written: list[str] = []
    for _ in range(3):  # the chat template is judged once its tokenizer is sound
        checkpoint = read(folder)
        findings = [finding for finding in _examine(checkpoint) if finding.mend]
        if not findings:
            break
        if (folder / SEAL).exists():
            raise UserError(
                f"{folder} is sealed by the hashes in its {SEAL}, as a run's checkpoints are, so a run could not go on "
                f"from it once mended: copy the folder, delete {SEAL} in the copy, and mend that."
            )
        for finding in findings:
            assert finding.mend is not None
            finding.mend(checkpoint)
        mended += findings
        written += save(checkpoint)
    return mended, written


def read(folder: Path) -> Checkpoint:
    """Read a checkpoint's documents and headers, damaged ones too.

    Raises:
        UserError: if its config.json cannot be read or is not that of an HRM-Text.
    """
    checkpoint = Checkpoint(folder)
    for name in DOCUMENTS:
        _read_document(checkpoint, name)
    if CONFIG not in checkpoint.documents or CONFIG in checkpoint.damaged:
        why = checkpoint.damaged.get(CONFIG, "is missing")
        raise UserError(f"{folder / CONFIG} {why}: without it this is no checkpoint. Copy it again.")
    if checkpoint.config.get("model_type") != "hrm_text":
        kind = checkpoint.config.get("model_type")
        raise UserError(f"{folder} is a {kind!r} model, no HRM-Text: the doctor knows hrm_text checkpoints only.")
    try:
        checkpoint.tensors = stored_tensors(folder)
    except UserError as error:
        checkpoint.damaged["model.safetensors"] = str(error)
    if TOKENIZER in checkpoint.documents:
        try:
            checkpoint.tokenizer = Tokenizer.from_str(json.dumps(checkpoint.documents[TOKENIZER]))
        except Exception as error:  # the Rust library raises bare Exceptions
            checkpoint.damaged[TOKENIZER] = f"is damaged ({str(error)[:100]})"
    if (folder / TEMPLATE).exists():
        checkpoint.template = (folder / TEMPLATE).read_text(encoding="utf-8", errors="replace")
    return checkpoint


def _read_document(checkpoint: Checkpoint, name: str) -> None:
    path = checkpoint.folder / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        checkpoint.damaged[name], content = f"is damaged ({error})", {}
    if name not in checkpoint.damaged or name != TOKENIZER:
        checkpoint.documents[name] = content


def _examine(checkpoint: Checkpoint) -> list[Finding]:
    faults = [*_files(checkpoint), *_numbers(checkpoint)]
    if any(finding.check == "numbers" for finding in faults):
        return faults  # nothing else can be judged
    checks = [
        _architecture,
        _token_ids,
        _embedding_scale,
        _layers,
        _horizon,
        _special_tokens,
        _input_names,
        _generation,
    ]
    if checkpoint.tensors:
        checks += [_sizes, _fused_keys, _keys_and_shapes, _dtype, _start_state]
    if checkpoint.tokenizer:
        checks += [_control_tokens, _template]
    return faults + [finding for check in checks for finding in check(checkpoint)]


def _set(document: str, **values: Any) -> Callable[[Checkpoint], None]:
    """A mend that sets keys of a document, or removes those that are `_GONE`."""

    def apply(checkpoint: Checkpoint) -> None:
        content = checkpoint.documents.setdefault(document, {})
        for key, value in values.items():
            content.pop(key, None)
            if value is not _GONE:
                content[key] = value

    return apply


def _shown(values: dict[str, Any]) -> str:
    gone = [f"remove {key}" for key, value in values.items() if value is _GONE]
    return ", ".join([*gone, *(f"set {key} to {value}" for key, value in values.items() if value is not _GONE)])


def _keys(check: str, document: str, problem: str, **values: Any) -> Finding:
    """A finding that setting keys of a document mends."""
    return Finding(check, f"{document}: {problem}", f"{_shown(values)}.", _set(document, **values))


# ---------------------------------------------------------------- config.json


def _files(checkpoint: Checkpoint) -> Findings:
    for name, why in checkpoint.damaged.items():
        if name == "model.safetensors":
            yield Finding("weights", why, "the weights are copied or saved again.")
        elif name == TOKENIZER:
            yield Finding("tokenizer", f"{name} {why}", "copy the one that was published with the model.")
        elif name in (TOKENIZER_CONFIG, GENERATION):
            yield Finding("files", f"{name} {why}", "write it anew.", _set(name))
        else:
            yield Finding("files", f"{name} {why}", "delete it, or copy it again.")
    if TOKENIZER not in checkpoint.documents and TOKENIZER not in checkpoint.damaged:
        remedy = "copy the one that was published with the model: no command can render a prompt without it."
        yield Finding("tokenizer", f"{TOKENIZER} is missing", remedy)


def _numbers(checkpoint: Checkpoint) -> Findings:
    for key in (*SIZES, "num_hidden_layers", "H_cycles", "L_cycles"):
        value = checkpoint.size(key)
        most = MOST_CYCLES if key.endswith("_cycles") else math.inf
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            yield Finding("numbers", f"{CONFIG}: {key} is {value!r}", "set it to the positive whole number it was.")


def _architecture(checkpoint: Checkpoint) -> Findings:
    config = checkpoint.config
    if config.get("architectures") != ["HrmTextForCausalLM"]:
        problem = f"architectures is {config.get('architectures')}, so Auto classes and servers pick no model by it"
        yield _keys("architecture", CONFIG, problem, architectures=["HrmTextForCausalLM"])
    if not config.get("prefix_lm", True):
        yield _keys("architecture", CONFIG, "prefix_lm is off, so prompts run causally", prefix_lm=True)
    if config.get("tie_word_embeddings") and "lm_head.weight" in checkpoint.tensors:
        problem = "tie_word_embeddings is on, so the saved lm_head.weight is not used"
        yield _keys("architecture", CONFIG, problem, tie_word_embeddings=False)


def _layers(checkpoint: Checkpoint) -> Findings:
    """`num_hidden_layers` counts cache slots; a config without `num_layers_per_stack` gives the layers of one stack."""
    config, total = checkpoint.config, checkpoint.size("num_hidden_layers")
    found = _saved_layers(checkpoint)
    if checkpoint.tensors and (found["H"] != found["L"] or found["L"] != set(range(len(found["L"]))) or not found["L"]):
        held = ", ".join(f"{stack}: {sorted(found[stack])}" for stack in "HL")
        remedy = "copy or save the weights again: both stacks need layers 0 to n - 1."
        yield Finding("layers", f"the weights hold other layers in the two stacks ({held})", remedy)
        return
    stated = config.get("num_layers_per_stack")
    layers = len(found["L"]) or stated or total
    slots = layers * checkpoint.size("H_cycles") * (checkpoint.size("L_cycles") + 1)
    if (stated is None and total == layers) or (stated == layers and total == slots):
        return
    problem = (
        f"num_hidden_layers is {total} and num_layers_per_stack {stated}, but {layers} layers a stack x "
        f"{checkpoint.size('H_cycles')} H cycles x ({checkpoint.size('L_cycles')} + 1) make {slots}"
    )
    yield _keys("layers", CONFIG, problem, num_layers_per_stack=layers, num_hidden_layers=slots)


def _saved_layers(checkpoint: Checkpoint) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {"H": set(), "L": set()}
    for name in checkpoint.tensors:
        if match := re.match(r"model\.([HL])_module\.layers\.(\d+)\.", name):
            found[match[1]].add(int(match[2]))
    return found


def _horizon(checkpoint: Checkpoint) -> Findings:
    cycles = HrmTextConfig(H_cycles=checkpoint.size("H_cycles"), L_cycles=checkpoint.size("L_cycles"))
    written, ignored = (checkpoint.config.get(key) for key in ("L_bp_cycles", "L_bp_steps"))

    def sound(value: Any) -> bool:
        numbers = isinstance(value, list) and all(isinstance(n, int) for n in value)
        return numbers and from_l_bp_cycles(value, cycles) is not None

    right = next((value for value in (written, ignored) if sound(value)), to_l_bp_cycles(official(cycles), cycles))
    if "L_bp_steps" in checkpoint.config:
        problem = "L_bp_steps, which the official exporter writes, is ignored by Transformers"
        yield _keys("horizon", CONFIG, problem, L_bp_steps=_GONE, L_bp_cycles=right)
    elif not sound(written):
        problem = f"L_bp_cycles is {written}" + ("" if written else ", for which Transformers takes [2]")
        yield _keys("horizon", CONFIG, f"{problem}: no official gradient horizon", L_bp_cycles=right)


def _ids(checkpoint: Checkpoint) -> dict[str, int]:
    """The id that each control token must have: the published one, or its own if the config declares a vocabulary."""
    own, words = checkpoint.config.get("prefix_end_token_id", PREFIX_END_ID), checkpoint.tokenizer
    if words is None or own == PREFIX_END_ID or words.token_to_id(IM_END) != own:
        return CONTROL_IDS
    return {name: id for name in CONTROL_IDS if (id := words.token_to_id(name)) is not None}


def _token_ids(checkpoint: Checkpoint) -> Findings:
    ids = _ids(checkpoint)
    wrong = {}
    for word, name in SPECIALS.items():
        if not _names_id(checkpoint.config.get(f"{word}_token_id"), ids.get(name)):
            wrong[f"{word}_token_id"] = ids.get(name, CONTROL_IDS[name])
    if wrong:
        told = ", ".join(f"{key} is {checkpoint.config.get(key)}" for key in wrong)
        yield _keys("token_ids", CONFIG, told, **wrong)
    end = checkpoint.config.get("prefix_end_token_id", PREFIX_END_ID)
    if end != ids.get(IM_END):
        problem = f"prefix_end_token_id is {end}, but {IM_END}, which closes a prefix, is {ids.get(IM_END)}"
        yield _keys("token_ids", CONFIG, problem, prefix_end_token_id=_GONE)


def _names_id(stated: Any, expected: int | None) -> bool:
    return expected is not None and (stated == expected or (isinstance(stated, list) and expected in stated))


def _embedding_scale(checkpoint: Checkpoint) -> Findings:
    """Trained with scale x init std = 1; every official size has the std 1 / sqrt(hidden_size)."""
    config, usual = checkpoint.config, checkpoint.size("hidden_size") ** 0.5
    std, scale = config.get("initializer_range"), config.get("embedding_scale")
    stated = [value for value in (std, scale) if value is not None]
    if stated and all(isinstance(value, int | float) and value > 0 for value in stated):
        if std is None or scale is None or math.isclose(std * scale, 1, rel_tol=1e-3):
            return
        problem = f"embedding_scale is {scale}, but 1 / initializer_range is {1 / std:.6g}"
        if math.isclose(std * usual, 1, rel_tol=1e-3):
            yield _keys("embedding_scale", CONFIG, problem, embedding_scale=1 / std)
            return
        if math.isclose(scale, usual, rel_tol=1e-3):
            yield _keys("embedding_scale", CONFIG, problem, initializer_range=1 / scale)
            return
    else:
        problem = f"embedding_scale is {scale} and initializer_range {std}, so Transformers' own default would be taken"
    remedy = f"set both to what it was trained with (every official size: embedding_scale {usual:.6g}, its inverse)."
    yield Finding("embedding_scale", f"{CONFIG}: {problem}", remedy)


def _generation(checkpoint: Checkpoint) -> Findings:
    if GENERATION not in checkpoint.documents:
        return  # generation then takes the config's ids
    stated, ids = checkpoint.documents[GENERATION], _ids(checkpoint)
    wrong = {
        f"{word}_token_id": ids.get(name, CONTROL_IDS[name])
        for word, name in SPECIALS.items()
        if not _names_id(stated.get(f"{word}_token_id"), ids.get(name))
    }
    if wrong:
        told = ", ".join(f"{key} is {stated.get(key)}" for key in wrong)
        yield _keys("generation_config", GENERATION, told, **wrong)


# ---------------------------------------------------------------- weights


def _sizes(checkpoint: Checkpoint) -> Findings:
    """The sizes that a shape tells without doubt."""
    embedding = checkpoint.tensors.get("model.embed_tokens.weight")
    down = checkpoint.tensors.get("model.L_module.layers.0.mlp.down_proj.weight")
    told = dict(zip(("vocab_size", "hidden_size"), embedding.shape, strict=False)) if embedding else {}
    if down and len(down.shape) == 2:
        told["intermediate_size"] = down.shape[1]
    wrong = {key: value for key, value in told.items() if checkpoint.size(key) != value}
    if wrong:
        stated = ", ".join(f"{key} is {checkpoint.size(key)}" for key in wrong)
        yield _keys("sizes", CONFIG, f"{stated}, and the weights are of another size", **wrong)


def _split_parts(checkpoint: Checkpoint) -> dict[str, list[str]]:
    """For each fused tensor that is saved in parts only, the parts, all there and of one dtype and width."""
    found = {}
    for stack, layer in itertools.product("HL", sorted(_saved_layers(checkpoint)["L"])):
        for fused, parts in FUSED.items():
            start = f"model.{stack}_module.layers.{layer}."
            names = [f"{start}{part}.weight" for part in parts]
            held = [checkpoint.tensors[name] for name in names if name in checkpoint.tensors]
            alike = len({(tensor.dtype, *tensor.shape[1:]) for tensor in held}) == 1
            if len(held) == len(names) and alike and f"{start}{fused}.weight" not in checkpoint.tensors:
                found[f"{start}{fused}.weight"] = names
    return found


def _fused_keys(checkpoint: Checkpoint) -> Findings:
    split = _split_parts(checkpoint)
    if split:
        parts = sum(map(len, split.values()))
        problem = f"the weights are saved in {parts} split keys ({next(iter(split.values()))[0]}, ...)"
        remedy = "fuse them, as stock save_pretrained does and vLLM and llama.cpp ask."

        def apply(checkpoint: Checkpoint) -> None:
            checkpoint.fuse = True

        yield Finding("fused_keys", problem, remedy, apply)


def _keys_and_shapes(checkpoint: Checkpoint) -> Findings:
    split = _split_parts(checkpoint)
    parts = {part for names in split.values() for part in names}
    shapes = {name: tensor.shape for name, tensor in checkpoint.tensors.items() if name not in parts}
    shapes |= {name: _fused_shape(checkpoint, names) for name, names in split.items()}
    expected = saved_shapes({key: checkpoint.size(key) for key in SIZES}, len(_saved_layers(checkpoint)["L"]))
    remedy = "copy or save the weights again, or set the size in config.json that is wrong."
    for told, names in (
        ("are missing", expected.keys() - shapes.keys()),
        ("are no part of an HRM-Text", shapes.keys() - expected.keys()),
        ("have another shape than the config", {n for n in shapes if n in expected and shapes[n] != expected[n]}),
    ):
        names -= {"model.z_L_init"} if told == "are missing" else set()  # has a check of its own
        if names:
            yield Finding("keys", f"{len(names)} tensors {told}: {_some(names)}", remedy)


def _fused_shape(checkpoint: Checkpoint, parts: list[str]) -> tuple[int, ...]:
    held = [checkpoint.tensors[part] for part in parts]
    return (sum(tensor.shape[0] for tensor in held), *held[0].shape[1:])


def _dtype(checkpoint: Checkpoint) -> Findings:
    kinds = sorted({tensor.dtype for tensor in checkpoint.tensors.values()})
    if len(kinds) > 1 or kinds[0] not in DTYPES:
        remedy = "load it in one dtype (float32, bfloat16) and save it again."
        yield Finding("dtype", f"the weights are saved as {', '.join(kinds)}", remedy)
        return
    stated, held = checkpoint.config.get("dtype", checkpoint.config.get("torch_dtype")), str(DTYPES[kinds[0]])[6:]
    if stated != held:
        legacy = {"torch_dtype": _GONE} if "torch_dtype" in checkpoint.config else {}
        yield _keys("dtype", CONFIG, f"dtype is {stated}, and the weights are {held}", **legacy, dtype=held)


def _start_state(checkpoint: Checkpoint) -> Findings:
    remedy = (
        "this cannot be mended here: the trained vector is lost. It never changes in training, so copy model.z_L_init "
        "from the checkpoint that this one was trained from."
    )
    stored = checkpoint.tensors.get("model.z_L_init")
    if stored is None:
        yield Finding("z_L_init", "model.z_L_init is missing, so Transformers starts from zeros", remedy)
    elif not any(any(chunk) for chunk in stored.chunks()):
        yield Finding("z_L_init", "model.z_L_init is all zeros", remedy)
    if not _stock_freezes():
        problem = "the installed Transformers leaves z_L_init trainable"
        yield Finding("z_L_init", problem, "load it with hrm_align, or call z_L_init.requires_grad_(False).")


def _stock_freezes() -> bool:
    config = HrmTextConfig(vocab_size=1, hidden_size=2, intermediate_size=1, num_hidden_layers=1, num_attention_heads=1)
    with torch.device("meta"):
        return not HrmTextModel(config).z_L_init.requires_grad


def _finite(checkpoint: Checkpoint) -> Findings:
    """Reads every weight once, a block of bytes at a time: a map of the file would count as memory in use."""
    wrong = {}
    for name, stored in checkpoint.tensors.items():
        dtype = DTYPES.get(stored.dtype)
        blocks = (torch.frombuffer(bytearray(chunk), dtype=dtype) for chunk in stored.chunks()) if dtype else ()
        if bad := sum(int((~torch.isfinite(block)).sum()) for block in blocks):
            wrong[name] = bad
    if wrong:
        told = f"{sum(wrong.values())} weights in {len(wrong)} tensors are NaN or infinite: {_some(wrong)}"
        yield Finding("finite", told, "go back to an earlier checkpoint: these weights are lost.")


# ---------------------------------------------------------------- tokenizer


def _control_tokens(checkpoint: Checkpoint) -> Findings:
    words, ids = checkpoint.tokenizer, _ids(checkpoint)
    assert words is not None
    added = {token["content"]: token for token in checkpoint.documents[TOKENIZER].get("added_tokens") or []}
    wrong = [
        name
        for name, id in ids.items()
        if words.encode(name, add_special_tokens=False).ids != [id] or not added.get(name, {}).get("special")
    ]
    # Only where nothing else has the id does adding the token change no other one.
    mendable = [n for n in wrong if words.id_to_token(ids[n]) in (None, n) and words.token_to_id(n) in (None, ids[n])]
    lost = [name for name in wrong if name not in mendable]
    if mendable:

        def apply(checkpoint: Checkpoint) -> None:
            _add_tokens(checkpoint.documents[TOKENIZER], {name: ids[name] for name in mendable})

        told = ", ".join(f"{name} ({ids[name]})" for name in mendable)
        problem = f"{TOKENIZER}: {told} are not encoded as one control token each"
        yield Finding("control_tokens", problem, "add them under their ids.", apply)
    if lost:
        told = ", ".join(f"{name} is {words.token_to_id(name)}, not {ids[name]}" for name in lost[:4])
        remedy = "use the tokenizer.json that was published with the model (one of its own: set prefix_end_token_id)."
        yield Finding("control_tokens", f"{TOKENIZER}: {told}", remedy)
    if words.get_vocab_size() > checkpoint.size("vocab_size"):
        problem = f"{TOKENIZER} has {words.get_vocab_size()} tokens and the model {checkpoint.size('vocab_size')}"
        yield Finding("control_tokens", problem, "use the tokenizer.json that was published with the model.")
    elif not wrong:
        try:
            Renderer(PreTrainedTokenizerFast(tokenizer_object=words))
        except UserError as error:
            yield Finding("control_tokens", f"{TOKENIZER}: {error}", "use the published tokenizer.json.")


def _add_tokens(document: dict[str, Any], ids: dict[str, int]) -> None:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    kept = [token for token in document.get("added_tokens") or [] if token["content"] not in ids]
    new = [{"id": id, "content": name, **flags} for name, id in ids.items()]
    document["added_tokens"] = sorted([*kept, *new], key=lambda token: token["id"])


def _special_tokens(checkpoint: Checkpoint) -> Findings:
    for document in (TOKENIZER_CONFIG, LEGACY_SPECIALS):
        stated = checkpoint.documents.get(document, {} if document == TOKENIZER_CONFIG else None)
        if stated is None:
            continue
        wrong = {}
        for word, name in SPECIALS.items():
            value = stated.get(f"{word}_token")
            content = value.get("content") if isinstance(value, dict) else value
            if content != name and not (document == LEGACY_SPECIALS and content is None):
                wrong[f"{word}_token"] = name
        if wrong:
            told = ", ".join(f"{key} is {stated.get(key)}" for key in wrong)
            yield _keys("special_tokens", document, told, **wrong)


def _input_names(checkpoint: Checkpoint) -> Findings:
    """The default of the installed Transformers has no types; a list that names them gives zeros."""
    names = checkpoint.documents.get(TOKENIZER_CONFIG, {}).get("model_input_names", [])
    if isinstance(names, list) and "token_type_ids" not in names:
        return
    problem = f"model_input_names is {names}: types from a tokenizer are zeros, which mean: no prefix"
    yield _keys("input_names", TOKENIZER_CONFIG, problem, model_input_names=["input_ids", "attention_mask"])


def _template(checkpoint: Checkpoint) -> Findings:
    if any(_control_tokens(checkpoint)):
        return  # ours names the control tokens, so it can be written only when they are right
    ours = chat_template(PreTrainedTokenizerFast(tokenizer_object=checkpoint.tokenizer))
    inline = checkpoint.documents.get(TOKENIZER_CONFIG, {}).get("chat_template")
    saved = inline if checkpoint.template is None else checkpoint.template
    if saved == ours:
        return

    def apply(checkpoint: Checkpoint) -> None:
        checkpoint.template = ours
        if inline is not None:
            checkpoint.documents[TOKENIZER_CONFIG].pop("chat_template")

    problem = f"{TEMPLATE} is missing" if saved is None else f"{TEMPLATE} is not the one that gives the ids of training"
    yield Finding("chat_template", problem, "write hrm_align's (a template of your own stays as .bak).", apply)


# ---------------------------------------------------------------- writing


def save(checkpoint: Checkpoint) -> list[str]:
    """Write what mends have changed, each file aside and renamed, the old one kept.

    Returns:
        The names of the files that were written.

    Raises:
        UserError: if the disk refuses.
    """
    before = Checkpoint(checkpoint.folder)
    for name in DOCUMENTS:
        _read_document(before, name)
    written: list[str] = []
    try:
        if checkpoint.fuse:
            written = _save_fused(checkpoint)
        for name, document in checkpoint.documents.items():
            if document != before.documents.get(name) or (
                name in before.damaged and name in (TOKENIZER_CONFIG, GENERATION)
            ):
                _replace_json(checkpoint.folder / name, document)
                written.append(name)
        path = checkpoint.folder / TEMPLATE
        template = checkpoint.template
        if template is not None and (not path.exists() or path.read_bytes() != template.encode()):
            _replace(path, lambda file: file.write(template.encode()))
            written.append(TEMPLATE)
    except OSError as error:
        raise UserError(
            f"{checkpoint.folder} cannot be mended ({error.strerror or error}): nothing was lost."
        ) from error
    return written


def _save_fused(checkpoint: Checkpoint) -> list[str]:
    """Stack the parts byte by byte. Returns the files that were written."""
    split = _split_parts(checkpoint)
    part_of = {part: fused for fused, parts in split.items() for part in parts}
    shards: dict[Path, dict[str, Incoming]] = {}
    touched = {checkpoint.tensors[part].file for part in part_of}
    for name, stored in checkpoint.tensors.items():
        if stored.file in touched and name not in part_of:
            size = stored.end - stored.start
            shards.setdefault(stored.file, {})[name] = Incoming(stored.dtype, stored.shape, size, stored.chunks)
    for fused, parts in split.items():
        held = [checkpoint.tensors[part] for part in parts]
        size = sum(stored.end - stored.start for stored in held)
        shape = _fused_shape(checkpoint, parts)
        shards.setdefault(held[0].file, {})[fused] = Incoming(held[0].dtype, shape, size, lambda held=held: _all(held))  # type: ignore[misc]
    check_space(checkpoint.folder, sum(tensor.size for shard in shards.values() for tensor in shard.values()))
    if not (checkpoint.folder / INDEX).exists() or (checkpoint.folder / "model.safetensors").exists():
        ((file, tensors),) = shards.items()
        _replace(file, lambda opened: write_safetensors(opened, tensors))
        return [file.name]
    return _save_shards(checkpoint, shards, touched)


def _save_shards(checkpoint: Checkpoint, shards: dict[Path, dict[str, Incoming]], touched: set[Path]) -> list[str]:
    """New shards under new names, then the index that names them: its rename is the one moment of change."""
    index = json.loads((checkpoint.folder / INDEX).read_text(encoding="utf-8"))
    places = {name: stored.file.name for name, stored in checkpoint.tensors.items() if stored.file not in touched}
    written = []
    for file, tensors in shards.items():
        new = file.with_name(f"{file.stem}-fused{file.suffix}")
        _replace(new, lambda opened, tensors=tensors: write_safetensors(opened, tensors))  # type: ignore[misc]
        places |= dict.fromkeys(tensors, new.name)
        written.append(new.name)
    _replace_json(checkpoint.folder / INDEX, index | {"weight_map": dict(sorted(places.items()))})
    for file in touched:
        file.rename(_free_backup(file))
    return [*written, INDEX]


def _all(parts: list[Stored]) -> Iterator[bytes]:
    for part in parts:
        yield from part.chunks()


def _replace_json(path: Path, document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    _replace(path, lambda file: file.write(text.encode()))


def _replace(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write aside, flush, keep what was there, rename."""
    partial = path.with_name(f".{path.name}.partial")  # a killed run's is written over
    try:
        with partial.open("wb") as file:
            write(file)
        flush(partial)
        if path.exists():
            shutil.copymode(path, partial)
            _keep(path)
        os.replace(partial, path)
        flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _keep(path: Path) -> None:
    """Give the present file a second name, at no cost; where the file system has no links, copy it."""
    backup = _free_backup(path)
    try:
        os.link(path, backup)
    except OSError:
        copied = path.with_name(f".{backup.name}.partial")
        shutil.copy2(path, copied)
        copied.rename(backup)


def _free_backup(path: Path) -> Path:
    names = itertools.chain([f"{path.name}.bak"], (f"{path.name}.bak.{n}" for n in itertools.count(1)))
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


def _some(names: Any) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
