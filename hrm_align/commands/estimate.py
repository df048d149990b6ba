"""`hrm-align estimate --config FILE`: the memory and the work of a recipe, before it is started."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from hrm_align.commands.common import PathParser, at_least
from hrm_align.config.parser import keys_given, parse
from hrm_align.errors import UserError
from hrm_align.estimates.model import GIB
from hrm_align.estimates.rl import GRPOEstimate, estimate_grpo
from hrm_align.estimates.sft import Estimate, estimate_sft
from hrm_align.models.loading import load_config
from hrm_align.output import emit, results
from hrm_align.trainers.grpo_config import GRPO, GRPORecipe
from hrm_align.trainers.sft_config import SFT, SFTRecipe

PROMPT_TOKENS = 256
# What a recipe that leaves these open takes there.
ON_A_GPU = {"bf16": "true", "attn_implementation": "sdpa", "share_prompts": "false"}
ON_TOP = "What the allocator and CUDA itself take, 1 to 2 GiB, comes on top."
ON_A_CPU = "What the process took before, 450 MiB for its imports, comes on top."


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    options, words = _options(argv)
    recipe = parse_either(words, ON_A_GPU if options.gpu else None)
    config = load_config(str(recipe.model.model_name_or_path), recipe.model.model_revision)
    on_gpu = options.gpu or not recipe.training.use_cpu
    found: Estimate | GRPOEstimate
    if isinstance(recipe, GRPORecipe):
        found = estimate_grpo(recipe, config, options.processes, options.prompt_tokens or PROMPT_TOKENS, on_gpu)
    elif options.prompt_tokens or options.bandwidth:
        raise UserError("--prompt_tokens and --bandwidth are of rollouts: this recipe names no rewards and fine-tunes.")
    else:
        found = estimate_sft(recipe, config, options.processes, on_gpu)
    told = found.figures
    if options.memory:
        told["largest_batch"] = found.largest_batch(int(options.memory * GIB))
    if options.tflops:
        told["seconds_per_step"] = found.flops / 1e12 / options.tflops
    if options.bandwidth:
        told["seconds_of_reading_per_step"] = told["bytes_read_per_step"] / 1e12 / options.bandwidth
    if options.json:
        emit(json.dumps(told))
        return
    show(found, on_gpu)
    if recipe.training.use_cpu and not options.gpu:
        emit("Counted as on this machine, which has no GPU: --gpu counts as on one that computes in bfloat16.")
    if options.tflops:
        emit(_time(told["seconds_per_step"], recipe.training.max_steps, options.tflops))
    if options.bandwidth:
        seconds = told["seconds_of_reading_per_step"]
        emit(f"At {options.bandwidth:g} TB a second: {seconds:.3g} s a step to read what answers are written from.")
    if options.memory:
        rows = recipe.training.per_device_train_batch_size
        verdict = _verdict if isinstance(found, Estimate) else _verdict_on_grpo
        emit(verdict(told["largest_batch"], rows, options.memory))


def _options(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command's own, checked, and the words that are the recipe's."""
    parser = PathParser(
        "estimate", "Memory and work of a recipe: --config FILE [--any_key value]; nothing is loaded, nothing trained."
    )
    parser.add_argument(
        "--memory", type=float, metavar="GIB", help="of the device: says whether it fits, and how many rows"
    )
    parser.add_argument(
        "--tflops",
        type=float,
        metavar="RATE",
        help="that the device sustains, 10^12 operations a second: tells the time of the blocks' products",
    )
    parser.add_argument(
        "--bandwidth",
        type=float,
        metavar="RATE",
        help="of the device's memory, 10^12 bytes a second: tells the time to write the answers of a rollout",
    )
    parser.add_argument(
        "--prompt_tokens",
        type=int,
        metavar="N",
        help=f"of the longest prompt of a rollout, {PROMPT_TOKENS} if not told",
    )
    parser.add_argument(
        "--gpu", action="store_true", help="count as on a GPU that computes in bfloat16, wherever this runs"
    )
    parser.add_argument("--processes", type=int, default=1, help="that train together, each on a device of its own")
    options, words = parser.parse_known_args(argv)
    for name, what in (
        ("memory", "the device's memory in GiB"),
        ("tflops", "what the device sustains, in TFLOP a second"),
        ("bandwidth", "the bandwidth of the device's memory, in TB a second"),
    ):
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"--{name} is {value}: it is {what}, a number above 0.")
    at_least(options.processes, 1, "--processes")
    if options.prompt_tokens is not None:
        at_least(options.prompt_tokens, 1, "--prompt_tokens")
    return options, words


