"""The schema of the command line: all settings and options with their help texts, available without importing torch.

`schema.json` is generated from the dataclasses and parsers. `--help`, shell completion and the error for a misspelt setting use it,
and therefore answer within a fraction of a second.

    python -m tests.golden.schema  # regenerates schema.json; tests/config/test_schema.py fails if it is out of date
"""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hrm_align.config.recipe_files import find_recipe
from hrm_align.config.yaml_file import read_yaml
from hrm_align.errors import UserError
from hrm_align.output import emit

FILE = Path(__file__).with_name("schema.json")
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
    "streaming": "data sets are always loaded as a whole",
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
        `help` and `flags`; `made_with`: the releases that the schema was generated with.
    """
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def check_words(kind: str, argv: Sequence[str]) -> bool:
    """Print help, or check the names of all flags and of all settings in the recipe file.

    Args:
        kind: `sft` or `grpo`.
        argv: the command line arguments after the command.

    Returns:
        Whether help was printed, so that nothing remains to do.

    Raises:
        UserError: for the first unknown name or an unreadable file, with its place (`file:line` or `command line`) and remedy.
    """
    if {"-h", "--help", "--help-all"} & {*argv}:
        emit(recipe_help(kind, whole="--help-all" in argv))
        return True
    flags = schema()["recipes"][kind]["flags"]
    config = None
    for place, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name == "--config":
            config = value if equals else argv[place + 1] if place + 1 < len(argv) else None
        elif name.startswith("--") and (name not in flags or name[2:].replace("-", "_") in MOVED):
            require(kind, name[2:].replace("-", "_"), "command line")
    if config is not None:
        for key, _ in read_yaml(recipe := find_recipe(config))[0].value:
            require(kind, str(key.value), f"{recipe}:{key.start_mark.line + 1}")
    return False


def require(kind: str, key: str, where: str) -> None:
    """Raise UserError unless a setting exists. The message does not show the value, which may be a secret."""
    if hint := MOVED.get(key):
        raise UserError(f"{where}: unknown setting {key}: {hint}.")
    settings = schema()["recipes"][kind]["settings"]
    if key in settings:
        return
    for other, recipe in schema()["recipes"].items():
        if key in recipe["settings"]:
            raise UserError(f"{where}: {key} is a setting of hrm-align {other}, not of {kind}. Leave it out.")
    near = difflib.get_close_matches(key.lower().replace("-", "_"), settings, n=1)
    remedy = f"did you mean {near[0]}?" if near else "use a name that --help-all lists."
    raise UserError(f"{where}: unknown setting {key}: {remedy}")


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
