"""Measure the costs and benefits of each training stabiliser on the tiny model, with the trainer of the `sft` command.

    python scripts/stabiliser_study.py --out runs/stabiliser_study                  # all parts: 45 CPU minutes
    python scripts/stabiliser_study.py --out runs/stabiliser_study --only horizon

Every finished measurement is appended to `records.jsonl` in `--out`, so an interrupted study continues with the first missing
one. Prints the tables of docs/results/stabilisers.md. There are two settings, both with packed rows of 256 tokens and 1,024 tokens a step:

    scratch   a fresh tiny model learns a few families of `base_tasks`
    SFT       the embedded base learns the shipped data sets, chat and JSON extraction

Times are CPU seconds of one thread. Arms whose times are compared take turns step by step (`take_turns`), so that other load on
the machine slows all of them equally. Peak memory is measured in a fresh process for each arm.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import torch
from stabilisers.arms import ema, horizon, optimizer
from stabilisers.averages import StabiliserStudy
from stabilisers.health import health
from study.command import conditions, options
from study.records import Records
from study.runs import Study
from study.settings import fine_tuning, scratch
from transformers.utils.logging import disable_progress_bar

from hrm_align.cli import run_with_exit_code
from hrm_align.models.loading import load_model_and_tokenizer

PARTS: dict[str, Callable[[Study], list[str]]] = {
    "health": health,
    "horizon": horizon,
    "optimizer": optimizer,
    "ema": ema,
}


def main(argv: Sequence[str]) -> None:
    """Run the requested parts and print their tables. Raises UserError if --seeds or --steps is below 1."""
    arguments = options(argv, __doc__, PARTS, "runs/stabiliser_study")
    torch.set_num_threads(1)
    disable_progress_bar()
    base, tokenizer = load_model_and_tokenizer("tiny")
    settings = [scratch(tokenizer), fine_tuning(base, tokenizer)]
    records = Records(arguments.out / "records.jsonl")
    study = StabiliserStudy(records, tokenizer, settings, arguments.seeds, arguments.steps)
    print(conditions(study))
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            print(*part(study), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
