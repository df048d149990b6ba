"""pass@k of a model on prompts before a run (`hrm-align headroom`), and selection of training prompts by their pass rate.

A prompt that the model always or never solves gives no gradient: all completions of its group get the same reward. With
a start model that solved 87 of 100 two-operand sums, 71 to 75 % of the groups had zero reward variance.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.config.arguments import RewardArguments
from hrm_align.data.examples import Example, RunData
from hrm_align.data.tokenize import select_answerable_prompts
from hrm_align.errors import UserError
from hrm_align.rendering import get_renderer
from hrm_align.rewards.suite import RewardSuite
from hrm_align.rollouts.engine import Decoding
from hrm_align.rollouts.groups import GroupSampler, pass_at_k, zero_variance_groups
from hrm_align.rollouts.local import LocalEngine

SOLVED = 1.0 - 1e-6  # share of the highest possible weighted sum of rewards from which an answer counts as solved
BANDS = ((0.0, 0.0), (0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0), (1.0, 1.0))


@dataclass
class PassRates:
    """Pass rates of a model on prompts.

    Args:
        samples: completions per prompt.
        solved: number of completions with the full reward, one entry per prompt; None if not all of them could be
            graded.
        zero_variance: number of prompts whose completions all got the same reward.
        keys: keys of the prompts (`prompt_key`), in the same order.
        sources: places of the prompts, in the same order.
    """

    samples: int
    solved: list[int | None] = field(default_factory=list)
    zero_variance: int = 0
    keys: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def pass_at(self, k: int) -> float:
        """Return pass@k: the probability that at least one of `k` completions is correct, averaged over graded prompts."""
        graded = [correct for correct in self.solved if correct is not None]
        return sum(pass_at_k(correct, self.samples, k) for correct in graded) / len(graded) if graded else float("nan")

    def bands(self) -> dict[str, int]:
        """Count prompts by pass rate: never, always, and the bands between; a band includes its upper end."""
        rates = [correct / self.samples for correct in self.solved if correct is not None]
        counts = {}
        for low, high in BANDS:
            name = "never" if high == 0 else "always" if low == 1 else f"up to {100 * high:.0f} %"
            inside = [r for r in rates if (r == low == high) or (low < r <= high and not (high == 1 and r == 1))]
            counts[name if high < 1 or low == 1 else "below 100 %"] = len(inside)
        return counts

    def to_dict(self) -> dict[str, Any]:
        """Return the measures that the command prints."""
        return {
            "prompts": len(self.solved),
            "samples": self.samples,
            **{f"pass@{k}": self.pass_at(k) for k in (1, 2, 4, 8, 16, 32) if k <= self.samples},
            "ungraded": sum(correct is None for correct in self.solved),
            "without_signal": self.zero_variance / len(self.solved) if self.solved else float("nan"),
            "bands": self.bands(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one object per prompt, as a recipe's `headroom:` file has them."""
        return [
            {"key": key, "source": source, "pass_rate": None if correct is None else correct / self.samples}
            for key, source, correct in zip(self.keys, self.sources, self.solved, strict=True)
        ]


def measure_pass_rates(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    suite: RewardSuite,
    decoding: Decoding,
    samples: int,
    seed: int = 0,
) -> PassRates:
    """Sample several completions of every prompt, and count the solved ones.

    Args:
        model: an HRM-Text, with or without an adapter.
        tokenizer: the model's tokenizer.
        examples: the prompts.
        suite: rewards; a completion is solved if its reward is the sum of all positive weights.
        decoding: sampling settings.
        samples: completions per prompt.
        seed: seed of the sampling.
    """
    groups = GroupSampler(
        LocalEngine(model), examples, get_renderer(tokenizer), suite, decoding, group_size=samples, seed=seed
    )
    rewards = groups.draw([row for row in range(len(examples)) for _ in range(samples)], number=0).rewards
    threshold = SOLVED * sum(weight for weight in suite.weights if weight > 0)
    difficulty = PassRates(samples, zero_variance=len(zero_variance_groups(rewards, samples)))
    for row, example in enumerate(examples):
        graded = [reward for reward in rewards[row * samples : (row + 1) * samples] if reward is not None]
        difficulty.solved.append(sum(reward >= threshold for reward in graded) if len(graded) == samples else None)
        difficulty.keys.append(prompt_key(example))
        difficulty.sources.append(example.source)
    return difficulty


def prompt_key(example: Example) -> str:
    """Hash a prompt's content to 16 hexadecimal digits, independent of its file and line."""
    content: list[Any] = [example.condition]
    for message in example.messages:
        calls = [dict(call) for call in message.tool_calls]
        content.append([message.role, message.content, calls])
    return blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()


def select_training_prompts(recipe: Any, data: RunData, tokenizer: PreTrainedTokenizerFast, room: int) -> list[Example]:
    """Select the training prompts that leave room for an answer and whose pass rate is inside the recipe's band.

    Args:
        recipe: a reinforcement-learning recipe.
        data: the run's examples; counts of the dropped prompts are added to `data.counts`.
        tokenizer: tokenizer of the model.
        room: longest prompt, in tokens.
    """
    prompts, data.counts["prompts"] = select_answerable_prompts(
        data.train, tokenizer, room, recipe.data.max_dropped_fraction
    )
    prompts, data.counts["headroom"] = select_by_pass_rate(prompts, recipe.rewards)
    return prompts


def select_by_pass_rate(examples: Sequence[Example], rewards: RewardArguments) -> tuple[list[Example], dict[str, Any]]:
    """Select the prompts whose pass rate is between `min_pass_rate` and `max_pass_rate`; easy ones first for a curriculum.

    Args:
        examples: the prompts.
        rewards: the recipe's keys `headroom`, `min_pass_rate`, `max_pass_rate` and `curriculum`.

    Returns:
        The selected prompts, and counts of measured, unmeasured and selected prompts for run/data.json. Prompts without
        a measured pass rate are dropped.

    Raises:
        UserError: if the file `headroom` is missing or damaged, or no prompt is left.
    """
    if rewards.headroom is None:
        return list(examples), {}
    rates = _read_rates(Path(rewards.headroom))
    measured = [(rate, example) for example in examples if (rate := rates.get(prompt_key(example))) is not None]
    in_band = [pair for pair in measured if rewards.min_pass_rate <= pair[0] <= rewards.max_pass_rate]
    if not in_band:
        raise UserError(
            f"headroom: no prompt has a pass rate from {rewards.min_pass_rate:g} to {rewards.max_pass_rate:g}; "
            f"{rewards.headroom} has pass rates for {len(measured)} of {len(examples)} prompts. Widen min_pass_rate and "
            "max_pass_rate, or measure these prompts with `hrm-align headroom --save`."
        )
    if rewards.curriculum:
        in_band.sort(key=lambda pair: -pair[0])
    counts = {"measured": len(measured), "unmeasured": len(examples) - len(measured), "in_band": len(in_band)}
    return [example for _, example in in_band], counts


def _read_rates(path: Path) -> dict[str, float | None]:
    rates: dict[str, float | None] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(
            f"headroom: cannot read {path} ({error.strerror}). Check the path, or make the file with "
            "`hrm-align headroom --save`."
        ) from None
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rates[row["key"]] = row["pass_rate"]
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{path}:{number}: not a line of `hrm-align headroom --save`, which has key and pass_rate. Make the file again."
            ) from None
    return rates
