"""The model that a run begins with: a checkpoint, with a fresh adapter around it if the recipe asks for one."""

from __future__ import annotations

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.config.arguments import LoraArguments, ModelArguments
from hrm_align.models.loading import check_context, load_model_and_tokenizer
from hrm_align.models.lora import add_adapter, quantization


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
