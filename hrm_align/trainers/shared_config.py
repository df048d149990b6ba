"""Settings, and checks of settings, that the recipes of several trainers share. What all share is in `hrm_align.config`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from hrm_align.config.arguments import StabiliserArguments, option
from hrm_align.config.rules import Fail
from hrm_align.rewards.base import match_fault, match_names, metric_name


class SharedPromptDefaults(StabiliserArguments):
    """The default of `share_prompts`, which a subclass defines, and of `score_responses_only`, which it needs."""

    share_prompts: bool | None
    use_cpu: bool  # defined by TRL's config

    def __post_init__(self) -> None:
        scores_responses_only = self.score_responses_only
        super().__post_init__()
        if self.share_prompts is None:
            self.share_prompts = bool(self.use_cpu) and scores_responses_only is not False
        if self.share_prompts and scores_responses_only is None:
            self.score_responses_only = True


def sampling_strategy_option(rows: str) -> Any:
    """Return the field of `train_sampling_strategy` of a trainer that batches rows ("rows" or "pairs") by length."""
    return option(
        "group_by_length",
        f"How {rows} are batched; grouping by length saves about half of the padding.",
        choices=["random", "sequential", "group_by_length", "batch_rebalance"],
    )


def pair_length_option() -> Any:
    """Return the field of `max_length` of a trainer of pairs."""
    return option(
        1024,
        "Longest document in tokens: prompt and longer answer. A longer pair is counted and dropped, never truncated.",
    )


def match_option(answers: str) -> Any:
    """Return the field of `generation_eval_match`; `answers` says what the grader does: "of those answers"."""
    return option("exact", f"Grader {answers}: {', '.join(match_names())}. It names the metric: eval_sql_match.")


def parity_tolerance_option() -> Any:
    """Return the field of `parity_tolerance` of a trainer that samples."""
    return option(
        None,
        "Largest difference allowed between sampler and trainer log-probabilities in float32, in nats; unset for 30 times the "
        "difference between two attention kernels on this model, and at least 1e-3.",
    )


def reference_check_option() -> Any:
    """Return the field of `reference_check` of a trainer with a reference."""
    return option(True, "Stop in the first step if the reference is not the model that the run starts from.")


def check_matches(recipe: Any, fail: Fail) -> None:
    """Refuse an unknown grader of generated answers or of guard data sets."""
    matches = ("generation_eval_match", recipe.training.generation_eval_match), ("guard_match", recipe.data.guard_match)
    for key, match in matches:
        if fault := match_fault(match):
            fail(key, fault)


def check_no_replay(recipe: Any, rows: str, fail: Fail) -> None:
    """Refuse replayed data sets in a recipe that trains on other rows than documents: "pairs" or "prompts"."""
    if recipe.data.replay_datasets or recipe.data.replay_fraction:
        fail("replay_datasets", f"is for supervised fine-tuning only: add the {rows} as another entry of datasets")


def check_best_metric(training: Any, metrics: Collection[str], example: str, fail: Fail) -> None:
    """Refuse a metric that no evaluation of the run logs; the run would fail at its first evaluation.

    Args:
        training: training settings.
        metrics: names that every evaluation of the trainer logs.
        example: one of these for the error.
        fail: raises UserError for a setting.
    """
    best = str(training.metric_for_best_model or "").removeprefix("eval_")
    generated = (metric_name(training.generation_eval_match), "unfinished")
    if best in generated and not training.generation_eval_samples:
        fail("metric_for_best_model", f"is {training.metric_for_best_model!r}, a score of generated answers: set "
             "generation_eval_samples, or use eval_loss")  # fmt: skip
    if best and best not in (*metrics, *generated):
        fail("metric_for_best_model", f"is {training.metric_for_best_model!r}, which no evaluation computes: use eval_loss, "
             f"eval_{example}, or eval_{generated[0]} with generation_eval_samples")  # fmt: skip
