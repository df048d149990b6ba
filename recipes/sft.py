"""Supervised fine-tuning, full or with an adapter, from rows to a checkpoint that others can load.

    accelerate launch recipes/sft.py --config recipes/tiny/sft.yaml [--learning_rate 1e-3]
    hrm-align sft --config recipes/tiny/sft.yaml

Writes into `output_dir`: the checkpoint (or the adapter) with its tokenizer, `checkpoint-N/`, `metrics.jsonl`,
`samples.jsonl`, and in `run/` what was asked (resolved.yaml), where (env.json), which rows were used (data.json), and what
has become of the guard sets (guard.json).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from accelerate import PartialState
from peft import PeftModel
from rich.console import Console
from transformers import PreTrainedModel, set_seed

from hrm_align.cli import exit_code_of
from hrm_align.config.parser import resolved
from hrm_align.data.preparation import RunData, read_data, tokenized, warnings_of
from hrm_align.estimates.batch import settle_batch
from hrm_align.export.hub import FinalPush
from hrm_align.models.loading import load_config
from hrm_align.models.lora import load_trainable, parameters_told
from hrm_align.run import Run, open_run
from hrm_align.run_folder import write_records
from hrm_align.trainers.callbacks import prepare_trackers
from hrm_align.trainers.evals import generation_eval_of, guard_of, report_guard
from hrm_align.trainers.launch import check_launch
from hrm_align.trainers.restarts import separate_restart
from hrm_align.trainers.same_run import check_same_run
from hrm_align.trainers.sft import SFTTrainer
from hrm_align.trainers.sft_config import SFTRecipe, parse_sft


def main(argv: Sequence[str]) -> None:
    """Run the recipe that the arguments name."""
    separate_restart()
    recipe = parse_sft(argv)
    check_launch(recipe.training, recipe.model)
    with open_run(recipe.training) as run:
        train(recipe, run)


def train(recipe: SFTRecipe, run: Run) -> None:
    """Read the rows, train, save, and publish where that is asked for."""
    args, output_dir, resumed = recipe.training, run.folder, run.resumed
    is_main = PartialState().is_main_process
    if args.auto_batch:
        config = load_config(str(recipe.model.model_name_or_path), recipe.model.model_revision)
        decided = settle_batch(recipe, config, resumed)
        if is_main:
            print(decided)
    settings, final_push = resolved(recipe), FinalPush.requested(args)
    set_seed(args.seed)
    prepare_trackers(args.report_to, output_dir)

    model, tokenizer = load_trainable(recipe.model, recipe.lora, args.max_length)
    data = read_data(recipe.data, args.seed, output_dir / "run")
    check_same_run(resumed, settings, data.account, PartialState().num_processes)
    train_dataset, eval_dataset = tokenized(data, recipe.data, tokenizer, args.max_length or 0)
    guard = guard_of(recipe.data, data.guard, model, tokenizer, args.max_new_tokens, args.seed)
    trainer = SFTTrainer(
        model,
        args,
        train_dataset,
        tokenizer,
        eval_dataset,
        callbacks=run.callbacks,
        generation_eval=generation_eval_of(args, model.config.max_position_embeddings, tokenizer, data.held_out),
    )
    if is_main:
        run.check_claim()
        write_records(output_dir / "run", settings, data.account)
        tell(model, data)
        for told in warnings_of(data, args):
            print(told)
    if guard is not None:
        trainer.call_with_model(guard.before)
    trainer.train(resume_from_checkpoint=resumed)
    run.preemption.raise_if_asked(output_dir, trainer.state.global_step)
    trainer.save_model(str(output_dir))
    trainer.save_state()
    if guard is not None:
        report = trainer.call_interruptibly(guard.after)
        if is_main:
            Console().print(report_guard(report, output_dir / "run"))
    if is_main:
        print(f"saved {output_dir}; score it: hrm-align evaluate --model {output_dir} --data HELD_OUT_ROWS")
        if final_push is not None:
            final_push.publish(output_dir, args.max_new_tokens)


def tell(model: PreTrainedModel | PeftModel, data: RunData) -> None:
    """Say what is trained, and on how much."""
    if told := parameters_told(model):
        print(told)
    for name, part in data.account.items():
        if "kept" in part:
            print(f"{name}: {part['kept']} documents kept, dropped: {part['dropped']['by_reason'] or 'none'}")


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
