"""Adapter record `hrm_adapter.json`: identity of the base (name and fingerprint of its weights), cycles and horizon.

    {"hrm_align": "1.0", "base": "tiny", "fingerprint": "0f3a...", "H_cycles": 2, "L_cycles": 3, "L_bp_cycles": [0, 3]}

PEFT's own config has only the name of the base, from which a changed base cannot be noticed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from hrm_align._version import __version__
from hrm_align.errors import UserError
from hrm_align.models.reward_model import SCORE

RECORD = "hrm_adapter.json"
_BASE = "hrm_align_base"  # attribute of a base model with an adapter
_SAMPLED = 256  # hashed entries of each tensor


def fingerprint(model: PreTrainedModel) -> str | None:
    """Hash a base's weights to 16 hexadecimal digits, the same for float32 and bfloat16 of one checkpoint.

    The hash covers evenly spaced entries of every tensor, and takes milliseconds. None for a quantised base. The score head of a
    reward model does not count, because its adapter holds the whole head.
    """
    if getattr(model, "is_quantized", False):
        return None
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name == f"{SCORE}.weight":
            continue
        places = _sampled_places(tensor.numel()).to(tensor.device)
        entries = tensor.detach()[torch.unravel_index(places, tensor.shape)]
        digest.update(name.encode())
        digest.update(entries.to(torch.bfloat16).float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _sampled_places(entries: int) -> Tensor:
    """Return the indices, (n,) int64, of at most `_SAMPLED` evenly spaced entries, the first and the last included.

    Up to 2^24 entries (the largest exact integers of float32) the indices are computed in float32, operation by
    operation, because the fingerprints of existing adapters depend on this rounding; every processor gives the same
    indices (`torch.linspace` does not). For larger tensors the indices are computed in integers.
    """
    number, last = min(_SAMPLED, entries), entries - 1
    index = torch.arange(number)
    if number < _SAMPLED or entries > 1 << 24:
        return index * last // max(1, number - 1)
    end = torch.tensor(last, dtype=torch.float32)
    step = end / (number - 1)
    from_end = end - step * (number - 1 - index)
    return torch.where(index < number // 2, step * index, from_end).long()


def remember_base(model: PreTrainedModel, name: str) -> None:
    """Store a base's name, fingerprint and cycles on the model, before an adapter changes its modules."""
    config: Any = model.config
    cycles = {"H_cycles": config.H_cycles, "L_cycles": config.L_cycles}
    setattr(model, _BASE, {"base": name, "fingerprint": fingerprint(model), **cycles})


def has_base(model: Any) -> bool:
    """Return whether `remember_base` was called for this base model."""
    return hasattr(model, _BASE)


def write_record(model: PeftModel, folder: Path) -> None:
    """Write the record of an adapter's base and training horizon into the adapter's folder."""
    base: Any = model.get_base_model()
    identity = getattr(base, _BASE, None)
    if identity is not None:
        record = {"hrm_align": __version__, **identity, "L_bp_cycles": base.config.L_bp_cycles}
        (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_record(folder: Path) -> dict[str, Any]:
    """Read the record of an adapter; empty for an adapter of another program.

    Raises:
        UserError: if the record is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}). Copy the adapter again.") from None
    return record


def check_base(model: PreTrainedModel, folder: Path) -> None:
    """Check that an adapter was trained on this base.

    Args:
        model: the base, after `remember_base`.
        folder: folder of the adapter.

    Raises:
        UserError: with the cycles or the weights that differ.
    """
    record = read_record(folder)
    base = getattr(model, _BASE)
    different = [key for key in ("H_cycles", "L_cycles") if record.get(key) != base[key]]
    if record and different:
        cycles = ", ".join(f"{key} {record.get(key)}, and {base['base']} has {base[key]}" for key in different)
        raise UserError(f"{folder} was trained with {cycles}. Load the base with the cycles of the training.")
    trained_on, given = record.get("fingerprint"), base["fingerprint"]
    if trained_on is not None and given is not None and trained_on != given:
        raise UserError(
            f"{folder} was trained on other weights than those of {base['base']}: its base is {record.get('base')} "
            f"(fingerprint {trained_on}, here {given}). Name that base, or the checkpoint it was merged into."
        )
