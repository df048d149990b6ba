"""Train a reward model on pairs of a better and a worse answer (Bradley-Terry), full or with an adapter.

    accelerate launch recipes/reward.py --config recipes/tiny/reward.yaml [--learning_rate 1e-3]
    hrm-align reward --config recipes/tiny/reward.yaml

Starts from a language model, whose output head is replaced by a new score head, or from a reward model. Writes into `output_dir` what
`recipes/sft.py` writes, and `run/calibration.json` at each evaluation.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from hrm_align.cli import run_with_exit_code
from hrm_align.commands.dry_run import dry_run
from hrm_align.data.preference_tokens import tokenized_pairs
from hrm_align.models.lora import load_trainable
from hrm_align.models.reward_loading import load_reward_model_and_tokenizer
from hrm_align.run import open_run
from hrm_align.trainers.launch import check_launch, separate_restart
from hrm_align.trainers.reward import RewardTrainer
from hrm_align.trainers.reward_config import parse_reward


def main(argv: Sequence[str]) -> None:
    """Parse the settings, open the run, load the model, read pairs, train and save."""
    separate_restart()
    recipe = parse_reward(argv)
    args = recipe.training
    check_launch(args, recipe.model)
    with dry_run(recipe) if args.dry_run else open_run(recipe) as run:
        load = partial(load_reward_model_and_tokenizer, seed=args.seed)
        model, tokenizer = load_trainable(recipe.model, recipe.lora, args.max_length, load)
        data = run.read_data("pairs")
        train_dataset, eval_dataset = tokenized_pairs(data, recipe.data, tokenizer, args.max_length or 0)
        trainer = RewardTrainer(model, args, train_dataset, tokenizer, eval_dataset, callbacks=run.callbacks)
        run.train(trainer, data)
        run.publish()


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
