"""The settings that all recipes share: model, adapter, data, rewards, and the stabilisers of training.

The settings of one trainer only are defined beside the trainer (`trainers/sft_config.py`, `trainers/grpo_config.py`), with TRL's
and Transformers' names and the defaults of the official SFT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from transformers.training_args import OptimizerNames, TrainingArguments

from hrm_align.config.launcher import Launched, apply_launcher, check_accelerator_config, precision_of
from hrm_align.config.yaml_file import mapping_or_text
from hrm_align.rendering import DEFAULT_CONDITION

if TYPE_CHECKING:
    from hrm_align.data.specs import DatasetSpec


def option(default: Any, help: str, **metadata: Any) -> Any:
    """Return a dataclass field with a default, a help text, and keywords of argparse's `add_argument`; a list is copied."""
    value: dict[str, Any] = {"default_factory": default.copy} if isinstance(default, list) else {"default": default}
    return field(**value, metadata={"help": help, **metadata})


class Entry(dict[str, Any]):
    """One entry of a list of mappings, from a file or a flag.

    Args:
        entry: a mapping; a mapping as YAML text ("{path: a.jsonl, weight: 2}"); or plain text, the value of the key `BARE`.

    Raises:
        argparse.ArgumentTypeError: for text that begins with a brace and is not a valid mapping.
    """

    BARE: ClassVar[str]

    def __init__(self, entry: str | Mapping[str, Any]):
        value = mapping_or_text(entry) if isinstance(entry, str) else entry
        super().__init__({self.BARE: value} if isinstance(value, str) else value)


class DatasetEntry(Entry):
    """One entry of `datasets`, with the keys of `DatasetSpec`; plain text is the `path`."""

    BARE = "path"


class RewardEntry(Entry):
    """One entry of `rewards`, with the keys of `RewardSpec`; plain text is the `name`."""

    BARE = "name"


@dataclass
class ModelArguments:
    """The model to train, and the precision of its weights."""

    model_name_or_path: str | None = option(
        None, "Checkpoint folder or Hub id; `tiny` is the base that ships with the package."
    )
    model_revision: str = option("main", "Branch, tag or commit of a Hub id.")
    tokenizer_name_or_path: str | None = option(None, "Location of the tokenizer, if not that of the model.")
    dtype: str = option(
        "float32",
        "Precision the weights are loaded and updated in. bfloat16 weights lose most "
        "updates at SFT learning rates: keep float32 and set bf16 for the forward pass.",
        choices=["bfloat16", "float16", "float32"],
    )
    attn_implementation: str | None = option(
        None, "per_document, sdpa, eager, flex_attention or varlen; unset for per_document on a CPU and sdpa elsewhere."
    )
    load_in_4bit: bool = option(
        False, "Load the base in 4 bits and train an adapter (QLoRA; needs bitsandbytes and a GPU)."
    )
    load_in_8bit: bool = option(False, "Load the base in 8 bits and train an adapter (needs bitsandbytes and a GPU).")


@dataclass
class LoraArguments:
    """The adapter, with TRL's and PEFT's names; these settings have no effect without `use_peft`."""

    CONSTANT: ClassVar[str] = "constant"
    PER_APPLICATION: ClassVar[str] = "per_application"
    INITIALISATIONS: ClassVar[tuple[str, ...]] = ("true", "gaussian", "orthogonal", "olora", "pissa")

    use_peft: bool = option(False, "Train an adapter and leave the base unchanged.")
    lora_r: int = option(16, "Rank of the adapter.")
    lora_alpha: float | None = option(None, "The adapter's change is scaled by alpha / r; unset for alpha = r.")
    lora_dropout: float = option(0.0, "Dropout on the adapter's input.")
    lora_target_modules: list[str] = option(
        ["stacks"], "Layers to adapt: stacks, high, low, attention, mlp, head, all, low.mlp, or names of layers."
    )
    lora_scaling: str = option(
        CONSTANT,
        "constant, or per_application: divide alpha by the number of runs of a module per forward pass (H 2, L 6).",
        choices=[CONSTANT, PER_APPLICATION],
    )
    use_rslora: bool = option(False, "Scale by alpha / sqrt(r) instead of alpha / r.")
    use_dora: bool = option(False, "Train magnitude and direction separately (DoRA).")
    init_lora_weights: str = option("true", "Initialisation of the adapter.", choices=list(INITIALISATIONS))
    lora_dtype: str = option("float32", "Precision of the adapter's weights.", choices=["float32", "bfloat16"])
    trainable_tokens: list[str] = option([], "Tokens whose rows in embedding and output head are trained, too.")


