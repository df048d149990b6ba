"""How much a model has still to learn from prompts: how often it solves each of them before a run.

A prompt that is always solved, or never, teaches nothing: all answers of its group are paid alike. Of a start that solved
two-operand sums in 87 of 100 cases, 71 to 75 % of the groups carried no signal.
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
from hrm_align.data.tokenize import answerable_prompts
from hrm_align.errors import UserError
from hrm_align.rendering import renderer_of
from hrm_align.rewards.suite import RewardSuite
from hrm_align.rollouts.engine import Decoding
from hrm_align.rollouts.groups import GroupSampler, pass_at_k, silent_groups
from hrm_align.rollouts.local import LocalEngine

SOLVED = 1.0 - 1e-6  # of the best weighted sum of rewards
BANDS = ((0.0, 0.0), (0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0), (1.0, 1.0))


@dataclass
class Headroom:
    """What a model makes of prompts.

    Args:
        samples: answers to each prompt.
        solved: how many of them were paid in full, one entry a prompt; None where none could be graded.
        silent: prompts whose answers were all paid alike.
        keys: of the prompts (`prompt_key`), in the same order.
        sources: where they stand.
    """

    samples: int
    solved: list[int | None] = field(default_factory=list)
    silent: int = 0
    keys: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def pass_at(self, k: int) -> float:
        """Mean over prompts of the chance that one of `k` answers is right."""
        known = [right for right in self.solved if right is not None]
        return sum(pass_at_k(right, self.samples, k) for right in known) / len(known) if known else float("nan")

    def bands(self) -> dict[str, int]:
        """How many prompts are solved how often: never, always, and between, upper ends included."""
        rates = [right / self.samples for right in self.solved if right is not None]
        told = {}
        for low, high in BANDS:
            name = "never" if high == 0 else "always" if low == 1 else f"up to {100 * high:.0f} %"
            inside = [r for r in rates if (r == low == high) or (low < r <= high and not (high == 1 and r == 1))]
            told[name if high < 1 or low == 1 else "below 100 %"] = len(inside)
        return told

    def to_dict(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "prompts": len(self.solved),
            "samples": self.samples,
            **{f"pass@{k}": self.pass_at(k) for k in (1, 2, 4, 8, 16, 32) if k <= self.samples},
            "ungraded": sum(right is None for right in self.solved),
            "without_signal": self.silent / len(self.solved) if self.solved else float("nan"),
            "bands": self.bands(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One object a prompt, for `headroom:` in a recipe."""
        return [
            {"key": key, "source": source, "pass_rate": None if right is None else right / self.samples}
            for key, source, right in zip(self.keys, self.sources, self.solved, strict=True)
        ]


def measure_headroom(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    suite: RewardSuite,
    decoding: Decoding,
    samples: int,
    seed: int = 0,
) -> Headroom:
    """Answer every prompt several times.

    Args:
        model: an HRM-Text, with or without an adapter.
        tokenizer: its tokenizer.
        examples: the prompts.
        suite: what pays their answers; one that is paid the whole sum of the weights counts as solved.
        decoding: how answers are drawn.
        samples: answers to each.
        seed: of the draws.
    """
    groups = GroupSampler(
        LocalEngine(model), examples, renderer_of(tokenizer), suite, decoding, group_size=samples, seed=seed
    )
    rewards = groups.draw([row for row in range(len(examples)) for _ in range(samples)], number=0).rewards
    best = SOLVED * sum(weight for weight in suite.weights if weight > 0)
    found = Headroom(samples, silent=len(silent_groups(rewards, samples)))
    for row, example in enumerate(examples):
        paid = [total for total in rewards[row * samples : (row + 1) * samples] if total is not None]
        found.solved.append(sum(total >= best for total in paid) if len(paid) == samples else None)
        found.keys.append(prompt_key(example))
        found.sources.append(example.source)
    return found


def prompt_key(example: Example) -> str:
    """A prompt's content in 16 hexadecimal digits, wherever it stands."""
    content = [
        example.condition,
        *([m.role, m.content, [dict(call) for call in m.tool_calls]] for m in example.messages),
    ]
    return blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()


def prompts_to_train(recipe: Any, data: RunData, tokenizer: PreTrainedTokenizerFast, room: int) -> list[Example]:
    """The prompts that leave room for an answer and are neither too hard nor too easy; the others are accounted for.

    Args:
        recipe: of reinforcement learning; a curriculum keeps its order.
        data: whose account is added to.
        tokenizer: of the model.
        room: positions that a prompt may take.
    """
    prompts, data.account["prompts"] = answerable_prompts(data.train, tokenizer, room, recipe.data.max_dropped_fraction)
    prompts, data.account["headroom"] = within_band(prompts, recipe.rewards)
    if recipe.rewards.curriculum:
        recipe.training.shuffle_dataset = False  # they are in order
    return prompts


def within_band(examples: Sequence[Example], rewards: RewardArguments) -> tuple[list[Example], dict[str, Any]]:
    """The prompts that the start solves neither too often nor too seldom, easy ones first if the recipe asks for it.

    Args:
        examples: the prompts.
        rewards: the recipe's keys `headroom`, `min_pass_rate`, `max_pass_rate` and `curriculum`.

    Returns:
        The prompts to train on, and what became of the others, for run/data.json. A prompt that was not measured is
        left out.

    Raises:
        UserError: if the file is missing or damaged, or no prompt is left.
    """
    if rewards.headroom is None:
        return list(examples), {}
    rates = _read_rates(Path(rewards.headroom))
    known = [(rate, example) for example in examples if (rate := rates.get(prompt_key(example))) is not None]
    kept = [pair for pair in known if rewards.min_pass_rate <= pair[0] <= rewards.max_pass_rate]
    if not kept:
        raise UserError(
            f"headroom: of {len(examples)} prompts {len(known)} are measured in {rewards.headroom}, and none is solved in "
            f"{rewards.min_pass_rate:g} to {rewards.max_pass_rate:g} of the cases: widen the band, or measure these "
            "prompts."
        )
    if rewards.curriculum:
        kept.sort(key=lambda pair: -pair[0])
    told = {"measured": len(known), "unmeasured": len(examples) - len(known), "in_band": len(kept)}
    return [example for _, example in kept], told


def _read_rates(path: Path) -> dict[str, float | None]:
    rates: dict[str, float | None] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"headroom: cannot read {path} ({error.strerror}).") from None
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rates[row["key"]] = row["pass_rate"]
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{path}:{number}: no line of `hrm-align headroom --save`: it needs key and pass_rate."
            ) from None
    return rates
