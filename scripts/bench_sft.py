"""Time fine-tuning steps: this package against TRL's trainer with its defaults and with its fastest settings.

    python scripts/bench_sft.py                    # minutes on two CPU cores; uses the 1B shape on a GPU
    python scripts/bench_sft.py --rounds 9 --out runs/bench_sft.json

All arms train the same random model on rows of the same lengths, under the prefix mask and with the same horizon. TRL's
defaults pad rows and recompute activations; its fastest settings group rows by length and do not recompute. A round is a few
optimizer steps of each arm with about the same number of tokens. The useful tokens are those that are not padding.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import trl
from bench.command import options, report
from bench.race import Turn, race
from bench.shapes import documents, random_model
from bench.training import take_turns

from hrm_align.cli import run_with_exit_code
from hrm_align.models.loading import load_tokenizer
from hrm_align.trainers.sft import SFTTrainer
from hrm_align.trainers.sft_config import SFTArguments

ROWS, LONGEST = 8, 1024
STEPS = 4  # optimizer steps in a round
GOLDEN = 0.618  # the multiples of the golden ratio, modulo 1, are spread evenly
OURS, COMPILED = "hrm_align", "hrm_align, compiled blocks"
DEFAULTS, STRONGEST = "TRL, defaults", "TRL, strongest"
SCALES = {"tiny": 0.1, "small": 1.0, "1b": 1.0}


def arm(name: str, shape: str, turn: Turn) -> None:
    """Train until the race ends."""
    scale = SCALES[shape]
    longest = round(scale * LONGEST)
    rows, tokenizer = documents(400, longest, scale), load_tokenizer("tiny")
    common: dict[str, Any] = {
        "output_dir": tempfile.mkdtemp(), "max_steps": 10_000, "per_device_train_batch_size": ROWS, "max_length": longest,
        "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "logging_steps": 10_000, "learning_rate": 1e-4,
        "bf16": torch.cuda.is_available(), "use_cpu": not torch.cuda.is_available(),
    }  # fmt: skip
    model = random_model(shape)
    trainer: Any
    if name in (OURS, COMPILED):
        # Packed rows are full, so half as many rows hold as many tokens.
        settings = common | {"per_device_train_batch_size": ROWS // 2, "packing": True, "logging_first_step": False}
        model.set_attn_implementation("sdpa" if torch.cuda.is_available() else "per_document")
        arguments = SFTArguments(**settings, train_sampling_strategy="random", compile_blocks=name == COMPILED)
        trainer = SFTTrainer(model, arguments, rows, tokenizer)
    else:
        strongest: dict[str, Any] = {"gradient_checkpointing": False, "train_sampling_strategy": "sequential"}
        config = trl.SFTConfig(**common, **(strongest if name == STRONGEST else {}))
        grouped = rows.select(by_length(rows["length"])) if name == STRONGEST else rows
        trainer = trl.SFTTrainer(
            model, config, train_dataset=grouped.remove_columns("prefix_length"), processing_class=tokenizer
        )  # fmt: skip
    take_turns(trainer, turn, lambda: int(trainer._total_train_tokens), STEPS)


def by_length(lengths: Sequence[int]) -> list[int]:
    """Order rows in batches of similar length, and mix long and short batches.

    `train_sampling_strategy: group_by_length` makes the same batches but begins with the longest ones.
    """
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    batches = [order[start : start + ROWS] for start in range(0, len(order), ROWS)]
    mixed = sorted(range(len(batches)), key=lambda number: number * GOLDEN % 1)
    return [row for number in mixed for row in batches[number]]


def main(argv: Sequence[str]) -> None:
    """Time the trainers and print the table."""
    switches = {"--compiled": "also time compile_blocks, which takes a minute to compile"}
    arguments = options(argv, __doc__, "bench_sft", switches)
    names = (OURS, *([COMPILED] if arguments.compiled else []), DEFAULTS, STRONGEST)
    arms = {name: partial(arm, name, arguments.shape) for name in names}
    figures = race(arms, arguments.rounds, threads=arguments.threads)
    report(arguments, figures, OURS, {})


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
