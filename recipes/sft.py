"""Supervised fine-tuning, full or with an adapter, from rows of data to a checkpoint that others can load.

    accelerate launch recipes/sft.py --config recipes/tiny/sft.yaml [--learning_rate 1e-3]
    hrm-align sft --config recipes/tiny/sft.yaml

Writes into `output_dir`: the checkpoint (or the adapter) with its tokenizer, `checkpoint-N/`, `metrics.jsonl`,
`samples.jsonl`, and in `run/` the settings (resolved.yaml), the machine (env.json), the rows used (data.json), and the scores
of the guard sets (guard.json).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hrm_align.cli import run_with_exit_code
from hrm_align.commands.dry_run import dry_run
from hrm_align.data.tokenize import tokenized
from hrm_align.models.lora import load_trainable
from hrm_align.run import open_run
from hrm_align.trainers.evals import build_generation_eval, build_guard
from hrm_align.trainers.launch import check_launch, separate_restart
from hrm_align.trainers.sft import SFTTrainer
from hrm_align.trainers.sft_config import parse_sft


def main(argv: Sequence[str]) -> None:
    """Parse the settings, open the run, load the model, read data, train, save and publish."""
    separate_restart()
    recipe = parse_sft(argv)
    args = recipe.training
    check_launch(args, recipe.model)
    with dry_run(recipe) if args.dry_run else open_run(recipe) as run:
        model, tokenizer = load_trainable(recipe.model, recipe.lora, args.max_length)
        data = run.read_data()
        train_dataset, eval_dataset = tokenized(data, recipe.data, tokenizer, args.max_length or 0)
        guard = build_guard(recipe.data, data.guard, model, tokenizer, args.max_new_tokens, args.seed)
        trainer = SFTTrainer(
            model,
            args,
            train_dataset,
            tokenizer,
            eval_dataset,
            callbacks=run.callbacks,
            generation_eval=build_generation_eval(args, model.config.max_position_embeddings, tokenizer, data.held_out),
        )
        run.train(trainer, data, guard)
        run.publish(args.max_new_tokens)


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
