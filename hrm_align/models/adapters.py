"""Adapters on disk: which base they belong to, several of them on one base, their sizes and likeness.

An adapter that does not fit its base is refused. Norms and cosines of adapters come from their small matrices, without a base.
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
from peft import LoraConfig, PeftModel
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor
from transformers import HrmTextForCausalLM, PreTrainedTokenizerFast

from hrm_align.errors import UserError, some
from hrm_align.models.adapter_record import RECORD, check_base, read_record, remember_base
from hrm_align.models.checkpoint_format import header_of
from hrm_align.models.layers import kind_of, linear_layers
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.models.sharding import fill

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FILES = [CONFIG, WEIGHTS, RECORD, "tokenizer*", "*.jinja"]
BASE = "base"  # the name under which commands show the model without an adapter


def is_adapter(name: str) -> bool:
    """Whether a folder of this name holds an adapter."""
    return (Path(name).expanduser() / CONFIG).is_file()


def adapter_folder(name: str) -> Path:
    """The folder of an adapter; a Hub id is downloaded.

    Raises:
        UserError: if there is none, or it is a whole checkpoint.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if (folder / CONFIG).is_file():
            return folder
        if (folder / "config.json").is_file():
            raise UserError(
                f"{name} is a whole checkpoint, no adapter: use it by itself, as a model, or name the folder of a run that "
                "had use_peft."
            )
        inside = sorted(str(path.parent) for path in folder.glob(f"*/{CONFIG}"))
        hint = f"it has {some(inside, 3)}: name one of these" if inside else f"it holds no {CONFIG}"
        raise UserError(f"{name} is no adapter: {hint}.")
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(f"there is no adapter at {name}: name the folder of a run that had use_peft, or a Hub id.")
    try:
        return Path(snapshot_download(name, allow_patterns=FILES))
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(f"cannot load the adapter {name}: neither a folder here nor on the Hub ({reason}).") from error


