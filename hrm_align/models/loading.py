"""Load a checkpoint and its tokenizer, checked: an HRM-Text, whole, with a horizon that means something."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BitsAndBytesConfig,
    HrmTextConfig,
    HrmTextForCausalLM,
    PreTrainedTokenizerFast,
)

from hrm_align.errors import UserError
from hrm_align.models.attention import PER_DOCUMENT
from hrm_align.models.checkpoint_format import Stored
from hrm_align.models.recurrence import from_l_bp_cycles, official, to_l_bp_cycles
from hrm_align.models.weight_files import first_dtype, from_pretrained, weights_of
from hrm_align.rendering import chat_template, renderer_of

logger = logging.getLogger(__name__)

TINY = "tiny"  # the embedded base
HUB_ID = "sapientinc/HRM-Text-1B"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
AUTO = "auto"  # for a dtype: the checkpoint's own; for the attention: what is fastest on the device


def resolve(name: str, needed: str = "config.json") -> str:
    """The folder or Hub id behind a model name; `tiny` is the base that ships with the package.

    Args:
        name: folder, Hub id, or `tiny`.
        needed: the file without which a folder is not what is looked for.

    Raises:
        UserError: if the name looks like a folder and there is none.
    """
    if not name.strip():
        raise UserError(f"the model's name is empty: use a folder, a Hub id such as {HUB_ID}, or {TINY!r}.")
    if name == TINY:
        return str(files("hrm_align.models").joinpath("tiny"))
    path = Path(name).expanduser()
    if path.exists():
        if (path / "adapter_config.json").exists():
            raise UserError(
                f"{name} is an adapter, and a whole checkpoint is needed: merge it into its base (`hrm-align adapters "
                f"merge {name} --to DIR`), or name the base."
            )
        if not (path / needed).exists():
            raise UserError(f"{name} holds no {needed}. {_nearby_checkpoints(path)}")
        return str(path)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*")], n=1)
        hint = f" Did you mean {path.parent / near[0]}?" if near else ""
        raise UserError(f"there is no model at {name}.{hint} Use a folder, a Hub id such as {HUB_ID}, or {TINY!r}.")
    return name


def _nearby_checkpoints(path: Path) -> str:
    found = sorted(child.parent.name for child in path.glob("*/config.json"))
    return f"It has {', '.join(found)}: name one of these." if found else "Name the folder of a saved model."


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what Transformers raises for an absent, damaged or foreign checkpoint into one sentence."""
    try:
        yield
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        if name == TINY or Path(name).expanduser().exists():
            raise UserError(
                f"{name} cannot be loaded: one of its files is missing, damaged, or of another kind of model "
                f"({reason}). Copy it again, or name another checkpoint."
            ) from error
        raise UserError(
            f"cannot load {name}: neither a folder here nor reachable on the Hub. Check the name, the network, and "
            f"that you may read it (`hf auth login`). ({reason})"
        ) from error


def load_config(name: str, revision: str | None = None) -> HrmTextConfig:
    """Read a checkpoint's config and refuse what is not a sound HRM-Text.

    Raises:
        UserError: another architecture, or a config that would load as a different model than was trained.
    """
    with _explained(name):
        try:
            config = AutoConfig.from_pretrained(resolve(name), revision=revision or "main")
        except (ValueError, KeyError) as error:
            raise UserError(f"{name} is no HRM-Text: {str(error).splitlines()[0][:160]}") from error
    if not isinstance(config, HrmTextConfig):
        raise UserError(
            f"{name} is a {config.model_type!r} model, no HRM-Text: hrm_align trains hrm_text checkpoints only, such "
            f"as {HUB_ID}."
        )
    if getattr(config, "quantization_config", None) is not None:
        raise UserError(
            f"{name} is quantised, and nothing can be trained into or merged into rounded weights: name the whole "
            "checkpoint (an adapter can be trained on it with load_in_4bit: true)."
        )
    if getattr(config, "L_bp_steps", None) is not None:
        raise UserError(
            f"{name}: its config.json has `L_bp_steps`, which Transformers ignores (the official exporter writes it). "
            f"Replace it by `L_bp_cycles`: {full_horizon(config)}, and check that num_hidden_layers is the number of "
            "layers in one stack."
        )
    assert config.num_layers_per_stack is not None and config.L_bp_cycles is not None  # set by the config itself
    slots = config.num_layers_per_stack * config.H_cycles * (config.L_cycles + 1)
    if config.num_hidden_layers != slots:
        raise UserError(
            f"{name}: num_hidden_layers is {config.num_hidden_layers}, but {config.num_layers_per_stack} layers a "
            f"stack x {config.H_cycles} H cycles x ({config.L_cycles} + 1) make {slots}: set it to {slots}."
        )
    return config


def full_horizon(config: HrmTextConfig) -> list[int]:
    """`L_bp_cycles` of the official fine-tuning horizon; [0, 3] for H 2 x L 3."""
    cycles = to_l_bp_cycles(official(config), config)
    assert cycles is not None  # it has every H pass
    return cycles


def check_horizon(config: HrmTextConfig, name: str) -> None:
    """Refuse an `L_bp_cycles` that no official run uses: a stock trainer would follow it without a word.

    Transformers' default [2] pads to [1, 2], for one (relative gradient error 0.27 to bp_steps 5).
    """
    if from_l_bp_cycles(config.L_bp_cycles or [], config) is None:
        raise UserError(
            f"{name}: L_bp_cycles is {config.L_bp_cycles}, which is no official horizon; fine-tuning has "
            f"{full_horizon(config)} (the last {official(config)} stack passes): set it in the checkpoint's config.json."
        )


