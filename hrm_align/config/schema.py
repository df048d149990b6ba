"""The schema of the command line: all settings and options with their help texts, available without importing torch.

`schema.json` is generated from the dataclasses, their tables of rules, and the parsers. `--help`, shell completion and
`hrm_align.config.checks` use it, and therefore answer within a fraction of a second.

    python -m tests.golden.schema  # regenerates schema.json; tests/config/test_schema.py fails if it is out of date
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("schema.json")
GRPO = "grpo"  # the kind of recipe that has rewards
HELP_WIDTH = 100  # columns of the stored help texts

_CHECKPOINTING = "the setting was renamed to activation_checkpointing"
# Names from other tools and releases, with the replacement to name in the error.
MOVED = {
    "dataset_name": "write datasets: [{path: ...}]",
    "env": "set environment variables in the shell",
    "eval_dataset": "the setting is called eval_datasets",
    "evaluation_strategy": "the setting was renamed to eval_strategy",
    "formatting_func": "name the columns in an entry of datasets: columns: {prompt: ..., response: ...}",
    "gradient_checkpointing": _CHECKPOINTING,
    "gradient_checkpointing_kwargs": _CHECKPOINTING + "_kwargs",
    "group_by_length": "write train_sampling_strategy: group_by_length",
    "logging_dir": "Transformers removed the setting: set TENSORBOARD_LOGGING_DIR in the shell",
    "max_prompt_length": "prompts are never cut; those that leave no room for max_completion_length are counted and dropped",
    "max_seq_length": "the setting was renamed to max_length",
    "no_cuda": "the setting was renamed to use_cpu",
    "overwrite_output_dir": "Transformers removed the setting: choose another output_dir, or set resume_from_checkpoint",
    "reward_funcs": "the setting is called rewards",
    "reward_weights": "write the weight beside its reward: rewards: [{name: math, weight: 1}]",
    "save_safetensors": "Transformers removed the setting: checkpoints are always safetensors",
    "test_split_size": "the setting is called eval_fraction",
    "tokenizer": "the setting is called tokenizer_name_or_path",
    "torch_dtype": "the setting was renamed to dtype",
    "lora_modules_to_save": "name `head` in lora_target_modules, or trainable_tokens",
    "lora_target_parameters": "name the layers in lora_target_modules",
    "lora_task_type": "the task is always CAUSAL_LM",
    "use_bnb_nested_quant": "load_in_4bit always quantises the constants, too",
    "bnb_4bit_quant_type": "load_in_4bit always uses nf4",
    "bnb_4bit_quant_storage": "load_in_4bit always uses the default of bitsandbytes",
    "warmup_ratio": "write warmup_steps: a number below 1 is a share of all steps",
}


@cache
def schema() -> dict[str, Any]:
    """Load schema.json.

    Returns:
        `recipes`: for each kind its `settings`, its `everyday` settings and its `flags`; `commands`: for each other command its
        `help`, `flags` and `options`; `made_with`: the releases that the schema was generated with.
    """
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def kind_of(keys: Collection[str], name: str = "") -> str:
    """Return the kind of a recipe that does not name its trainer.

    Args:
        keys: names of its settings.
        name: its name or path; a word such as `dpo` in the file's name is the kind, unless the settings exclude it.

    Returns:
        The kind with the fewest unknown settings; of several, that of the file's name, or else the first one of the schema. A
        recipe with `rewards` is one of `grpo`, and no other is.
    """
    words, recipes = re.split(r"[\W_]+", Path(name).stem), schema()["recipes"]
    if "rewards" in keys:
        return GRPO

    def rank(kind: str) -> tuple[int, bool]:
        return len({*keys} - recipes[kind]["settings"].keys()), kind not in words

    return min((kind for kind in recipes if kind != GRPO), key=rank)


def recipe_help(kind: str, whole: bool) -> str:
    """Return the help of a recipe's command, with the everyday settings or (`whole`) all settings."""
    recipe = schema()["recipes"][kind]
    names = [name for name, known in recipe["settings"].items() if not known.get("hidden")]
    more = f"For all {len(names)} settings: hrm-align {kind} --help-all."
    parser = argparse.ArgumentParser(
        prog=f"hrm-align {kind}",
        usage=f"hrm-align {kind} --config RECIPE [--setting VALUE ...]",
        description=f"for example: hrm-align {kind} --config {recipe['example']} --learning_rate 1e-4 --output_dir runs/mine",
        epilog=None if whole else more,
        add_help=False,
        formatter_class=_Wide,
    )
    parser.add_argument(
        "--config",
        metavar="RECIPE",
        help="recipe: a YAML file, or a name such as tiny/sft; flags override its settings",
    )
    for name in names if whole else recipe["everyday"]:
        known = recipe["settings"][name]
        default = "" if known["default"] is None else f" (default {known['default']})"
        kinds = "{" + ",".join(known["choices"]) + "}" if "choices" in known else known["type"].upper()
        parser.add_argument(f"--{name}", metavar=kinds, help=f"{known['help']}{default}".replace("%", "%%"))
    return parser.format_help().rstrip("\n")


class _Wide(argparse.HelpFormatter):
    """Help formatter with a fixed width, so that the stored texts do not depend on the terminal."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=32, width=HELP_WIDTH)
