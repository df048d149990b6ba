"""Time steps of DPO with chosen and rejected answers behind one prompt, against a row for each answer.

    python scripts/bench_dpo.py                        # pairs of 200 + 150 + 150 tokens; minutes on two CPU cores
    python scripts/bench_dpo.py --mixed                # the lengths of fine-tuning data

All arms train the same random model on the same random pairs, policy and reference, with DPO's default losses; a round is one optimizer
step of each. Useful tokens are those of separate rows without padding, so that the ratio of two arms is that of their times.
`gradient` in the JSON file is the distance of the arms' gradients on one batch, relative to their norm.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from bench.command import options, report
from bench.race import Turn, race
from bench.shapes import END, RESPONSE_END, random_model
from bench.training import take_turns
from datasets import Dataset

from hrm_align.cli import run_with_exit_code
from hrm_align.models.loading import load_tokenizer
from hrm_align.trainers.dpo import DPOTrainer
from hrm_align.trainers.dpo_config import DPOArguments

SHARED, SEPARATE, RANDOM = "one prompt", "separate rows", "separate rows, not grouped by length"
FIXED = (200, 150, 150)  # tokens of prompt, chosen and rejected answer
MIXED, LONGEST = (
    (167, 329, 329),
    1024,
)  # means of log-normal lengths (`bench.shapes.documents`), and the longest document
SCALE = {"1b": 1.0, "small": 0.6, "tiny": 0.3}  # of the mixed lengths, for small machines
BATCH = {False: 4, True: 8}  # pairs of a step, with fixed and with mixed lengths


def pairs(count: int, lengths: tuple[int, ...], scale: float | None, seed: int = 0) -> Dataset:
    """Return random pairs in the form of `tokenized_pairs`.

    Args:
        count: number of pairs.
        lengths: tokens of prompt, chosen and rejected answer; their means if they vary.
        scale: factor of lengths that vary; None for fixed lengths.
        seed: random seed.
    """
    rng, rows = random.Random(seed), list[dict[str, Any]]()
    while len(rows) < count:
        sizes = [n if scale is None else max(3, round(scale * n * rng.lognormvariate(-0.32, 0.8))) for n in lengths]
        length = sizes[0] + max(sizes[1:])
        if length > LONGEST:
            continue
        prompt, chosen, rejected = (rng.choices(range(31, 512), k=n) for n in sizes)
        prompt[0], prompt[-1], chosen[-1], rejected[-1] = 6, END, RESPONSE_END, RESPONSE_END
        rows.append({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected, "length": length})
    return Dataset.from_list(rows)


def trainer_of(name: str, shape: str, mixed: bool) -> DPOTrainer:
    """Return the trainer of an arm."""
    model, on_gpu = random_model(shape), torch.cuda.is_available()
    model.set_attn_implementation("varlen" if on_gpu else "per_document")
    arguments = DPOArguments(
        output_dir=tempfile.mkdtemp(), max_steps=10_000, per_device_train_batch_size=BATCH[mixed], learning_rate=1e-5,
        save_strategy="no", report_to="none", disable_tqdm=True, logging_steps=10_000, bf16=on_gpu, use_cpu=not on_gpu,
        share_prompts=name == SHARED, score_responses_only=True,
        train_sampling_strategy="random" if name == RANDOM else "group_by_length",
    )  # fmt: skip
    rows = pairs(400, MIXED, SCALE[shape]) if mixed else pairs(100, FIXED, None)
    return DPOTrainer(model, arguments, rows, load_tokenizer("tiny"))


def arm(name: str, shape: str, mixed: bool, turn: Turn) -> None:
    """Train until the race ends."""
    trainer: Any = trainer_of(name, shape, mixed)
    take_turns(trainer, turn, lambda: int(trainer._total_train_tokens))


def gradient_distance(shape: str, mixed: bool) -> float:
    """Return the distance of the gradients of shared prompts from those of separate rows, relative to their norm."""
    gradients = []
    for name in (SHARED, SEPARATE):
        trainer: Any = trainer_of(name, shape, mixed)
        batch = trainer._prepare_inputs(
            trainer.data_collator([trainer.train_dataset[row] for row in range(BATCH[mixed])])
        )
        trainer.compute_loss(trainer.model, batch).backward()
        weights = [weight.grad for weight in trainer.model.parameters() if weight.grad is not None]
        gradients.append(torch.cat([weight.flatten() for weight in weights]))
    return ((gradients[0] - gradients[1]).norm() / gradients[1].norm()).item()


def main(argv: Sequence[str]) -> None:
    """Time the arms and print the table."""
    switches = {"--mixed": "lengths of fine-tuning data instead of 200 + 150 + 150 tokens"}
    arguments = options(argv, __doc__, "bench_dpo", switches)
    names = (SHARED, SEPARATE, RANDOM) if arguments.mixed else (SHARED, SEPARATE)
    arms = {name: partial(arm, name, arguments.shape, arguments.mixed) for name in names}
    figures = race(arms, arguments.rounds, threads=arguments.threads)
    torch.set_num_threads(arguments.threads)
    gradient = gradient_distance(arguments.shape, arguments.mixed)
    report(arguments, figures, SHARED, {"gradient": gradient})
    print(f"Distance of the gradients: {gradient:.1e} of their norm.")


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
