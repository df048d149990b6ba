"""Check that a resumed run is the run that saved its checkpoint: its rows, its settings, and what the checkpoint holds.

Transformers restores an optimizer with its saved learning rates whatever the recipe says, skips the batches done so far whatever they
contain, and loads an adapter's weights under any `lora_alpha`. With other rows or settings, the records of the run would describe
data and settings that were not used. `run_settings` lists which settings may change.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors import safe_open
from transformers import PreTrainedTokenizerFast

from hrm_align.config.recipe_files import keys_of_files
from hrm_align.errors import UserError, join_names
from hrm_align.models.adapter_record import check_base, has_base
from hrm_align.models.adapters import CONFIG, is_adapter, open_adapter
from hrm_align.models.ema import EMA_FILE
from hrm_align.run_folder import read_run_record
from hrm_align.trainers.checkpoints import checkpoint_step
from hrm_align.trainers.run_settings import LENGTH, effect_of_change, reason_to_refuse

_SPLIT = ("per_device_train_batch_size", "gradient_accumulation_steps")
# Options of the reward `judge` without an effect on its scores.
_JUDGE_MAY_CHANGE = ("url", "api_key_env", "concurrency", "timeout", "deadline", "retries", "price_in", "price_out", "budget_tokens",
                     "budget_cost", "cache", "min_right")  # fmt: skip
_CONSTANT = ("constant", "constant_with_warmup")


def check_same_run(
    resumed: Path | None, settings: Mapping[str, Any], data: Mapping[str, Any], processes: int
) -> list[str]:
    """Check that a run has the rows and settings of the run that it resumes, before its records are overwritten.

    Args:
        resumed: the checkpoint to resume from; None for a run from the start. Without records nothing is compared.
        settings: all settings, from `resolved`. A setting that the record of an older release lacks is not compared.
        data: the rows used and dropped, as for run/data.json.
        processes: number of processes that train together.

    Returns:
        Sentences on the settings that have changed and may change, with what the change does.

    Raises:
        UserError: if rows, their order, or settings differ that a resumed run may not change.
    """
    if resumed is None:
        return []
    _check_rows(resumed, _parts(read_run_record(resumed, "data.json")), _parts(data))
    theirs = read_run_record(resumed, "resolved.yaml")
    if not theirs:
        return []
    changed = _find_changes(theirs, settings)
    _refuse_changes(resumed, changed, has_adapter=bool(theirs.get("use_peft")))
    world = read_run_record(resumed, "env.json").get("world_size", processes)
    _check_split(resumed, _rows_per_step(theirs, world), _rows_per_step(settings, processes))
    return _describe_changes(resumed, changed, settings)


Changes = Mapping[str, tuple[Any, Any]]  # by setting: the value of the earlier run, and that of this run


def _find_changes(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Changes:
    before, now = _plain(theirs), _plain(ours)
    return {key: (before[key], now[key]) for key in now if key in before and before[key] != now[key]}


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with values that mean the same written in the same way."""
    plain = dict(settings)
    if plain.get("lora_alpha", 0) is None:
        plain["lora_alpha"] = plain.get("lora_r")
    for key in ("lora_target_modules", "trainable_tokens"):
        if isinstance(plain.get(key), list):
            plain[key] = sorted(plain[key])
    plain["rewards"] = [_without_folders(entry) for entry in plain.get("rewards") or []]
    if plain.get("curriculum"):
        plain["shuffle_dataset"] = False  # before 0.1.0 the record had the value that the curriculum replaced
    if plain.get("max_steps", -1) > 0:
        plain.pop("num_train_epochs", None)  # without effect
    return plain


def _without_folders(reward: Any) -> Any:
    """Return an entry of `rewards` with its files by name: a run that moved to another machine has them in another folder."""
    if not isinstance(reward, Mapping):
        return reward
    names = {key: Path(str(reward[key])).name for key in keys_of_files(reward) if reward.get(key)}
    changeable = _JUDGE_MAY_CHANGE if reward.get("name") == "judge" else ()
    return {key: value for key, value in {**reward, **names}.items() if key not in changeable}


