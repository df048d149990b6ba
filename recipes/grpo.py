"""Reinforcement learning with verifiable rewards (GRPO, Dr. GRPO, DAPO, RLOO), full or with an adapter.

    accelerate launch recipes/grpo.py --config recipes/tiny/math_grpo.yaml [--learning_rate 1e-3]
    hrm-align grpo --config recipes/tiny/math_grpo.yaml

Begins at a checkpoint, or at an adapter, which is merged into its base first (`start/`). Grades each prompt's own answer
before anything is trained. Writes into `output_dir` what `recipes/sft.py` writes, with `samples.jsonl` and
`run/preflight.json`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from accelerate import PartialState
from rich.console import Console
from transformers import PreTrainedTokenizerFast, set_seed

from hrm_align.cli import exit_code_of
from hrm_align.config.parser import resolved
from hrm_align.data.examples import Example
from hrm_align.data.preparation import RunData, read_data, warnings_of
from hrm_align.data.tokenize import answerable_prompts
from hrm_align.evaluation.passk import within_band
from hrm_align.export.hub import FinalPush
from hrm_align.export.merging import merged_start
from hrm_align.models.lora import load_trainable, parameters_told
from hrm_align.rewards.preflight import PreflightReport, preflight
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from hrm_align.run import Run, open_run
from hrm_align.run_folder import write_json, write_records
from hrm_align.trainers.callbacks import prepare_trackers
from hrm_align.trainers.evals import greedy_eval_of, guard_of, report_guard
from hrm_align.trainers.grpo import GRPOTrainer
from hrm_align.trainers.grpo_config import GRPORecipe, parse_grpo
from hrm_align.trainers.launch import check_launch
from hrm_align.trainers.restarts import separate_restart
from hrm_align.trainers.same_run import check_same_run


def main(argv: Sequence[str]) -> None:
    """Run the recipe that the arguments name."""
    separate_restart()
    recipe = parse_grpo(argv)
    check_launch(recipe.training, recipe.model, samples=True)
    with open_run(recipe.training) as run:
        train(recipe, run)


def train(recipe: GRPORecipe, run: Run) -> None:
    """Read the prompts, check the rewards, train, save, and publish where that is asked for."""
    args, output_dir, resumed, state = recipe.training, run.folder, run.resumed, PartialState()
    settings, final_push = resolved(recipe), FinalPush.requested(args)
    set_seed(args.seed)
    prepare_trackers(args.report_to, output_dir)

    data = read_data(recipe.data, args.seed, output_dir / "run")
    check_same_run(resumed, settings, data.account, state.num_processes)
    specs = [RewardSpec.of(entry) for entry in recipe.rewards.rewards]
    with RewardSuite(specs, workers=recipe.rewards.reward_workers, deadline=recipe.rewards.reward_deadline) as suite:
        checked = check_rewards(recipe, suite, data.train) if state.is_main_process else None
        with state.main_process_first():
            recipe.model.model_name_or_path = merged_start(str(recipe.model.model_name_or_path), output_dir / "start")
        model, tokenizer = load_trainable(recipe.model, recipe.lora)
        room = model.config.max_position_embeddings - int(args.max_completion_length or 0)
        prompts = prompts_of(recipe, data, tokenizer, room)
        guard = guard_of(recipe.data, data.guard, model, tokenizer, int(args.max_completion_length or 0), args.seed)
        trainer = GRPOTrainer(
            model,
            args,
            prompts,
            suite,
            tokenizer,
            callbacks=run.callbacks,
            greedy_eval=greedy_eval_of(args, room, tokenizer, data.held_out, suite),
        )
        if state.is_main_process:
            run.check_claim()
            write_records(output_dir / "run", settings, data.account)
            if checked is not None:
                write_json(output_dir / "run" / "preflight.json", checked.to_dict())
            print(parameters_told(model) or "all parameters are trained", f"on {len(prompts)} prompts", sep=", ")
            for told in warnings_of(data, args):
                print(told)
        if guard is not None:
            guard.before(trainer.accelerator.unwrap_model(trainer.model))
        trainer.train(resume_from_checkpoint=resumed)
        run.preemption.raise_if_asked(output_dir, trainer.state.global_step)
        trainer.save_model(str(output_dir))
        trainer.save_state()
        if guard is not None:
            bare = trainer.accelerator.unwrap_model(trainer.model)
            with trainer.interruptible(bare):
                report = guard.after(bare)
            if state.is_main_process:
                Console().print(report_guard(report, output_dir / "run"))
    if state.is_main_process:
        print(f"saved {output_dir}; score it: hrm-align evaluate --model {output_dir} --data HELD_OUT_ROWS")
        if final_push is not None:
            final_push.publish(output_dir, int(args.max_completion_length or 0))


def check_rewards(recipe: GRPORecipe, suite: RewardSuite, prompts: Sequence[Example]) -> PreflightReport | None:
    """Grade answers whose reward is known, and stop before a run that would be paid for nothing, or for anything."""
    samples = recipe.rewards.preflight_samples
    if not samples:
        return None
    report = preflight(suite, prompts, limit=samples, seed=recipe.training.seed)
    Console().print(report.table())
    report.require(recipe.rewards.max_ungraded_fraction)
    return report


def prompts_of(recipe: GRPORecipe, data: RunData, tokenizer: PreTrainedTokenizerFast, room: int) -> list[Example]:
    """The prompts that leave room for an answer and are neither too hard nor too easy; the others are accounted for."""
    dropped = recipe.data.max_dropped_fraction
    prompts, data.account["prompts"] = answerable_prompts(data.train, tokenizer, room, dropped)
    prompts, data.account["headroom"] = within_band(prompts, recipe.rewards)
    if recipe.rewards.curriculum:
        recipe.training.shuffle_dataset = False  # they are in order
    return prompts


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
