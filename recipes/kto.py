"""Learning from labelled answers (KTO), full or with an adapter: each answer of the data is desirable or undesirable.

    accelerate launch recipes/kto.py --config recipes/tiny/kto.yaml [--learning_rate 1e-5]
    hrm-align kto --config recipes/tiny/kto.yaml

Starts from a checkpoint, or from an adapter, which is merged into its base first (`start/`). The start is the reference. Writes into
`output_dir` what `recipes/sft.py` writes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from accelerate import PartialState

from hrm_align.cli import run_with_exit_code
from hrm_align.commands.dry_run import dry_run
from hrm_align.data.preference_tokens import tokenized_labels
from hrm_align.export.merging import merged_start
from hrm_align.models.lora import load_trainable
from hrm_align.run import open_run
from hrm_align.trainers.evals import build_generation_eval, build_guard
from hrm_align.trainers.kto import KTOTrainer
from hrm_align.trainers.kto_config import parse_kto
from hrm_align.trainers.launch import check_launch, separate_restart


def main(argv: Sequence[str]) -> None:
    """Parse the settings, open the run, read labelled rows, load the model, train, save and publish."""
    separate_restart()
    recipe = parse_kto(argv)
    args = recipe.training
    check_launch(args, recipe.model, compares=True)
    with dry_run(recipe) if args.dry_run else open_run(recipe) as run:
        data = run.read_data("labels")
        with PartialState().main_process_first():
            start = merged_start(str(recipe.model.model_name_or_path), run.folder / "start")
        recipe.model.model_name_or_path = start
        model, tokenizer = load_trainable(recipe.model, recipe.lora, args.max_length)
        train_dataset, eval_dataset = tokenized_labels(data, recipe.data, tokenizer, args.max_length or 0)
        guard = build_guard(recipe.data, data.guard, model, tokenizer, args.max_new_tokens, args.seed)
        right = [example for example in data.held_out if example.desirable]
        generation_eval = build_generation_eval(args, model.config.max_position_embeddings, tokenizer, right)
        trainer = KTOTrainer(
            model, args, train_dataset, tokenizer, eval_dataset, run.callbacks, generation_eval=generation_eval
        )
        run.train(trainer, data, guard)
        run.publish(args.max_new_tokens)


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