def _refuse_changes(resumed: Path, changed: Changes, has_adapter: bool) -> None:
    another = "start a new run with its weights as --model_name_or_path"
    if has_adapter:
        another = "start a new run from its adapter, merged with `hrm-align adapters merge`"
    refused = [key for key in changed if reason_to_refuse(key)]
    if refused:
        key = refused[0]
        before, now = changed[key]
        raise UserError(
            f"{_compare(resumed, key, before, now)}, and {reason_to_refuse(key)}. Resume "
            f"{f'without {key}' if before is None else f'with {key} {before}'}, or {another}."
            + (f" These settings differ too: {join_names(refused[1:])}." if refused[1:] else "")
        )


def _describe_changes(resumed: Path, changed: Changes, settings: Mapping[str, Any]) -> list[str]:
    sentences = []
    for key, (before, now) in changed.items():
        effect = _effect_of_length(settings) if key in LENGTH else effect_of_change(key)
        if effect is not None:
            step = checkpoint_step(resumed)
            sentences.append(f"{_compare(resumed, key, before, now)}: from step {step} on, {effect}.")
    return sentences


def _compare(resumed: Path, key: str, before: Any, now: Any) -> str:
    before, now = ("unset" if value is None else value for value in (before, now))
    return f"{key} is {now} here but {before} in the run that saved {resumed}"


def _effect_of_length(settings: Mapping[str, Any]) -> str:
    """Return what another number of steps does to the schedules of a resumed run."""
    parts = []
    if settings.get("lr_scheduler_type") not in _CONSTANT:
        parts.append(f"the {settings.get('lr_scheduler_type')} schedule of the learning rate")
    if settings.get("bp_warmup_ratio"):
        parts.append("the warm-up of bp_steps")
    if not parts:
        return "only the number of steps changes, because the learning rate is constant"
    verb = "is" if len(parts) == 1 else "are"
    return (
        f"{' and '.join(parts)} {verb} that of the new length, which may jump at this step. A run with a constant schedule can "
        "be extended without a jump"
    )


Parts = Sequence[Mapping[str, Any]]  # records of the data sets that are trained on, in order


def _check_rows(resumed: Path, before: Parts, now: Parts) -> None:
    if before and not (len(before) == len(now) and all(map(_have_same_rows, before, now))):
        raise UserError(
            f"{resumed} was trained on {_join_parts(before)}, but this run has {_join_parts(now)}: resume with the rows of that "
            "run (see run/data.json), or start a new run with its weights as --model_name_or_path."
        )


