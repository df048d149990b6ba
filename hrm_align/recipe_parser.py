"""Recipes in and out: a YAML file, then command-line flags, read strictly; and the resolved recipe written back.

    recipe = parse_sft(["--config", "recipes/tiny/sft.yaml", "--learning_rate", "1e-3"])
    recipe.model, recipe.lora, recipe.data, recipe.training  # ModelArguments, LoraArguments, ...

`HfArgumentParser` does the typing, for the file as for the flags. What this adds: nothing misspelt, renamed, duplicated,
of the wrong type, or that this trainer cannot honour gets through, and the error says where it stands. Relative paths
resolve against the current directory.
"""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml
from transformers import HfArgumentParser

from hrm_align.configs import DataArguments, DatasetEntry, LoraArguments, ModelArguments, SFTArguments, SFTRecipe
from hrm_align.errors import UserError
from hrm_align.rendering import parse_condition
from hrm_align.rewards.matching import MATCHERS

_CHECKPOINTING = "its name is activation_checkpointing now"
# Names that users bring along, with what to write instead.
_MOVED = {
    "dataset_name": "write datasets: [{path: ...}]",
    "env": "set environment variables in the shell",
    "eval_dataset": "its name is eval_datasets",
    "evaluation_strategy": "its name is eval_strategy now",
    "formatting_func": "name the columns in an entry of datasets: columns: {prompt: ..., response: ...}",
    "gradient_checkpointing": _CHECKPOINTING,
    "gradient_checkpointing_kwargs": _CHECKPOINTING + "_kwargs",
    "group_by_length": "write train_sampling_strategy: group_by_length",
    "logging_dir": "it is gone upstream: set TENSORBOARD_LOGGING_DIR in the shell",
    "max_seq_length": "its name is max_length now",
    "no_cuda": "its name is use_cpu now",
    "overwrite_output_dir": "it is gone upstream: choose another output_dir, or resume_from_checkpoint",
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

_RESPONSE_LOSS = "the loss is always on the response, one row for each assistant turn"
_LOADING = "set dtype, attn_implementation, model_revision and tokenizer_name_or_path instead"
_LAYOUT = "the layout of a document and its end token are fixed by what HRM-Text was pretrained on"
_LIGER = "Liger has no kernels for HRM-Text"
# Settings of SFTConfig that this trainer cannot honour: the values that change nothing, and the reason.
_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "assistant_only_loss": ((False,), _RESPONSE_LOSS),
    "average_tokens_across_devices": ((True,), "without it the loss depends on how rows are spread over processes"),
    "chat_template_path": ((None,), _LAYOUT),
    "completion_only_loss": ((None, True), _RESPONSE_LOSS),
    "dataset_kwargs": ((None,), "rows are always rendered, tokenized and counted here"),
    "dataset_text_field": ((), _MOVED["formatting_func"]),
    "eos_token": ((None,), _LAYOUT),
    "hub_token": ((), "tokens are no options: set HF_TOKEN in the environment, or run `hf auth login`"),
    "liger_kernel_config": ((None,), _LIGER),
    "model_init_kwargs": ((None,), _LOADING),
    "packing_strategy": (("bfd",), "documents are packed whole, by best fit; they are never cut"),
    "pad_token": ((None,), _LAYOUT),
    "padding_free": ((False,), "it lets prefixes see each other; packing: true does it exactly"),
    "router_aux_loss_coef": ((None,), "HRM-Text is no mixture of experts"),
    "truncation_mode": ((), "a row longer than max_length is dropped and counted; cut, it would lose its end token"),
    "trust_remote_code": ((False,), "HRM-Text is part of Transformers, and code from the Hub is never run"),
    "use_liger_kernel": ((False,), _LIGER),
}

