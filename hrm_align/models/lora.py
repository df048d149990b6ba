"""LoRA adapters for recurrent stacks: target modules by preset, and a scale divided by the number of a module's applications.

A layer of the L stack runs 6 times per forward and a layer of the H stack twice, so that the same delta is applied
repeatedly. `per_application` divides the alpha of each module by its number of applications. PEFT's `alpha_pattern`
stores the result, so that a stock `PeftModel` loads the adapter with the trained scale. Everything else is PEFT's own.

`load_trainable` loads the model of a run: a checkpoint, with a new adapter if the recipe has one.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from accelerate import PartialState
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import BitsAndBytesConfig, HrmTextForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.config.arguments import LoraArguments, ModelArguments
from hrm_align.errors import UserError
from hrm_align.models.adapter_record import remember_base
from hrm_align.models.layers import HEAD, applications, linear_layers
from hrm_align.models.loading import DTYPES, check_context, load_model_and_tokenizer
from hrm_align.models.reward_model import SCORE, HrmTextForSequenceClassification
from hrm_align.models.stock_generation import warn_about_files
from hrm_align.progress import stage
from hrm_align.rendering import get_renderer

logger = logging.getLogger(__name__)


def quantization(args: ModelArguments) -> BitsAndBytesConfig | None:
    """Return the quantization of the base for QLoRA, or None if the recipe has none.

    Raises:
        UserError: if bitsandbytes or a GPU is missing.
    """
    if not (args.load_in_4bit or args.load_in_8bit):
        return None
    if importlib.util.find_spec("bitsandbytes") is None or not torch.cuda.is_available():
        raise UserError(
            "load_in_4bit and load_in_8bit need bitsandbytes and a GPU. Use `pip install bitsandbytes` on a machine with a "
            "GPU, or leave both settings out; a base in --dtype bfloat16 takes 2.4 GB."
        )
    if args.load_in_8bit:
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=[HEAD, SCORE])
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=[HEAD, SCORE],
    )


def lora_config(
    model: HrmTextForCausalLM | HrmTextForSequenceClassification, args: LoraArguments, tokens: Sequence[int] = ()
) -> LoraConfig:
    """Build PEFT's config from a recipe's adapter settings. The score head of a reward model is trained and saved whole.

    Args:
        model: the base.
        args: the recipe's adapter settings.
        tokens: token ids whose embedding and output rows are trained too.

    Raises:
        UserError: for an unknown module, or settings that exclude each other.
    """
    layers = linear_layers(model, args.lora_target_modules)
    scores = isinstance(model, HrmTextForSequenceClassification)
    if SCORE in layers:
        raise UserError(
            "the score head of a reward model is trained whole, beside the adapter. Leave `head` and `all` out of "
            "lora_target_modules."
        )
    _check_rank(model, layers, args.lora_r)
    alpha = float(args.lora_r if args.lora_alpha is None else args.lora_alpha)
    if args.use_dora and HEAD in layers:
        raise UserError("use_dora cannot adapt the head. Leave `head` and `all` out of lora_target_modules.")
    if tokens and HEAD in layers:
        raise UserError(
            "trainable_tokens and an adapter of the head exclude each other. Leave trainable_tokens out, or `head` and `all` "
            "out of lora_target_modules."
        )
    tables = ("embed_tokens",) if scores else ("embed_tokens", HEAD)
    pattern = {}
    if args.lora_scaling == LoraArguments.PER_APPLICATION:
        pattern = {re.escape(name): alpha / applications(name, model.config) for name in layers}
    return LoraConfig(
        task_type=TaskType.SEQ_CLS if scores else TaskType.CAUSAL_LM,  # for SEQ_CLS PEFT trains and saves `score` too
        r=args.lora_r,
        lora_alpha=alpha,  # type: ignore[arg-type]  # PEFT only divides alpha, so a float works
        alpha_pattern=pattern,
        target_modules=layers,
        lora_dropout=args.lora_dropout,
        use_rslora=args.use_rslora,
        use_dora=args.use_dora,
        init_lora_weights=True if args.init_lora_weights == "true" else args.init_lora_weights,  # type: ignore[arg-type]
        trainable_token_indices={table: [*tokens] for table in tables} if tokens else None,
    )


def _check_rank(model: nn.Module, layers: Sequence[str], rank: int) -> None:
    """Check that a rank is not above that of every adapted layer, where an adapter is larger than the layer itself."""
    modules: list[Any] = [model.get_submodule(name) for name in layers]
    largest = max((min(module.in_features, module.out_features) for module in modules), default=rank)
    if rank > largest:
        raise UserError(
            f"invalid value for lora_r: {rank}. The adapted layers have a rank of {largest} at most, so more trains nothing more: "
            f"use {largest} or less, or leave use_peft out to train the layers themselves."
        )


def add_adapter(
    model: HrmTextForCausalLM | HrmTextForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    name: str,
    args: LoraArguments,
) -> PeftModel:
    """Freeze the base and add a new adapter.

    Args:
        model: the base; all its weights are frozen, `z_L_init` included.
        tokenizer: the base's tokenizer, for `trainable_tokens`.
        name: name of the base, which is saved with the adapter.
        args: the recipe's adapter settings.

    Raises:
        UserError: as in `lora_config`, or for an unknown token in `trainable_tokens`.
    """
    config = lora_config(model, args, [_token_id(tokenizer, token) for token in args.trainable_tokens])
    remember_base(model, name)  # before PiSSA and OLoRA change the base's weights
    adapted = get_peft_model(model, config, autocast_adapter_dtype=False)
    config.base_model_name_or_path = name  # PEFT has set the folder on this machine instead of the name `tiny`
    _save_only_the_adapter(adapted)
    for weight in adapted.parameters():
        if weight.requires_grad:
            weight.data = weight.data.to(DTYPES[args.lora_dtype])
    return adapted


def _save_only_the_adapter(adapted: Any) -> None:
    """Keep PEFT from saving the base's head and a model card.

    With an adapted head, PEFT would also save the base's whole head (200 MB for the 1B model). Its model card has no
    content.
    """
    adapted.save_pretrained = partial(adapted.save_pretrained, save_embedding_layers=False)
    adapted.create_or_update_model_card = lambda folder: None


def _token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    id: int | None = tokenizer.get_vocab().get(token)
    if id is None:
        raise UserError(
            f"invalid value for trainable_tokens: {token!r} is no token of this tokenizer. Use an existing token, such as "
            "<think>, or add the token to the tokenizer and the model first (`tokenizer.add_tokens`, "
            "`model.resize_token_embeddings`)."
        )
    if id == get_renderer(tokenizer).pad_id:
        raise UserError(
            f"invalid value for trainable_tokens: {token!r} is the padding token, which gets no gradient. Use another token."
        )
    return id


def load_trainable(
    args: ModelArguments,
    lora: LoraArguments,
    max_length: int | None = None,
    load: Callable[..., tuple[Any, PreTrainedTokenizerFast]] = load_model_and_tokenizer,
) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerFast]:
    """Load the model to train, with a new adapter if `use_peft` is set, and its tokenizer.

    Args:
        args: the recipe's model settings.
        lora: the recipe's adapter settings.
        max_length: longest document, in tokens.
        load: loads model and tokenizer; `load_reward_model_and_tokenizer` for a reward model.

    Raises:
        UserError: as in `load_model` and `add_adapter`, or if `max_length` exceeds the model's positions.
    """
    name = str(args.model_name_or_path)
    with stage(f"loading the model {name}"):
        model, tokenizer = load(
            name,
            tokenizer_name=args.tokenizer_name_or_path,
            dtype=args.dtype,
            attn_implementation=args.attn_implementation,
            revision=args.model_revision,
            quantization=quantization(args),
        )
    check_context(model.config, max_length)
    if PartialState().is_main_process:
        warn_about_files(name, args.tokenizer_name_or_path or name, tokenizer, model.config, args.model_revision)
    return (add_adapter(model, tokenizer, name, lora) if lora.use_peft else model), tokenizer


def describe_parameters(model: PreTrainedModel | PeftModel) -> str | None:
    """Return a log line with the size of the model's adapter; None for a model without an adapter."""
    if not isinstance(model, PeftModel):
        return None
    weights = list(model.parameters())
    whole = sum(weight.numel() for weight in weights)
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    return f"adapter: {trained:,} trained parameters, {100 * trained / (whole - trained):.2f} % of the base"
