"""Time attention under the prefix mask, forward and backward: per document, with a dense mask, and with flex_attention.

    python scripts/bench_attention.py              # a minute on two CPU cores; uses the 1B shape on a GPU

There are two inputs: packed rows, and groups of eight answers after a shared prompt. A round is one forward and backward of the
backbone at the official horizon; flex_attention has no backward on a CPU, so there only its forward is timed. The script
compares the outputs of all kernels with those of the dense mask. On a CPU, exit code 1 means that the outputs differ by more
than float32 rounding.
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

from hrm_align.cli import run_with_exit_code
from hrm_align.data.packing import PackedCollator
from hrm_align.data.packing import pack as packed_rows
from hrm_align.errors import RunError
from hrm_align.models.recurrence import Horizon
from hrm_align.rollouts.logprobs import Group, pack

OURS, DENSE, FLEX = "per_document", "sdpa", "flex_attention"
SCALES = {"tiny": 0.1, "small": 1.0, "1b": 1.0}
ROWS = 4
# Largest allowed difference of float32 outputs of size 1. Measured: 2e-5; if one document attends to another: about 1.
LARGEST_DIFFERENCE = 1e-4


def packed(shape: str) -> dict[str, Tensor]:
    """Return a batch of packed rows: tensors of shape (4, 1024), shorter at the tiny shape."""
    longest = round(1024 * SCALES[shape])
    rows = packed_rows(documents(80, longest, SCALES[shape]), longest)
    batch = PackedCollator(PAD)([rows[i] for i in range(ROWS)])
    return {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids")}


def groups(shape: str) -> dict[str, Tensor]:
    """Return a batch of four rows; each row is a prompt of 128 tokens with eight answers of 16 to 96 tokens."""
    generator, scale = torch.Generator().manual_seed(0), SCALES[shape]

    def tokens(low: int, high: int) -> Tensor:
        count = int(torch.randint(round(low * scale), round(high * scale) + 1, (1,), generator=generator))
        return torch.randint(31, 512, (count,), generator=generator)

    prompt_groups = []
    for _ in range(ROWS):
        prompt = torch.cat([tokens(128, 128), torch.tensor([7])])
        answers = [tokens(16, 96) for _ in range(8)]
        prompt_groups.append(Group(prompt, answers, list(range(8))))
    batch = pack(prompt_groups, PAD, in_one_row=False)
    return {name: getattr(batch, name) for name in ("input_ids", "attention_mask", "position_ids")}


INPUTS = {"packed rows": packed, "shared prompts": groups}


def arm(kernel: str, kind: str, shape: str, turn: Turn) -> None:
    """Run forward and backward passes until the race ends."""
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
    """Time the kernels on both inputs and print the tables."""
    switches = {"--without_flex": "skip flex_attention, which takes a minute to compile on a CPU"}
    arguments = options(argv, __doc__, "bench_attention", switches)
    kernels = (OURS, DENSE) if arguments.without_flex else (OURS, DENSE, FLEX)
    out = arguments.out
    for kind in INPUTS:
        arms = {kernel: partial(arm, kernel, kind, arguments.shape) for kernel in kernels}
        figures = race(arms, arguments.rounds, threads=arguments.threads)
        expected = figures[DENSE].notes[0]
        differences = {}
        for kernel, own in figures.items():
            differences[kernel] = float(abs(own.notes[0] - expected).max())
        for own in figures.values():
            own.notes = []
        arguments.out = out.with_stem(f"{out.stem}_{kind.replace(' ', '_')}")
        print(f"\n{kind}")
        report(arguments, figures, OURS, {"largest_difference_from_dense": differences})
        listed = ", ".join(f"{kernel} {value:.1e}" for kernel, value in differences.items())
        print(f"\nLargest difference from the dense mask (outputs have size 1): {listed}")
        largest = max(differences.values())
        if not torch.cuda.is_available() and largest > LARGEST_DIFFERENCE:
            raise RunError(
                f"{kind}: outputs differ from the dense mask by {largest:.1e}; at most {LARGEST_DIFFERENCE:.0e} is "
                "allowed. Check the mask of the kernel with the largest difference."
            )


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
