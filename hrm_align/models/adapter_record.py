"""What an adapter's own config does not say, written beside it: which base exactly, and how often its stacks ran."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import HrmTextForCausalLM

from hrm_align._version import __version__
from hrm_align.errors import UserError

RECORD = "hrm_adapter.json"
_BASE = "hrm_align_base"  # attribute of a base model that carries an adapter
_SAMPLED = 256  # entries of each tensor


def fingerprint(model: HrmTextForCausalLM) -> str | None:
    """Which weights a base has: 16 hexadecimal digits, the same for float32 and bfloat16 of one checkpoint.

    Over evenly spaced entries of every tensor, so it takes milliseconds; None for a quantised base.
    """
    if getattr(model, "is_quantized", False):
        return None
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        places = _sampled_places(tensor.numel()).to(tensor.device)
        entries = tensor.detach()[torch.unravel_index(places, tensor.shape)]
        digest.update(name.encode())
        digest.update(entries.to(torch.bfloat16).float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _sampled_places(entries: int) -> Tensor:
    """Places (int64) of at most `_SAMPLED` evenly spaced entries, the first and the last among them.

    Up to 2^24 entries, in which float32 still counts, with its rounding operation by operation: existing adapters know
    their bases by these places, and every processor gives the same ones (`torch.linspace` does not). Beyond, in integers.
    """
    number, last = min(_SAMPLED, entries), entries - 1
    index = torch.arange(number)
    if number < _SAMPLED or entries > 1 << 24:
        return index * last // max(1, number - 1)
    end = torch.tensor(last, dtype=torch.float32)
    step = end / (number - 1)
    from_end = end - step * (number - 1 - index)
    return torch.where(index < number // 2, step * index, from_end).long()


def remember_base(model: HrmTextForCausalLM, name: str) -> None:
    """Note what a base is before an adapter changes its modules."""
    config = model.config
    known = {"base": name, "fingerprint": fingerprint(model), "H_cycles": config.H_cycles, "L_cycles": config.L_cycles}
    setattr(model, _BASE, known)


def write_record(model: PeftModel, folder: Path) -> None:
    """Write the record of an adapter's base, with the horizon it was trained under, beside the adapter."""
    base: Any = model.get_base_model()
    known = getattr(base, _BASE, None)
    if known is not None:
        record = {"hrm_align": __version__, **known, "L_bp_cycles": base.config.L_bp_cycles}
        (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_record(folder: Path) -> dict[str, Any]:
    """The record of an adapter; empty for one that was trained elsewhere.

    Raises:
        UserError: if it is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): copy the adapter again.") from None
    return record


def check_base(model: HrmTextForCausalLM, folder: Path) -> None:
    """Refuse a base that is not the one an adapter was trained on.

    Raises:
        UserError: saying what differs.
    """
    record = read_record(folder)
    ours = getattr(model, _BASE)
    cycles = {key: (record.get(key), ours[key]) for key in ("H_cycles", "L_cycles") if record.get(key) != ours[key]}
    if record and cycles:
        told = ", ".join(f"{key} {theirs}, and {ours['base']} has {own}" for key, (theirs, own) in cycles.items())
        raise UserError(f"{folder} was trained with {told}: load the base with the cycles it was trained with.")
    theirs, own = record.get("fingerprint"), ours["fingerprint"]
    if theirs is not None and own is not None and theirs != own:
        raise UserError(
            f"{folder} was trained on other weights than those of {ours['base']}: its base is {record.get('base')} "
            f"(fingerprint {theirs}, here {own}). Name that base, or the checkpoint it was merged into."
        )
