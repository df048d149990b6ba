"""Checks of the control tokens: their ids in every file that names one, the tokenizer and the chat template."""

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
    mendable,
)
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
)

CONTROL_IDS = {  # of the published tokenizer
    PAD: 5, IM_START: 6, IM_END: 7, CONDITION_TOKENS["direct"]: 8, CONDITION_TOKENS["cot"]: 9, BOX_START: 10,
    BOX_END: 11, CONDITION_TOKENS["noisy"]: 12, CONDITION_TOKENS["synth"]: 13, TOOL_CALL: 25, TOOL_CALL_END: 26,
    TOOL_RESPONSE: 27, TOOL_RESPONSE_END: 28, "<think>": 29, "</think>": 30,
}  # fmt: skip
LAYOUT = (IM_START, IM_END, BOX_START, BOX_END)  # in the order of Layout's roles
SPECIALS = {"pad": PAD, "bos": IM_START, "eos": BOX_END}


def token_ids(checkpoint: Checkpoint) -> Findings:
    """The ids that config.json names."""
    if _has_another_layout(checkpoint):
        return  # said once, by control_tokens
    ids = _expected_ids(checkpoint)
    wrong = {}
    for word, name in SPECIALS.items():
        if not _names_id(checkpoint.config.get(f"{word}_token_id"), ids.get(name)):
            wrong[f"{word}_token_id"] = ids.get(name, CONTROL_IDS[name])
    if wrong:
        told = ", ".join(f"{key} is {checkpoint.config.get(key)}" for key in wrong)
        yield mendable("token_ids", CONFIG, told, **wrong)
    for role, name, default in zip(Layout._fields, LAYOUT, PUBLISHED, strict=True):
        key, id = f"{role}_token_id", ids.get(name)
        stated = checkpoint.config.get(key, default)
        if stated != id:
            problem = f"{key} is {stated}, but {name} is {id}"
            yield mendable("token_ids", CONFIG, problem, **{key: GONE if id in (None, default) else id})


def generation(checkpoint: Checkpoint) -> Findings:
    """The ids that generation_config.json names: with a wrong end, a generation never stops."""
    if GENERATION not in checkpoint.documents or _has_another_layout(checkpoint):
        return  # generation then takes the config's ids
    stated, ids = checkpoint.documents[GENERATION], _expected_ids(checkpoint)
    wrong = {
        f"{word}_token_id": ids.get(name, CONTROL_IDS[name])
        for word, name in SPECIALS.items()
        if not _names_id(stated.get(f"{word}_token_id"), ids.get(name))
    }
    if wrong:
        told = ", ".join(f"{key} is {stated.get(key)}" for key in wrong)
        yield mendable("generation_config", GENERATION, told, **wrong)


def special_tokens(checkpoint: Checkpoint) -> Findings:
    """The special tokens that the tokenizer's own config names, or the file in which it stood before."""
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
            told = ", ".join(f"{key} is {stated.get(key)}" for key in wrong)
            yield mendable("special_tokens", document, told, **wrong)


def input_names(checkpoint: Checkpoint) -> Findings:
    """The default of the installed Transformers has no types; a list that names them gives zeros, but in an export, whose
    tokenizer marks every token of a prompt as prefix."""
    names = checkpoint.documents.get(TOKENIZER_CONFIG, {}).get("model_input_names", [])
    tokenizer = checkpoint.tokenizer
    marks = tokenizer is not None and set(tokenizer.encode("a b").type_ids) == {1}
    if isinstance(names, list) and ("token_type_ids" not in names or marks):
        return
    problem = f"model_input_names is {names}: types from a tokenizer are zeros, which mean: no prefix"
    yield mendable("input_names", TOKENIZER_CONFIG, problem, model_input_names=["input_ids", "attention_mask"])


