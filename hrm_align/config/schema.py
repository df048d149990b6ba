"""The schema: what can be said on the command line, known without importing torch.

`schema.json` is generated from the dataclasses and parsers themselves. From it come `--help`, shell completion, and the answer
to a misspelt setting, within a fraction of a second.

    python -m tests.golden.schema  # writes it anew; tests/config/test_schema.py compares
"""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hrm_align.config.yaml_file import read_yaml
from hrm_align.errors import UserError
from hrm_align.output import emit

FILE = Path(__file__).with_name("schema.json")
HELP_WIDTH = 100  # columns of the texts that are stored

_CHECKPOINTING = "its name is activation_checkpointing now"
# Names that users bring along, with what to write instead.
MOVED = {
    "dataset_name": "write datasets: [{path: ...}]",
    "env": "set environment variables in the shell",
    "eval_dataset": "its name is eval_datasets",
    "evaluation_strategy": "its name is eval_strategy now",
    "formatting_func": "name the columns in an entry of datasets: columns: {prompt: ..., response: ...}",
    "gradient_checkpointing": _CHECKPOINTING,
    "gradient_checkpointing_kwargs": _CHECKPOINTING + "_kwargs",
    "group_by_length": "write train_sampling_strategy: group_by_length",
    "logging_dir": "it is gone upstream: set TENSORBOARD_LOGGING_DIR in the shell",
    "max_prompt_length": "prompts are never cut; those that leave no room for max_completion_length are counted and dropped",
    "max_seq_length": "its name is max_length now",
    "no_cuda": "its name is use_cpu now",
    "overwrite_output_dir": "it is gone upstream: choose another output_dir, or resume_from_checkpoint",
    "reward_funcs": "its name is rewards",
    "reward_weights": "write the weight beside its reward: rewards: [{name: math, weight: 1}]",
    "save_safetensors": "it is gone upstream: checkpoints are always safetensors",
    "streaming": "data sets are read whole",
    "test_split_size": "its name is eval_fraction",
    "tokenizer": "its name is tokenizer_name_or_path",
    "torch_dtype": "its name is dtype now",
    "lora_modules_to_save": "name `head` in lora_target_modules, or trainable_tokens",
    "lora_target_parameters": "name the layers in lora_target_modules",
    "lora_task_type": "the task is always CAUSAL_LM",
    "use_bnb_nested_quant": "load_in_4bit quantises the constants too",
    "bnb_4bit_quant_type": "load_in_4bit is nf4",
    "bnb_4bit_quant_storage": "load_in_4bit stores what bitsandbytes does by default",
    "warmup_ratio": "write warmup_steps: a number below 1 is a share of all steps",
}


@cache
def schema() -> dict[str, Any]:
    """`recipes`: for each kind its `settings`, the `everyday` ones among them and its `flags`; `commands`: of each other command
    its `help` and `flags`."""
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def check_words(kind: str, argv: Sequence[str]) -> bool:
    """Answer what needs no dataclass: help, a flag or a key of the recipe's file that does not exist, a file that is none.

    Args:
        kind: `sft`, `grpo`.
        argv: the words after the command.

    Returns:
        Whether nothing is left to do: help was asked for, and is printed.

    Raises:
        UserError: for the first mistake, with its place (`file:line` or `command line`) and the remedy.
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
        for key, _ in read_yaml(Path(config))[0].value:
            require(kind, str(key.value), f"{config}:{key.start_mark.line + 1}")
    return False


def require(kind: str, key: str, where: str) -> None:
    """Raise UserError unless the key exists. The value is not shown: it may be a secret under a wrong name."""
    if hint := MOVED.get(key):
        raise UserError(f"{where}: {key} is not a setting here: {hint}.")
    settings = schema()["recipes"][kind]["settings"]
    if key in settings:
        return
    for other, recipe in schema()["recipes"].items():
        if key in recipe["settings"]:
            raise UserError(f"{where}: {key} is a setting of hrm-align {other}: leave it out here.")
    near = difflib.get_close_matches(key.lower().replace("-", "_"), settings, n=1)
    remedy = f"did you mean {near[0]}?" if near else "run with --help-all for the names."
    raise UserError(f"{where}: unknown setting {key}: {remedy}")


def recipe_help(kind: str, whole: bool) -> str:
    """The help of a recipe's command: its everyday settings, or all of them."""
    recipe = schema()["recipes"][kind]
    names = [name for name, known in recipe["settings"].items() if not known.get("hidden")]
    more = f"{len(names)} settings in all: hrm-align {kind} --help-all."
    parser = argparse.ArgumentParser(
        prog=f"hrm-align {kind}",
        usage=f"hrm-align {kind} --config FILE [--setting VALUE ...]",
        description=f"for example: hrm-align {kind} --config {recipe['example']} --learning_rate 1e-4 --output_dir runs/mine",
        epilog=None if whole else more,
        add_help=False,
        formatter_class=_Wide,
    )
    parser.add_argument("--config", metavar="FILE", help="the recipe, a YAML file; flags override it")
    for name in names if whole else recipe["everyday"]:
        known = recipe["settings"][name]
        default = "" if known["default"] is None else f" (default {known['default']})"
        kinds = "{" + ",".join(known["choices"]) + "}" if "choices" in known else known["type"].upper()
        parser.add_argument(f"--{name}", metavar=kinds, help=f"{known['help']}{default}".replace("%", "%%"))
    return parser.format_help().rstrip("\n")


class _Wide(argparse.HelpFormatter):
    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=32, width=HELP_WIDTH)
