"""The tokenizer of an official training folder: finding it, and proving that it is the one of HRM-Text's layout."""

from __future__ import annotations

from pathlib import Path

from transformers import HrmTextConfig, PreTrainedTokenizerFast

from hrm_align.errors import UserError
from hrm_align.models.official.reader import OfficialCheckpoint, section
from hrm_align.rendering import BOX_END, CONDITION_TOKENS, IM_END, IM_START, PAD, chat_template, renderer_of
from hrm_align.wording import some


def tokenizer_of(checkpoint: OfficialCheckpoint, given: str | None, config: HrmTextConfig) -> PreTrainedTokenizerFast:
    """The tokenizer, with the special tokens and the chat template that its files do not name.

    Args:
        checkpoint: the training folder.
        given: a folder or tokenizer.json to take instead of the one that train_metadata.yaml names.
        config: of the model, for its sizes.

    Raises:
        UserError: if there is none, or it is damaged or that of another layout or model.
    """
    info = section(checkpoint.metadata, "tokenizer_info", checkpoint.folder / "train_metadata.yaml")
    ours = {"boq": IM_START, "eoq": IM_END, "eoa": BOX_END, "condition_mapping": CONDITION_TOKENS}
    other = sorted(key for key, value in ours.items() if info.get(key, value) != value)
    if other:
        raise UserError(
            f"{checkpoint.folder / 'train_metadata.yaml'}: {some(other)} of tokenizer_info are not HRM-Text's own, so "
            "this model was trained on another layout, which hrm_align does not render."
        )
    path = _tokenizer_file(checkpoint, given, info.get("tokenizer_path"))
    try:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path), model_max_length=config.max_position_embeddings)
    except Exception as error:  # the Rust library raises bare Exceptions
        raise UserError(f"{path} is damaged ({str(error)[:120]}): copy it again.") from None
    renderer_of(tokenizer)  # proves that the control tokens are there and that text cannot forge them
    if len(tokenizer) > config.vocab_size or PAD not in tokenizer.get_vocab():
        raise UserError(f"{path} does not belong to this checkpoint: name the right one with --tokenizer.")
    tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token = IM_START, BOX_END, PAD
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.chat_template = chat_template(tokenizer)
    return tokenizer


def _tokenizer_file(checkpoint: OfficialCheckpoint, given: str | None, recorded: str | None) -> Path:
    candidates = [Path(str(place)).expanduser() for place in [given or recorded] if place]
    if not given:  # a copied folder: the recorded path was another machine's
        candidates += [checkpoint.folder / path.name for path in candidates] + [checkpoint.folder / "tokenizer"]
    for path in candidates:
        file = path / "tokenizer.json" if path.is_dir() else path
        if file.is_file():
            return file
    asked = given or recorded or "nowhere"
    raise UserError(f"there is no tokenizer at {asked}: name its folder or tokenizer.json with --tokenizer.")
