"""Adapters on disk: open and check them, load one or several of them onto their base, and compare two of them.

Loading raises an error for an adapter that does not fit its base. Norms and cosines of adapters are computed from their
small matrices alone, without the base.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from peft import LoraConfig, PeftModel, TaskType
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.errors import UserError, join_names
from hrm_align.models.adapter_record import RECORD, check_base, read_record, remember_base
from hrm_align.models.checkpoint_format import read_header
from hrm_align.models.layers import layer_kind, linear_layers
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.models.reward_model import HrmTextForSequenceClassification
from hrm_align.models.sharding import fill

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FILES = [CONFIG, WEIGHTS, RECORD, "tokenizer*", "*.jinja"]
BASE = "base"  # name of the model without an adapter in the output of commands
ADAPTER = "adapter"  # name of an adapter that is loaded by the name of a model


def is_adapter(name: str) -> bool:
    """Return whether the name is a folder with an adapter."""
    return (Path(name).expanduser() / CONFIG).is_file()


def adapter_folder(name: str) -> Path:
    """Return the folder of an adapter; an adapter named by a Hub id is downloaded.

    Raises:
        UserError: if there is no such adapter, or the folder has a whole checkpoint.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if (folder / CONFIG).is_file():
            return folder
        if (folder / "config.json").is_file():
            raise UserError(
                f"{name} is a whole checkpoint, no adapter. Use the checkpoint as a model, or name the folder of a run with "
                "use_peft."
            )
        inside = sorted(str(path.parent) for path in folder.glob(f"*/{CONFIG}"))
        hint = (
            f"Name one of its adapters {join_names(inside, 3)}" if inside else "Name the folder of a run with use_peft"
        )
        raise UserError(f"{name} is no adapter: it has no {CONFIG}. {hint}.")
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(f"there is no adapter at {name}. Name the folder of a run with use_peft, or a Hub id.")
    try:
        return Path(snapshot_download(name, allow_patterns=FILES))
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"cannot load the adapter {name}: there is no such folder, and the Hub does not deliver it ({reason}). Check the "
            "name and the network."
        ) from error