# What must hold of a value, in words and as a test.
_BOUNDS: tuple[tuple[str, Callable[[Any], bool], tuple[str, ...]], ...] = (
    ("a finite number, 0 or more", lambda v: 0 <= v < math.inf, ("learning_rate", "weight_decay", "max_grad_norm")),
    ("a finite number above 0", lambda v: 0 < v < math.inf, ("num_train_epochs",)),
    ("0 or more, and below 1", lambda v: 0 <= v < 1, ("adam_beta1", "adam_beta2", "eval_fraction")),
    ("between 0 and 1", lambda v: 0 <= v <= 1, ("max_bad_fraction", "max_dropped_fraction", "label_smoothing_factor")),
    ("0 or more", lambda v: v >= 0, ("generation_eval_samples", "log_samples", "guard_samples")),
    ("0 or more, and below 1", lambda v: 0 <= v < 1, ("lora_dropout", "replay_fraction")),
    ("between 0 and 1", lambda v: 0 <= v <= 1, ("guard_margin",)),
    ("1 or more", lambda v: v >= 1, ("lora_r",)),
    ("a finite number above 0", lambda v: v is None or 0 < v < math.inf, ("lora_alpha",)),
    ("1 or more", lambda v: v >= 1, ("per_device_train_batch_size", "per_device_eval_batch_size")),
    ("1 or more", lambda v: v >= 1, ("gradient_accumulation_steps", "max_new_tokens")),
    ("1 or more, or -1 to go by num_train_epochs", lambda v: v == -1 or v >= 1, ("max_steps",)),
    ("8 tokens or more", lambda v: v is not None and v >= 8, ("max_length",)),
)


SCHEMA = (ModelArguments, LoraArguments, DataArguments, SFTArguments)
_ADAPTER_KEYS = [*(f.name for f in fields(LoraArguments) if f.name != "use_peft"), "load_in_4bit", "load_in_8bit"]


@dataclass(frozen=True)
class _Setting:
    value: Any
    where: str  # `file:line`, or `command line`


class _Parser(HfArgumentParser):
    def __init__(self, *schema: Any):
        super().__init__(schema, allow_abbrev=False, exit_on_error=False, prog="sft")
        self.add_argument("--config", metavar="FILE", help="The recipe; flags override it.")
        self.hints = {name: hint for cls in schema for name, hint in get_type_hints(cls).items()}
        self.hints = {f.name: self.hints[f.name] for cls in schema for f in fields(cls) if f.init}

    def read(self, words: Sequence[str], where: str) -> tuple[dict[str, _Setting], list[str]]:
        """The settings that the words name, and the words that belong to no option."""
        unset = object()
        blank = argparse.Namespace(**dict.fromkeys(["config", *self.hints], unset))
        try:
            namespace, rest = self.parse_known_args(words, blank)
        except argparse.ArgumentError as error:
            key = (error.argument_name or "").split("/")[0].lstrip("-")
            raise UserError(f"{where}: {key}: {error.message.rstrip('.')}.") from None
        return {k: _Setting(v, where) for k, v in vars(namespace).items() if v is not unset}, rest

    def require(self, key: str, where: str) -> None:
        """Raise UserError unless the key exists. The value is not shown: it may be a secret under a wrong name."""
        if hint := _MOVED.get(key):
            raise UserError(f"{where}: {key} is not a setting here: {hint}.")
        if key not in self.hints:
            near = difflib.get_close_matches(key.lower().replace("-", "_"), self.hints, n=1)
            remedy = f"did you mean {near[0]}?" if near else "run with --help for the names."
            raise UserError(f"{where}: unknown setting {key}: {remedy}")


def parse_sft(argv: Sequence[str]) -> SFTRecipe:
    """Read `--config FILE [--key value ...]`; flags override the file.

    Args:
        argv: the words after the program's name.

    Raises:
        UserError: for the first mistake found, with its place (`file:line` or `command line`) and the remedy.
    """
    parser = _Parser(*SCHEMA)
    flags, rest = parser.read(argv, "command line")
    for word in sorted(rest, key=lambda word: not word.startswith("--")):  # a misspelt flag before its value
        if word.startswith("--"):
            parser.require(word[2:].split("=")[0].replace("-", "_"), "command line")
        raise UserError(f"command line: {word!r} belongs to no setting: write --setting value.")
    for key in flags.keys() - {"config"}:
        parser.require(key, "command line")
    config = flags.pop("config", None)
    settings = (_read_file(parser, Path(config.value)) if config else {}) | flags
    _refuse(settings)
    recipe = SFTRecipe(*(_build(cls, settings) for cls in SCHEMA))
    _check(recipe, settings)
    return recipe


