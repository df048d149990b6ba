"""The schema of a recipe: dataclasses under TRL's and Transformers' names, with the defaults of the official SFT.

Importing this takes seconds: `SFTArguments` is a subclass of TRL's `SFTConfig`, so TRL must be imported first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from transformers import SchedulerType
from transformers.training_args import OptimizerNames
from transformers.utils import is_torch_bf16_gpu_available
from trl import GRPOConfig, SFTConfig

from hrm_align.config.yaml_file import mapping_or_text
from hrm_align.rendering import DEFAULT_CONDITION

if TYPE_CHECKING:
    from hrm_align.data.dataset import DatasetSpec


def _option(default: Any, help: str, **metadata: Any) -> Any:
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

    model_name_or_path: str | None = _option(None, "Checkpoint folder or Hub id; `tiny` is the embedded base.")
    model_revision: str = _option("main", "Branch, tag or commit of a Hub id.")
    tokenizer_name_or_path: str | None = _option(None, "Where the tokenizer is, if not beside the model.")
    dtype: str = _option(
        "float32",
        "Precision the weights are loaded and updated in. bfloat16 weights lose most "
        "updates at SFT learning rates: keep float32 and set bf16 for the forward pass.",
        choices=["bfloat16", "float16", "float32"],
    )
    attn_implementation: str | None = _option(
        None, "per_document, sdpa, eager, flex_attention or varlen; unset for per_document on a CPU and sdpa elsewhere."
    )
    load_in_4bit: bool = _option(False, "Hold the base in 4 bits under an adapter (QLoRA; bitsandbytes, GPU).")
    load_in_8bit: bool = _option(False, "The same in 8 bits.")


@dataclass
class LoraArguments:
    """The adapter, under TRL's and PEFT's names; nothing of it counts without `use_peft`."""

    CONSTANT: ClassVar[str] = "constant"
    PER_APPLICATION: ClassVar[str] = "per_application"
    INITIALISATIONS: ClassVar[tuple[str, ...]] = ("true", "gaussian", "orthogonal", "olora", "pissa")

    use_peft: bool = _option(False, "Train an adapter and leave the base as it is.")
    lora_r: int = _option(16, "Rank.")
    lora_alpha: float | None = _option(None, "Scale of the delta, which is alpha / r; unset for alpha = r.")
    lora_dropout: float = _option(0.0, "Dropout before the adapter.")
    lora_target_modules: list[str] = field(
        default_factory=lambda: ["stacks"],
        metadata={"help": "stacks, high, low, attention, mlp, head, all, low.mlp, or names of layers."},
    )
    lora_scaling: str = _option(
        CONSTANT,
        "constant, or per_application: alpha is divided by how often a module runs in a forward (H 2, L 6).",
        choices=[CONSTANT, PER_APPLICATION],
    )
    use_rslora: bool = _option(False, "Scale by alpha / sqrt(r).")
    use_dora: bool = _option(False, "Train magnitude and direction apart.")
    init_lora_weights: str = _option("true", "How the adapter begins.", choices=list(INITIALISATIONS))
    lora_dtype: str = _option("float32", "Precision of the adapter's weights.", choices=["float32", "bfloat16"])
    trainable_tokens: list[str] = field(
        default_factory=list, metadata={"help": "Tokens whose embedding and output rows are trained too."}
    )


@dataclass
class DataArguments:
    """What is learnt from, and how much of it may be unusable."""

    datasets: list[DatasetEntry] = field(default_factory=list, metadata={"help": "Data sets to train on."})
    eval_datasets: list[DatasetEntry] = field(default_factory=list, metadata={"help": "Held-out data sets."})
    eval_fraction: float = _option(0.0, "Share of the rows to hold out, by content hash, if eval_datasets is empty.")
    replay_datasets: list[DatasetEntry] = field(
        default_factory=list, metadata={"help": "What the base knows, mixed in so that it is not forgotten."}
    )
    replay_fraction: float = _option(0.0, "Share of the training rows that are drawn from replay_datasets.")
    guard_datasets: list[DatasetEntry] = field(
        default_factory=list, metadata={"help": "What must not be forgotten: scored before and after the run."}
    )
    guard_samples: int = _option(200, "Rows of each guard data set that are asked; 0 for all.")
    guard_margin: float = _option(0.05, "Drop in exact match, from 0 to 1, that is said out loud.")
    condition: str = _option(DEFAULT_CONDITION, "Condition of rows and data sets that name none: direct, synth,cot ...")
    max_bad_fraction: float = _option(0.0, "Share of malformed rows above which the run stops.")
    max_dropped_fraction: float = _option(
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


@dataclass
class StabiliserArguments:
    """Keys that every trainer of this project adds to TRL's; `optim` takes `adam_atan2` too."""

    ADAM_ATAN2: ClassVar[str] = "adam_atan2"

    optim: str = _option(
        OptimizerNames.ADAMW_TORCH_FUSED.value,
        "Optimizer: adam_atan2 (the official one), or one of Transformers'.",
        choices=[ADAM_ATAN2, *(name.value for name in OptimizerNames)],
    )
    bp_steps: int | None = _option(
        None,
        "Stack passes that carry gradient, counted from the last; unset for the official 5 (all of H, one cycle of L).",
    )
    bp_min_steps: int | None = _option(None, "Where a warm-up of that horizon begins; the official pretraining has 2.")
    bp_max_steps: int | None = _option(None, "Where it ends.")
    bp_warmup_ratio: float = _option(0.0, "Share of the optimizer steps over which it rises.")
    ema_decay: float | None = _option(
        None, "Keep an average of the weights, saved in ema/; the official SFT has 0.999."
    )
    ema_for_evaluation: bool = _option(False, "Evaluate the averaged weights instead of the trained ones.")
    module_learning_rates: dict[str, Any] | str | None = field(
        default=None,
        metadata={"help": "Rates by group of modules, {low: 1e-5, head: 1e-4}; the others have learning_rate."},
    )
    health: bool = _option(True, "Measure what the loss does not show, and warn when the recurrence collapses.")
    score_responses_only: bool | None = _option(
        None,
        "Compute the head for response tokens alone; unset for on where TRL's fused head does not do it (no Triton).",
        nargs="?",
        const=True,
    )

    compile_blocks: bool = _option(
        False, "Compile the blocks of both stacks for training: a minute at the start, then fewer and faster kernels."
    )
    # What Transformers' own help says of these does not happen here.
    push_to_hub: bool = _option(
        False, "Publish the run once, at its end: an export that has been checked, in the repository hub_model_id."
    )
    hub_model_id: str | None = _option(None, "OWNER/NAME of that repository.")
    preemption_signal: str | None = _option(
        None, "A signal besides SIGTERM at which to save and stop, such as USR1, which SLURM's --signal sends earlier."
    )
    preemption_dir: str | None = _option(
        None, "Folder on this machine's own disk that a stopped run saves to before it copies; unset for TMPDIR."
    )
    resume_from_checkpoint: str | None = _option(
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
        asked = self.optim
        if asked == self.ADAM_ATAN2:
            self.optim = "adamw_torch"  # Transformers checks the name against its own list
        super().__post_init__()  # type: ignore[misc]  # of TRL's config, which stands behind this class
        self.optim = asked if asked == self.ADAM_ATAN2 else self.optim


@dataclass
class SFTArguments(StabiliserArguments, SFTConfig):
    """TRL's `SFTConfig` with the defaults of the official HRM-Text SFT, the stabilisers, and three keys of its own.

    `bf16` unset means: on where the accelerator computes in bfloat16, off on a CPU. Without an accelerator `use_cpu` is
    set, so that `bf16: true` works there too.
    """

    learning_rate: float = _option(3e-5, "Peak learning rate.")
    lr_scheduler_type: SchedulerType | str = field(
        default="cosine_with_min_lr",
        metadata={"help": "Schedule; the default falls to 10 %% of the rate unless lr_scheduler_kwargs is given."},
    )
    weight_decay: float = _option(0.1, "Decoupled weight decay.")
    adam_beta2: float = _option(0.95, "AdamW's second beta.")
    num_train_epochs: float = _option(5.0, "Passes over the data.")
    logging_first_step: bool = _option(True, "Log the loss of the first step.")
    train_sampling_strategy: str = _option(
        "group_by_length",
        "How rows are batched; grouping by length saves about half of the padding.",
        choices=["random", "sequential", "group_by_length", "batch_rebalance"],
    )
    # TRL checkpoints by default, through the old name, which a value here overrules: 22 % more FLOPs, rarely needed.
    activation_checkpointing: bool | None = _option(
        False, "Recompute activations in the backward pass: less memory, slower.", nargs="?", const=True
    )
    auto_batch: bool = _option(
        False,
        "Forward as many rows of an optimizer step at once as fit, and accumulate the others; activations are computed again "
        "only where not one row fits. What a step learns from stays the same.",
    )
    auto_batch_memory: float | None = _option(
        None, "GiB that it may take on each device; unset for 90 %% of what is free."
    )
    generation_eval_samples: int = _option(0, "Held-out rows answered at each evaluation; 0 for none.")
    generation_eval_match: str = _option(
        "exact", "How those answers are graded: exact, math, numeric, answer, json, sql or code."
    )
    max_new_tokens: int = _option(256, "Longest answer that an evaluation generates, in tokens.")
    log_samples: int = _option(3, "How many of those answers are logged as text.")


@dataclass
class SFTRecipe:
    """A parsed `sft.yaml`: every value typed and checked."""

    model: ModelArguments
    lora: LoraArguments
    data: DataArguments
    training: SFTArguments


@dataclass
class RewardArguments:
    """What an answer is paid for, and what is checked before the first one is."""

    rewards: list[RewardEntry] = field(
        default_factory=list,
        metadata={
            "help": "Rewards by name, or {name, weight, ...}, or {file, function}; `hrm-align rewards` lists them."
        },
    )
    reward_workers: int = _option(2, "Processes that grade, started before the run.")
    reward_deadline: float = _option(10.0, "Seconds that the grading of one batch may take, for each reward.")
    preflight_samples: int = _option(
        200, "Rows whose own answer, and a corrupted one, are graded before the run; 0 for none."
    )
    max_ungraded_fraction: float = _option(
        0.0, "Share of those rows whose own answer may fail, or whose corrupted one may pass."
    )
    headroom: str | None = _option(None, "File of `hrm-align headroom --save`: how often the start solves each prompt.")
    min_pass_rate: float = _option(0.0, "Leave out prompts that the start solves less often.")
    max_pass_rate: float = _option(1.0, "Leave out prompts that the start solves more often.")
    curriculum: bool = _option(False, "Easy prompts first, by their pass rate in `headroom`.")


@dataclass
class GRPOArguments(StabiliserArguments, GRPOConfig):
    """TRL's `GRPOConfig` with the stabilisers, presets by name, and the gate between sampler and trainer."""

    ALGORITHMS: ClassVar[tuple[str, ...]] = ("grpo", "dr_grpo", "dapo", "rloo")

    algorithm: str = _option(
        "grpo",
        "Preset of loss_type, scale_rewards, epsilon_high, mask_truncated_completions and max_resamples; a key that is "
        "given itself wins.",
        choices=list(ALGORITHMS),
    )
    # TRL's names, left open here so that the preset fills them in.
    loss_type: str | None = _option(None, "TRL's; unset for the preset's.")  # type: ignore[assignment]
    scale_rewards: str | None = _option(None, "group, batch or none; unset for the preset's.")  # type: ignore[assignment]
    mask_truncated_completions: bool | None = _option(  # type: ignore[assignment]
        None, "Leave answers without an end out of the loss; unset for the preset's.", nargs="?", const=True
    )
    max_resamples: int | None = _option(
        None, "How often groups without a signal are replaced by other prompts; unset for the preset's."
    )
    log_completions: bool | None = _option(  # type: ignore[assignment]
        None,
        "Tables of answers to the trackers and completions/; unset for on where wandb tracks.",
        nargs="?",
        const=True,
    )
    num_completions_to_print: int | None = _option(0, "Answers printed at each log with log_completions.")
    logging_steps: float = _option(1, "Log every so many steps; below 1, a share of all of them.")
    activation_checkpointing: bool | None = _option(
        False, "Recompute activations in the backward pass: less memory, slower.", nargs="?", const=True
    )
    share_prompts: bool | None = _option(
        None,
        "Compute a prompt once for all its answers in the update; unset for on where it has been measured, on a CPU.",
        nargs="?",
        const=True,
    )
    cuda_graphs: bool = _option(
        False,
        "Draw answers by a decoding step that is captured once and replayed for every token: on an H200 6 times as fast at "
        "64 answers, on a CPU of no use.",
    )
    parity_every: int = _option(20, "Rollouts between two checks of the sampler against the trainer; 0 for none.")
    parity_rows: int = _option(16, "Answers that are checked.")
    parity_tolerance: float | None = _option(
        None,
        "Largest difference allowed between their log-probabilities in float32, in nats; unset for 10 times what two "
        "kernels give on this model, and 1e-3 at least.",
    )
    vllm_importance_sampling_correction: bool | None = _option(  # type: ignore[assignment]
        None,
        "Weigh sampled tokens by the trainer's probability of them over the sampler's; here for the package's own sampler. "
        "Unset for on in half precision, off in float32.",
        nargs="?",
        const=True,
    )
    vllm_importance_sampling_mode: str = _option(
        "token_truncate",
        "A weight for each token, or for each answer the product over its tokens; beyond a bound it becomes the bound "
        "(truncate) or 0 (mask).",
        choices=["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"],
    )
    generation_eval_samples: int = _option(0, "Held-out rows answered greedily at each evaluation; 0 for none.")
    log_samples: int = _option(4, "Answers of each rollout that go to samples.jsonl.")

    def __post_init__(self) -> None:
        preset = {**_PRESETS["grpo"], **_PRESETS[self.algorithm]} if self.algorithm in _PRESETS else {}
        for key, value in preset.items():
            if getattr(self, key) is None:
                setattr(self, key, value)
        if self.log_completions is None:
            self.log_completions = "wandb" in (self.report_to or ())
        self.num_generations_eval = 1  # an evaluation answers greedily, once
        asked = self.score_responses_only
        super().__post_init__()
        if self.share_prompts is None:
            self.share_prompts = bool(self.use_cpu) and asked is not False
        if self.share_prompts and asked is None:
            self.score_responses_only = True


# Shao et al. 2024 (GRPO), Liu et al. 2025 (Dr. GRPO), Yu et al. 2025 (DAPO), Ahmadian et al. 2024 (RLOO: the baseline of
# an answer is the mean of the others; the trainer takes care of that).
_PRESETS: dict[str, dict[str, Any]] = {
    "grpo": {"loss_type": "grpo", "scale_rewards": "group", "mask_truncated_completions": False, "max_resamples": 0},
    "dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
    "dapo": {"loss_type": "dapo", "epsilon_high": 0.28, "mask_truncated_completions": True, "max_resamples": 3},
    "rloo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
}


@dataclass
class GRPORecipe:
    """A parsed `grpo.yaml`: every value typed and checked."""

    model: ModelArguments
    lora: LoraArguments
    data: DataArguments
    rewards: RewardArguments
    training: GRPOArguments
