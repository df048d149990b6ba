"""Lower bound on the tokens of a text, from its characters alone: a text of many megabytes is dropped without tokenizing it."""

from __future__ import annotations

import json
import math
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers

# Characters that a normalizer makes of the fewest: the longest canonical decomposition of a character has four.
_COMPOSED = {"NFC": 4, "NFKC": 4, "NFD": 1, "NFKD": 1}


def longest_text(encoder: Tokenizer, tokens: int) -> float:
    """Return the number of characters above which a text certainly has more than some number of tokens.

    In byte-level BPE every byte of the text is in one token, so that a text has at least its bytes divided by the bytes
    of the longest token, and at least as many bytes as characters. Other tokenizers may drop characters (infinity).

    Args:
        encoder: tokenizer that treats control tokens as text (`Renderer.encoder`).
        tokens: number of tokens.
    """
    state = json.loads(encoder.to_str())
    model, vocabulary = state["model"], encoder.get_vocab()
    loses_nothing = (
        model["type"] == "BPE"
        and not any(model.get(key) for key in ("continuing_subword_prefix", "end_of_word_suffix"))
        and vocabulary.keys() >= set(pre_tokenizers.ByteLevel.alphabet())
        and _is_byte_level(state["pre_tokenizer"] or {})
        and (encoder.encode_special_tokens or not state["added_tokens"])
        and not state["truncation"]
    )
    normalizer = state["normalizer"]
    factor = _COMPOSED.get(normalizer["type"], math.inf) if normalizer else 1
    return tokens * max(map(len, vocabulary)) * factor if loses_nothing else math.inf


def _is_byte_level(pre_tokenizer: dict[str, Any]) -> bool:
    """Return whether a pre-tokenizer ends with bytes, and removes no text before."""
    steps = pre_tokenizer.get("pretokenizers", []) if pre_tokenizer.get("type") == "Sequence" else [pre_tokenizer]
    kinds = [step.get("type") for step in steps]
    keeps = all(step.get("behavior") != "Removed" for step in steps)
    return keeps and kinds[-1:] == ["ByteLevel"] and {*kinds[:-1]} <= {"Digits", "Split", "Punctuation"}
