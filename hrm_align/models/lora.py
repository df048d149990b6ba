"""Adapters that know the recurrence: LoRA on modules by preset, its scale divided by how often a module runs.

A layer of the L stack runs 6 times in a forward and one of the H stack twice, so that one delta acts again and again.
`per_application` divides the alpha of each module by its number of applications; PEFT's `alpha_pattern` carries it, so
that a stock `PeftModel` loads the adapter as it was trained. Everything else is PEFT's own.

`load_trainable` loads the model that a run begins with: a checkpoint, with a fresh adapter where the recipe has one.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import BitsAndBytesConfig, HrmTextForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.config.arguments import LoraArguments, ModelArguments
from hrm_align.errors import UserError
from hrm_align.models.adapter_record import remember_base
from hrm_align.models.layers import HEAD, applications, linear_layers
from hrm_align.models.loading import DTYPES, check_context, load_model_and_tokenizer
from hrm_align.rendering import renderer_of

logger = logging.getLogger(__name__)


def quantization(args: ModelArguments) -> BitsAndBytesConfig | None:
    """How the base is held for QLoRA, or None.

    Raises:
        UserError: where it cannot be.
    """
    if not (args.load_in_4bit or args.load_in_8bit):
        return None
    if importlib.util.find_spec("bitsandbytes") is None or not torch.cuda.is_available():
        raise UserError(
            "load_in_4bit and load_in_8bit need bitsandbytes and a GPU: `pip install bitsandbytes` on a machine that has "
            "one, or leave them out; a base in --dtype bfloat16 takes 2.4 GB."
        )
    if args.load_in_8bit:
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=[HEAD])
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=[HEAD],
    )


def lora_config(model: HrmTextForCausalLM, args: LoraArguments, tokens: Sequence[int] = ()) -> LoraConfig:
    """PEFT's config for what a recipe asks.

    Args:
        model: the base.
        args: the recipe's keys.
        tokens: ids whose embedding and output rows are trained too.

    Raises:
        UserError: for a module that is not there, or options that exclude each other.
    """
    layers = linear_layers(model, args.lora_target_modules)
    alpha = float(args.lora_r if args.lora_alpha is None else args.lora_alpha)
    if args.use_dora and HEAD in layers:
        raise UserError("use_dora cannot adapt the head: leave `head` and `all` out of lora_target_modules.")
    if tokens and HEAD in layers:
        raise UserError("trainable_tokens and an adapter of the head exclude each other: leave one of them out.")
    pattern = {}
    if args.lora_scaling == LoraArguments.PER_APPLICATION:
        pattern = {re.escape(name): alpha / applications(name, model.config) for name in layers}
    return LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=args.lora_r,
        lora_alpha=alpha,  # type: ignore[arg-type]  # PEFT divides it; a float is right
        alpha_pattern=pattern,
        target_modules=layers,
        lora_dropout=args.lora_dropout,
        use_rslora=args.use_rslora,
        use_dora=args.use_dora,
        init_lora_weights=True if args.init_lora_weights == "true" else args.init_lora_weights,  # type: ignore[arg-type]
        trainable_token_indices={"embed_tokens": [*tokens], HEAD: [*tokens]} if tokens else None,
    )


def add_adapter(
    model: HrmTextForCausalLM, tokenizer: PreTrainedTokenizerFast, name: str, args: LoraArguments
) -> PeftModel:
    """Freeze the base and put a new adapter around it.

    Args:
        model: the base; `z_L_init` stays frozen, as all of it.
        tokenizer: its tokenizer, for `trainable_tokens`.
        name: of the base, for those who load the adapter.
        args: the recipe's keys.

    Raises:
        UserError: as `lora_config`; for a token that is not there.
    """
    config = lora_config(model, args, [_token_id(tokenizer, token) for token in args.trainable_tokens])
    remember_base(model, name)  # before PiSSA and OLoRA change it
    adapted = get_peft_model(model, config, autocast_adapter_dtype=False)
    config.base_model_name_or_path = name  # PEFT writes the folder that `tiny` stands for on this machine
    _save_the_adapter_alone(adapted)
    for weight in adapted.parameters():
        if weight.requires_grad:
            weight.data = weight.data.to(DTYPES[args.lora_dtype])
    return adapted


def _save_the_adapter_alone(adapted: Any) -> None:
    """Keep PEFT from saving more.

    With an adapted head it would write the whole head too, 200 MB for the 1B model, all of it the base's; and its card is
    an empty form.
    """
    adapted.save_pretrained = partial(adapted.save_pretrained, save_embedding_layers=False)
    adapted.create_or_update_model_card = lambda folder: None


def _token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    found: int | None = tokenizer.get_vocab().get(token)
    if found is None:
        raise UserError(
            f"trainable_tokens: {token!r} is no token of this tokenizer. Name one that it has, such as <think>, or add "
            "it to the tokenizer and the model first (`tokenizer.add_tokens`, `model.resize_token_embeddings`)."
        )
    if found == renderer_of(tokenizer).pad_id:
        raise UserError(f"trainable_tokens: {token!r} is the padding token, which gets no gradient: name another.")
    return found


def load_trainable(
    args: ModelArguments, lora: LoraArguments, max_length: int | None = None
) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerFast]:
    """The model to train and its tokenizer.

    Args:
        args: what is trained.
        lora: the adapter, if `use_peft` is set.
        max_length: of the documents, in tokens.

    Raises:
        UserError: as `load_model` and `add_adapter`, or for documents longer than the model reads.
    """
    name = str(args.model_name_or_path)
    model, tokenizer = load_model_and_tokenizer(
        name,
        tokenizer_name=args.tokenizer_name_or_path,
        dtype=args.dtype,
        attn_implementation=args.attn_implementation,
        revision=args.model_revision,
        quantization=quantization(args),
    )
    check_context(model.config, max_length)
    return (add_adapter(model, tokenizer, name, lora) if lora.use_peft else model), tokenizer


def parameters_told(model: PreTrainedModel | PeftModel) -> str | None:
    """The size of an adapter in a sentence; None without one."""
    if not isinstance(model, PeftModel):
        return None
    weights = list(model.parameters())
    whole = sum(weight.numel() for weight in weights)
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    return f"adapter: {trained:,} trained parameters, {100 * trained / (whole - trained):.2f} % of the base"