@dataclass(frozen=True)
class Adapter:
    """An adapter as it lies on disk; no weights are read yet.

    Args:
        folder: where.
        config: PEFT's, as plain data.
        record: what was written beside it (`adapter_record`); empty for one trained elsewhere.
    """

    folder: Path
    config: dict[str, Any]
    record: dict[str, Any]

    @property
    def base(self) -> str | None:
        """The name of its base."""
        return self.record.get("base") or self.config.get("base_model_name_or_path")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of its tensors.

        Raises:
            UserError: if the file is missing or damaged.
        """
        if not (self.folder / WEIGHTS).is_file():
            raise UserError(f"{self.folder} holds no {WEIGHTS}: copy the adapter again, saved as safetensors.")
        return {name: stored.shape for name, stored in header_of(self.folder / WEIGHTS).items()}


def open_adapter(name: str) -> Adapter:
    """Read what an adapter is.

    Raises:
        UserError: if there is none, or it is not LoRA's.
    """
    folder = adapter_folder(name)
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = config["peft_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / CONFIG} is damaged ({error}): copy the adapter again.") from None
    if kind != "LORA":
        raise UserError(f"{folder} is a {kind} adapter: hrm_align knows LoRA (with rsLoRA and DoRA) only.")
    return Adapter(folder, config, read_record(folder))


def base_of(adapter: Adapter) -> str:
    """The name of an adapter's base.

    Raises:
        UserError: if nothing says it.
    """
    if not adapter.base:
        # The one remedy that every command can follow: some take a --base, some a --model, some neither.
        raise UserError(
            f"{adapter.folder} does not say its base: write its folder or Hub id into {CONFIG}, as "
            "base_model_name_or_path."
        )
    return adapter.base


def load_adapted(base: str, adapters: Mapping[str, Adapter], **kwargs: Any) -> tuple[Any, PreTrainedTokenizerFast]:
    """A base with adapters around it (an HrmTextForCausalLM where there are none), and its tokenizer.

    Args:
        base: folder, Hub id, or `tiny`.
        adapters: by the name to switch them by; the first is switched on.
        kwargs: as for `load_model`.

    Raises:
        UserError: as `load_model_and_tokenizer` and `load_adapters`.
    """
    model, tokenizer = load_model_and_tokenizer(base, **kwargs)
    return (load_adapters(model, base, adapters) if adapters else model), tokenizer


def fill_adapter(model: PeftModel, folder: Path) -> None:
    """Read an adapter's tensors into a model that has it and is sharded; PEFT would copy whole tensors into slices.

    Args:
        model: of which `check_tensors` has compared names and shapes.
        folder: of the adapter.
    """
    saved = load_file(folder / WEIGHTS)
    for name, own in get_peft_model_state_dict(model, save_embedding_layers=False).items():
        fill(own, saved[name])


def load_adapters(model: HrmTextForCausalLM, base: str, adapters: Mapping[str, Adapter]) -> PeftModel:
    """Put adapters around one base; the first is switched on (`PeftModel.set_adapter` switches).

    Args:
        model: the base.
        base: its name, for messages.
        adapters: by the name to switch them by.

    Raises:
        UserError: for an adapter of another base, or one that does not fit.
    """
    remember_base(model, base)
    for adapter in adapters.values():
        check_base(model, adapter.folder)
    layers = linear_layers(model, ["all"])
    adapted: PeftModel | None = None
    for name, adapter in adapters.items():
        adapter.shapes()  # says what is wrong with the file
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
                f"{adapter.folder} does not fit {base}: it was made for another model ({reason})."
            ) from None
        check_tensors(adapted, name, adapter)
    assert adapted is not None, "one adapter at least"
    adapted.set_adapter(next(iter(adapters)))
    return adapted.eval()


def _check_targets(adapter: Adapter, layers: Sequence[str], base: str) -> None:
    """PEFT takes names that match nothing in silence as long as one matches."""
    targets = adapter.config.get("target_modules")
    if not isinstance(targets, list):
        return  # a pattern: the keys are compared after loading
    lost = [name for name in targets if not any(f".{layer}".endswith(f".{name}") for layer in layers)]
    if lost:
        raise UserError(f"{adapter.folder} does not fit {base}, which has no {some(lost, 3)}: it is of another model.")


def check_tensors(model: PeftModel, name: str, adapter: Adapter) -> None:
    """Refuse an adapter whose file has not the tensors that it needs.

    PEFT loads what it finds: an adapter with missing tensors would be partly untrained, with a warning at most.

    Args:
        model: with an adapter of that name and the same config.
        name: of the adapter in the model.
        adapter: on disk.

    Raises:
        UserError: naming them.
    """
    needed = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    # Some write the embeddings of the base into the file too, which says nothing.
    extra = ("base_layer.weight", "embed_tokens.weight")
    found = {key: shape for key, shape in adapter.shapes().items() if not key.endswith(extra)}
    wrong = sorted(needed.keys() ^ found.keys())
    wrong += [key for key, tensor in needed.items() if key in found and found[key] != tuple(tensor.shape)]
    if wrong:
        raise UserError(
            f"{adapter.folder} does not fit its own config: {some(wrong, 3)} are missing, too many or of another "
            "shape. Copy it again."
        )


def named(words: Sequence[str]) -> dict[str, Adapter]:
    """Adapters by name from `NAME=FOLDER` or `FOLDER`, whose own name then counts.

    Raises:
        UserError: for two of one name, or a name that is none.
    """
    found: dict[str, Adapter] = {}
    for word in words:
        given, place = re.fullmatch(r"(?:(\w[\w-]*)=)?(.+)", word, re.DOTALL).groups() if word else (None, "")  # type: ignore[union-attr]
        adapter = open_adapter(place)
        name = given or re.sub(r"\W+", "-", adapter.folder.resolve().name)
        if name in found or name == BASE:
            raise UserError(f"--adapter {word}: the name {name!r} is taken: write another before it, as NAME={place}.")
        found[name] = adapter
    return found


_MATRIX = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


def deltas(adapter: Adapter) -> dict[str, tuple[Tensor, Tensor]]:
    """A (r, in) and scale x B (out, r) of every adapted layer, by the layer's name in the base, in float64.

    Raises:
        UserError: if the weights are missing or damaged.
    """
    adapter.shapes()  # says what is wrong
    pairs: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in load_file(adapter.folder / WEIGHTS).items():
        if match := _MATRIX.fullmatch(name):
            pairs[match[1]][match[2]] = tensor.double()
    return {layer: (pair["A"], _scale(adapter, layer, len(pair["A"])) * pair["B"]) for layer, pair in pairs.items()}


def _scale(adapter: Adapter, layer: str, rank: int) -> float:
    """What B A is multiplied by in a layer, as PEFT computes it: alpha / r, or alpha / sqrt(r)."""
    config = adapter.config
    pattern = next(
        (value for key, value in config.get("alpha_pattern", {}).items() if re.match(rf"(.*\.)?({key})$", layer)), None
    )
    alpha = float(config["lora_alpha"] if pattern is None else pattern)
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def inner(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    """The Frobenius inner product of two deltas B A, through r x r matrices only."""
    return float(torch.sum((one[1].T @ other[1]) * (one[0] @ other[0].T)))


def alike(one: Adapter, other: Adapter) -> dict[str, dict[str, float]]:
    """For each kind of layer (`H.mlp`, `L.self_attn`, `lm_head`) the norms of both deltas and their cosine."""
    first, second = deltas(one), deltas(other)
    sums: dict[str, dict[str, float]] = defaultdict(lambda: {"a": 0.0, "b": 0.0, "ab": 0.0})
    for layer in dict.fromkeys([*first, *second]):
        part = sums[kind_of(layer) or "other"]
        part["a"] += inner(first[layer], first[layer]) if layer in first else 0.0
        part["b"] += inner(second[layer], second[layer]) if layer in second else 0.0
        part["ab"] += inner(first[layer], second[layer]) if layer in first and layer in second else 0.0
    return {kind: _measures(part) for kind, part in sums.items()}


def _measures(part: Mapping[str, float]) -> dict[str, float]:
    norms = math.sqrt(part["a"]), math.sqrt(part["b"])
    cosine = part["ab"] / (norms[0] * norms[1]) if all(norms) else 0.0
    return {"norm_a": norms[0], "norm_b": norms[1], "cosine": cosine}