def show(found: Estimate | GRPOEstimate, on_gpu: bool = True) -> None:
    """Print the table, when most is held, and what a step computes."""
    unit, name = (GIB, "GiB") if found.total >= GIB else (2**20, "MiB")
    table = Table("on each device", name)

    def add(parts: Mapping[str, int], while_: str = "") -> None:
        for part, size in parts.items():
            if size:
                table.add_row(while_ + part, f"{size / unit:.1f}")

    if isinstance(found, Estimate):
        add(found.parts)
        together, work = "together", _work(found)
    else:
        add(found.fixed)
        add(found.rollout.parts, "rollout: ")
        add(found.gate, "parity gate: ")
        add(found.update, "update: ")
        together, work = "together, rollout, gate or update", _work_of_grpo(found)
    table.add_row(together, f"{found.total / unit:.1f}", style="bold")
    console = Console(file=results())
    console.print(table)
    top = ON_TOP if on_gpu else ON_A_CPU
    what = "Most is held" if isinstance(found, Estimate) else "An update holds most"
    console.print(f"{found.costs.trained:,} trained parameters; {work} {what} {found.moment}. {top}", highlight=False)


def _work(found: Estimate) -> str:
    return (
        f"{found.tokens:,} tokens a forward, {found.figures['activation_bytes_per_token'] / 2**20:.3f} MiB each; {found.flops / 1e12:.3g} TFLOP a "
        "step, of which a GPU does 30 to 50 % of its peak a second."
    )


def _work_of_grpo(found: GRPOEstimate) -> str:
    rollout = found.rollout
    return (
        f"a rollout of {rollout.answers} answers to {rollout.prompts} prompts, at most {rollout.answer} and {rollout.prompt} "
        f"tokens long, {rollout.cached / 2**10:.3g} KiB of keys and values a token. A step is {found.update_flops / 1e12:.3g} "
        f"TFLOP of update and {found.rollout_flops / 1e12:.3g} of rollout; writing the answers reads "
        f"{found.bytes_read / 1e12:.3g} TB. Groups that are drawn again come on top."
    )


def _time(seconds: float, steps: int, rate: float) -> str:
    whole = f", {steps * seconds / 3600:.3g} h for {steps} steps" if steps > 0 else ""
    return f"At {rate:g} TFLOP a second: {seconds:.3g} s a step{whole}; attention's scores and the head come on top."


def _verdict(fits: int, rows: int, memory: float) -> str:
    if fits >= rows:
        return f"It fits into {memory:g} GiB; per_device_train_batch_size could be {fits}."
    if fits:
        return (
            f"It does not fit into {memory:g} GiB: set per_device_train_batch_size to {fits} or less, and raise "
            "gradient_accumulation_steps as much, which changes nothing in what is learnt; --auto_batch does both."
        )
    return (
        f"Not even one row fits into {memory:g} GiB: try --activation_checkpointing, a smaller max_length, or an adapter "
        "(use_peft: true) on a base in --dtype bfloat16."
    )


def _verdict_on_grpo(fits: int, rows: int, memory: float) -> str:
    if fits >= rows:
        return f"It fits into {memory:g} GiB; of the same rollout, per_device_train_batch_size could be {fits}."
    if fits:
        return (
            f"The update does not fit into {memory:g} GiB: set per_device_train_batch_size to {fits} or less and raise "
            "gradient_accumulation_steps as much, which leaves the rollout as it is, or set activation_checkpointing."
        )
    return (
        f"It does not fit into {memory:g} GiB, whatever the rows of an update: draw fewer answers at a time (a lower "
        "gradient_accumulation_steps or per_device_train_batch_size, or num_generations), a shorter max_completion_length, or "
        "train an adapter (use_peft: true) on a base in --dtype bfloat16."
    )


def parse_either(argv: Sequence[str], unless_given: Mapping[str, str] | None = None) -> SFTRecipe | GRPORecipe:
    """`parse`, not to run it, for a recipe of either kind: one that names rewards is of reinforcement learning.

    Args:
        argv: the words after the program's name.
        unless_given: settings, as words, that count where neither file nor flags have them; those of the other kind do not.
    """
    keys = keys_given(GRPO, argv)
    kind = GRPO if "rewards" in keys else SFT
    known = kind.keys - keys
    more = [f"--{key}={value}" for key, value in (unless_given or {}).items() if key in known]
    recipe: SFTRecipe | GRPORecipe = parse(kind, [*argv, *more], to_run=False)
    return recipe
