"""`hrm-align estimate --config FILE`: the memory and the work of a fine-tuning recipe, before it is started."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from hrm_align.commands.common import at_least
from hrm_align.errors import UserError
from hrm_align.estimate import GIB, Estimate, estimate_sft
from hrm_align.models.loading import load_config
from hrm_align.recipe_parser import parse_sft


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        "hrm-align estimate",
        description="Memory and work of a fine-tuning recipe: --config FILE [--any_key value], nothing is loaded or trained.",
        allow_abbrev=False,
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
    parser.add_argument("--processes", type=int, default=1, help="that train together, each on a device of its own")
    parser.add_argument("--json", action="store_true", help="print for programs")
    options, words = parser.parse_known_args(argv)
    if options.memory is not None and options.memory <= 0:
        raise UserError(f"--memory is {options.memory}: it is the device's memory in GiB, above 0.")
    if options.tflops is not None and options.tflops <= 0:
        raise UserError(f"--tflops is {options.tflops}: it is what the device sustains, in TFLOP a second, above 0.")
    at_least(options.processes, 1, "--processes")
    recipe = parse_sft(words)
    config = load_config(str(recipe.model.model_name_or_path), recipe.model.model_revision)
    found = estimate_sft(recipe, config, options.processes)
    rows = recipe.training.per_device_train_batch_size
    fits = None if options.memory is None else found.largest_batch(int(options.memory * GIB))
    if options.json:
        told = {"bytes": found.parts, "total": found.total, "trained": found.trained, "tokens": found.tokens,
                "activation_bytes_per_token": found.activation, "flops_per_step": found.flops}  # fmt: skip
        told |= {} if fits is None else {"largest_batch": fits}
        told |= {} if options.tflops is None else {"seconds_per_step": found.flops / 1e12 / options.tflops}
        print(json.dumps(told))
        return
    show(found)
    if options.tflops is not None:
        print(_time(found.flops / 1e12 / options.tflops, recipe.training.max_steps, options.tflops))
    if fits is not None:
        print(_verdict(fits, rows, options.memory))


def show(found: Estimate) -> None:
    """Print the table, and what a step computes."""
    unit, name = (GIB, "GiB") if found.total >= GIB else (2**20, "MiB")
    table = Table("on each device", name)
    for part, size in found.parts.items():
        if size:
            table.add_row(part, f"{size / unit:.1f}")
    table.add_row("together", f"{found.total / unit:.1f}", style="bold")
    console = Console()
    console.print(table)
    console.print(
        f"{found.trained:,} trained parameters; {found.tokens:,} tokens a forward, {found.activation / 2**20:.3f} MiB each; "
        f"{found.flops / 1e12:.3g} TFLOP a step, of which a GPU does 30 to 50 % of its peak a second. What the allocator and "
        "CUDA itself take, 1 to 2 GiB, comes on top.",
        highlight=False,
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
