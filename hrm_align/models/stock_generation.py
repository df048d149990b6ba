"""What a checkpoint's files make stock `generate` do that this package's greedy decoding does not.

Stock `generate` follows generation_config.json, which this package ignores. The doctor and training name such settings; an export
refuses those that change the greedy answers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.utils.hub import cached_file

from hrm_align.errors import UserError
from hrm_align.models.loading import resolve

logger = logging.getLogger(__name__)

FILE = "generation_config.json"

_NEVER, _FORCED = "these tokens are never generated", "the tokens at this place are fixed"
_BEAMS, _REPEATS = "beam search replaces greedy decoding", "tokens that repeat are penalised"
_LENGTH = "longer answers are cut"
# Effect of each setting on a greedy call with its own `max_new_tokens`.
GREEDY = {
    "suppress_tokens": _NEVER, "begin_suppress_tokens": "no answer begins with these tokens", "bad_words_ids": _NEVER,
    "force_words_ids": _FORCED, "constraints": _FORCED, "forced_bos_token_id": _FORCED, "forced_eos_token_id": _FORCED,
    "min_length": "no answer ends before this length", "min_new_tokens": "no answer ends before this length",
    "repetition_penalty": _REPEATS, "encoder_repetition_penalty": _REPEATS, "no_repeat_ngram_size": _REPEATS,
    "encoder_no_repeat_ngram_size": _REPEATS, "exponential_decay_length_penalty": "long answers are ended early",
    "sequence_bias": "the scores of these tokens are changed", "watermarking_config": "the scores of some tokens are changed",
    "guidance_scale": "the scores of all tokens are changed", "penalty_alpha": "contrastive search replaces greedy decoding",
    "dola_layers": "contrastive decoding replaces greedy decoding", "num_beams": _BEAMS, "num_beam_groups": _BEAMS,
    "max_time": "slow answers are cut", "stop_strings": "answers end at these strings",
    "num_return_sequences": "each prompt gets several answers", "return_dict_in_generate": "generate returns no tensor of token ids",
}  # fmt: skip
# Effect of each setting on the other calls of `generate`.
OTHERS = {
    "do_sample": "answers are sampled, not greedy", "temperature": "sampling follows it", "top_k": "sampling follows it",
    "top_p": "sampling follows it", "min_p": "sampling follows it", "top_h": "sampling follows it",
    "typical_p": "sampling follows it", "epsilon_cutoff": "sampling follows it", "eta_cutoff": "sampling follows it",
    "max_length": _LENGTH, "max_new_tokens": _LENGTH,
    "use_cache": "without a KV cache, the model attends to its answer in both directions",
}  # fmt: skip
# Values that have no effect, besides those that are None, False or empty.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "repetition_penalty": (1,), "encoder_repetition_penalty": (1,), "no_repeat_ngram_size": (0,), "guidance_scale": (1,),
    "encoder_no_repeat_ngram_size": (0,), "min_length": (0,), "min_new_tokens": (0,), "penalty_alpha": (0,), "num_beams": (1,),
    "num_beam_groups": (1,), "num_return_sequences": (1,), "temperature": (1,), "top_k": (50,), "top_p": (1,), "typical_p": (1,),
    "epsilon_cutoff": (0,), "eta_cutoff": (0,), "min_p": (0,),
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """A setting of generation_config.json that changes what stock `generate` does, and its effect.

    Args:
        key: name of the setting.
        value: its value.
        effect: what stock `generate` does with it.
        changes_greedy: whether a greedy call with its own `max_new_tokens` gives something else.
    """

    key: str
    value: Any
    effect: str
    changes_greedy: bool

    def __str__(self) -> str:
        """Return the setting with its value, for display."""
        text = json.dumps(self.value)
        return f"{self.key} {text if len(text) <= 60 else text[:57] + '...'}"


def find_settings(generation: Mapping[str, Any], end: int | None, positions: int) -> list[Setting]:
    """Return the settings with which stock `generate` differs from greedy decoding that ends at the end token.

    Args:
        generation: content of generation_config.json.
        end: id of the end token; None if unknown.
        positions: longest document of the model, in tokens; a longest answer of that length cuts none.
    """
    settings = []
    for key, effect in {**GREEDY, **OTHERS}.items():
        value = generation.get(key)
        if key == "use_cache":
            is_neutral = value is not False
        elif key in ("max_length", "max_new_tokens"):
            is_neutral = value is None or (isinstance(value, int) and value >= positions)
        else:
            is_neutral = value is None or value is False or value in ([], {}, "") or value in NEUTRAL.get(key, ())
        if is_neutral:
            continue
        if effect == _NEVER and end is not None and end in _flatten(value):
            effect = f"the end token ({end}) is never generated, so no answer ends"
        settings.append(Setting(key, value, effect, key in GREEDY))
    return settings


def _flatten(value: Any) -> Iterable[Any]:
    """Return the token ids of a list of ids, or of a list of sequences of one id each; a longer sequence bans no single token."""
    for item in value if isinstance(value, list) else [value]:
        yield item[0] if isinstance(item, list) and len(item) == 1 else item


def read_settings(name: str, end: int | None, positions: int, revision: str | None = None) -> list[Setting]:
    """Return the settings of a checkpoint's generation_config.json, as `find_settings` does; none without the file.

    Args:
        name: folder, Hub id, or `tiny`.
        end: id of the end token.
        positions: longest document of the model, in tokens.
        revision: Hub revision.
    """
    return find_settings(_read_json(name, FILE, revision), end, positions)


def _read_json(name: str, file: str, revision: str | None) -> dict[str, Any]:
    """Return a JSON file of a checkpoint; empty if it is missing or damaged, which loading and the doctor report."""
    path = cached_file(
        resolve(name),
        file,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def require_greedy(name: str, end: int | None, positions: int) -> None:
    """Refuse a checkpoint whose generation_config.json changes the greedy answers of stock `generate`.

    Args:
        name: folder, Hub id, or `tiny`.
        end: id of the end token.
        positions: longest document of the model, in tokens.

    Raises:
        UserError: naming the settings.
    """
    settings = [setting for setting in read_settings(name, end, positions) if setting.changes_greedy]
    if settings:
        raise UserError(
            f"the {FILE} of {name} sets {describe(settings)}: with it, stock `generate` cannot give this run's greedy answers. "
            f"Remove the setting{'s' * (len(settings) > 1)} from the file (`hrm-align doctor {name} --fix` does), and export again."
        )


def describe(settings: Iterable[Setting]) -> str:
    """Return the settings with their effects, for a sentence."""
    return ", ".join(f"{setting} ({setting.effect})" for setting in settings)


def warn_about_files(name: str, tokenizer_name: str, tokenizer: Any, config: Any, revision: str | None = None) -> None:
    """Warn about what stock code does with the files of a checkpoint to train: its generation settings and its pad token.

    Args:
        name: folder, Hub id, or `tiny`.
        tokenizer_name: the same for its tokenizer.
        tokenizer: as loaded by this package, with the pad token of the layout.
        config: config of the loaded model, with the ids of the tokenizer.
        revision: Hub revision of the model.
    """
    if settings := read_settings(name, config.eos_token_id, config.max_position_embeddings, revision):
        logger.warning(
            "%s of %s sets %s. Training ignores this, but stock `generate` follows it, with the trained model too. If you do not want "
            "that, remove it first with `hrm-align doctor %s --fix`.",
            FILE,
            name,
            describe(settings),
            name,
        )
    stated = _read_json(name, "config.json", revision).get("pad_token_id")
    saved = _read_json(tokenizer_name, "tokenizer_config.json", revision if tokenizer_name == name else None).get(
        "pad_token"
    )
    if fault := find_pad_fault(saved, stated, config.eos_token_id, tokenizer.convert_tokens_to_ids):
        logger.warning(
            "tokenizer_config.json of %s: %s. The trained model is saved with the pad token %s (%d).",
            tokenizer_name,
            fault,
            tokenizer.pad_token,
            config.pad_token_id,
        )


def find_pad_fault(saved: Any, stated: Any, end: int | None, id_of: Callable[[str], Any]) -> str | None:
    """Return what is wrong with the pad token of a tokenizer for stock trainers; None if nothing is.

    Args:
        saved: `pad_token` of tokenizer_config.json.
        stated: `pad_token_id` of config.json.
        end: id of the end token.
        id_of: function that returns the id of a token.
    """
    token = saved.get("content") if isinstance(saved, dict) else saved
    if not isinstance(token, str):
        return None
    id = id_of(token)
    if id == end:
        return f"the pad token {token} is the end token, so stock trainers, which leave padding out of the loss, never train the end"
    if stated is not None and id != stated:
        return f"the pad token {token} has the id {id}, but pad_token_id in config.json is {stated}"
    return None
