"""Loading of checkpoints and tokenizers, with checks: architecture, complete weights, config sizes, gradient horizon.

model, tokenizer = load_model_and_tokenizer("tiny")
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BitsAndBytesConfig,
    HrmTextConfig,
    HrmTextForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.activations import ACT2FN

from hrm_align.errors import UserError
from hrm_align.models.attention import PER_DOCUMENT
from hrm_align.models.checkpoint_format import Stored
from hrm_align.models.recurrence import from_l_bp_cycles, official, to_l_bp_cycles
from hrm_align.models.weight_files import check_whole, first_dtype, from_pretrained, locate_weights
from hrm_align.rendering import PAD, current_template, get_renderer

if TYPE_CHECKING:
    from peft import PeftModel

logger = logging.getLogger(__name__)

TINY = "tiny"  # the embedded base
HUB_ID = "sapientinc/HRM-Text-1B"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
AUTO = "auto"  # as a dtype: the checkpoint's own; as an attention: the fastest on the device


def resolve(name: str, needed: str = "config.json") -> str:
    """Resolve a model name to a folder or a Hub id; `tiny` is the base that ships with the package.

    Args:
        name: folder, Hub id, or `tiny`.
        needed: file that a folder must contain.

    Raises:
        UserError: if the name is a path without a folder, or a folder without the file.
    """
    if not name.strip():
        raise UserError(f"the model's name is empty. Use a folder, a Hub id such as {HUB_ID}, or {TINY!r}.")
    if name == TINY:
        return str(files("hrm_align.models").joinpath("tiny"))
    path = Path(name).expanduser()
    if path.is_file():
        raise UserError(f"{name} is a file, not the folder of a model. Name the folder, a Hub id, or {TINY!r}.")
    if path.exists():
        if (path / "adapter_config.json").exists():
            raise UserError(
                f"{name} is an adapter, and a whole checkpoint is needed. Merge the adapter into its base (`hrm-align adapters "
                f"merge {name} --to DIR`), or name the base."
            )
        if not (path / needed).exists():
            raise UserError(f"the folder {name} has no {needed}. {_suggest_checkpoints(path)}")
        return str(path)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*")], n=1)
        hint = f" Did you mean {path.parent / near[0]}?" if near else ""
        raise UserError(f"there is no model at {name}.{hint} Use a folder, a Hub id such as {HUB_ID}, or {TINY!r}.")
    return name


def _suggest_checkpoints(path: Path) -> str:
    names = sorted(child.parent.name for child in path.glob("*/config.json"))
    return f"It contains {', '.join(names)}; name one of these." if names else "Name the folder of a saved model."


# What Transformers raises for a missing, damaged or foreign checkpoint. On the JSON files of a checkpoint it runs unchecked code,
# which raises whatever a wrong type or size leads to; there, every error is one of the files.
_REFUSALS = (OSError, SafetensorError, ValueError, KeyError, TypeError)


@contextmanager
def _explain_errors(name: str, raised: tuple[type[Exception], ...] = (Exception,)) -> Iterator[None]:
    """Raise UserError for what Transformers raises on a missing, damaged or foreign checkpoint."""
    try:
        yield
    except UserError:
        raise
    except raised as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        if name == TINY or Path(name).expanduser().exists():
            raise UserError(
                f"{name} cannot be loaded: one of its files is missing, damaged, or belongs to another kind of model "
                f"({reason}). Copy the folder again, or name another checkpoint."
            ) from error
        raise UserError(
            f"cannot load {name}: there is no such folder, and the Hub does not deliver it ({reason}). Check the name, the "
            "network, and your access (`hf auth login`)."
        ) from error


def load_config(name: str, revision: str | None = None) -> HrmTextConfig:
    """Read and check a checkpoint's config.

    Args:
        name: folder, Hub id, or `tiny`.
        revision: Hub revision.

    Raises:
        UserError: for another architecture, or a config that would load as a different model than was trained.
    """
    with _explain_errors(name):
        try:
            config = AutoConfig.from_pretrained(resolve(name), revision=revision or "main")
        except (ValueError, KeyError) as error:
            raise UserError(
                f"{name} is no HRM-Text ({str(error).splitlines()[0][:160]}). Name an hrm_text checkpoint, such as {HUB_ID}."
            ) from error
    if not isinstance(config, HrmTextConfig):
        raise UserError(
            f"{name} is a {config.model_type!r} model, no HRM-Text. Name an hrm_text checkpoint, such as {HUB_ID}."
        )
    if getattr(config, "quantization_config", None) is not None:
        raise UserError(
            f"{name} is quantised, and quantised weights can be neither trained nor merged into. Name the unquantised "
            "checkpoint (load_in_4bit: true trains an adapter on it)."
        )
    if getattr(config, "L_bp_steps", None) is not None:
        raise UserError(
            f"{name}: its config.json has `L_bp_steps`, which the official exporter writes and Transformers ignores. "
            f"Replace `L_bp_steps` by `L_bp_cycles`: {full_horizon(config)}, and check that num_hidden_layers is the number "
            "of layers in one stack."
        )
    _check_sizes(config, name)
    assert config.num_layers_per_stack is not None and config.L_bp_cycles is not None  # set by the config itself
    slots = config.num_layers_per_stack * config.H_cycles * (config.L_cycles + 1)
    if config.num_hidden_layers != slots:
        raise UserError(
            f"invalid value for num_hidden_layers: {config.num_hidden_layers} ({name}). {config.num_layers_per_stack} layers "
            f"a stack x {config.H_cycles} H cycles x ({config.L_cycles} + 1) make {slots}: set it to {slots}."
        )
    return config


_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "num_layers_per_stack",
    "H_cycles",
    "L_cycles",
    "max_position_embeddings",
)


def _check_sizes(config: HrmTextConfig, name: str) -> None:
    """Check the values of a config that Transformers accepts although no model has them. Raises UserError for the first one."""

    def refuse(key: str, need: str) -> None:
        raise UserError(
            f"invalid value for {key}: {getattr(config, key)!r} ({name}, config.json). {need}, or copy config.json again."
        )

    for key in _SIZES:
        size = getattr(config, key, None)
        if size is not None and size < 1:
            refuse(key, "Use the size that the weights have, 1 or more")
    if not isinstance(config.hidden_act, str) or config.hidden_act not in ACT2FN:
        refuse("hidden_act", "Use an activation of Transformers, such as silu")
    dropout = config.attention_dropout
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        refuse("attention_dropout", "Use a number from 0 to below 1, such as 0.0")
    if isinstance(config.pad_token_id, int) and config.pad_token_id >= config.vocab_size:
        refuse("pad_token_id", f"Use the id of a token below vocab_size {config.vocab_size}")


def full_horizon(config: HrmTextConfig) -> list[int]:
    """Return `L_bp_cycles` of the official fine-tuning horizon; [0, 3] for H 2 x L 3."""
    cycles = to_l_bp_cycles(official(config), config)
    assert cycles is not None  # the official horizon has every H pass
    return cycles


def check_horizon(model: PreTrainedModel | PeftModel) -> None:
    """Check that `L_bp_cycles` of a model is an official horizon; stock trainers silently follow any other.

    Example: Transformers' default [2] is padded to [1, 2] (relative gradient error 0.27 to bp_steps 5).

    Raises:
        UserError: if the value is no official horizon.
    """
    config = model.config
    assert isinstance(config, HrmTextConfig)
    if from_l_bp_cycles(config.L_bp_cycles or [], config) is None:
        name = config._name_or_path or "the model"
        raise UserError(
            f"invalid value for L_bp_cycles: {config.L_bp_cycles} ({name}) is no official horizon. Set L_bp_cycles to "
            f"{full_horizon(config)} (fine-tuning: the last {official(config)} stack passes) in the checkpoint's config.json."
        )


def check_context(config: HrmTextConfig, max_length: int | None) -> None:
    """Check that documents of `max_length` tokens fit the model's positions. Raises UserError if they do not."""
    if max_length is not None and max_length > config.max_position_embeddings:
        raise UserError(
            f"invalid value for --max_length: {max_length}. Use at most {config.max_position_embeddings}, the positions of "
            "the model."
        )


