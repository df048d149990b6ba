"""What GRPO logs of each rollout: statistics, faults of rewards, some completions; and the stop of a run without any signal."""

from __future__ import annotations

import logging
import math
import random
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from transformers import Trainer

from hrm_align.errors import RunError
from hrm_align.rewards.base import add_usage
from hrm_align.rollouts.groups import Rollout, zero_variance_groups
from hrm_align.trainers.callbacks import append_json_line

logger = logging.getLogger(__name__)

_Base: Any = Trainer if TYPE_CHECKING else object

MAX_ROLLOUTS_WITHOUT_SIGNAL = 20  # the run ends after so many consecutive rollouts with zero variance in every group


class RolloutLog(_Base):
    """Mixin of GRPOTrainer that logs its current rollout.

    Raises:
        RunError: after `MAX_ROLLOUTS_WITHOUT_SIGNAL` rollouts in which every group had zero reward variance.
    """

    _rollout: Rollout

    def __init__(self, *args: Any, **kwargs: Any):
        self._rollouts_without_signal, self._reported_faults = 0, set[tuple[str, str]]()
        super().__init__(*args, **kwargs)

    def _note_rollout(self, output: dict[str, Any]) -> None:
        """Log statistics of the rollout, and write some of its completions to samples.jsonl."""
        rollout, device = self._rollout, self.accelerator.device
        rewards = [math.nan if reward is None else reward for reward in rollout.rewards]
        gathered = self.accelerator.gather(torch.tensor(rewards, dtype=torch.float64, device=device))
        totals = [None if math.isnan(total) else total for total in gathered.tolist()]  # a group may span processes
        groups, flat = len(totals) // self.num_generations, len(zero_variance_groups(totals, self.num_generations))
        counts = [rollout.replaced, rollout.graded, rollout.reward_sum]
        local = [[*counts, rollout.sampling_seconds, rollout.grading_seconds]]
        table = self.accelerator.gather(torch.tensor(local, dtype=torch.float64, device=device))  # (processes, 5)
        replaced, graded, total_reward = table[:, :3].sum(dim=0).tolist()
        sampling, grading = table[:, 3:].amax(dim=0).tolist()
        self._note(**{
            "groups/drawn": groups + replaced,
            "groups/without_signal": (flat + replaced) / (groups + replaced),
            "rewards/drawn": total_reward / max(graded, 1),
            "rewards/ungraded": totals.count(None) / len(totals),
            "seconds/rollout": sampling,
            "seconds/reward": grading,
        })  # fmt: skip
        self._note_faults()
        if self.accelerator.is_main_process:
            self._write_samples(output["advantages"].flatten().tolist())
        self._stop_without_signal(flat == groups, total_reward / max(graded, 1))

    def _note_faults(self) -> None:
        """Count the faults of rewards, and what judges used, over all processes; warn once for each reward and kind of fault."""
        faults = self._rollout.faults
        counts = Counter(gather_object([f"{fault.reward}/{fault.kind}" for fault in faults]))
        self._note(**{f"rewards/faults/{name}": count for name, count in counts.items()})
        usage = add_usage(*gather_object([self._rollout.usage]))
        sums = {f"{judge}/{name}": count for judge, counts in usage.items() for name, count in counts.items()}
        self._note(**{f"rewards/usage/{name}": count for name, count in sums.items()})
        for fault in faults:
            if (fault.reward, fault.kind) not in self._reported_faults:
                self._reported_faults.add((fault.reward, fault.kind))
                where = f" at {fault.source}" if fault.source else ""
                logger.warning("reward %s%s: %s (%s). The run continues; if rewards/faults in metrics.jsonl grows, stop it "
                               "and fix the reward or the row.", fault.reward, where, fault.detail, fault.kind)  # fmt: skip

    def _stop_without_signal(self, has_no_signal: bool, mean: float) -> None:
        self._rollouts_without_signal = self._rollouts_without_signal + 1 if has_no_signal else 0
        if self._rollouts_without_signal >= MAX_ROLLOUTS_WITHOUT_SIGNAL:
            raise RunError(
                f"in {MAX_ROLLOUTS_WITHOUT_SIGNAL} rollouts in a row every group had zero reward variance (mean reward "
                f"{mean:.3g}), so the advantages are zero and nothing is learnt. Look at samples.jsonl. If the prompts are "
                "always or never solved, choose easier or harder ones (`hrm-align headroom`); if completions are truncated, "
                "raise --max_completion_length; and check the rewards with `hrm-align rewards`."
            )

    def _write_samples(self, advantages: list[float]) -> None:
        trajectories = self._rollout.trajectories
        chosen = random.Random(self.state.global_step).sample(range(len(trajectories)), len(trajectories))
        for place in sorted(chosen[: self.args.log_samples]):
            trajectory = trajectories[place]
            example = self.groups.examples[trajectory.row]
            record = {
                "step": self.state.global_step,
                "source": example.source,
                "prompt": example.messages[-1].content,
                "expected": example.reference,
                "generated": trajectory.text,
                "reward": trajectory.reward,
                "rewards": dict(trajectory.rewards),
                "advantage": advantages[place],
            }
            append_json_line(Path(str(self.args.output_dir)) / "samples.jsonl", record)
