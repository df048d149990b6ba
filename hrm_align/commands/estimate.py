"""`hrm-align estimate --config FILE`: estimate the memory and compute of a recipe without running it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from transformers import HrmTextConfig

from hrm_align.commands.common import PathParser
from hrm_align.config.checks import keys_given, kind_given
from hrm_align.config.parser import parse
from hrm_align.config.rules import recipe_kind
from hrm_align.errors import UserError
from hrm_align.estimates.model import GIB, Recipe
from hrm_align.estimates.preferences import estimate_dpo, estimate_kto, estimate_reward
from hrm_align.estimates.rl import GRPOEstimate, estimate_distill, estimate_grpo
from hrm_align.estimates.sft import Estimate, estimate_sft
from hrm_align.models.loading import load_config
from hrm_align.output import emit, results
from hrm_align.trainers.distillation_config import DistillationRecipe
from hrm_align.trainers.dpo_config import DPORecipe
from hrm_align.trainers.grpo_config import GRPORecipe
from hrm_align.trainers.kto_config import KTORecipe
from hrm_align.trainers.reward_config import RewardRecipe

PROMPT_TOKENS = 256
# Values on a GPU of settings that the recipe leaves unset.
ON_A_GPU = {"bf16": "true", "attn_implementation": "sdpa", "share_prompts": "false"}
GPU_OVERHEAD = "Not included: 1 to 2 GiB for CUDA and the allocator."
CPU_OVERHEAD = "Not included: 450 MiB for the imports of the process."


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    options, recipe_words = _parse_options(argv)
    recipe = parse_either(recipe_words, ON_A_GPU if options.gpu else None)
    config = load_config(str(recipe.model.model_name_or_path), recipe.model.model_revision)
    on_gpu = options.gpu or not recipe.training.use_cpu
    samples = isinstance(recipe, GRPORecipe | DistillationRecipe)
    shares_prompts = isinstance(recipe, DPORecipe) and bool(recipe.training.share_prompts)
    if (options.prompt_tokens and not (samples or shares_prompts)) or (options.bandwidth and not samples):
        raise UserError(
            "--prompt_tokens and --bandwidth apply to rollouts, --prompt_tokens also to `share_prompts` of `hrm-align dpo`, and this is "
            f"a recipe of `hrm-align {recipe.KIND}` without it. Leave them out."
        )
    estimate = estimate_recipe(recipe, config, options.processes, on_gpu, options.prompt_tokens)
    figures = {"recipe": recipe.KIND, **estimate.figures}
    if options.memory:
        figures["largest_batch"] = estimate.largest_batch(int(options.memory * GIB))
    if options.tflops:
        figures["seconds_per_step"] = estimate.flops / 1e12 / options.tflops
    if options.bandwidth:
        figures["seconds_of_reading_per_step"] = figures["bytes_read_per_step"] / 1e12 / options.bandwidth
    if options.json:
        emit(json.dumps(figures))
        return
    emit(f"Counted as a recipe of `hrm-align {recipe.KIND}`:")
    show(estimate, on_gpu)
    if recipe.training.use_cpu and not options.gpu:
        emit("Estimated for this machine, which has no GPU. Add --gpu to estimate for a GPU that computes in bfloat16.")
    if options.tflops:
        emit(_describe_time(figures["seconds_per_step"], recipe.training.max_steps, options.tflops))
    if options.bandwidth:
        seconds = figures["seconds_of_reading_per_step"]
        emit(
            f"At {options.bandwidth:g} TB/s: {seconds:.3g} s per step to read weights and KV cache while answers are generated."
        )
    if options.memory:
        rows = recipe.training.per_device_train_batch_size
        verdict = _judge_sft if isinstance(estimate, Estimate) else _judge_grpo
        emit(verdict(figures["largest_batch"], rows, options.memory))


def estimate_recipe(
    recipe: Recipe, config: HrmTextConfig, processes: int, on_gpu: bool, prompt_tokens: int | None
) -> Estimate | GRPOEstimate:
    """Estimate a recipe of any kind. See `hrm_align.estimates.model.count` for errors.

    Args:
        recipe: the parsed recipe.
        config: config of its model.
        processes: number of processes that train together.
        on_gpu: whether to count device memory.
        prompt_tokens: tokens of the longest prompt of a rollout, or of the prompts that `share_prompts` computes once; None if unknown.
    """
    if isinstance(recipe, GRPORecipe):
        return estimate_grpo(recipe, config, processes, prompt_tokens or PROMPT_TOKENS, on_gpu)
    if isinstance(recipe, DPORecipe):
        return estimate_dpo(recipe, config, processes, on_gpu, prompt_tokens or 0)
    if isinstance(recipe, KTORecipe):
        return estimate_kto(recipe, config, processes, on_gpu)
    if isinstance(recipe, RewardRecipe):
        return estimate_reward(recipe, config, processes, on_gpu)
    if isinstance(recipe, DistillationRecipe):
        return estimate_distill(recipe, config, processes, prompt_tokens or PROMPT_TOKENS, on_gpu)
    return estimate_sft(recipe, config, processes, on_gpu)


def _parse_options(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parse and check the options of this command. Returns them and the remaining arguments, which belong to the recipe."""
    parser = PathParser(
        "estimate",
        "Estimate memory and compute of a recipe, without loading or training: --config FILE [--any_key value]",
    )
    parser.add_argument(
        "--memory",
        type=float,
        metavar="GIB",
        help="memory of the device: report whether the recipe fits, and the largest batch",
    )
    parser.add_argument(
        "--tflops",
        type=float,
        metavar="RATE",
        help="sustained compute of the device, 10^12 operations per second: report the time of the matrix products",
    )
    parser.add_argument(
        "--bandwidth",
        type=float,
        metavar="RATE",
        help="memory bandwidth of the device, 10^12 bytes per second: report the time to generate the answers of a rollout",
    )
    parser.add_argument(
        "--prompt_tokens",
        type=int,
        metavar="N",
        help=f"length of the longest prompt of a rollout (default {PROMPT_TOKENS}); in `hrm-align dpo` with share_prompts, length of "
        "the prompts (default: every prompt is counted twice)",
    )
    parser.add_argument(
        "--gpu", action="store_true", help="estimate for a GPU that computes in bfloat16, also on a machine without one"
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="number of processes that train together, each on its own device (default 1)",
    )
    options, recipe_words = parser.parse_known_args(argv)
    return options, recipe_words