def load_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerFast:
    """Load HRM-Text's tokenizer; a tokenizer without a chat template gets hrm_align's, and any gets its pad token.

    Args:
        name: folder, Hub id, or `tiny`.
        revision: Hub revision.

    Raises:
        UserError: if there is no tokenizer, or the tokenizer lacks HRM-Text's control tokens.
    """
    with _explain_errors(name):
        tokenizer = AutoTokenizer.from_pretrained(resolve(name, "tokenizer.json"), revision=revision)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(
            f"the tokenizer of {name} is a {type(tokenizer).__name__}, not a fast tokenizer. Add the tokenizer.json that was "
            "published with the model."
        )
    get_renderer(tokenizer)  # raises if a control token is missing or can be produced by text
    # No token types: a tokenizer cannot know where the prompt ends, and the mask is computed from the tokens.
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.chat_template = current_template(tokenizer)
    if (
        PAD in tokenizer.get_vocab()
    ):  # with the end token as pad token, stock trainers would mask the end of each answer
        tokenizer.pad_token = PAD
    return tokenizer


def default_device() -> torch.device:
    """Return this machine's accelerator, or the CPU if it has none."""
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
        dtype: `float32`, `bfloat16` or `float16`, or `auto` for the dtype of the checkpoint. For training keep float32
            master weights (bf16 weights lose nine of ten updates at lr 3e-5) and let the trainer autocast.
        attn_implementation: `per_document`, `sdpa`, `eager`, `flex_attention` or `varlen`; None or `auto` for
            `per_document` on a CPU and `sdpa` elsewhere. To compile the whole model into one graph, use `sdpa`.
        device: device of the model; default the CPU, from which a trainer moves the model to the accelerator if there
            is one.
        revision: Hub revision.
        quantization: quantization of the weights under an adapter; None for unquantised weights.

    Returns:
        The model in eval mode, `z_L_init` frozen.

    Raises:
        UserError: for a missing, foreign or incomplete checkpoint, or an unknown dtype.
    """
    config = load_config(name, revision)
    return load_as(HrmTextForCausalLM, name, config, dtype, attn_implementation, device, revision, quantization)[0]


def load_as(
    model_class: type[Any],
    name: str,
    config: HrmTextConfig,
    dtype: str = "float32",
    attn_implementation: str | None = None,
    device: str | torch.device | None = None,
    revision: str | None = None,
    quantization: BitsAndBytesConfig | None = None,
    may_lack: Collection[str] = (),
) -> tuple[Any, set[str]]:
    """Load a checkpoint as a model of a class; the other arguments and errors are those of `load_model`.

    Args:
        model_class: the causal LM or the reward model.
        config: config of the checkpoint, from `load_config`.
        may_lack: names of tensors that the checkpoint may lack.

    Returns:
        The model, and those of `may_lack` that the checkpoint lacks.
    """
    if dtype not in (*DTYPES, AUTO):
        raise UserError(f"unknown dtype {dtype!r}. Use one of {', '.join(DTYPES)}, or {AUTO} for the checkpoint's own.")
    if attn_implementation in (None, AUTO):
        runs_on = torch.device(device) if device is not None else default_device()
        attn_implementation = PER_DOCUMENT if runs_on.type == "cpu" else "sdpa"
    with _explain_errors(name, _REFUSALS):
        try:
            stored = locate_weights(resolve(name), revision or "main")
        except UserError:  # a damaged file: Transformers raises below, and `_explain_errors` explains the error
            stored = {}
        model, report = from_pretrained(
            model_class,
            resolve(name),
            revision or "main",
            stored,
            config=config,
            # Loaded in this dtype instead of cast later: `.to(bfloat16)` would round the rotary frequencies too.
            dtype=_saved_dtype(config, stored) if dtype == AUTO else DTYPES[dtype],
            attn_implementation=attn_implementation,
            ignore_mismatched_sizes=True,  # reported by `check_whole`
            **({"quantization_config": quantization} if quantization else {}),
        )
    lacks = check_whole(name, report, may_lack)
    model.model.z_L_init.requires_grad_(False)
    if not model.model.z_L_init.any():
        logger.warning(
            "%s: z_L_init is all zeros, so the checkpoint has lost its trained start state: copy model.z_L_init from the "
            "checkpoint that it was trained from",
            name,
        )
    if device is not None:
        model.to(torch.device(device))
    return model, lacks


def _saved_dtype(config: HrmTextConfig, stored: dict[str, Stored]) -> torch.dtype:
    """Return a checkpoint's dtype by its config, or else by its tensors; float32 if neither has a supported dtype."""
    for candidate in (config.dtype, first_dtype(stored)):
        if isinstance(candidate, torch.dtype) and candidate in DTYPES.values():
            return candidate
    return torch.float32


