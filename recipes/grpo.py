"""Reinforcement learning with verifiable rewards (GRPO, Dr. GRPO, DAPO, RLOO), full or with an adapter.

    accelerate launch recipes/grpo.py --config recipes/tiny/math_grpo.yaml [--learning_rate 1e-3]
    hrm-align grpo --config recipes/tiny/math_grpo.yaml

Starts from a checkpoint, or from an adapter, which is merged into its base first (`start/`). Before training it checks the rewards
on each prompt's reference. Writes into `output_dir` what `recipes/sft.py` writes, and `run/preflight.json`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from accelerate import PartialState

from hrm_align.cli import run_with_exit_code
from hrm_align.commands.dry_run import dry_run
from hrm_align.evaluation.passk import select_training_prompts
from hrm_align.export.merging import merged_start
from hrm_align.models.lora import load_trainable
from hrm_align.rewards.suite import RewardSuite
from hrm_align.run import open_run
from hrm_align.trainers.evals import build_greedy_eval, build_guard
from hrm_align.trainers.grpo import GRPOTrainer
from hrm_align.trainers.grpo_config import parse_grpo
from hrm_align.trainers.launch import check_launch, separate_restart


def main(argv: Sequence[str]) -> None:
    """Parse the settings, open the run, read data, check rewards, load the model, train, save and publish."""
    separate_restart()
    recipe = parse_grpo(argv)
    args, longest = recipe.training, int(recipe.training.max_completion_length or 0)
    check_launch(args, recipe.model, samples=True)
    with dry_run(recipe) if args.dry_run else open_run(recipe) as run:
        data = run.read_data()
        with RewardSuite.of(recipe.rewards, run.folder / "run") as suite:
            checked = run.check_rewards(suite, data.train)
            with PartialState().main_process_first():
                start = merged_start(str(recipe.model.model_name_or_path), run.folder / "start")
            recipe.model.model_name_or_path = start
            model, tokenizer = load_trainable(recipe.model, recipe.lora)
            room = model.config.max_position_embeddings - longest
            prompts = select_training_prompts(recipe, data, tokenizer, room)
            guard = build_guard(recipe.data, data.guard, model, tokenizer, longest, args.seed)
            greedy_eval = build_greedy_eval(args, room, tokenizer, data.held_out, suite)
            trainer = GRPOTrainer(
                model, args, prompts, suite, tokenizer, callbacks=run.callbacks, greedy_eval=greedy_eval
            )
            run.train(trainer, data, guard, checked)
        run.publish(longest)


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