@dataclass(frozen=True)
class Adapter:
    """An adapter on disk, without its weights.

    Args:
        folder: folder of the adapter.
        config: PEFT's config as plain JSON values.
        record: the record of `adapter_record`; empty for an adapter of another program.
    """

    folder: Path
    config: dict[str, Any]
    record: dict[str, Any]

    @property
    def base(self) -> str | None:
        """Name of the base, or None if neither record nor config has it."""
        return self.record.get("base") or self.config.get("base_model_name_or_path")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the adapter's tensors by name, from the file's header.

        Raises:
            UserError: if the file is missing or damaged.
        """
        if not (self.folder / WEIGHTS).is_file():
            raise UserError(f"{self.folder} has no {WEIGHTS}. Copy the adapter again, saved as safetensors.")
        return {name: stored.shape for name, stored in read_header(self.folder / WEIGHTS).items()}


def open_adapter(name: str) -> Adapter:
    """Open an adapter: read its config and record.

    Args:
        name: folder or Hub id.

    Raises:
        UserError: if there is no such adapter, or its type is not LoRA.
    """
    folder = adapter_folder(name)
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = config["peft_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / CONFIG} is damaged ({error}). Copy the adapter again.") from None
    if kind != "LORA":
        raise UserError(
            f"{folder} is a {kind} adapter. Use a LoRA adapter (also with rsLoRA or DoRA); no other is supported."
        )
    return Adapter(folder, config, read_record(folder))


def base_name(adapter: Adapter) -> str:
    """Return the name of an adapter's base.

    Raises:
        UserError: if neither the adapter's record nor its config names a base.
    """
    if not adapter.base:
        # This remedy works for every command; options such as --base and --model exist for some commands only.
        raise UserError(
            f"{adapter.folder} does not name its base. Write the base's folder or Hub id into {CONFIG}, as "
            "base_model_name_or_path."
        )
    return adapter.base


def load_adapted(base: str, adapters: Mapping[str, Adapter], **kwargs: Any) -> tuple[Any, PreTrainedTokenizerFast]:
    """Load a base with its adapters, and the tokenizer.

    Args:
        base: folder, Hub id, or `tiny`.
        adapters: adapters by the name for `PeftModel.set_adapter`; the first is active.
        kwargs: further keywords of `load_model`.

    Returns:
        A PeftModel (an HrmTextForCausalLM if `adapters` is empty), and the tokenizer.

    Raises:
        UserError: as in `load_model_and_tokenizer` and `load_adapters`.
    """
    model, tokenizer = load_model_and_tokenizer(base, **kwargs)
    return (load_adapters(model, base, adapters) if adapters else model), tokenizer


def load_named(name: str, **kwargs: Any) -> tuple[Any, PreTrainedTokenizerFast]:
    """Load a checkpoint, or an adapter with its base, and the tokenizer.

    Args:
        name: folder of a checkpoint or of an adapter, Hub id, or `tiny`.
        kwargs: further keywords of `load_model`.

    Raises:
        UserError: as in `open_adapter`, `base_name` and `load_adapted`.
    """
    if not is_adapter(name):
        return load_adapted(name, {}, **kwargs)
    adapter = open_adapter(name)
    return load_adapted(base_name(adapter), {ADAPTER: adapter}, **kwargs)


def fill_adapter(model: PeftModel, folder: Path) -> None:
    """Load an adapter's saved tensors into a sharded model that has the adapter; PEFT cannot load into sharded tensors.

    Args:
        model: model whose adapter `check_tensors` has compared with the saved one.
        folder: folder of the adapter.
    """
    saved = load_file(folder / WEIGHTS)
    for name, tensor in get_peft_model_state_dict(model, save_embedding_layers=False).items():
        fill(tensor, saved[name])


def load_adapters(model: PreTrainedModel, base: str, adapters: Mapping[str, Adapter]) -> PeftModel:
    """Load adapters onto one base; the first is active (`PeftModel.set_adapter` activates another).

    Args:
        model: the base.
        base: name of the base, for messages.
        adapters: adapters by the name for `PeftModel.set_adapter`; at least one.

    Raises:
        UserError: for an adapter of another base, or an adapter that does not fit the base.
    """
    remember_base(model, base)
    for adapter in adapters.values():
        _check_task(adapter, isinstance(model, HrmTextForSequenceClassification))
        check_base(model, adapter.folder)
    layers = linear_layers(model, ["all"])
    adapted: PeftModel | None = None
    for name, adapter in adapters.items():
        adapter.shapes()  # raises UserError if the file is missing or damaged
        _check_targets(adapter, layers, base)
        try:
            config = LoraConfig.from_pretrained(str(adapter.folder))
            if adapted is None:
                adapted = PeftModel.from_pretrained(
                    model, str(adapter.folder), adapter_name=name, config=config, autocast_adapter_dtype=False
                )
            else:
                adapted.load_adapter(str(adapter.folder), adapter_name=name, autocast_adapter_dtype=False)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise UserError(
                f"{adapter.folder} does not fit {base}, but another model ({reason}). Name the base of the adapter."
            ) from None
        check_tensors(adapted, name, adapter)
    assert adapted is not None, "at least one adapter"
    adapted.set_adapter(next(iter(adapters)))
    return adapted.eval()


def _check_task(adapter: Adapter, scores: bool) -> None:
    """Check that an adapter of a reward model goes onto a reward model, and any other adapter onto a language model."""
    if (adapter.config.get("task_type") == TaskType.SEQ_CLS) == scores:
        return
    if scores:
        raise UserError(f"{adapter.folder} is not the adapter of a reward model. Train one with `hrm-align reward`.")
    raise UserError(
        f"{adapter.folder} is the adapter of a reward model, which scores answers and cannot write them. Name the adapter of a "
        "language model."
    )


def _check_targets(adapter: Adapter, layers: Sequence[str], base: str) -> None:
    """Check that every target module exists: PEFT silently ignores names without a match if another name has one."""
    targets = adapter.config.get("target_modules")
    if not isinstance(targets, list):
        return  # a pattern: `check_tensors` compares the keys after loading
    unmatched = []
    for name in targets:
        if not any(f".{layer}".endswith(f".{name}") for layer in layers):
            unmatched.append(name)
    if unmatched:
        raise UserError(
            f"{adapter.folder} does not fit {base}, which has no {join_names(unmatched, 3)}. Name the base of the adapter."
        )


def check_tensors(model: PeftModel, name: str, adapter: Adapter) -> None:
    """Check that an adapter's file has exactly the tensors of its config.

    PEFT loads the tensors that exist: an adapter with missing tensors would be partly untrained, with a warning at
    most.

    Args:
        model: model with an adapter of that name and the same config.
        name: name of the adapter in the model.
        adapter: the adapter on disk.

    Raises:
        UserError: with the names of missing, unexpected or misshapen tensors.
    """
    expected = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    # Ignored: weights of the base, which other programs save into the adapter's file too.
    extra = ("base_layer.weight", "embed_tokens.weight")
    saved = {key: shape for key, shape in adapter.shapes().items() if not key.endswith(extra)}
    wrong = sorted(expected.keys() ^ saved.keys())
    wrong += [key for key, tensor in expected.items() if key in saved and saved[key] != tuple(tensor.shape)]
    if wrong:
        raise UserError(
            f"{adapter.folder} does not fit its own config: {join_names(wrong, 3)} are missing, unexpected or of another "
            "shape. Copy the adapter again."
        )


def named(words: Sequence[str]) -> dict[str, Adapter]:
    """Open the adapters of `--adapter NAME=FOLDER` or `--adapter FOLDER` (named by the folder), by name.

    Raises:
        UserError: for two adapters of one name, or a folder without an adapter.
    """
    adapters: dict[str, Adapter] = {}
    for word in words:
        given, place = re.fullmatch(r"(?:(\w[\w-]*)=)?(.+)", word, re.DOTALL).groups() if word else (None, "")  # type: ignore[union-attr]
        adapter = open_adapter(place)
        name = given or re.sub(r"\W+", "-", adapter.folder.resolve().name)
        if name in adapters or name == BASE:
            raise UserError(f"--adapter {word}: the name {name!r} is in use. Choose another name with NAME={place}.")
        adapters[name] = adapter
    return adapters


_MATRIX = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


def deltas(adapter: Adapter) -> dict[str, tuple[Tensor, Tensor]]:
    """Load A (r, in) and scale x B (out, r) of every adapted layer, by the layer's name in the base, in float64.

    Raises:
        UserError: if the weights are missing or damaged.
    """
    adapter.shapes()  # raises UserError if the file is missing or damaged
    pairs: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in load_file(adapter.folder / WEIGHTS).items():
        if match := _MATRIX.fullmatch(name):
            pairs[match[1]][match[2]] = tensor.double()
    return {layer: (pair["A"], _scale(adapter, layer, len(pair["A"])) * pair["B"]) for layer, pair in pairs.items()}


def _scale(adapter: Adapter, layer: str, rank: int) -> float:
    """Compute a layer's factor of B A as PEFT does: alpha / r, or alpha / sqrt(r) with rsLoRA."""
    config = adapter.config
    pattern = next(
        (value for key, value in config.get("alpha_pattern", {}).items() if re.match(rf"(.*\.)?({key})$", layer)), None
    )
    alpha = float(config["lora_alpha"] if pattern is None else pattern)
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def inner(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    """Compute the Frobenius inner product of two deltas B A, with r x r matrices only.

    Args:
        one, other: A (r, in) and B (out, r) of each delta.
    """
    return float(torch.sum((one[1].T @ other[1]) * (one[0] @ other[0].T)))


def alike(one: Adapter, other: Adapter) -> dict[str, dict[str, float]]:
    """Compare two adapters: norms of both deltas and their cosine, for each kind of layer (`H.mlp`, `L.self_attn`, ...)."""
    first, second = deltas(one), deltas(other)
    sums: dict[str, dict[str, float]] = defaultdict(lambda: {"a": 0.0, "b": 0.0, "ab": 0.0})
    for layer in dict.fromkeys([*first, *second]):
        part = sums[layer_kind(layer) or "other"]
        part["a"] += inner(first[layer], first[layer]) if layer in first else 0.0
        part["b"] += inner(second[layer], second[layer]) if layer in second else 0.0
        part["ab"] += inner(first[layer], second[layer]) if layer in first and layer in second else 0.0
    return {kind: _norms_and_cosine(part) for kind, part in sums.items()}


def _norms_and_cosine(part: Mapping[str, float]) -> dict[str, float]:
    norms = math.sqrt(part["a"]), math.sqrt(part["b"])
    cosine = part["ab"] / (norms[0] * norms[1]) if all(norms) else 0.0
    return {"norm_a": norms[0], "norm_b": norms[1], "cosine": cosine}