def control_tokens(checkpoint: Checkpoint) -> Findings:
    """Each control token must be encoded as its one id, and no text as any of them."""
    words, ids = checkpoint.tokenizer, _expected_ids(checkpoint)
    assert words is not None
    if _has_another_layout(checkpoint):
        try:
            Renderer(PreTrainedTokenizerFast(tokenizer_object=words, name_or_path=str(checkpoint.folder)))
        except UserError as error:
            yield Finding(
                "layout", str(error).split(" Use a checkpoint")[0], "use a checkpoint in the published layout."
            )
        return
    added = {token["content"]: token for token in checkpoint.documents[TOKENIZER].get("added_tokens") or []}
    wrong = [
        name
        for name, id in ids.items()
        if words.encode(name, add_special_tokens=False).ids != [id] or not added.get(name, {}).get("special")
    ]
    # Only where nothing else has the id does adding the token change no other one.
    addable = [n for n in wrong if words.id_to_token(ids[n]) in (None, n) and words.token_to_id(n) in (None, ids[n])]
    lost = [name for name in wrong if name not in addable]
    if addable:

        def apply(checkpoint: Checkpoint) -> None:
            _add_tokens(checkpoint.documents[TOKENIZER], {name: ids[name] for name in addable})

        told = ", ".join(f"{name} ({ids[name]})" for name in addable)
        problem = f"{TOKENIZER}: {told} are not encoded as one control token each"
        yield Finding("control_tokens", problem, "add them under their ids.", apply)
    if lost:
        told = ", ".join(f"{name} is {words.token_to_id(name)}, not {ids[name]}" for name in lost[:4])
        remedy = "use the tokenizer.json that was published with the model (one of its own: set bos_token_id and eos_token_id to its ids)."
        yield Finding("control_tokens", f"{TOKENIZER}: {told}", remedy)
    if words.get_vocab_size() > checkpoint.size("vocab_size"):
        problem = f"{TOKENIZER} has {words.get_vocab_size()} tokens and the model {checkpoint.size('vocab_size')}"
        yield Finding("control_tokens", problem, "use the tokenizer.json that was published with the model.")
    elif not wrong:
        try:
            Renderer(PreTrainedTokenizerFast(tokenizer_object=words))
        except UserError as error:
            yield Finding("control_tokens", f"{TOKENIZER}: {error}", "use the published tokenizer.json.")


def template(checkpoint: Checkpoint) -> Findings:
    """The chat template must be the one that gives the ids of training."""
    if any(control_tokens(checkpoint)):
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


def _has_another_layout(checkpoint: Checkpoint) -> bool:
    """Whether the tokenizer has neither end of HRM-Text's layout, and something else at their ids."""
    words = checkpoint.tokenizer
    return words is not None and all(
        words.token_to_id(name) is None and words.id_to_token(CONTROL_IDS[name]) is not None
        for name in (IM_START, BOX_END)
    )


def _expected_ids(checkpoint: Checkpoint) -> dict[str, int]:
    """The id that each control token must have: the published one, or its own if the config declares a vocabulary.

    A config declares one by `prefix_end_token_id`, or by `bos_token_id` and `eos_token_id` that are those of the tokenizer.
    """
    config, words = checkpoint.config, checkpoint.tokenizer
    if words is None:
        return CONTROL_IDS
    prefix_end = config.get("prefix_end_token_id", PUBLISHED.prefix_end)
    declares_end = prefix_end != PUBLISHED.prefix_end and words.token_to_id(IM_END) == prefix_end
    ends = (words.token_to_id(IM_START), words.token_to_id(BOX_END))
    declares_both = ends != (PUBLISHED.message_start, PUBLISHED.answer_end) and ends == (
        config.get("bos_token_id"),
        config.get("eos_token_id"),
    )
    if not (declares_end or declares_both):
        return CONTROL_IDS
    return {name: id for name in CONTROL_IDS if (id := words.token_to_id(name)) is not None}


def _names_id(stated: Any, expected: int | None) -> bool:
    return expected is not None and (stated == expected or (isinstance(stated, list) and expected in stated))


def _add_tokens(document: dict[str, Any], ids: dict[str, int]) -> None:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    kept = [token for token in document.get("added_tokens") or [] if token["content"] not in ids]
    new = [{"id": id, "content": name, **flags} for name, id in ids.items()]
    document["added_tokens"] = sorted([*kept, *new], key=lambda token: token["id"])
