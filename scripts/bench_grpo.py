"""Time whole GRPO steps (rollout, reward and update): this package against TRL's GRPOTrainer.

    python scripts/bench_grpo.py                   # minutes on two CPU cores; uses the 1B shape on a GPU

Both trainers train the same random model under the prefix mask on the same prompts, with eight completions for each prompt.
Completions end at random (see bench_rollout.py); a completion with an even number of letters is rewarded. A round is one step
of each trainer. The useful tokens are the completion tokens.
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

from hrm_align.cli import run_with_exit_code
from hrm_align.data.examples import Example, Message
from hrm_align.models.loading import load_tokenizer
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from hrm_align.trainers.grpo import GRPOTrainer
from hrm_align.trainers.grpo_config import GRPOArguments

OURS, STOCK = "hrm_align", "TRL"
EVEN = "(..)*"


def questions(shape: str, count: int = 200) -> list[str]:
    """Return prompts of random letters with about as many tokens as the prompts of the shape in `SIZES`."""
    rng, (_, length, _) = random.Random(0), SIZES[shape]
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(rng.choices(letters, k=rng.randint(length * 3 // 4, length))) for _ in range(count)]


def even(completions: list[Any], **kwargs: Any) -> list[float | None]:
    """Reward completions with an even number of characters, in the form that TRL expects."""
    return [float(re.fullmatch(EVEN, row[0]["content"].strip(), re.DOTALL) is not None) for row in completions]


def arm(name: str, shape: str, turn: Turn) -> None:
    """Train until the race ends."""
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
            take_turns(trainer, turn, lambda: _count_answer_tokens(trainer, prompts * GROUP))
        return
    rows = Dataset.from_list([{"prompt": [{"role": "user", "content": text}]} for text in questions(shape)])
    config = trl.GRPOConfig(**common, gradient_checkpointing=False)
    trainer = trl.GRPOTrainer(model, even, config, train_dataset=rows, processing_class=tokenizer)
    take_turns(trainer, turn, lambda: _count_answer_tokens(trainer, prompts * GROUP))


def _count_answer_tokens(trainer: Any, rows: int) -> int:
    return round(rows * sum(trainer._metrics["train"]["completions/mean_length"]))


def main(argv: Sequence[str]) -> None:
    """Time both trainers and print the table."""
    arguments = options(argv, __doc__, "bench_grpo")
    arms = {name: partial(arm, name, arguments.shape) for name in (OURS, STOCK)}
    report(arguments, race(arms, arguments.rounds, threads=arguments.threads), OURS, {})


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