def load_model_and_tokenizer(
    name: str, *, tokenizer_name: str | None = None, **kwargs: Any
) -> tuple[HrmTextForCausalLM, PreTrainedTokenizerFast]:
    """Load a model and its tokenizer, and set the tokenizer's control tokens in the model's configs.

    Args:
        name: folder, Hub id, or `tiny`.
        tokenizer_name: folder or Hub id of the tokenizer, if it is not that of the model.
        kwargs: further keywords of `load_model`.

    Returns:
        Model and tokenizer. The model's config and generation config have the ids of the end, pad and other control
        tokens.

    Raises:
        UserError: as in `load_model` and `load_tokenizer`, or if the tokenizer has more tokens than the model.
    """
    # A revision belongs to the model's repository, and not to that of another tokenizer.
    tokenizer = load_tokenizer(tokenizer_name or name, None if tokenizer_name else kwargs.get("revision"))
    model = load_model(name, **kwargs)
    store_control_tokens(model, tokenizer, tokenizer_name or name)
    return model, tokenizer


def store_control_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    """Set the ids of a tokenizer's end, pad and other control tokens in a model's configs.

    Raises:
        UserError: if the tokenizer, which `name` names, has more tokens than the model.
    """
    renderer, config = get_renderer(tokenizer), cast(HrmTextConfig, model.config)
    if len(tokenizer) > config.vocab_size:
        raise UserError(
            f"the tokenizer of {name} has {len(tokenizer)} tokens and the model {config.vocab_size}, so they do not belong "
            "together. Use the tokenizer that was published with the model."
        )
    renderer.layout.store(config)
    for settings in filter(None, (config, getattr(model, "generation_config", None))):
        settings.eos_token_id = renderer.response_end_id
        settings.pad_token_id = renderer.pad_id
