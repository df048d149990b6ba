"""The keys that all recipes share: model, adapter, data, rewards, and the stabilisers of a trainer.

Each trainer's own keys stand beside it (`trainers/sft_config.py`, `trainers/grpo_config.py`), under TRL's and Transformers'
names, with the defaults of the official SFT.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from transformers.training_args import OptimizerNames, TrainingArguments
from transformers.utils import is_torch_bf16_gpu_available

from hrm_align.config.yaml_file import mapping_or_text
from hrm_align.rendering import DEFAULT_CONDITION

if TYPE_CHECKING:
    from hrm_align.data.dataset import DatasetSpec


def option(default: Any, help: str, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": help, **metadata})


class Entry(dict[str, Any]):
    """One entry of a list of mappings. A bare word stands for the key `BARE`; a flag may hold a mapping, as a file would.

    Raises:
        argparse.ArgumentTypeError: for a word that begins like a mapping and is none.
    """

    BARE: ClassVar[str]

    def __init__(self, entry: str | Mapping[str, Any]):
        read = mapping_or_text(entry) if isinstance(entry, str) else entry
        super().__init__({self.BARE: read} if isinstance(read, str) else read)


class DatasetEntry(Entry):
    """One entry of `datasets`: the keys of `DatasetSpec`."""

    BARE = "path"


class RewardEntry(Entry):
    """One entry of `rewards`: the keys of `RewardSpec`."""

    BARE = "name"


@dataclass
class ModelArguments:
    """What is trained, and in which precision its weights are held."""

    model_name_or_path: str | None = option(None, "Checkpoint folder or Hub id; `tiny` is the embedded base.")
    model_revision: str = option("main", "Branch, tag or commit of a Hub id.")
    tokenizer_name_or_path: str | None = option(None, "Where the tokenizer is, if not beside the model.")
    dtype: str = option(
        "float32",
        "Precision the weights are loaded and updated in. bfloat16 weights lose most "
        "updates at SFT learning rates: keep float32 and set bf16 for the forward pass.",
        choices=["bfloat16", "float16", "float32"],
    )
    attn_implementation: str | None = option(
        None, "per_document, sdpa, eager, flex_attention or varlen; unset for per_document on a CPU and sdpa elsewhere."
    )
    load_in_4bit: bool = option(False, "Hold the base in 4 bits under an adapter (QLoRA; bitsandbytes, GPU).")
    load_in_8bit: bool = option(False, "The same in 8 bits.")


@dataclass
class LoraArguments:
    """The adapter, under TRL's and PEFT's names; nothing of it counts without `use_peft`."""

    CONSTANT: ClassVar[str] = "constant"
    PER_APPLICATION: ClassVar[str] = "per_application"
    INITIALISATIONS: ClassVar[tuple[str, ...]] = ("true", "gaussian", "orthogonal", "olora", "pissa")

    use_peft: bool = option(False, "Train an adapter and leave the base as it is.")
    lora_r: int = option(16, "Rank.")
    lora_alpha: float | None = option(None, "Scale of the delta, which is alpha / r; unset for alpha = r.")
    lora_dropout: float = option(0.0, "Dropout before the adapter.")
    lora_target_modules: list[str] = field(
        default_factory=lambda: ["stacks"],
        metadata={"help": "stacks, high, low, attention, mlp, head, all, low.mlp, or names of layers."},
    )
    lora_scaling: str = option(
        CONSTANT,
        "constant, or per_application: alpha is divided by how often a module runs in a forward (H 2, L 6).",
        choices=[CONSTANT, PER_APPLICATION],
    )
    use_rslora: bool = option(False, "Scale by alpha / sqrt(r).")
    use_dora: bool = option(False, "Train magnitude and direction apart.")
    init_lora_weights: str = option("true", "How the adapter begins.", choices=list(INITIALISATIONS))
    lora_dtype: str = option("float32", "Precision of the adapter's weights.", choices=["float32", "bfloat16"])
    trainable_tokens: list[str] = field(
        default_factory=list, metadata={"help": "Tokens whose embedding and output rows are trained too."}
    )


@dataclass
class DataArguments:
    """What is learnt from, and how much of it may be unusable."""

    datasets: list[DatasetEntry] = field(default_factory=list, metadata={"help": "Data sets to train on."})
    eval_datasets: list[DatasetEntry] = field(default_factory=list, metadata={"help": "Held-out data sets."})
    eval_fraction: float = option(0.0, "Share of the rows to hold out, by content hash, if eval_datasets is empty.")
    replay_datasets: list[DatasetEntry] = field(
        default_factory=list, metadata={"help": "What the base knows, mixed in so that it is not forgotten."}
    )
    replay_fraction: float = option(0.0, "Share of the training rows that are drawn from replay_datasets.")
    guard_datasets: list[DatasetEntry] = field(
        default_factory=list, metadata={"help": "What must not be forgotten: scored before and after the run."}
    )
    guard_samples: int = option(200, "Rows of each guard data set that are asked; 0 for all.")
    guard_match: str = option("exact", "How the answers to guard_datasets are graded: a grader such as json or sql.")
    guard_margin: float = option(0.05, "Drop in the score, from 0 to 1, beyond which a warning is given.")
    condition: str = option(DEFAULT_CONDITION, "Condition of rows and data sets that name none: direct, synth,cot ...")
    max_bad_fraction: float = option(0.0, "Share of malformed rows above which the run stops.")
    max_dropped_fraction: float = option(
        0.1, "Share of rows too long for max_length, or without an answer, above which the run stops."
    )

    def specs(self) -> list[DatasetSpec]:
        """`datasets`, checked. Raises UserError for an unknown key."""
        return [_spec(entry) for entry in self.datasets]

    def eval_specs(self) -> list[DatasetSpec]:
        """`eval_datasets`, checked. Raises UserError for an unknown key."""
        return [_spec(entry) for entry in self.eval_datasets]

    def replay_specs(self) -> list[DatasetSpec]:
        """`replay_datasets`, checked. Raises UserError for an unknown key."""
        return [_spec(entry) for entry in self.replay_datasets]

    def guard_specs(self) -> list[DatasetSpec]:
        """`guard_datasets`, checked. Raises UserError for an unknown key."""
        return [_spec(entry) for entry in self.guard_datasets]


def _spec(entry: DatasetEntry) -> DatasetSpec:
    from hrm_align.data.dataset import DatasetSpec  # imports point down: data stands above configs

    return DatasetSpec.from_dict(dict(entry))


# Transformers before 5.23 has `gradient_checkpointing` and `gradient_checkpointing_kwargs` alone.
_UPSTREAM = {f.name for f in fields(TrainingArguments)}


@dataclass
class StabiliserArguments:
    """Keys that every trainer of this project adds to TRL's; `optim` takes `adam_atan2` too."""

    ADAM_ATAN2: ClassVar[str] = "adam_atan2"

    optim: str = option(
        OptimizerNames.ADAMW_TORCH_FUSED.value,
        "Optimizer: adam_atan2 (the official one), or one of Transformers'.",
        choices=[ADAM_ATAN2, *(name.value for name in OptimizerNames)],
    )
    bp_steps: int | None = option(
        None,
        "Stack passes that carry gradient, counted from the last; unset for the official 5 (all of H, one cycle of L).",
    )
    bp_min_steps: int | None = option(None, "Where a warm-up of that horizon begins; the official pretraining has 2.")
    bp_max_steps: int | None = option(None, "Where it ends.")
    bp_warmup_ratio: float = option(0.0, "Share of the optimizer steps over which it rises.")
    ema_decay: float | None = option(None, "Keep an average of the weights, saved in ema/; the official SFT has 0.999.")
    ema_for_evaluation: bool = option(False, "Evaluate the averaged weights instead of the trained ones.")
    module_learning_rates: dict[str, Any] | str | None = field(
        default=None,
        metadata={"help": "Rates by group of modules, {low: 1e-5, head: 1e-4}; the others have learning_rate."},
    )
    # TRL checkpoints by default, through the old name, which a value here overrules: 22 % more FLOPs, rarely needed.
    activation_checkpointing: bool | None = option(
        False, "Recompute activations in the backward pass: less memory, slower.", nargs="?", const=True
    )
    activation_checkpointing_kwargs: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "Options of it: every_n_layers, offload, and those of torch.utils.checkpoint, {every_n_layers: 2}."
        },
    )
    health: bool = option(True, "Measure what the loss does not show, and warn when the recurrence collapses.")
    score_responses_only: bool | None = option(
        None,
        "Compute the head for response tokens alone; unset for on where TRL's fused head does not do it (no Triton).",
        nargs="?",
        const=True,
    )

    compile_blocks: bool = option(
        False, "Compile the blocks of both stacks for training: a minute at the start, then fewer and faster kernels."
    )
    # What Transformers' own help says of these does not happen here.
    push_to_hub: bool = option(
        False, "Publish the run once, at its end: an export that has been checked, in the repository hub_model_id."
    )
    hub_model_id: str | None = option(None, "OWNER/NAME of that repository.")
    preemption_signal: str | None = option(
        None, "A signal besides SIGTERM at which to save and stop, such as USR1, which SLURM's --signal sends earlier."
    )
    preemption_dir: str | None = option(
        None, "Folder on this machine's own disk that a stopped run saves to before it copies; unset for TMPDIR."
    )
    resume_from_checkpoint: str | None = option(
        None,
        "Folder of a checkpoint to go on from; latest for the newest whole one in output_dir; auto for that, or from the start "
        "where there is none yet: one command line for the first start and for every restart.",
    )

    def __post_init__(self) -> None:
        """Settle what Transformers cannot: the processor, the precision, a floor of the rate, our own optimizer."""
        args = cast(Any, self)  # of one of TRL's configs too
        if not torch.accelerator.is_available() or os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true"):
            args.use_cpu = True
        if self.score_responses_only is None:
            self.score_responses_only = bool(args.use_cpu)
        if args.bf16 is None:
            args.bf16 = not (args.fp16 or args.use_cpu) and is_torch_bf16_gpu_available()
        if args.lr_scheduler_type == "cosine_with_min_lr" and args.lr_scheduler_kwargs is None:
            args.lr_scheduler_kwargs = {"min_lr_rate": 0.1}
        if "activation_checkpointing" not in _UPSTREAM:
            args.gradient_checkpointing = bool(self.activation_checkpointing)
            args.gradient_checkpointing_kwargs = self.activation_checkpointing_kwargs
        asked = self.optim
        if asked == self.ADAM_ATAN2:
            self.optim = "adamw_torch"  # Transformers checks the name against its own list
        super().__post_init__()  # type: ignore[misc]  # of TRL's config, which stands behind this class
        self.optim = asked if asked == self.ADAM_ATAN2 else self.optim


@dataclass
class RewardArguments:
    """The rewards of an answer, and how they are checked before training."""

    rewards: list[RewardEntry] = field(
        default_factory=list,
        metadata={
            "help": "Rewards by name, or {name, weight, ...}, or {file, function}; `hrm-align rewards` lists them."
        },
    )
    reward_workers: int = option(2, "Processes that grade, started before the run.")
    reward_deadline: float = option(10.0, "Seconds that the grading of one batch may take, for each reward.")
    preflight_samples: int = option(
        200, "Rows whose own answer, and a corrupted one, are graded before the run; 0 for none."
    )
    max_ungraded_fraction: float = option(
        0.0, "Share of those rows whose own answer may fail, or whose corrupted one may pass."
    )
    headroom: str | None = option(None, "File of `hrm-align headroom --save`: how often the start solves each prompt.")
    min_pass_rate: float = option(0.0, "Leave out prompts that the start solves less often.")
    max_pass_rate: float = option(1.0, "Leave out prompts that the start solves more often.")
    curriculum: bool = option(False, "Easy prompts first, by their pass rate in `headroom`.")
