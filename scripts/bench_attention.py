"""Attention under the prefix mask: by document, with a dense mask, and flex_attention, forward and backward.

    python scripts/bench_attention.py              # a minute on two CPU cores; the 1B shape where a GPU is there

Two inputs: packed rows, and groups of eight answers behind their shared prompt. A round is one forward and backward of the
backbone at the official horizon (forward alone for flex_attention on a CPU, which has no backward there). The outputs of all
kernels are compared with those of the dense mask; exit code 1 where they differ, in float32, by more than rounding.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from bench.command import options, report
from bench.race import Turn, race
from bench.shapes import PAD, documents, random_model
from torch import Tensor

from hrm_align.cli import exit_code_of
from hrm_align.data.packing import PackedCollator
from hrm_align.data.packing import pack as packed_rows
from hrm_align.errors import RunError
from hrm_align.models.recurrence import Horizon
from hrm_align.rollouts.logprobs import Group, pack

OURS, DENSE, FLEX = "per_document", "sdpa", "flex_attention"
SCALES = {"tiny": 0.1, "small": 1.0, "1b": 1.0}
ROWS = 4
MOST_APART = 1e-4  # of outputs of size 1 in float32: seen 2e-5; a document that sees another moves them by 1


def packed(shape: str) -> dict[str, Tensor]:
    """Rows of 1,024 tokens, filled with documents."""
    longest = round(1024 * SCALES[shape])
    rows = packed_rows(documents(80, longest, SCALES[shape]), longest)
    batch = PackedCollator(PAD)([rows[i] for i in range(ROWS)])
    return {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids")}


def groups(shape: str) -> dict[str, Tensor]:
    """Four prompts of 128 tokens with eight answers of 16 to 96 each, a row for each prompt."""
    generator, scale = torch.Generator().manual_seed(0), SCALES[shape]

    def tokens(low: int, high: int) -> Tensor:
        count = int(torch.randint(round(low * scale), round(high * scale) + 1, (1,), generator=generator))
        return torch.randint(31, 512, (count,), generator=generator)

    made = [
        Group(torch.cat([tokens(128, 128), torch.tensor([7])]), [tokens(16, 96) for _ in range(8)], list(range(8)))
        for _ in range(ROWS)
    ]
    together = pack(made, PAD, in_one_row=False)
    return {name: getattr(together, name) for name in ("input_ids", "attention_mask", "position_ids")}


INPUTS = {"packed rows": packed, "shared prompts": groups}


def arm(kernel: str, kind: str, shape: str, turn: Turn) -> None:
    """Forward and backward without an end."""
    model: Any = random_model(shape)
    Horizon(model, 5)
    model.set_attn_implementation(kernel)
    batch = {name: tensor.to(model.device) for name, tensor in INPUTS[kind](shape).items()}
    real = batch["attention_mask"].bool()
    backward = kernel != FLEX or torch.cuda.is_available()
    turn()
    while True:
        with (
            torch.set_grad_enabled(backward),
            torch.autocast(model.device.type, torch.bfloat16, enabled=torch.cuda.is_available()),
        ):
            hidden = model.model(**batch, use_cache=False).last_hidden_state[real]
            if backward:
                hidden.float().square().mean().backward()
        turn(int(real.sum()), hidden.detach().float().cpu().numpy())


def main(argv: Sequence[str]) -> None:
    """Race the kernels on both inputs and print the tables."""
    switches = {"--without_flex": "leave out flex_attention, which takes a minute to compile for a CPU"}
    arguments = options(argv, __doc__, "bench_attention", switches)
    kernels = (OURS, DENSE) if arguments.without_flex else (OURS, DENSE, FLEX)
    out = arguments.out
    for kind in INPUTS:
        arms = {kernel: partial(arm, kernel, kind, arguments.shape) for kernel in kernels}
        figures = race(arms, arguments.rounds, threads=arguments.threads)
        expected = figures[DENSE].notes[0]
        apart = {kernel: float(abs(own.notes[0] - expected).max()) for kernel, own in figures.items()}
        for own in figures.values():
            own.notes = []
        arguments.out = out.with_stem(f"{out.stem}_{kind.replace(' ', '_')}")
        print(f"\n{kind}")
        report(arguments, figures, OURS, {"largest_difference_from_dense": apart})
        print("\nLargest difference from the dense mask, of outputs of size 1:", ", ".join(
            f"{kernel} {value:.1e}" for kernel, value in apart.items()))  # fmt: skip
        if not torch.cuda.is_available() and max(apart.values()) > MOST_APART:
            raise RunError(f"{kind}: outputs differ by {max(apart.values()):.1e}, allowed is {MOST_APART:.0e}.")


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
