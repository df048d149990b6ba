"""Train the tiny base from scratch: tokenizer, SFT on random weights, scores. Takes 80 minutes on one core.

    python scripts/make_tiny_base.py --out runs/tiny_base            # train and score
    python scripts/make_tiny_base.py --out runs/tiny_base --score    # only score the model in --out

Training uses the trainer of the `sft` command (`hrm_align.trainers.sft`). Copy the result into hrm_align/models/tiny by hand,
together with the `scores.json` that the README of that folder quotes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import base_tasks
import torch
from base_tokenizer import train_tokenizer
from transformers import HrmTextConfig, HrmTextForCausalLM, PreTrainedTokenizerFast, set_seed

from hrm_align.data.examples import Example
from hrm_align.data.tokenize import tokenize
from hrm_align.evaluation.evaluate import evaluate
from hrm_align.evaluation.evaluate import few_shot as with_examples
from hrm_align.evaluation.scores import Score
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.rendering import Message, chat_template, get_renderer
from hrm_align.trainers.sft import SFTTrainer
from hrm_align.trainers.sft_config import SFTArguments

HIDDEN = 128
# 1,024 tokens a step, packed. Padded rows grouped by length are 18 % faster, but then a batch has little more than one
# family: token accuracy after 1,000 steps on the same rows was 0.56, against 0.62 with packing.
TOKENS_A_ROW, ROWS_A_STEP = 256, 4
TOKENS_A_DOCUMENT = 45  # less than the mean, so that there are always enough rows
SCORED_CONDITIONS = ("direct", "cot")
ANSWER_TOKENS = 96


def build_config(tokenizer: PreTrainedTokenizerFast) -> HrmTextConfig:
    """Return the config of a model with 0.6 M parameters: H 2 x L 3 cycles as in HRM-Text-1B, one layer a stack."""
    return HrmTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=3 * HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=HIDDEN // 32,
        head_dim=32,
        initializer_range=HIDDEN**-0.5,  # as the 1B's 0.02552 is 1536 ** -0.5
        H_cycles=2,
        L_cycles=3,
        L_bp_cycles=[0, 3],
        max_position_embeddings=1024,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> HrmTextForCausalLM:
    """Return a model with random weights. `z_L_init` is drawn as in the official code; Transformers leaves it at zero."""
    set_seed(seed)
    model = HrmTextForCausalLM(build_config(tokenizer))
    torch.nn.init.trunc_normal_(model.model.z_L_init, std=1.0, a=-2.0, b=2.0)
    return model


def make_examples(rows: Iterable[dict[str, str]]) -> list[Example]:
    """Convert rows of `base_tasks` to examples."""
    return [
        Example(
            (Message("user", row["prompt"]),),
            Message("assistant", row["response"]),
            row["condition"],
            f"base_tasks[{index}]",
            row["group"],
        )
        for index, row in enumerate(rows)
    ]


def compile_for_one_shape(model: HrmTextForCausalLM) -> None:
    """Compile each block for batches of one shape. With bf16 a step then takes 0.09 CPU seconds instead of 0.15."""
    torch._dynamo.config.recompile_limit = 64  # one graph for each pass of the recurrence, with and without gradients
    for stack in (model.model.L_module, model.model.H_module):
        for layer in stack.layers:
            layer.compile()


def train(model: HrmTextForCausalLM, tokenizer: PreTrainedTokenizerFast, arguments: argparse.Namespace) -> None:
    """Train in two stages on fresh rows: first only look-ups and copies, then all families with a rate that decays at the end."""
    compile_for_one_shape(model)
    first, rest = arguments.first_steps, arguments.steps - arguments.first_steps
    train_stage(model, tokenizer, arguments, "first", first, 0.0, base_tasks.FIRST_FAMILIES)
    train_stage(model, tokenizer, arguments, "training", rest, arguments.decay, tuple(base_tasks.FAMILIES))


def train_stage(
    model: HrmTextForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    arguments: argparse.Namespace,
    name: str,
    steps: int,
    decay: float,
    families: Sequence[str],
) -> None:
    """Train one pass over fresh rows of some families.

    The learning rate is constant and falls linearly to 0 over the last share `decay` of the steps.
    """
    documents = steps * ROWS_A_STEP * TOKENS_A_ROW // TOKENS_A_DOCUMENT
    rows = base_tasks.training_rows(arguments.seed, documents, families)
    dataset, _ = tokenize(make_examples(rows), get_renderer(tokenizer), TOKENS_A_ROW)
    settings = SFTArguments(
        output_dir=str(arguments.out / name),
        max_steps=steps,
        learning_rate=arguments.learning_rate,
        warmup_steps=100,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": int(decay * steps), "decay_type": "linear", "min_lr_ratio": 0.0},
        per_device_train_batch_size=ROWS_A_STEP,
        packing=True,
        max_length=TOKENS_A_ROW,
        pad_to_multiple_of=TOKENS_A_ROW,  # one shape, so that few graphs are compiled
        train_sampling_strategy="random",
        bf16=True,
        logging_steps=100,
        save_steps=2_000,
        save_total_limit=1,
        disable_tqdm=True,
        seed=arguments.seed,
    )
    SFTTrainer(model, settings, dataset, tokenizer).train()


def score(folder: Path, rows_a_group: int, seed: int) -> dict[str, dict]:
    """Score greedy completions of held-out prompts by family and level, and with solved examples in the prompt.

    Under `cot` a completion is correct if its final result is correct, as in GSM8K and MATH. `cot, every word` compares the
    worked steps too.
    """
    model, tokenizer = load_model_and_tokenizer(str(folder))
    table: dict[str, dict] = {}
    for condition in SCORED_CONDITIONS:
        examples = make_examples(base_tasks.test_rows(seed, rows_a_group, condition))
        result = evaluate(model, tokenizer, examples, max_new_tokens=ANSWER_TOKENS, batch_size=256)
        table |= summary(condition, by_result(examples, result.samples))
        if condition == "cot":
            table |= summary("cot, every word", result.groups)
    examples = make_examples(base_tasks.few_shot_rows(seed, rows_a_group))
    for shots in (0, 2, 4, 8):
        prompts = with_examples(examples, examples, shots)
        table[f"{shots} shots"] = evaluate(model, tokenizer, prompts, max_new_tokens=ANSWER_TOKENS).score.to_dict()
    return table


def by_result(examples: Sequence[Example], samples: Sequence[dict]) -> dict[str, Score]:
    """Score, by group, the text after the last `so `; for a bare answer, the whole text."""
    groups: dict[str, Score] = {}
    for example, sample in zip(examples, samples, strict=True):
        result, expected = (base_tasks.final_answer(sample[name]) for name in ("generated", "expected"))
        groups.setdefault(str(example.group), Score()).add(result.strip() == expected.strip())
    return groups


def summary(name: str, groups: dict[str, Score]) -> dict[str, dict]:
    """Return the mean over families for each level, and the score of every group."""
    table: dict[str, dict] = {}
    for level in base_tasks.LEVELS:
        cells = [score for group, score in groups.items() if group.endswith(f"/{level}")]
        mean = sum(score.rate for score in cells) / len(cells)
        table[f"{name} {level}"] = {"exact_match": mean, "n": sum(score.n for score in cells)}
    return table | {name: {group: score.to_dict() for group, score in sorted(groups.items())}}


def markdown(table: dict[str, dict]) -> str:
    """Return the table of hrm_align/models/tiny/README.md."""
    lines = ["| family | direct easy | direct hard | cot easy | cot hard |", "| --- | --- | --- | --- | --- |"]
    cells = [(condition, level) for condition in SCORED_CONDITIONS for level in base_tasks.LEVELS]
    for family in sorted(base_tasks.FAMILIES):
        rates = [table[condition][f"{family}/{level}"]["exact_match"] for condition, level in cells]
        lines.append(f"| {family} | " + " | ".join(f"{100 * rate:.0f}" for rate in rates) + " |")
    means = [table[f"{condition} {level}"]["exact_match"] for condition, level in cells]
    return "\n".join([*lines, "| **mean** | " + " | ".join(f"**{100 * mean:.1f}**" for mean in means) + " |"])


def main() -> None:
    """Train and score, or only score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=34_000)
    parser.add_argument(
        "--first_steps", type=int, default=1_500, help="steps of --steps that train only on look-ups and copies"
    )
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument(
        "--decay", type=float, default=0.4, help="share of the steps over which the learning rate falls"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows_a_group", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; at this size one thread is as fast as two")
    parser.add_argument("--score", action="store_true", help="only score the model in --out")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not arguments.score:
        tokenizer = train_tokenizer(arguments.seed)
        tokenizer.chat_template = chat_template(tokenizer)
        model = new_model(tokenizer, arguments.seed)
        started = time.process_time()
        train(model, tokenizer, arguments)
        print(f"trained in {(time.process_time() - started) / 60:.0f} CPU minutes")
        model.eval().save_pretrained(arguments.out)
        tokenizer.save_pretrained(arguments.out)
    table = score(arguments.out, arguments.rows_a_group, seed=1)
    (arguments.out / "scores.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(markdown(table))
    for name, cell in table.items():
        if "n" in cell:
            print(f"{name:<22}{100 * cell['exact_match']:.1f} %  (n {cell['n']})")


if __name__ == "__main__":
    main()
