"""Settings of on-policy distillation recipes, the TRL settings that are refused, and the checks of their combinations.

Importing this module takes seconds: `DistillationArguments` is a subclass of TRL's `DistillationConfig`, so TRL must be imported first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar

from trl import DistillationConfig

from hrm_align.config.arguments import BaseRecipe, StabiliserArguments, option
from hrm_align.config.bounds import COUNT, COUNT_OR_NONE, PART, POSITIVE, SHARE, Bound
from hrm_align.config.checks import Setting
from hrm_align.config.limits import BOUNDS, NEEDS, REQUIRED, Bounds, Needs
from hrm_align.config.parser import parse
from hrm_align.config.rules import LAYOUT, REFUSED, Fail, RecipeKind, Refused, check_held_out
from hrm_align.errors import UserError
from hrm_align.rendering import parse_condition
from hrm_align.rewards.judge_client import TEACHER, check_key_name, checked_url
from hrm_align.trainers.shared_config import (
    check_best_metric,
    check_matches,
    check_no_replay,
    match_option,
    parity_tolerance_option,
)


@dataclass
class DistillationArguments(StabiliserArguments, DistillationConfig):
    """TRL's `DistillationConfig` with the stabilisers, the teacher's own prompt, and the parity gate between sampler and trainer."""

    beta: float = option(
        1.0,
        "Divergence: 1 for the reverse KL(student || teacher), 0 for the forward KL(teacher || student), between them the generalised "
        "Jensen-Shannon divergence.",
    )
    temperature: float = option(
        1.0, "Temperature of the sampling, and of both distributions in the divergence, as in TRL."
    )
    max_completion_length: int | None = option(512, "Longest completion of the student, in tokens.")
    teacher_model_name_or_path: str | None = option(
        None,
        "Teacher: a checkpoint, an adapter or a Hub id with the student's vocabulary; unset for the model that the run starts from, "
        "under another prompt.",
    )
    teacher_base_url: str | None = option(
        None,
        "Address, up to /v1, of an OpenAI-compatible server that offers the teacher under teacher_model_name_or_path and returns "
        "log-probabilities of a prompt; unset for a teacher in this process.",
    )
    teacher_top_logprobs: int = option(
        20, "Most probable tokens requested from the server at each position; more than 20 need vLLM's --max-logprobs."
    )
    teacher_api_key_env: str | None = option(
        None, "Environment variable that holds the API key of the server; unset to send no key."
    )
    teacher_concurrency: int = option(16, "Requests to the server at the same time, of each process.")
    teacher_timeout: float = option(120.0, "Seconds for a request to the server, before it is repeated.")
    teacher_dtype: str = option(
        "float32",
        "Precision of the weights of teacher_model_name_or_path, which are not trained.",
        choices=["bfloat16", "float16", "float32"],
    )
    teacher_system_file: str | None = option(
        None, "File with a system text that the teacher reads before all messages, and the student does not."
    )
    teacher_examples: str | None = option(
        None,
        "Rows that the teacher reads as solved examples before the question, and the student does not; needs teacher_shots.",
    )
    teacher_shots: int = option(0, "Number of these examples, the first of the file.")
    teacher_condition: str | None = option(
        None, "Condition that the teacher reads instead of the row's; the student reads the row's."
    )
    logging_steps: float = option(1, "Log every so many steps; below 1, the share of all steps between logs.")
    num_completions_to_print: int | None = option(0, "Completions printed at each log with log_completions.")
    cuda_graphs: bool = option(
        False, "Capture the decoding step in a CUDA graph and replay it for every token; not faster on a CPU."
    )
    parity_every: int = option(20, "Steps between two checks of sampler against trainer; 0 for none.")
    parity_rows: int = option(16, "Number of completions in each of those checks.")
    parity_tolerance: float | None = parity_tolerance_option()
    generation_eval_samples: int = option(0, "Held-out prompts answered greedily at each evaluation; 0 for none.")
    generation_eval_match: str = match_option("that compares those answers with the rows' responses")
    max_new_tokens: int = option(256, "Longest answer of an evaluation, in tokens.")
    log_samples: int = option(3, "Number of evaluation answers that are written to samples.jsonl.")
    teaches_itself: bool = field(default=False, init=False)  # whether the teacher is the model that the run starts from

    def __post_init__(self) -> None:
        super().__post_init__()
        self.score_responses_only = False  # the head is computed on completions alone in any case

    @property
    def has_prompt_of_teacher(self) -> bool:
        """Whether the teacher reads another prompt than the student."""
        return bool(self.teacher_system_file or self.teacher_shots or self.teacher_condition is not None)


@dataclass
class DistillationRecipe(BaseRecipe):
    """A parsed `distill.yaml`: every value typed and checked."""

    KIND: ClassVar[str] = "distill"

    training: DistillationArguments

    def __post_init__(self) -> None:
        student, teacher = self.model.model_name_or_path, self.training.teacher_model_name_or_path
        is_same = str(teacher).rstrip("/") == str(student).rstrip("/")
        revision = self.training.teacher_model_revision or "main"
        # Set here, because the recipe replaces the name of a start that it merges.
        is_start = teacher is None or (is_same and revision == self.model.model_revision)
        self.training.teaches_itself = is_start and self.training.teacher_base_url is None


_SAMPLER = "completions are sampled by hrm_align's own sampler, which is checked against the trainer"
_VLLM = "vLLM processes generated tokens as part of the prompt when it recomputes an answer: completions use hrm_align's own sampler"
_REFUSED_DISTILL: Refused = {
    "cache_implementation": ((None,), _SAMPLER),
    "chat_template_kwargs": ((None,), LAYOUT),
    "generation_kwargs": ((None,), _SAMPLER),
    "group_by_length": ((False,), _SAMPLER),
    "label_smoothing_factor": ((0.0,), "the divergence from a teacher has no labels to smooth"),
    "max_tool_calling_iterations": ((None,), "tools are not called while completions are sampled"),
    "min_p": ((None,), _SAMPLER),
    "remove_unused_columns": ((False,), "prompts are rendered before the run"),
    "repetition_penalty": ((1.0,), _SAMPLER),
    "score_responses_only": ((None, False), "the head is computed on completions alone in any case"),
    "teacher_model_init_kwargs": ((None,), "set teacher_dtype and teacher_model_revision instead"),
    "train_sampling_strategy": (("random",), "completions have no length before they are sampled: use shuffle_dataset"),
    "use_vllm": ((False,), _VLLM),
    **{f.name: ((f.default,), _VLLM) for f in fields(DistillationConfig) if f.name.startswith("vllm_")},
}
# fmt: off
_BOUNDS_DISTILL: Bounds = {
    Bound("1 or more", 1, null=False): ("max_completion_length",),
    COUNT: ("max_new_tokens", "parity_rows", "teacher_top_logprobs", "teacher_concurrency"),
    COUNT_OR_NONE: ("top_k", "parity_every", "num_completions_to_print", "teacher_shots"),
    POSITIVE: ("temperature", "parity_tolerance", "teacher_timeout"),
    PART: ("top_p",),
    SHARE: ("beta",),
}
# fmt: on
_OF_A_SERVER = ("teacher_top_logprobs", "teacher_api_key_env", "teacher_concurrency", "teacher_timeout")
_NEEDS_DISTILL: Needs = {
    **dict.fromkeys(_OF_A_SERVER, ("teacher_base_url", ())),
    "teacher_base_url": ("teacher_model_name_or_path", ()),
    "teacher_dtype": ("teacher_model_name_or_path", ()),
    "teacher_examples": ("teacher_shots", ()),
    "teacher_model_revision": ("teacher_model_name_or_path", ()),
    "teacher_shots": ("teacher_examples", ()),
}
_METRICS = ("loss", "kl", "entropy")


def _check_distill(recipe: DistillationRecipe, settings: Mapping[str, Setting], fail: Fail) -> None:
    training = recipe.training
    if training.teacher_condition is not None:
        try:
            parse_condition(training.teacher_condition)
        except UserError as error:
            raise UserError(f"{settings['teacher_condition'].where}: teacher_condition: {error}") from None
    if training.teacher_base_url is not None:
        _check_server(training, settings, fail)
    if recipe.training.teaches_itself and not training.has_prompt_of_teacher:
        fail("teacher_model_name_or_path", "names no other model than the student, and the teacher reads the same prompt, so the loss would be 0 "
             "and nothing is learnt: name another model, or give the teacher a prompt of its own with teacher_system_file, "
             "teacher_examples and teacher_shots, or teacher_condition")  # fmt: skip
    if recipe.training.teaches_itself and recipe.lora.use_peft and recipe.lora.init_lora_weights in ("olora", "pissa"):
        fail("init_lora_weights", "changes the base, which is the teacher: use true, gaussian or orthogonal")
    check_no_replay(recipe, "prompts", fail)
    check_matches(recipe, fail)
    check_best_metric(training, _METRICS, "kl", fail)
    check_held_out(recipe, settings, fail)


def _check_server(training: DistillationArguments, settings: Mapping[str, Setting], fail: Fail) -> None:
    """Check the settings of a teacher behind a server. A message does not repeat a value that may hold a key."""
    for key in ("teacher_dtype", "teacher_model_revision"):
        if key in settings:
            fail(key, "is for a teacher in this process, and teacher_base_url names a server: leave it out")
    if training.temperature != 1:
        fail("temperature", "must be 1 with teacher_base_url, because a server returns probabilities at temperature 1")
    try:
        checked_url(str(training.teacher_base_url), TEACHER)
        if training.teacher_api_key_env:
            check_key_name(training.teacher_api_key_env, TEACHER)
    except UserError as error:
        raise UserError(f"{settings['teacher_base_url'].where}: {error}") from None


_EVERYDAY = (
    "model_name_or_path",
    "datasets",
    "eval_datasets",
    "output_dir",
    "teacher_model_name_or_path",
    "teacher_system_file",
    "teacher_examples",
    "teacher_shots",
    "teacher_condition",
    "beta",
    "temperature",
    "max_completion_length",
    "use_peft",
    "lora_r",
    "learning_rate",
    "max_steps",
    "per_device_train_batch_size",
    "generation_eval_samples",
    "dry_run",
    "resume_from_checkpoint",
)

DISTILL = RecipeKind(
    DistillationRecipe,
    {**REFUSED, **_REFUSED_DISTILL},
    (BOUNDS, _BOUNDS_DISTILL),
    {**NEEDS, **_NEEDS_DISTILL},
    REQUIRED,
    _EVERYDAY,
    "recipes/tiny/distill.yaml",
    _check_distill,
)


def parse_distill(argv: Sequence[str]) -> DistillationRecipe:
    """Parse a recipe of on-policy distillation."""
    recipe: DistillationRecipe = parse(DISTILL, argv)
    return recipe