def show(estimate: Estimate | GRPOEstimate, on_gpu: bool = True) -> None:
    """Print the table of memory, the moment of the peak, and the compute of a step."""
    unit, name = (GIB, "GiB") if estimate.total >= GIB else (2**20, "MiB")
    table = Table("on each device", name)

    def add(parts: Mapping[str, int], phase: str = "") -> None:
        for part, size in parts.items():
            if size:
                table.add_row(phase + part, f"{size / unit:.1f}")

    if isinstance(estimate, Estimate):
        add(estimate.parts)
        total, work = "total", _describe_sft_work(estimate)
    else:
        add(estimate.fixed)
        add(estimate.rollout.parts, "rollout: ")
        add({"scoring by reward models": estimate.scoring.batch})
        add(estimate.gate, "parity gate: ")
        add(estimate.update, "update: ")
        total, work = "total, in rollout, scoring, gate or update", _describe_grpo_work(estimate)
    table.add_row(total, f"{estimate.total / unit:.1f}", style="bold")
    console = Console(file=results())
    console.print(table)
    overhead = GPU_OVERHEAD if on_gpu else CPU_OVERHEAD
    peak = "Memory peaks" if isinstance(estimate, Estimate) else "The memory of an update peaks"
    console.print(
        f"{estimate.costs.trained:,} trained parameters; {work} {peak} {estimate.moment}. {overhead}", highlight=False
    )


def _describe_sft_work(estimate: Estimate) -> str:
    token_mib = estimate.figures["activation_bytes_per_token"] / 2**20
    return (
        f"{estimate.tokens:,} tokens per forward pass, {token_mib:.3f} MiB of activations each; {estimate.flops / 1e12:.3g} TFLOP "
        "per step, of which a GPU does 30 to 50 % of its peak rate per second."
    )


def _describe_grpo_work(estimate: GRPOEstimate) -> str:
    rollout = estimate.rollout
    return (
        f"a rollout of {rollout.answers} answers to {rollout.prompts} prompts, at most {rollout.answer} and {rollout.prompt} "
        f"tokens long, with {rollout.cached / 2**10:.3g} KiB of KV cache per token. A step takes "
        f"{estimate.update_flops / 1e12:.3g} TFLOP for the update and {estimate.rollout_flops / 1e12:.3g} TFLOP for the rollout; "
        f"generating the answers reads {estimate.bytes_read / 1e12:.3g} TB. Not included: resampled groups."
    )


def _describe_time(seconds: float, steps: int, rate: float) -> str:
    total = f", {steps * seconds / 3600:.3g} h for {steps} steps" if steps > 0 else ""
    return f"At {rate:g} TFLOP/s: {seconds:.3g} s per step{total}. Not included: attention scores and the output head."


def _judge_sft(fits: int, rows: int, memory: float) -> str:
    if fits >= rows:
        return f"The recipe fits into {memory:g} GiB; per_device_train_batch_size could be up to {fits}."
    if fits:
        return (
            f"The recipe does not fit into {memory:g} GiB. Set per_device_train_batch_size to {fits} or less, and raise "
            "gradient_accumulation_steps by the same factor, which does not change the training; in `hrm-align sft`, --auto_batch "
            "does both."
        )
    return (
        f"Not even one row fits into {memory:g} GiB. Try --activation_checkpointing, a smaller max_length, or an adapter "
        "(use_peft: true) on a base in --dtype bfloat16."
    )


def _judge_grpo(fits: int, rows: int, memory: float) -> str:
    if fits >= rows:
        return f"The recipe fits into {memory:g} GiB; with the same rollout, per_device_train_batch_size could be up to {fits}."
    if fits:
        return (
            f"The update does not fit into {memory:g} GiB. Set per_device_train_batch_size to {fits} or less and raise "
            "gradient_accumulation_steps by the same factor, which does not change the rollout, or set activation_checkpointing."
        )
    return (
        f"The recipe does not fit into {memory:g} GiB with any batch size of the update. Generate fewer answers at a time (a lower "
        "gradient_accumulation_steps, per_device_train_batch_size or num_generations), lower max_completion_length, or train an "
        "adapter (use_peft: true) on a base in --dtype bfloat16."
    )


def parse_either(argv: Sequence[str], unless_given: Mapping[str, str] | None = None) -> Recipe:
    """Parse a recipe of any kind, found by `kind_given`, without checking that it can run here.

    Args:
        argv: the command line arguments of the recipe.
        unless_given: values, as text, of settings that neither file nor flags set; settings of the other kind are ignored.
    """
    kind = recipe_kind(kind_given(argv))
    known = kind.keys - keys_given(argv)
    defaults = [f"--{key}={value}" for key, value in (unless_given or {}).items() if key in known]
    recipe: Recipe = parse(kind, [*argv, *defaults], to_run=False)
    return recipe
