"""On-policy distillation: a student completes prompts and learns a teacher's distributions, full or with an adapter.

    accelerate launch recipes/distill.py --config recipes/tiny/distill.yaml [--beta 0.5]
    hrm-align distill --config recipes/tiny/distill.yaml

Starts from a checkpoint, or from an adapter, which is merged into its base first (`start/`). The teacher is another model, here or
behind a server, or the start under another prompt (context distillation). Writes into `output_dir` what `recipes/sft.py` writes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from accelerate import PartialState

from hrm_align.cli import run_with_exit_code
from hrm_align.commands.dry_run import dry_run
from hrm_align.commands.sample import read_context
from hrm_align.export.merging import merged_start
from hrm_align.models.lora import load_trainable
from hrm_align.run import open_run
from hrm_align.trainers.distillation import DistillationTrainer
from hrm_align.trainers.distillation_config import parse_distill
from hrm_align.trainers.evals import build_generation_eval, build_guard
from hrm_align.trainers.launch import check_launch, separate_restart
from hrm_align.trainers.server_teacher import connect_teacher
from hrm_align.trainers.teachers import load_teacher, select_prompts


def main(argv: Sequence[str]) -> None:
    """Parse the settings, open the run, read prompts, load student and teacher, train, save and publish."""
    separate_restart()
    recipe = parse_distill(argv)
    args = recipe.training
    check_launch(args, recipe.model, samples=True)
    files = args.teacher_system_file, args.teacher_examples, args.teacher_shots
    with dry_run(recipe) if args.dry_run else open_run(recipe) as run:
        data = run.read_data()
        context = read_context(*files, args.teacher_condition, prefix="--teacher_")
        with PartialState().main_process_first():
            start = merged_start(str(recipe.model.model_name_or_path), run.folder / "start")
        recipe.model.model_name_or_path = start
        model, tokenizer = load_trainable(recipe.model, recipe.lora)
        find_teacher = load_teacher if args.teacher_base_url is None else connect_teacher
        teacher = find_teacher(recipe, model, tokenizer)
        prompts, held_out = select_prompts(recipe, data, tokenizer, model, teacher, context)
        guard = build_guard(recipe.data, data.guard, model, tokenizer, args.max_new_tokens, args.seed)
        room = model.config.max_position_embeddings
        scorer = build_generation_eval(args, room, tokenizer, data.held_out)
        trainer = DistillationTrainer(
            model, args, prompts, tokenizer, teacher, context, held_out, run.callbacks, scorer
        )
        run.train(trainer, data, guard)
        run.publish(args.max_new_tokens)


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
