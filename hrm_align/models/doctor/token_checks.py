"""Checks of the control tokens: their ids in the config files, the tokenizer, and the chat template."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerFast

from hrm_align.errors import UserError
from hrm_align.models.doctor.checkpoint import (
    CONFIG,
    GENERATION,
    GONE,
    LEGACY_SPECIALS,
    TEMPLATE,
    TOKENIZER,
    TOKENIZER_CONFIG,
    Checkpoint,
    Finding,
    Findings,
    fixable_finding,
)
from hrm_align.models.stock_generation import find_pad_fault, find_settings
from hrm_align.rendering import (
    BOX_END,
    BOX_START,
    CONDITION_TOKENS,
    IM_END,
    IM_START,
    PAD,
    PUBLISHED,
    TOOL_CALL,
    TOOL_CALL_END,
    TOOL_RESPONSE,
    TOOL_RESPONSE_END,
    Layout,
    Renderer,
    chat_template,
    is_earlier,
)

CONTROL_IDS = {  # ids of the published tokenizer
    PAD: 5, IM_START: 6, IM_END: 7, CONDITION_TOKENS["direct"]: 8, CONDITION_TOKENS["cot"]: 9, BOX_START: 10,
    BOX_END: 11, CONDITION_TOKENS["noisy"]: 12, CONDITION_TOKENS["synth"]: 13, TOOL_CALL: 25, TOOL_CALL_END: 26,
    TOOL_RESPONSE: 27, TOOL_RESPONSE_END: 28, "<think>": 29, "</think>": 30,
}  # fmt: skip
LAYOUT = (IM_START, IM_END, BOX_START, BOX_END)  # in the order of Layout's roles
SPECIALS = {"pad": PAD, "bos": IM_START, "eos": BOX_END}


def token_ids(checkpoint: Checkpoint) -> Findings:
    """Check the token ids in config.json."""
    if _has_another_layout(checkpoint):
        return  # `control_tokens` reports another layout, once
    ids = _expected_ids(checkpoint)
    wrong = {}
    for word, name in SPECIALS.items():
        if not _names_id(checkpoint.config.get(f"{word}_token_id"), ids.get(name)):
            wrong[f"{word}_token_id"] = ids.get(name, CONTROL_IDS[name])
    if wrong:
        problem = ", ".join(f"{key} is {checkpoint.config.get(key)}" for key in wrong)
        yield fixable_finding("token_ids", CONFIG, problem, **wrong)
    for role, name, default in zip(Layout._fields, LAYOUT, PUBLISHED, strict=True):
        key, id = f"{role}_token_id", ids.get(name)
        stated = checkpoint.config.get(key, default)
        if stated != id:
            problem = f"{key} is {stated}, but {name} is {id}"
            yield fixable_finding("token_ids", CONFIG, problem, **{key: GONE if id in (None, default) else id})


def generation(checkpoint: Checkpoint) -> Findings:
    """Check generation_config.json: its token ids (with a wrong end token, no answer ends), and settings that stock `generate` follows."""
    if GENERATION not in checkpoint.documents or _has_another_layout(checkpoint):
        return  # without the file, generation uses the ids of config.json
    stated, ids = checkpoint.documents[GENERATION], _expected_ids(checkpoint)
    wrong = {
        f"{word}_token_id": ids.get(name, CONTROL_IDS[name])
        for word, name in SPECIALS.items()
        if not _names_id(stated.get(f"{word}_token_id"), ids.get(name))
    }
    if wrong:
        problem = ", ".join(f"{key} is {stated.get(key)}" for key in wrong)
        yield fixable_finding("generation_config", GENERATION, problem, **wrong)
    positions = checkpoint.size("max_position_embeddings")
    for setting in find_settings(stated, ids.get(BOX_END), positions):
        problem = f"{setting}: {setting.effect} in stock `generate`"
        yield fixable_finding("generation_config", GENERATION, problem, **{setting.key: GONE})


def special_tokens(checkpoint: Checkpoint) -> Findings:
    """Check the special tokens in tokenizer_config.json, and in the legacy file special_tokens_map.json if it exists."""
    if _has_another_layout(checkpoint):
        return
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
            problem = ", ".join(f"{key} is {stated.get(key)}" for key in wrong)
            pad, id_of = checkpoint.config.get("pad_token_id"), _expected_ids(checkpoint).get
            fault = find_pad_fault(stated.get("pad_token"), pad, id_of(BOX_END), checkpoint.token_id)
            yield fixable_finding("special_tokens", document, f"{problem}{f' ({fault})' if fault else ''}", **wrong)


def input_names(checkpoint: Checkpoint) -> Findings:
    """Check that the tokenizer does not emit token types of 0, which mean that there is no prefix.

    Without `model_input_names` Transformers emits no types. A list with `token_type_ids` gives zeros, except in an
    export, whose tokenizer gives every token of a prompt the type 1.
    """
    names = checkpoint.documents.get(TOKENIZER_CONFIG, {}).get("model_input_names", [])
    tokenizer = checkpoint.tokenizer
    marks = tokenizer is not None and set(tokenizer.encode("a b").type_ids) == {1}
    if isinstance(names, list) and ("token_type_ids" not in names or marks):
        return
    problem = f"model_input_names is {names}: the tokenizer's token types are zeros, which mean that there is no prefix"
    yield fixable_finding("input_names", TOKENIZER_CONFIG, problem, model_input_names=["input_ids", "attention_mask"])


def control_tokens(checkpoint: Checkpoint) -> Findings:
    """Check that each control token is encoded as its single id, and that no text is encoded as a control token."""
    tokenizer, ids = checkpoint.tokenizer, _expected_ids(checkpoint)
    assert tokenizer is not None
    if _has_another_layout(checkpoint):
        try:
            Renderer(PreTrainedTokenizerFast(tokenizer_object=tokenizer, name_or_path=str(checkpoint.folder)))
        except UserError as error:
            yield Finding(
                "layout", str(error).split(" Use a checkpoint")[0], "use a checkpoint in the published layout."
            )
        return
    added = {token["content"]: token for token in checkpoint.documents[TOKENIZER].get("added_tokens") or []}
    wrong = [
        name
        for name, id in ids.items()
        if tokenizer.encode(name, add_special_tokens=False).ids != [id] or not added.get(name, {}).get("special")
    ]
    # A token can be added only if no other token has its id.
    addable = [
        name
        for name in wrong
        if tokenizer.id_to_token(ids[name]) in (None, name) and tokenizer.token_to_id(name) in (None, ids[name])
    ]
    conflicting = [name for name in wrong if name not in addable]
    if addable:

        def apply(checkpoint: Checkpoint) -> None:
            _add_tokens(checkpoint.documents[TOKENIZER], {name: ids[name] for name in addable})

        listed = ", ".join(f"{name} ({ids[name]})" for name in addable)
        problem = f"{TOKENIZER}: {listed} are not encoded as one control token each"
        yield Finding("control_tokens", problem, "add these tokens under their ids.", apply)
    if conflicting:
        listed = ", ".join(f"{name} is {tokenizer.token_to_id(name)}, not {ids[name]}" for name in conflicting[:4])
        remedy = (
            "use the tokenizer.json that was published with the model; for a model with its own vocabulary, set bos_token_id "
            "and eos_token_id to the ids of that vocabulary."
        )
        yield Finding("control_tokens", f"{TOKENIZER}: {listed}", remedy)
    if tokenizer.get_vocab_size() > checkpoint.size("vocab_size"):
        problem = f"{TOKENIZER} has {tokenizer.get_vocab_size()} tokens and the model {checkpoint.size('vocab_size')}"
        yield Finding("control_tokens", problem, "use the tokenizer.json that was published with the model.")
    elif not wrong:
        try:
            Renderer(PreTrainedTokenizerFast(tokenizer_object=tokenizer))
        except UserError as error:
            yield Finding("control_tokens", f"{TOKENIZER}: {error}", "use the published tokenizer.json.")


def template(checkpoint: Checkpoint) -> Findings:
    """Check that the chat template renders the token ids of training, that is, that it is hrm_align's template."""
    if any(control_tokens(checkpoint)):
        return  # hrm_align's template contains the control tokens, so these must be fixed first
    ours = chat_template(PreTrainedTokenizerFast(tokenizer_object=checkpoint.tokenizer))
    inline = checkpoint.documents.get(TOKENIZER_CONFIG, {}).get("chat_template")
    saved = inline if checkpoint.template is None else checkpoint.template
    if saved == ours:
        return

    def apply(checkpoint: Checkpoint) -> None:
        checkpoint.template = ours
        if inline is not None:
            checkpoint.documents[TOKENIZER_CONFIG].pop("chat_template")

    problem = f"{TEMPLATE} is missing" if saved is None else f"{TEMPLATE} does not render the token ids of training"
    if is_earlier(saved, ours):
        problem = f"{TEMPLATE} comes from an earlier release, which drops thoughts (reasoning_content) and may not mark answers"
    yield Finding("chat_template", problem, "write hrm_align's template (the old one remains as .bak).", apply)


