"""Whole steps of reinforcement learning, rollout, reward and update: this package against TRL's GRPOTrainer.

    python scripts/bench_grpo.py                   # minutes on two CPU cores; the 1B shape where a GPU is there

Both train the same random model on the same prompts under the prefix mask, eight answers to each, which end by chance (see
bench_rollout.py) and are paid for an even number of letters. A round is one step of each; what counts is answer tokens.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import trl
from bench.command import options, report
from bench.race import Turn, race
from bench.shapes import random_model
from bench.training import take_turns
from bench_rollout import GROUP, SIZES, end_by_chance
from datasets import Dataset

from hrm_align.cli import exit_code_of
from hrm_align.data.examples import Example, Message
from hrm_align.models.loading import load_tokenizer
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from hrm_align.trainers.grpo import GRPOTrainer
from hrm_align.trainers.grpo_config import GRPOArguments

OURS, STOCK = "hrm_align", "TRL"
EVEN = "(..)*"


def questions(shape: str, count: int = 200) -> list[str]:
    """Words of random letters, about as many tokens as the size's prompts have."""
    rng, (_, length, _) = random.Random(0), SIZES[shape]
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(rng.choices(letters, k=rng.randint(length * 3 // 4, length))) for _ in range(count)]


def even(completions: list[Any], **kwargs: Any) -> list[float | None]:
    """TRL's form of the reward."""
    return [float(re.fullmatch(EVEN, row[0]["content"].strip(), re.DOTALL) is not None) for row in completions]


def arm(name: str, shape: str, turn: Turn) -> None:
    """Train without an end."""
    prompts, _, longest = SIZES[shape]
    model, tokenizer = random_model(shape), load_tokenizer("tiny")
    end_by_chance(model, longest)
    common: dict[str, Any] = {
        "output_dir": tempfile.mkdtemp(), "max_steps": 10_000, "per_device_train_batch_size": prompts * GROUP,
        "num_generations": GROUP, "max_completion_length": longest, "learning_rate": 1e-5, "save_strategy": "no",
        "report_to": "none", "disable_tqdm": True, "logging_steps": 10_000, "bf16": torch.cuda.is_available(),
        "use_cpu": not torch.cuda.is_available(),
    }  # fmt: skip
    trainer: Any
    if name == OURS:
        model.set_attn_implementation("per_document")
        examples = [
            Example((Message("user", text),), Message("assistant", ""), "direct", f"question {number}")
            for number, text in enumerate(questions(shape))
        ]
        arguments = GRPOArguments(**common, parity_every=0, share_prompts=True)
        with RewardSuite([RewardSpec.of({"name": "format", "pattern": EVEN})]) as suite:
            trainer = GRPOTrainer(model, arguments, examples, suite, tokenizer)
            take_turns(trainer, turn, lambda: _answer_tokens(trainer, prompts * GROUP))
        return
    rows = Dataset.from_list([{"prompt": [{"role": "user", "content": text}]} for text in questions(shape)])
    config = trl.GRPOConfig(**common, gradient_checkpointing=False)
    trainer = trl.GRPOTrainer(model, even, config, train_dataset=rows, processing_class=tokenizer)
    take_turns(trainer, turn, lambda: _answer_tokens(trainer, prompts * GROUP))


def _answer_tokens(trainer: Any, rows: int) -> int:
    return round(rows * sum(trainer._metrics["train"]["completions/mean_length"]))


def main(argv: Sequence[str]) -> None:
    """Race them and print the table."""
    arguments = options(argv, __doc__, "bench_grpo")
    arms = {name: partial(arm, name, arguments.shape) for name in (OURS, STOCK)}
    report(arguments, race(arms, arguments.rounds, threads=arguments.threads), OURS, {})


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