@dataclass
class DataArguments:
    """The data sets, and the share of rows that may be unusable."""

    datasets: list[DatasetEntry] = option([], "Data sets to train on.")
    eval_datasets: list[DatasetEntry] = option([], "Held-out data sets.")
    eval_fraction: float = option(0.0, "Share of the rows to hold out, by content hash, if eval_datasets is empty.")
    replay_datasets: list[DatasetEntry] = option([], "Data sets of the base's own skills, mixed in against forgetting.")
    replay_fraction: float = option(0.0, "Share of the training rows drawn from replay_datasets.")
    guard_datasets: list[DatasetEntry] = option([], "Data sets scored before and after the run, to detect forgetting.")
    guard_samples: int = option(200, "Rows scored of each guard data set; 0 for all.")
    guard_match: str = option("exact", "Grader for the answers to guard_datasets, such as json or sql.")
    guard_margin: float = option(0.05, "A drop in the score larger than this (0 to 1) is reported as a warning.")
    condition: str = option(DEFAULT_CONDITION, "Condition of rows and data sets that name none: direct, synth,cot ...")
    ignore_columns: list[str] = option(
        [],
        "Columns to leave out of every data set, and keys of messages as messages.KEY, which would otherwise be read or "
        "refused.",
    )
    max_bad_fraction: float = option(0.0, "Share of malformed rows above which the run stops.")
    max_damaged_fraction: float = option(
        1.0,
        "Share of rows with damaged text (lost backslashes, wrong encodings, HTML, cut answers) above which the run stops; 1 "
        "only warns.",
    )
    max_dropped_fraction: float = option(
        0.1, "Share of rows that are too long for max_length or have no answer, above which the run stops."
    )

    def specs(self) -> list[DatasetSpec]:
        """Return the entries of `datasets`. Raises UserError for an unknown key."""
        return [self._parse_spec(entry) for entry in self.datasets]

    def eval_specs(self) -> list[DatasetSpec]:
        """Return the entries of `eval_datasets`. Raises UserError for an unknown key."""
        return [self._parse_spec(entry) for entry in self.eval_datasets]

    def replay_specs(self) -> list[DatasetSpec]:
        """Return the entries of `replay_datasets`. Raises UserError for an unknown key."""
        return [self._parse_spec(entry) for entry in self.replay_datasets]

    def guard_specs(self) -> list[DatasetSpec]:
        """Return the entries of `guard_datasets`. Raises UserError for an unknown key."""
        return [self._parse_spec(entry) for entry in self.guard_datasets]

    def _parse_spec(self, entry: DatasetEntry) -> DatasetSpec:
        """Check one entry, and add `ignore_columns` to its own. Raises UserError for an unknown key."""
        from hrm_align.data.specs import DatasetSpec  # not at the top: hrm_align.data imports hrm_align.config

        return DatasetSpec.from_dict(add_ignored(entry, self.ignore_columns))


def add_ignored(entry: DatasetEntry, ignored: list[str]) -> dict[str, Any]:
    """Return an entry of `datasets` whose `ignore_columns` has those of the recipe too."""
    own = entry.get("ignore_columns") or []
    return {**entry, **({"ignore_columns": [*([own] if isinstance(own, str) else own), *ignored]} if ignored else {})}


@dataclass
class BaseRecipe:
    """The parts that the parsed recipes of all trainers have; a trainer's own recipe adds `training`."""

    KIND: ClassVar[str]  # the name of its command

    model: ModelArguments
    lora: LoraArguments
    data: DataArguments


# Transformers before 5.23 has `gradient_checkpointing` and `gradient_checkpointing_kwargs` instead of `activation_*`.
_UPSTREAM = {f.name for f in fields(TrainingArguments)}