def _has_another_layout(checkpoint: Checkpoint) -> bool:
    """Return whether the tokenizer lacks HRM-Text's first and last control token, and has other tokens at their ids."""
    tokenizer = checkpoint.tokenizer
    return tokenizer is not None and all(
        tokenizer.token_to_id(name) is None and tokenizer.id_to_token(CONTROL_IDS[name]) is not None
        for name in (IM_START, BOX_END)
    )


def _expected_ids(checkpoint: Checkpoint) -> dict[str, int]:
    """Return the expected id of each control token: the published id, or the tokenizer's if the config declares its vocabulary.

    A config declares another vocabulary by `prefix_end_token_id`, or by `bos_token_id` and `eos_token_id`, if these
    equal the tokenizer's ids.
    """
    config, tokenizer = checkpoint.config, checkpoint.tokenizer
    if tokenizer is None:
        return CONTROL_IDS
    prefix_end = config.get("prefix_end_token_id", PUBLISHED.prefix_end)
    declares_end = prefix_end != PUBLISHED.prefix_end and tokenizer.token_to_id(IM_END) == prefix_end
    ends = (tokenizer.token_to_id(IM_START), tokenizer.token_to_id(BOX_END))
    declares_both = ends != (PUBLISHED.message_start, PUBLISHED.answer_end) and ends == (
        config.get("bos_token_id"),
        config.get("eos_token_id"),
    )
    if not (declares_end or declares_both):
        return CONTROL_IDS
    return {name: id for name in CONTROL_IDS if (id := tokenizer.token_to_id(name)) is not None}


def _names_id(stated: Any, expected: int | None) -> bool:
    return expected is not None and (stated == expected or (isinstance(stated, list) and expected in stated))


def _add_tokens(document: dict[str, Any], ids: dict[str, int]) -> None:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    others = [token for token in document.get("added_tokens") or [] if token["content"] not in ids]
    new = [{"id": id, "content": name, **flags} for name, id in ids.items()]
    document["added_tokens"] = sorted([*others, *new], key=lambda token: token["id"])