def check_context(config: HrmTextConfig, max_length: int | None) -> None:
    """Refuse documents longer than the positions the model was made for."""
    if max_length is not None and max_length > config.max_position_embeddings:
        raise UserError(
            f"--max_length is {max_length}, but this model reads {config.max_position_embeddings} tokens: lower it."
        )


def load_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerFast:
    """Load HRM-Text's tokenizer, with the project's chat template where it has none.

    Args:
        name: folder, Hub id, or `tiny`.
        revision: Hub revision.

    Raises:
        UserError: if there is none, or it lacks HRM-Text's control tokens.
    """
    with _explained(name):
        tokenizer = AutoTokenizer.from_pretrained(resolve(name, "tokenizer.json"), revision=revision)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"the tokenizer of {name} is a {type(tokenizer).__name__}: HRM-Text has a tokenizer.json.")
    renderer_of(tokenizer)  # proves that the control tokens are there and that text cannot forge them
    # Types emitted by a tokenizer cannot know where the prompt ends; the mask comes from the tokens.
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.chat_template = tokenizer.chat_template or chat_template(tokenizer)
    return tokenizer


def default_device() -> torch.device:
    """The accelerator of this machine, or else the CPU."""
    return (torch.accelerator.is_available() and torch.accelerator.current_accelerator()) or torch.device("cpu")


def load_model(
    name: str,
    *,
    dtype: str = "float32",
    attn_implementation: str | None = None,
    device: str | torch.device | None = None,
    revision: str | None = None,
    quantization: BitsAndBytesConfig | None = None,
) -> HrmTextForCausalLM:
    """Load an HRM-Text checkpoint under the prefix mask.

    Args:
        name: folder, Hub id, or `tiny`.
        dtype: `float32`, `bfloat16` or `float16`, or `auto` for what the checkpoint is saved in. For training keep
            float32 master weights (bf16 ones lose nine of ten updates at lr 3e-5) and let the trainer autocast.
        attn_implementation: `per_document`, `sdpa`, `eager`, `flex_attention` or `varlen`; None or `auto` for
            `per_document` on a CPU and `sdpa` elsewhere. To compile the whole model into one graph, take `sdpa`.
        device: where to put it; default the CPU, from which a trainer moves it to the accelerator if there is one.
        revision: Hub revision.
        quantization: how the weights are held under an adapter; None for whole ones.

    Returns:
        The model in eval mode, `z_L_init` frozen.

    Raises:
        UserError: absent, foreign or incomplete checkpoint, or an unknown dtype.
    """
    if dtype not in (*DTYPES, AUTO):
        raise UserError(f"unknown dtype {dtype!r}: use one of {', '.join(DTYPES)}, or {AUTO} for the checkpoint's own.")
    config = load_config(name, revision)
    if attn_implementation in (None, AUTO):
        runs_on = torch.device(device) if device is not None else default_device()
        attn_implementation = PER_DOCUMENT if runs_on.type == "cpu" else "sdpa"
    with _explained(name):
        try:
            stored = weights_of(resolve(name), revision or "main")
        except UserError:  # a damaged file, for all of which Transformers' error is explained here
            stored = {}
        model, report = from_pretrained(
            resolve(name),
            revision or "main",
            stored,
            config=config,
            # Loaded in the type, never cast: `.to(bfloat16)` would round the rotary frequencies too.
            dtype=_precision(config, stored) if dtype == AUTO else DTYPES[dtype],
            attn_implementation=attn_implementation,
            **({"quantization_config": quantization} if quantization else {}),
        )
    _check_whole(name, report)
    model.model.z_L_init.requires_grad_(False)
    if not model.model.z_L_init.any():
        logger.warning("%s: z_L_init is all zeros, so its trained start state is missing from the checkpoint", name)
    if device is not None:
        model.to(torch.device(device))  # type: ignore[arg-type]  # wrapped by Transformers without its types
    return model


def _precision(config: HrmTextConfig, stored: dict[str, Stored]) -> torch.dtype:
    """What a checkpoint is saved in, by its config or else by its tensors; float32 where neither says one that is known."""
    for said in (config.dtype, first_dtype(stored)):
        if isinstance(said, torch.dtype) and said in DTYPES.values():
            return said
    return torch.float32


def _check_whole(name: str, report: dict[str, Any]) -> None:
    missing = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    unexpected = sorted(report["unexpected_keys"])
    if missing or unexpected:
        listed = ", ".join((missing + unexpected)[:4])
        raise UserError(
            f"{name}: the weights do not fit the config ({len(missing)} missing or of another shape, "
            f"{len(unexpected)} unexpected: {listed}, ...). The file is incomplete, or num_hidden_layers is wrong."
        )


def load_model_and_tokenizer(
    name: str, *, tokenizer_name: str | None = None, **kwargs: Any
) -> tuple[HrmTextForCausalLM, PreTrainedTokenizerFast]:
    """Load both, made to agree on the tokens that the model's behaviour hangs on.

    Args:
        name: as for `load_model`, which also takes the other keywords.
        tokenizer_name: if the tokenizer lives elsewhere.

    Returns:
        Model and tokenizer; the model's config and generation config name the end, pad and other control tokens.
    """
    # a revision names a state of the model's own repository
    tokenizer = load_tokenizer(tokenizer_name or name, None if tokenizer_name else kwargs.get("revision"))
    model = load_model(name, **kwargs)
    renderer = renderer_of(tokenizer)
    if len(tokenizer) > model.config.vocab_size:
        raise UserError(
            f"the tokenizer of {tokenizer_name or name} has {len(tokenizer)} tokens and the model "
            f"{model.config.vocab_size}: they do not belong together."
        )
    renderer.layout.store(model.config)
    for settings in (model.config, model.generation_config):
        settings.eos_token_id = renderer.response_end_id
        settings.pad_token_id = renderer.pad_id
    return model, tokenizer
