"""The rewards there are, by name. Each is a class, imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from hrm_align.errors import UserError
from hrm_align.rewards.base import Reward, nearest, options_of

REWARDS = {
    "math": "hrm_align.rewards.math_rewards:Math",
    "exact": "hrm_align.rewards.text_rewards:Exact",
    "numeric": "hrm_align.rewards.text_rewards:Numeric",
    "answer": "hrm_align.rewards.text_rewards:Answer",
    "json": "hrm_align.rewards.json_rewards:Json",
    "json_fields": "hrm_align.rewards.json_rewards:JsonFields",
    "sql": "hrm_align.rewards.programs:Sql",
    "code": "hrm_align.rewards.programs:Code",
    "format": "hrm_align.rewards.shape:Format",
    "length": "hrm_align.rewards.shape:Length",
}


def reward_class(name: str) -> type:
    """The class of a reward. Raises UserError for a name that does not exist."""
    if name not in REWARDS:
        hint = nearest(str(name), list(REWARDS))
        raise UserError(f"there is no reward {name!r}: {hint}The rewards are {', '.join(REWARDS)}, or give a `file`.")
    module, attribute = REWARDS[name].split(":")
    return getattr(import_module(module), attribute)


def create(name: str, options: Mapping[str, Any]) -> Reward:
    """A reward with its options. Raises UserError for an option that does not exist or a value that cannot be."""
    kind = reward_class(name)
    known = [option for option, _, _ in options_of(kind)]
    for option in options:
        if option not in known:
            has = f"It has {', '.join(known)}." if known else "It has none."
            raise UserError(f"the reward {name} has no option `{option}`: {nearest(str(option), known)}{has}")
    try:
        return kind(**options)
    except UserError as error:
        raise UserError(f"the reward {name}: {error}") from None