def _have_same_rows(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Compare two records of a data set by content, by ignored columns, and by how many rows are used under which condition."""
    keys = ("fingerprint", "ignored_columns", "examples", "conditions")  # records of older releases lack some
    return all((before[key] or None) == (now[key] or None) for key in keys if key in before and key in now)


def _check_split(resumed: Path, before: int, now: int) -> None:
    if before != now:
        raise UserError(
            f"{resumed} was trained with {before} rows per optimizer step, but this run has {now}: choose "
            f"{' x '.join(_SPLIT)} x processes so that they are equal."
        )


def _parts(data: Mapping[str, Any]) -> Parts:
    sections = [data.get(name, {}) for name in ("train", "replay")]
    parts = [(section, part) for section in sections for part in section.get("datasets", []) if part.get("fingerprint")]
    return [_without_counts(part) if section.get("streamed") else part for section, part in parts]


def _without_counts(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the record of streamed rows without the counts, which are those of the rows that were read so far."""
    return {key: value for key, value in part.items() if key not in ("examples", "conditions")}


def _join_parts(parts: Parts) -> str:
    return "; ".join(map(_describe_part, parts)) or "no data set"


def _describe_part(part: Mapping[str, Any]) -> str:
    words = [part["fingerprint"]]
    if ignored := part.get("ignored_columns"):
        words[0] += f" without {join_names(ignored)}"
    if "examples" in part:
        conditions = (part.get("conditions") or {}).items()
        counts = join_names(f"{count:,} {condition or 'without condition'}" for condition, count in conditions)
        words.append(f"{part['examples']:,} examples{f': {counts}' if counts else ''}")
    return f"{part['path']} ({', '.join(words)})"


def _rows_per_step(settings: Mapping[str, Any], processes: int) -> int:
    return processes * math.prod(settings.get(key, 1) for key in _SPLIT)


# What the checkpoint itself holds -------------------------------------------------------------------------------------


def check_checkpoint(resumed: Path, model: Any, tokenizer: Any, ema_decay: float | None) -> None:
    """Check that a checkpoint holds what a trainer would load from it, whether or not its run has left records.

    Args:
        resumed: the checkpoint to resume from.
        model: the unwrapped model, with the run's new adapter if it has one.
        tokenizer: the run's tokenizer.
        ema_decay: decay of the run's averaged weights; None for a run without them.

    Raises:
        UserError: if the checkpoint has whole weights and the run an adapter or the reverse, or if adapter, base, averaged
            weights or tokenizer differ.
    """
    _check_tokenizer(resumed, tokenizer)
    if is_adapter(str(resumed)) and not isinstance(model, PeftModel):
        raise UserError(
            f"{resumed} holds an adapter, but this run trains all weights: resume with --use_peft true and the adapter's "
            "settings, or start a new run from the adapter, merged with `hrm-align adapters merge`."
        )
    if isinstance(model, PeftModel):
        if not is_adapter(str(resumed)):
            raise UserError(
                f"{resumed} holds whole weights, but this run trains an adapter: resume without use_peft, or start a new run "
                "with the checkpoint as --model_name_or_path."
            )
        _check_adapter(resumed, model)
    _check_average(resumed, ema_decay)


# Settings of the recipe by PEFT's name for what they become in adapter_config.json.
_ADAPTER_SETTINGS = {
    "r": "lora_r",
    "lora_alpha": "lora_alpha",
    "alpha_pattern": "lora_scaling",
    "rank_pattern": "lora_r",
    "target_modules": "lora_target_modules",
    "lora_dropout": "lora_dropout",
    "use_rslora": "use_rslora",
    "use_dora": "use_dora",
    "init_lora_weights": "init_lora_weights",
    "trainable_token_indices": "trainable_tokens",
}


def _check_adapter(resumed: Path, model: PeftModel) -> None:
    """Check that a checkpoint's adapter has the shape, scale and base of a run's."""
    saved, ours = open_adapter(str(resumed)).config, model.peft_config[model.active_adapters[0]].to_dict()
    for name, key in _ADAPTER_SETTINGS.items():
        before, now = _sorted(saved.get(name)), _sorted(ours.get(name))
        if name in saved and (before or None) != (now or None):
            raise UserError(
                f"{key} is {_shorten(now, before)} here but {_shorten(before, now)} in the adapter of {resumed} ({CONFIG}), whose "
                f"weights would have another meaning. Resume with the {key} of the checkpoint's run."
            )
    base: Any = model.get_base_model()
    if has_base(base):
        check_base(base, resumed)


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, (list, set, tuple)) else value


def _shorten(value: Any, other: Any) -> str:
    """Return a value as text; of a list or mapping the number of its entries, and those that `other` lacks."""
    if not isinstance(value, (list, dict)):
        return str(value)
    own = sorted(set(value) - set(other)) if isinstance(other, (list, dict)) else []
    return f"{len(value)} modules" + (f" with {join_names(own, 2)}" if own else "")


def _check_average(resumed: Path, ema_decay: float | None) -> None:
    if not (resumed / EMA_FILE).is_file():
        return  # `WeightAverage.load` reports a missing file
    with safe_open(resumed / EMA_FILE, framework="pt") as file:
        saved = (file.metadata() or {}).get("decay")
    if ema_decay is None:
        raise UserError(
            f"{resumed} has averaged weights, which this run would drop: resume with --ema_decay {saved}, or start a new run "
            "with the checkpoint as --model_name_or_path."
        )
    if saved is not None and float(saved) != ema_decay:
        raise UserError(
            f"--ema_decay is {ema_decay} here, but the averaged weights in {resumed} have the decay {saved}. Resume with "
            f"--ema_decay {saved}, or start a new run with the checkpoint as --model_name_or_path."
        )


def _check_tokenizer(checkpoint: Path, tokenizer: Any) -> None:
    """Refuse a tokenizer that has changed: the same rows would silently become other token ids."""
    file = checkpoint / "tokenizer.json"
    if not (file.is_file() and isinstance(tokenizer, PreTrainedTokenizerFast)):
        return
    saved, ours = file.read_text(encoding="utf-8"), tokenizer.backend_tokenizer.to_str()
    if json.loads(saved)["model"] != json.loads(ours)["model"]:
        raise UserError(
            f"{checkpoint} was trained with another tokenizer than this run has loaded: the base model's files have "
            f"changed since. Resume with --tokenizer_name_or_path {checkpoint}."
        )
