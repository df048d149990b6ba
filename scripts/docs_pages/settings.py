"""The pages of settings: everyday and own ones, those of TRL and Transformers, and those that are refused."""

from __future__ import annotations

from dataclasses import fields
from inspect import get_annotations
from typing import Any

from docs_pages.tables import code, plain, shortened, table
from hrm_align.config.arguments import (
    DataArguments,
    LoraArguments,
    ModelArguments,
    RewardArguments,
    StabiliserArguments,
)
from hrm_align.config.rules import KINDS, recipe_kind
from hrm_align.config.schema import MOVED, schema
from hrm_align.data.specs import DatasetSpec
from hrm_align.rewards.base import SPEC_KEYS
from hrm_align.trainers.distillation_config import DistillationArguments
from hrm_align.trainers.dpo_config import DPOArguments
from hrm_align.trainers.grpo_config import GRPOArguments
from hrm_align.trainers.kto_config import KTOArguments
from hrm_align.trainers.reward_config import RewardModelArguments
from hrm_align.trainers.sft_config import SFTArguments

EVERY = ""  # settings of every recipe; otherwise the kind of recipe
SECTIONS: tuple[tuple[str, type, str], ...] = (
    ("The model", ModelArguments, EVERY),
    ("The data", DataArguments, EVERY),
    ("The adapter", LoraArguments, EVERY),
    ("Stabilisers, resuming and publishing", StabiliserArguments, EVERY),
    ("Fine-tuning", SFTArguments, "sft"),
    ("Preferences between pairs", DPOArguments, "dpo"),
    ("Labelled answers", KTOArguments, "kto"),
    ("Reward models", RewardModelArguments, "reward"),
    ("Distillation", DistillationArguments, "distill"),
    ("Rewards", RewardArguments, "grpo"),
    ("Reinforcement learning", GRPOArguments, "grpo"),
)


def own_settings(kind: type) -> list[str]:
    """Settings that a dataclass of this package declares or redefines, in their order."""
    return [field.name for field in fields(kind) if field.name in get_annotations(kind)]


def _recipe(kind: str) -> dict[str, Any]:
    settings: dict[str, Any] = schema()["recipes"][kind]["settings"]
    return {name: known for name, known in settings.items() if not known.get("hidden")}


def _type(known: dict[str, Any]) -> str:
    if known.get("choices") and len(known["choices"]) <= 6:
        return " ".join(code(choice) for choice in known["choices"])
    return str(known["type"])


def _default(known: dict[str, Any] | None) -> str:
    if known is None:
        return ""
    value = known["default"]
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(value) if value != "" else "unset"


def _meaning(known: dict[str, Any]) -> str:
    return shortened(plain(known["help"]))


def settings_page() -> str:
    """Everyday settings and those of the package, with types and defaults."""
    recipes = {kind: _recipe(kind) for kind in KINDS}
    lines = [
        "# Settings",
        "",
        "A setting is a key of a recipe (a YAML file) and also a flag on the command line: `learning_rate: 1e-4` in the file, "
        "`--learning_rate 1e-4` as a flag. A flag wins over the file. `hrm-align sft --help` shows the everyday settings, "
        "`--help-all` all settings. How to change a setting: [recipes](../guides/recipes.md).",
        "",
        "`unset` is a setting without a value: the text says what happens then. This page is generated from the dataclasses "
        f"by `scripts/docs_reference.py`, under {made_with()}.",
        "",
    ]
    for kind in KINDS:
        everyday = schema()["recipes"][kind]["everyday"]
        lines += [f"## Everyday settings of `hrm-align {kind}`", ""]
        lines += table(
            ("setting", "type", "default", "meaning"),
            [
                (code(n), _type(recipes[kind][n]), _default(recipes[kind][n]), _meaning(recipes[kind][n]))
                for n in everyday
            ],
        )
        lines.append("")
    lines += [
        "## All settings that this package adds or changes",
        "",
        "Everything else that TRL and Transformers define is on [Settings of TRL and Transformers](settings-upstream.md).",
        "",
    ]
    for title, arguments, where in SECTIONS:
        commands = f"`hrm-align {where}`" if where else " and ".join(f"`hrm-align {kind}`" for kind in KINDS)
        recipe = recipes[where or "sft"]
        names = [name for name in own_settings(arguments) if name in recipe]
        lines += [f"### {title}", "", f"Settings of {commands}.", ""]
        lines += table(
            ("setting", "type", "default", "meaning"),
            [(code(n), _type(recipe[n]), _default(recipe[n]), _meaning(recipe[n])) for n in names],
        )
        lines.append("")
    return "\n".join([*lines, *_presets(), *_entries()])


