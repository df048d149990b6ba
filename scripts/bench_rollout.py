"""Time rollouts (groups of completions for the same prompts): this package's sampler against Transformers' `generate`.

    python scripts/bench_rollout.py                # minutes on two CPU cores; uses the 1B shape on a GPU

The random model ends a completion at each token with the same probability. That probability makes the mean length half the
maximum length. `generate` continues until the last completion of the batch has ended. A round is one rollout of each arm. The
useful tokens are the completion tokens up to the end token. Before the race, greedy completions of both are compared token by
token.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from bench.command import options, report
from bench.race import Turn, race
from bench.shapes import END, RESPONSE_END, random_model
from torch import Tensor

from hrm_align.cli import run_with_exit_code
from hrm_align.rollouts.kv_cache import left_pad
from hrm_align.rollouts.local import Decoding, generate, sample

GROUP = 8
OURS, DYNAMIC, STATIC = "hrm_align", "generate, dynamic cache", "generate, static cache"
# Number of prompts, tokens of the longest prompt, tokens of the longest completion.
SIZES = {"tiny": (2, 16, 12), "small": (8, 128, 96), "1b": (8, 256, 512)}
# End probability times maximum length, x, such that the mean length is half the maximum: (1 - exp(-x)) / x = 1 / 2.
HALF = 1.594


def end_by_chance(model: Any, longest: int) -> None:
    """Give the end token the same probability at every step, whatever the model predicts."""
    chance = HALF / longest

    def hook(head: Any, args: Any, logits: Tensor) -> Tensor:
        logits = logits.clone()
        logits[..., RESPONSE_END] = float("-inf")
        logits[..., RESPONSE_END] = logits.logsumexp(dim=-1) + math.log(chance / (1 - chance))
        return logits

    model.lm_head.register_forward_hook(hook)


def make_prompts(shape: str, seed: int) -> list[list[int]]:
    """Return random prompts whose lengths are between three quarters and all of the shape's prompt length."""
    count, longest, _ = SIZES[shape]
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(longest * 3 // 4, longest + 1, (count,), generator=generator).tolist()
    return [[6, *torch.randint(31, 512, (length - 2,), generator=generator).tolist(), END] for length in lengths]


def rolling_model(shape: str, shares: bool) -> Any:
    """Return the random model for rollouts; `shares` selects the kernel of this package instead of sdpa."""
    model = random_model(shape).eval()
    model = model.to(torch.bfloat16) if torch.cuda.is_available() else model
    model.set_attn_implementation("per_document" if shares else "sdpa")
    return model


def arm(name: str, shape: str, turn: Turn) -> None:
    """Run rollouts until the race ends."""
    model, longest = rolling_model(shape, name == OURS), SIZES[shape][2]
    end_by_chance(model, longest)
    number = 0
    turn()
    while True:
        rows = [prompt for prompt in make_prompts(shape, number) for _ in range(GROUP)]
        torch.manual_seed(number)
        if name == OURS:
            seeds = [number * len(rows) + i for i in range(len(rows))]
            lengths = [len(answer.ids) for answer in sample(model, rows, seeds, Decoding(longest))]
        else:
            lengths = stock(model, rows, longest, name)
        turn(sum(lengths), statistics.mean(lengths) / longest)
        number += 1


def stock(model: Any, rows: Sequence[Sequence[int]], longest: int, name: str) -> list[int]:
    """Sample with Transformers' `generate` and return the length of each completion."""
    ids, mask = (tensor.to(model.device) for tensor in left_pad(rows, model.config.pad_token_id))
    cache = {"cache_implementation": "static"} if name == STATIC else {}
    out = model.generate(
        input_ids=ids, attention_mask=mask, do_sample=True, top_k=0, max_new_tokens=longest, **cache
    )[:, ids.shape[1] :]  # fmt: skip
    ended = (out == RESPONSE_END).int()
    first = torch.where(ended.any(dim=1), ended.argmax(dim=1) + 1, out.shape[1])
    return [int(length) for length in first]


def greedy_answers_agree(shape: str) -> bool:
    """Return whether greedy completions equal those of `generate`, token by token."""
    model, prompts = rolling_model(shape, True), make_prompts(shape, 0)[:4]
    ours = generate(model, prompts, max_new_tokens=12)
    model.set_attn_implementation("sdpa")
    for prompt, answer in zip(prompts, ours, strict=True):
        ids = torch.tensor([prompt], device=model.device)
        if model.generate(input_ids=ids, max_new_tokens=12, do_sample=False)[0, len(prompt) :].tolist() != answer:
            return False
    return True


def main(argv: Sequence[str]) -> None:
    """Time the samplers and print the table."""
    arguments = options(argv, __doc__, "bench_rollout")
    agree = greedy_answers_agree(arguments.shape)
    arms = {name: partial(arm, name, arguments.shape) for name in (OURS, DYNAMIC, STATIC)}
    figures = race(arms, arguments.rounds, threads=arguments.threads)
    share = statistics.mean(note for own in figures.values() for note in own.notes)
    report(arguments, figures, OURS, {"greedy_answers_agree": agree, "mean_over_longest": share})
    verdict = "agree" if agree else "DIFFER"
    print(f"\nGreedy completions {verdict}. The mean completion length was {share:.2f} of the maximum length.")


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