@dataclass
class StabiliserArguments:
    """Settings that every trainer of hrm_align adds to TRL's; `optim` also accepts `adam_atan2`."""

    ADAM_ATAN2: ClassVar[str] = "adam_atan2"

    optim: str = option(
        OptimizerNames.ADAMW_TORCH_FUSED.value,
        "Optimizer: adam_atan2 (as in the official training), or one of Transformers'.",
        choices=[ADAM_ATAN2, *(name.value for name in OptimizerNames)],
    )
    dry_run: bool = option(
        False,
        "Read all rows, tokenize a sample, check the rewards, show rows and mask, estimate memory and time, take one step, and "
        "stop. Nothing is written.",
    )
    output_dir: str | None = option(None, "Folder of the run. A run never writes into the folder of another run.")
    hub_private_repo: bool | None = option(
        None,
        "Visibility of the repository that push_to_hub makes: private, or public with false. A repository that exists keeps its "
        "visibility; true refuses a public repository.",
    )
    bp_steps: int | None = option(
        None,
        "Number of stack passes with gradient, counted from the last; unset for the official 5 (all of H, one cycle of L).",
    )
    bp_min_steps: int | None = option(
        None, "Value of bp_steps at the start of a warm-up; the official pretraining uses 2."
    )
    bp_max_steps: int | None = option(None, "Value of bp_steps at the end of the warm-up.")
    bp_warmup_ratio: float = option(0.0, "Share of the optimizer steps over which bp_steps rises.")
    ema_decay: float | None = option(
        None, "Decay of an average of the weights, saved in ema/; unset for none; the official SFT uses 0.999."
    )
    ema_for_evaluation: bool = option(False, "Evaluate the averaged weights instead of the trained ones.")
    module_learning_rates: dict[str, Any] | str | None = option(
        None, "Learning rates by group of modules, {low: 1e-5, head: 1e-4}; other modules use learning_rate."
    )
    # TRL turns checkpointing on by default under the old name; this value overrides TRL's, because it costs 22 % more FLOPs.
    activation_checkpointing: bool | None = option(
        False, "Recompute activations in the backward pass: less memory, slower.", nargs="?", const=True
    )
    activation_checkpointing_kwargs: dict[str, Any] | str | None = option(
        None,
        "Options of activation_checkpointing: every_n_layers, offload, and those of torch.utils.checkpoint, "
        "{every_n_layers: 2}.",
    )
    health: bool = option(True, "Log health metrics of the recurrence, and warn when it collapses.")
    score_responses_only: bool | None = option(
        None,
        "Compute the output head for response tokens only; unset: on if TRL's fused head is not available (no Triton).",
        nargs="?",
        const=True,
    )

    compile_blocks: bool = option(
        False, "Compile the blocks of both stacks for training: takes a minute at the start, and makes steps faster."
    )
    warmup_is_a_flag: bool = field(default=False, init=False)  # whether warmup_steps was given on the command line
    # These settings behave differently from Transformers' own, so their help texts are replaced.
    save_total_limit: int | None = option(
        3,
        "Number of checkpoints to keep; 0 for all. The newest one and the best one (load_best_model_at_end) are never deleted.",
    )
    push_to_hub: bool = option(
        False, "Export the run when it ends, check the export, and push it to the Hub repository hub_model_id."
    )
    hub_model_id: str | None = option(None, "Repository for push_to_hub, OWNER/NAME.")
    preemption_signal: str | None = option(
        None, "A signal, besides SIGTERM, at which the run saves and stops, such as USR1 of SLURM's --signal."
    )
    preemption_dir: str | None = option(
        None, "Folder on a local disk where a preempted run saves before it copies to output_dir; unset for TMPDIR."
    )
    resume_from_checkpoint: str | None = option(
        None,
        "Checkpoint folder to resume from; latest: the newest complete checkpoint in output_dir; auto: the same, or a new "
        "start if there is none, so that one command line serves the first start and every restart.",
    )

    def __post_init__(self) -> None:
        """Set defaults that depend on the machine or on other settings, and pass `optim` through Transformers' check."""
        args = cast(Any, self)  # the class is always combined with one of TRL's configs, which has the other attributes
        if not torch.accelerator.is_available() or Launched.read().use_cpu:
            args.use_cpu = True
        if self.score_responses_only is None:
            self.score_responses_only = bool(args.use_cpu)
        apply_launcher(args)
        if args.lr_scheduler_type == "cosine_with_min_lr" and args.lr_scheduler_kwargs is None:
            args.lr_scheduler_kwargs = {"min_lr_rate": 0.1}
        if "activation_checkpointing" not in _UPSTREAM:
            args.gradient_checkpointing = bool(self.activation_checkpointing)
            args.gradient_checkpointing_kwargs = self.activation_checkpointing_kwargs
        optim = self.optim
        if optim == self.ADAM_ATAN2:
            self.optim = "adamw_torch"  # Transformers accepts only its own names
        super().__post_init__()  # type: ignore[misc]  # defined by TRL's config, the next class in the MRO
        args.mixed_precision = precision_of(
            args
        )  # Transformers prefers the launcher's, even to an explicit `bf16: false`
        check_accelerator_config(args)
        self.optim = optim if optim == self.ADAM_ATAN2 else self.optim


@dataclass
class RewardArguments:
    """The rewards, and how they are checked before training."""

    rewards: list[RewardEntry] = option(
        [], "Rewards by name, or {name, weight, ...}, or {file, function}; `hrm-align rewards` lists them."
    )
    reward_workers: int = option(
        2, "Number of processes for the graders of hrm_align; each user function has one more."
    )
    reward_deadline: float = option(
        10.0,
        "Seconds that grading one rollout may take, without the time in which a reward file loads; `judge` has its own.",
    )
    preflight_samples: int = option(
        200, "Rows whose reference, and a corrupted copy of it, are graded before the run; 0 for none."
    )
    max_ungraded_fraction: float = option(
        0.0, "Share of these rows whose reference may fail, or whose corrupted copy may pass."
    )
    headroom: str | None = option(None, "File with pass rates of the prompts, written by `hrm-align headroom --save`.")
    min_pass_rate: float = option(0.0, "Leave out prompts with a lower pass rate in `headroom`.")
    max_pass_rate: float = option(1.0, "Leave out prompts with a higher pass rate in `headroom`.")
    curriculum: bool = option(False, "Train on easy prompts first, by their pass rate in `headroom`.")