PRESET_KEYS = ("loss_type", "scale_rewards", "epsilon_high", "mask_truncated_completions", "max_resamples")


def _presets() -> list[str]:
    """What each `algorithm` sets."""
    rows = []
    for name in GRPOArguments.ALGORITHMS:
        chosen = GRPOArguments(output_dir="runs/none", algorithm=name)
        values = [getattr(chosen, key) for key in PRESET_KEYS]
        shown = [str(value).lower() if isinstance(value, bool) else str(value) for value in values]
        rows.append((code(name), *("unset" if value == "None" else code(value) for value in shown)))
    return [
        "## Presets of `algorithm`",
        "",
        "A setting that a recipe gives itself wins over the preset.",
        "",
        *table(("algorithm", *map(code, PRESET_KEYS)), rows),
        "",
    ]


def _entries() -> list[str]:
    """What an entry of `datasets` and of `rewards` may hold."""
    helps = _arguments_of(DatasetSpec)
    lines = [
        "## An entry of `datasets`",
        "",
        "`datasets`, `eval_datasets`, `replay_datasets` and `guard_datasets` are lists of entries. A bare path is an entry with "
        "that `path`. As a flag: `--datasets '{path: my.jsonl, columns: {prompt: question}}'`.",
        "",
        *table(
            ("key", "default", "meaning"),
            [
                (
                    code(field.name),
                    "required" if field.name == "path" else code(_yaml(field.default)),
                    plain(helps[field.name]),
                )
                for field in fields(DatasetSpec)
            ],
        ),
        "",
        "## An entry of `rewards`",
        "",
        f"The keys are {', '.join(code(key) for key in SPEC_KEYS)}, and for a named reward its own options "
        "([graders](graders.md)). A bare name is an entry with that `name`. `name` and `file` exclude each other.",
        "",
    ]
    return lines


def _yaml(value: Any) -> str:
    return "unset" if value is None else str(value)


def _arguments_of(kind: type) -> dict[str, str]:
    """The texts of `Args:` in a docstring, by name."""
    text = (kind.__doc__ or "").split("Args:")[1].split("Raises:")[0].split("Returns:")[0]
    matches: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if indent == 8 and ":" in line:
            name, _, rest = line.strip().partition(":")
            matches[name] = rest.strip()
        elif indent > 8 and name:
            matches[name] += " " + line.strip()
    return matches


def upstream_page() -> str:
    """Every other setting that a recipe can give."""
    recipes = {kind: _recipe(kind) for kind in KINDS}
    shown = {name for _, kind, _ in SECTIONS for name in own_settings(kind)}
    names = sorted({name for recipe in recipes.values() for name in recipe} - shown)
    lines = [
        "# Settings of TRL and Transformers",
        "",
        "Settings that a recipe may also give and that this package leaves as they are upstream. The texts are those of "
        f"{made_with()}, shortened to their first sentences. An empty column says that the command does not take the setting. "
        "This page is generated by `scripts/docs_reference.py`.",
        "",
    ]
    rows = []
    for name in names:
        known = next(recipe[name] for recipe in recipes.values() if name in recipe)
        defaults = [_default(recipes[kind].get(name)) for kind in KINDS]
        rows.append((code(name), _type(known), *defaults, _meaning(known)))
    lines += table(("setting", "type", *(f"default, {kind}" for kind in KINDS), "meaning"), rows)
    lines += ["", "## Settings that are refused", "", _REFUSED, ""]
    refused = {kind: recipe_kind(kind).refused for kind in KINDS}
    rows = []
    for name in sorted({name for table_ in refused.values() for name in table_}):
        kinds = [kind for kind in KINDS if name in refused[kind]]
        accepted, reason = refused[kinds[0]][name]
        values = " ".join(code(_yaml(value).lower() if isinstance(value, bool) else _yaml(value)) for value in accepted)
        rows.append((code(name), " ".join(code(kind) for kind in kinds), values or "none", plain(reason)))
    lines += table(("setting", "command", "accepted values", "reason"), rows)
    lines += ["", "## Names that have changed", "", _MOVED, ""]
    lines += table(("name", "what to write"), [(code(name), plain(text)) for name, text in sorted(MOVED.items())])
    return "\n".join([*lines, ""])


_REFUSED = (
    "A setting that this package cannot honour is an error with its reason. Values in the third column change nothing and are "
    "accepted."
)
_MOVED = "Names of other tools or of earlier releases are errors that name the replacement."


def made_with() -> str:
    """The releases that the schema was generated from, in words."""
    return " and ".join(f"{name} {version}" for name, version in schema()["made_with"].items())