def resolved(recipe: SFTRecipe) -> dict[str, Any]:
    """Every setting with its value, as plain data that YAML and `parse_sft` read back.

    Old names, settings that have no value here, and with them every token, are left out; so are those of an adapter where
    there is none.
    """
    hidden = _MOVED.keys() | {key for key, (accepted, _) in _REFUSED.items() if not accepted}
    if not recipe.lora.use_peft:
        hidden |= set(_ADAPTER_KEYS)
    parts = (recipe.model, recipe.lora, recipe.data, recipe.training)
    return {f.name: _plain(getattr(p, f.name)) for p in parts for f in fields(p) if f.init and f.name not in hidden}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain scalars: `3e-5` is a number; `no`, `1:30` and `2024-01-01` are text. A key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} stands twice, keep one", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", "-+0123456789."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _read_file(parser: _Parser, path: Path) -> dict[str, _Setting]:
    text = _read_text(path)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            line = node.start_mark.line + 1 if node else 1
            raise UserError(f"{path}:{line}: a recipe is a mapping: write lines of the form `key: value`.")
        values = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UserError(f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem}.") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{path}:{line}: not valid YAML: {error.reason}.") from None
    settings: dict[str, _Setting] = {}
    for key_node, value_node in node.value:
        key, where = str(key_node.value), f"{path}:{key_node.start_mark.line + 1}"
        parser.require(key, where)
        if isinstance(value_node, yaml.ScalarNode) and value_node.tag != "tag:yaml.org,2002:null":
            settings |= parser.read([f"--{key}={value_node.value}"], where)[0]  # as the same word in a flag
        else:
            settings[key] = _Setting(_structured(key, values[key], parser.hints[key], where), where)
    return settings


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: a recipe is a YAML file.") from None
    except OSError as error:
        folder = path.parent
        there = folder.glob("*.y*ml") if folder.is_dir() else folder.parent.glob("*/*.y*ml")
        near = difflib.get_close_matches(str(path), sorted(map(str, there)), n=1, cutoff=0.4)
        remedy = f"did you mean {near[0]}?" if near else "give the path of a YAML file after --config."
        raise UserError(f"cannot read the recipe {path} ({error.strerror}): {remedy}") from None


def _structured(key: str, value: Any, hint: Any, where: str) -> Any:
    """A null, list or mapping of the file, for a setting that may hold one."""
    kinds = {get_origin(kind) or kind: kind for kind in (hint, *get_args(hint))}
    if type(value) not in kinds:
        given = "a list" if isinstance(value, list) else "a mapping" if isinstance(value, dict) else "empty"
        raise UserError(f"{where}: {key} is {given}, expected {getattr(hint, '__name__', None) or hint}.")
    if isinstance(value, list) and get_args(kinds[list]) == (DatasetEntry,):
        for index, entry in enumerate(value):
            if not isinstance(entry, (str, dict)):
                raise UserError(f"{where}: {key}[{index}] is {entry!r}, expected a path or a mapping with `path`.")
        return [DatasetEntry(entry) for entry in value]
    return value


def _refuse(settings: Mapping[str, _Setting]) -> None:
    for key, (accepted, reason) in _REFUSED.items():
        if key in settings and settings[key].value not in accepted:
            raise UserError(f"{settings[key].where}: {key} cannot be set to this here: {reason}.")


def _build(cls: type, settings: Mapping[str, _Setting]) -> Any:
    names = {f.name for f in fields(cls) if f.init}
    try:
        return cls(**{key: setting.value for key, setting in settings.items() if key in names})
    except (ValueError, OSError) as error:
        raise UserError(f"these settings cannot be combined: {' '.join(str(error).split())}") from None


