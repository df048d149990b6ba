"""Supervised fine-tuning, from rows to a checkpoint that others can load.

    accelerate launch recipes/sft.py --config recipes/tiny/sft.yaml [--learning_rate 1e-3]
    hrm-align sft --config recipes/tiny/sft.yaml

Writes into `output_dir`: the checkpoint with its tokenizer, `checkpoint-N/`, `metrics.jsonl`, `samples.jsonl`, and in
`run/` what was asked (resolved.yaml), where (env.json), and which rows were used (data.json).
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast, set_seed

from hrm_align.cli import exit_code_of
from hrm_align.configs import SFTRecipe
from hrm_align.data.example import Example
from hrm_align.data.mixture import load_examples
from hrm_align.data.split import split_by_content
from hrm_align.data.tokenization import tokenize
from hrm_align.errors import Preempted, UserError
from hrm_align.evaluation import evaluate, last_turns
from hrm_align.models.loading import check_context, load_model_and_tokenizer
from hrm_align.recipe_parser import parse_sft, resolved
from hrm_align.rendering import renderer_of
from hrm_align.trainers.callbacks import MetricsFile, append_json_line
from hrm_align.trainers.preemption import Preemption
from hrm_align.trainers.records import claim_output_dir, write_records
from hrm_align.trainers.resume import checkpoint_to_resume
from hrm_align.trainers.sft import GenerationEval, SFTTrainer
from hrm_align.trainers.tracking import prepare_trackers


def main(argv: Sequence[str]) -> None:
    """Run the recipe that the arguments name."""
    recipe = parse_sft(argv)
    output_dir = Path(str(recipe.training.output_dir))
    resumed = checkpoint_to_resume(recipe.training.resume_from_checkpoint, output_dir)
    is_main = PartialState().is_main_process
    if is_main:
        claim_output_dir(output_dir, resumed)
    set_seed(recipe.training.seed)
    prepare_trackers(recipe.training.report_to, output_dir)

    model, tokenizer = load_model_and_tokenizer(
        str(recipe.model.model_name_or_path),
        tokenizer_name=recipe.model.tokenizer_name_or_path,
        dtype=recipe.model.dtype,
        attn_implementation=recipe.model.attn_implementation,
        revision=recipe.model.model_revision,
    )
    check_context(model.config, recipe.training.max_length)
    train, held_out, account = read_data(recipe, output_dir)
    train_dataset, eval_dataset = tokenized(recipe, tokenizer, train, held_out, account)
    preemption = Preemption()
    trainer = SFTTrainer(
        model,
        recipe.training,
        train_dataset,
        tokenizer,
        eval_dataset,
        callbacks=[MetricsFile(output_dir / "metrics.jsonl", resumed), preemption],
        generation_eval=generated_answers(recipe, model, tokenizer, held_out, output_dir),
    )
    if is_main:
        write_records(output_dir / "run", resolved(recipe), account)
        for name, part in account.items():
            print(f"{name}: {part['kept']} documents kept, dropped: {part['dropped']['by_reason'] or 'none'}")
    trainer.train(resume_from_checkpoint=resumed)
    if preemption.asked:
        raise Preempted(
            f"SIGTERM: saved {output_dir}/checkpoint-{trainer.state.global_step}; go on with the same command and "
            "--resume_from_checkpoint latest."
        )
    trainer.save_model(str(output_dir))
    trainer.save_state()
    if is_main:
        print(f"saved {output_dir}; score it: hrm-align evaluate --model {output_dir} --data HELD_OUT_ROWS")


def read_data(recipe: SFTRecipe, output_dir: Path) -> tuple[list[Example], list[Example], dict[str, Any]]:
    """Read every row, strictly; hold out what the recipe says; account for all of it."""
    data, seed = recipe.data, recipe.training.seed

    def read(specs: list, name: str) -> tuple[list[Example], dict[str, Any]]:
        examples, counts = load_examples(
            specs,
            default_condition=data.condition,
            seed=seed,
            max_bad_fraction=data.max_bad_fraction,
            quarantine=output_dir / "run" / f"quarantine_{name}.jsonl",
        )
        return examples, counts.to_dict()

    train, counts = read(data.specs(), "train")
    account: dict[str, Any] = {"train": counts}
    if data.eval_datasets:
        held_out, account["eval"] = read(data.eval_specs(), "eval")
        return train, held_out, account
    train, held_out = split_by_content(train, data.eval_fraction)
    return train, held_out, account


def tokenized(
    recipe: SFTRecipe,
    tokenizer: PreTrainedTokenizerFast,
    train: list[Example],
    held_out: list[Example],
    account: dict[str, Any],
) -> tuple[Dataset, Dataset | None]:
    """Token ids of both sets; what is dropped, and why, goes into the account."""
    datasets: dict[str, Dataset] = {}
    max_length = recipe.training.max_length or 0  # parse_sft has refused 0
    for name, examples in (("train", train), ("eval", held_out)):
        if not examples and name == "eval":
            continue
        datasets[name], dropped = tokenize(
            examples, renderer_of(tokenizer), max_length, recipe.data.max_dropped_fraction
        )
        account.setdefault(name, {})["kept"] = len(datasets[name])
        account[name]["dropped"] = {"by_reason": dict(dropped.counts), "first_rows": dropped.sources}
    return datasets["train"], datasets.get("eval")


def generated_answers(
    recipe: SFTRecipe,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    held_out: list[Example],
    output_dir: Path,
) -> GenerationEval | None:
    """Exact match of generated answers on a fixed sample of held-out rows, or None if the recipe asks for none."""
    if not recipe.training.generation_eval_samples:
        return None
    room = model.config.max_position_embeddings - recipe.training.max_new_tokens
    prompt = renderer_of(tokenizer).prompt
    questions = [e for e in last_turns(held_out) if len(prompt(e.messages, e.condition)) <= room]
    if not questions:
        raise UserError(
            f"no held-out prompt leaves room for --max_new_tokens {recipe.training.max_new_tokens} within the model's "
            f"{model.config.max_position_embeddings} tokens: lower it, or set --generation_eval_samples 0."
        )
    wanted = min(recipe.training.generation_eval_samples, len(questions))
    sample = random.Random(recipe.training.seed).sample(questions, wanted)

    def score(model: PreTrainedModel) -> dict[str, float]:
        result = evaluate(model, tokenizer, sample, max_new_tokens=recipe.training.max_new_tokens)
        if PartialState().is_main_process:
            for line in result.samples[: recipe.training.log_samples]:
                append_json_line(output_dir / "samples.jsonl", line)
        return {"exact_match": result.score.rate, "unfinished": result.unfinished / wanted}

    return score


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
