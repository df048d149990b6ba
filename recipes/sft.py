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
from pathlib import Path

from accelerate import PartialState
from peft import PeftModel
from rich.console import Console
from transformers import PreTrainedModel, PreTrainedTokenizerFast, set_seed

from hrm_align.cli import exit_code_of
from hrm_align.configs import SFTRecipe
from hrm_align.data.preparation import RunData, read_data, tokenized
from hrm_align.errors import Preempted
from hrm_align.models.loading import check_context, load_model_and_tokenizer
from hrm_align.models.lora import add_adapter, quantization
from hrm_align.recipe_parser import parse_sft, resolved
from hrm_align.trainers.callbacks import MetricsFile
from hrm_align.trainers.generation_eval import generation_eval_of
from hrm_align.trainers.guard import ForgettingGuard, report_guard
from hrm_align.trainers.preemption import Preemption
from hrm_align.trainers.records import claim_output_dir, write_records
from hrm_align.trainers.resume import checkpoint_to_resume
from hrm_align.trainers.sft import SFTTrainer
from hrm_align.trainers.tracking import prepare_trackers


def main(argv: Sequence[str]) -> None:
    """Run the recipe that the arguments name."""
    recipe = parse_sft(argv)
    args, output_dir = recipe.training, Path(str(recipe.training.output_dir))
    resumed = checkpoint_to_resume(args.resume_from_checkpoint, output_dir)
    is_main = PartialState().is_main_process
    if is_main:
        claim_output_dir(output_dir, resumed)
    set_seed(args.seed)
    prepare_trackers(args.report_to, output_dir)

    model, tokenizer = model_of(recipe)
    data = read_data(recipe.data, args.seed, output_dir / "run")
    train_dataset, eval_dataset = tokenized(data, recipe.data, tokenizer, args.max_length or 0)
    guard = guard_of(recipe, data, model, tokenizer)
    preemption = Preemption()
    trainer = SFTTrainer(
        model,
        args,
        train_dataset,
        tokenizer,
        eval_dataset,
        callbacks=[MetricsFile(output_dir / "metrics.jsonl", resumed), preemption],
        generation_eval=generation_eval_of(args, model.config.max_position_embeddings, tokenizer, data.held_out),
    )
    if is_main:
        write_records(output_dir / "run", resolved(recipe), data.account)
        tell(model, data)
    if guard is not None:
        guard.before(trainer.accelerator.unwrap_model(trainer.model))
    trainer.train(resume_from_checkpoint=resumed)
    if preemption.asked:
        raise Preempted(
            f"SIGTERM: saved {output_dir}/checkpoint-{trainer.state.global_step}; go on with the same command and "
            "--resume_from_checkpoint latest."
        )
    trainer.save_model(str(output_dir))
    trainer.save_state()
    if guard is not None:
        report = guard.after(trainer.accelerator.unwrap_model(trainer.model))
        if is_main:
            Console().print(report_guard(report, output_dir / "run"))
    if is_main:
        print(f"saved {output_dir}; score it: hrm-align evaluate --model {output_dir} --data HELD_OUT_ROWS")


def model_of(recipe: SFTRecipe) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerFast]:
    """The model to train, with an adapter if the recipe asks for one, and its tokenizer."""
    name = str(recipe.model.model_name_or_path)
    model, tokenizer = load_model_and_tokenizer(
        name,
        tokenizer_name=recipe.model.tokenizer_name_or_path,
        dtype=recipe.model.dtype,
        attn_implementation=recipe.model.attn_implementation,
        revision=recipe.model.model_revision,
        quantization=quantization(recipe.model),
    )
    check_context(model.config, recipe.training.max_length)
    if not recipe.lora.use_peft:
        return model, tokenizer
    return add_adapter(model, tokenizer, name, recipe.lora), tokenizer


def guard_of(
    recipe: SFTRecipe, data: RunData, model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerFast
) -> ForgettingGuard | None:
    """The guard over the data sets that the recipe names, if it names any."""
    if not data.guard:
        return None
    return ForgettingGuard(
        data.guard,
        tokenizer,
        samples=recipe.data.guard_samples,
        margin=recipe.data.guard_margin,
        max_new_tokens=recipe.training.max_new_tokens,
        positions=model.config.max_position_embeddings,
        seed=recipe.training.seed,
    )


def tell(model: PreTrainedModel | PeftModel, data: RunData) -> None:
    """Say what is trained, and on how much."""
    weights = list(model.parameters())
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    if isinstance(model, PeftModel):
        whole = sum(weight.numel() for weight in weights)
        print(f"adapter: {trained:,} trained parameters, {100 * trained / (whole - trained):.2f} % of the base")
    for name, part in data.account.items():
        if "kept" in part:
            print(f"{name}: {part['kept']} documents kept, dropped: {part['dropped']['by_reason'] or 'none'}")


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