def _check(recipe: SFTRecipe, settings: Mapping[str, _Setting]) -> None:
    """Values and combinations that no type can exclude."""

    def fail(key: str, need: str) -> None:
        where = settings[key].where if key in settings else "recipe"
        raise UserError(f"{where}: {key} {need}.")

    model, lora, data, training = recipe.model, recipe.lora, recipe.data, recipe.training
    values = vars(lora) | vars(data) | vars(training)
    for need, holds, keys in _BOUNDS:
        for key in keys:
            if not holds(values[key]):
                fail(key, f"is {values[key]}, it must be {need}")
    for key, value in (("model_name_or_path", model.model_name_or_path), ("datasets", data.datasets)):
        if not value:
            fail(key, "is missing: say what to train and on what, in the recipe or as a flag")
    if not settings.get("output_dir", _Setting(None, "")).value:
        fail("output_dir", "is missing: say where the run is written")
    if model.attn_implementation.startswith("flash"):
        fail("attn_implementation", "cannot be FlashAttention, which has no prefix mask: use sdpa or flex_attention")
    if model.attn_implementation not in ("sdpa", "eager", "flex_attention"):
        fail("attn_implementation", f"is {model.attn_implementation!r}: use sdpa, eager or flex_attention")
    checkpointing, schedule = training.activation_checkpointing_kwargs, training.lr_scheduler_kwargs
    for key, options in (("activation_checkpointing_kwargs", checkpointing), ("lr_scheduler_kwargs", schedule)):
        if isinstance(options, str):
            fail(key, f"is {options!r}, it must be a mapping")
    if isinstance(checkpointing, dict) and checkpointing.get("use_reentrant"):
        fail("activation_checkpointing_kwargs", "must not set use_reentrant: it gives wrong gradients under DDP")
    if training.generation_eval_match not in MATCHERS:
        fail("generation_eval_match", f"is {training.generation_eval_match!r}: use one of {', '.join(MATCHERS)}")
    _check_adapter(recipe, settings, fail)
    if bool(data.replay_datasets) != bool(data.replay_fraction):
        fail("replay_fraction" if data.replay_fraction else "replay_datasets", "needs the other: set replay_datasets "
             "and replay_fraction, or neither")  # fmt: skip
    if data.eval_datasets and data.eval_fraction:
        fail("eval_fraction", "splits the training data, but eval_datasets is given too: keep one of them")
    if not (data.eval_datasets or data.eval_fraction):
        if training.eval_strategy != "no":
            fail("eval_strategy", f"is {settings['eval_strategy'].value}, but nothing is held out: set eval_datasets")
        if training.generation_eval_samples:
            fail("generation_eval_samples", "needs held-out rows: set eval_datasets or eval_fraction")
    _check_data(data, settings)


def _check_adapter(recipe: SFTRecipe, settings: Mapping[str, _Setting], fail: Callable[[str, str], None]) -> None:
    model, lora = recipe.model, recipe.lora
    given = [key for key in _ADAPTER_KEYS if key in settings and settings[key].value is not False]
    if given and not lora.use_peft and "use_peft" not in settings:  # `--use_peft false` takes the adapter out knowingly
        fail(given[0], "is of an adapter, and none is asked for: set use_peft: true, or leave it out")
    if model.load_in_4bit and model.load_in_8bit:
        fail("load_in_8bit", "cannot be set with load_in_4bit: keep one of them")
    if not lora.lora_target_modules:
        fail("lora_target_modules", "is empty: name what to adapt, such as stacks")


def _check_data(data: DataArguments, settings: Mapping[str, _Setting]) -> None:
    checks: list[tuple[str, Callable[[], object]]] = [("condition", lambda: parse_condition(data.condition))]
    checks += [("datasets", data.specs), ("eval_datasets", data.eval_specs)]
    checks += [("guard_datasets", data.guard_specs), ("replay_datasets", data.replay_specs)]
    for key, check in checks:
        try:
            check()
        except UserError as error:
            raise UserError(f"{settings[key].where}: {key}: {error}") from None
